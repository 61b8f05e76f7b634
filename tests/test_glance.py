"""What is seen at half the size: it is as large as the frame, moves by its pixels, and loses none of its detail."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from media import blobs
from test_scene import noisy, panned, shifts, textured

from nst_video.crop import EVERYWHERE, Part, enlarged_part
from nst_video.flow import FlowEstimator
from nst_video.frame import Pixels
from nst_video.glance import LARGER, LEAST, WORTH, enlarged_flow, glance, suffices
from nst_video.scene import Seen, see

ESTIMATOR = FlowEstimator()
HEIGHT, WIDTH = 2 * LEAST, 200


def watch(frames: list[Pixels], memory: tuple[int, ...] = ()) -> list[Seen]:
    seen = [glance(frames[0], None, ESTIMATOR, memory)]
    for frame in frames[1:]:
        seen.append(glance(frame, seen[-1], ESTIMATOR, memory))
    return seen


def larger(pixels: Pixels, times: int) -> Pixels:
    size = times * pixels.shape[1], times * pixels.shape[0]
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def coarse(height: int = HEIGHT, width: int = WIDTH, seed: int = 1) -> Pixels:
    """With texture that half the size shows, too."""
    return larger(textured(height // 2, width // 2, seed), 2)


def test_a_glance_is_taken_at_frames_of_few_iterations_unless_it_is_said_which_are() -> None:
    assert [suffices("auto", iterations) for iterations in (1, WORTH - 1, WORTH, 10)] == [True, True, False, False]
    assert [suffices("half", iterations) for iterations in (1, 10)] == [True, True]
    assert not any(suffices(flow, iterations) for flow in ("dis", "none") for iterations in (1, 10))


def test_a_first_frame_and_another_scene_are_seen_in_all_detail() -> None:
    one, other = textured(HEIGHT, WIDTH), textured(HEIGHT, WIDTH, seed=9)
    seen = watch([one, other])
    assert [frame.motion for frame in seen] == [None, None]
    assert np.array_equal(seen[0].content, one)
    assert np.array_equal(seen[1].content, other)


def test_what_changes_has_all_its_detail_and_the_rest_stays() -> None:
    before = textured(HEIGHT, WIDTH)
    after = before.copy()
    after[40:72, 60:100] = textured(32, 40, seed=7)
    seen = watch([before, after])[1]
    assert seen.motion is not None
    assert np.array_equal(seen.content[40:72, 60:100], after[40:72, 60:100])
    assert np.array_equal(seen.content[:, 140:], before[:, 140:])
    assert not seen.motion.moved[..., 140:].any()


def test_frames_may_lie_in_memory_as_they_like() -> None:
    """A camera's are mirrored, which copies nothing."""
    frames = [textured(HEIGHT, WIDTH), np.roll(textured(HEIGHT, WIDTH), 5, axis=1)]
    seen, mirrored = watch(frames)[1], watch([np.asfortranarray(frame) for frame in frames])[1]
    assert np.array_equal(mirrored.content, seen.content)
    assert seen.motion is not None
    assert mirrored.motion is not None
    assert torch.equal(mirrored.motion.flow, seen.motion.flow)


def test_a_cameras_noise_is_not_seen() -> None:
    clean = textured(HEIGHT, WIDTH)
    for one in watch([noisy(clean, seed) for seed in range(10)])[1:]:
        assert one.motion is not None
        assert one.motion.moved.mean() < 0.02
        assert one.motion.flow.abs().mean() < 0.01


@pytest.mark.parametrize("flickers", [0.005, 0.01, 0.02])
def test_a_light_that_flickers_on_a_gently_shaded_wall_moves_neither_it_nor_the_camera(flickers: float) -> None:
    """There and back agree on such a motion, and slopes are steeper at half the size. (On one that is shaded more, and
    has nothing else on it, it is still taken to.)"""
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    wall = (110 + 8 * across / WIDTH + 5 * np.sin(3 * down / HEIGHT))[..., None].repeat(3, axis=2)
    frames = [noisy(wall * (1 + flickers * (i % 2)), seed=i) for i in range(7)]
    for one in watch(frames)[1:]:
        assert one.motion is not None
        assert one.motion.moved.mean() < 0.1


