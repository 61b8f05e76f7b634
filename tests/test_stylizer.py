"""Whole frames through the shipped network, at tiny sizes; and the same on a GPU where there is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from media import blobs, sliding
from torch import Tensor

from nst_video.adam import Moments
from nst_video.crop import EVERYWHERE, Part
from nst_video.device import Compute
from nst_video.flow import FlowEstimator, Flows
from nst_video.focus import OVERDUE
from nst_video.frame import Mask, Pixels
from nst_video.image import fit, resize, resize_pixels, to_image, to_pixels
from nst_video.losses import relative_difference
from nst_video.networks import FeatureNetwork, vgg19_stages
from nst_video.optimizer import Method, Optimizer
from nst_video.painting import Painted, State
from nst_video.pictures import read_picture
from nst_video.resources import shipped
from nst_video.settings import StyleSettings
from nst_video.stylizer import Stylizer
from nst_video.tiles import TiledLook
from nst_video.views import HOLD, Viewpoint
from nst_video.weights import load_network

CONTENT, STYLE, OTHER = blobs(48, 64, seed=1), blobs(64, 64, seed=2), blobs(50, 40, seed=3)[..., ::-1].copy()


def make(
    *styles: Pixels,
    size: int = 64,
    iterations: int = 4,
    first_iterations: int | None = None,
    use_flow: bool = True,
    quick: bool = False,
    memory: tuple[int, ...] = (),
    device: str = "cpu",
    precision: str = "fp32",
    method: Method = "adam",
    masks: Sequence[Mask] = (),
    limit: float = math.inf,
) -> Stylizer:
    return Stylizer(
        load_network("lite"),
        styles or (STYLE,),
        compute=Compute.choose(device, precision),
        size=size,
        iterations=iterations,
        first_iterations=first_iterations,
        flow=FlowEstimator() if use_flow else None,
        quick=quick,
        memory=memory,
        method=method,
        masks=masks,
        limit=limit,
    )


class Given(FlowEstimator):
    """Answers the flow that it was made with, whatever it sees."""

    def __init__(self, flow: Tensor, opposite: Tensor) -> None:
        super().__init__()
        self._answer = flow, opposite

    def __call__(self, previous: Pixels, current: Pixels, scale: float = 1.0, part: Part = EVERYWHERE) -> Flows:
        return self._answer


def paint(
    pixels: Pixels = CONTENT, *styles: Pixels, iterations: int = 4, size: int = 64, **settings: Any
) -> tuple[Painted, State]:
    return make(*styles, iterations=iterations, size=size).step(pixels, StyleSettings(**settings), None)


def difference(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(np.int32) - b.astype(np.int32)).mean())


# one frame


def test_painting_lowers_the_loss_and_changes_the_picture() -> None:
    first, _ = paint(iterations=1)
    last, _ = paint(iterations=40)
    assert last.losses["total"] < 0.7 * first.losses["total"]
    assert last.losses["style"] < 0.7 * first.losses["style"]
    assert difference(last.pixels, CONTENT) > 3
    assert last.iterations == 40


def test_the_total_is_the_weighted_sum_of_the_terms() -> None:
    losses = paint(content_weight=0.3, style_weight=2.0, tv_weight=0.7)[0].losses
    wanted = 0.3 * losses["content"] + 2 * losses["style"] + 0.7 * losses["tv"]
    assert losses["tv"] > 0
    assert losses["total"] == pytest.approx(wanted, rel=1e-5)


def test_starting_from_the_content_its_own_loss_is_nothing_at_first() -> None:
    assert paint(iterations=1)[0].losses["content"] == pytest.approx(0, abs=1e-6)


def test_the_content_as_its_own_style_is_nearly_solved_already() -> None:
    """`style_scale` 1 means the worked size: the Gram matrices then are the same."""
    assert paint(CONTENT, CONTENT, iterations=1)[0].losses["style"] < 1e-6
    assert paint(CONTENT, CONTENT, iterations=1, style_scale=0.5)[0].losses["style"] > 1e-4


@pytest.mark.parametrize("shape", [(33, 47), (47, 33), (20, 320), (320, 20), (17, 16), (1, 5), (200, 300)])
def test_frames_of_any_shape_come_back_in_their_own(shape: tuple[int, int]) -> None:
    stylizer, frame = make(iterations=1), blobs(*shape)
    painted, state = stylizer.step(frame, StyleSettings(), None)
    assert painted.pixels.shape == frame.shape
    assert painted.pixels.dtype == np.uint8
    again, _ = stylizer.step(frame, StyleSettings(), state)
    assert again.pixels.shape == frame.shape


def test_the_smallest_worked_size_works() -> None:
    stylizer = make(size=32, iterations=1)
    _, state = stylizer.step(blobs(20, 320), StyleSettings(), None)
    painted, _ = stylizer.step(blobs(20, 320), StyleSettings(), state)
    assert painted.pixels.shape == (20, 320, 3)


def test_the_same_input_gives_the_same_picture() -> None:
    first, second = paint()[0], paint()[0]
    assert np.array_equal(first.pixels, second.pixels)
    assert first.losses == second.losses


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("loss", ["relative", "paper"])
def test_flat_contents_and_flat_styles_give_numbers(value: int, loss: str) -> None:
    flat = np.full((40, 64, 3), value, np.uint8)
    for content, style in ((flat, STYLE), (CONTENT, flat), (flat, flat)):
        stylizer = make(style)
        settings = StyleSettings(loss=loss, original_colors="histogram")  # type: ignore[arg-type]
        painted, state = stylizer.step(content, settings, None)
        painted, state = stylizer.step(content, settings, state)
        assert all(np.isfinite(number) for number in painted.losses.values())
        assert state.image.isfinite().all()


def test_given_a_start_the_first_frame_begins_there() -> None:
    stylizer = make(iterations=1)
    noise = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    painted, _ = stylizer.step(CONTENT, StyleSettings(), None, start=noise)
    assert painted.losses["content"] > 0.1
    worked = stylizer.step(CONTENT, StyleSettings(), None, start=stylizer.prepare(CONTENT, None).content)[0]
    assert np.array_equal(worked.pixels, stylizer.step(CONTENT, StyleSettings(), None)[0].pixels)


def test_on_iteration_is_passed_on() -> None:
    told = list[int]()
    make().step(CONTENT, StyleSettings(), None, on_iteration=lambda done, image, losses: told.append(done))
    assert told == [1, 2, 3, 4]


def test_stages_are_timed() -> None:
    assert paint()[0].seconds.keys() == {"prepare", "flow", "upload", "carry", "look", "optimize", "color"}


# settings


def test_strength_0_is_the_content_and_half_is_halfway() -> None:
    frame = blobs(37, 51)  # which is not the worked shape
    assert np.array_equal(paint(frame, strength=0)[0].pixels, frame)
    full, half = paint(frame, strength=1)[0].pixels, paint(frame, strength=0.5)[0].pixels
    middle = (full.astype(np.float64) + frame) / 2
    assert np.abs(half - middle).max() <= 1.5


@pytest.mark.parametrize("loss", ["relative", "paper"])
def test_either_form_of_the_loss_goes_down(loss: str) -> None:
    weights: dict[str, Any] = {"content_weight": 1e-3, "style_weight": 1.0} if loss == "paper" else {}
    first = paint(iterations=1, loss=loss, **weights)[0].losses["total"]
    last = paint(iterations=30, loss=loss, **weights)[0].losses["total"]
    assert last < 0.9 * first


def test_the_forms_of_the_loss_differ() -> None:
    assert paint(loss="paper")[0].losses["style"] != paint()[0].losses["style"]


def test_total_variation_smooths() -> None:
    def roughness(pixels: Pixels) -> float:
        return float(np.abs(np.diff(pixels.astype(np.float64), axis=1)).mean())

    plain, smooth = paint(iterations=30)[0], paint(iterations=30, tv_weight=100.0)[0]
    assert roughness(smooth.pixels) < 0.8 * roughness(plain.pixels)


def test_only_the_layers_asked_for_count() -> None:
    one = paint(iterations=1, style_layers=("relu1_1",))[0].losses["style"]
    two = paint(iterations=1, style_layers=("relu3_1",))[0].losses["style"]
    both = paint(iterations=1, style_layers=("relu1_1", "relu3_1"))[0].losses["style"]
    assert both == pytest.approx((one + two) / 2, rel=1e-4)
    given: dict[str, Any] = {"style_layers": ("relu1_1", "relu3_1"), "style_layer_weights": (3.0, 1.0)}
    assert paint(iterations=1, **given)[0].losses["style"] == pytest.approx((3 * one + two) / 4, rel=1e-4)


def test_no_content_layers_or_no_style_layers_is_a_choice() -> None:
    assert paint(content_layers=())[0].losses["content"] == 0
    assert paint(style_layers=())[0].losses["style"] == 0


def test_several_content_layers_are_averaged() -> None:
    def content(*layers: str) -> float:
        noise = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
        settings = StyleSettings(content_layers=layers)
        return make(iterations=1).step(CONTENT, settings, None, start=noise)[0].losses["content"]

    mean = (content("relu4_2") + content("relu2_1")) / 2
    assert content("relu2_1", "relu4_2") == pytest.approx(mean, rel=1e-4)


def test_a_blend_lies_between_its_styles() -> None:
    only_first = paint(CONTENT, STYLE, OTHER, style_blend=(1.0, 0.0))[0]
    assert np.array_equal(only_first.pixels, paint(CONTENT, STYLE)[0].pixels)
    only_second = paint(CONTENT, STYLE, OTHER, style_blend=(0.0, 2.0))[0]
    assert np.array_equal(only_second.pixels, paint(CONTENT, OTHER)[0].pixels)
    equal = paint(CONTENT, STYLE, OTHER)[0]
    assert np.array_equal(equal.pixels, paint(CONTENT, STYLE, OTHER, style_blend=(3.0, 3.0))[0].pixels)
    assert equal.losses["style"] not in (only_first.losses["style"], only_second.losses["style"])


@pytest.mark.parametrize(
    "changed",
    [
        {"style_layers": ("relu1_1",)},
        {"style_layers": ("relu5_1", "relu1_1")},
        {"style_scale": 0.5},
        {"style_blend": (0.2, 0.8)},
        {"original_colors": "histogram"},
        {"content_layers": ("relu2_1",)},
    ],
)
def test_settings_may_change_from_frame_to_frame(changed: dict[str, Any]) -> None:
    """Targets are rebuilt: the same stylizer then does what a fresh one does."""
    stylizer = make(STYLE, OTHER)
    stylizer.step(CONTENT, StyleSettings(), None)
    after = stylizer.step(CONTENT, StyleSettings(**changed), None)[0]
    fresh = make(STYLE, OTHER).step(CONTENT, StyleSettings(**changed), None)[0]
    assert np.array_equal(after.pixels, fresh.pixels)
    assert after.losses == fresh.losses
    back = stylizer.step(CONTENT, StyleSettings(), None)[0]
    assert np.array_equal(back.pixels, make(STYLE, OTHER).step(CONTENT, StyleSettings(), None)[0].pixels)


def test_with_histogram_colours_a_new_scene_gets_targets_of_its_own() -> None:
    stylizer, settings = make(), StyleSettings(original_colors="histogram")
    stylizer.step(CONTENT, settings, None)
    other = np.roll(CONTENT, 1, axis=2)
    after = stylizer.step(other, settings, None)[0]
    assert np.array_equal(after.pixels, make().step(other, settings, None)[0].pixels)


def test_original_colours_are_those_of_the_content() -> None:
    red = CONTENT.copy()
    red[..., 1:] //= 4
    kept = paint(red, iterations=30, original_colors="luminance")[0].pixels.astype(np.float64)
    lost = paint(red, iterations=30)[0].pixels.astype(np.float64)

    def chroma(pixels: Any) -> float:
        return float((pixels[..., 0] - pixels[..., 2]).mean())

    assert chroma(kept) == pytest.approx(chroma(red.astype(np.float64)), rel=0.1)
    assert abs(chroma(lost) - chroma(red.astype(np.float64))) > 2 * abs(chroma(kept) - chroma(red.astype(np.float64)))


def test_saturation_0_is_grey() -> None:
    pixels = paint(saturation=0.0)[0].pixels.astype(np.int32)
    assert np.ptp(pixels, axis=2).max() <= 1


def test_bf16_on_the_cpu_comes_near_fp32() -> None:
    exact = make(iterations=20).step(CONTENT, StyleSettings(), None)[0]
    rough = make(iterations=20, precision="bf16").step(CONTENT, StyleSettings(), None)[0]
    assert rough.losses["total"] == pytest.approx(exact.losses["total"], rel=0.25)
    assert difference(exact.pixels, rough.pixels) < 12


# frame to frame


def test_a_second_identical_frame_goes_on_where_the_first_ended() -> None:
    """From the same views: they change with the painting's age, not with the frame."""
    stylizer = make(iterations=10)
    settings = StyleSettings(temporal_weight=0)
    first, state = stylizer.step(CONTENT, settings, None)
    second, after = stylizer.step(CONTENT, settings, state)
    assert second.losses["total"] < first.losses["total"]
    assert after.moments.age == 20
    at_once = make(iterations=20).step(CONTENT, settings, None)[0]
    assert difference(second.pixels, at_once.pixels) < 2


