"""What the window shows, pixel by pixel: everything is found where it is said to be, on canvases of any size."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media import blobs

from nst_video.canvas import (
    ACCENT,
    GREY,
    RED,
    WHITE,
    Canvas,
    Color,
    Compare,
    Rect,
    View,
    _letters,
    draw,
    picture_place,
    slider_at,
    slider_position,
    split_at,
    tall_enough,
)
from nst_video.controls import KEYS, SLIDERS, Knobs
from nst_video.frame import Pixels
from nst_video.settings import StyleSettings

KNOBS = Knobs(StyleSettings(), 320)
NOTHING = View(None, None, KNOBS)
REDDISH, BLUISH = (0, 0, 255), (255, 0, 0)
"""What red and blue pictures are on a canvas, which is BGR."""

SIZES = [(340, 260), (801, 601), (1500, 1000)]
"""Canvases that all of the sliders have room on."""
each_size = pytest.mark.parametrize(("width", "height"), SIZES)
widths, heights, sides = st.integers(160, 1500), st.integers(120, 1000), st.integers(1, 400)


def plain(red: int, green: int, blue: int, height: int = 60, width: int = 80) -> Pixels:
    return np.full((height, width, 3), (red, green, blue), np.uint8)


SOURCE, PAINTING = plain(255, 0, 0), plain(0, 0, 255)
BOTH = View(PAINTING, SOURCE, KNOBS)


def bar_top(width: int, height: int) -> int:
    """Where the status line begins: the room above it is black while there is no picture."""
    return int(np.flatnonzero(draw(NOTHING, width, height).any((1, 2)))[0])


def where(mask: Any) -> Rect:
    """The box around all that is set."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert rows.size, "nothing there"
    x, y = int(columns[0]), int(rows[0])
    return Rect(x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1)


def of_color(canvas: Canvas, color: Color) -> Any:
    return (canvas == np.array(color)).all(2)


def changed(before: View, after: View, width: int, height: int) -> Rect:
    """The box around all that differs."""
    return where((draw(before, width, height) != draw(after, width, height)).any(2))


def filled(width: int, height: int, level: int = 200) -> View:
    """A grey picture that fills all the room there is."""
    return replace(NOTHING, painted=plain(level, level, level, bar_top(width, height), width))


def middle(place: Rect) -> tuple[float, float]:
    return place.x + place.width / 2, place.y + place.height / 2


# the canvas


@given(
    size=st.tuples(widths, heights),
    shapes=st.tuples(sides, sides, sides, sides),
    there=st.tuples(st.booleans(), st.booleans()),
    compare=st.sampled_from(Compare),
    split=st.floats(0, 1),
    flash=st.floats(0, 1),
    written=st.tuples(st.text(max_size=200), st.text(max_size=200)),
    recording=st.none() | st.integers(0, 10**6),
    count=st.none() | st.integers(0, 99),
)
def test_a_canvas_has_the_size_that_is_wanted_whatever_is_on_it(
    size: tuple[int, int],
    shapes: tuple[int, int, int, int],
    there: tuple[bool, bool],
    compare: Compare,
    split: float,
    flash: float,
    written: tuple[str, str],
    recording: int | None,
    count: int | None,
) -> None:
    painted, source = plain(10, 20, 30, *shapes[:2]), plain(40, 50, 60, *shapes[2:])
    canvas = draw(
        View(
            painted if there[0] else None,
            source if there[1] else None,
            KNOBS,
            status=written[0],
            notice=written[1],
            about=written[1],
            recording=recording,
            count=count,
            flash=flash,
            compare=compare,
            split=split,
            sliders=True,
            help=True,
        ),
        *size,
    )
    assert canvas.shape == (size[1], size[0], 3)
    assert canvas.dtype == np.uint8
    assert (painted == (10, 20, 30)).all()
    assert (source == (40, 50, 60)).all()


@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1), (1, 1), (3000, 2000)])
@pytest.mark.parametrize("compare", Compare)
def test_pictures_of_any_shape_can_be_shown(shape: tuple[int, int], compare: Compare) -> None:
    picture = plain(255, 255, 255, *shape)
    view = View(picture, picture, KNOBS, compare=compare)
    assert of_color(draw(view, 160, 120)[: bar_top(160, 120)], WHITE).any()


