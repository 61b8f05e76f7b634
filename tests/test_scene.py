"""What is seen of a scene: noise is not, light is, and motion, what it uncovers, what was there before, and cuts."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from media import blobs
from torch import Tensor

from nst_video.change import CALM_STILL
from nst_video.crop import EVERYWHERE, Part
from nst_video.flow import HIDDEN, FlowEstimator, Flows
from nst_video.frame import Pixels
from nst_video.scene import Seen, see

ESTIMATOR = FlowEstimator()


def noisy(pixels: Pixels, seed: int, sigma: float = 2.0) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, sigma, pixels.shape)
    return np.asarray(np.clip(np.rint(pixels + noise), 0, 255), np.uint8)


def textured(height: int = 96, width: int = 128, seed: int = 1) -> Pixels:
    """With much to follow and nothing too bright or too dark to be changed."""
    rough = np.random.default_rng(seed).normal(0, 30, (height, width, 1))
    rough = np.stack([np.convolve(row, np.ones(3) / 3, "same") for row in rough[..., 0]])[..., None]
    return np.asarray(np.clip(0.5 * blobs(height, width, seed) + 60 + rough, 10, 245), np.uint8)


def watch(frames: list[Pixels], memory: tuple[int, ...] = ()) -> list[Seen]:
    seen = [see(frames[0], None, ESTIMATOR, memory)]
    for frame in frames[1:]:
        seen.append(see(frame, seen[-1], ESTIMATOR, memory))
    return seen


def shifts(seen: list[Seen]) -> list[float]:
    """The median motion to the right since the frame before, of all frames but the first."""
    return [-one.motion.flow[0, 0, 10:-10, 20:-20].median().item() for one in seen[1:] if one.motion is not None]


def test_the_first_frame_is_seen_as_it_is() -> None:
    frame = textured()
    (seen,) = watch([frame])
    assert np.array_equal(seen.content, frame)
    assert seen.motion is None


def test_a_cameras_noise_is_not_seen() -> None:
    clean = textured()
    seen = watch([noisy(clean, seed) for seed in range(12)])
    for one in seen[1:]:
        assert one.motion is not None
        assert one.motion.moved.mean() < 0.02
        assert one.motion.flow.abs().mean() < 0.01
        assert one.motion.visible.mean() > 0.99
    steps = [np.abs(b.content - a.content).mean() for a, b in pairwise(seen[5:])]
    assert max(steps) < 0.25  # the noise itself changes by 2.3
    assert np.abs(seen[-1].content - clean).mean() < 2


def test_noise_on_a_plain_wall_is_no_motion() -> None:
    """There, flow is a guess; it was acted on, and such walls were painted for ever."""
    wall = np.full((192, 256, 3), 12, np.uint8)
    wall[64:128, 96:160] = textured(64, 64)
    seen = watch([noisy(wall, seed) for seed in range(10)])
    assert sum(one.motion.moved.sum().item() for one in seen[1:] if one.motion is not None) == 0


def test_a_pale_thing_that_moves_before_a_still_camera_moves_as_a_whole() -> None:
    """Within it next to nothing changes, like on a cheek; its edges do."""
    pale = 120 + textured(40, 40) // 8

    def scene(left: int) -> Pixels:
        frame = textured(120, 200).copy()
        frame[40:80, left : left + 40] = pale
        return frame

    seen = watch([scene(60), scene(63)])[1]
    assert seen.motion is not None
    assert np.median(np.hypot(*seen.motion.flow[0].numpy())) == 0
    assert seen.motion.moved[0, 0, 44:76, 67:99].mean() > 0.9


def test_a_soft_thing_is_not_torn_where_it_moves() -> None:
    """Flow that is acted on in one place and not in the next makes a seam, and it would be held on to."""
    soft = cv2.GaussianBlur(np.random.default_rng(2).normal(0, 1, (160, 160)), (0, 0), 12)
    soft = 120 + 4 * soft[..., None] / soft.std()

    def scene(left: int) -> Pixels:
        frame = textured(200, 280).astype(np.float64)
        frame[20:180, left : left + 160] = soft
        return noisy(np.asarray(frame, np.uint8), seed=left, sigma=1.0)

    for one in watch([scene(20 + 2 * i) for i in range(12)])[1:]:
        assert one.motion is not None
        step = one.motion.flow.diff(dim=3).norm(dim=1)[0, 20:180, 60:-60]
        held = one.motion.confidence[0, 0, 20:180, 60:-60]
        assert ((step > 1) & (held[:, 1:] > 0.9) & (held[:, :-1] > 0.9)).sum() == 0


def test_a_light_that_fades_slowly_is_seen() -> None:
    clean = textured()
    seen = watch([np.asarray(clean + i // 10, np.uint8) for i in range(120)])
    assert (seen[-1].content - clean).mean() == pytest.approx(120 / 10, abs=3)
    assert np.median([one.motion.moved.mean() for one in seen[1:] if one.motion is not None]) < 0.05


def test_what_changes_is_seen_at_once_and_only_there() -> None:
    before = textured()
    after = before.copy()
    after[30:50, 40:70] = 255 - after[30:50, 40:70]
    seen = watch([before, after])[1]
    assert seen.motion is not None
    assert seen.motion.moved[0, 0, 30:50, 40:70].all()
    assert not seen.motion.moved[0, 0, 70:, :].any()
    assert np.array_equal(seen.content[30:50, 40:70], after[30:50, 40:70].astype(np.float32))


def test_a_pan_is_motion_everywhere_but_at_the_edge_that_it_uncovers() -> None:
    wide = textured(96, 160)
    seen = watch([wide[:, :128].copy(), wide[:, 6:134].copy()])[1]
    assert seen.motion is not None
    assert seen.motion.flow[0, 0, 10:-10, 10:-20].median().item() == pytest.approx(6, abs=0.2)
    assert seen.motion.moved.mean() > 0.95
    assert seen.motion.visible[..., 10:-10, 20:-20].mean() > 0.97
    assert seen.motion.confidence[..., -4:].mean() < 0.2
    assert seen.motion.confidence.mean() < seen.motion.visible.mean()


def panned(count: int, step: float) -> list[Pixels]:
    """By `step` pixels a frame, to the left."""
    fine = textured(96 * 10, 1320)
    every = np.arange(1280) + 10 * step * np.arange(count)[:, None]
    low, share = np.floor(every).astype(int), (every % 1)[:, None, :, None]
    frames = fine[:, low].swapaxes(0, 1) * (1 - share) + fine[:, low + 1].swapaxes(0, 1) * share
    return [frame.reshape(96, 10, 128, 10, 3).mean((1, 3)).astype(np.uint8) for frame in frames]


def test_a_motion_too_slow_to_be_acted_on_adds_up() -> None:
    """A twentieth of a pixel a frame is nothing, frame by frame; after forty it is two, most of which is seen."""
    moved = shifts(watch(panned(40, 1 / 20)))
    assert -2.1 < sum(moved) < -1.1
    assert min(map(abs, moved)) == 0


def test_a_camera_in_a_hand_is_followed_from_frame_to_frame() -> None:
    moved = shifts(watch(panned(10, 0.1)))
    assert moved == pytest.approx([-0.1] * 9, abs=0.05)


def test_another_scene_is_a_cut_and_a_fast_motion_is_none() -> None:
    wide = textured(96, 200)
    seen = watch([wide[:, :128].copy(), wide[:, 12:140].copy(), textured(96, 128, seed=9)])
    assert seen[1].motion is not None
    assert seen[2].motion is None
    assert seen[2].earlier == ()
    assert np.array_equal(seen[2].content, textured(96, 128, seed=9))


def test_another_shape_and_no_flow_have_no_motion() -> None:
    first = see(textured(), None, ESTIMATOR)
    assert see(textured(64, 96), first, ESTIMATOR).motion is None
    assert see(textured(), first, None).motion is None


def test_what_comes_back_into_view_is_recalled_from_when_it_was_seen() -> None:
    """A bar passes over a still background: what it uncovers was hidden one frame ago, but not six."""
    background = textured(96, 128, seed=3)
    frames = []
    for i in range(8):
        frame = background.copy()
        frame[:, 16 + 8 * i : 36 + 8 * i] = (255, 0, 0)
        frames.append(frame)
    frames = [np.roll(frame, i, axis=1) for i, frame in enumerate(frames)]  # else it was seen behind the bar
    last = watch(frames, memory=(6,))[-1]
    assert last.motion is not None
    assert [ago for ago, _ in last.recalled] == [6]
    older = last.recalled[0][1]
    uncovered = (0, 0, slice(20, -20), slice(65 + 7, 71 + 7))
    assert older.visible[uncovered].mean() > 0.5
    assert older.flow[:, :1][uncovered].median().item() == pytest.approx(-6, abs=0.5)
    assert not (older.visible * last.motion.visible).any()  # each pixel has one memory
    assert watch(frames)[-1].recalled == ()
    assert len(watch(frames, memory=(3, 6))[-1].earlier) == 6


def test_the_threshold_of_a_still_camera_is_no_licence_to_lag() -> None:
    """A thing that moves alone, before a still background, is followed from its first quarter of a pixel on."""
    fine = textured(960, 1280, seed=5)
    patch = textured(400, 400, seed=6)

    def flow(tenths: int, scale: float) -> Tensor:
        frames = []
        for i in range(2):
            frame = fine.copy()
            frame[300:700, 400 + tenths * i : 800 + tenths * i] = patch
            frames.append(frame.reshape(96, 10, 128, 10, 3).mean((1, 3)).astype(np.uint8))
        motion = see(frames[1], see(frames[0], None, ESTIMATOR), ESTIMATOR, scale=scale).motion
        assert motion is not None
        assert (motion.flow[..., :20, :] == 0).all()
        return motion.flow[0, 0, 36:64, 46:74]

    assert CALM_STILL > 0.4
    assert flow(4, scale=1).median().item() == pytest.approx(-0.4, abs=0.15)
    assert not flow(2, scale=1).any()
    assert flow(2, scale=2).any()  # it is 0.4 of the pixels that are painted
    assert (flow(3, scale=1) != 0).float().mean() < 0.8
    assert (flow(3, scale=2) != 0).float().mean() > 0.95


def plain_room(left: int, *, light: int = 0) -> Pixels:
    """A patterned thing before a plain wall, with a rough floor, as a still camera sees them."""
    frame = np.full((144, 192, 3), 150 + light, np.uint8)
    frame[120:] = textured(24, 192, seed=4) // 2
    frame[40:90, left : left + 40] = textured(50, 40, seed=7)
    return noisy(frame, seed=left, sigma=1.0)


def test_the_wall_beside_a_thing_that_moves_stays() -> None:
    """Nothing on it contradicts a flow that goes on beyond the thing's edge; it was dragged along."""
    for one in watch([plain_room(20 + 3 * i) for i in range(8)])[1:]:
        assert one.motion is not None
        speed = one.motion.flow.norm(dim=1)[0]
        assert (speed[:25] > 0.5).float().mean() < 0.01
        assert (speed[110:118] > 0.5).float().mean() < 0.01
    assert speed[45:85, 20 + 21 + 5 : 20 + 21 + 35].median().item() == pytest.approx(3, abs=0.3)


