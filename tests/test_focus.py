"""Where a picture is painted, told by made-up steps; and that a part is painted towards the style of the whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from media import blobs, sliding
from torch import Tensor

from nst_video.adam import COARSEST, Moments, pace
from nst_video.crop import EVERYWHERE, cut, pasted
from nst_video.device import Compute
from nst_video.easel import Easel
from nst_video.flow import FlowEstimator
from nst_video.focus import (
    AGEING,
    AROUND,
    EVERYTHING,
    GRID,
    LEAST,
    MOST,
    NOTHING,
    OVERDUE,
    OWED,
    SEAM,
    UNRIPE,
    Focus,
    focused,
)
from nst_video.frame import Mask, Pixels
from nst_video.optimizer import Method
from nst_video.painting import State
from nst_video.settings import StyleSettings
from nst_video.stylizer import Stylizer
from nst_video.views import View, Viewpoint
from nst_video.weights import load_network

HEIGHT, WIDTH = 240, 320


def paces(top: int, left: int, height: int, width: int, *, inside: float = 1.0, outside: float = 0.0) -> Tensor:
    steps = torch.full((1, 1, HEIGHT, WIDTH), outside)
    steps[..., top : top + height, left : left + width] = inside
    return steps


@given(
    top=st.integers(0, 230), left=st.integers(0, 310), height=st.integers(8, 240), width=st.integers(8, 320),
    size=st.sampled_from([(240, 320), (180, 320), (239, 317), (320, 176)]),
)  # fmt: skip
def test_all_that_is_unripe_is_painted_and_its_surroundings_are_looked_at(
    top: int, left: int, height: int, width: int, size: tuple[int, int]
) -> None:
    steps = torch.zeros(1, 1, *size)
    top, left = min(top, size[0] - 9), min(left, size[1] - 9)
    steps[..., top : top + height, left : left + width] = 1
    focus = focused(steps)
    if focus.everywhere:
        assert focus is EVERYTHING
        return
    assert focus.share <= MOST
    if focus is not NOTHING and focus.share:
        unripe = torch.nn.functional.avg_pool2d(steps, 8, ceil_mode=True).repeat_interleave(8, 2)
        unripe = unripe.repeat_interleave(8, 3)[..., : size[0], : size[1]] > UNRIPE
        cut(unripe, focus.part).fill_(False)
        assert not unripe.any()
        for part, around, inner, length in zip(focus.part, focus.around, focus.inner, size, strict=True):
            assert around.start % GRID == 0
            assert around.stop % GRID == 0 or around.stop == length
            assert around.stop - around.start >= LEAST
            assert part.start == (around.start + SEAM if around.start else 0)
            assert part.stop == (around.stop - SEAM if around.stop < length else length)
            assert part.start % COARSEST == 0
            assert (inner.start, inner.stop) == (part.start - around.start, part.stop - around.start)
        image = torch.rand(1, 1, *size)
        assert torch.equal(cut(cut(image, focus.around), focus.inner), cut(image, focus.part))
        assert focus.share == pytest.approx(cut(image, focus.around).numel() / image.numel())


def test_a_stroke_is_painted_beyond_its_place() -> None:
    focus = focused(paces(100, 120, 16, 16))
    for part, first in zip(focus.part, (100, 120), strict=True):
        assert part.start <= first - AROUND + 8
        assert part.stop >= first + 16 + AROUND - 8


def test_a_speck_waits_and_what_waits_adds_up_until_all_is_painted() -> None:
    steps = paces(0, 0, 240, 320, inside=0.1)
    steps[..., 50:52, 50:52] = 1
    for iterations, most in ((1, 2), (2, 1)):
        focus = EVERYTHING
        for frames in range(1, most + 1):
            focus = focused(steps, focus, iterations)
            assert focus.nothing
            assert focus.owed == pytest.approx((0.1 * iterations + AGEING) * frames, rel=0.01)
        assert focused(steps, focus, iterations) is EVERYTHING
    assert focused(steps, iterations=3) is EVERYTHING


def test_what_is_painted_owes_nothing_but_a_rest_grows_old() -> None:
    for steps in (paces(40, 40, 40, 40), paces(0, 0, 0, 0)):
        focus = EVERYTHING
        for frames in range(1, round(OWED / AGEING)):
            focus = focused(steps, focus)
            assert not focus.everywhere
            assert focus.owed == pytest.approx(frames * AGEING)
        soon = focused(steps, focus)
        assert soon.everywhere or focused(steps, soon).everywhere
    assert focused(paces(0, 0, 0, 0)).nothing
    assert focused(paces(40, 40, 40, 40), OVERDUE) is EVERYTHING


def test_an_unripe_picture_and_a_large_part_of_one_are_painted_as_a_whole() -> None:
    assert focused(paces(0, 0, 240, 320)) is EVERYTHING
    assert focused(paces(0, 0, 240, 160)) is EVERYTHING
    assert focused(paces(0, 0, 200, 100)).share <= MOST
    assert focused(torch.ones(1, 1, 64, 64)) is EVERYTHING


def test_a_part_and_its_rest_go_on_as_long_as_they_hold_what_is_to_be_painted() -> None:
    first = focused(paces(80, 80, 40, 40)).knowing((False, True), {"relu1_1": torch.ones(1, 2, 2)})
    near, far = focused(paces(84, 76, 36, 40), first), focused(paces(170, 250, 40, 40), first)
    assert near.part == first.part
    assert near.rest is first.rest
    assert far.part != first.part
    assert not far.rest
    again = first.knowing((True, False), {"relu1_1": torch.zeros(1, 2, 2)})
    assert set(again.rest) == {(False, True), (True, False)}
    assert set(first.rest) == {(False, True)}


def test_a_part_that_is_far_too_large_is_given_up() -> None:
    large = focused(paces(0, 0, 240, 110))
    assert large.share > 2 * 0.12 + 0.1
    assert focused(paces(100, 40, 16, 16), large).share < large.share


def test_where_all_was_painted_there_is_no_rest_to_go_on_with() -> None:
    assert not focused(paces(80, 80, 40, 40), EVERYTHING).rest


# Whole frames

SIZE = (192, 256)
CONTENT, STYLE = blobs(*SIZE, seed=1), blobs(96, 96, seed=2)


def make(
    *, use_flow: bool = True, masks: tuple[Mask, ...] = (), method: Method = "adam", iterations: int = 1
) -> Stylizer:
    return Stylizer(
        load_network("lite"),
        (STYLE,),
        compute=Compute.choose("cpu", "fp32"),
        size=256,
        iterations=iterations,
        flow=FlowEstimator() if use_flow else None,
        masks=masks,
        method=method,
    )


def nearly_ripe(stylizer: Stylizer, settings: StyleSettings, unripe: tuple[slice, slice]) -> State:
    """After a frame all of which is ripe, but for some of it."""
    _, state = stylizer.step(CONTENT, settings, None)
    ripeness = torch.full_like(state.moments.ripeness, settings.ripe)
    cut(ripeness, unripe).fill_(settings.ripe / 2)
    return replace(state, moments=replace(state.moments, ripeness=ripeness))


CORNER = slice(0, 40), slice(200, 256)
MIDDLE = slice(80, 110), slice(100, 140)


@pytest.mark.parametrize("where", [CORNER, MIDDLE])
def test_only_the_part_is_painted_and_nothing_else_changes_by_a_bit(where: tuple[slice, slice]) -> None:
    stylizer, settings = make(iterations=2), StyleSettings()
    before = nearly_ripe(stylizer, settings, where)
    painting, after = stylizer.paint(stylizer.prepare(CONTENT, before.prepared), settings, before)
    assert 0 < painting.share <= MOST
    assert painting.iterations == 2
    changed = (after.image != before.image).any(1, keepdim=True)
    assert cut(changed, where).float().mean() > 0.9
    cut(changed, after.focus.part).fill_(False)
    assert not changed.any()
    steps = after.moments.ripeness - before.moments.ripeness
    assert (cut(steps, where) > 1).all()
    assert torch.equal(steps > 0, before.moments.ripeness < settings.ripe)
    for mine, last in ((after.moments.mean[0], before.moments.mean[0]), (after.moments.weight, before.moments.weight)):
        changed = (mine != last).any(1, keepdim=True)
        assert cut(changed, where).all()
        cut(changed, after.focus.part).fill_(False)
        assert not changed.any()
    assert after.moments.age == before.moments.age + 2


@pytest.mark.parametrize("view", [View(), View(5, -3), View(0, 2, True, False), View(-1, 0, False, True)])
def test_a_part_knows_the_style_loss_of_the_whole_picture(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    """From every view: its Gram matrices and those of the rest are the picture's."""
    monkeypatch.setattr(Viewpoint, "view", lambda *_: view)
    stylizer, settings = make(), StyleSettings()
    before = nearly_ripe(stylizer, settings, MIDDLE)
    prepared = stylizer.prepare(CONTENT, before.prepared)
    in_part, after = stylizer.paint(prepared, settings, before)
    whole, _ = stylizer.paint(prepared, settings, replace(before, focus=OVERDUE))
    assert in_part.share < MOST < whole.share
    assert in_part.losses["style"] == pytest.approx(whole.losses["style"], rel=1e-4)
    assert list(after.focus.rest) == [(view.upside_down, view.mirrored)]


