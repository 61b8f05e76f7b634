"""Where results go: films, pictures, recordings and snapshots of what is live, a virtual camera.

Files are written beside their name and take it only when they are whole.
"""

from __future__ import annotations

import json
import os
import queue
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import imageio.v3 as imageio
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nst_video import container, matroska
from nst_video.errors import NstVideoError, SinkError, WorkError
from nst_video.frame import Pixels
from nst_video.pictures import NOTE, numbered


def check_film(output: Path, clip: list[Path], others: tuple[Path, ...] = (), *, resumes: bool = False) -> None:
    """The same for a film of `clip`, which may also be pictures in a row, `frames/%05d.png`. Those must not be mixed
    with others, unless the run `resumes` one that has written some, and never with those that they are made from.

    Raises:
        SinkError: as `check_output`; there are such pictures already.
    """
    if not container.is_row(output):
        if output.suffix.lower() not in container.FILM_SUFFIXES:
            known = ", ".join(container.FILM_SUFFIXES)
            raise SinkError(f"cannot write {output}: its name must end in {known}, or be like frames/%05d.png")
        check_output(output, None, (*clip, *others))
        return
    check_output(output, None)
    if len(clip) > 1 and output.parent.resolve() == clip[0].parent.resolve():
        raise SinkError(f"cannot write {output}: the clip's own pictures are there; choose another folder")
    if numbered(output) and not resumes:
        raise SinkError(f"cannot write {output}: there are such pictures already; remove them or choose another folder")


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
        if output.resolve() == path.resolve() or (output.exists() and path.exists() and output.samefile(path)):
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
    """An H.264 film of evenly spaced frames, in one piece, without sound."""

    def __init__(self, output: Path, width: int, height: int, frame_rate: Fraction, *, crf: int, preset: str) -> None:
        self._output, self._step, self._written, self._done = output, 1 / frame_rate, 0, False
        self._partial = _partial(output)
        self._encoder = container.encode(
            self._partial,
            width,
            height,
            container.choose_encoder(output, "h264", crf, preset=preset),
            per_second=container.units(frame_rate, self._step),
            muxer=container.container_of(output).muxer,
        )
        self._encoder.feed(matroska.head(width, height, frame_rate))

    def write(self, pixels: Pixels) -> None:
        """Append a frame. Raises WorkError if the encoder has died."""
        head = matroska.block(self._written * self._step, self._step, pixels.nbytes)
        self._encoder.feed(head, pixels)
        self._written += 1

    def close(self) -> None:
        """Finish the film and give it its name.

        Raises:
            WorkError: the encoder failed; nothing is left behind.
        """
        if self._encoder.finish():
            self._partial.unlink(missing_ok=True)
            raise WorkError(f"cannot write {self._output}: {self._encoder.complaint()}")
        self._done = True
        _rename(self._partial, self._output)

    def discard(self) -> None:
        """Give up: nothing is left behind. A film that was finished stays."""
        self._encoder.kill()
        if not self._done:
            self._partial.unlink(missing_ok=True)


def write_picture(output: Path, pixels: Pixels, facts: Mapping[str, Any] | None = None) -> None:
    """Write one picture, in the format of its suffix. `facts` go into a PNG, as JSON in the text chunk `NOTE`.

    Raises:
        WorkError: it could not be written.
    """
    if facts is not None and output.suffix.lower() == ".png":
        _write_png(output, pixels, facts)
        return
    with _whole(output) as partial:
        imageio.imwrite(partial, pixels, plugin="pillow", quality=95)  # formats without loss ignore the quality


def write_file(output: Path, content: bytes) -> None:
    """Write a file that is complete already.

    Raises:
        WorkError: it could not be written.
    """
    with _whole(output) as partial:
        partial.write_bytes(content)


class Recorder:
    """A film of what is live, written in a thread of its own, that plays as fast as things happened.

    Every picture is shown until the next one's time has come, however seldom they come. Nobody waits for it: what it
    cannot take at once is left out and counted in `dropped`.
    """

    def __init__(self, output: Path, width: int, height: int, *, frame_rate: Fraction = Fraction(30)) -> None:
        self.output, self.dropped = output, 0
        self._trouble: NstVideoError | None = None
        self._written = False
        self._size, self._rate = (width, height), frame_rate
        self._writer = VideoWriter(output, width, height, frame_rate, crf=20, preset="veryfast")
        self._waiting: queue.Queue[tuple[Pixels, float]] = queue.Queue(maxsize=8)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="record", daemon=True)
        self._thread.start()

    def add(self, pixels: Pixels, seconds: float) -> None:
        """What is to be seen from `seconds` on, by any steady clock."""
        try:
            self._waiting.put_nowait((pixels, seconds))
        except queue.Full:
            self.dropped += 1

    def finish(self) -> None:
        """Let it come to its end, without waiting for that."""
        self._ending.set()

    @property
    def finished(self) -> bool:
        """Whether the film is whole, or has failed."""
        return not self._thread.is_alive()

    def result(self) -> Path | None:
        """Finish the film and answer where it is; None if there was nothing to record.

        Raises:
            WorkError: it could not be written; then nothing of it is left behind.
        """
        self.finish()
        self._thread.join()
        if self._trouble is not None:
            raise self._trouble
        return self.output if self._written else None

    def _write_all(self) -> None:
        try:
            begun, written = 0.0, 0
            last: Pixels | None = None
            for pixels, seconds in self._arriving():
                begun = seconds if last is None else begun
                due = max(1, round((seconds - begun) * self._rate))
                while last is not None and written < due:
                    self._writer.write(last)
                    written += 1
                last = self._fitting(pixels)
            if last is not None:
                self._writer.write(last)
                self._writer.close()
                self._written = True
        except NstVideoError as error:
            self._trouble = error
        finally:
            self._writer.discard()

    def _arriving(self) -> Iterator[tuple[Pixels, float]]:
        while True:
            ending = self._ending.is_set()  # asked before: what was added in time is still taken
            try:
                yield self._waiting.get(timeout=0.1)
            except queue.Empty:
                if ending:
                    return

    def _fitting(self, pixels: Pixels) -> Pixels:
        """A camera that came back may have another resolution."""
        if pixels.shape[1::-1] == self._size:
            return pixels
        return np.asarray(cv2.resize(pixels, self._size, interpolation=cv2.INTER_AREA), np.uint8)


