"""The real window, driven by real keys and a real mouse, where there is an X display, xdotool, wmctrl and a window
manager; elsewhere only what can be known without one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from media import MjpegServer, decode, read_png, sliding, wait_until

from nst_video import canvas, window
from nst_video.canvas import Compare, View
from nst_video.controls import SLIDERS, Act, Command, Knobs
from nst_video.errors import SinkError
from nst_video.settings import StyleSettings
from nst_video.window import Window, check_display


def missing() -> str | None:
    """Why the real window cannot be tested here."""
    if sys.platform != "linux":
        return "driven by X11's tools"
    for tool in ("xdotool", "wmctrl"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    try:
        check_display()
    except SinkError as error:
        return str(error)
    managed = subprocess.run(["wmctrl", "-m"], capture_output=True, check=False).returncode == 0
    return None if managed else "there is no window manager"


WHY_NOT = missing()
needs_display = pytest.mark.skipif(WHY_NOT is not None, reason=f"no real window: {WHY_NOT}")
ROOT = Path(__file__).resolve().parents[1]
TITLE = "nst_video test"
KNOBS = Knobs(StyleSettings(), 320)
GREEN = np.full((240, 320, 3), (0, 200, 0), np.uint8)
RED = np.full((240, 320, 3), (200, 0, 0), np.uint8)


def run(*command: object) -> str:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=20).stdout


class Driver:
    """A window that is open, and the hands and eyes of a person before it."""

    def __init__(self) -> None:
        self.window = Window(TITLE, 320, 240, KNOBS)
        self.view = View(GREEN, RED, KNOBS, status="21 fps")
        self.heard = list[Command]()
        self.wait_for(lambda: bool(self.found()))
        run("wmctrl", "-F", "-a", TITLE)
        self.wait_for(lambda: run("xdotool", "getwindowfocus", "getwindowname").strip() == TITLE)

    @staticmethod
    def found() -> list[str]:
        command = ["xdotool", "search", "--onlyvisible", "--name", f"^{re.escape(TITLE)}$"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20).stdout.split()

    def turn(self) -> None:
        """What a session does over and over."""
        self.window.show(self.view)
        commands, knobs = self.window.poll()
        self.heard += commands
        self.view = View(GREEN, RED, knobs, status="21 fps")

    def wait_for(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            self.turn()

    def press(self, key: str) -> None:
        run("xdotool", "key", key)

    def corner(self) -> tuple[int, int]:
        """Where the window's inside begins on the screen."""
        told = run("xwininfo", "-id", self.found()[-1])
        x, y = (int(re.search(rf"Absolute upper-left {axis}:\s+(\d+)", told)[1]) for axis in "XY")  # type: ignore[index]
        return x, y

    def seen(self) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """What was drawn last, RGB."""
        assert self.window._shown is not None
        view, size = self.window._shown
        return canvas.draw(view, *size)[..., ::-1]


@pytest.fixture
def driver() -> Iterator[Driver]:
    made = Driver()
    yield made
    run("xdotool", "mouseup", 1)  # a test that failed may have left it down
    made.window.close()


@needs_display
@pytest.mark.parametrize(
    ("key", "command"),
    [
        ("space", Command(Act.SNAPSHOT)),
        ("s", Command(Act.SNAPSHOT)),
        ("d", Command(Act.DEVELOP)),
        ("r", Command(Act.RECORD)),
        ("Right", Command(Act.NEXT)),
        ("Left", Command(Act.PREVIOUS)),
        ("3", Command(Act.PICK, 2)),
        ("p", Command(Act.PAUSE)),
        ("Escape", Command(Act.QUIT)),
    ],
)
def test_a_key_is_heard(driver: Driver, key: str, command: Command) -> None:
    driver.press(key)
    driver.wait_for(lambda: driver.heard)
    assert driver.heard == [command]