def test_a_part_comes_as_near_to_the_style_of_the_whole_as_the_whole_does() -> None:
    """The part is not painted yet, all around it is."""
    stylizer, settings = make(iterations=30), StyleSettings()
    where = slice(64, 128), slice(96, 160)
    before = nearly_ripe(stylizer, settings, where)
    content = before.prepared.content
    unpainted = replace(
        before,
        image=pasted(before.image, cut(content, where), where),
        moments=before.moments.pasted(Moments.zero(content).cut(where), where),
    )
    prepared, losses = stylizer.prepare(CONTENT, before.prepared), dict[str, float]()
    all_of_it = OVERDUE
    for name, focus in (("part", EVERYTHING), ("whole", all_of_it)):
        painting, after = stylizer.paint(prepared, settings, replace(unpainted, focus=focus))
        assert (painting.share == 1) is (name == "whole")
        for when, state in (("before", unpainted), (name, after)):
            seen, _ = stylizer.paint(prepared, settings, replace(state, focus=all_of_it), iterations=1)
            losses[when] = seen.losses["style"]
    # the whole also paints around it; without the rest's Gram matrices a part is worse painted than not painted
    assert losses["before"] - losses["part"] > 0.8 * (losses["before"] - losses["whole"]) > 0.08 * losses["before"]