def test_the_same_view_is_drawn_the_same_again_and_by_itself() -> None:
    """Nothing of what was drawn once shines through later."""
    view = replace(BOTH, status="status", notice="notice", count=3, flash=0.5, sliders=True, help=True)
    first = draw(view, 300, 200)
    kept = first.copy()
    draw(replace(BOTH, status="other"), 300, 200)
    assert np.array_equal(draw(view, 300, 200), kept)
    assert np.array_equal(first, kept)


# pictures


def test_rgb_comes_out_as_bgr() -> None:
    canvas = draw(View(plain(200, 100, 50), None, KNOBS), 320, 240)
    assert tuple(canvas[bar_top(320, 240) // 2, 160]) == (50, 100, 200)


@given(shape=st.tuples(sides, sides), room=st.tuples(st.integers(1, 1500), st.integers(1, 1000)))
def test_a_picture_keeps_its_shape_and_fills_its_room_from_one_side_to_the_other(
    shape: tuple[int, int], room: tuple[int, int]
) -> None:
    place = picture_place(shape, *room)
    left, right = place.x, room[0] - place.x - place.width
    above, below = place.y, room[1] - place.y - place.height
    assert min(left, right, above, below) >= 0
    assert abs(left - right) <= 1
    assert abs(above - below) <= 1
    assert place.width == room[0] or place.height == room[1]
    enlarged = min(room[0] / shape[1], room[1] / shape[0])
    for side, length in ((place.width, shape[1]), (place.height, shape[0])):
        assert side >= 1
        assert abs(side - length * enlarged) <= 0.5 or side == 1


@given(shape=st.tuples(sides, sides), size=st.tuples(widths, heights))
def test_the_picture_is_drawn_in_its_place(shape: tuple[int, int], size: tuple[int, int]) -> None:
    top = bar_top(*size)
    canvas = draw(View(plain(255, 255, 255, *shape), None, KNOBS), *size)[:top]
    place = picture_place((*shape, 3), size[0], top)
    assert where(canvas.any(2)) == place
    assert of_color(canvas, WHITE).sum() == place.width * place.height


def test_a_picture_is_not_turned_over() -> None:
    picture = plain(0, 0, 0)
    picture[:30, :40] = 255
    canvas = draw(View(picture, None, KNOBS), 640, 480)
    top = bar_top(640, 480)
    place = picture_place(picture.shape, 640, top)
    white = where(of_color(canvas[:top], WHITE))
    assert (white.x, white.y) == (place.x, place.y)
    assert white.width == pytest.approx(place.width / 2, abs=8)
    assert white.height == pytest.approx(place.height / 2, abs=8)


def test_a_mirrored_view_shows_pictures_as_a_mirror_does_and_letters_as_they_are() -> None:
    picture = plain(0, 0, 255)
    picture[:, :40] = (255, 0, 0)
    view = replace(NOTHING, painted=picture, source=picture, status="status", sliders=True)
    for compare in (Compare.OFF, Compare.SIDE):
        seen = draw(replace(view, compare=compare, sliders=False), 640, 480)
        mirrored = draw(replace(view, compare=compare, sliders=False, mirrored=True), 640, 480)
        top = bar_top(640, 480)
        for half in (slice(None),) if compare is Compare.OFF else (slice(0, 320), slice(320, None)):
            assert np.array_equal(mirrored[:top, half], seen[:top, half][:, ::-1])
        assert np.array_equal(mirrored[top:], seen[top:])
        assert not np.array_equal(mirrored, seen)
    split = replace(view, compare=Compare.SPLIT, split=0.9, sliders=False, mirrored=True)
    both, alone = draw(split, 640, 480), draw(replace(split, compare=Compare.OFF), 640, 480)
    assert (both != alone).any(2).sum() < 3 * 480  # the line
    letters = [of_color(draw(replace(view, mirrored=mirrored), 640, 480), WHITE) for mirrored in (False, True)]
    assert np.array_equal(*letters)


# comparisons


def test_without_a_comparison_only_the_painting_is_seen() -> None:
    canvas = draw(BOTH, 320, 240)
    assert of_color(canvas, BLUISH).any()
    assert not of_color(canvas, REDDISH).any()


@pytest.mark.parametrize("width", [320, 321])
@pytest.mark.parametrize("mirrored", [False, True])
def test_side_by_side_the_source_is_on_the_left(width: int, mirrored: bool) -> None:
    canvas = draw(replace(BOTH, compare=Compare.SIDE, mirrored=mirrored), width, 240)
    source, painting = where(of_color(canvas, REDDISH)), where(of_color(canvas, BLUISH))
    half, top = width // 2, bar_top(width, 240)
    right = picture_place(PAINTING.shape, width - half, top)
    assert source == picture_place(SOURCE.shape, half, top)
    assert painting == replace(right, x=half + right.x)


@pytest.mark.parametrize("split", [0, 0.01, 0.25, 0.5, 0.8, 0.999, 1])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("size", [(320, 240), (500, 240)])
def test_the_split_parts_source_from_painting(split: float, mirrored: bool, size: tuple[int, int]) -> None:
    canvas = draw(replace(BOTH, compare=Compare.SPLIT, split=split, mirrored=mirrored), *size)
    place = picture_place(SOURCE.shape, size[0], bar_top(*size))
    row = canvas[place.y + place.height // 2]
    edge = place.x + split * place.width
    columns = np.arange(size[0])
    inside = (columns >= place.x) & (columns < place.x + place.width)
    assert (row[inside & (columns < edge - 3)] == REDDISH).all()
    assert (row[inside & (columns > edge + 3)] == BLUISH).all()
    line = np.flatnonzero((row == WHITE).all(1))
    assert 1 <= line.size <= 3
    assert abs(line.mean() - edge) <= 2
    assert (row[~inside & (np.abs(columns - edge) > 2)] == 0).all()


@pytest.mark.parametrize("x", [30, 100, 250, 400, 470])
def test_the_split_comes_to_stand_where_it_is_pulled_to(x: int) -> None:
    split = split_at(x, SOURCE.shape, 500, 240)
    place = picture_place(SOURCE.shape, 500, bar_top(500, 240))
    assert 0 <= split <= 1
    canvas = draw(replace(BOTH, compare=Compare.SPLIT, split=split), 500, 240)
    line = np.flatnonzero((canvas[place.y + 50] == WHITE).all(1))
    assert abs(line.mean() - min(max(x, place.x), place.x + place.width)) <= 2


@pytest.mark.parametrize("compare", Compare)
def test_what_is_not_there_yet_is_not_compared(compare: Compare) -> None:
    """At first there is only the source, and it is shown as large as the painting is going to be."""
    for view, color in ((View(None, SOURCE, KNOBS), REDDISH), (View(PAINTING, None, KNOBS), BLUISH)):
        canvas = draw(replace(view, compare=compare), 320, 240)
        assert where(of_color(canvas, color)) == picture_place(SOURCE.shape, 320, bar_top(320, 240))
    nothing = draw(replace(NOTHING, compare=compare), 320, 240)
    assert not nothing[: bar_top(320, 240)].any()


# sliders


@lru_cache
def row_of(number: int, width: int, height: int) -> Rect:
    """Where a slider can be taken hold of."""
    first = next(
        (x, y)
        for y in range(0, height, 8)
        for x in range(width - 1, -1, -8)
        if slider_at(x, y, width, height) == number
    )
    xs = [x for x in range(width) if slider_at(x, first[1], width, height) == number]
    ys = [y for y in range(height) if slider_at(first[0], y, width, height) == number]
    assert (xs, ys) == (list(range(xs[0], xs[-1] + 1)), list(range(ys[0], ys[-1] + 1)))
    return Rect(xs[0], ys[0], len(xs), len(ys))


def tracks(knobs: Knobs, width: int, height: int) -> list[tuple[Rect, Canvas]]:
    """Each slider's place and what is drawn in its lower part, below its words."""
    canvas = draw(replace(NOTHING, knobs=knobs, sliders=True), width, height)
    found = []
    for number in range(len(SLIDERS)):
        row = row_of(number, width, height)
        lower = canvas[row.y + row.height * 11 // 20 : row.y + row.height, row.x : row.x + row.width]
        found.append((row, lower))
    return found


def all_at(position: float) -> Knobs:
    knobs = KNOBS
    for slider in SLIDERS:
        knobs = slider.turned(knobs, position)
    return knobs


@each_size
def test_sliders_are_found_where_they_are_drawn_and_nowhere_else(width: int, height: int) -> None:
    view = filled(width, height)
    panel = changed(view, replace(view, sliders=True), width, height)
    rows = [row_of(number, width, height) for number in range(len(SLIDERS))]
    for row, below in pairwise(rows):
        assert below == replace(row, y=row.y + row.height)
    edge = rows[0].y - panel.y
    assert 0 <= edge < rows[0].height / 4
    assert panel == Rect(rows[0].x, rows[0].y - edge, rows[0].width, len(rows) * rows[0].height + 2 * edge)
    for y in range(0, height, 7):
        for x in range(0, width, 7):
            wanted = next((number for number, row in enumerate(rows) if row.has(x, y)), None)
            assert slider_at(x, y, width, height) == wanted
    assert slider_at(-1, -1, width, height) is None
    assert slider_at(width, height, width, height) is None


@pytest.mark.parametrize(("x", "y", "inside"), [(3, 4, True), (12, 24, True), (13, 24, False), (12, 25, False)])
def test_a_rectangle_has_its_first_pixel_and_not_the_one_behind_its_last(x: int, y: int, inside: bool) -> None:
    assert Rect(3, 4, 10, 21).has(x, y) is inside
    assert not Rect(3, 4, 10, 21).has(2, y)
    assert not Rect(3, 4, 10, 21).has(x, 3)


@each_size
def test_a_slider_goes_from_0_to_1_along_its_track(width: int, height: int) -> None:
    for number, (row, lower) in enumerate(tracks(all_at(1), width, height)):
        left = row.x + where(of_color(lower, ACCENT)).x  # all of the track is passed, down to its left end
        assert slider_position(number, left, width, height) == 0
        assert slider_position(number, left - 5, width, height) < 0
    for number, (row, lower) in enumerate(tracks(all_at(0), width, height)):
        ahead = where(of_color(lower, GREY))
        right = row.x + ahead.x + ahead.width - 1
        assert slider_position(number, right, width, height) == 1
        assert slider_position(number, right + 5, width, height) > 1


@each_size
@pytest.mark.parametrize("position", [0, 0.3, 0.5, 0.8, 1])
def test_handles_are_drawn_where_the_sliders_stand(position: float, width: int, height: int) -> None:
    knobs = all_at(position)
    for number, (row, lower) in enumerate(tracks(knobs, width, height)):
        handle = where(of_color(lower, WHITE))
        at = row.x + handle.x + handle.width // 2
        stands = slider_position(number, at, width, height)
        pixel = slider_position(number, at + 1, width, height) - stands
        assert abs(stands - SLIDERS[number].position(knobs)) <= 1.01 * pixel


def test_turning_a_slider_changes_its_own_row_alone() -> None:
    view = replace(NOTHING, sliders=True)
    for number, slider in enumerate(SLIDERS):
        places = [
            changed(
                replace(view, knobs=slider.turned(KNOBS, a)), replace(view, knobs=slider.turned(KNOBS, b)), 800, 600
            )
            for a, b in ((0, 1), (0.2, 0.8))
        ]
        row = row_of(number, 800, 600)
        for place in places:
            assert row.has(place.x, place.y)
            assert row.has(place.x + place.width - 1, place.y + place.height - 1)
            assert place.y < row.y + row.height / 2, "what it says has to change, too"


def test_there_are_no_sliders_until_they_are_wanted() -> None:
    turned = replace(NOTHING, knobs=all_at(1))
    assert np.array_equal(draw(NOTHING, 400, 300), draw(turned, 400, 300))


# the status line


@each_size
def test_the_status_stays_in_its_line(width: int, height: int) -> None:
    place = changed(BOTH, replace(BOTH, status="12 fps · 8 it · 40 ms"), width, height)
    top = bar_top(width, height)
    assert place.y >= top
    assert place.y + place.height <= height
    assert place.x < width / 10
    assert abs(middle(place)[1] - (top + height) / 2) <= (height - top) / 5


@each_size
@pytest.mark.parametrize("recording", [None, 3725])
def test_a_long_status_does_not_run_into_what_is_on_the_right(width: int, height: int, recording: int | None) -> None:
    view = replace(NOTHING, recording=recording)
    top = bar_top(width, height)
    alone = draw(view, width, height)[top:]
    mark = where((alone != alone[0, 0]).any(2))
    assert mark.x > width / 2
    crowded = draw(replace(view, status="W" * 900), width, height)[top:]
    assert np.array_equal(crowded[:, mark.x :], alone[:, mark.x :])
    assert crowded[:, : mark.x].max() > 150


@each_size
def test_the_recording_mark_is_red_and_only_there_while_recording(width: int, height: int) -> None:
    top = bar_top(width, height)
    assert not of_color(draw(NOTHING, width, height), RED).any()
    mark = where(of_color(draw(replace(NOTHING, recording=0), width, height), RED))
    assert mark.y >= top
    assert mark.x > width / 2
    assert RED[2] > 2 * max(RED[:2])


def test_the_seconds_of_a_recording_go_on_to_minutes() -> None:
    drawn = {seconds: draw(replace(NOTHING, recording=seconds), 400, 300) for seconds in (0, 1, 59, 60, 61, 119, 3600)}
    assert len({canvas.tobytes() for canvas in drawn.values()}) == len(drawn)
    assert changed(replace(NOTHING, recording=0), replace(NOTHING, recording=1), 400, 300).width < 12  # 0:00, 0:01
    assert changed(replace(NOTHING, recording=60), replace(NOTHING, recording=0), 400, 300).width < 12  # 0:00, 1:00
    marks = [changed(NOTHING, replace(NOTHING, recording=seconds), 400, 300).x for seconds in (65, 75)]
    assert abs(marks[0] - marks[1]) <= 3  # 1:05, 1:15: it does not jump to and fro


# what is written over the picture


def test_a_flash_lightens_the_picture_and_nothing_else() -> None:
    view = replace(NOTHING, painted=blobs(60, 80), status="status")
    top = bar_top(400, 300)
    dark, faint, bright, full = (draw(replace(view, flash=flash), 400, 300) for flash in (0, 0.2, 0.7, 1))
    for less, more in ((dark, faint), (faint, bright), (bright, full)):
        assert (more[:top] >= less[:top]).all()
        assert more[:top].mean() > less[:top].mean() + 5
        assert np.array_equal(more[top:], less[top:])
    assert (full[:top] == 255).all()


@each_size
def test_a_countdown_stands_in_the_middle_of_the_picture(width: int, height: int) -> None:
    top, view = bar_top(width, height), filled(width, height, level=100)
    places = [changed(view, replace(view, count=count), width, height) for count in (1, 2, 3, 10)]
    for place in places:
        assert place.height > height / 8, "to be read from afar"
        assert abs(middle(place)[0] - width / 2) < width / 15
        assert abs(middle(place)[1] - top / 2) < height / 15
        assert place.y + place.height <= top
    assert of_color(draw(replace(view, count=3), width, height)[:top], WHITE).any()
    assert changed(replace(view, count=3), replace(view, count=2), width, height)
    assert changed(view, replace(view, count=0), width, height)


@each_size
def test_a_notice_stands_at_the_bottom_of_the_picture_and_can_be_read(width: int, height: int) -> None:
    view = filled(width, height)
    place = changed(view, replace(view, notice="kept a picture"), width, height)
    top = bar_top(width, height)
    assert top - place.height * 2 < place.y
    assert place.y + place.height <= top
    assert abs(middle(place)[0] - width / 2) <= 1
    around = draw(replace(view, notice="kept a picture"), width, height)[place.y, place.x]
    assert around.max() < 100, "white letters need a dark ground"
    assert np.array_equal(draw(view, width, height), draw(replace(view, notice=""), width, height))


def test_a_notice_that_is_too_long_still_begins_on_the_canvas() -> None:
    view = filled(400, 300)
    canvas = draw(replace(view, notice="W" + " " * 2000), 400, 300)
    panel = where((canvas != draw(view, 400, 300)).any(2))
    assert (panel.x, panel.width) == (0, 400)
    letter = where((canvas[panel.y : panel.y + panel.height] > 150).any(2))
    assert 0 < letter.x < 20
    assert letter.width < 20


def lines(mask: Any) -> int:
    """How many lines of letters are set: more than the dot of an i lies between two."""
    rows = np.flatnonzero(mask.any(1))
    return 1 + int((np.diff(rows) > 4).sum()) if rows.size else 0


@pytest.mark.parametrize(("width", "height"), SIZES[1:])
@pytest.mark.parametrize("about", ["", "nst_video, this or that"])
def test_the_help_stands_in_the_middle_with_a_line_for_every_key(width: int, height: int, about: str) -> None:
    view = filled(width, height)
    place = changed(view, replace(view, help=True, about=about), width, height)
    assert abs(middle(place)[0] - width / 2) <= 1
    assert abs(middle(place)[1] - height / 2) <= 1
    canvas = draw(replace(NOTHING, help=True, about=about), width, height)
    inner = canvas[place.y : place.y + place.height, place.x : place.x + place.width].astype(np.int32)
    blue, red = inner[..., 0], inner[..., 2]
    assert lines((red > 60) & (2 * blue < red)) == len(KEYS)  # their names
    assert lines(blue > 60) == len(KEYS) + bool(about)  # what they do
    assert lines(np.abs(inner - WHITE).max(2) < 60) == len(KEYS)


@given(size=st.tuples(st.integers(420, 1500), st.integers(340, 1000)), letters=st.integers(0, 60))
def test_the_help_fits_on_a_canvas_that_is_narrow(size: tuple[int, int], letters: int) -> None:
    view = filled(*size)
    place = changed(view, replace(view, help=True, about="n" * letters), *size)
    assert place.x > 0
    assert place.x + place.width < size[0]


def test_what_the_help_is_about_is_only_said_there() -> None:
    assert np.array_equal(draw(NOTHING, 400, 300), draw(replace(NOTHING, about="about"), 400, 300))


def test_the_help_can_be_read_over_any_picture() -> None:
    canvas = draw(replace(filled(801, 601, level=255), help=True), 801, 601)
    place = where(~of_color(canvas[: bar_top(801, 601)], WHITE))
    assert canvas[place.y, place.x].max() < 100


# letters


@pytest.mark.parametrize(
    "text", ["日本語", "😀", "שלום", "é ü ß", "a\nb", "\t\r\0\x1b", "\udcff", "\u200b", "\u2028", "", " ", "W" * 3000]
)
def test_letters_that_the_font_lacks_do_no_harm(text: str) -> None:
    """Files, and so styles, can be called anything."""
    view = replace(NOTHING, status=text, notice=text, about=text, help=True)
    assert draw(view, 300, 200).shape == (200, 300, 3)


def test_the_font_has_every_letter_that_the_program_itself_writes() -> None:
    missing = _letters("\ue000", 30)
    texts = [slider.label + slider.text(slider.get(KNOBS)) for slider in SLIDERS]
    texts += [names + text for names, _, _, text in KEYS] + [" · "]
    for letter in set("".join(texts)):
        assert not np.array_equal(_letters(letter, 30), missing), letter


# sizes


@given(picture=st.integers(1, 3000))
def test_tall_enough_is_as_little_as_is_enough(picture: int) -> None:
    height = tall_enough(picture)
    assert bar_top(160, height) >= picture
    assert bar_top(160, height - 1) < picture if height > 1 else True


def test_in_a_window_that_is_tall_enough_the_picture_has_its_own_size() -> None:
    picture = blobs(357, 640)
    height = tall_enough(357)
    canvas = draw(View(picture, None, KNOBS), 640, height)
    assert np.array_equal(canvas[:357], picture[..., ::-1])


# views


OTHERS: dict[str, Any] = {
    "painted": SOURCE,
    "source": PAINTING,
    "knobs": replace(KNOBS, size=640),
    "status": "other",
    "notice": "other",
    "about": "other",
    "recording": 1,
    "count": 1,
    "flash": 0.5,
    "compare": Compare.SIDE,
    "split": 0.4,
    "sliders": True,
    "help": True,
    "mirrored": True,
}
"""Of each field, what it is not in `BOTH`."""


def test_views_that_are_the_same_in_everything_look_alike() -> None:
    assert BOTH.looks_like(replace(BOTH))
    assert BOTH.looks_like(replace(BOTH, knobs=replace(KNOBS), status="".join(())))


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(View)])
def test_views_that_differ_in_anything_do_not(field: str) -> None:
    """Else a change would not be drawn. Pictures count as changed when they are others."""
    others = [OTHERS[field]]
    if field in ("painted", "source"):
        others += [getattr(BOTH, field).copy(), None]
    for value in others:
        other = replace(BOTH, **{field: value})
        assert not BOTH.looks_like(other)
        assert not other.looks_like(BOTH)
