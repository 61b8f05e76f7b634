"""The optimiser: Adam as it is known, its memory carried on, the image kept in range; and what all methods share."""

from __future__ import annotations

import copy
import dataclasses
import math
import weakref
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from nst_video.adam import BETAS, EPSILON, LEVEL_DECAY, RIPENING, Moments, pace
from nst_video.optimizer import DECAY_ITERATIONS, Evaluate, Losses, Method, Optimizer, optimize

METHODS: tuple[Method, ...] = ("adam", "lbfgs", "sgd")
SHAPE = (1, 3, 32, 48)  # which has three levels
TARGET = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))


def start() -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))


def towards(target: Tensor = TARGET) -> Evaluate:
    def objective(image: Tensor) -> Losses:
        weight = torch.linspace(0.1, 3, image.shape[-1])
        total = (weight * (image - target).square()).sum() + (image**4).sum()
        zero = torch.zeros(())
        return Losses(total, total, zero, zero, zero)

    return objective


def run(
    iterations: int, image: Tensor | None = None, moments: Moments | None = None, target: Tensor = TARGET
) -> tuple[Tensor, Moments, Losses]:
    image = start() if image is None else image
    moments = Moments.zero(image) if moments is None else moments
    return optimize(
        towards(target),
        image,
        moments,
        iterations=iterations,
        learning_rate=0.02,
    )


def same(one: Moments, other: Moments) -> bool:
    pairs = zip(one.levels(), other.levels(), strict=True)
    return one.age == other.age and all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("target", [TARGET, TARGET + 1, TARGET - 1])
def test_with_one_level_each_step_is_that_of_torchs_adam_followed_by_a_clamp(target: Tensor) -> None:
    reference = start().requires_grad_()
    adam = torch.optim.Adam([reference], lr=0.02, betas=BETAS, eps=EPSILON)
    for iterations in range(1, 16):
        adam.zero_grad()
        towards(target)(reference).total.backward()  # type: ignore[no-untyped-call]
        adam.step()
        with torch.no_grad():
            reference.clamp_(0, 1)
        image = run(iterations, moments=Moments.zero(start(), levels=1), target=target)[0]
        assert torch.allclose(image, reference, atol=2e-5)


def test_n_and_m_steps_with_the_moments_carried_are_n_plus_m_steps() -> None:
    image, moments, _ = run(4)
    carried, carried_moments, _ = run(7, image, moments)
    at_once, moments_at_once, _ = run(11)
    assert moments.age == 4
    assert carried_moments.age == moments_at_once.age == 11
    assert torch.equal(carried, at_once)
    assert same(carried_moments, moments_at_once)


def test_forgotten_moments_give_another_picture() -> None:
    image, _, _ = run(4)
    assert not torch.allclose(run(7, image)[0], run(11)[0], atol=1e-4)


@pytest.mark.parametrize("levels", [1, 3])
def test_a_pixel_without_memory_steps_as_in_a_first_frame_whatever_the_others_remember(levels: int) -> None:
    pull = torch.where(torch.arange(48) < 24, 0.01, 1.0).expand(SHAPE)  # less than what is remembered there
    young, aged = Moments.zero(start(), levels), pulled_memory(-pull.flip(3), levels)
    known = [torch.arange(48 >> level).ge(24 >> level).float() for level in range(levels)]
    mixed = Moments(
        tuple(mean * k for mean, k in zip(aged.mean, known, strict=True)),
        tuple(square * k for square, k in zip(aged.square, known, strict=True)),
        aged.ripeness,
        aged.weight * known[0],
        aged.age,
    )
    for iterations in (1, 5):
        first, later, both = (pulled(pull, moments, iterations) for moments in (young, aged, mixed))
        assert torch.allclose(both[..., :16], first[..., :16], atol=1e-3)
        assert torch.allclose(both[..., 32:], later[..., 32:], atol=1e-3)
        assert (first - later)[..., :16].abs().min() > 0.5


def test_neither_the_image_nor_the_moments_given_are_changed() -> None:
    image, moments, _ = run(3)
    kept = copy.deepcopy((image, moments))
    run(5, image, moments)
    assert torch.equal(image, kept[0])
    assert same(moments, kept[1])
    assert not image.requires_grad


def test_the_image_stops_at_black_and_at_white() -> None:
    for target, wanted in ((TARGET + 50, 1.0), (TARGET - 50, 0.0)):
        image, _, _ = run(80, target=target)
        assert torch.equal(image, torch.full_like(image, wanted))