@needs_display
def test_some_keys_are_the_windows_own_affair(driver: Driver) -> None:
    for key, changed in (
        ("c", lambda: driver.window._compare is Compare.SIDE),
        ("h", lambda: driver.window._help),
        ("Tab", lambda: driver.window._sliders),
        ("o", lambda: not driver.window._sliders),
    ):
        driver.press(key)
        driver.wait_for(changed)
    assert driver.heard == []


@needs_display
@pytest.mark.parametrize("number", range(len(SLIDERS)), ids=[slider.label for slider in SLIDERS])
def test_a_slider_can_be_dragged_and_a_right_click_takes_it_back(driver: Driver, number: int) -> None:
    driver.press("o")
    driver.wait_for(lambda: driver.window._sliders)
    x, y = driver.corner()
    width, height = driver.window._size
    slider, track = SLIDERS[number], canvas._track(canvas._rows(width, height)[number], canvas._unit(height))
    aim, near = slider.position(slider.turned(KNOBS, 0.25)), 2 / track.width
    run("xdotool", "mousemove", x + track.x + track.width // 2, y + track.y + 1, "mousedown", 1)
    driver.wait_for(lambda: driver.window._dragged == number)
    run("xdotool", "mousemove", x + track.x + round(0.25 * (track.width - 1)), y + track.y + 1)
    if slider.lazy:
        driver.wait_for(lambda: abs(slider.position(driver.window._pulled) - aim) <= near)
        assert driver.view.knobs == KNOBS  # it waits until it is let go
    run("xdotool", "mouseup", 1)
    driver.wait_for(lambda: abs(slider.position(driver.view.knobs) - aim) <= near and driver.window._dragged is None)
    run("xdotool", "click", 3)
    driver.wait_for(lambda: driver.view.knobs == KNOBS)


@needs_display
def test_the_split_follows_the_mouse(driver: Driver) -> None:
    driver.press("c")
    driver.wait_for(lambda: driver.window._compare is Compare.SIDE)
    driver.press("c")
    driver.wait_for(lambda: driver.window._compare is Compare.SPLIT)
    x, y = driver.corner()
    width, height = driver.window._size
    run("xdotool", "mousemove", x + width // 4, y + height // 2, "mousedown", 1)
    run("xdotool", "mousemove", x + width // 4 + 3, y + height // 2, "mouseup", 1)
    driver.wait_for(lambda: abs(driver.window._split - 0.25) < 0.05)
    driver.turn()
    assert driver.seen()[height // 2, width // 8, 0] > 150
    assert driver.seen()[height // 2, width // 2, 1] > 150


@needs_display
def test_full_screen_fills_the_screen_and_goes_back(driver: Driver) -> None:
    before, screen = driver.window._size, check_display()
    driver.press("f")
    driver.wait_for(lambda: driver.window._size == screen)
    driver.press("f")
    driver.wait_for(lambda: driver.window._size == before)


@needs_display
def test_a_larger_window_has_a_larger_canvas(driver: Driver) -> None:
    run("wmctrl", "-F", "-r", TITLE, "-e", "0,20,20,600,500")
    driver.wait_for(lambda: driver.window._size == (600, 500))
    driver.turn()
    assert driver.seen().shape == (500, 600, 3)


@needs_display
def test_closing_the_window_is_heard_and_does_not_open_it_again(driver: Driver) -> None:
    run("wmctrl", "-F", "-c", TITLE)
    driver.wait_for(lambda: driver.heard)
    assert driver.heard == [Command(Act.QUIT)]
    assert not driver.found()


@needs_display
def test_what_has_not_changed_is_not_drawn_again(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = list[View]()
    driver.turn()
    draw = canvas.draw

    def counted(view: View, width: int, height: int) -> canvas.Canvas:
        drawn.append(view)
        return draw(view, width, height)

    monkeypatch.setattr(window, "draw", counted)
    for _ in range(5):
        driver.turn()
    assert len(drawn) == 0
    driver.view = View(GREEN, RED, KNOBS, status="22 fps")
    driver.turn()
    assert len(drawn) == 1


@needs_display
def test_a_whole_session_at_a_stream(tmp_path: Path, style: Path) -> None:
    """From the command line to the closing of the window: what keys ask for is there, and the process ends well."""
    kept, title = tmp_path / "kept", "nst_video"
    command = [sys.executable, str(ROOT / "cli.py"), "live", "--style", str(style), "--style", str(style)]
    quick = ["--size", "64", "--device", "cpu", "--iterations", "1", "--snapshot-iterations", "2"]

    def some(pattern: str) -> list[Path]:
        return sorted(kept.glob(pattern))

    def press_until(key: str, condition: Callable[[], object]) -> None:
        """A key that comes while another one is dealt with may be lost: people press it again."""
        pressed = time.monotonic() - 2

        def again() -> object:
            nonlocal pressed
            if time.monotonic() - pressed > 2:
                pressed = time.monotonic()
                run("xdotool", "key", key)
            return condition()

        wait_until(again)

    with MjpegServer(sliding(20, 48, 64)) as server:
        place = ["--source", server.url, "--snapshot-dir", str(kept)]
        with subprocess.Popen([*command, *quick, *place], stderr=subprocess.PIPE, stdout=subprocess.PIPE) as session:
            try:
                wait_until(lambda: title in run("wmctrl", "-l"), 60)
                run("wmctrl", "-F", "-a", title)
                wait_until(lambda: run("xdotool", "getwindowfocus", "getwindowname").strip() == title)
                press_until("space", lambda: some("*-source.png"))
                press_until("r", lambda: some(".*.partial.mp4"))
                press_until("d", lambda: some("*_developed-source.png"))
                press_until("r", lambda: some("2*.mp4"))
                run("wmctrl", "-F", "-c", title)
                assert session.wait(20) == 0
            finally:
                session.kill()
            out, err = session.communicate()
    assert err == b""
    told = out.decode().splitlines()
    assert "a second, 1.0 iterations each" in told[0]
    assert {str(path) for path in (*some("*_developed.png"), *some("2*.mp4"))} <= set(told[1:])
    assert read_png(some("*_developed.png")[0]).shape == (48, 64, 3)
    assert decode(some("2*.mp4")[0]).shape[1:] == (48, 64, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="X11 is Linux's")
@pytest.mark.parametrize("display", [None, ":4711", "nonsense"])
def test_a_missing_display_is_told_instead_of_ending_the_process(
    monkeypatch: pytest.MonkeyPatch, display: str | None
) -> None:
    for name in ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if display is not None:
        monkeypatch.setenv("DISPLAY", display)
    with pytest.raises(SinkError, match=r"^(there is no display|windows need lib).*--headless"):
        check_display()


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux has to be asked")

    def absent(_: str) -> None:
        raise OSError("libSM.so.6: cannot open shared object file: No such file or directory")

    monkeypatch.setattr("ctypes.CDLL", absent)
    monkeypatch.setattr("pathlib.Path.is_file", lambda _: True)
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    with pytest.raises(SinkError, match=r"libSM\.so\.6.*apt-get install libsm6 libice6"):
        check_display()


@pytest.mark.parametrize(
    ("picture", "screen", "size"),
    [
        ((640, 480), (1366, 768), (870, 653)),
        ((400, 300), (1366, 768), (800, 600)),
        ((1920, 1080), (1920, 1080), (1632, 918)),
        ((720, 1280), (1366, 768), (480, 653)),
        ((64, 48), (1366, 768), (480, 360)),
    ],
)
def test_a_new_window_fits_the_screen(picture: tuple[int, int], screen: tuple[int, int], size: tuple[int, int]) -> None:
    width, height = window._first_size(*picture, screen)
    assert width <= screen[0]
    assert height <= screen[1]
    assert width == size[0]
    assert size[1] < height < size[1] + 60  # with the status line


def test_qt_finds_a_folder_for_fonts() -> None:
    """Else it complains of the wheel's own, which is not there."""
    if sys.platform == "linux":
        assert os.path.isdir(os.environ["QT_QPA_FONTDIR"])
