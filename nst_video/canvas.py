"""What the window shows, drawn: picture, comparison, sliders, status, help. Pure: arrays in, an array out."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, fields
from enum import Enum
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nst_video.controls import KEYS, SLIDERS, Knobs
from nst_video.frame import Pixels

Canvas = NDArray[np.uint8]
"""What is shown: uint8, (height, width, 3), BGR as OpenCV's windows want it."""
Color = tuple[int, int, int]

WHITE, GREY, ACCENT, RED = (255, 255, 255), (175, 175, 175), (90, 190, 255), (60, 60, 235)  # BGR
BAR = 30
"""The status line's nominal height."""
DARKEN = 0.35
"""How much of the picture shines through what is written on it."""
TALL = 700.0
"""Of a canvas of this height letters and sliders have their nominal size."""
SMALLEST = 0.55
"""Smaller letters could not be read."""


class Compare(Enum):
    """How the source is shown beside the painting."""

    OFF = 0
    SIDE = 1
    SPLIT = 2


@dataclass(frozen=True)
class View:
    """All that is to be seen at one moment.

    painted, source: RGB, of one shape (either None: not there yet), shown as a mirror does if `mirrored`; split: where
    the painting begins, 0 to 1; about: the last line of the help; flash: 0 to 1; recording: its whole seconds, None:
    none is made; count: the number of a countdown.
    """

    painted: Pixels | None
    source: Pixels | None
    knobs: Knobs
    status: str = ""
    notice: str | None = None
    about: str = ""
    recording: int | None = None
    count: int | None = None
    flash: float = 0.0
    compare: Compare = Compare.OFF
    split: float = 0.5
    sliders: bool = False
    help: bool = False
    mirrored: bool = False

    def looks_like(self, other: View) -> bool:
        """Whether both look alike, the pictures being compared by identity."""
        for field in fields(self):
            mine, others = getattr(self, field.name), getattr(other, field.name)
            if mine is not others and (
                isinstance(mine, np.ndarray) or isinstance(others, np.ndarray) or mine != others
            ):
                return False
        return True


@dataclass(frozen=True)
class Rect:
    """A rectangle on the canvas, in pixels."""

    x: int
    y: int
    width: int
    height: int

    def has(self, x: int, y: int) -> bool:
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


