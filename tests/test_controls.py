"""Knobs, sliders and keys: whatever is turned, what comes of it is valid; whatever is pressed means one thing."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nst_video.controls import COLORS, KEYS, SLIDERS, Act, Command, Knobs, Slider, command
from nst_video.settings import LiveConfig, StyleSettings

DEFAULT = Knobs(StyleSettings(), 320)
STANDS = {
    "style strength": (1, "100 %"),
    "likeness": (1 / 2, "0.050"),
    "stability": (1 / 2, "50 %"),
    "style scale": (1 / 2, "1.00 x"),
    "detail": (0.4406, "320 px"),
    "hue": (1 / 2, "+0°"),
    "saturation": (1 / 2, "100 %"),
    "brightness": (1 / 2, "100 %"),
    "colours": (0, "the style's"),
}
"""Where each slider stands by default, and what it says there."""

each_slider = pytest.mark.parametrize("slider", SLIDERS, ids=lambda slider: slider.label)
positions = st.floats(0, 1)


def turnable() -> dict[str, Any]:
    """The settings that have a slider, each with all the values that are valid, not only the slider's own."""
    fields = {field.name: field for field in dataclasses.fields(StyleSettings)}
    ranges: dict[str, Any] = {"original_colors": st.sampled_from(COLORS)}
    for name in ("strength", "content_weight", "stability", "style_scale", "hue", "saturation", "brightness"):
        limits = fields[name].metadata
        ranges[name] = st.floats(limits["low"], min(limits["high"], 1e6))
    return ranges


(SIZE,) = (field.metadata for field in dataclasses.fields(LiveConfig) if field.name == "size")
knobs_of_all_kinds = st.builds(
    Knobs,
    settings=st.builds(StyleSettings, **turnable()),
    size=st.integers(SIZE["low"], SIZE["high"]),
    begun=st.integers(0, 9),
)


def moved(slider: Slider, knobs: Knobs, by: float) -> Knobs:
    """The knobs with this one changed by so much, but not beyond the slider's ends."""
    return slider.set(knobs, min(max(slider.get(knobs) + by, slider.low), slider.high))


def everything_else(slider: Slider, knobs: Knobs) -> Knobs:
    """The knobs with this one put to one and the same value: what is left to differ is not its own."""
    return slider.set(knobs, slider.low)


# sliders


@each_slider
@given(knobs=knobs_of_all_kinds)
def test_every_slider_stands_between_its_ends_and_says_something(slider: Slider, knobs: Knobs) -> None:
    assert 0 <= slider.position(knobs) <= 1
    assert slider.text(slider.get(knobs)).strip()


@each_slider
@given(knobs=knobs_of_all_kinds, position=positions)
def test_a_slider_comes_to_stand_where_it_is_pulled_to_within_one_step(
    slider: Slider, knobs: Knobs, position: float
) -> None:
    turned = slider.turned(knobs, position)
    below, above = (slider.position(moved(slider, turned, by)) for by in (-slider.step, slider.step))
    assert below - 1e-9 <= position <= above + 1e-9
    assert below < slider.position(turned) or position < above
    assert slider.low <= slider.get(turned) <= slider.high


@each_slider
@given(knobs=knobs_of_all_kinds, position=positions)
def test_what_is_pulled_to_where_it_stands_stays_as_it_is(slider: Slider, knobs: Knobs, position: float) -> None:
    """Else a click without a pull would turn it, and every further one again."""
    turned = slider.turned(knobs, position)
    assert slider.turned(turned, slider.position(turned)) == turned


@each_slider
@given(knobs=knobs_of_all_kinds, position=positions)
def test_values_lie_on_the_steps_or_at_an_end(slider: Slider, knobs: Knobs, position: float) -> None:
    value = slider.get(slider.turned(knobs, position))
    steps = value / slider.step
    assert value == round(value, 6), "a file that tells of it is read by people"
    assert value in (slider.low, slider.high) or steps == pytest.approx(round(steps), abs=1e-6)


@each_slider
@given(knobs=knobs_of_all_kinds, position=st.floats(-1e9, 1e9))
def test_beyond_its_ends_a_slider_stays_at_them(slider: Slider, knobs: Knobs, position: float) -> None:
    turned = slider.turned(knobs, position)
    if position <= 0:
        assert (slider.get(turned), slider.position(turned)) == (slider.low, 0)
    if position >= 1:
        assert (slider.get(turned), slider.position(turned)) == (slider.high, 1)


@each_slider
def test_every_step_can_be_reached(slider: Slider) -> None:
    count = round((slider.high - slider.low) / slider.step)
    for number in range(count + 1):
        value = min(round(slider.low + number * slider.step, 6), slider.high)
        at = slider.position(slider.set(DEFAULT, value))
        assert slider.get(slider.turned(DEFAULT, at)) == pytest.approx(value, abs=1e-6)


@each_slider
@given(knobs=knobs_of_all_kinds, position=positions)
def test_a_slider_turns_its_own_value_and_no_other(slider: Slider, knobs: Knobs, position: float) -> None:
    turned = slider.turned(knobs, position)
    assert everything_else(slider, turned) == everything_else(slider, knobs)
    for other in SLIDERS:
        if other is not slider:
            assert other.get(turned) == other.get(knobs)
    assert turned.begun == knobs.begun


@each_slider
def test_every_slider_turns_something(slider: Slider) -> None:
    assert slider.turned(DEFAULT, 0) != slider.turned(DEFAULT, 1)
    assert slider.text(slider.low) != slider.text(slider.high)