def test_something_faint_and_slow_is_followed() -> None:
    """What makes a wall calm must not hold it back: its contrast is four grey levels."""
    dice = np.random.default_rng(3)
    ground, texture = (cv2.GaussianBlur(dice.normal(0, 1, (240, width)), (0, 0), 3) for width in (320, 200))
    frames = list[Pixels]()
    for i in range(3):
        frame = 120 + 8 * ground / ground.std()
        frame[60:180, 60 + 2 * i : 200 + 2 * i] = 90 + 4 * texture[60:180, 60:200] / texture.std()
        frames.append(noisy(frame[..., None].repeat(3, axis=2), seed=i))
    last = watch(frames)[-1]
    assert last.motion is not None
    assert ((last.motion.flow[0, 0, 80:160, 90:180] + 2).abs() < 1).float().mean() > 0.9


def test_as_much_of_a_wall_stays_beside_what_moves_as_at_full_size() -> None:
    """Squares that are asked for an explanation are of the painting's pixels."""
    frames = list[Pixels]()
    for i in range(4):
        frame = np.full((240, 320, 3), 120, np.uint8)
        frame[80:160, 40 + 6 * i : 120 + 6 * i] = coarse(80, 80, seed=8) // 4 + 90
        frames.append(noisy(frame, seed=i))
    seen, whole = watch(frames)[-1], None
    for frame in frames:
        whole = see(frame, whole, ESTIMATOR)
    dragged, as_seen_whole = (float((one.motion.flow != 0).any(1).sum()) for one in (seen, whole) if one and one.motion)
    assert dragged < 1.3 * as_seen_whole


def test_all_flow_is_estimated_for_the_scale_that_is_looked_at() -> None:
    """Of the last frame, and of earlier ones."""
    scales, estimate = list[float](), FlowEstimator.__call__

    class Noted(FlowEstimator):
        def __call__(self, *given: Any) -> tuple[torch.Tensor, torch.Tensor]:
            scales.append(given[2])
            return estimate(self, *given)

    before, background = None, coarse(seed=3)
    for i in range(8):
        frame = background.copy()
        frame[:, 16 + 12 * i : 50 + 12 * i] = (255, 0, 0)
        before = glance(np.roll(frame, 2 * i, axis=1), before, Noted(), (6,))
    assert before is not None
    assert before.recalled
    assert set(scales) == {LARGER}
    assert len(scales) > 7


def test_a_pan_is_measured_in_the_frames_own_pixels() -> None:
    wide = coarse(width=240)
    seen = watch([wide[:, :WIDTH].copy(), wide[:, 6 : 6 + WIDTH].copy()])
    assert shifts(seen) == pytest.approx([-6], abs=0.3)
    assert seen[1].motion is not None
    assert seen[1].motion.moved.mean() > 0.95
    assert seen[1].stirred is not None
    assert seen[1].stirred[..., 20:-20, 20:-20].abs().mean() < 0.3  # the camera's own motion is taken off


def test_a_slow_thing_is_followed_as_at_full_size() -> None:
    """How much is too little to be acted on is told in the painting's pixels, not in those that are looked at."""
    fine, patch, frames = textured(960, 1280, seed=5), textured(400, 400, seed=6), list[Pixels]()
    for i in range(2):
        frame = fine.copy()
        frame[300:700, 400 + 3 * i : 800 + 3 * i] = patch
        frames.append(larger(frame.reshape(96, 10, 128, 10, 3).mean((1, 3)).astype(np.uint8), 2))
    seen = watch(frames)[1]
    assert seen.motion is not None
    flow = seen.motion.flow[0, 0, 72:128, 92:148]
    assert (flow != 0).float().mean() > 0.95
    assert flow.median().item() == pytest.approx(-0.6, abs=0.2)


def test_a_camera_in_a_hand_is_followed() -> None:
    assert shifts(watch([larger(frame, 2) for frame in panned(8, 0.1)])) == pytest.approx([-0.2] * 7, abs=0.08)


def test_what_moves_before_the_camera_is_measured_in_the_frames_own_pixels() -> None:
    """So far the shutter blurs it."""
    ground, thing = coarse(seed=3), coarse(60, 80, seed=8)
    frames = [ground.copy() for _ in range(3)]
    for i, frame in enumerate(frames):
        frame[30:90, 40 + 6 * i : 120 + 6 * i] = thing
    for one in watch(frames)[1:]:
        assert one.stirred is not None
        assert one.stirred[0, 0, 40:80, 65:100].median().item() == pytest.approx(-6, abs=0.5)
        assert not one.stirred[..., 170:].any()


