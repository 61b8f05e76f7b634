"""What can be done while it paints: knobs to turn, sliders that turn them, keys and what they mean. No window here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import NamedTuple

from nst_video.settings import StyleSettings


@dataclass(frozen=True)
class Knobs:
    """Everything that may change from frame to frame; replaced as a whole."""

    settings: StyleSettings
    size: int
    """The longer side of the worked image, in pixels."""
    begun: int = 0
    """Another number: the painting begins anew."""


@dataclass(frozen=True)
class Slider:
    """One knob as a slider: `low` to `high`, in steps of `step`, evenly or (`log`) by equal ratios."""

    label: str
    get: Callable[[Knobs], float]
    set: Callable[[Knobs, float], Knobs]
    low: float
    high: float
    text: Callable[[float], str]
    step: float = 0.01
    log: bool = False
    lazy: bool = False
    """Turning it costs something: it takes effect when it is let go."""

    def position(self, knobs: Knobs) -> float:
        """Where it stands, 0 to 1."""
        value = min(max(self.get(knobs), self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def turned(self, knobs: Knobs, position: float) -> Knobs:
        """The knobs with this one moved to `position`, 0 to 1, or as near as its steps allow."""
        position = min(max(position, 0.0), 1.0)
        if self.log:
            value = self.low * (self.high / self.low) ** position
        else:
            value = self.low + position * (self.high - self.low)
        value = round(value / self.step) * self.step
        return self.set(knobs, min(max(round(value, 6), self.low), self.high))


COLORS = ("none", "histogram", "luminance")
"""`original_colors`, from the style's colours to the content's own."""
_COLOR_WORDS = ("the style's", "matched", "my own")


def _style(
    label: str,
    field: str,
    low: float,
    high: float,
    text: Callable[[float], str],
    *,
    step: float = 0.01,
    log: bool = False,
) -> Slider:
    return Slider(
        label,
        lambda knobs: getattr(knobs.settings, field),
        lambda knobs, value: replace(knobs, settings=replace(knobs.settings, **{field: value})),  # type: ignore[arg-type]
        low,
        high,
        text,
        step,
        log,
    )


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


SLIDERS: tuple[Slider, ...] = (
    _style("style strength", "strength", 0, 1, _percent),
    _style("likeness", "content_weight", 0.005, 0.5, lambda value: f"{value:.3f}", step=0.001, log=True),
    _style("stability", "stability", 0, 1, _percent),
    _style("style scale", "style_scale", 0.25, 4, lambda value: f"{value:.2f} x", log=True),
    Slider(
        "detail",
        lambda knobs: knobs.size,
        lambda knobs, value: replace(knobs, size=int(value)),
        low=128,
        high=1024,
        text=lambda value: f"{value:.0f} px",
        step=32,
        log=True,
        lazy=True,
    ),
    _style("hue", "hue", -180, 180, lambda value: f"{value:+.0f}°", step=1),
    _style("saturation", "saturation", 0, 2, _percent),
    _style("brightness", "brightness", 0, 2, _percent),
    Slider(
        "colours",
        lambda knobs: COLORS.index(knobs.settings.original_colors),
        lambda knobs, value: replace(
            knobs,
            settings=replace(knobs.settings, original_colors=COLORS[int(value)]),  # type: ignore[arg-type]
        ),
        low=0,
        high=2,
        text=lambda value: _COLOR_WORDS[int(value)],
        step=1,
    ),
)


class Act(Enum):
    """What a key asks for."""

    SNAPSHOT = auto()
    DEVELOP = auto()
    TIMER = auto()
    RECORD = auto()
    NEXT = auto()
    PREVIOUS = auto()
    PICK = auto()
    COMPARE = auto()
    MIRROR = auto()
    PAUSE = auto()
    RESET = auto()
    SLIDERS = auto()
    FULL_SCREEN = auto()
    HELP = auto()
    QUIT = auto()


class Command(NamedTuple):
    """An act and, of PICK, which style."""

    act: Act
    number: int = 0


# Arrows as X11, Windows and macOS send them.
_RIGHT, _LEFT = (65363, 2555904, 63235), (65361, 2424832, 63234)

KEYS: tuple[tuple[str, tuple[int, ...], Act, str], ...] = (
    ("space, s", (ord(" "), ord("s")), Act.SNAPSHOT, "keep a snapshot"),
    ("d", (ord("d"), ord("D"), ord("S")), Act.DEVELOP, "develop a snapshot: full size, painted on in the background"),
    ("t", (ord("t"),), Act.TIMER, "count 3, 2, 1 before a snapshot: on, off"),
    ("r", (ord("r"),), Act.RECORD, "record a film: on, off"),
    ("n, right", (ord("n"), *_RIGHT), Act.NEXT, "next style"),
    ("b, left", (ord("b"), *_LEFT), Act.PREVIOUS, "previous style"),
    ("1 … 9", tuple(range(ord("1"), ord("9") + 1)), Act.PICK, "the style with this number"),
    ("c", (ord("c"),), Act.COMPARE, "compare with the source: side by side, split, off"),
    ("m", (ord("m"),), Act.MIRROR, "mirror"),
    ("p", (ord("p"),), Act.PAUSE, "hold still: the picture stays and ripens"),
    ("x", (ord("x"), 8, 127), Act.RESET, "reset the sliders and begin the painting anew"),
    ("o, Tab", (ord("o"), 9), Act.SLIDERS, "sliders: on, off (right click: as at the start)"),
    ("f", (ord("f"),), Act.FULL_SCREEN, "full screen"),
    ("h", (ord("h"), ord("?")), Act.HELP, "this help"),
    ("q, Esc", (ord("q"), 27), Act.QUIT, "quit"),
)
"""Of each act: its keys' names, their codes, and what it does."""

_ACTS = {code: act for _, codes, act, _ in KEYS for code in codes}


def command(key: int) -> Command | None:
    """What a key code of `cv2.waitKeyEx` asks for; None: nothing."""
    code = key if key in _ACTS else max(key, 0) & 0xFFFF  # above, GTK tells of the modifiers
    act = _ACTS.get(code) or (_ACTS.get(ord(chr(code).lower())) if code < 0x80 else None)
    if act is None:
        return None
    return Command(act, code - ord("1")) if act is Act.PICK else Command(act)
