"""Where results go: a film or a picture. Both are written beside their name and take it only when they are whole."""

from __future__ import annotations

import os
import tempfile
from fractions import Fraction
from pathlib import Path

import imageio.v3 as imageio

from nst_video import ffmpeg
from nst_video.errors import SinkError, WorkError
from nst_video.frame import Frame, Pixels

FILM_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")


def check_output(output: Path, suffixes: tuple[str, ...] | None, inputs: tuple[Path, ...] = ()) -> None:
    """Find out before the work starts whether `output` can be written.

    Raises:
        SinkError: its suffix is not one of `suffixes` (None: any will do), it is one of `inputs`, its folder is
            missing or cannot be written to.
    """
    if suffixes is not None and output.suffix.lower() not in suffixes:
        raise SinkError(f"cannot write {output}: its name must end in {', '.join(suffixes)}")
    if output.is_dir():
        raise SinkError(f"cannot write {output}: it is a folder")
    if not output.parent.is_dir():
        raise SinkError(f"cannot write {output}: there is no folder {output.parent}")
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise SinkError(f"cannot write {output}: it is the input; choose another name")
    try:
        with tempfile.TemporaryFile(dir=output.parent):
            pass
        if output.exists() and not os.access(output, os.W_OK):
            raise PermissionError(13, "the file is write-protected")
    except OSError as error:
        raise SinkError(f"cannot write {output}: {error.strerror}") from None


def _partial(output: Path) -> Path:
    """The name that `output` has until it is whole; no other run and no file of the user's has it."""
    return output.with_name(f".{output.stem}.{os.getpid()}.partial{output.suffix}")


class VideoWriter:
    """An H.264 or H.265 film with the sound of `audio_from`, if given, from `start` on."""

    def __init__(
        self,
        output: Path,
        width: int,
        height: int,
        frame_rate: Fraction,
        *,
        codec: str,
        crf: int,
        audio_from: Path | None = None,
        start: float = 0.0,
        duration: float | None = None,
    ) -> None:
        self._output, self._frame_rate, self._written, self._done = output, frame_rate, 0, False
        self._partial = _partial(output)
        self._encoder = ffmpeg.encode(
            self._partial,
            width,
            height,
            frame_rate.as_integer_ratio(),
            codec=codec,
            crf=crf,
            audio_from=audio_from,
            copy_audio=audio_from is None or ffmpeg.audio_fits(audio_from, self._partial),
            start=start,
            duration=duration,
        )

    def write(self, frame: Frame) -> None:
        """Append a frame. Raises WorkError if the encoder has died."""
        self._encoder.feed(frame.pixels)
        self._written += 1

    def close(self, *, interrupted: bool = False) -> None:
        """Finish the film and give it its name; an interrupted one's sound ends with its picture.

        Raises:
            WorkError: the encoder failed; nothing is left behind.
        """
        if self._encoder.finish():
            self._partial.unlink(missing_ok=True)
            raise WorkError(f"cannot write {self._output}: {self._encoder.complaint()}")
        if interrupted:
            ffmpeg.cut(self._partial, float(self._written / self._frame_rate))
        self._done = True
        _rename(self._partial, self._output)

    def discard(self) -> None:
        """Give up: nothing is left behind. A film that was finished stays."""
        self._encoder.kill()
        if not self._done:
            self._partial.unlink(missing_ok=True)


def write_picture(output: Path, pixels: Pixels) -> None:
    """Write one picture, in the format of its suffix.

    Raises:
        WorkError: it could not be written.
    """
    partial = _partial(output)
    try:
        imageio.imwrite(partial, pixels, plugin="pillow", quality=95)  # formats without loss ignore the quality
    except (OSError, ValueError) as error:  # a full disk; more pixels than the format has room for
        partial.unlink(missing_ok=True)
        raise WorkError(f"cannot write {output}: {getattr(error, 'strerror', None) or error}") from None
    _rename(partial, output)


def _rename(partial: Path, output: Path) -> None:
    """Give a whole result its name; where that fails (a player holds the old one open), it is kept and named."""
    try:
        os.replace(partial, output)
    except OSError as error:
        raise WorkError(f"cannot replace {output}: {error.strerror}; the result is in {partial}") from None