@pytest.mark.parametrize("left", [0.0, 0.2])
def test_a_picture_at_rest_or_nearly_gets_no_iterations_and_stays(left: float) -> None:
    stylizer, settings = make(), StyleSettings()
    state = nearly_ripe(stylizer, settings, (slice(0, 0), slice(0, 0)))
    state = replace(state, moments=replace(state.moments, ripeness=state.moments.ripeness - left))
    image = state.image
    for _ in range(3):
        painting, state = stylizer.paint(stylizer.prepare(CONTENT, state.prepared), settings, state)
        assert (painting.iterations, painting.share) == (0, 0)
        assert torch.equal(state.image, image)


def test_iterations_may_depend_on_the_share() -> None:
    stylizer, settings, asked = make(), StyleSettings(), list[float]()

    def iterations(share: float) -> int:
        asked.append(share)
        return 1 if share == 1 else 3

    first, state = stylizer.paint(stylizer.prepare(CONTENT, None), settings, None, iterations=iterations)
    state = nearly_ripe(stylizer, settings, MIDDLE)
    second, state = stylizer.paint(stylizer.prepare(CONTENT, state.prepared), settings, state, iterations=iterations)
    assert (first.iterations, second.iterations) == (1, 3)
    assert asked == [1, 1, 1, second.share]


@pytest.mark.parametrize("way", ["without flow", "masked", "sgd", "lbfgs", "another style", "paper", "new scene"])
def test_all_else_is_painted_as_a_whole(way: str) -> None:
    masks = (np.ones(SIZE, np.float32),) if way == "masked" else ()
    method: Method = "sgd" if way == "sgd" else "lbfgs" if way == "lbfgs" else "adam"
    stylizer, settings = make(use_flow=way != "without flow", masks=masks, method=method), StyleSettings()
    settings = replace(settings, loss="paper") if way == "paper" else settings
    before = nearly_ripe(stylizer, settings, MIDDLE)
    wanted = replace(settings, style_weight=3 * settings.style_weight) if way == "another style" else settings
    content = blobs(*SIZE, seed=9)[::-1].copy() if way == "new scene" else CONTENT
    painting, after = stylizer.paint(stylizer.prepare(content, before.prepared), wanted, before)
    assert painting.share == 1
    assert after.focus.everywhere


def test_before_a_camera_that_moves_all_of_a_picture_is_painted() -> None:
    stylizer, settings = make(), StyleSettings()
    frames = list(sliding(4, *SIZE, seed=1))
    _, state = stylizer.step(frames[0], settings, None)
    for frame in frames[1:]:
        state = replace(state, moments=replace(state.moments, ripeness=torch.full((1, 1, *SIZE), settings.ripe)))
        painting, state = stylizer.paint(stylizer.prepare(frame, state.prepared), settings, state)
        assert painting.share == 1