def pulled(pull: Tensor, moments: Moments | None = None, iterations: int = 1) -> Tensor:
    """How far grey is moved, in units of the learning rate, by a gradient that is `pull` everywhere and always."""
    grey = torch.full(pull.shape, 0.5)

    def objective(image: Tensor) -> Losses:
        total, zero = (image * pull).sum(), torch.zeros(())
        return Losses(total, total, zero, zero, zero)

    moments = Moments.zero(grey) if moments is None else moments
    return (optimize(objective, grey, moments, iterations=iterations, learning_rate=0.001)[0] - grey) / 0.001


def pulled_memory(pull: Tensor, levels: int) -> Moments:
    """What is remembered of a pull that went on for long."""
    grey = torch.full(pull.shape, 0.5)

    def objective(image: Tensor) -> Losses:
        total, zero = (image * pull).sum(), torch.zeros(())
        return Losses(total, total, zero, zero, zero)

    return optimize(objective, grey, Moments.zero(grey, levels), iterations=60, learning_rate=0.001)[1]


def test_what_is_finer_than_a_level_moves_the_finest_only() -> None:
    y, x = torch.meshgrid(torch.arange(32), torch.arange(48), indexing="ij")
    board = (1.0 - 2 * ((x + y) % 2)).expand(SHAPE)
    assert torch.allclose(pulled(board), -board, atol=1e-3)


def test_levels_lie_over_each_other() -> None:
    """Pulled in the upper left only, the image moves there and not elsewhere, whichever level pulls."""
    pull = torch.zeros(1, 1, 64, 64)
    pull[..., :16, :16] = 1
    moved = pulled(pull)
    assert moved[..., :10, :10].max() < -2.3
    assert moved[..., 32:, :].abs().max() < 1e-6
    assert moved[..., :, 32:].abs().max() < 1e-6


def test_coarse_steps_come_without_blocks() -> None:
    """Where the pull changes sign, the coarse levels' steps change over several pixels."""
    pull = torch.ones(1, 1, 64, 64)
    pull[..., 32:] = -1
    coarse = (pulled(pull) + pull)[0, 0, 30]  # without the finest level's
    assert (coarse[1:] - coarse[:-1]).max() < 1.5
    assert coarse[-1] - coarse[0] > 2


def test_pixels_that_nothing_pulls_at_stay_as_they_are() -> None:
    """Where the gradient is nothing at all, a step must not be 0 / 0."""
    assert torch.equal(pulled(torch.zeros(SHAPE), iterations=3), torch.zeros(SHAPE))


def test_the_total_goes_down_and_what_is_answered_is_the_loss_before_the_last_step() -> None:
    first, last = run(1)[2], run(60)[2]
    assert last.total < first.total
    assert first.total == towards()(start()).total
    assert not last.total.requires_grad


def test_on_iteration_is_told_of_each_step_done() -> None:
    told: list[tuple[int, Tensor, float]] = []
    optimize(
        towards(),
        start(),
        Moments.zero(start()),
        iterations=5,
        learning_rate=0.02,
        on_iteration=lambda done, image, losses: told.append((done, image.clone(), losses.total.item())),
    )
    assert [done for done, _, _ in told] == [1, 2, 3, 4, 5]
    for done, image, loss in told:
        wanted, _, losses = run(done)
        assert torch.equal(image, wanted)
        assert loss == losses.total.item()


def test_losses_as_plain_numbers_keep_their_names() -> None:
    losses = Losses(*torch.arange(5.0))
    assert losses.values() == {"total": 0, "content": 1, "style": 2, "tv": 3, "temporal": 4}


def test_a_pyramids_levels_halve_until_they_would_be_too_small() -> None:
    moments = Moments.zero(torch.zeros(1, 3, 70, 100))
    assert [tuple(level.shape[2:]) for level in moments.mean] == [(70, 100), (35, 50), (17, 25), (8, 12)]
    assert len(Moments.zero(torch.zeros(1, 3, 31, 200)).square) == 2
    assert len(Moments.zero(torch.zeros(1, 3, 15, 200)).square) == 1


def test_the_first_step_of_a_pyramid_adds_up_the_steps_of_its_levels() -> None:
    """With a gradient of one sign everywhere, Adam's first step is 1 on each level, scaled by its decay."""
    image = torch.full((1, 3, 32, 48), 0.5)

    def objective(x: Tensor) -> Losses:
        zero = torch.zeros(())
        return Losses(x.sum(), zero, zero, zero, zero)

    stepped, moments, _ = optimize(objective, image, Moments.zero(image), iterations=1, learning_rate=0.01)
    assert len(moments.mean) == 3  # 32, 16 and 8 pixels high
    expected = torch.full_like(image, 0.5 - 0.01 * (1 + LEVEL_DECAY + LEVEL_DECAY**2))
    assert torch.allclose(stepped, expected, atol=1e-5)


