"""Flow: warping against motions known by formula, masks against scenes made by hand, estimates against ground truth."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from media import DATA, blobs, read_png, sliding
from numpy.typing import NDArray
from torch import Tensor

from nst_video.crop import EVERYWHERE, cut
from nst_video.flow import (
    MARGIN,
    MOST,
    STILL,
    FlowEstimator,
    Flows,
    agreed,
    backward_warp,
    changed_part,
    grey,
    inside,
    motion_boundaries,
    moving_part,
    occlusion_mask,
    remap,
    steady,
    way_back,
)


def positions(height: int, width: int) -> tuple[Tensor, Tensor]:
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    return x, y


def uniform(height: int, width: int, x: float, y: float) -> Tensor:
    return torch.tensor([float(x), float(y)]).view(1, 2, 1, 1).expand(1, 2, height, width).clone()


def waves(x: Tensor, y: Tensor) -> Tensor:
    """A smooth picture known at every point of the plane, two channels."""
    return torch.stack((torch.sin(x / 9 + y / 15), torch.cos(x / 12 - y / 7)))[None]


# warping


@pytest.mark.parametrize(("dx", "dy"), [(2, -3), (-4, 0), (0, 5)])
def test_whole_pixels_are_moved_exactly(dx: int, dy: int) -> None:
    """out(p) = image(p + flow(p)), x before y."""
    image = torch.rand(1, 3, 20, 30)
    moved = backward_warp(image, uniform(20, 30, dx, dy))
    wanted = torch.roll(image, (-dy, -dx), (2, 3))
    assert torch.allclose(moved[..., 5:-5, 5:-5], wanted[..., 5:-5, 5:-5], atol=1e-5)


def test_parts_of_pixels_are_interpolated() -> None:
    x, y = positions(40, 50)
    moved = backward_warp(waves(x, y), uniform(40, 50, 1.4, -2.7))
    wanted = waves(x + 1.4, y - 2.7)
    assert (moved - wanted)[..., 4:-4, 4:-4].abs().max() < 0.005
    ramp = (0.02 * x + 0.01 * y)[None, None]  # which bilinear interpolation moves without any error
    moved = backward_warp(ramp, uniform(40, 50, 0.3, 0.6))
    assert torch.allclose(moved[..., :-1, :-1], (ramp + 0.006 + 0.006)[..., :-1, :-1], atol=1e-5)


def test_a_rotation_is_followed() -> None:
    x, y = positions(41, 61)
    angle = math.radians(7)
    across, down = x - 30, y - 20
    there_x = 30 + math.cos(angle) * across - math.sin(angle) * down
    there_y = 20 + math.sin(angle) * across + math.cos(angle) * down
    moved = backward_warp(waves(x, y), torch.stack((there_x - x, there_y - y))[None])
    inside = (there_x > 0) & (there_x < 60) & (there_y > 0) & (there_y < 40)
    assert inside.float().mean() > 0.8
    assert (moved - waves(there_x, there_y))[..., inside].abs().max() < 0.005


def test_beyond_the_border_its_edge_is_repeated() -> None:
    x, y = positions(8, 9)
    moved = backward_warp(waves(x, y), uniform(8, 9, 100, 0))
    assert torch.allclose(moved, waves(x, y)[..., -1:].expand(1, 2, 8, 9), atol=1e-5)


def test_steady_drops_small_motions_only_and_whole() -> None:
    flow = torch.tensor([[0.2, 0.1], [0.2, 0.2], [STILL, 0.0], [-3.0, 0.01]]).T.view(1, 2, 1, 4)
    assert torch.equal(steady(flow)[..., :1], torch.zeros(1, 2, 1, 1))
    assert torch.equal(steady(flow)[..., 1:], flow[..., 1:])


def test_still_pixels_do_not_blur_over_a_hundred_frames() -> None:
    image = torch.rand(1, 3, 96, 128)
    shaking = 0.1 * torch.randn(1, 2, 96, 128, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    kept = blurred = image
    for _ in range(100):
        kept, blurred = backward_warp(kept, steady(shaking)), backward_warp(blurred, shaking)
    assert torch.allclose(kept, image, atol=2e-3)
    assert (blurred - image).abs().mean() > 0.05  # the fault that this guards against


# masks


def square_scene() -> tuple[Tensor, Tensor]:
    """A square that moves 6 to the right over a still background: flow backward, forward."""
    backward, forward = torch.zeros(1, 2, 50, 60), torch.zeros(1, 2, 50, 60)
    backward[:, 0, 15:35, 26:46] = -6
    forward[:, 0, 15:35, 20:40] = 6
    return backward, forward


def test_occlusion_mask_finds_what_a_moving_square_uncovers() -> None:
    mask = occlusion_mask(*square_scene())
    wanted = torch.ones(1, 1, 50, 60)
    wanted[..., 15:35, 20:26] = 0
    assert torch.equal(mask, wanted)


def test_occlusion_mask_drops_what_left_the_image() -> None:
    flow = uniform(20, 30, -4, 2)
    wanted = torch.zeros(1, 1, 20, 30)
    wanted[..., :18, 4:] = 1
    assert torch.equal(occlusion_mask(flow, -flow), wanted)


def test_occlusion_mask_allows_a_hundredth_of_the_motion_and_half_a_pixel() -> None:
    """|w + ŵ|² against 0.01 (|w|² + |ŵ|²) + 0.5, just under and just over."""
    still = torch.zeros(1, 2, 9, 9)
    assert occlusion_mask(still, uniform(9, 9, 0.70, 0)).all()
    assert not occlusion_mask(still, uniform(9, 9, 0.72, 0)).any()
    flow = uniform(9, 99, 10, 0)  # 0.01 (100 + 72) + 0.5 = 1.49²
    assert occlusion_mask(flow, uniform(9, 99, -8.55, 0))[..., :80].all()
    assert not occlusion_mask(flow, uniform(9, 99, -8.45, 0)).any()


def test_motion_boundaries_line_a_moving_square() -> None:
    backward, _ = square_scene()
    away = motion_boundaries(backward)[0, 0]
    assert away.shape == (50, 60)
    assert not away[15:35, 25].any()  # one column left of the square
    assert not away[14, 26:46].any()  # one row above it
    assert away[17:33, 28:44].all()
    assert away[:13].all()


def test_a_slow_zoom_has_no_motion_boundaries() -> None:
    x, y = positions(20, 30)
    assert motion_boundaries(torch.stack((0.02 * (x - 15), 0.02 * (y - 10)))[None]).all()
    assert not motion_boundaries(torch.stack((0.2 * (x - 15), 0.0 * y))[None])[..., 8:20].any()


# estimates


def test_grey_is_the_luminance() -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[..., 0] = 200  # red weighs 0.299, blue 0.114
    found = grey(pixels)
    assert found.shape == (40, 60)
    assert found.dtype == np.uint8
    assert abs(float(found.mean()) - 0.299 * 200) < 1


@pytest.mark.parametrize(("dx", "dy"), [(3.0, 0.0), (-1.5, 2.25), (0.0, 0.0)])
def test_a_translation_is_estimated_within_a_third_of_a_pixel(dx: float, dy: float) -> None:
    """The previous frame is the current one with everything (dx, dy) further: current(p) = previous(p + flow)."""
    height, width, margin = 120, 160, 8
    scene = torch.from_numpy(grey(blobs(136, 176, seed=5))).float()[None, None]
    texture = scene + 20 * torch.randn(scene.shape, generator=torch.Generator().manual_seed(1))
    texture = torch.nn.functional.avg_pool2d(texture, 3, 1, 1)
    shifted = backward_warp(texture, uniform(136, 176, -dx, -dy))
    cut = (slice(margin, margin + height), slice(margin, margin + width))
    current, previous = (np.ascontiguousarray(t[0, 0][cut].round().byte().numpy()) for t in (texture, shifted))
    backward, forward = FlowEstimator()(previous, current)
    assert backward.shape == forward.shape == (1, 2, height, width)
    for flow, sign in ((backward, 1), (forward, -1)):
        error = (flow - sign * uniform(height, width, dx, dy)).norm(dim=1)[..., 10:-10, 10:-10]
        assert error.median() < 0.3


@pytest.mark.parametrize("shape", [(16, 32), (16, 16), (33, 17), (32, 16)])
def test_tiny_frames_have_a_flow(shape: tuple[int, int]) -> None:
    picture = grey(blobs(*shape))
    backward, forward = FlowEstimator()(picture, picture)
    assert backward.shape == forward.shape == (1, 2, *shape)
    assert backward.abs().max() < 0.1


# ground truth: Baker et al., "A Database and Evaluation Methodology for Optical Flow", IJCV 2011

MIDDLEBURY = DATA / "flow" / "middlebury"
SCENES = ("Dimetrodon", "Grove2", "RubberWhale", "Venus")


def read_flo(path: Path) -> tuple[Tensor, Tensor]:
    """The flow (1, 2, H, W) of a .flo file, and where it is known (H, W)."""
    data = path.read_bytes()
    assert data[:4] == b"PIEH"
    width, height = np.frombuffer(data, "<i4", 2, 4)
    flow = torch.from_numpy(np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2).copy())
    known = (flow.abs() < 1e9).all(2)
    return torch.where(known[..., None], flow, 0).permute(2, 0, 1)[None], known


@pytest.mark.parametrize("scene", SCENES)
def test_flow_and_mask_hold_against_ground_truth(scene: str) -> None:
    """`flow10.flo` is where each pixel of frame 10 lies in frame 11, so 11 is the "previous" frame here."""
    folder = MIDDLEBURY / scene
    if not (folder / "flow10.flo").is_file():
        pytest.skip(f"no Middlebury flow at {MIDDLEBURY}")
    here, there = (read_png(folder / name) for name in ("frame10.png", "frame11.png"))
    truth, known = read_flo(folder / "flow10.flo")
    estimate, opposite = FlowEstimator()(grey(there), grey(here))

    error = (estimate - truth).norm(dim=1)[0][known]
    assert error.median() < 0.25
    assert (error < 1).float().mean() > 0.9

    mask = occlusion_mask(truth, opposite)[0, 0] > 0
    assert mask[known].float().mean() > 0.9

    wanted, source = (torch.from_numpy(p).permute(2, 0, 1)[None].float() / 255 for p in (here, there))
    square = (backward_warp(source, truth) - wanted).square().mean(1)[0]
    unwarped = (source - wanted).square().mean(1)[0]
    inside = mask & known
    assert square[inside].mean() < 0.1 * unwarped[inside].mean()
    assert square[inside].mean() < square[known].mean()


def test_the_flow_of_a_plain_wall_is_none_or_what_its_surroundings_do() -> None:
    """All that is to be seen there is noise; a guess would make the painting of it swim."""
    dice = np.random.default_rng(0)
    wall = np.full((96, 128), 120.0)
    before, after = (np.asarray(np.rint(wall + dice.normal(0, 1.5, wall.shape)), np.uint8) for _ in range(2))
    flow, _ = FlowEstimator()(before, after)
    assert flow.norm(dim=1).mean() < 0.1
    scene = cv2.GaussianBlur(dice.normal(120, 90, (96, 140)), (5, 5), 0)
    scene[30:60, 50:80] = 120
    scene = np.clip(scene, 0, 255)
    before, after = (
        np.asarray(np.clip(np.rint(scene[:, x : x + 128] + dice.normal(0, 1, (96, 128))), 0, 255), np.uint8)
        for x in (0, 4)
    )
    flow, _ = FlowEstimator()(before, after)
    assert flow[0, 0, 40:50, 56:66].mean().item() == pytest.approx(4, abs=0.5)


def test_two_estimates_agree_on_their_mean() -> None:
    flow = uniform(20, 30, 2.0, 0.0)
    flow = agreed(flow, way_back(flow, uniform(20, 30, -3.0, 1.0)))
    assert torch.allclose(flow, uniform(20, 30, 2.5, -0.5))


def test_agreement_is_nearer_to_the_truth_than_either() -> None:
    folder = MIDDLEBURY / "Venus"
    if not (folder / "flow10.flo").is_file():
        pytest.skip(f"no Middlebury flow at {MIDDLEBURY}")
    here, there = (grey(read_png(folder / name)) for name in ("frame10.png", "frame11.png"))
    truth, known = read_flo(folder / "flow10.flo")
    flow, opposite = FlowEstimator()(there, here)
    alone, together = ((f - truth).norm(dim=1)[0][known].mean() for f in (flow, agreed(flow, way_back(flow, opposite))))
    assert together < alone


def test_inside_is_where_the_flow_stays_in_the_picture() -> None:
    wanted = torch.zeros(1, 1, 20, 30)
    wanted[..., :18, 4:] = 1
    assert torch.equal(inside(uniform(20, 30, -4, 2)), wanted)
    wanted[..., :19, 3:] = 1
    assert torch.equal(inside(uniform(20, 30, -4, 2), 1.0), wanted)
    assert inside(uniform(20, 30, 0.9, -1), 1.0).min() == 1


def test_an_array_is_moved_like_a_tensor() -> None:
    flow = 3 * torch.randn(1, 2, 20, 30, generator=torch.Generator().manual_seed(0))
    image = torch.rand(1, 3, 20, 30)
    moved = remap(image[0].permute(1, 2, 0).numpy(), flow)
    # OpenCV interpolates in 32nds of a pixel
    assert np.abs(moved - backward_warp(image, flow)[0].permute(1, 2, 0).numpy()).max() < 0.06


def test_a_sharp_warp_keeps_detail_that_a_plain_one_loses() -> None:
    texture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    texture = torch.nn.functional.avg_pool2d(texture, 3, 1, 1)
    sharp = plain = texture
    half = uniform(64, 64, 0.5, 0)
    for _ in range(4):
        sharp, plain = backward_warp(sharp, half, sharp=True), backward_warp(plain, half)
    wanted = torch.roll(texture, -2, 3)
    errors = [(moved - wanted)[..., 8:-8, 8:-8].square().mean() for moved in (sharp, plain)]
    assert errors[0] < 0.5 * errors[1]
    assert sharp[..., 8:-8, 8:-8].var() < wanted[..., 8:-8, 8:-8].var()  # and does not sharpen
    x, y = positions(8, 9)
    beyond = backward_warp(waves(x, y), uniform(8, 9, 100, 0), sharp=True)
    assert torch.allclose(beyond, waves(x, y)[..., -1:].expand(1, 2, 8, 9), atol=1e-4)


def test_the_flow_is_the_same_wherever_its_pictures_lie_in_memory() -> None:
    """Else a film that is resumed would not be the one that is made in one go."""
    pan = np.ascontiguousarray(sliding(5, 48, 64, seed=1))
    for index, frame in enumerate(pan):
        frame[:, 8 + 6 * index : 20 + 6 * index] = 30  # a post, whose edges are where it shows
    frames = [grey(frame) for frame in pan]
    dice, kept = np.random.default_rng(0), list[NDArray[np.uint8]]()

    def flows() -> list[Tensor]:
        kept.extend(np.empty(16 * dice.integers(1, 99), np.uint8) for _ in range(5))  # the next ones lie elsewhere
        return [FlowEstimator()(here.copy(), there.copy())[0] for here, there in pairwise(frames)]

    first = flows()
    for _ in range(60):
        assert all(torch.equal(one, other) for one, other in zip(flows(), first, strict=True))


def patch(x: int, y: int = 40) -> NDArray[np.uint8]:
    """Something textured before a textured wall."""
    picture = cv2.cvtColor(blobs(120, 160, seed=3), cv2.COLOR_RGB2GRAY) // 2
    picture[y : y + 30, x : x + 30] = cv2.cvtColor(blobs(30, 30, seed=8), cv2.COLOR_RGB2GRAY) // 2 + 120
    return np.asarray(picture, np.uint8)


def changed_only(estimator: FlowEstimator, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Flows:
    return estimator(before, after, 2.0, changed_part(before, after))


def test_only_what_has_changed_is_searched() -> None:
    parts = list[tuple[int, ...]]()

    class Noted(FlowEstimator):
        def _between(
            self, previous: NDArray[np.uint8], current: NDArray[np.uint8], scale: float
        ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            parts.append(previous.shape)
            return super()._between(previous, current, scale)

    before, after = patch(60), patch(63)
    backward, forward = changed_only(Noted(), before, after)
    ((height, width),) = parts
    assert 30 + 2 * MARGIN <= height <= 36 + 2 * MARGIN
    assert 33 + 2 * MARGIN <= width <= 39 + 2 * MARGIN
    inside = (slice(46, 64), slice(70, 86))
    for flow, way in ((backward, -3), (forward, 3)):
        assert flow[0, 0][inside].median().item() == pytest.approx(way, abs=0.3)
        outside = flow.clone()
        outside[:, :, 34 - MARGIN : 76 + MARGIN, 54 - MARGIN : 99 + MARGIN] = 0
        assert not outside.any()
    whole, _ = FlowEstimator()._between(before, after, 2.0)
    assert np.abs(whole[inside] - backward[0].permute(1, 2, 0).numpy()[inside]).max() < 0.5


@pytest.mark.parametrize("place", [(0, 0), (0, 130), (90, 0), (90, 130)])
def test_what_changes_in_a_corner_is_searched_there(place: tuple[int, int]) -> None:
    before = patch(60)
    after, rows, columns = before.copy(), slice(place[0], place[0] + 30), slice(place[1], place[1] + 30)
    after[rows, columns] = np.roll(before, 2, axis=1)[rows, columns]
    backward, _ = changed_only(FlowEstimator(), before, after)
    assert backward[0, 0, rows, columns][10:-10, 10:-10].median().item() == pytest.approx(-2, abs=0.6)
    assert backward.shape == (1, 2, 120, 160)


def test_nothing_is_searched_where_nothing_has_changed() -> None:
    class Never(FlowEstimator):
        def _between(self, *_: object) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            raise AssertionError

    noise = np.random.default_rng(0).normal(0, 1.5, (120, 160))
    noisy = np.asarray(np.rint(patch(60) + noise), np.uint8)
    assert not changed_only(Never(), patch(60), noisy)[0].any()
    with pytest.raises(AssertionError):
        Never()(patch(60), noisy)  # unless it is told which part, all is searched


def test_a_camera_that_moves_is_searched_for_everywhere() -> None:
    """What has changed reaches three sides; the fourth has nothing that could change."""
    picture = np.asarray(cv2.cvtColor(blobs(120, 200, seed=3), cv2.COLOR_RGB2GRAY), np.uint8)
    picture[:60] = 128
    here, there = picture[:, :160].copy(), picture[:, 2:162].copy()
    found, whole = changed_only(FlowEstimator(), here, there)[0], FlowEstimator()._between(here, there, 2.0)[0]
    assert np.array_equal(found[0].permute(1, 2, 0).numpy(), whole)
    assert found[0, 0, 70:110, 20:140].median().item() == pytest.approx(2, abs=0.2)


def test_a_camera_that_moves_too_slowly_to_change_anything_is_searched_for_everywhere() -> None:
    rough = cv2.GaussianBlur(np.random.default_rng(2).normal(0, 200, (120, 160)), (0, 0), 6) + 128
    here = np.asarray(np.rint(rough), np.uint8)
    for shift, searched in ((0.12, True), (0.02, False)):
        matrix = np.array([[1, 0, -shift], [0, 1, 0]])
        there = np.asarray(
            np.rint(cv2.warpAffine(rough, matrix, (160, 120), borderMode=cv2.BORDER_REPLICATE)), np.uint8
        )
        assert np.abs(there.astype(int) - here).max() <= 3
        assert changed_only(FlowEstimator(), here, there)[0].any().item() == searched


SIZES = st.tuples(st.integers(40, 150), st.integers(40, 150))


@given(SIZES, st.data())
def test_what_moves_and_where_it_comes_from_lie_well_within_the_part_that_moves(
    size: tuple[int, int], data: st.DataObject
) -> None:
    flow = torch.zeros(1, 2, *size)
    for _ in range(data.draw(st.integers(1, 2))):
        top, left = (data.draw(st.integers(0, length - 1)) for length in size)
        down, across = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
        flow[0, :, top : top + down, left : left + across] = torch.tensor(
            data.draw(st.tuples(st.floats(-20, 20, width=32), st.floats(0.25, 20, width=32)))
        ).view(2, 1, 1)
    around, multiple = data.draw(st.sampled_from([(3, 8), (20, 8), (0, 1)]))
    part = moving_part(flow, around, multiple)
    assert part is not None
    for side, length, way in zip(part, size, (1, 0), strict=True):
        first, last = side.start or 0, length if side.stop is None else side.stop
        assert first % multiple == 0
        assert last == length or last % multiple == 0
        at = (flow[0] != 0).any(0).nonzero()[:, 1 - way]
        from_there = at + flow[0, way][(flow[0] != 0).any(0)]
        for places in (at.float(), from_there):
            assert places.clamp(0, length - 1).min() >= min(first + around, length - 1) or first == 0
            assert places.clamp(0, length - 1).max() <= max(last - 1 - around, 0) or last == length
    assert part == EVERYWHERE or cut(flow, part).numel() < MOST * flow.numel()


def test_where_nothing_moves_there_is_no_part_and_most_of_a_picture_is_all_of_it() -> None:
    flow = torch.zeros(1, 2, 80, 120)
    assert moving_part(flow, 20, 8) is None
    flow[..., 40, 60] = 0.5
    assert moving_part(flow, 4, 8) == (slice(32, 48), slice(48, 72))
    flow[..., 3:76, 5:99] = 0.5
    assert moving_part(flow, 4, 8) == EVERYWHERE