class Album:
    """A folder of snapshots: PNG files named by the time, each with its facts inside and the source beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._named = set[Path]()

    @staticmethod
    def check(folder: Path) -> None:
        """Find out early whether it can be written to; it need not be there yet.

        Raises:
            SinkError: it cannot.
        """
        there = folder
        while not there.exists() and there != there.parent:
            there = there.parent
        if not there.is_dir():
            raise SinkError(f"cannot keep snapshots in {folder}: {there} is no folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise SinkError(f"cannot keep snapshots in {folder}: {there} is write-protected")

    def keep(self, pixels: Pixels, source: Pixels, facts: Mapping[str, Any], *, kind: str = "") -> Path:
        """Write a picture and, with "-source" behind its name, what was painted; answer where.

        `facts` are written into the picture, as JSON in the text chunk `NOTE`.

        Raises:
            WorkError: it could not be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkError(f"cannot make the folder {self.folder}: {error.strerror}") from None
        path = self.new_name(".png", kind=kind)
        _write_png(path, pixels, facts)
        _write_png(path.with_stem(f"{path.stem}-source"), source, {"source_of": path.name})
        return path

    def new_name(self, suffix: str, *, kind: str = "") -> Path:
        """A name by the time that no file in the folder has yet, nor was given to one that is still being written."""
        name = datetime.now().strftime("%Y-%m-%d_%H-%M-%S") + kind
        path, number = self.folder / f"{name}{suffix}", 1
        while path.exists() or path in self._named:
            number += 1
            path = self.folder / f"{name}_{number}{suffix}"
        self._named.add(path)
        return path


def _write_png(path: Path, pixels: Pixels, facts: Mapping[str, Any]) -> None:
    notes = PngInfo()
    notes.add_text("Software", "nst_video")
    notes.add_text(NOTE, json.dumps(facts))
    with _whole(path) as partial:
        Image.fromarray(np.ascontiguousarray(pixels)).save(partial, pnginfo=notes, compress_level=3)


class VirtualCamera:
    """A camera that other programs see, by pyvirtualcam.

    Raises:
        SinkError: pyvirtualcam is not installed, or there is no virtual camera on this machine.
    """

    def __init__(self, width: int, height: int, frame_rate: float) -> None:
        self._size = width, height
        try:
            import pyvirtualcam
        except ImportError:
            raise SinkError("--virtual-camera needs pyvirtualcam: pip install pyvirtualcam") from None
        try:
            self._camera = pyvirtualcam.Camera(width=width, height=height, fps=frame_rate)
        except RuntimeError as error:
            why = " ".join(str(error).split())
            raise SinkError(f"--virtual-camera: {why}") from None
        self.name = str(self._camera.device)

    def send(self, pixels: Pixels) -> None:
        """Show this until the next one comes."""
        if pixels.shape[1::-1] != self._size:
            pixels = np.asarray(cv2.resize(pixels, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        self._camera.send(np.ascontiguousarray(pixels))

    def close(self) -> None:
        self._camera.close()


@contextmanager
def _whole(output: Path) -> Iterator[Path]:
    """A name to write to, which becomes `output` once that is done; whatever goes wrong, nothing is left of it.

    Raises:
        WorkError: it could not be written.
    """
    partial = _partial(output)
    try:
        yield partial
    except BaseException as error:  # Ctrl-C, too
        partial.unlink(missing_ok=True)
        if isinstance(error, (OSError, ValueError)):  # a full disk; more pixels than the format has room for
            raise WorkError(f"cannot write {output}: {getattr(error, 'strerror', None) or error}") from None
        raise
    _rename(partial, output)


def _rename(partial: Path, output: Path) -> None:
    """Give a whole result its name; where that fails (a player holds the old one open), it is kept and named."""
    try:
        os.replace(partial, output)
    except OSError as error:
        raise WorkError(f"cannot replace {output}: {error.strerror}; the result is in {partial}") from None
