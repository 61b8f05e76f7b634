"""What becomes of a live painting, without a window: one that says what it is told to takes its place."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media import decode
from PIL import Image

from nst_video import show
from nst_video.canvas import View
from nst_video.controls import Act, Command, Knobs
from nst_video.darkroom import Darkroom, Exposure
from nst_video.errors import SinkError, WorkError
from nst_video.frame import Frame, Pixels, StreamInfo
from nst_video.painting import Painted
from nst_video.settings import LiveConfig, StyleSettings
from nst_video.show import Show
from nst_video.sinks import Album


class Source:
    """A camera that is asked for nothing but its looks."""

    info = StreamInfo(32, 24, Fraction(30), 0)
    mirrored = True
    description = "camera 0, 32x24 at 30"
    notice: str | None = None

    def __iter__(self) -> Iterator[Frame]:
        return iter(())

    def close(self) -> None:
        pass


class Window:
    """Shows nothing, remembers what it was to show, and asks for what `asks` holds."""

    def __init__(self, title: str, width: int, height: int, initial: Knobs) -> None:
        self.views = list[View]()
        self.asks = list[Command]()
        self.turned: Knobs | None = None
        self.closed = False
        self._knobs = initial
        windows.append(self)

    def show(self, view: View) -> None:
        self.views.append(view)
        self._knobs = view.knobs

    def poll(self) -> tuple[list[Command], Knobs]:
        asked, self.asks = self.asks, []
        knobs, self.turned = self.turned or self._knobs, None
        return asked, knobs

    def close(self) -> None:
        self.closed = True


class Kept:
    """A darkroom that develops at once when it is told to."""

    def __init__(self, keep: Callable[[Pixels, Exposure, int], None]) -> None:
        self.keep, self.exposures, self.closed = keep, list[Exposure](), False
        self.progress: str | None = None
        self.error: BaseException | None = None

    def develop(self, exposure: Exposure) -> None:
        self.exposures.append(exposure)

    def take_error(self) -> BaseException | None:
        error, self.error = self.error, None
        return error

    def close(self) -> None:
        self.closed = True


windows = list[Window]()
LEFT_RED = np.zeros((24, 32, 3), np.uint8)
LEFT_RED[:, :16, 0] = 255
LEFT_GREEN = np.zeros((24, 32, 3), np.uint8)
LEFT_GREEN[:, :16, 1] = 255


class Stage:
    """A show with everything around it that it needs."""

    def __init__(self, folder: Path, **given: Any) -> None:
        windows.clear()
        self.source, self.darkrooms = Source(), list[Kept]()
        styles = tuple(folder / f"{name}.png" for name in ("sea", "sky", "fire"))
        self.config = LiveConfig(**{"style": styles, "snapshot_dir": folder / "kept", **given})
        self.show = Show(self.config, StyleSettings(), self.source, darkroom=self._darkroom, machine="lite · CPU, fp32")
        self.now = 0.0

    def _darkroom(self, keep: Callable[[Pixels, Exposure, int], None]) -> Darkroom:
        self.darkrooms.append(Kept(keep))
        darkroom: Any = self.darkrooms[0]
        return darkroom  # type: ignore[no-any-return]

    @property
    def window(self) -> Window:
        return windows[0]

    @property
    def view(self) -> View:
        return self.window.views[-1]

    def paint(self, came_at: float | None = None) -> None:
        """A frame is painted: its left half green, the frame's left half red."""
        frame = Frame(LEFT_RED, 7, 0, Fraction(1, 30))
        self.show.take(self.show.hold(frame), Painted(LEFT_GREEN, LEFT_GREEN, 3, {}), came_at or time.perf_counter())

    def ask(self, act: Act, number: int = 0) -> bool:
        """A key is pressed, and what follows is seen to; whether it goes on."""
        self.window.asks.append(Command(act, number))
        return self.show.go_on() and self.show.go_on()

    def wait_for(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            self.show.go_on()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Stage]]:
    monkeypatch.setattr(show, "Window", Window)
    made = list[Stage]()

    def make(**given: Any) -> Stage:
        made.append(Stage(tmp_path, **given))
        return made[-1]

    yield make
    for stage in made:
        stage.show.close()