def test_a_wall_stays_in_the_shadow_of_what_passes() -> None:
    """Flow takes it along with the shadow, which explains all that has changed; but so does the wall in a shadow."""
    walls = []
    for i in range(8):
        shadow = np.zeros((144, 192, 1), np.float32)
        shadow[20:110, 20 + 6 * i : 100 + 6 * i] = 0.1
        lit = 1 - cv2.GaussianBlur(shadow, (0, 0), 3)[..., None]
        walls.append(np.asarray(np.rint(plain_room(10 + 6 * i) * lit), np.uint8))
    for i, one in enumerate(watch(walls)[1:], start=1):
        assert one.motion is not None
        speed = one.motion.flow.norm(dim=1)[0]
        assert (speed[20:110, 62 + 6 * i :] > 0.5).float().mean() < 0.02  # a third was taken along
    assert speed[45:85, 45 + 5 : 45 + 35].median().item() == pytest.approx(6, abs=0.5)


def test_beside_what_moves_hardly_more_is_painted_anew_than_comes_to_light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flow is out by a pixel there; all of that was painted anew, frame by frame."""
    ground, thing = textured(96, 160, seed=3), textured(50, 50, seed=8)
    frames = [ground.copy() for _ in range(6)]
    for i, frame in enumerate(frames):
        frame[20:70, 20 + 4 * i : 70 + 4 * i] = thing

    def painted_anew() -> float:
        return sum((1 - one.motion.visible).sum().item() for one in watch(frames)[1:] if one.motion is not None)

    few, uncovered = painted_anew(), 50 * 4 * 5  # much of which is known
    monkeypatch.setattr("nst_video.scene.SLACK", HIDDEN)
    assert uncovered / 10 < few < 0.9 * painted_anew()


def test_what_a_still_camera_has_seen_before_is_known_again() -> None:
    """A bar passes over a still background, which has become a little lighter when it comes to light again."""
    background, frames = textured(96, 128, seed=3), list[Pixels]()
    for i in range(8):
        frame = background + np.uint8(i // 2)
        frame[:, 16 + 8 * i : 36 + 8 * i] = (255, 0, 0)
        frames.append(frame)
    seen = watch(frames)
    uncovered = (0, 0, slice(20, -20), slice(65, 71))
    revealed, motion = seen[-1].revealed, seen[-1].motion
    assert revealed is not None
    assert motion is not None
    assert revealed.again[uncovered].mean() > 0.7
    assert (motion.visible >= revealed.again).all()
    assert not (motion.flow * revealed.again).any()
    assert (motion.change * revealed.again).abs().max() < 8 / 255
    backdrop = seen[-1].backdrop
    assert backdrop is not None
    assert np.abs(backdrop.content[20:-20, 80:86] - background[20:-20, 80:86]).max() < 6  # behind the bar
    assert seen[-1].depicted is not None
    assert np.abs(seen[-1].depicted - frames[-1])[revealed.again[0, 0].numpy() > 0].max() < 0.01


def test_what_comes_to_light_in_a_shadow_is_known_again() -> None:
    """The bar casts one on what it leaves behind; what was seen there before stays as it was."""
    background, frames = textured(96, 128, seed=3), list[Pixels]()
    for i in range(8):
        frame = background.copy()
        frame[:, max(0, 8 * i - 16) : 16 + 8 * i] = 0.88 * frame[:, max(0, 8 * i - 16) : 16 + 8 * i]
        frame[:, 16 + 8 * i : 36 + 8 * i] = (255, 0, 0)
        frames.append(frame)
    last = watch(frames)[-1]
    assert last.revealed is not None
    assert last.backdrop is not None
    assert last.revealed.again[0, 0, 20:-20, 65:71].mean() > 0.7
    assert last.revealed.renewed[0, 0, 20:-20, 110:].mean() > 0.9
    assert last.revealed.renewed[0, 0, 20:-20, 44:70].mean() < 0.1
    assert np.abs(last.backdrop.content[20:-20, 44:70] - background[20:-20, 44:70]).mean() < 3


def test_where_the_camera_moves_nothing_is_known_again() -> None:
    wide = textured(96, 200)
    for one in watch([wide[:, 4 * i : 4 * i + 128].copy() for i in range(6)])[1:]:
        assert one.revealed is not None
        assert not one.revealed.again.any()
        assert one.revealed.renewed.all()


def test_what_a_camera_does_is_not_what_moves_before_it() -> None:
    wide, thing = textured(96, 200, seed=3), textured(40, 40, seed=8)
    frames = [wide[:, 4 * i : 4 * i + 128].copy() for i in range(4)]
    for i, frame in enumerate(frames):
        frame[30:70, 40 + 3 * i : 80 + 3 * i] = thing
    for one in watch(frames)[1:]:
        assert one.stirred is not None
        assert one.stirred[0, :, 8:20, 30:100].abs().median() < 0.2
        assert one.stirred[0, 0, 35:65, 55:75].median().item() == pytest.approx(-7, abs=0.5)
    assert watch(frames[:1])[0].stirred is None


@pytest.mark.parametrize("upright", [False, True])
def test_black_bars_are_no_still_camera(upright: bool) -> None:
    """They lie above and below a picture, or beside it, and never move; a hand's slow drift is not seen in them."""
    frames = panned(10, 0.1)
    for seed, frame in enumerate(frames):
        frame[:20] = frame[-20:] = 6
        frames[seed] = noisy(frame.swapaxes(0, 1).copy() if upright else frame, seed, sigma=1.0)
    for one in watch(frames)[1:]:
        assert one.motion is not None
        assert one.motion.moved.all()