def test_the_state_given_is_not_changed() -> None:
    stylizer = make()
    _, state = stylizer.step(CONTENT, StyleSettings(), None)
    tensors = [state.image, *state.moments.mean, *state.moments.square]
    kept = [tensor.clone() for tensor in tensors]
    stylizer.step(CONTENT, StyleSettings(), state)
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(tensors, kept, strict=True))


def test_the_painting_moves_along_with_the_picture() -> None:
    """The camera pans by eight pixels: with flow the next painting begins where its motive went, without it lags."""
    first, *_, second = sliding(5, 96, 128, seed=7)
    losses = {}
    for use_flow in (True, False):
        stylizer = make(size=128, iterations=1, first_iterations=40, use_flow=use_flow)
        settings = StyleSettings(temporal_weight=0)
        _, state = stylizer.step(first, settings, None)
        losses[use_flow] = stylizer.step(second, settings, state)[0].losses["content"]
        assert losses[use_flow] > 0
    assert losses[True] < 0.8 * losses[False]


def test_temporal_weight_holds_on_to_the_last_painting() -> None:
    stylizer = make(iterations=10)
    _, state = stylizer.step(CONTENT, StyleSettings(), None)
    loose, free = stylizer.step(CONTENT, StyleSettings(temporal_weight=0), state)
    _, held = stylizer.step(CONTENT, StyleSettings(temporal_weight=1e4), state)
    assert loose.losses["temporal"] == 0
    assert (held.image - state.image).abs().mean() < 0.3 * (free.image - state.image).abs().mean()


@pytest.mark.parametrize("use_flow", [True, False])
def test_a_scene_cut_or_another_shape_starts_afresh(use_flow: bool) -> None:
    stylizer = make(iterations=2, first_iterations=5, use_flow=use_flow)
    painted, state = stylizer.step(CONTENT, StyleSettings(), None)
    assert painted.iterations == 5
    assert stylizer.step(CONTENT, StyleSettings(), state)[0].iterations == 2
    turned, after = stylizer.step(CONTENT.transpose(1, 0, 2), StyleSettings(), state)
    assert turned.iterations == 5
    assert after.moments.age == 5
    if use_flow:
        dice = np.random.default_rng(0)
        cut = dice.integers(0, 255, CONTENT.shape, dtype=np.uint8)
        painted, after = stylizer.step(cut, StyleSettings(), state)
        assert painted.iterations == 5
        assert after.moments.age == 5
        assert np.array_equal(painted.pixels, make(iterations=5).step(cut, StyleSettings(), None)[0].pixels)


