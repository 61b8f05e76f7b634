"""What one frame hands to the next, through a file and back: nothing of it may change by a bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from media import blobs, sliding
from safetensors import safe_open
from torch import Tensor

from nst_video import checkpoint
from nst_video.adam import Moments
from nst_video.device import Compute
from nst_video.flow import FlowEstimator
from nst_video.focus import EVERYTHING
from nst_video.frame import Pixels
from nst_video.glance import LEAST
from nst_video.painting import State
from nst_video.settings import StyleSettings
from nst_video.stylizer import Stylizer
from nst_video.weights import load_network

CPU = torch.device("cpu")
WAYS = {
    "plain": StyleSettings(),
    "luminance": StyleSettings(original_colors="luminance", style_blend=(1.0,), temporal_weight=20.0),
    "histogram": StyleSettings(original_colors="histogram", stability=0.0),
}
MEMORY = {"plain": (), "luminance": (2,), "histogram": (2, 3)}


def hidden(count: int, height: int = 48, width: int = 64) -> list[Pixels]:
    """A camera that pans behind a post: what it hides comes back frames later."""
    frames = sliding(count, height, width, seed=1)
    for index, frame in enumerate(frames):
        frame[:, 8 + 6 * index : 20 + 6 * index] = 30
    return list(frames)


FRAMES = hidden(6)


def stylizer(memory: tuple[int, ...] = (), *, use_flow: bool = True, quick: bool = False, size: int = 64) -> Stylizer:
    return Stylizer(
        load_network("lite"),
        (blobs(64, 64, seed=2),),
        compute=Compute.choose("cpu", "fp32"),
        size=size,
        iterations=2,
        flow=FlowEstimator() if use_flow else None,
        quick=quick,
        memory=memory,
    )


def run(way: str, frames: list[Pixels], state: State | None = None) -> tuple[list[Pixels], State]:
    paints, shown = stylizer(MEMORY[way]), []
    for frame in frames:
        painted, state = paints.step(frame, WAYS[way], state)
        shown.append(painted.pixels)
    assert state is not None
    return shown, state


@pytest.fixture(scope="module", params=sorted(WAYS))
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def state(way: str) -> State:
    """After four frames."""
    return run(way, FRAMES[:4])[1]


@pytest.fixture
def back(state: State, tmp_path: Path) -> State:
    return through_a_file(state, tmp_path)


def through_a_file(state: State, folder: Path) -> State:
    (folder / "state.safetensors").write_bytes(checkpoint.pack(state))
    return checkpoint.unpack(folder / "state.safetensors", CPU)


def tensors(state: State) -> Iterator[tuple[str, Tensor]]:
    """All that the next frame asks for."""
    yield "image", state.image
    yield from ((f"moments {number}", level) for number, level in enumerate(state.moments.levels()))
    yield from ((f"earlier {number}", image) for number, image in enumerate(state.earlier))
    yield "seen", torch.from_numpy(state.prepared.seen.content)
    yield from ((f"seen {n}", torch.from_numpy(content)) for n, content in enumerate(state.prepared.seen.earlier))
    if state.palette is not None:
        yield "palette", state.palette


def test_every_tensor_comes_back_bit_for_bit(state: State, back: State) -> None:
    found, wanted = list(tensors(back)), list(tensors(state))
    assert [name for name, _ in found] == [name for name, _ in wanted]
    for (name, mine), (_, given) in zip(found, wanted, strict=True):
        assert mine.dtype == given.dtype, name
        assert mine.shape == given.shape, name
        assert mine.contiguous().numpy().tobytes() == given.contiguous().numpy().tobytes(), name


def test_the_run_that_is_packed_has_all_that_there_is_to_pack(way: str, state: State) -> None:
    """Else the tests here would prove little."""
    assert len(state.moments.mean) == 3
    assert (state.palette is not None) is (way == "histogram")
    assert len(state.earlier) == len(state.prepared.seen.earlier) == max(MEMORY[way], default=0)


def test_age_losses_and_settings_come_back_exactly(state: State, back: State) -> None:
    assert back.moments.age == state.moments.age > 0
    assert back.losses == state.losses
    assert back.settings == state.settings


def apart(one: State, other: State) -> float:
    """By how much the two paintings differ, where they do most; 1 is full contrast."""
    return float((one.image - other.image).abs().max())


OTHER = 1e-3
"""What is apart by more than this is another painting."""


def test_the_next_frames_are_the_same_from_a_file_as_without(way: str, state: State, back: State) -> None:
    wanted, last = run(way, FRAMES[4:], state)
    found, again = run(way, FRAMES[4:], back)
    assert not np.array_equal(wanted[0], wanted[1])
    for mine, given in zip(found, wanted, strict=True):
        assert np.array_equal(mine, given)
    assert apart(again, last) == 0
    assert again.losses == pytest.approx(last.losses, rel=1e-4)
    assert again.moments.age == last.moments.age
    assert again.settings == last.settings


@pytest.mark.parametrize("part", ["image", "moments", "seen", "earlier", "palette"])
def test_each_part_of_a_state_matters_to_the_next_frames(way: str, state: State, part: str) -> None:
    """Else those tests would not notice if it were lost."""
    if (part == "palette" and way != "histogram") or (part == "earlier" and not MEMORY[way]):
        pytest.skip("this film has none")
    seen = state.prepared.seen
    without = {
        "image": replace(state, image=state.image.flip(3)),
        "moments": replace(state, moments=Moments.zero(state.image)),
        "seen": replace(state, prepared=replace(state.prepared, seen=replace(seen, content=seen.content[:, ::-1]))),
        "earlier": replace(state, earlier=()),
        "palette": replace(state, palette=None),
    }[part]
    assert apart(run(way, FRAMES[4:], without)[1], run(way, FRAMES[4:], state)[1]) > OTHER


def test_frames_from_a_file_differ_from_those_of_a_beginning(way: str, back: State) -> None:
    assert apart(run(way, FRAMES[4:5], back)[1], run(way, FRAMES[4:5])[1]) > OTHER


def test_packing_leaves_the_state_as_it_is(state: State) -> None:
    before = [(name, tensor.clone()) for name, tensor in tensors(state)]
    checkpoint.pack(state)
    assert all(torch.equal(old, new) for (_, old), (_, new) in zip(before, tensors(state), strict=True))


def test_numbers_at_the_edge_of_what_there_is_come_back(state: State, tmp_path: Path) -> None:
    odd = torch.tensor([0.0, -0.0, 1e-45, 3.4e38, float("inf"), float("nan"), 1 / 3, 1.0]).expand(1, 1, 8, 8)
    moments = Moments((odd,), (odd,), odd, odd, age=10**12)
    losses = {"total": 0.1 + 0.2, "style": 1e-300, "content": float("inf")}
    back = through_a_file(replace(state, moments=moments, losses=losses), tmp_path)
    for level in back.moments.levels():
        assert level.numpy().tobytes() == odd.contiguous().numpy().tobytes()
    assert (back.moments.age, back.losses) == (10**12, losses)


def test_more_than_ten_earlier_frames_keep_their_order(state: State, tmp_path: Path) -> None:
    """ "earlier.10" stands before "earlier.2" in a file."""
    earlier = tuple(torch.full((1, 3, 4, 4), float(ago)) for ago in range(23))
    contents = tuple(np.full((4, 4, 3), ago, np.float32) for ago in range(23))
    seen = replace(state.prepared.seen, earlier=contents)
    back = through_a_file(replace(state, earlier=earlier, prepared=replace(state.prepared, seen=seen)), tmp_path)
    assert [image[0, 0, 0, 0].item() for image in back.earlier] == list(range(23))
    assert [content[0, 0, 0].item() for content in back.prepared.seen.earlier] == list(range(23))


def test_a_film_without_flow_goes_on_the_same(tmp_path: Path) -> None:
    paints, settings = stylizer(use_flow=False), StyleSettings(stability=0.7)
    _, first = paints.step(FRAMES[0], settings, None)
    wanted, _ = paints.step(FRAMES[1], settings, first)
    found, _ = stylizer(use_flow=False).step(FRAMES[1], settings, through_a_file(first, tmp_path))
    assert np.array_equal(found.pixels, wanted.pixels)


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("camera", ["pans", "is still"])
def test_a_film_seen_at_half_the_size_goes_on_the_same(camera: str, quick: bool, tmp_path: Path) -> None:
    frames = hidden(5, 2 * LEAST, 160)
    if camera == "is still":
        frames = [np.where(frame == 30, frame, frames[0]) for frame in frames]

    def paint(frames: list[Pixels], state: State | None) -> State:
        paints = stylizer((2,), quick=quick, size=160)
        for frame in frames:
            _, state = paints.step(frame, StyleSettings(), state)
        assert state is not None
        return state

    state = paint(frames[:3], None)
    seen, back = state.prepared.seen, through_a_file(state, tmp_path)
    assert seen.half is not None
    assert len(seen.half.earlier) == 2
    wanted = paint(frames[3:], state)
    assert apart(paint(frames[3:], back), wanted) == 0
    for half in (None, replace(seen.half, earlier=()), replace(seen.half, content=seen.content[:LEAST, :80])):
        other = replace(state, prepared=replace(state.prepared, seen=replace(seen, half=half)))
        assert apart(paint(frames[3:], other), wanted) > OTHER  # each part of it matters


def test_a_film_of_which_a_part_is_painted_goes_on_the_same(tmp_path: Path) -> None:
    """With the rest of the picture as it was seen from there, and what it is owed."""
    content, settings = blobs(192, 256, seed=1), StyleSettings()
    _, first = stylizer(size=256).step(content, settings, None)
    ripeness = torch.full_like(first.moments.ripeness, settings.ripe - 0.02)
    ripeness[..., 60:100, 60:100] = 0
    first = replace(first, moments=replace(first.moments, ripeness=ripeness))

    def paint(state: State, frames: int) -> State:
        paints = stylizer(size=256)
        for _ in range(frames):
            _, state = paints.step(content, settings, state)
        return state

    state = paint(first, 2)  # the next frame looks from the same view: with the same rest
    back, wanted = through_a_file(state, tmp_path), paint(state, 3)
    assert not state.focus.everywhere
    assert state.focus.owed > 0
    assert [getattr(back.focus, name) for name in ("part", "around", "share", "owed")] == [
        getattr(state.focus, name) for name in ("part", "around", "share", "owed")
    ]
    assert [(view, list(rest)) for view, rest in back.focus.rest.items()] == [
        (view, list(rest)) for view, rest in state.focus.rest.items()
    ]
    for view, rest in state.focus.rest.items():
        assert all(torch.equal(back.focus.rest[view][layer], gram) for layer, gram in rest.items())
    assert apart(paint(back, 3), wanted) == 0
    assert paint(back, 3).focus.owed == wanted.focus.owed > state.focus.owed
    assert apart(paint(replace(state, focus=EVERYTHING), 3), wanted) > 0  # it matters


def test_a_rest_comes_back_for_each_way_it_is_mirrored(state: State, tmp_path: Path) -> None:
    rest = {
        (upside_down, mirrored): {"relu1_1": torch.full((1, 2, 2), 2.0 * upside_down + mirrored)}
        for upside_down in (False, True)
        for mirrored in (False, True)
    }
    back = through_a_file(replace(state, focus=replace(EVERYTHING, rest=rest)), tmp_path).focus
    assert back.everywhere
    assert {view: gram["relu1_1"].mean().item() for view, gram in back.rest.items()} == {
        view: gram["relu1_1"].mean().item() for view, gram in rest.items()
    }


def test_a_cut_after_the_state_begins_a_new_scene_in_the_same_way(way: str, state: State, back: State) -> None:
    other = [blobs(48, 64, seed=9)[::-1].copy()]
    assert apart(run(way, other, back)[1], run(way, other, state)[1]) == 0


def test_it_is_plain_safetensors(state: State, tmp_path: Path) -> None:
    """Others can read it, and no code can hide in it."""
    (tmp_path / "state.safetensors").write_bytes(checkpoint.pack(state))
    with safe_open(tmp_path / "state.safetensors", "np") as file:
        assert {"image", "ripeness", "seen", "mean.0", "square.0"} <= set(file.keys())
        assert set(file.metadata()) == {"age", "focus", "losses", "settings"}