@pytest.mark.parametrize(
    ("border", "middle", "moves"),
    [(0.1, 0.1, True), (0.1, 0.0, False), (0.0, 0.15, False), (0.0, 0.5, False), (0.1, 0.3, True)],
)
def test_a_camera_moves_if_the_border_and_the_middle_do(border: float, middle: float, moves: bool) -> None:
    """A dark border's flow is noise; whoever moves before a plain wall takes it along, all but the border."""
    flow = torch.full((1, 2, 96, 128), 0.0)
    flow[:, 0] = border
    flow[:, 0, 8:-8, 8:-8] = middle

    class Given(FlowEstimator):
        def __call__(self, *_: object) -> tuple[torch.Tensor, torch.Tensor]:
            return flow, -flow

    first = see(textured(), None, ESTIMATOR)
    motion = see(textured(), first, Given()).motion
    assert motion is not None
    assert bool(motion.moved.all()) == moves


class _Blind(FlowEstimator):
    """Sees nothing move, there or back."""

    def __call__(self, previous: Pixels, current: Pixels, scale: float = 1.0, part: Part = EVERYWHERE) -> Flows:
        return torch.zeros(1, 2, *current.shape), torch.zeros(1, 2, *current.shape)


LEAVES = np.s_[30:66, 40:60]
"""Where something has been in the first frame."""