def test_the_optimisers_memory_moves_along_with_the_painting(monkeypatch: pytest.MonkeyPatch) -> None:
    stylizer, begun = make(iterations=1), list[Moments]()
    _, state = stylizer.step(CONTENT, StyleSettings(), None)
    flow = torch.zeros(1, 2, 48, 64)
    flow[:, 0] = 8
    monkeypatch.setattr(stylizer, "_flow", Given(flow, -flow))

    run = Optimizer.run

    def note(self: Optimizer, image: Tensor, moments: Moments, **given: Any) -> Any:
        begun.append(moments)
        return run(self, image, moments, **given)

    monkeypatch.setattr(Optimizer, "run", note)
    stylizer.step(CONTENT, StyleSettings(), state)
    for moved, before in ((begun[0].mean, state.moments.mean), (begun[0].square, state.moments.square)):
        error = (moved[0][..., :-8] - before[0][..., 8:]).abs().max()
        assert error < 1e-3 * before[0].abs().max()


@pytest.mark.parametrize(("motion", "moves"), [(0.05, False), (3.0, True)])
def test_motions_of_parts_of_a_pixel_leave_the_painting_where_it_is(
    monkeypatch: pytest.MonkeyPatch, motion: float, moves: bool
) -> None:
    """A camera's noise, followed frame by frame, would blur the painting away."""
    stylizer = make(iterations=1, first_iterations=30)
    _, state = stylizer.step(CONTENT, StyleSettings(), None)
    flow = torch.zeros(1, 2, 48, 64)
    flow[:, 0] = motion
    monkeypatch.setattr(stylizer, "_flow", Given(flow, -flow))
    settings = StyleSettings(learning_rate=1e-5, temporal_weight=0)  # what is seen is where it began
    _, after = stylizer.step(CONTENT, settings, state)
    changed = (after.image - state.image)[..., :-4].abs().mean()
    assert changed > 0.02 if moves else changed < 1e-4


def test_a_painting_that_is_seen_at_half_the_size_follows_at_its_own() -> None:
    """An odd number of rows; the painting moves by as many pixels as what it shows."""
    wide = resize_pixels(blobs(70, 110, seed=9), (141, 220))
    frames = [wide[:, 4 * i : 4 * i + 200].copy() for i in range(3)]
    stylizer = make(size=200, iterations=1, first_iterations=20, quick=True)
    settings = StyleSettings(learning_rate=1e-5, temporal_weight=0)  # what is seen is where it began
    _, state = stylizer.step(frames[0], StyleSettings(), None)
    first = state.image
    for frame in frames[1:]:
        assert state.prepared.seen.half is not None
        painted, state = stylizer.step(frame, settings, state)
        assert painted.pixels.shape == (141, 200, 3)
    inner = (..., slice(10, -10), slice(20, -30))
    moved = first.roll(-8, 3)[inner]
    assert (state.image[inner] - moved).abs().mean() < 0.25 * (state.image - first)[inner].abs().mean()
    prepared = stylizer.prepare(frames[2], state.prepared)  # it goes on, but nothing is painted of it yet
    _, anew = stylizer.paint(prepared, settings, None)
    assert anew.backdrop.image.shape == anew.image.shape == first.shape


def test_only_the_part_that_moves_is_carried_and_the_painting_is_that_of_all_of_it() -> None:
    ground, thing = blobs(200, 264, seed=4), blobs(32, 32, seed=5)
    frames = [ground.copy() for _ in range(4)]
    for number, frame in enumerate(frames):
        frame[90:122, 120 + 4 * number : 152 + 4 * number] = thing
    stylizer, settings = make(size=264, iterations=2), StyleSettings()
    state: State | None = None
    for number, frame in enumerate(frames):
        prepared = stylizer.prepare(frame, None if state is None else state.prepared)
        if state is not None:
            assert prepared.part is not None
            rows, columns = prepared.part
            assert 0 < rows.start < 90 < 122 < rows.stop < 200
            assert 0 < columns.start < 116 + 4 * number < 152 + 4 * number < columns.stop < 264
        partly = stylizer.paint(prepared, settings, state)
        wholly = stylizer.paint(replace(prepared, part=EVERYWHERE), settings, state)
        assert difference(partly[0].painted, wholly[0].painted) < 0.02
        state = partly[1]
    assert state is not None
    assert stylizer.prepare(frames[-1], state.prepared).part is None


def test_holes_start_from_the_content_in_the_colours_around_them() -> None:
    """What the pan uncovers at the edge was never painted."""
    wide = blobs(96, 160, seed=9)
    wide[:, 128:] = 255 - wide[:, 128:]  # unlike the edge that it comes in behind
    first, second = wide[:, :128].copy(), wide[:, 12:140].copy()
    stylizer = make(size=128, iterations=1, first_iterations=40)
    settings = StyleSettings(learning_rate=1e-5, temporal_weight=0)  # what is seen is where it began
    painted, state = stylizer.step(first, settings, None)
    blue = (
        state.image * torch.tensor([0.5, 0.5, 1.0]).view(1, 3, 1, 1) + torch.tensor([0, 0, 0.2]).view(1, 3, 1, 1)
    ).clamp(0, 1)
    painted, _ = stylizer.step(second, settings, replace(state, image=blue))
    hole = (slice(None), slice(-8, None))
    detail = [pixels.astype(np.float64)[hole] - cv2.blur(pixels, (31, 31))[hole] for pixels in (painted.pixels, second)]
    assert np.corrcoef(detail[0].ravel(), detail[1].ravel())[0, 1] > 0.8
    tint = (painted.pixels.astype(np.float64) - second)[hole].mean((0, 1))
    around = (painted.pixels.astype(np.float64) - second)[:, 60:100].mean((0, 1))
    assert tint[2] - tint[0] > 0.4 * (around[2] - around[0]) > 5


def test_a_wall_that_looks_as_before_is_no_hole_whatever_the_flow_says(monkeypatch: pytest.MonkeyPatch) -> None:
    stylizer = make(iterations=1, first_iterations=30)
    wall = np.full((48, 64, 3), 120, np.uint8)
    _, state = stylizer.step(wall, StyleSettings(), None)
    flow = torch.zeros(1, 2, 48, 64)
    flow[:, 0, 10:20, 10:20] = 6
    monkeypatch.setattr(stylizer, "_flow", Given(flow, torch.zeros_like(flow)))  # forth and not back
    _, after = stylizer.step(wall, StyleSettings(learning_rate=1e-5, temporal_weight=0), state)
    patch = (..., slice(11, 19), slice(11, 19))  # its strokes: a hole would start from the plain colours around it
    assert after.image[patch].std(dim=(2, 3)).mean() > 0.5 * state.image[patch].std(dim=(2, 3)).mean() > 0.01


