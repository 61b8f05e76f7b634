"""Cameras and streams: what may fall silent and come back. Each is taken up again until it is closed."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, suppress
from fractions import Fraction
from pathlib import Path

# Before a camera is opened: one that stalls is given up after so many seconds, not ten; Windows opens cameras at once.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "3")
os.environ.setdefault("OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS", "0")

import cv2
import numpy as np

from nst_video import ffmpeg
from nst_video.errors import NstVideoError, SourceError
from nst_video.fetch import shown
from nst_video.frame import Frame, LiveSource, Pixels, StreamInfo
from nst_video.settings import MAX_PIXELS
from nst_video.sources import PlayedFile

PATIENCE_S = 4.0
"""Without a picture for so long, a source is given up, and taken up again."""
QUIET_S = 1.0
"""Without a picture for so long, people are told."""
RETRY_S = 0.3
"""Between two attempts to take up a source that refuses at once."""
MOST_CAMERAS = 8  # looked for where the system does not list them
TIME_BASE = Fraction(1, 1000)

_BACKENDS = {"linux": cv2.CAP_V4L2, "darwin": cv2.CAP_AVFOUNDATION, "win32": cv2.CAP_DSHOW}


def open_source(
    camera: int | None,
    source: str | None,
    *,
    size: tuple[int, int] = (1280, 720),
    frame_rate: float = 30.0,
    max_pixels: int = MAX_PIXELS,
) -> LiveSource:
    """The camera with this number, or what `source` names: a URL, a named pipe, a video file.

    `size` (width, height) and `frame_rate` are what a camera is asked for; a file may have so many pixels.

    Raises:
        SourceError: it is not there, or sends no picture.
    """
    if source is None:
        return Camera(camera or 0, size=size, frame_rate=frame_rate)
    if "://" in source:
        return Stream(source, shown(source))
    path = Path(source)
    if path.exists() and stat.S_ISFIFO(path.stat().st_mode):
        return Stream(ffmpeg.plain(path), path.name)
    return PlayedFile(path, max_pixels=max_pixels)


class Feed(ABC):
    """A live source that is opened when it is made, and again whenever it ends or falls silent."""

    mirrored = True
    info: StreamInfo

    def __init__(self, name: str) -> None:
        self.name = name
        self._closed = threading.Event()
        self._heard = time.monotonic()
        self._pictures: Iterator[Pixels] = iter(())
        self._connected = False

    def _connect(self) -> None:
        """To be called once the object is whole: wait for the first picture."""
        self._pictures = self._receive()
        first = next(self._pictures, None)
        if first is None:
            raise SourceError(f"{self.name} sends no picture")
        self._heard = time.monotonic()
        self.info = StreamInfo(first.shape[1], first.shape[0], self._frame_rate(), 0)
        self._connected = True

    @abstractmethod
    def _receive(self) -> Iterator[Pixels]:
        """Open it and yield its pictures until it ends. Raises SourceError if it cannot be opened."""

    def _frame_rate(self) -> Fraction:
        return Fraction(30)

    @property
    def description(self) -> str:
        return f"{self.name}, {self.info.width}x{self.info.height}"

    @property
    def notice(self) -> str | None:
        silent = time.monotonic() - self._heard
        return f"{self.name} sends nothing: trying again … {silent:.0f} s" if silent > QUIET_S else None

    def __iter__(self) -> Iterator[Frame]:
        begun, index = time.monotonic(), 0
        while True:
            try:
                with closing(self._pictures) as pictures:  # type: ignore[type-var]
                    for pixels in pictures:
                        if self._closed.is_set():
                            return
                        self._heard = time.monotonic()
                        yield Frame(pixels, index, round((self._heard - begun) / TIME_BASE), TIME_BASE)
                        index += 1
            except NstVideoError:
                pass  # `notice` tells of it
            if self._closed.wait(RETRY_S):
                return
            self._pictures = self._receive()

    def close(self) -> None:
        self._closed.set()


class Stream(Feed):
    """A URL or a named pipe, received by ffmpeg, which is ended when it is silent for too long."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(name)
        self._url = url
        self._receiver: ffmpeg.Ffmpeg | None = None
        self._waiting_since: float | None = None
        self._given_up = False
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def _receive(self) -> Iterator[Pixels]:
        self._receiver = receiver = ffmpeg.stream(self._url)
        if self._closed.is_set():  # meanwhile: `close` has not seen this one
            receiver.end()
        some, self._given_up = False, False
        self._waiting_since = time.monotonic()
        try:
            for picture in receiver.pictures():
                some, self._waiting_since = True, None  # whoever asks for pictures may take his time
                yield picture
                self._waiting_since = time.monotonic()
            if not some:
                receiver.finish(timeout=PATIENCE_S)
                why = f"nothing came within {PATIENCE_S:g} s" if self._given_up else receiver.complaint()
                raise SourceError(f"cannot receive {self.name}: {why}")
        finally:
            self._waiting_since = None
            receiver.kill()

    def _watch(self) -> None:
        while not self._closed.wait(0.1):
            since = self._waiting_since
            if since is not None and time.monotonic() - since > PATIENCE_S and self._receiver is not None:
                self._waiting_since, self._given_up = None, True
                self._receiver.end()

    def close(self) -> None:
        super().close()
        if self._receiver is not None:
            self._receiver.end()