def test_after_a_change_of_size_all_of_a_picture_is_painted() -> None:
    """A part of the larger one may hold all of the smaller one."""
    stylizer, settings = make(), StyleSettings()
    large = blobs(480, 640, seed=1)
    first, state = stylizer.paint(stylizer.prepare(large, None, size=640), settings, None)
    ripeness = torch.full_like(state.moments.ripeness, settings.ripe)
    ripeness[..., :220, :290] = 0
    state = replace(state, moments=replace(state.moments, ripeness=ripeness))
    second, state = stylizer.paint(stylizer.prepare(large, state.prepared, size=640), settings, state)
    assert second.share < 1
    third, after = stylizer.paint(stylizer.prepare(large, state.prepared, size=256), settings, state)
    assert third.share == first.share == 1
    assert not after.focus.rest


def test_within_a_part_the_way_down_is_that_of_the_whole_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """All terms together, by the first mean of Adam's: one iteration each, from the same painting and view."""
    monkeypatch.setattr(Viewpoint, "view", lambda *_: View())
    stylizer, settings = make(iterations=20), StyleSettings(tv_weight=1.0)
    before = nearly_ripe(stylizer, settings, MIDDLE)
    before = replace(before, moments=replace(before.moments, mean=Moments.zero(before.image).mean))
    prepared, moved = stylizer.prepare(CONTENT, before.prepared), list[Tensor]()
    for focus in (EVERYTHING, OVERDUE):
        _, after = stylizer.paint(prepared, settings, replace(before, focus=focus), iterations=1)
        moved.append(cut(after.moments.mean[0], MIDDLE).flatten())
    part, whole = moved
    assert torch.nn.functional.cosine_similarity(part, whole, dim=0) > 0.95
    assert part.norm() == pytest.approx(float(whole.norm()), rel=0.15)


def test_on_a_device_that_has_many_pixels_at_once_all_of_a_picture_is_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compute, "counts_pixels", False)
    stylizer, settings = make(), StyleSettings()
    before = nearly_ripe(stylizer, settings, MIDDLE)
    assert stylizer.paint(stylizer.prepare(CONTENT, before.prepared), settings, before)[0].share == 1


def test_few_shapes_of_parts_are_kept_and_each_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stylizer, settings, made = make(), StyleSettings(), list[object]()
    state = nearly_ripe(stylizer, settings, MIDDLE)
    prepared, real = stylizer.prepare(CONTENT, state.prepared), Stylizer._make_easel

    def counted(*args: Any, **more: Any) -> Easel:
        made.append(args[1])
        return real(*args, **more)

    monkeypatch.setattr(Stylizer, "_make_easel", counted)
    monkeypatch.setattr("nst_video.easel.PARTS", 2)
    for where in (MIDDLE, CORNER, MIDDLE, CORNER):
        stylizer.paint(prepared, settings, replace(state, moments=nearly_ripe(stylizer, settings, where).moments))
    assert len(made) == 2
    easel = stylizer._easel
    assert easel is not None
    for left in (0, 64, 128):
        where = slice(150, 192), slice(left, left + 40)
        stylizer.paint(prepared, settings, replace(state, moments=nearly_ripe(stylizer, settings, where).moments))
    assert len(easel.parts) == 2


def film(frames: list[Pixels], state: State) -> tuple[list[Focus], State]:
    stylizer, seen = make(iterations=2), list[Focus]()
    for frame in frames:
        _, state = stylizer.step(frame, StyleSettings(), state)
        seen.append(state.focus)
    return seen, state


def talking(count: int) -> list[Pixels]:
    """Something that moves by two pixels a frame before a picture that is still."""
    frames, thing = [], blobs(32, 32, seed=7)
    for index in range(count):
        frame = CONTENT.copy()
        frame[90:122, 60 + 2 * index : 92 + 2 * index] = thing
        frames.append(frame)
    return frames


def test_before_a_camera_that_is_still_only_what_moves_is_painted_and_a_part_of_a_state_says_where() -> None:
    frames, settings = talking(8), StyleSettings()
    stylizer = make()
    _, state = stylizer.step(frames[0], settings, None)
    state = replace(state, moments=replace(state.moments, ripeness=torch.full((1, 1, *SIZE), settings.ripe)))
    seen, state = film(frames[1:], state)
    assert sum(not focus.everywhere for focus in seen) >= 5
    assert any(focus.rest for focus in seen)
    assert pace(state.moments.ripeness, settings.ripe).mean() < 0.2


def test_everywhere_is_everything() -> None:
    assert EVERYTHING.part == EVERYTHING.around == EVERYTHING.inner == EVERYWHERE
    assert EVERYTHING.everywhere
    assert not NOTHING.everywhere