def test_what_flow_leaves_behind_fades_from_the_painting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something dark goes by, of which flow knows nothing; one iteration a frame does not paint over where it was."""
    frames = [CONTENT // 2 + 64 for _ in range(14)]
    for i, frame in enumerate(frames):
        frame[14:34, 4 + i : 16 + i] -= 60

    def last(film: list[Pixels]) -> Pixels:
        stylizer, state, nothing = make(iterations=1, first_iterations=20), None, torch.zeros(1, 2, 48, 64)
        monkeypatch.setattr(stylizer, "_flow", Given(nothing, nothing))
        for frame in film:
            painted, state = stylizer.step(frame, StyleSettings(), state)
        return np.asarray(cv2.GaussianBlur(painted.pixels, (0, 0), 3)[10:38], np.uint8)

    wanted = last(frames[-1:] * len(frames))
    left = difference(last(frames), wanted)
    monkeypatch.setattr("nst_video.scene.ANEW", (0, 0))
    assert left < 0.8 * difference(last(frames), wanted)


def test_a_still_scene_does_not_fade_over_many_frames() -> None:
    """Known faults of other tools: a still background darkens, moments forget their age, pictures turn to NaN."""
    stylizer = make(iterations=2, first_iterations=20)
    painted, state = stylizer.step(CONTENT, StyleSettings(), None)
    early = float(painted.pixels.mean())
    for _ in range(30):
        painted, state = stylizer.step(CONTENT, StyleSettings(), state)
    assert abs(float(painted.pixels.mean()) - early) < 12
    assert state.image.isfinite().all()
    assert all((square >= 0).all() for square in state.moments.square)
    assert painted.losses["total"] < 1


def test_a_network_of_other_layers_can_be_used() -> None:
    torch.manual_seed(0)
    network = FeatureNetwork(vgg19_stages("max", {"1_1": 4, "2_1": 6})).requires_grad_(False)
    stylizer = Stylizer(network, [STYLE], compute=Compute.choose("cpu"), size=64, iterations=2)
    settings = StyleSettings(content_layers=("relu2_1",), style_layers=("relu1_1",))
    assert stylizer.step(CONTENT, settings, None)[0].pixels.shape == CONTENT.shape


# while it goes on: other sizes, other styles


def rested(state: State) -> State:
    """The same with nothing left to be painted."""
    return replace(state, moments=replace(state.moments, ripeness=torch.full_like(state.moments.ripeness, 1000)))


@pytest.mark.parametrize("use_flow", [True, False])
@pytest.mark.parametrize(("size", "shape"), [(96, (72, 96)), (40, (30, 40)), (65, (49, 65))])
def test_at_another_size_the_painting_goes_on(size: int, shape: tuple[int, int], use_flow: bool) -> None:
    stylizer = make(iterations=1, first_iterations=10, use_flow=use_flow)
    before = stylizer.prepare(CONTENT, None)
    _, state = stylizer.paint(before, StyleSettings(), None)
    settings = StyleSettings(learning_rate=1e-5)  # what is seen is where it began
    prepared = stylizer.prepare(CONTENT, before, size=size)
    painting, after = stylizer.paint(prepared, settings, rested(state))
    wanted = resize(state.image, shape)
    assert after.image.shape == prepared.content.shape == (1, 3, *shape)
    assert (after.image - wanted).abs().max() < 1e-3
    assert (wanted - prepared.content).abs().mean() > 0.02
    assert painting.iterations == after.moments.age == 1  # neither as many as a first frame's nor none: it is unripe
    assert painting.losses["temporal"] == 0
    again, last = stylizer.paint(stylizer.prepare(CONTENT, prepared, size=size), settings, after)
    assert again.iterations == 1
    assert (last.image - wanted).abs().max() < 2e-3


def test_going_on_at_another_size_is_nearer_to_a_painting_than_beginning_anew() -> None:
    stylizer = make(first_iterations=30)
    _, state = stylizer.step(CONTENT, StyleSettings(), None)
    prepared = stylizer.prepare(CONTENT, state.prepared, size=80)
    on, _ = stylizer.paint(prepared, StyleSettings(), state, iterations=4)
    anew, _ = stylizer.paint(prepared, StyleSettings(), None, iterations=4)
    assert on.losses["total"] < 0.8 * anew.losses["total"]


@pytest.mark.parametrize("size", [64, 96])
def test_a_frame_of_another_aspect_begins_anew_at_any_size(size: int) -> None:
    stylizer = make(iterations=1, first_iterations=3)
    _, state = stylizer.step(CONTENT, StyleSettings(), None)
    narrower = np.ascontiguousarray(CONTENT[:, :60])
    prepared = stylizer.prepare(narrower, state.prepared, size=size)
    painting, after = stylizer.paint(prepared, StyleSettings(), state)
    assert painting.iterations == after.moments.age == 3
    fresh, _ = stylizer.paint(prepared, StyleSettings(), None)
    assert np.array_equal(painting.painted, fresh.painted)


@pytest.mark.parametrize("shape", [(45, 80), (80, 45), (37, 61)])
def test_rounding_makes_no_other_aspect(shape: tuple[int, int]) -> None:
    """Each step of a slider rounds the shorter side in its own way."""
    stylizer, frame = make(iterations=1, first_iterations=2), blobs(*shape)
    prepared = stylizer.prepare(frame, None, size=64)
    _, state = stylizer.paint(prepared, StyleSettings(), None)
    for size in (57, 70, 83, 64, 90):
        prepared = stylizer.prepare(frame, prepared, size=size)
        painting, state = stylizer.paint(prepared, StyleSettings(), state)
        assert max(state.image.shape) == size
        assert painting.iterations == 1


def test_a_frame_can_be_prepared_for_a_size_of_its_own() -> None:
    stylizer, frame = make(size=48, iterations=2), blobs(60, 90, seed=5)
    assert stylizer.prepare(frame, None).content.shape == (1, 3, 32, 48)
    prepared = stylizer.prepare(frame, None, size=72)
    assert prepared.content.shape == (1, 3, 48, 72)
    painting, state = stylizer.paint(prepared, StyleSettings(), None)
    painted = stylizer.finish(painting, StyleSettings())
    assert painted.unfinished.shape == (48, 72, 3)
    assert painted.pixels.shape == frame.shape
    wanted, _ = make(size=72, iterations=2).step(frame, StyleSettings(), None)
    assert np.array_equal(painted.pixels, wanted.pixels)
    assert painted.losses == wanted.losses  # the style is looked at in the frame's size, not in the stylizer's own
    moved = stylizer.prepare(frame, prepared, size=72)
    assert moved.motion is not None
    assert stylizer.prepare(frame, prepared).motion is None
    assert stylizer.paint(moved, StyleSettings(), state)[0].painted.shape == (48, 72, 3)


def test_what_is_unfinished_has_neither_the_frames_size_nor_the_colours_asked_for() -> None:
    stylizer, frame = make(size=48, iterations=2), blobs(60, 90, seed=5)
    painted, state = stylizer.step(frame, StyleSettings(strength=0, hue=90), None)
    assert np.array_equal(painted.pixels, frame)
    assert np.array_equal(painted.unfinished, to_pixels(state.image))


def one_hot(number: int, count: int = 2) -> tuple[float, ...]:
    return tuple(float(number == other) for other in range(count))


def test_a_blend_of_one_style_paints_as_that_style_alone_whatever_was_painted_before() -> None:
    """How styles are switched while it goes on."""
    both = make(STYLE, OTHER)
    for number, style in ((0, STYLE), (1, OTHER), (0, STYLE)):
        painted, _ = both.step(CONTENT, StyleSettings(style_blend=one_hot(number)), None)
        alone, _ = make(style).step(CONTENT, StyleSettings(), None)
        assert np.array_equal(painted.pixels, alone.pixels)
        assert painted.losses == alone.losses


def test_switching_among_styles_looks_at_each_of_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look takes as long as many iterations: a switch back must cost nothing."""
    stylizer, state, looked = make(STYLE, OTHER, CONTENT, iterations=1), None, 0
    grams = Compute.grams

    def note(*given: Any, **named: Any) -> Any:
        nonlocal looked
        looked += 1
        return grams(*given, **named)

    monkeypatch.setattr(Compute, "grams", note)
    half: dict[str, Any] = {"style_scale": 0.5}
    still: dict[str, Any] = {"jitter": 0}
    for blend, changed, wanted in (
        (one_hot(0, 3), {}, 1),
        (one_hot(1, 3), {}, 2),
        (one_hot(0, 3), {}, 2),
        (one_hot(1, 3), {"hue": 30.0, "content_weight": 0.2}, 2),
        ((0.3, 0.7, 0.0), {}, 2),
        ((1.0, 1.0, 1.0), {}, 3),
        ((), {}, 3),
        (one_hot(2, 3), {}, 3),
        (one_hot(2, 3), half, 4),
        (one_hot(0, 3), half, 5),
        (one_hot(2, 3), half, 5),
        (one_hot(2, 3), {**half, "style_layers": ("relu1_1",)}, 6),
    ):
        _, state = stylizer.step(CONTENT, StyleSettings(style_blend=blend, **still, **changed), state)
        assert looked == wanted
    prepared = stylizer.prepare(CONTENT, None, size=48)
    stylizer.paint(prepared, StyleSettings(style_blend=one_hot(2, 3), style_layers=("relu1_1",), **still), None)
    assert looked == 7  # a style is as large as what is painted


def test_a_style_is_looked_at_once_for_each_way_it_can_be_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    looked, grams = 0, Compute.grams

    def note(*given: Any, **named: Any) -> Any:
        nonlocal looked
        looked += 1
        return grams(*given, **named)

    monkeypatch.setattr(Compute, "grams", note)
    stylizer = make(iterations=40 * HOLD, use_flow=False)
    _, state = stylizer.step(CONTENT, StyleSettings(), None)
    assert looked == 4
    stylizer.step(CONTENT, StyleSettings(), state)
    assert looked == 4