def test_between_two_things_that_move_nothing_is_made_up() -> None:
    flow = torch.zeros(1, 2, 20, 30)
    flow[:, 0, 5:15, 10:20] = 4.0
    doubled = enlarged_flow(flow, (60, 40))
    assert set(doubled.flatten().tolist()) == {0, 8}
    assert (doubled[0, 0] != 0).sum() == 4 * 100
    slope = torch.linspace(1, 4, 30).expand(1, 2, 20, 30).contiguous()
    steps = enlarged_flow(slope, (60, 40))[0, 0].diff(dim=1)[:, 2:-2]
    assert steps.max() < 1.05 * 2 * 3 / 29 / 2  # and what moves as one is not cut into squares
    assert steps.min() > 0.95 * 2 * 3 / 29 / 2


def test_small_frames_are_seen_as_they_are() -> None:
    frames = [textured(2 * LEAST - 2, WIDTH), noisy(textured(2 * LEAST - 2, WIDTH), 1)]
    small, whole = glance(frames[1], glance(frames[0], None, ESTIMATOR), ESTIMATOR), None
    for frame in frames:
        whole = see(frame, whole, ESTIMATOR)
    assert small.half is None
    assert whole is not None
    assert whole.motion is not None
    assert small.motion is not None
    assert torch.equal(small.motion.flow, whole.motion.flow)


def test_what_a_still_camera_has_seen_before_is_known_again() -> None:
    """A bar passes over a still background."""
    background, frames = coarse(192, 256, seed=3), list[Pixels]()
    for i in range(8):
        frame = background.copy()
        frame[:, 32 + 16 * i : 72 + 16 * i] = (255, 0, 0)
        frames.append(frame)
    last = watch(frames)[-1]
    assert last.revealed is not None
    assert last.motion is not None
    assert last.revealed.again[0, 0, 40:-40, 130:142].mean() > 0.7
    assert not (last.motion.flow * last.revealed.again).any()
    assert not last.revealed.again[..., 170:184].any()  # it is there
    assert last.revealed.again[..., 184:].mean() < 0.002  # that is background, and stays it


def test_what_comes_back_is_recalled_from_when_it_was_seen() -> None:
    frames, background = [], coarse(seed=3)
    for i in range(8):
        frame = background.copy()
        frame[:, 16 + 12 * i : 50 + 12 * i] = (255, 0, 0)
        frames.append(np.roll(frame, 2 * i, axis=1))
    last = watch(frames, memory=(6,))[-1]
    assert [ago for ago, _ in last.recalled] == [6]
    assert last.recalled[0][1].visible.shape == (1, 1, HEIGHT, WIDTH)
    assert last.recalled[0][1].visible.any()


@given(
    searched=st.booleans(),
    height=st.integers(2 * LEAST, 150),
    width=st.integers(2 * LEAST, 210),
    seed=st.integers(0, 99),
)
def test_all_is_as_large_as_the_frame_and_masks_are_masks(searched: bool, height: int, width: int, seed: int) -> None:
    before, dice = blobs(height, width, seed), np.random.default_rng(seed)
    after = np.roll(before, dice.integers(-5, 6, 2), axis=(0, 1))
    seen = (whole if searched else watch)([before, after])[1]
    assert seen.content.shape == (height, width, 3)
    assume(seen.motion is not None)  # else it is another scene
    assert seen.motion is not None
    assert seen.revealed is not None
    assert seen.stirred is not None
    revealed, motion = seen.revealed, seen.motion
    masks = (motion.visible, motion.confidence, motion.moved, revealed.again, revealed.renewed)
    for mask in (*masks, revealed.open):
        assert mask.shape == (1, 1, height, width)
        assert 0 <= mask.min() <= mask.max() <= 1
    assert motion.flow.shape == seen.stirred.shape == (1, 2, height, width)
    assert motion.change.shape == (1, 3, height, width)


def whole(frames: list[Pixels]) -> list[Seen]:
    seen = [glance(frames[0], None, ESTIMATOR, whole=True)]
    for frame in frames[1:]:
        seen.append(glance(frame, seen[-1], ESTIMATOR, whole=True))
    return seen