def left_behind(scale: float = 1.0, frames: int = 9) -> list[Seen]:
    """Something dark that leaves, of which flow knows nothing."""
    ground = textured(96, 128, seed=3)
    first = ground.copy()
    first[LEAVES] = 20
    seen = [see(first, None, _Blind(), scale=scale)]
    for _ in range(frames - 1):
        seen.append(see(ground, seen[-1], _Blind(), scale=scale))
    return seen


@pytest.mark.parametrize("scale", [1, 2])
def test_what_flow_leaves_behind_fades(scale: int) -> None:
    """It stayed: there and back agreed that it had not moved, and only the content's difference was added to it."""
    kept = torch.ones(96, 128)
    for one in left_behind(scale)[1:]:
        assert one.motion is not None
        assert one.motion.visible.min() > 0  # at once it would flicker
        kept *= one.motion.visible[0, 0]
    assert kept[LEAVES].mean() < (0.7, 0.4)[scale - 1]
    kept[28:68, 38:62] = 1
    assert kept.min() == 1


def test_what_has_faded_is_not_painted_anew_for_ever() -> None:
    late = left_behind(frames=40)[-1]
    assert late.motion is not None
    assert late.motion.visible.min() == 1
    assert late.depicted is not None
    assert np.abs(late.depicted - late.content).max() < 12


def test_where_flow_is_right_a_painting_is_of_what_is_there() -> None:
    frames = [textured(96, 160, seed=3)[:, i : 128 + i] for i in range(0, 24, 3)]
    last = watch(frames)[-1]
    assert last.depicted is not None
    assert np.abs(last.depicted - last.content)[10:-10, 20:-20].mean() < 4
    assert last.motion is not None
    assert last.motion.visible[..., 10:-10, 20:-20].mean() > 0.99


def test_a_light_that_is_switched_on_paints_nothing_anew() -> None:
    dark = np.asarray(textured() * 0.7, np.uint8)
    seen = watch([dark, dark, np.asarray(dark * 1.15, np.uint8)])
    assert seen[-1].motion is not None
    assert seen[-1].motion.visible.mean() > 0.99
