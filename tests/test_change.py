"""What explains a change: noise, motion, or a light on what is behind everything."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from nst_video.change import CORE, FAST, MENDED, UNLIKE, changed, missed, to_paint
from nst_video.fields import Floats
from nst_video.revealed import Backdrop

PLACE = np.s_[30:60, 40:90]


def wall(seed: int = 0) -> Floats:
    """With a camera's noise."""
    noise = np.random.default_rng(seed).normal(0, 1, (90, 130, 3))
    return np.asarray(150 + noise, np.float32)


def along(level: float, speed: float, *, open: bool) -> float:
    """How much of a place on a wall that takes on this level is seen to move, if a flow of this speed explains all."""
    difference = np.zeros_like(wall())
    difference[PLACE] = level - 150
    content = wall(1) + cv2.GaussianBlur(difference, (0, 0), 3)
    behind = replace(Backdrop.of(wall(2)), open=np.full((90, 130), open))
    return float(changed(content, wall(), behind, content, np.full((90, 130), speed, np.float32)).along[PLACE].mean())


def test_noise_is_no_change() -> None:
    there = wall(1)
    found = changed(wall(1), wall(), Backdrop.of(wall(2)), there, np.full((90, 130), 5, np.float32))
    assert found.seen.mean() < 0.01
    assert found.moved.mean() < 0.01


@pytest.mark.parametrize(
    ("level", "speed", "open", "moves"),
    [
        (135, FAST + 1, True, False),  # a shadow
        (165, FAST + 1, True, False),  # a light
        (100, FAST + 1, True, True),  # too dark for one
        (135, FAST - 1, True, True),  # perhaps the camera's own motion
        (135, FAST + 1, False, True),  # something was before the wall, and may still be
    ],
)
def test_fast_motion_has_to_explain_more_than_a_light_on_the_wall_does(
    level: float, speed: float, open: bool, moves: bool
) -> None:
    share = along(level, speed, open=open)
    assert share > 0.9 if moves else share < 0.1


def test_what_moves_takes_as_little_of_a_wall_along_at_half_the_size() -> None:
    """As much of it as is within half the square that is asked, in the painting's pixels."""
    before, content = wall(), wall(1)
    content[PLACE] += np.random.default_rng(5).normal(0, 12, (30, 50, 1)).astype(np.float32)
    speed = np.full((90, 130), 5, np.float32)
    beside = [
        changed(content, before, Backdrop.of(wall(2)), content, speed, scale).along.sum() - 30 * 50 for scale in (1, 2)
    ]
    assert beside[0] > 1.7 * beside[1] > 0


def test_a_light_is_painted_whole_and_of_the_rest_what_is_large_and_moved() -> None:
    light = np.full((64, 96, 3), 12, np.float32)
    nowhere = np.zeros((64, 96), np.bool_)
    assert to_paint(light, nowhere) == pytest.approx(light, abs=1e-3)
    for size in (CORE / 2, 10 * CORE):
        detail = np.zeros_like(light)
        detail[28:36, 44:52] = size
        painted = to_paint(detail, ~nowhere)[30:34, 46:50].mean()
        assert painted == pytest.approx(size - CORE if size > CORE else 0, abs=0.15 * size)
        assert abs(to_paint(detail, nowhere)[30:34, 46:50].mean()) < 0.15 * size


def test_noise_and_a_light_are_nothing_that_a_painting_misses() -> None:
    light = np.linspace(-30, 30, 130, dtype=np.float32)[None, :, None]
    assert missed(wall() - wall(1)).max() == 0
    assert missed(wall() - wall(1) + light).max() == 0


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("share", [-0.2, 0.5, 1.4])
def test_the_more_the_details_differ_the_more_is_missed(share: float, sign: int) -> None:
    difference = np.zeros_like(wall())
    difference[:, 60:66] = sign * (MENDED + share * (UNLIKE - MENDED)) / 0.88  # the rest of it passes for a light
    arm = missed(difference)[:, 62:64]
    assert arm.mean() == pytest.approx(np.clip(share, 0, 1), abs=0.15)
    assert missed(difference)[:, :40].max() == 0


def test_a_thin_arm_is_missed_at_half_the_size_too() -> None:
    difference = np.zeros((60, 80, 3), np.float32)
    difference[:, 38:41] = 40
    assert missed(difference, 2.0)[:, 39].min() == 1
    assert missed(difference)[:, 39].max() < 0.9
