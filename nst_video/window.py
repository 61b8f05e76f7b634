"""The window, by OpenCV: shows a canvas, hears keys and the mouse. For the main thread only."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2

from nst_video.canvas import Compare, View, draw, slider_at, slider_position, split_at, tall_enough
from nst_video.controls import SLIDERS, Act, Command, Knobs, command
from nst_video.errors import SinkError

if sys.platform == "linux" and not Path(os.environ.get("QT_QPA_FONTDIR", "")).is_dir():
    os.environ["QT_QPA_FONTDIR"] = (
        "/usr/share"  # any folder that is there: Qt complains of the wheel's own, which is not
    )

FILLED = 0.85
"""How much of the screen the window takes at first, at most."""
WIDE, TALL = 480, 320
"""Pixels in which sliders, help and status line find room."""
USUAL_SCREEN = 1366, 768
"""The screen's size where it cannot be asked for."""
_INSTEAD = "; --headless does without a window"


class Window:
    """A window of its own, fit for a picture of `width` by `height`.

    `initial` are the knobs that a right click goes back to.

    Raises:
        SinkError: there is no display, or OpenCV cannot open windows here.
    """

    def __init__(self, title: str, width: int, height: int, initial: Knobs) -> None:
        screen = check_display()
        self._title, self._initial = title, initial
        self._size = _first_size(width, height, screen)
        self._compare, self._split, self._sliders, self._help, self._full = Compare.OFF, 0.5, False, False, False
        self._knobs = self._pulled = initial
        self._dragged: int | None = None
        self._shown: tuple[View, tuple[int, int]] | None = None
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL)
            cv2.resizeWindow(title, *self._size)
            cv2.moveWindow(title, *(max(0, (room - own) // 2) for room, own in zip(screen, self._size, strict=True)))
            cv2.setMouseCallback(title, self._on_mouse)
        except cv2.error as error:
            raise SinkError(f"no window can be opened: {error.err or error}{_INSTEAD}") from None

    def show(self, view: View) -> None:
        """Draw what is to be seen; comparison, sliders and help are the window's own affair."""
        self._knobs = view.knobs
        if self._dragged is not None and SLIDERS[self._dragged].lazy:
            view = replace(view, knobs=self._pulled)
        view = replace(view, compare=self._compare, split=self._split, sliders=self._sliders, help=self._help)
        if self._shown is None or self._shown[1] != self._size or not view.looks_like(self._shown[0]):
            self._shown = view, self._size
            cv2.imshow(self._title, draw(view, *self._size))

    def poll(self) -> tuple[list[Command], Knobs]:
        """What was asked for since the last time, and the knobs as they stand now. Closing the window is `QUIT`."""
        commands = list[Command]()
        while (key := cv2.waitKeyEx(1)) >= 0:
            asked = command(key)
            if asked is not None and not self._mine(asked.act):
                commands.append(asked)
        if self._closed():
            return [Command(Act.QUIT)], self._knobs
        return commands, self._knobs

    def close(self) -> None:
        try:
            cv2.destroyWindow(self._title)
            cv2.waitKey(1)  # some backends take it away only now
        except cv2.error:  # it was closed already
            pass

    def _closed(self) -> bool:
        try:
            if cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
                return True
            *_, width, height = cv2.getWindowImageRect(self._title)
        except cv2.error:  # so it is told that the only window is gone
            return True
        if width > 0 and height > 0:
            self._size = max(width, 160), max(height, 120)
        return False

    def _mine(self, act: Act) -> bool:
        """Do what concerns the window alone."""
        if act is Act.COMPARE:
            self._compare = Compare((self._compare.value + 1) % len(Compare))
        elif act is Act.SLIDERS:
            self._sliders = not self._sliders
        elif act is Act.HELP:
            self._help = not self._help
        elif act is Act.FULL_SCREEN:
            self._full = not self._full
            mode = cv2.WINDOW_FULLSCREEN if self._full else cv2.WINDOW_NORMAL
            cv2.setWindowProperty(self._title, cv2.WND_PROP_FULLSCREEN, mode)
        else:
            return False
        return True

    def _on_mouse(self, event: int, x: int, y: int, flags: int, _: object) -> None:
        on = slider_at(x, y, *self._size) if self._sliders else None
        if event == cv2.EVENT_RBUTTONDOWN and on is not None:
            slider = SLIDERS[on]
            self._knobs = slider.set(self._knobs, slider.get(self._initial))
        elif event == cv2.EVENT_LBUTTONDOWN:
            self._dragged = on
        elif event == cv2.EVENT_LBUTTONUP and self._dragged is not None:
            self._pull(x)
            if SLIDERS[self._dragged].lazy:
                self._knobs = self._pulled
            self._dragged = None
            return
        if self._dragged is not None and flags & cv2.EVENT_FLAG_LBUTTON:
            self._pull(x)
        elif flags & cv2.EVENT_FLAG_LBUTTON and self._compare is Compare.SPLIT and self._shown is not None:
            painted = self._shown[0].painted
            if painted is not None:
                self._split = split_at(x, painted.shape, *self._size)

    def _pull(self, x: int) -> None:
        assert self._dragged is not None
        slider = SLIDERS[self._dragged]
        self._pulled = slider.turned(self._knobs, slider_position(self._dragged, x, *self._size))
        if not slider.lazy:
            self._knobs = self._pulled


def check_display() -> tuple[int, int]:
    """The screen's width and height in pixels, as far as they can be known.

    Asked before the first window: without a display, OpenCV's Qt ends the whole process.

    Raises:
        SinkError: there is no display, or a library is missing.
    """
    if sys.platform == "win32":
        metrics = ctypes.windll.user32.GetSystemMetrics
        return int(metrics(0)), int(metrics(1))
    if sys.platform != "linux":
        return USUAL_SCREEN
    plugin = Path(cv2.__file__).parent / "qt" / "plugins" / "platforms" / "libqxcb.so"
    if os.environ.get("QT_QPA_PLATFORM", "xcb").split(":")[0] != "xcb" or not plugin.is_file():  # not the wheel's way
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("QT_QPA_PLATFORM")):
            raise SinkError(f"there is no display to open a window on{_INSTEAD}")
        return USUAL_SCREEN
    try:
        return _ask_x11(ctypes.CDLL(str(plugin)))
    except OSError as error:
        missing = str(error).split(":")[0]
        raise SinkError(f"windows need {missing} (on Debian: apt-get install libsm6 libice6){_INSTEAD}") from None


class _Screens(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("left", ctypes.c_int), ("index", ctypes.c_int))


def _ask_x11(xcb: ctypes.CDLL) -> tuple[int, int]:
    """The first screen's size, by libxcb as Qt's plugin brings it."""

    def function(name: str, answers: type | None, *takes: type) -> Callable[..., int]:
        found: Callable[..., int] = getattr(xcb, name)
        found.restype, found.argtypes = answers, takes  # type: ignore[attr-defined]
        return found

    pointer = ctypes.c_void_p
    connection = function("xcb_connect", pointer, ctypes.c_char_p, pointer)(None, None)
    try:
        if function("xcb_connection_has_error", ctypes.c_int, pointer)(connection):
            display = os.environ.get("DISPLAY")
            named = f"DISPLAY={display} does not answer" if display else "DISPLAY is not set"
            raise SinkError(f"there is no display to open a window on: {named}{_INSTEAD}")
        setup = function("xcb_get_setup", pointer, pointer)(connection)
        screens = getattr(xcb, "xcb_setup_roots_iterator")  # noqa: B009
        screens.restype, screens.argtypes = _Screens, (pointer,)
        width, height = (ctypes.c_uint16 * 2).from_address(screens(setup).data + 20)  # of xcb_screen_t
        return int(width), int(height)
    finally:
        function("xcb_disconnect", None, pointer)(connection)


def _first_size(width: int, height: int, screen: tuple[int, int]) -> tuple[int, int]:
    """As large as the screen bears, at most twice the picture, but wide enough for sliders."""
    scale = min(max(2.0, WIDE / width), FILLED * screen[0] / width, FILLED * screen[1] / height)
    wide, tall = round(width * scale), tall_enough(round(height * scale))
    return max(wide, min(WIDE, screen[0])), max(tall, min(TALL, screen[1]))
