"""What becomes of a live painting: shown, recorded, kept, sent on; and what keys and sliders do to it."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from nst_video.canvas import View
from nst_video.controls import Act, Command, Knobs
from nst_video.darkroom import Darkroom, Exposure, Keep
from nst_video.errors import NstVideoError
from nst_video.frame import Frame, LiveSource, Pixels
from nst_video.painting import Painted
from nst_video.settings import LiveConfig, StyleSettings
from nst_video.sinks import Album, Recorder, VirtualCamera
from nst_video.window import Window

FLASH_S = 0.25
NOTICE_S = 3.0
STATUS_S = 0.5
"""The status line's figures stand still for so long, to be readable."""
COUNTDOWN_S = 3
RECORDED_RATE = Fraction(30)
SNAPSHOTS = Path("snapshots")


@dataclass(frozen=True)
class Moment:
    """A frame, what was painted of it, and when it came (`time.perf_counter`)."""

    frame: Frame
    painted: Painted
    came_at: float


class Show:
    """For the main thread, but for `knobs` and `hold`, which the threads that paint ask.

    `darkroom` makes one, given what is done with its pictures; `machine` names network and device.

    Raises:
        SinkError: no window, recording or virtual camera can be had.
    """

    def __init__(
        self,
        config: LiveConfig,
        settings: StyleSettings,
        source: LiveSource,
        *,
        darkroom: Callable[[Keep], Darkroom],
        machine: str,
    ) -> None:
        self._config, self._source, self._machine = config, source, machine
        self.knobs = self._initial = Knobs(_with_style(settings, 0, len(config.style)), config.size)
        self.kept: list[Path] = []
        self._closed = False
        self._style = 0
        self._mirror = source.mirrored if config.mirror is None else config.mirror
        self._paused = False
        self._coming: Pixels | None = None
        self._moment: Moment | None = None
        self._pace = _Pace()
        self._message = _Message()
        self._countdown = config.countdown
        self._due: float | None = None  # a snapshot's time
        self._flashed = -math.inf
        self._album = Album(config.snapshot_dir or SNAPSHOTS)
        self._saver = ThreadPoolExecutor(1, "save")
        self._saving = deque[Future[Path]]()
        self._darkroom = darkroom(self._keep_developed)
        self._recorder: Recorder | None = None
        self._finishing = list[Recorder]()
        self._recording_since = 0.0
        self._camera: VirtualCamera | None = None
        self._window: Window | None = None
        width, height = source.info.width, source.info.height
        try:
            if config.virtual_camera:
                self._camera = VirtualCamera(width, height, float(RECORDED_RATE))
            if config.record is not None:
                self._start_recording(config.record)
            if not config.headless:
                self._window = Window("nst_video", width, height, self._initial)
                self._message.say(source.description)
        except BaseException:
            self.close()
            raise

    def hold(self, frame: Frame) -> Frame:
        """The frame to be painted: this one, or, while the picture is to hold still, the last one before that."""
        if self._paused and self._coming is not None:
            return replace(frame, pixels=self._coming)
        self._coming = frame.pixels
        return frame

    def take(self, frame: Frame, painted: Painted, came_at: float) -> None:
        """A frame is painted."""
        self._moment = Moment(frame, painted, came_at)
        self._pace.painted(time.perf_counter() - came_at, painted.iterations)
        if self._recorder is not None:
            self._recorder.add(self._seen(painted.pixels), came_at)
        if self._camera is not None:
            self._camera.send(painted.pixels)  # others do not see us in a mirror

    def go_on(self) -> bool:
        """See to everything that is not painting; whether to go on at all."""
        now = time.perf_counter()
        if self._due is not None and now >= self._due:
            self._due = None
            self._snapshot()
        self._hear_of_files()
        if self._window is None:
            return True
        self._window.show(self._view(now))
        commands, self.knobs = self._window.poll()
        for command in commands:
            if command.act is Act.QUIT:
                return False
            self._obey(command)
        return True

    def close_window(self) -> None:
        """People want it gone at once, whatever there is left to do."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def close(self) -> None:
        """Bring everything that is being written to its end.

        Raises:
            WorkError: the recording that was asked for, or a snapshot, could not be written.
        """
        if self._closed:
            return
        self._closed = True
        self.close_window()
        if self._recorder is not None:
            self._stop_recording()
        if self._config.headless and self._config.snapshot_dir is not None:
            self._snapshot()
        self._darkroom.close()
        self._saver.shutdown()
        if self._camera is not None:
            self._camera.close()
        self.kept += [path for recorder in self._finishing if (path := recorder.result()) is not None]
        self.kept += [future.result() for future in self._saving]
        self._finishing, self._saving = [], deque()
        error = self._darkroom.take_error()
        if error is not None:
            raise error

    # What the keys do

    def _obey(self, command: Command) -> None:
        act = command.act
        if act is Act.SNAPSHOT:
            self._due = time.perf_counter() + self._countdown
        elif act is Act.DEVELOP:
            self._develop()
        elif act is Act.TIMER:
            self._countdown = 0 if self._countdown else COUNTDOWN_S
            self._message.say(f"snapshots count down from {self._countdown}" if self._countdown else "no countdown")
        elif act is Act.RECORD:
            if self._recorder is None:
                self._record_by_key()
            else:
                self._stop_recording()
        elif act is Act.NEXT:
            self._choose_style(self._style + 1)
        elif act is Act.PREVIOUS:
            self._choose_style(self._style - 1)
        elif act is Act.PICK:
            if command.number < len(self._config.style):
                self._choose_style(command.number)
            else:
                self._message.say(f"there is no style {command.number + 1}; give more with --style")
        elif act is Act.MIRROR:
            self._mirror = not self._mirror
        elif act is Act.PAUSE:
            self._paused = not self._paused
        elif act is Act.RESET:
            settings = _with_style(self._initial.settings, self._style, len(self._config.style))
            self.knobs = Knobs(settings, self._initial.size, self.knobs.begun + 1)

    def _choose_style(self, number: int) -> None:
        count = len(self._config.style)
        self._style = number % count
        self.knobs = replace(self.knobs, settings=_with_style(self.knobs.settings, self._style, count))
        self._message.say(self._style_name)

    def _catch(self) -> Moment | None:
        """This moment, with a flash."""
        if self._moment is None:
            self._message.say("nothing is painted yet")
        else:
            self._flashed = time.perf_counter()
        return self._moment

    def _snapshot(self) -> None:
        moment = self._catch()
        if moment is not None:
            pixels, source = self._seen(moment.painted.pixels), self._seen(moment.frame.pixels)
            self._saving.append(self._saver.submit(self._album.keep, pixels, source, self._facts(moment)))

    def _develop(self) -> None:
        moment = self._catch()
        if moment is not None:
            painting, settings, facts = moment.painted.unfinished, self.knobs.settings, self._facts(moment)
            self._darkroom.develop(Exposure(moment.frame.pixels, painting, settings, self._mirror, facts))

    def _keep_developed(self, pixels: Pixels, exposure: Exposure, iterations: int) -> None:
        source = exposure.frame
        if exposure.mirrored:
            pixels, source = _mirrored(pixels), _mirrored(source)
        facts = {**exposure.facts, "size": max(source.shape[:2]), "developed_iterations": iterations}
        self._saving.append(self._saver.submit(self._album.keep, pixels, source, facts, kind="_developed"))

    def _record_by_key(self) -> None:
        try:
            self._album.folder.mkdir(parents=True, exist_ok=True)
            self._start_recording(self._album.new_name(".mp4"))
        except (NstVideoError, OSError) as error:
            self._message.say(f"cannot record: {error}")

    def _start_recording(self, output: Path) -> None:
        info = self._source.info
        self._recorder = Recorder(output, info.width, info.height, frame_rate=RECORDED_RATE)
        self._recording_since = time.perf_counter()

    def _stop_recording(self) -> None:
        assert self._recorder is not None
        self._recorder.finish()
        self._finishing.append(self._recorder)
        self._recorder = None

    def _hear_of_files(self) -> None:
        """Say what has been written, and what could not be."""
        while self._saving and self._saving[0].done():
            self._tell(self._saving.popleft().result)
        for recorder in [recorder for recorder in (*self._finishing, self._recorder) if recorder and recorder.finished]:
            if recorder is self._recorder:  # it has failed
                self._recorder = None
            else:
                self._finishing.remove(recorder)
            self._tell(recorder.result)
        error = self._darkroom.take_error()
        if error is not None:
            self._message.say(f"not developed: {error}")

    def _tell(self, written: Callable[[], Path | None]) -> None:
        try:
            path = written()
        except NstVideoError as error:
            if self._window is None:
                raise
            self._message.say(str(error))
            return
        if path is None:
            self._message.say("nothing was recorded")
        else:
            self.kept.append(path)
            self._message.say(f"kept {path}")

    # What is seen

    def _view(self, now: float) -> View:
        moment = self._moment
        source = self._coming if moment is None else moment.frame.pixels
        return View(
            painted=None if moment is None else moment.painted.pixels,
            source=source,
            mirrored=self._mirror,
            knobs=self.knobs,
            status=self._status(),
            about=self._source.description,
            notice=self._source.notice
            or self._message.text
            or ("the first picture is forming" if not moment else None),
            recording=None if self._recorder is None else int(now - self._recording_since),
            count=None if self._due is None else math.ceil(self._due - now),
            flash=max(0.0, 1 - (now - self._flashed) / FLASH_S),
        )

    def _status(self) -> str:
        size = self.knobs.size
        style = (
            self._style_name
            if len(self._config.style) == 1
            else (f"{self._style_name} {self._style + 1}/{len(self._config.style)}")
        )
        parts = [self._pace.text, self._machine, f"{size} px", style]
        parts += ["holding still"] if self._paused else []
        parts += [self._darkroom.progress or ""]
        return " · ".join(part for part in parts if part)

    @property
    def _style_name(self) -> str:
        return self._config.style[self._style].stem

    def _seen(self, pixels: Pixels) -> Pixels:
        return _mirrored(pixels) if self._mirror else pixels

    def _facts(self, moment: Moment) -> dict[str, Any]:
        return {
            "time": datetime.now().astimezone().isoformat(timespec="seconds"),
            "source": self._source.description,
            "frame": moment.frame.index,
            "mirrored": self._mirror,
            "style": str(self._config.style[self._style]),
            "network": self._config.network,
            "size": self.knobs.size,
            "settings": dataclasses.asdict(self.knobs.settings),
        }


class _Message:
    """A few words that are shown for a while."""

    def __init__(self) -> None:
        self._text, self._until = "", 0.0

    def say(self, text: str) -> None:
        self._text, self._until = text, time.perf_counter() + NOTICE_S

    @property
    def text(self) -> str | None:
        return self._text if time.perf_counter() < self._until else None


class _Pace:
    """How fast it goes, over the last two seconds, in words."""

    def __init__(self) -> None:
        self._recent = deque[tuple[float, float, int]]()
        self._text, self._told = "", -math.inf

    def painted(self, delay: float, iterations: int) -> None:
        now = time.perf_counter()
        self._recent.append((now, delay, iterations))
        while now - self._recent[0][0] > 2:
            self._recent.popleft()

    @property
    def text(self) -> str:
        now = time.perf_counter()
        if now - self._told > STATUS_S and self._recent:
            (first, *_), (last, *_) = self._recent[0], self._recent[-1]
            count = len(self._recent)
            rate = (count - 1) / (last - first) if last > first and now - last < 2 else 0.0
            delay = sum(delay for _, delay, _ in self._recent) / count
            iterations = sum(iterations for *_, iterations in self._recent) / count
            self._text = f"{rate:.0f} fps · {iterations:.0f} it · {1000 * delay:.0f} ms"
            self._told = now
        return self._text


def _with_style(settings: StyleSettings, number: int, count: int) -> StyleSettings:
    return replace(settings, style_blend=tuple(float(number == other) for other in range(count)))


def _mirrored(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.flip(pixels, 1), np.uint8)