@pytest.mark.parametrize("use_flow", [True, False])
def test_a_switch_of_the_style_lets_go_of_the_painting(use_flow: bool) -> None:
    stylizer = make(STYLE, OTHER, iterations=3, use_flow=use_flow)
    first, second = (StyleSettings(style_blend=one_hot(number)) for number in (0, 1))
    _, state = stylizer.step(CONTENT, first, None)
    held, _ = stylizer.step(CONTENT, first, state)
    assert held.losses["temporal"] > 0
    switched, state = stylizer.step(CONTENT, second, state)
    assert switched.losses["temporal"] == 0
    after, _ = stylizer.step(CONTENT, second, state)
    assert after.losses["temporal"] > 0  # in that one frame only


@pytest.mark.parametrize("changed", [{"style_blend": one_hot(1)}, {"style_scale": 0.5}, {"content_weight": 0.2}])
def test_another_painting_is_wanted_and_all_of_it_is_unripe(changed: dict[str, Any]) -> None:
    stylizer, settings = make(STYLE, OTHER, iterations=3), StyleSettings(style_blend=one_hot(0))
    _, state = stylizer.step(CONTENT, settings, None)
    switched, after = stylizer.step(CONTENT, replace(settings, **changed), rested(state))
    assert switched.iterations == 3
    assert switched.losses["temporal"] == 0
    assert after.moments.ripeness.max() <= 3
    assert difference(to_pixels(after.image), to_pixels(state.image)) > 0.5


@pytest.mark.parametrize(
    "changed",
    [
        {"hue": 40.0},
        {"strength": 0.2},
        {"saturation": 0.0},
        {"brightness": 1.5},
        {"stability": 0.4},
        {"stability": 0.9},
    ],
)
def test_how_a_painting_is_shown_or_held_makes_none_of_it_unripe(changed: dict[str, Any]) -> None:
    stylizer, settings = make(iterations=3), StyleSettings()
    _, state = stylizer.step(CONTENT, settings, None)
    turned, after = stylizer.step(CONTENT, StyleSettings(**changed), state)
    assert turned.losses["temporal"] > 0
    assert after.moments.ripeness.min() > state.moments.ripeness.max()
    still, after = stylizer.step(CONTENT, StyleSettings(**changed), rested(state))
    assert still.iterations == 0
    assert torch.equal(after.image, state.image)


# views


def losses_along(frame: Pixels, style: Pixels, *, masks: Sequence[Mask] = (), turns: int = 6) -> list[dict[str, float]]:
    """The losses of a picture that next to nothing is done to, from one view after the other."""
    told = list[dict[str, float]]()
    stylizer = make(style, iterations=turns * HOLD, use_flow=False, masks=masks, size=max(frame.shape))
    stylizer.step(
        frame, StyleSettings(learning_rate=1e-5), None, on_iteration=lambda _, __, losses: told.append(losses.values())
    )
    return told[::HOLD]


def test_from_every_view_a_content_is_compared_with_itself_and_a_style_with_its_mirrored_self() -> None:
    frame = blobs(128, 160, seed=7)
    other = losses_along(frame, blobs(128, 160, seed=8), turns=1)[0]
    for losses in losses_along(frame, frame):
        assert losses["content"] < 1e-3
        assert losses["style"] < 0.1 * other["style"]


def test_masks_are_seen_from_where_the_picture_is_seen() -> None:
    """Of a picture whose right half alone is to be painted like itself, nothing is left to be done, from anywhere."""
    left, right = blobs(128, 96, seed=9), 255 - blobs(128, 96, seed=11)
    half, style = [mask(0, 1, height=128, width=192)], np.concatenate((right, right[:, ::-1]), axis=1)
    first, *later = losses_along(np.concatenate((left, right), axis=1), style, masks=half)
    (wrong,) = losses_along(np.concatenate((right, left), axis=1), style, masks=half, turns=1)
    assert max(losses["style"] for losses in (first, *later)) < 0.5 * wrong["style"]


def test_what_lite_paints_from_many_views_is_right_from_others_as_well() -> None:
    """The point of it all: from where it was never seen, it is nearer to the style."""
    frame, style = (read_picture(shipped("samples", name)) for name in ("portrait.jpg", "starlight.jpg"))
    worked = resize(to_image(style), fit(style.shape[0], style.shape[1], 128))
    network, missed = load_network("lite"), dict[int, float]()
    for jitter in (0, 8):
        settings = StyleSettings(jitter=jitter)
        _, state = make(style, iterations=60, size=128, use_flow=False).step(frame, settings, None)
        viewpoint, missed[jitter] = Viewpoint(state.image), 0.0
        for number in range(1000, 1008):
            view = viewpoint.view(number, 8)
            viewpoint.go(view)
            with torch.no_grad():
                ours = network.look(viewpoint(state.image), (), settings.style_layers)[1]
                wanted = network.look(view.turned(worked), (), settings.style_layers)[1]
            missed[jitter] += sum(relative_difference(ours[k], wanted[k]).item() for k in settings.style_layers)
    assert missed[8] < 0.7 * missed[0]


def test_lite_is_looked_through_from_many_views_unless_told_otherwise() -> None:
    by_default, asked_for, still = (
        make(iterations=3 * HOLD, use_flow=False).step(CONTENT, StyleSettings(jitter=jitter), None)[0].pixels
        for jitter in (None, 8, 0)
    )
    assert np.array_equal(by_default, asked_for)
    assert not np.array_equal(by_default, still)


@pytest.mark.parametrize("method", ["adam", "lbfgs", "sgd"])
def test_other_networks_and_other_optimizers_see_pictures_as_they_stand(method: Method) -> None:
    """A line search compares a loss with the last one: the goal must not move."""
    network = FeatureNetwork(vgg19_stages(widths={"1_1": 8, "2_1": 8})) if method == "adam" else load_network("lite")
    layers: dict[str, Any] = {"content_layers": ("relu2_1",), "style_layers": ("relu1_1", "relu2_1")}
    wanted: dict[str, Any] = layers if method == "adam" else {}
    pictures = list[Pixels]()
    for settings in (StyleSettings(**wanted), StyleSettings(jitter=0, **wanted)):
        compute = Compute.choose("cpu", "fp32")
        stylizer = Stylizer(network, [STYLE], compute=compute, size=64, iterations=3 * HOLD, method=method)
        pictures.append(stylizer.step(CONTENT, settings, None)[0].pixels)
    assert np.array_equal(pictures[0], pictures[1])


# masks


def mask(*columns: float, height: int = 48, width: int = 64) -> Mask:
    """Upright stripes of these values, equally wide."""
    row = np.repeat(np.array(columns, np.float32), math.ceil(width / len(columns)))[:width]
    return np.ascontiguousarray(np.broadcast_to(row, (height, width)))


def style_gram(pixels: Pixels, layer: str = "relu2_1") -> Tensor:
    return load_network("lite").look(to_image(pixels), (), (layer,))[1][layer]


def unlike(part: Pixels, style: Pixels) -> float:
    """How far a part of a painting is from a style."""
    return relative_difference(style_gram(np.ascontiguousarray(part)), style_gram(style)).item()


@pytest.mark.parametrize("shape", [(48, 64), (72, 96), (40, 53)])
def test_where_the_mask_is_black_the_content_stays_and_grey_lies_in_between(shape: tuple[int, int]) -> None:
    """In every bit, though the picture is larger or smaller than what was worked on."""
    height, width = shape
    frame, where = blobs(*shape, seed=6), mask(0, 0.5, 1, height=height, width=width)
    stylizer = make(iterations=12, masks=[where], use_flow=False)
    painted, state = stylizer.step(frame, StyleSettings(), None)
    enlarged = resize_pixels(painted.unfinished, shape).astype(np.float64)
    black, white = where[0] == 0, where[0] == 1
    assert np.array_equal(painted.pixels[:, black], frame[:, black])
    assert np.array_equal(painted.pixels[:, white], enlarged[:, white])
    assert difference(painted.pixels[:, white], frame[:, white]) > 3
    assert np.abs(painted.pixels - (frame + where[..., None] * (enlarged - frame))).max() < 0.6
    grey = where[0] == 0.5
    assert difference(enlarged[:, grey].astype(np.uint8), frame[:, grey]) > 3
    free = resize(torch.from_numpy(where)[None, None], (48, 64))[0, 0, 0] > 0
    content = stylizer.prepare(frame, None).content
    still = torch.arange(64) < int(free.float().argmax()) - 2
    assert torch.allclose(state.image[..., still], content[..., still], atol=1e-6)