def draw(view: View, width: int, height: int) -> Canvas:
    """The view as a canvas of this size."""
    canvas: Canvas = np.zeros((height, width, 3), np.uint8)
    unit = _unit(height)
    bar = _px(BAR, unit)
    _draw_pictures(canvas[: height - bar], view)
    if view.flash > 0:
        cv2.addWeighted(canvas, 1 - view.flash, np.full_like(canvas, 255), view.flash, 0, dst=canvas)
    _draw_status(canvas, view, unit, bar)
    if view.sliders:
        _draw_sliders(canvas, view.knobs, unit)
    if view.count is not None:
        _write(canvas, str(view.count), width // 2, (height - bar) // 2, _px(200, unit), WHITE, "middle")
    if view.notice:
        _draw_notice(canvas, view.notice, unit)
    if view.help:
        _draw_help(canvas, view.about, unit)
    return canvas


def slider_at(x: int, y: int, width: int, height: int) -> int | None:
    """Which slider lies at a point of a canvas of this size; None: none does."""
    return next((number for number, row in enumerate(_rows(width, height)) if row.has(x, y)), None)


def slider_position(number: int, x: int, width: int, height: int) -> float:
    """Where a slider pulled to `x` stands; below 0 and above 1 beyond its ends."""
    track = _track(_rows(width, height)[number], _unit(height))
    return (x - track.x) / max(1, track.width - 1)


def picture_place(shape: tuple[int, ...], width: int, height: int) -> Rect:
    """Where a picture of (height, width, …) fits into this much room: whole, in the middle, as large as can be."""
    scale = min(width / shape[1], height / shape[0])
    wide, tall = max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))
    return Rect((width - wide) // 2, (height - tall) // 2, wide, tall)


def tall_enough(picture: int) -> int:
    """How high a canvas has to be for a picture so high and the status line."""
    height = picture
    while height - _px(BAR, _unit(height)) < picture:
        height += 1
    return height


def split_at(x: int, shape: tuple[int, ...], width: int, height: int) -> float:
    """Where on a picture, 0 to 1, a point of a canvas lies."""
    place = picture_place(shape, width, height - _px(BAR, _unit(height)))
    return min(max((x - place.x) / place.width, 0.0), 1.0)


def _draw_pictures(room: Canvas, view: View) -> None:
    painted = view.source if view.painted is None else view.painted
    if painted is None:
        return
    height, width = room.shape[:2]
    source = view.source
    if source is None or view.painted is None or view.compare is Compare.OFF:
        _paste(room, painted, view.mirrored)
    elif view.compare is Compare.SIDE:
        _paste(room[:, : width // 2], source, view.mirrored)
        _paste(room[:, width // 2 :], painted, view.mirrored)
    else:
        _paste(room, painted, view.mirrored)
        place = picture_place(painted.shape, width, height)
        edge = place.x + round(place.width * view.split)
        behind = np.zeros_like(room)
        _paste(behind, source, view.mirrored)
        room[:, :edge] = behind[:, :edge]
        line = min(edge, place.x + place.width - 1)
        cv2.line(room, (line, place.y), (line, place.y + place.height - 1), WHITE, 2)


def _paste(room: Canvas, pixels: Pixels, mirrored: bool) -> None:
    """A picture into the middle of the room that there is."""
    place = picture_place(pixels.shape, room.shape[1], room.shape[0])
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    if mirrored:
        bgr = cv2.flip(bgr, 1)
    method = cv2.INTER_AREA if place.width < pixels.shape[1] else cv2.INTER_LINEAR
    scaled = cv2.resize(bgr, (place.width, place.height), interpolation=method)
    room[place.y : place.y + place.height, place.x : place.x + place.width] = scaled


def _draw_status(canvas: Canvas, view: View, unit: float, bar: int) -> None:
    height, width = canvas.shape[:2]
    canvas[height - bar :] = (32, 28, 26)
    middle, right = height - bar // 2, width - _px(12, unit)
    if view.recording is not None:
        text = f"REC {view.recording // 60}:{view.recording % 60:02d}"
        right -= _write(canvas, text, right, middle, _px(15, unit), WHITE, "right") + _px(14, unit)
        cv2.circle(canvas, (right, middle), _px(6, unit), RED, -1, cv2.LINE_AA)
        right -= _px(12, unit)
    hint = "h: help"
    if view.recording is None:
        right -= _write(canvas, hint, right, middle, _px(15, unit), GREY, "right") + _px(12, unit)
    left = _px(12, unit)
    _write(canvas[:, : max(right, 1)], view.status, left, middle, _px(15, unit), WHITE, "left")


def _rows(width: int, height: int) -> list[Rect]:
    unit = _unit(height)
    wide, tall, edge = min(_px(290, unit), width), _px(47, unit), _px(14, unit)
    return [Rect(width - wide - edge, edge + number * tall, wide, tall) for number in range(len(SLIDERS))]


def _track(row: Rect, unit: float) -> Rect:
    edge = _px(18, unit)
    return Rect(row.x + edge, row.y + row.height * 7 // 10, row.width - 2 * edge, _px(4, unit))


def _draw_sliders(canvas: Canvas, knobs: Knobs, unit: float) -> None:
    rows = _rows(canvas.shape[1], canvas.shape[0])
    edge = _px(6, unit)
    tall = rows[-1].y + rows[-1].height - rows[0].y
    _darken(canvas, Rect(rows[0].x, rows[0].y - edge, rows[0].width, tall + 2 * edge))
    for slider, row in zip(SLIDERS, rows, strict=True):
        track, size = _track(row, unit), _px(15, unit)
        text_y, position = row.y + row.height * 3 // 10, slider.position(knobs)
        _write(canvas, slider.label, track.x, text_y, size, WHITE, "left")
        _write(canvas, slider.text(slider.get(knobs)), track.x + track.width, text_y, size, GREY, "right")
        at = track.x + round(position * (track.width - 1))
        cv2.rectangle(canvas, (track.x, track.y), (track.x + track.width - 1, track.y + track.height - 1), GREY, -1)
        cv2.rectangle(canvas, (track.x, track.y), (at, track.y + track.height - 1), ACCENT, -1)
        cv2.circle(canvas, (at, track.y + track.height // 2), _px(8, unit), WHITE, -1, cv2.LINE_AA)


def _draw_notice(canvas: Canvas, text: str, unit: float) -> None:
    size, edge = _px(17, unit), _px(14, unit)
    width = _letters(text, size).shape[1]
    tall = size + 2 * edge
    left, top = max(0, (canvas.shape[1] - width) // 2 - edge), canvas.shape[0] - _px(44, unit) - tall
    _darken(canvas, Rect(left, top, width + 2 * edge, tall))
    _write(canvas, text, left + edge, top + tall // 2, size, WHITE, "left")


def _draw_help(canvas: Canvas, about: str, unit: float) -> None:
    height, width = canvas.shape[:2]
    size, line, edge = _px(16, unit), _px(31, unit), _px(24, unit)
    keys = max(_letters(names, size).shape[1] for names, *_ in KEYS) + _px(26, unit)
    wide = keys + max(_letters(text, size).shape[1] for *_, text in KEYS) + 2 * edge
    wide = max(wide, _letters(about, size).shape[1] + 2 * edge)
    if wide > width and unit > SMALLEST:
        _draw_help(canvas, about, max(SMALLEST, 0.98 * unit * width / wide))
        return
    tall = line * (len(KEYS) + 1) + 2 * edge
    left, top = max(0, (width - wide) // 2), max(0, (height - tall) // 2)
    _darken(canvas, Rect(left, top, wide, tall), 0.2)
    for number, (names, _, _, text) in enumerate(KEYS):
        middle = top + edge + line * number + line // 2
        _write(canvas, names, left + edge, middle, size, ACCENT, "left")
        _write(canvas, text, left + edge + keys, middle, size, WHITE, "left")
    _write(canvas, about, left + edge, top + tall - edge - line // 2, size, GREY, "left")


def _darken(canvas: Canvas, place: Rect, left: float = DARKEN) -> None:
    part = canvas[max(0, place.y) : place.y + place.height, max(0, place.x) : place.x + place.width]
    part[:] = cv2.convertScaleAbs(part, alpha=left)


def _write(canvas: Canvas, text: str, x: int, y: int, size: int, color: Color, anchor: str) -> int:
    """Write, `y` being the middle and `x` the left end, middle or right end of it; answer how wide it is."""
    letters = _letters(text, size)
    tall, wide = letters.shape[:2]
    left = {"left": x, "middle": x - wide // 2, "right": x - wide}[anchor]
    top = y - tall // 2
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + wide, canvas.shape[1]), min(top + tall, canvas.shape[0])
    if x0 < x1 and y0 < y1:
        cover = letters[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.uint16)
        part = canvas[y0:y1, x0:x1]
        part[:] = (part * (255 - cover) + np.array(color, np.uint16) * cover) // 255
    return int(wide)


@lru_cache(maxsize=256)
def _letters(text: str, size: int) -> Canvas:
    """How much each pixel is covered by the letters, (height, width, 1), 0 to 255; every line of a size as high."""
    font = ImageFont.load_default(size)  # comes with Pillow: OpenCV's wheels have no fonts for their widgets
    # It has no accents. Letters without them can still be read, boxes cannot.
    text = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    width = max(1, int(np.ceil(font.getlength(text))))
    picture = Image.new("L", (width, round(size * 1.5)))
    ImageDraw.Draw(picture).text((0, round(size * 0.75)), text, fill=255, font=font, anchor="lm")
    return np.asarray(picture, np.uint8)[..., None]


def _unit(height: int) -> float:
    return min(max(height / TALL, SMALLEST), 2.5)


def _px(nominal: float, unit: float) -> int:
    return max(1, round(nominal * unit))
