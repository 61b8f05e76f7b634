"""What a URL sends, as a file."""

from __future__ import annotations

import os
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from pathlib import Path

from nst_video import ffmpeg
from nst_video.errors import SourceError

SILENCE_S = 30
"""A URL that sends nothing for so long is given up."""
FILES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".ts", ".mpg", ".wmv", ".flv", ".3gp", ".ogv")
"""What is fetched as it is; anything else may be a list of pieces."""


_SECRETS = re.compile(r"(?<=://).*@|\?.*")


def shown(url: str) -> str:
    """A URL without what may be a password."""
    return _SECRETS.sub("", url)


def is_url(name: str | Path) -> bool:
    return re.match(r"[a-z][a-z0-9+.-]+://", str(name), re.IGNORECASE) is not None


def fetch(url: str, into: Path, *, duration: float | None = None) -> Path:
    """Keep what a URL sends in a file named `into` with a suffix, and answer it; it is not fetched twice.

    Of a stream, at most `duration` seconds.

    Raises:
        SourceError: it cannot be reached, sends nothing that can be kept, or ends too early.
    """
    suffix = Path(urllib.parse.urlsplit(url).path).suffix.lower()
    as_it_is = url.lower().startswith(("http://", "https://")) and suffix in FILES
    whole = into.with_suffix(suffix if as_it_is else ".mkv")
    if not whole.exists():
        partial = whole.with_name(f"draft-{whole.name}")
        try:
            if as_it_is:
                _download(url, partial)
            else:
                _receive(url, partial, duration)
            os.replace(partial, whole)
        finally:
            partial.unlink(missing_ok=True)
    return whole


def _download(url: str, partial: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=SILENCE_S) as answer, partial.open("wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)
            wanted, got = answer.headers["Content-Length"], file.tell()
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        raise SourceError(f"cannot fetch {shown(url)}: {getattr(error, 'reason', None) or error}") from None
    if wanted is not None and int(wanted) != got:
        raise SourceError(f"cannot fetch {shown(url)}: only {got} of {wanted} bytes came")


def _receive(url: str, partial: Path, duration: float | None) -> None:
    limit = ["-t", f"{duration:.6f}"] if duration is not None else []
    wait = ["-rw_timeout", str(SILENCE_S * 1_000_000)] if url.lower().startswith("http") else []
    arguments = ["-y", *wait, "-i", url, *limit, "-map", "0:V:0", "-map", "0:a?", "-c", "copy",
                 "-progress", "pipe:1", "-f", "matroska", ffmpeg.plain(partial)]  # fmt: skip
    process = ffmpeg.Ffmpeg(arguments, what=f"cannot fetch {shown(url)}", reads=True, patience=2 * SILENCE_S)
    try:
        process.drain()
        if process.finish():
            raise SourceError(f"cannot fetch {shown(url)}: {process.complaint()}")
    finally:
        process.kill()