def test_a_small_mask_on_a_large_picture_has_soft_edges_and_is_black_where_it_is_black() -> None:
    frame = blobs(96, 128, seed=6)
    painted, _ = make(iterations=12, masks=[mask(0, 1, height=12, width=16)]).step(frame, StyleSettings(), None)
    changed = np.abs(painted.pixels.astype(np.int32) - frame).max((0, 2))
    assert changed[:60].max() == 0
    assert changed[68:].min() > 0


def test_a_start_does_not_show_where_the_mask_is_black() -> None:
    noise = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    stylizer = make(iterations=2, masks=[mask(0, 1)])
    painted, state = stylizer.step(CONTENT, StyleSettings(), None, start=noise)
    assert torch.allclose(state.image[..., :32], stylizer.prepare(CONTENT, None).content[..., :32], atol=1e-6)
    assert np.array_equal(painted.unfinished[:, :32], CONTENT[:, :32])
    assert difference(painted.unfinished[:, 32:], CONTENT[:, 32:]) > 20


def test_a_white_mask_is_none_and_a_grey_one_asks_for_half() -> None:
    """What it looks at is the same; the style's share of the total is the mask's."""
    plain, white, grey = (
        make(masks=masks).step(CONTENT, StyleSettings(), None)[0] for masks in ([], [mask(1)], [mask(0.5)])
    )
    assert difference(plain.pixels, white.pixels) < 0.5
    assert white.losses["style"] == pytest.approx(plain.losses["style"], rel=1e-3)
    first = [make(iterations=1, masks=masks).step(CONTENT, StyleSettings(), None)[0] for masks in ([], [mask(0.5)])]
    assert first[1].losses["style"] == pytest.approx(first[0].losses["style"] / 2, rel=1e-4)
    assert difference(grey.pixels, CONTENT) < 0.8 * difference(white.pixels, CONTENT)


def test_what_the_mask_shows_comes_nearer_the_style() -> None:
    painted = make(iterations=40, masks=[mask(0, 1)]).step(CONTENT, StyleSettings(content_weight=0.01), None)[0]
    assert unlike(painted.pixels[:, 32:], STYLE) < 0.5 * unlike(CONTENT[:, 32:], STYLE)


def test_with_a_mask_for_each_style_each_goes_to_its_place() -> None:
    styles, masks = (STYLE, 255 - STYLE), [mask(1, 0), mask(0, 1)]
    for one, other in (masks, masks[::-1]):
        stylizer = make(*styles, iterations=30, masks=[one, other])
        painted, _ = stylizer.step(CONTENT, StyleSettings(content_weight=0.01), None)
        halves = painted.pixels[:, :32], painted.pixels[:, 32:]
        mine = halves if one[0, 0] == 1 else halves[::-1]
        for half, own, another in zip(mine, styles, styles[::-1], strict=True):
            assert unlike(half, own) < 0.75 * unlike(half, another)


def test_where_no_mask_of_several_is_white_the_content_stays_and_where_two_are_both_paint() -> None:
    stylizer = make(STYLE, OTHER, iterations=8, masks=[mask(0, 1, 1, 0), mask(0, 0, 1, 1)])
    painted, _ = stylizer.step(CONTENT, StyleSettings(), None)
    assert np.array_equal(painted.pixels[:, :16], CONTENT[:, :16])
    for left in (16, 32, 48):
        assert difference(painted.pixels[:, left : left + 16], CONTENT[:, left : left + 16]) > 1


def test_one_mask_for_several_styles_shows_their_blend() -> None:
    blend = StyleSettings(style_blend=(0.0, 1.0))
    painted = make(STYLE, OTHER, masks=[mask(0, 1)]).step(CONTENT, blend, None)[0]
    alone = make(OTHER, masks=[mask(0, 1)]).step(CONTENT, StyleSettings(), None)[0]
    assert np.array_equal(painted.pixels, alone.pixels)


@pytest.mark.parametrize("use_flow", [True, False])
def test_a_mask_stays_where_it_is_while_the_film_goes_on(use_flow: bool) -> None:
    stylizer, state = make(iterations=6, masks=[mask(0, 1, height=72, width=96)], use_flow=use_flow), None
    for number, frame in enumerate(sliding(4, 72, 96, seed=4)):
        painted, state = stylizer.step(frame, StyleSettings(), state)
        assert np.array_equal(painted.pixels[:, :48], frame[:, :48])
        assert difference(painted.pixels[:, 48:], frame[:, 48:]) > 2
        assert (state.image - state.prepared.content)[..., :30].abs().max() < 1e-6
        assert painted.losses["temporal"] > 0 if number else painted.losses["temporal"] == 0
    assert state is not None
    assert state.moments.age == 24


def test_what_comes_out_from_behind_a_mask_is_painted_like_what_comes_into_view() -> None:
    """It is known there as a photograph, however long it has been; it must neither be held on to nor taken for ripe."""
    wide = blobs(48, 160, seed=8)
    frames = [np.ascontiguousarray(wide[:, at : at + 64]) for at in [60] * 12 + [*range(58, 40, -2)]]  # to the right
    ends = {}
    for kind, masks in {"mask": [mask(0, 1)], "whole": []}.items():
        stylizer, state = make(iterations=3, first_iterations=12, masks=masks), None
        for frame in frames:
            painted, state = stylizer.step(frame, StyleSettings(), state)
        ends[kind] = np.abs(painted.pixels.astype(np.float64) - frames[-1])
    entered = slice(32, 44)
    assert ends["mask"][:, :32].max() == 0
    assert ends["mask"][:, entered].mean() > 0.6 * ends["whole"][:, :12].mean()


def test_a_small_mask_gets_as_many_iterations_as_a_large_one() -> None:
    """Whether there is anything left to paint is asked of what is painted."""
    where = mask(0)
    where[:4, :4] = 1
    stylizer = make(iterations=4, masks=[where])
    _, state = stylizer.step(CONTENT, StyleSettings(), None)
    assert stylizer.step(CONTENT, StyleSettings(), state)[0].iterations == 4