def pixels(path: Path) -> Pixels:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), np.uint8)


def facts(path: Path) -> dict[str, Any]:
    with Image.open(path) as picture:
        return dict(json.loads(picture.info["nst_video"]))


def test_what_is_painted_is_shown_with_what_people_want_to_know(stage: Callable[..., Stage]) -> None:
    scene = stage()
    scene.show.go_on()
    assert scene.view.painted is None
    assert scene.view.notice == "camera 0, 32x24 at 30"
    scene.paint()
    scene.paint()
    assert scene.show.go_on()
    assert scene.view.painted is LEFT_GREEN
    assert scene.view.source is LEFT_RED
    assert scene.view.mirrored
    for part in ("fps", "3 it", "ms", "lite · CPU, fp32", "320 px", "sea 1/3"):
        assert part in scene.view.status
    assert scene.view.recording is scene.view.count is None


def test_before_the_first_painting_the_source_is_seen(stage: Callable[..., Stage]) -> None:
    scene = stage()
    scene.show.hold(Frame(LEFT_RED, 0, 0, Fraction(1)))
    scene.show.go_on()
    assert scene.view.source is LEFT_RED
    assert scene.view.painted is None


def test_a_source_that_falls_silent_is_told_of_before_anything_else(stage: Callable[..., Stage]) -> None:
    scene = stage()
    scene.source.notice = "camera 0 sends nothing"
    scene.show.go_on()
    assert scene.view.notice == "camera 0 sends nothing"


def test_quitting_ends_it(stage: Callable[..., Stage]) -> None:
    scene = stage()
    assert not scene.ask(Act.QUIT)
    scene.show.close_window()
    assert scene.window.closed


@pytest.mark.parametrize(
    ("asked", "style"),
    [
        ([(Act.NEXT, 0)], 1),
        ([(Act.NEXT, 0)] * 3, 0),
        ([(Act.PREVIOUS, 0)], 2),
        ([(Act.PICK, 2)], 2),
        ([(Act.PICK, 1), (Act.PREVIOUS, 0)], 0),
        ([(Act.PICK, 1), (Act.PICK, 5)], 1),  # there is no sixth
        ([(Act.PICK, 2), (Act.PICK, 3)], 2),  # nor a fourth
    ],
)
def test_styles_are_chosen(stage: Callable[..., Stage], asked: list[tuple[Act, int]], style: int) -> None:
    scene = stage()
    for act, number in asked:
        scene.ask(act, number)
    assert scene.show.knobs.settings.style_blend == tuple(float(number == style) for number in range(3))
    assert f"{('sea', 'sky', 'fire')[style]} {style + 1}/3" in scene.view.status
    if asked[-1] in ((Act.PICK, 5), (Act.PICK, 3)):
        assert f"no style {asked[-1][1] + 1}" in (scene.view.notice or "")


def test_sliders_reach_the_painting_and_reset_takes_them_back_and_begins_anew(stage: Callable[..., Stage]) -> None:
    scene = stage()
    scene.ask(Act.NEXT)
    scene.window.turned = Knobs(StyleSettings(hue=30, style_blend=(0, 1, 0)), 480)
    scene.show.go_on()
    assert scene.show.knobs.settings.hue == 30
    assert scene.show.knobs.size == 480
    scene.ask(Act.RESET)
    assert scene.show.knobs.settings == StyleSettings(style_blend=(0, 1, 0))  # the style stays
    assert scene.show.knobs.size == 320
    assert scene.show.knobs.begun == 1


def test_a_snapshot_is_what_is_seen_with_its_facts_and_its_source(stage: Callable[..., Stage]) -> None:
    scene = stage()
    scene.paint()
    scene.ask(Act.SNAPSHOT)
    scene.wait_for(lambda: scene.show.kept)
    (path,) = scene.show.kept
    assert path.parent == scene.config.snapshot_dir
    assert (pixels(path) == LEFT_GREEN[:, ::-1]).all()  # in the mirror
    assert (pixels(path.with_stem(path.stem + "-source")) == LEFT_RED[:, ::-1]).all()
    told = facts(path)
    assert told["style"].endswith("sea.png")
    assert told["settings"]["content_weight"] == 0.05
    assert (told["network"], told["size"], told["frame"], told["mirrored"]) == ("lite", 320, 7, True)
    assert scene.view.notice == f"kept {path}"


