"""Where the painting of a frame begins. What comes of it, `test_stylizer` looks at, frame by frame."""

from __future__ import annotations

import torch

from nst_video.adam import Moments
from nst_video.warm_start import _carry_moments


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
