"""What decides how a film looks, as plain facts: only a run with the same ones can go on with another's work."""

from __future__ import annotations

import dataclasses
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

from nst_video import __version__
from nst_video.settings import StyleSettings, VideoConfig, option_name

INDIFFERENT = ("clip", "output", "quiet", "log_json", "resume", "device", "threads", "audio", "max_pixels", "memory")
"""What a film may be gone on with differently."""
PIECES, PIECE = 32, 1 << 16
"""Of a file, so many pieces of so many bytes are looked at, and its length: reading all of it could take minutes."""


def fingerprint(config: VideoConfig, settings: StyleSettings, clip: list[Path]) -> dict[str, Any]:
    """By the names of the options; `clip` are the files that the film is made from, none of a URL.

    Raises:
        OSError: one of the files cannot be read.
    """
    facts: dict[str, Any] = {"version of nst_video": __version__}
    for given in (config, settings):
        for field in dataclasses.fields(given):
            if field.name not in INDIFFERENT:
                facts[option_name(field.name)] = _plain(getattr(given, field.name))
    facts["clip"] = [_pieces(path) for path in clip] or zlib.crc32(
        str(config.clip).encode()
    )  # a URL may hold a password
    return facts


def _plain(value: Any) -> Any:
    """As JSON has it; a file by what is in it, not by its name."""
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Path):
        return _pieces(value)
    return str(value) if isinstance(value, Fraction) else value


def _pieces(path: Path) -> list[int]:
    with path.open("rb") as file:
        size, checksum = file.seek(0, 2), 0
        for piece in range(PIECES):
            file.seek(max(0, size - PIECE) * piece // (PIECES - 1))
            checksum = zlib.crc32(file.read(PIECE), checksum)
        return [size, checksum]