def test_a_pyramid_moves_what_is_large_in_fewer_steps() -> None:
    y, x = torch.meshgrid(torch.linspace(0, 6, 64), torch.linspace(0, 6, 64), indexing="ij")
    smooth = (0.5 + 0.4 * torch.sin(y) * torch.cos(x)).expand(1, 3, 64, 64)
    image = torch.full_like(smooth, 0.5)
    errors = [
        optimize(towards(smooth), image, Moments.zero(image, levels), iterations=10, learning_rate=0.01)[2].total.item()
        for levels in (1, 4)
    ]
    assert errors[1] < 0.8 * errors[0]


def places(optimizer: Optimizer) -> set[int]:
    """Where all that it keeps from one iteration to the next lies in memory."""
    found = [*vars(optimizer).values(), *vars(optimizer._rule).values()]
    found += [level for kept in found if isinstance(kept, Moments) for level in kept.levels()]
    return {kept.data_ptr() for kept in found if isinstance(kept, Tensor)}


@pytest.mark.parametrize("method", METHODS)
def test_what_is_captured_goes_on_from_whatever_image_it_is_given(method: Method) -> None:
    """As on a GPU: what was recorded once is replayed, and reads and writes the same memory each time."""
    recorded: list[set[int]] = []

    def capture(iteration: Callable[[], Losses]) -> Callable[[], Losses]:
        for _ in range(3):
            iteration()  # with whatever is there
        return replayed(iteration)

    def replayed(iteration: Callable[[], Losses]) -> Callable[[], Losses]:
        def replay() -> Losses:
            recorded.append(places(optimizer))
            return iteration()

        return replay

    optimizer = Optimizer(towards(), start(), method=method, capture=capture)
    plain = Optimizer(towards(), start(), method=method)
    for _ in range(2):
        image, moments, losses = optimizer.run(start(), Moments.zero(start()), iterations=5, learning_rate=0.02)
        wanted, wanted_moments, wanted_losses = plain.run(
            start(), Moments.zero(start()), iterations=5, learning_rate=0.02
        )
        assert torch.equal(image, wanted)
        assert same(moments, wanted_moments)
        assert losses.total == wanted_losses.total
    assert len(recorded) == 10
    assert all(places == recorded[0] for places in recorded)


def test_an_optimizer_keeps_nothing_of_the_last_image() -> None:
    optimizer = Optimizer(towards(), start())
    first = optimizer.run(start(), Moments.zero(start()), iterations=3, learning_rate=0.02)
    kept = copy.deepcopy(first[:2])
    optimizer.run(torch.rand(SHAPE), first[1], iterations=4, learning_rate=0.1)
    assert torch.equal(first[0], kept[0])
    assert same(first[1], kept[1])
    again = optimizer.run(start(), Moments.zero(start()), iterations=3, learning_rate=0.02)
    assert torch.equal(first[0], again[0])


def test_an_optimizer_is_gone_when_nobody_needs_it() -> None:
    """Without waiting for the garbage collector, which knows nothing of a GPU's memory."""
    gone = weakref.ref(optimizer := Optimizer(towards(), start()))
    optimizer.run(start(), Moments.zero(start()), iterations=1, learning_rate=0.1)
    del optimizer
    assert gone() is None


# ripeness


def test_steps_become_shorter_before_a_pixel_is_ripe_and_then_are_none() -> None:
    ripeness = torch.tensor([0.0, 300 - RIPENING, 300 - RIPENING / 4, 300.0, 400.0])
    assert pace(ripeness, 300).tolist() == pytest.approx([1, 1, 0.5, 0, 0])
    assert pace(ripeness, math.inf).tolist() == [1] * 5
    kept = torch.empty(5)
    assert pace(ripeness, torch.tensor([300.0]), out=kept) is kept


def test_a_ripe_half_rests_while_the_other_is_painted_and_ripens() -> None:
    image, moments = start(), Moments.zero(start())
    ripeness = moments.ripeness.clone()
    ripeness[..., :24], ripeness[..., 24:] = 500, 190
    moments = dataclasses.replace(moments, ripeness=ripeness)
    optimizer = Optimizer(towards(), image)
    after, later, _ = optimizer.run(image, moments, iterations=40, learning_rate=0.02, ripe=200)
    assert torch.equal(after[..., :24], image[..., :24])
    assert (after - image)[..., 24:].abs().mean() > 0.005
    assert (later.ripeness[..., :24] == 500).all()
    assert ((later.ripeness[..., 24:] > 199) & (later.ripeness[..., 24:] < 200)).all()  # 0.4 a step, and ever less
    assert torch.equal(moments.ripeness, ripeness)
    freely, _, _ = optimizer.run(image, moments, iterations=40, learning_rate=0.02)
    assert (freely - image).abs().mean() > 2 * (after - image).abs().mean()