@pytest.mark.parametrize("colors", ["luminance", "histogram"])
def test_original_colours_are_kept_behind_a_mask_too(colors: str) -> None:
    red = (40 + CONTENT // 3).astype(np.uint8)
    red[..., 1:] //= 2
    settings = StyleSettings(original_colors=colors)  # type: ignore[arg-type]
    painted, _ = make(iterations=20, masks=[mask(0, 1)]).step(red, settings, None)
    lost, _ = make(iterations=20, masks=[mask(0, 1)]).step(red, StyleSettings(), None)
    assert np.array_equal(painted.pixels[:, :32], red[:, :32])
    assert difference(painted.pixels[:, 32:], red[:, 32:]) > 1

    def chroma(pixels: Pixels) -> float:
        shown = pixels[:, 32:].astype(np.float64)
        return float((shown[..., 0] - shown[..., 2]).mean())

    assert abs(chroma(painted.pixels) - chroma(red)) < 0.5 * abs(chroma(lost.pixels) - chroma(red))


def test_strength_and_mask_go_together() -> None:
    stylizer = make(masks=[mask(0, 0.5, 1, 1)])
    painting, _ = stylizer.paint(stylizer.prepare(CONTENT, None), StyleSettings(), None)
    half = stylizer.finish(painting, StyleSettings(strength=0.5)).pixels
    wanted = CONTENT + mask(0, 0.25, 0.5, 0.5)[..., None] * (painting.painted.astype(np.float64) - CONTENT)
    assert np.abs(half - wanted).max() < 0.6


# methods, memory, photographs


@pytest.mark.parametrize("method", ["adam", "lbfgs", "sgd"])
@pytest.mark.parametrize("masked", [False, True])
def test_every_method_paints(method: Method, masked: bool) -> None:
    masks = [mask(0, 1)] if masked else []
    first, _ = make(iterations=1, method=method, masks=masks).step(CONTENT, StyleSettings(), None)
    last, state = make(iterations=25, method=method, masks=masks).step(CONTENT, StyleSettings(), None)
    assert last.losses["total"] < 0.9 * first.losses["total"]
    assert difference(last.pixels[:, 32:], CONTENT[:, 32:]) > 2
    assert np.array_equal(last.pixels[:, :32], CONTENT[:, :32]) is masked
    assert state.image.isfinite().all()


def test_a_rate_that_decays_comes_less_far() -> None:
    ways = []
    for decay in (1.0, 0.001):
        ways.append(difference(paint(iterations=30, learning_rate_decay=decay)[0].pixels, CONTENT))
    assert 0 < ways[1] < 0.85 * ways[0]


@pytest.mark.parametrize("masked", [False, True])
def test_with_little_memory_nearly_the_same_is_painted(masked: bool) -> None:
    frame, layers = blobs(120, 160, seed=8), ("relu1_1", "relu2_1", "relu3_1")
    settings = StyleSettings(style_layers=layers, content_layers=("relu3_1",))
    masks = [mask(0, 1, 1), mask(1, 1, 0)] if masked else []
    painted = []
    for limit in (math.inf, 1.0):
        stylizer = make(STYLE, OTHER, size=160, iterations=4, masks=masks, limit=limit)
        painted.append(stylizer.step(frame, settings, None)[0])
        assert stylizer._easel is not None
        assert isinstance(stylizer._easel.look.whole, TiledLook) is not math.isinf(limit)
    assert difference(painted[0].pixels, painted[1].pixels) < 0.5
    assert difference(painted[0].pixels, frame) > 1
    for name, loss in painted[0].losses.items():
        assert painted[1].losses[name] == pytest.approx(loss, rel=2e-3, abs=1e-7)


def test_what_is_photorealistic_keeps_the_edges_of_the_content_in_the_colours_of_the_painting() -> None:
    y, x = np.mgrid[:96, :128]
    board = 80 * ((y // 13 + x // 11) % 2)[..., None]
    frame = (40 + 0.4 * blobs(96, 128, seed=6) + board).astype(np.uint8)
    warm = np.clip(STYLE.astype(np.float64) * (0.6, 0.3, 0.1) + (90, 30, 0), 0, 255).astype(np.uint8)
    stylizer = make(warm, size=96, iterations=25)
    painting, _ = stylizer.paint(stylizer.prepare(frame, None), StyleSettings(content_weight=0.5), None)
    plain = stylizer.finish(painting, StyleSettings())
    photo = stylizer.finish(painting, StyleSettings(photorealistic=True))

    def alike(pixels: Pixels) -> float:
        """How the gradients correlate with the content's."""
        ours, theirs = (np.diff(image.astype(np.float64).mean(2), axis=1).ravel() for image in (pixels, frame))
        return float(np.corrcoef(ours, theirs)[0, 1])

    assert alike(photo.pixels) > 0.8
    assert alike(photo.pixels) > alike(plain.pixels) + 0.3
    means = [pixels.astype(np.float64).mean((0, 1)) for pixels in (plain.pixels, photo.pixels, frame)]
    assert np.abs(means[0] - means[1]).max() < 5
    assert np.abs(means[0] - means[2]).max() > 20
    assert photo.pixels.shape == frame.shape
    assert np.array_equal(photo.unfinished, plain.unfinished)  # only what is shown


def test_a_photograph_is_painted_as_any_other_and_masked_as_any_other() -> None:
    stylizer = make(masks=[mask(0, 1)])
    photo, state = stylizer.step(CONTENT, StyleSettings(photorealistic=True), None)
    plain, as_ever = stylizer.step(CONTENT, StyleSettings(), None)
    assert torch.equal(state.image, as_ever.image)
    assert np.array_equal(photo.pixels[:, :32], CONTENT[:, :32])
    assert difference(photo.pixels[:, 32:], plain.pixels[:, 32:]) > 0.2
    assert photo.losses == plain.losses
    after, _ = stylizer.step(CONTENT, StyleSettings(photorealistic=True), as_ever)
    assert after.losses["temporal"] > 0  # switching it on begins no new painting


# CUDA

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


@needs_cuda
def test_cuda_in_fp32_agrees_with_the_cpu() -> None:
    states: dict[str, State | None] = {"cpu": None, "cuda": None}
    for frame in sliding(3, 48, 64):
        painted = {}
        for device in ("cpu", "cuda"):
            stylizer = make(iterations=5, device=device, precision="fp32")
            painted[device], states[device] = stylizer.step(frame, StyleSettings(), states[device])
        assert painted["cuda"].losses["total"] == pytest.approx(painted["cpu"].losses["total"], rel=0.05)
        assert difference(painted["cpu"].pixels, painted["cuda"].pixels) < 2


@needs_cuda
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_cuda_in_half_precision_paints(precision: str) -> None:
    stylizer = make(iterations=20, device="cuda", precision=precision)
    painted, state = stylizer.step(CONTENT, StyleSettings(), None)
    again, state = stylizer.step(CONTENT, StyleSettings(), state)
    exact = make(iterations=20).step(CONTENT, StyleSettings(), None)[0]
    assert painted.losses["total"] == pytest.approx(exact.losses["total"], rel=0.25)
    assert again.losses["total"] < painted.losses["total"] * 1.1
    assert state.image.isfinite().all()
    assert state.image.dtype == torch.float32


@needs_cuda
def test_cuda_keeps_up_with_changing_settings_and_shapes() -> None:
    """Whatever is captured or kept on the device must notice."""
    stylizer, state = make(iterations=3, device="cuda", precision="fp32"), None
    for frame, changed in (
        (CONTENT, {}),
        (CONTENT, {"style_layers": ("relu1_1",)}),
        (CONTENT, {"content_weight": 1.0, "tv_weight": 0.5, "learning_rate": 0.1}),
        (OTHER, {"strength": 0.5}),
    ):
        settings = StyleSettings(**changed)
        wanted, _ = make(iterations=3, device="cuda", precision="fp32").step(frame, settings, state)
        painted, state = stylizer.step(frame, settings, state)
        assert difference(painted.pixels, wanted.pixels) < 1


@needs_cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_replayed_graph_paints_what_eager_iterations_paint(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on doing so when a weight, the style or the held picture changes: nothing is captured again."""
    captured = list[object]()
    capture = Compute.capture
    images: dict[str, list[Tensor]] = {"replayed": [], "eager": []}
    for way, found in images.items():

        def chosen(self: Compute, iteration: Any, way: str = way) -> Any:
            captured.append(way)
            return capture(self, iteration) if way == "replayed" else iteration

        monkeypatch.setattr(Compute, "capture", chosen)
        stylizer, state = make(iterations=50, device="cuda", precision=precision), None
        for settings in (StyleSettings(), StyleSettings(content_weight=0.2, tv_weight=1.0), StyleSettings()):
            _, state = stylizer.step(CONTENT, settings, state)
            found.append(state.image)
    assert captured == ["replayed", "eager"]
    for replayed, eager in zip(images["replayed"], images["eager"], strict=True):
        assert (replayed - eager).abs().mean() < (1e-3 if precision == "fp32" else 2e-2)


def test_frames_of_one_shape_and_kind_are_painted_at_one_easel() -> None:
    """Whatever a slider changes, nothing is captured again; other layers and shapes need their own."""
    stylizer, state = make(iterations=1), None
    easels = []
    for frame, settings in (
        (CONTENT, StyleSettings()),
        (CONTENT, StyleSettings(content_weight=0.2, tv_weight=0.1, temporal_weight=3, learning_rate=0.05, hue=20)),
        (CONTENT, StyleSettings(style_scale=0.5, style_layer_weights=(1, 2, 3, 4, 5), original_colors="histogram")),
        (CONTENT, StyleSettings(loss="paper")),
        (CONTENT, StyleSettings(style_layers=("relu1_1", "relu2_1"))),
        (CONTENT.transpose(1, 0, 2), StyleSettings(style_layers=("relu1_1", "relu2_1"))),
    ):
        _, state = stylizer.step(np.ascontiguousarray(frame), settings, state)
        easels.append(stylizer._easel)
    assert easels[0] is easels[1] is easels[2]
    assert len({id(easel) for easel in easels[2:]}) == 4


def test_preparing_painting_and_finishing_one_by_one_is_a_step() -> None:
    settings, frames = StyleSettings(saturation=0.5), sliding(3, 48, 64, seed=4)
    state: State | None = None
    wanted = []
    for frame in frames:
        painted, state = make(iterations=2).step(frame, settings, state)
        wanted.append(painted.pixels)
    stylizer, before, state = make(iterations=2), None, None
    for frame, pixels in zip(frames, wanted, strict=True):
        before = stylizer.prepare(frame, before)
        painting, state = stylizer.paint(before, settings, state)
        assert np.array_equal(stylizer.finish(painting, settings).pixels, pixels)


def test_iterations_can_be_given_for_each_frame() -> None:
    stylizer = make(iterations=5)
    prepared = stylizer.prepare(CONTENT, None)
    painting, state = stylizer.paint(prepared, StyleSettings(), None, iterations=2)
    assert painting.iterations == 2
    assert state.moments.age == 2


def test_what_changes_in_the_content_without_moving_changes_in_the_painting() -> None:
    """A light goes on: the painting brightens at once, not after the many steps that the optimiser would take."""
    stylizer = make(iterations=1, first_iterations=10)
    settings = StyleSettings(temporal_weight=0, learning_rate=1e-5)
    dim = (CONTENT // 2 + 40).astype(np.uint8)
    _, state = stylizer.step(dim, settings, None)
    _, after = stylizer.step(dim + np.uint8(25), settings, state)
    assert (after.image - state.image).median().item() == pytest.approx(25 / 255, abs=0.01)


def test_a_light_that_goes_on_bit_by_bit_brightens_the_painting_as_much() -> None:
    stylizer = make(iterations=1, first_iterations=10)
    settings = StyleSettings(temporal_weight=0, learning_rate=1e-5)
    dim = (CONTENT // 2 + 40).astype(np.uint8)
    _, state = stylizer.step(dim, settings, None)
    before = state.image
    for level in range(4, 29, 4):
        _, state = stylizer.step(dim + np.uint8(level), settings, state)
    assert (state.image - before).median().item() == pytest.approx(28 / 255, abs=0.02)


def ripe(stylizer: Stylizer, settings: StyleSettings) -> State:
    """`CONTENT`, painted until nothing is left to be done: nothing is put off."""
    state: State | None = None
    for _ in range(10):
        painted, state = stylizer.step(CONTENT, settings, state)
        if painted.iterations == 0:
            return state
        state = replace(state, focus=OVERDUE)
    raise AssertionError("never ripe")


def test_a_still_scene_ripens_and_then_costs_nothing_and_keeps_still() -> None:
    stylizer, settings = make(iterations=150), StyleSettings(jitter=0)  # from changing views losses do not compare
    state = ripe(stylizer, settings)
    told = list[int]()
    painted, after = stylizer.step(CONTENT, settings, state, on_iteration=lambda done, *_: told.append(done))
    assert painted.iterations == 0
    assert told == []
    assert torch.equal(after.image, state.image)
    assert painted.losses == state.losses
    assert painted.losses["total"] < paint(iterations=40, jitter=0)[0].losses["total"]


def test_at_no_stability_nothing_ripens() -> None:
    stylizer, state = make(iterations=150), None
    for _ in range(6):
        painted, state = stylizer.step(CONTENT, StyleSettings(stability=0), state)
    assert painted.iterations == 150


def test_without_flow_nothing_ripens() -> None:
    """A still picture takes the iterations that were asked for, and a film without flow knows of no still regions."""
    stylizer, state = make(iterations=300, use_flow=False), None
    for _ in range(2):
        painted, state = stylizer.step(CONTENT, StyleSettings(), state)
        assert painted.iterations == 300
    further, _ = stylizer.step(CONTENT, StyleSettings(), state)
    assert difference(painted.pixels, further.pixels) > 0


def test_only_what_changed_is_painted_again() -> None:
    stylizer = make(iterations=150)
    state = ripe(stylizer, StyleSettings())
    changed = CONTENT.copy()
    changed[16:32, 8:24] = 255 - changed[16:32, 8:24]
    painted, after = stylizer.step(changed, StyleSettings(), state)
    assert painted.iterations > 100
    difference = (after.image - state.image).abs().mean(1)[0]
    assert difference[16:32, 8:24].mean() > 0.1
    assert difference[:, 48:].max() < 1e-3


def test_changed_settings_make_a_ripe_painting_unripe() -> None:
    stylizer = make(iterations=150)
    state = ripe(stylizer, StyleSettings())
    painted, after = stylizer.step(CONTENT, StyleSettings(content_weight=0.5), state)
    assert painted.iterations == 150
    assert painted.losses["content"] < state.losses["content"]
    assert after.moments.ripeness.min() > 60


def test_what_comes_back_into_view_is_as_it_was_painted_before() -> None:
    """A bar passes over a still picture. What it uncovers was painted before the bar came."""
    dice = np.random.default_rng(0)
    background = np.clip(blobs(96, 128, seed=3) + dice.normal(0, 25, (96, 128, 1)), 0, 255).astype(np.uint8)
    frames = [background.copy() for _ in range(8)]
    for i, frame in enumerate(frames[1:]):
        frame[:, 16 + 8 * i : 36 + 8 * i] = (30, 60, 200)
    settings = StyleSettings(learning_rate=1e-5)  # what is seen is where it began
    uncovered = (..., slice(20, -20), slice(57, 63))
    far = {}
    for memory in ((), (7,)):
        stylizer, state = make(size=128, iterations=1, first_iterations=1, memory=memory), None
        _, state = stylizer.step(frames[0], settings, state)
        state = replace(state, image=1 - state.image)  # a painting that no content resembles
        first = state.image
        for frame in frames[1:]:
            _, state = stylizer.step(frame, settings, state)
        far[memory] = (state.image - first)[uncovered].abs().mean().item()
        assert len(state.earlier) <= 7
    assert far[(7,)] < 0.5 * far[()]


def test_a_cameras_noise_does_not_wear_the_painting_down() -> None:
    """Added to it frame by frame, it would: what is black or white can only become greyer."""
    stylizer = make(iterations=1, first_iterations=1)
    settings = StyleSettings(learning_rate=1e-5)
    _, state = stylizer.step(CONTENT, settings, None)
    rested = replace(state.moments, ripeness=torch.full_like(state.moments.ripeness, 1000))
    state = replace(state, image=(state.image > 0.5).float(), moments=rested)
    dice = np.random.default_rng(0)
    for _ in range(60):
        noise = dice.normal(0, 2, CONTENT.shape)
        noisy = np.asarray(np.clip(np.rint(CONTENT + noise), 0, 255), np.uint8)
        _, state = stylizer.step(noisy, settings, state)
    assert (state.image - (state.image > 0.5).float()).abs().mean() < 2e-4


def test_what_moves_fast_is_shown_through_a_shutter_and_painted_crisp() -> None:
    ground, thing = blobs(64, 96, seed=4) // 2 + 60, np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)

    def frame(left: int) -> Pixels:
        frame = ground.copy()
        frame[20:44, left : left + 24] = thing
        return frame

    stylizer = make(size=96, iterations=1, first_iterations=5)
    first, state = stylizer.step(frame(20), StyleSettings(), None)
    prepared = stylizer.prepare(frame(26), state.prepared)
    painting, _ = stylizer.paint(prepared, StyleSettings(), state)
    shown = stylizer.finish(painting, StyleSettings())
    assert np.array_equal(first.pixels, first.unfinished)  # nothing has moved yet
    assert np.array_equal(shown.unfinished, painting.painted)
    moving, resting = np.s_[22:42, 28:48], np.s_[:, 70:]
    assert difference(shown.pixels[moving], shown.unfinished[moving]) > 3
    assert np.array_equal(shown.pixels[resting], shown.unfinished[resting])
    sharp = stylizer.finish(painting, StyleSettings(stability=0))
    assert np.array_equal(sharp.pixels, sharp.unfinished)
