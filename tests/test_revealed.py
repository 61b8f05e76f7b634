"""What is behind what moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nst_video.revealed import RESTED, SAME, SETTLED, SHADE, Backdrop, lit_anew, same

EVERYWHERE = np.ones((40, 60), np.bool_)
NOWHERE = ~EVERYWHERE


def grey(level: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.full((40, 60, 3), level, np.float32)


def left_half() -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    half = NOWHERE.copy()
    half[:, :30] = True
    return half


def test_what_passes_before_the_backdrop_leaves_it_as_it_was() -> None:
    backdrop = Backdrop.of(grey(50))
    for level in (200, 210, 220):
        content = np.where(left_half()[..., None], grey(level), grey(52))
        backdrop, _ = backdrop.after(content, left_half(), NOWHERE, NOWHERE)
    assert (backdrop.content[:, :28] == 50).all()
    assert (backdrop.content[:, 32:] == 52).all()  # it follows the light
    assert np.array_equal(backdrop.open[:, :28], NOWHERE[:, :28])
    assert backdrop.open[:, 32:].all()


def test_what_is_known_again_is_open_and_follows_the_light() -> None:
    backdrop, _ = Backdrop.of(grey(50)).after(grey(200), EVERYWHERE, NOWHERE, NOWHERE)
    backdrop, renewed = backdrop.after(grey(53), EVERYWHERE, left_half(), ~left_half())
    assert np.array_equal(backdrop.open, ~left_half())  # what moves may look like it, but is before it
    assert not renewed.any()
    backdrop, renewed = backdrop.after(grey(53), NOWHERE, NOWHERE, NOWHERE)
    assert np.array_equal(renewed, ~left_half())
    assert (backdrop.content[:, 30:] == 53).all()
    assert (backdrop.content[:, :30] == 50).all()


def test_a_shadow_goes_by_and_leaves_no_trace() -> None:
    backdrop = Backdrop.of(grey(150))
    for level in (145, 140, 130, 130, 130, 140, 145):
        backdrop, renewed = backdrop.after(grey(level), EVERYWHERE if level != 130 else NOWHERE, NOWHERE, NOWHERE)
        assert backdrop.open.all()
        assert not renewed.any()
        assert (backdrop.content == 150).all()
    backdrop, renewed = backdrop.after(grey(149), NOWHERE, NOWHERE, NOWHERE)
    assert renewed.all()
    assert (backdrop.content == 149).all()


@pytest.mark.parametrize(("level", "opens"), [(52, True), (70, False)])
def test_what_rests_and_looks_like_it_is_it(level: float, opens: bool) -> None:
    """A wall that was dragged along is a wall again."""
    backdrop, _ = Backdrop.of(grey(50)).after(grey(50), EVERYWHERE, EVERYWHERE, NOWHERE)
    for _ in range(RESTED):
        assert not backdrop.open.any()
        backdrop, _ = backdrop.after(grey(level), NOWHERE, NOWHERE, NOWHERE)
    assert backdrop.open.all() == opens
    assert backdrop.open.any() == opens


@pytest.mark.parametrize("rest", [SETTLED - 1, SETTLED, 300])
def test_what_rests_for_long_enough_becomes_a_part_of_it(rest: int) -> None:
    backdrop, _ = Backdrop.of(grey(50)).after(grey(200), EVERYWHERE, NOWHERE, NOWHERE)
    for _ in range(rest):
        backdrop, _ = backdrop.after(grey(200), NOWHERE, NOWHERE, NOWHERE)
    assert (backdrop.content == (200 if rest >= SETTLED else 50)).all()


def test_a_difference_is_forgiven_up_to_a_shadow_and_noise_is_none() -> None:
    assert same(grey(100), grey(100 + SAME - 1)).all()
    assert not same(grey(100), grey(100 - SAME - 1)).any()
    noise = np.random.default_rng(0).normal(0, 5, (40, 60, 3)).astype(np.float32)
    assert same(grey(100), grey(100) + noise).mean() > 0.9


COLOURS = st.floats(20, 200)


@given(red=COLOURS, green=COLOURS, blue=COLOURS, light=st.floats(-SHADE, SHADE), hue=st.floats(-40, 40))
def test_a_light_takes_the_same_share_of_all_colours_away(
    red: float, green: float, blue: float, light: float, hue: float
) -> None:
    """One against the others may change only by as much as noise."""
    wall = grey(1) * np.array([red, green, blue], np.float32)
    assert lit_anew(wall * np.float32(1 + light), wall).all()
    assume(abs(abs(hue) - SAME) > 0.1)
    assert lit_anew(wall + np.array([hue, -hue, 0], np.float32), wall).any() == (abs(hue) < SAME)


@pytest.mark.parametrize("much", [-2, 2])
def test_a_light_takes_away_no_more_than_a_shadow_does(much: float) -> None:
    """A pattern darkens as a whole; another wall is no wall in the shadow."""
    board = np.where(np.indices((40, 60)).sum(0)[..., None] // 4 % 2, grey(220), grey(60))
    assert lit_anew(board * np.float32(1 + SHADE / much), board).all()
    assert not lit_anew(grey(180 * (1 + SHADE * much)), grey(180)).any()
