"""Where the painting of a frame begins. What comes of it, `test_stylizer` looks at, frame by frame."""

from __future__ import annotations

import pytest
import torch

from nst_video.adam import Moments
from nst_video.flow import Motion
from nst_video.warm_start import FAINT, REPAINT, _carry_moments, _to_be_repainted


def test_every_level_of_the_moments_moves_by_its_own_share_of_the_flow() -> None:
    """What was eight pixels to the right is one pixel to the right on the level of an eighth the size."""
    image = torch.zeros(1, 3, 64, 96)
    ramp = tuple(
        torch.arange(level.shape[3], dtype=torch.float32).expand(level.shape).clone()
        for level in Moments.zero(image).mean
    )
    flow = torch.zeros(1, 2, 64, 96)
    flow[:, 0] = 8
    ripeness = torch.rand(1, 1, 64, 96)
    carried = _carry_moments(Moments(ramp, ramp, torch.zeros_like(ripeness), age=7), flow, ripeness)
    assert carried.ripeness is ripeness
    assert carried.age == 7
    for level, (before, after) in enumerate(zip(ramp, carried.mean, strict=True)):
        shift = 8 // 2**level
        assert torch.allclose(after[..., :-shift], before[..., :-shift] + shift, atol=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(carried.mean, carried.square, strict=True))


@pytest.mark.parametrize(
    ("change", "kept"), [(0, 1), (FAINT, 1), (-FAINT, 1), (FAINT + REPAINT / 4, 0.75), (-FAINT - REPAINT, 0), (1, 0)]
)
def test_a_change_makes_unripe_as_far_as_it_is_more_than_faint(change: float, kept: float) -> None:
    """What noise leaves of a light's change is next to nothing, but there in every frame: pixels would never rest."""
    one = torch.ones(1, 1, 4, 5)
    motion = Motion(torch.zeros(1, 2, 4, 5), one, one, torch.zeros_like(one), torch.full((1, 3, 4, 5), float(change)))
    carried = _to_be_repainted(100 * one, motion, one, blur_cost=1)
    assert torch.allclose(carried, 100 * kept * one, atol=1e-3)


def test_what_has_to_be_interpolated_is_put_back_by_the_cost_of_its_blur() -> None:
    one = torch.ones(1, 1, 4, 6)
    moved = one.clone()
    moved[..., :3] = 0
    motion = Motion(torch.zeros(1, 2, 4, 6), one, one, moved, torch.zeros(1, 3, 4, 6))
    assert torch.equal(_to_be_repainted(20 * one, motion, one, blur_cost=1.5), 20 - 1.5 * moved)
    assert _to_be_repainted(one, motion, one, blur_cost=1.5).min() == 0