def test_no_two_sliders_are_called_the_same() -> None:
    assert len({slider.label for slider in SLIDERS}) == len(SLIDERS)


@each_slider
def test_the_default_stands_where_it_says(slider: Slider) -> None:
    position, text = STANDS[slider.label]
    assert slider.position(DEFAULT) == pytest.approx(position, abs=1e-3)
    assert slider.text(slider.get(DEFAULT)) == text
    assert slider.turned(DEFAULT, slider.position(DEFAULT)) == DEFAULT


def test_sliders_by_ratios_give_every_doubling_the_same_way() -> None:
    for slider in (slider for slider in SLIDERS if slider.log):
        ways = [
            slider.position(slider.set(DEFAULT, 2 * value)) - slider.position(slider.set(DEFAULT, value))
            for value in (slider.low, slider.high / 2)
        ]
        assert ways[0] == pytest.approx(ways[1], rel=1e-6)


def test_only_what_costs_something_waits_until_it_is_let_go() -> None:
    """Another size sets everything up anew."""
    assert [slider.label for slider in SLIDERS if slider.lazy] == ["detail"]


@pytest.mark.parametrize(("position", "colors"), [(0, "none"), (0.5, "histogram"), (1, "luminance")])
def test_the_colours_go_from_the_styles_to_ones_own(position: float, colors: str) -> None:
    (slider,) = (slider for slider in SLIDERS if slider.label == "colours")
    turned = slider.turned(DEFAULT, position)
    assert turned.settings.original_colors == colors
    assert slider.position(turned) == position


def test_the_size_stays_a_whole_number() -> None:
    (slider,) = (slider for slider in SLIDERS if slider.label == "detail")
    turned = slider.turned(DEFAULT, 0.7)
    assert isinstance(turned.size, int)
    assert turned == replace(DEFAULT, size=turned.size)


# keys


def test_no_key_stands_for_two_acts() -> None:
    codes = Counter(code for _, codes, *_ in KEYS for code in codes)
    assert not [code for code, count in codes.items() if count > 1]


def test_every_act_has_a_key_and_a_help_text() -> None:
    assert Counter(act for _, _, act, _ in KEYS) == Counter(Act)
    for names, codes, _, text in KEYS:
        assert names.strip()
        assert text.strip()
        assert codes


@pytest.mark.parametrize(
    ("code", "act"), [pytest.param(code, act, id=f"{code} {act.name}") for _, codes, act, _ in KEYS for code in codes]
)
def test_every_key_does_what_the_help_says(code: int, act: Act) -> None:
    asked = command(code)
    assert asked is not None
    assert asked.act is act
    assert act is Act.PICK or asked == Command(act)


@pytest.mark.parametrize(("names", "codes"), [pytest.param(names, codes, id=names) for names, codes, *_ in KEYS])
def test_the_keys_that_the_help_names_are_those_that_are_heard(names: str, codes: tuple[int, ...]) -> None:
    special = {"space": ord(" "), "Tab": 9, "Esc": 27, "right": 65363, "left": 65361}
    named = ["1", "9"] if "…" in names else names.split(", ")
    for name in named:
        assert special.get(name) or ord(name) in codes
        assert special.get(name, ord(name[0])) in codes


@pytest.mark.parametrize("letter", sorted({chr(code) for _, codes, *_ in KEYS for code in codes if 97 <= code < 123}))
def test_upper_case_letters_are_heard_as_well(letter: str) -> None:
    """With Caps Lock on a window must not go deaf. Only S is a key of its own: more than a snapshot."""
    wanted = Command(Act.DEVELOP) if letter == "s" else command(ord(letter))
    assert wanted is not None
    assert command(ord(letter.upper())) == wanted


@pytest.mark.parametrize("digit", range(1, 10))
def test_digits_pick_the_styles_from_the_first_on(digit: int) -> None:
    assert command(ord(str(digit))) == Command(Act.PICK, digit - 1)


@pytest.mark.parametrize(
    "code",
    [
        *(-1, -2, -(2**31), ord("q") - 256, ord("q") - 0x10000),
        *(0, 1, ord("0"), ord("z"), ord("Z"), ord("é"), 126, 256 + ord("q"), 0x10000, 2**31 - 1, 2**40),
    ],
)
def test_other_keys_mean_nothing(code: int) -> None:
    assert command(code) is None


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(0xFF52, id="up"),
        pytest.param(0xFF54, id="down"),
        pytest.param(0xFF50, id="Home"),
        pytest.param(0xFF63, id="Insert"),
        pytest.param(0xFF31, id="Hangul"),
        pytest.param(0xFFE1, id="Shift"),
        pytest.param(0xFFBE, id="F1"),
        pytest.param(0xF708, id="F5 of macOS"),
        pytest.param(2490368, id="up of Windows"),
    ],
)
def test_keys_that_write_nothing_are_not_mistaken_for_letters(code: int) -> None:
    """Their lower byte often is one: the arrow up, 0xFF52, ends in an R."""
    assert command(code) is None


@pytest.mark.parametrize("modifiers", [0x10_0000, 0x1_0000, 0x11_0000])
def test_keys_are_heard_whatever_lock_is_on(modifiers: int) -> None:
    """Num Lock and others: GTK tells of them in the upper bits of the code."""
    for code in (ord("n"), ord("R"), ord("7"), 27, 65363):
        assert command(modifiers + code) == command(code) is not None


@given(code=st.integers())
def test_whatever_code_comes_nothing_breaks(code: int) -> None:
    asked = command(code)
    assert asked is None or asked.act in Act
    assert asked is None or 0 <= asked.number < 9
