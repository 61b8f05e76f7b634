"""Where the painting of a frame begins. What comes of it, `test_stylizer` looks at, frame by frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nst_video.adam import COARSEST, Moments
from nst_video.crop import EVERYWHERE, cut
from nst_video.flow import Motion, moving_part
from nst_video.masks import Masks
from nst_video.painting import Behind, Prepared, State
from nst_video.revealed import Backdrop, Revealed
from nst_video.scene import Seen
from nst_video.settings import StyleSettings
from nst_video.sheet import SURROUNDINGS, Sheet
from nst_video.warm_start import FAINT, REPAINT, Beginning, _carry_moments, _to_be_repainted, behind, carry


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
    weight = torch.rand(1, 2, 64, 96)
    carried = _carry_moments(Moments(ramp, ramp, ripeness, weight, age=7), flow)
    assert torch.allclose(carried.ripeness[..., :-8], ripeness[..., 8:], atol=1e-4)
    assert torch.allclose(carried.weight[..., :-8], weight[..., 8:], atol=1e-4)
    assert carried.age == 7
    for level, (before, after) in enumerate(zip(ramp, carried.mean, strict=True)):
        shift = 8 // 2**level
        assert torch.allclose(after[..., :-shift], before[..., :-shift] + shift, atol=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(carried.mean, carried.square, strict=True))


@pytest.mark.parametrize("drift", [8.0, 1.5, 0.9, 0.0])
def test_of_what_comes_in_at_the_border_there_is_no_memory_unless_it_is_nearer_than_a_pixel(drift: float) -> None:
    """A strip that had the border's would take steps as short as the border's last ones: a pan would stay a photograph.
    A camera that drifts slowly would have its border begin anew in every frame."""
    one = torch.ones(1, 3, 64, 96)
    full = tuple(torch.ones_like(level) for level in Moments.zero(one).mean)
    flow = torch.zeros(1, 2, 64, 96)
    flow[:, 1] = -drift
    carried = _carry_moments(Moments(full, full, 50 * one[:, :1], one[:, :2], age=7), flow)
    strip = {8.0: 7, 1.5: 1}.get(drift, 0)  # as far as its own rows lie beyond, less the pixel
    for kept in (carried.weight, carried.mean[0], carried.square[0]):
        assert torch.equal(kept[:, :, :strip], torch.zeros_like(kept[:, :, :strip]))
        assert torch.allclose(kept[:, :, strip:], torch.ones_like(kept[:, :, strip:]))
    assert carried.mean[3][:, :, 0].mean() == pytest.approx(1 - strip / 8, abs=1e-5)


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
    motion = Motion(0.4 * moved.expand(1, 2, 4, 6), one, one, one, torch.zeros(1, 3, 4, 6))
    assert torch.equal(_to_be_repainted(20 * one, motion, one, blur_cost=1.5), 20 - 1.5 * moved)
    assert _to_be_repainted(one, motion, one, blur_cost=1.5).min() == 0


def test_behind_what_moves_another_painting_has_to_be_painted_again() -> None:
    """A hand stands before the wall while the style is changed: what is behind it is the wall, not the hand."""
    rough = np.random.default_rng(0).integers(40, 200, (48, 64, 3), dtype=np.uint8)
    seen = Seen(rough.astype(np.float32), backdrop=Backdrop.of(np.full((48, 64, 3), 51, np.float32)))
    image, one = torch.full((1, 3, 48, 64), 0.9), torch.ones(1, 1, 48, 64)
    half = one.clone()
    half[..., :32] = 0
    prepared = Prepared(rough, image, seen, None, revealed=Revealed(one, half, half))
    wall = Behind(torch.full_like(image, 0.1), 90 * one)
    old = StyleSettings()
    state = State(prepared, image, Moments.zero(image), old, {}, wall, Sheet.of(image))

    for was, wanted, colour, ripe in (
        (state, old, 0.1, 90),
        (state, replace(old, style_scale=2.0), 0.1, 0),
        (None, old, 0.2, 0),
    ):
        found = behind(was, prepared, wanted, image, 70 * one)
        assert torch.allclose(found.image[..., :32], torch.tensor(colour))
        assert torch.equal(found.ripeness[..., :32], torch.full((1, 1, 48, 32), float(ripe)))
        assert torch.equal(found.image[..., 32:], image[..., 32:])
        assert torch.equal(found.ripeness[..., 32:], 70 * one[..., 32:])


def test_what_is_in_the_shadow_is_painted_in_the_new_style_too() -> None:
    """It is open, but keeps the painting of its own light; not if that is of another style."""
    image, one = torch.full((1, 3, 48, 64), 0.9), torch.ones(1, 1, 48, 64)
    rough = np.full((48, 64, 3), 51, np.uint8)
    seen = Seen(rough.astype(np.float32), backdrop=Backdrop.of(rough.astype(np.float32)))
    prepared = Prepared(rough, image, seen, None, revealed=Revealed(0 * one, one, 0 * one))
    old, wall = StyleSettings(), Behind(torch.full_like(image, 0.1), 90 * one)
    state = State(prepared, image, Moments.zero(image), old, {}, wall, Sheet.of(image))
    assert torch.equal(behind(state, prepared, old, image, 70 * one).image, wall.image)
    for was in (state, None):
        assert torch.equal(behind(was, prepared, replace(old, style_scale=2.0), image, 70 * one).image, image)


def followed(ripeness: float, stability: float = 0.5, *, recalled: bool = False) -> tuple[torch.Tensor, Beginning]:
    """A painting, dark on the left, of something black: a frame later, when something grey has come to light in it,
    `recalled` from an earlier frame, which was painted white, or never seen."""
    image, one = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)) / 2, torch.ones(1, 1, 48, 64)
    image[..., :32] /= 2
    hole = torch.zeros_like(one)
    hole[..., 10:30, 20:40] = 1
    motion = Motion(12 * hole.expand(1, 2, 48, 64), 1 - hole, 1 - hole, hole, torch.zeros_like(image))
    seen = Seen(np.zeros((48, 64, 3), np.float32))
    settings, nothing = StyleSettings(stability=stability), torch.zeros_like(one)
    prepared = Prepared(np.zeros((48, 64, 3), np.uint8), torch.zeros_like(image), seen, motion)
    moments, white = replace(Moments.zero(image), ripeness=ripeness * one), torch.ones_like(image)
    around = Behind(image, one)
    state = State(prepared, image, moments, settings, {}, around, Sheet.of(image), earlier=(white,))
    if recalled:
        older = Motion(torch.zeros_like(motion.flow), hole, hole, one, motion.change)
        prepared = replace(prepared, recalled=((2, older),))
    prepared = replace(prepared, content=hole.expand_as(image) / 2, revealed=Revealed(nothing, one, one))
    found = carry(state, prepared, settings, Masks([]), follow=True)
    assert found is not None
    assert found.held is not None
    return image, found


@pytest.mark.parametrize(("height", "width"), [(96, 128), (91, 133)])
def test_the_part_that_moves_is_carried_as_all_of_it_is_and_the_rest_is_not_touched(height: int, width: int) -> None:
    dice = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, height, width, generator=dice)
    means, squares = (
        tuple(torch.rand(level.shape, generator=dice) for level in Moments.zero(image).mean) for _ in range(2)
    )
    steps = 40 + torch.rand(1, 1, height, width, generator=dice)
    moments = Moments(means, squares, steps, torch.rand(1, 2, height, width, generator=dice), age=7)
    flow = torch.zeros(1, 2, height, width)
    flow[0, :, 40:60, 90:] = torch.tensor([3.3, -1.7]).view(2, 1, 1)  # out of the picture, too
    part = moving_part(flow, SURROUNDINGS, COARSEST)
    assert part not in (None, EVERYWHERE)
    assert part is not None
    found, wanted = _carry_moments(moments, flow, part), _carry_moments(moments, flow)
    for mine, whole, before in zip(found.levels(), wanted.levels(), moments.levels(), strict=True):
        assert torch.allclose(mine, whole, atol=2e-3)
        assert not torch.allclose(mine, before, atol=0.1)
        level = round(height / mine.shape[2]).bit_length() - 1
        cut(mine, part, level).zero_()
        cut(before, part, level).zero_()
        assert torch.equal(mine, before)
    assert _carry_moments(moments, 0 * flow, None) is moments


def test_a_hole_begins_with_its_content_tinted_and_has_all_of_it_to_paint() -> None:
    image, found = followed(ripeness=80)
    hole = found.image[..., 10:30, 20:40]
    assert 0.5 < hole[..., :8].mean() < hole[..., -8:].mean() < 0.85  # as the surroundings are
    assert hole.std() < 0.1  # no strokes of what was there
    assert not found.moments.ripeness[..., 10:30, 20:40].any()
    assert torch.allclose(found.image[..., :9, :], image[..., :9, :])
    assert torch.allclose(found.moments.ripeness[..., :9, :], torch.tensor(80.0))


@pytest.mark.parametrize(
    ("ripeness", "stability", "share"),
    [(0, 0.5, 0), (30, 0.5, 0.3), (300, 0.5, 1), (30, 0.0, 0.3), (300, 0.0, 1), (30, 1.0, 0.6)],
)
def test_a_painting_is_held_on_to_as_far_as_it_is_one(ripeness: float, stability: float, share: float) -> None:
    """A photograph would stay one."""
    _, found = followed(ripeness, stability)
    assert found.held is not None
    assert torch.allclose(found.held.confidence[..., :9, :], torch.tensor(float(share)))
    assert not found.held.confidence[..., 10:30, 20:40].any()


def test_what_is_recalled_is_held_on_to() -> None:
    """It was painted once, but how ripe it was is not known any more."""
    _, found = followed(ripeness=30, recalled=True)
    assert found.held is not None
    assert torch.allclose(found.image[..., 10:30, 20:40], torch.tensor(1.0))
    assert torch.equal(found.held.confidence[..., 10:30, 20:40], torch.ones(1, 1, 20, 20))
    assert torch.allclose(found.held.confidence[..., :9, :], torch.tensor(0.3))
