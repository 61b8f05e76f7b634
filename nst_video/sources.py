"""Where frames come from: a video file, as fast as it can be read or as fast as it plays."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # before cv2: its decoder writes to stderr past Python

import cv2

from nst_video import ffmpeg
from nst_video.errors import SettingsError, SourceError, WorkError
from nst_video.frame import Frame, StreamInfo

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # and its warnings too: `probe` says what is wrong


class VideoFile:
    """The first video stream of a file, from `start` to `end` seconds, upright and with square pixels.

    Raises:
        SourceError: there is no such file, or ffmpeg finds no video in it.
        SettingsError: `start` lies behind the clip's end.
    """

    def __init__(self, path: Path, *, start: float = 0.0, end: float | None = None) -> None:
        self.info = probe(path, start=start, end=end)
        self._path, self._start = path, start
        self._duration = None if end is None else end - start
        self._decoder: ffmpeg.Ffmpeg | None = None

    def __iter__(self) -> Iterator[Frame]:
        self._decoder = ffmpeg.decode(
            self._path, self.info.width, self.info.height, start=self._start, duration=self._duration
        )
        time_base = 1 / self.info.frame_rate
        try:
            index = -1
            for index, pixels in enumerate(self._decoder.frames(self.info.width, self.info.height)):
                yield Frame(pixels, index, index, time_base)
            if index < 0:
                raise WorkError(f"cannot decode {self._path}: there is not a single frame in it")
        finally:
            self.close()

    def close(self) -> None:
        if self._decoder is not None:
            self._decoder.kill()


class PlayedFile(VideoFile):
    """The same, each frame when it is due, as if a camera saw it."""

    mirrored = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.description = f"{path.name}, {self.info.width}x{self.info.height} at {float(self.info.frame_rate):.3g}"
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        begun = time.monotonic()
        for frame in super().__iter__():
            if not self._closed.wait(max(0.0, begun + frame.seconds - time.monotonic())):
                yield frame
            if self._closed.is_set():
                return

    @property
    def notice(self) -> None:
        """A file does not fall silent."""

    def close(self) -> None:
        self._closed.set()
        super().close()


def probe(path: Path, *, start: float = 0.0, end: float | None = None) -> StreamInfo:
    """Shape, rate and length of a video file, between `start` and `end` seconds.

    Raises:
        SourceError: there is no such file, or no video in it.
        SettingsError: `start` lies behind the clip's end.
    """
    if not path.is_file():
        raise SourceError(f"no video file {path}")
    capture = cv2.VideoCapture(ffmpeg.plain(path), cv2.CAP_FFMPEG)
    try:
        packets = ffmpeg.packets(path) if capture.isOpened() else None
        if packets is None or not packets.times:
            raise SourceError(f"{path} is not a video that ffmpeg can read")
        width, height, rate, declared = (
            capture.get(key)
            for key in (
                cv2.CAP_PROP_FRAME_WIDTH,
                cv2.CAP_PROP_FRAME_HEIGHT,
                cv2.CAP_PROP_FPS,
                cv2.CAP_PROP_FRAME_COUNT,
            )
        )
        aspect = _pixel_aspect(capture)
    finally:
        capture.release()
    stop = packets.end if end is None else min(end, packets.end)
    count = sum(start <= time < stop for time in packets.times)
    if not count:
        raise SettingsError(f"--start must lie within the clip's {packets.end:.2f} s, not at {start:g} s")
    # 23.976 must come out as 24000/1001: rounded, the film drifts away from its sound.
    frame_rate = Fraction(rate).limit_denominator(1001) if 0 < rate <= 1000 else Fraction(25)
    if abs(count / frame_rate - (stop - start)) > max(0.01 * (stop - start), 1.5 / frame_rate):
        # A variable rate, of which the container tells the largest or a guess: the film shall last as long as the clip.
        frame_rate = Fraction(count / (stop - start)).limit_denominator(1001)
    if packets.damaged and start == 0 and end is None:
        count = max(count, int(declared))
    return StreamInfo(round(width * aspect), int(height), frame_rate, count)


def _pixel_aspect(capture: cv2.VideoCapture) -> Fraction:
    """Width of a displayed pixel by its height, the picture being upright."""
    across, down = (int(capture.get(key)) for key in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN))
    if across <= 0 or down <= 0:
        return Fraction(1)
    turned = round(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 180 == 90
    return Fraction(down, across) if turned else Fraction(across, down)