def test_a_snapshot_flashes(stage: Callable[..., Stage]) -> None:
    scene = stage()
    scene.paint()
    scene.ask(Act.SNAPSHOT)
    assert max(view.flash for view in scene.window.views) > 0.5


def test_without_a_painting_there_is_no_snapshot(stage: Callable[..., Stage], tmp_path: Path) -> None:
    scene = stage()
    for act in (Act.SNAPSHOT, Act.DEVELOP):
        scene.ask(act)
        assert scene.view.notice == "nothing is painted yet"
    assert not scene.darkrooms[0].exposures
    assert not (tmp_path / "kept").exists()


def test_the_mirror_is_turned_off_and_on(stage: Callable[..., Stage]) -> None:
    scene = stage()
    scene.paint()
    scene.ask(Act.MIRROR)
    assert not scene.view.mirrored
    scene.ask(Act.SNAPSHOT)
    scene.wait_for(lambda: scene.show.kept)
    assert (pixels(scene.show.kept[0]) == LEFT_GREEN).all()
    scene.ask(Act.MIRROR)
    assert scene.view.mirrored


@pytest.mark.parametrize(("wanted", "mirrored"), [(None, True), (True, True), (False, False)])
def test_the_mirror_is_the_sources_affair_unless_it_is_asked_for(
    stage: Callable[..., Stage], wanted: bool | None, mirrored: bool
) -> None:
    scene = stage(mirror=wanted)
    scene.show.go_on()
    assert scene.view.mirrored == mirrored