def test_ripeness_counts_whole_steps() -> None:
    _, moments, _ = run(7)
    assert (moments.ripeness == 7).all()


# all methods


@pytest.mark.parametrize("method", METHODS)
def test_every_method_lowers_the_loss_keeps_within_bounds_and_leaves_its_arguments_alone(method: Method) -> None:
    image, moments = start(), Moments.zero(start())
    optimizer = Optimizer(towards(TARGET + 3), image, method=method)
    first = optimizer.run(image, moments, iterations=1, learning_rate=0.02)[2]
    answer, after, last = optimizer.run(image, moments, iterations=40, learning_rate=0.02)
    assert last.total < 0.8 * first.total
    assert answer.min() >= 0
    assert answer.max() == 1
    assert not answer.requires_grad
    assert torch.equal(image, start())
    assert all((level == 0).all() for level in moments.levels())
    assert after.age == 40 if method == "adam" else after is moments


@pytest.mark.parametrize("method", METHODS)
def test_the_rate_is_multiplied_by_its_decay_every_so_many_iterations(method: Method) -> None:
    """On a plane every step is as long as the rate says, so the way shows it."""
    image, seen = torch.full((1, 3, 8, 9), 0.9), list[float]()

    def plane(x: Tensor) -> Losses:
        zero = torch.zeros(())
        return Losses(x.sum(), zero, zero, zero, zero)

    optimizer = Optimizer(plane, image, method=method)
    for _ in range(2):  # the second time it starts with the whole rate again
        seen.clear()
        optimizer.run(
            image,
            Moments.zero(image),
            iterations=2 * DECAY_ITERATIONS + 2,
            learning_rate=0.004,
            decay=0.5,
            on_iteration=lambda _, __, losses: seen.append(losses.total.item() / image.numel()),
        )
        lengths = [before - after for before, after in pairwise(seen)]
        for half in (0, 1, 2):
            assert lengths[half * DECAY_ITERATIONS] == pytest.approx(0.004 / 2**half, rel=0.01)
        wanted = sum(0.004 * 0.5 ** (done / DECAY_ITERATIONS) for done in range(len(lengths)))
        assert seen[0] - seen[-1] == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_free_never_moves_and_has_no_say(method: Method) -> None:
    """Not even where the coarse levels of Adam reach beyond the border."""
    free = torch.zeros(1, 1, *SHAPE[2:], dtype=torch.bool)
    free[..., 20:] = True
    image, shown = start(), list[Tensor]()
    answers = []
    for seed in (1, 2):
        target = TARGET.clone()
        target[..., :20] = torch.rand(1, 3, 32, 20, generator=torch.Generator().manual_seed(seed))
        optimizer = Optimizer(towards(target), image, method=method, free=free)
        answer, _, _ = optimizer.run(
            image,
            Moments.zero(image),
            iterations=12,
            learning_rate=0.02,
            on_iteration=lambda _, seen, __: shown.append(seen.clone()),
        )
        answers.append(answer)
    for seen in (*shown, *answers):
        assert torch.equal(seen[..., :20], start()[..., :20])
    if method != "lbfgs":  # it asks how large the loss is, and that counts all pixels
        assert torch.equal(*answers)
    moved = (answers[0] - start())[..., 20:].abs()
    assert (moved > 0).float().mean() > 0.95
    assert moved.mean() > 0.005
    again, _, _ = optimizer.run(answers[0] / 2, Moments.zero(image), iterations=2, learning_rate=0.02)
    assert torch.equal(again[..., :20], answers[0][..., :20] / 2)  # as it is given each time, not as it was at first


@pytest.mark.parametrize("method", METHODS)
def test_what_is_free_goes_its_way_as_if_all_were(method: Method) -> None:
    everywhere = torch.ones(1, 1, *SHAPE[2:], dtype=torch.bool)
    answers = [
        Optimizer(towards(), start(), method=method, free=free).run(
            start(), Moments.zero(start()), iterations=6, learning_rate=0.02
        )[0]
        for free in (None, everywhere)
    ]
    assert torch.equal(*answers)