def test_flow_that_is_searched_whole_tells_what_half_the_size_does_not_show() -> None:
    """A texture of single pixels: at half the size it is a grey haze."""
    ground, thing = coarse(160, 240, seed=3), textured(64, 64, seed=5)
    dice = np.random.default_rng(2)
    thing = np.clip(thing / 8.0 + 100 + 60 * dice.choice([-1, 1], (64, 64, 1)), 0, 255).astype(np.uint8)
    frames = list[Pixels]()
    for i in range(3):
        frame = ground.copy()
        frame[40:104, 60 + 3 * i : 124 + 3 * i] = thing
        frames.append(frame)
    errors = list[float]()
    for seen in (whole(frames)[-1], watch(frames)[-1]):
        assert seen.motion is not None
        inner = seen.motion.flow[..., 52:92, 76:118]
        errors.append(float((inner - torch.tensor([-3.0, 0.0]).view(1, 2, 1, 1)).norm(dim=1).mean()))
    assert errors[0] < 0.2
    assert errors[0] < errors[1] / 2


def test_what_rests_is_not_searched_whole_either() -> None:
    parts, estimate = list[Any](), FlowEstimator.__call__

    class Noted(FlowEstimator):
        def __call__(self, *given: Any) -> tuple[torch.Tensor, torch.Tensor]:
            parts.append((given[2:], given[0].shape))
            return estimate(self, *given)

    ground, thing = textured(241, 321, seed=3), coarse(40, 40, seed=8)
    before = None
    for i in range(3):
        frame = noisy(ground, i)
        frame[100:140, 140 + 6 * i : 180 + 6 * i] = thing
        before = glance(frame, before, Noted(), whole=True)
    assert before is not None
    assert before.motion is not None
    assert len(parts) == 2
    for (scale, (rows, columns)), shape in parts:
        assert (scale, shape) == (1, (241, 321))
        assert 0 <= rows.start < 100 < 140 < rows.stop < 241
        assert 60 < columns.start < 140 < 180 < columns.stop < 300
    assert before.motion.flow[0, 0, 110:130, 160:185].median().item() == pytest.approx(-6, abs=0.3)
    assert not before.motion.flow[..., 240:].any()


@pytest.mark.parametrize(("shift", "everywhere"), [(0.03, False), (0.06, True)])
def test_all_is_searched_whole_only_if_it_has_moved_by_what_tells_a_camera(
    shift: float, everywhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half as much a talker has in nearly every frame, and it took twice the time."""
    parts = list[Part]()

    def note(part: Part, times: int) -> Part:
        parts.append(part)
        return enlarged_part(part, times)

    monkeypatch.setattr("nst_video.glance.enlarged_part", note)
    first, second = (larger(frame, 2) for frame in panned(2, shift))
    first[80:120, 100:140] = second[80:120, 106:146] = coarse(40, 40, seed=8)
    glance(second, glance(first, None, ESTIMATOR, whole=True), ESTIMATOR, whole=True)
    assert [part == EVERYWHERE for part in parts] == [everywhere]


def test_a_camera_that_moves_by_less_than_half_the_size_would_tell_is_followed_where_flow_is_searched_whole() -> None:
    frames = [larger(frame, 2) for frame in panned(8, 0.08)]
    assert max(shifts(whole(frames))) < -0.08
    assert 0 in shifts(watch(frames))


def test_whole_flow_is_believed_as_far_as_at_full_size_however_it_is_looked_at() -> None:
    """There and back are twice as near in pixels of half the size."""
    ground, thing = textured(240, 420, seed=3), textured(80, 24, seed=8)
    frames = list[Pixels]()
    for i in range(3):
        frame = ground[:, 4 * i : 4 * i + 320].copy()
        frame[80:160, 60 + 9 * i : 84 + 9 * i] = thing
        frames.append(frame)
    full = see(frames[0], None, ESTIMATOR)
    for frame, seen in zip(frames[1:], whole(frames)[1:], strict=True):
        full = see(frame, full, ESTIMATOR)
        assert seen.motion is not None
        assert full.motion is not None
        lost, lost_at_full_size = (int((motion.visible < 0.5).sum()) for motion in (seen.motion, full.motion))
        assert lost_at_full_size <= lost < 1.3 * lost_at_full_size