class Camera(Feed):
    """A camera of this machine, by its number."""

    def __init__(self, number: int, *, size: tuple[int, int], frame_rate: float) -> None:
        super().__init__(f"camera {number}")
        self._number, self._size, self._wanted_rate = number, size, frame_rate
        self._rate = 0.0
        self._connect()

    def _receive(self) -> Iterator[Pixels]:
        capture = cv2.VideoCapture(self._number, _BACKENDS.get(sys.platform, cv2.CAP_ANY))
        try:
            if not capture.isOpened():
                raise SourceError(f"{self.name} is gone" if self._connected else _no_camera(self._number))
            if sys.platform == "linux":  # uncompressed, most have a few frames a second at this size
                capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
            capture.set(cv2.CAP_PROP_FPS, self._wanted_rate)
            self._rate = capture.get(cv2.CAP_PROP_FPS)
            while True:
                there, picture = capture.read()
                if not there or self._closed.is_set():
                    return
                yield np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
        finally:
            capture.release()

    @property
    def description(self) -> str:
        width, height = self._size
        asked = f"{width}x{height} at {self._wanted_rate:.3g}"
        got = f"{self.info.width}x{self.info.height} at {float(self.info.frame_rate):.3g}"
        return f"{self.name}, {got}" + ("" if got == asked else f" (asked for {asked})")

    def _frame_rate(self) -> Fraction:
        rate = self._rate if 0 < self._rate <= 1000 else self._wanted_rate
        return Fraction(rate).limit_denominator(1001)


def cameras() -> dict[int, str]:
    """The cameras of this machine: their numbers and, where the system tells them, their names."""
    if sys.platform == "linux":
        found = {}
        for entry in Path("/sys/class/video4linux").glob("video*"):
            with suppress(OSError):  # just unplugged
                if (entry / "index").read_text().strip() == "0":  # a camera's other entries carry no pictures
                    found[int(entry.name.removeprefix("video"))] = (entry / "name").read_text().strip()
        return dict(sorted(found.items()))
    return {number: f"camera {number}" for number in range(MOST_CAMERAS) if _opens(number)}


def _opens(number: int) -> bool:
    capture = cv2.VideoCapture(number, _BACKENDS.get(sys.platform, cv2.CAP_ANY))
    try:
        return capture.isOpened()
    finally:
        capture.release()


def _no_camera(number: int) -> str:
    found = cameras()
    if number in found:
        return f"camera {number} ({found[number]}) cannot be opened; does another program use it, or may you not?"
    there = ", ".join(f"{key} ({name})" for key, name in found.items())
    return f"there is no camera {number}; " + (
        f"there is {there}: choose one with --camera" if there else "nor any other: give a URL or a file by --source"
    )