def test_a_countdown_comes_before_the_snapshot(stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    scene = stage()
    scene.paint()
    clock = time.perf_counter()
    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    scene.ask(Act.TIMER)
    scene.ask(Act.SNAPSHOT)
    counted = list[int | None]()
    for step in (0.0, 0.9, 1.0, 1.0):
        clock += step
        scene.show.go_on()
        counted.append(scene.view.count)
    assert counted == [3, 3, 2, 1]
    assert not scene.show.kept
    clock += 0.2
    scene.wait_for(lambda: scene.show.kept)
    assert scene.view.count is None
    scene.ask(Act.TIMER)
    scene.ask(Act.SNAPSHOT)
    assert scene.view.count is None


def test_holding_still_keeps_the_frame_that_was_seen_last(stage: Callable[..., Stage]) -> None:
    scene = stage()
    first = Frame(LEFT_RED, 0, 0, Fraction(1))
    later = Frame(LEFT_GREEN, 1, 1, Fraction(1))
    assert scene.show.hold(first) is first
    scene.ask(Act.PAUSE)
    assert "holding still" in scene.view.status
    held = scene.show.hold(later)
    assert held.pixels is LEFT_RED
    assert held.index == 1
    scene.ask(Act.PAUSE)
    assert scene.show.hold(later) is later


def test_a_recording_lasts_as_long_as_it_was_recorded(stage: Callable[..., Stage]) -> None:
    scene = stage()
    scene.ask(Act.RECORD)
    assert scene.view.recording == 0
    for number in range(4):
        scene.paint(came_at=100 + number / 4)
    scene.ask(Act.RECORD)
    assert scene.view.recording is None
    scene.wait_for(lambda: scene.show.kept)
    (path,) = scene.show.kept
    assert path.suffix == ".mp4"
    frames = decode(path)
    assert len(frames) == round(0.75 * 30) + 1
    assert frames[0][12, 28, 1] > 200  # in the mirror, the green half is on the right
    assert frames[0][12, 4, 1] < 60


def test_a_recording_that_is_going_on_at_the_end_is_finished(stage: Callable[..., Stage], tmp_path: Path) -> None:
    scene = stage(record=tmp_path / "all.mp4", headless=True, snapshot_dir=None)
    scene.paint(came_at=10)
    scene.paint(came_at=11)
    scene.show.close()
    assert len(decode(tmp_path / "all.mp4")) == 31
    assert scene.show.kept == [tmp_path / "all.mp4"]


def test_a_recording_that_fails_is_told_and_painting_goes_on(
    stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = stage()
    scene.ask(Act.RECORD)
    recorder: Any = scene.show._recorder
    recorder._writer._encoder._process.kill()
    recorder._writer._encoder._process.wait()
    scene.paint(came_at=1)
    scene.paint(came_at=2)
    scene.wait_for(lambda: scene.show._recorder is None)
    scene.show.go_on()
    assert scene.view.recording is None
    assert "cannot write" in (scene.view.notice or "")
    assert scene.show.go_on()


def test_without_a_window_a_recording_that_fails_ends_it(stage: Callable[..., Stage], tmp_path: Path) -> None:
    scene = stage(record=tmp_path / "all.mp4", headless=True, snapshot_dir=None)
    recorder: Any = scene.show._recorder
    recorder._writer._encoder._process.kill()
    recorder._writer._encoder._process.wait()
    scene.paint(came_at=1)
    scene.paint(came_at=2)
    with pytest.raises(WorkError, match="cannot write"):
        scene.wait_for(lambda: False)


def test_a_snapshot_that_cannot_be_written_is_told(
    stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> Path:
        raise WorkError("cannot write x.png: No space left on device")

    monkeypatch.setattr(Album, "keep", full)
    scene = stage()
    scene.paint()
    scene.ask(Act.SNAPSHOT)
    scene.wait_for(lambda: "No space left" in (scene.view.notice or ""))
    assert scene.show.go_on()
    assert not scene.show.kept


def test_a_snapshot_is_developed_as_it_was_seen(stage: Callable[..., Stage]) -> None:
    scene = stage()
    scene.paint()
    scene.ask(Act.DEVELOP)
    darkroom = scene.darkrooms[0]
    (exposure,) = darkroom.exposures
    assert exposure.frame is LEFT_RED
    assert exposure.painting is LEFT_GREEN
    assert exposure.settings == scene.show.knobs.settings
    darkroom.progress = "developing 40 %"
    scene.show.go_on()
    assert "developing 40 %" in scene.view.status
    darkroom.keep(np.repeat(np.repeat(LEFT_GREEN, 2, 0), 2, 1), exposure, 200)
    scene.wait_for(lambda: scene.show.kept)
    (path,) = scene.show.kept
    assert path.stem.endswith("_developed")
    assert pixels(path).shape == (48, 64, 3)
    assert (pixels(path)[:, 32:, 1] == 255).all()  # in the mirror
    assert facts(path)["developed_iterations"] == 200


def test_what_fails_in_the_darkroom_is_told(stage: Callable[..., Stage]) -> None:
    scene = stage()
    scene.darkrooms[0].error = RuntimeError("out of memory")
    scene.ask(Act.MIRROR)
    assert "out of memory" in (scene.view.notice or "")


def test_without_a_window_the_last_frame_is_kept_if_a_folder_is_given(
    stage: Callable[..., Stage], tmp_path: Path
) -> None:
    scene = stage(headless=True)
    assert scene.show.go_on()
    scene.paint()
    assert scene.show.go_on()
    scene.show.close()
    assert [path.parent for path in scene.show.kept] == [tmp_path / "kept"]
    assert scene.darkrooms[0].closed


def test_a_virtual_camera_gets_what_others_are_to_see(
    stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, closed = list[Pixels](), list[bool]()

    class Camera:
        def __init__(self, width: int, height: int, frame_rate: float) -> None:
            assert (width, height) == (32, 24)

        def send(self, pixels: Pixels) -> None:
            sent.append(pixels)

        def close(self) -> None:
            closed.append(True)

    monkeypatch.setattr(show, "VirtualCamera", Camera)
    scene = stage(virtual_camera=True)
    scene.paint()
    assert sent[0] is LEFT_GREEN  # not mirrored
    scene.show.close()
    assert closed == [True]


def test_a_window_that_cannot_be_opened_leaves_nothing_behind(
    stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_window(*_: object) -> None:
        raise SinkError("no display")

    monkeypatch.setattr(show, "Window", no_window)
    with pytest.raises(SinkError, match="no display"):
        stage(record=tmp_path / "all.mp4")
    assert not list(tmp_path.iterdir())
