"""L-BFGS: as good as the books say, within bounds, and never in need of a number from the device."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nst_video.adam import Moments
from nst_video.lbfgs import HISTORY, Lbfgs
from nst_video.optimizer import Losses, Method, Optimizer

SHAPE = (1, 3, 4, 6)
Function = Callable[[Tensor], Tensor]


def dice(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape or SHAPE, generator=torch.Generator().manual_seed(seed))


def bowl(lowest: Tensor, *, longest: float = 100, seed: int = 0) -> Function:
    """A quadratic with its minimum, 0, at `lowest`; one axis is `longest` times as steep as another, none lies along
    a pixel."""
    size = lowest.numel()
    axes, _ = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(seed)))
    steepness = longest ** torch.linspace(0, 1, size)
    return lambda image: 0.5 * (steepness * (axes.T @ (image - lowest).flatten()).square()).sum()


def banana(image: Tensor) -> Tensor:
    """Rosenbrock's valley, in every pair of neighbours; its minimum, 0, is at ¾."""
    a, b = (4 * image - 2).flatten().view(-1, 2).unbind(1)
    return (100 * (b - a.square()).square() + (1 - a).square()).sum()


def descend(
    function: Function, image: Tensor, iterations: int, *, rate: float = 0.05, method: Method = "lbfgs"
) -> tuple[Tensor, list[float], list[float]]:
    """The last image; the loss of each one that was tried; and after each step, that of the best one."""
    tried, best = list[float](), list[float]()

    def objective(x: Tensor) -> Losses:
        zero = torch.zeros(())
        return Losses(function(x), zero, zero, zero, zero)

    def note(_: int, shown: Tensor, losses: Losses) -> None:
        tried.append(losses.total.item())
        best.append(function(shown).item())

    answer, _, _ = Optimizer(objective, image, method=method).run(
        image, Moments.zero(image), iterations=iterations, learning_rate=rate, on_iteration=note
    )
    return answer, tried, best


def step(rule: Lbfgs, function: Function, image: Tensor, rate: float) -> None:
    """One iteration on `image`, without any clamping."""
    seen = image.clone().requires_grad_()
    loss = function(seen)
    (gradient,) = torch.autograd.grad(loss, seen)
    with torch.no_grad():
        rule.step(image, gradient, loss.detach(), torch.tensor([rate]))


def rms(change: Tensor) -> float:
    return change.square().mean().sqrt().item()


# how good it is


def test_at_the_bottom_of_a_narrow_bowl_in_a_few_dozen_iterations() -> None:
    lowest = 0.3 + 0.4 * dice(1)
    answer, tried, _ = descend(bowl(lowest), dice(2), 60)
    assert (answer - lowest).abs().max() < 1e-3
    plain = descend(bowl(lowest), dice(2), 60, method="sgd")[0]
    assert rms(answer - lowest) < 0.01 * rms(plain - lowest)
    assert tried[-1] < 1e-5 * tried[0]


def test_through_a_bent_valley() -> None:
    answer, _, best = descend(banana, torch.full(SHAPE, 0.3), 120)
    assert best[-1] < 1e-3
    assert (answer - 0.75).abs().max() < 0.05


def test_without_bounds_and_with_steps_that_all_succeed_it_goes_torchs_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """More steps than are remembered, so that old pairs make room for new ones."""
    monkeypatch.setattr("nst_video.lbfgs.HISTORY", 3)

    def function(image: Tensor) -> Tensor:
        return bowl(torch.full(SHAPE, 0.5), longest=8)(image) + (image - 0.4).square().square().sum()

    image, reference = 0.3 + 0.4 * dice(3), (0.3 + 0.4 * dice(3)).requires_grad_()
    theirs = torch.optim.LBFGS([reference], lr=1, max_iter=1, history_size=3, tolerance_grad=0)
    (slope,) = torch.autograd.grad(function(reference), reference)
    rate = rms(slope) * min(1.0, 1 / slope.abs().sum().item())  # how long torch's first step is
    ours = Lbfgs(image)
    ours.begin(image)

    def closure() -> Tensor:
        theirs.zero_grad()
        loss = function(reference)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    for _ in range(8):
        theirs.step(closure)  # type: ignore[no-untyped-call]
        step(ours, function, image, rate)
        assert torch.allclose(image, reference, atol=1e-5)


# bounds


@pytest.mark.parametrize("start", [0.5, 0.0, 1.0])
def test_what_is_pulled_out_of_bounds_ends_at_them_and_the_rest_at_its_best(start: float) -> None:
    wanted, weights = 3 * dice(4) - 1, 1 + 30 * dice(5)
    answer, _, _ = descend(lambda image: (weights * (image - wanted).square()).sum(), torch.full(SHAPE, start), 50)
    assert ((wanted < 0) | (wanted > 1)).float().mean() > 0.5
    assert torch.allclose(answer, wanted.clamp(0, 1), atol=1e-3)


@given(seed=st.integers(0, 1000))
def test_in_a_slanted_bowl_cut_by_the_bounds_no_way_is_left_that_leads_down(seed: int) -> None:
    """At the best point within bounds the gradient is nothing, or points outwards at the bound."""
    function = bowl(2 * dice(seed) - 0.5, longest=10, seed=seed)
    answer, tried, _ = descend(function, dice(seed + 1), 40)
    answer.requires_grad_()
    (slope,) = torch.autograd.grad(function(answer), answer)
    projected = answer - (answer - 0.1 * slope).clamp(0, 1)
    assert projected.abs().max() < 0.01
    assert answer.min() == 0 or answer.max() == 1 or tried[-1] < 1e-3


def test_a_pixel_at_its_bound_that_is_pulled_outwards_takes_no_part_in_the_direction() -> None:
    image = torch.full(SHAPE, 0.5)
    image[..., 0], image[..., 1], image[..., 2], image[..., 3] = 0, 1, 0, 1
    gradient = torch.full(SHAPE, 0.3)
    gradient[..., 0], gradient[..., 1], gradient[..., 2], gradient[..., 3] = 100, -100, -2, 2
    rule, moved = Lbfgs(image), image.clone()
    rule.begin(image)
    rule.step(moved, gradient, torch.tensor(1.0), torch.tensor([0.01]))
    assert torch.equal(moved[..., :2], image[..., :2])
    assert (moved[..., 2] > 0).all()
    assert (moved[..., 3] < 1).all()
    assert rms((moved - image)[moved != image]) == pytest.approx(0.01, rel=1e-4)


# steps


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e8])
@pytest.mark.parametrize("rate", [1e-4, 0.02])
def test_the_first_step_has_the_rate_for_its_root_mean_square_and_leads_straight_down(
    rate: float, scale: float
) -> None:
    lowest, image = torch.full(SHAPE, 0.5), 0.4 + 0.2 * dice(6)
    before, rule = image.clone(), Lbfgs(image)
    rule.begin(image)
    step(rule, lambda x: scale * (x - lowest).square().sum(), image, rate)
    assert rms(image - before) == pytest.approx(rate, rel=1e-3)
    assert torch.allclose((image - before) / rate, (lowest - before) / rms(lowest - before), atol=0.01)


def test_where_nothing_pulls_nothing_moves() -> None:
    answer, _, _ = descend(lambda image: (0 * image).sum(), dice(7), 4)
    assert torch.equal(answer, dice(7))


def test_each_iteration_looks_once() -> None:
    calls = 0

    def objective(image: Tensor) -> Losses:
        nonlocal calls
        calls += 1
        zero = torch.zeros(())
        return Losses(banana(image), zero, zero, zero, zero)

    optimizer = Optimizer(objective, dice(8), method="lbfgs")
    optimizer.run(dice(8), Moments.zero(dice(8)), iterations=23, learning_rate=0.5)  # some of which are taken back
    assert calls == 23


def test_a_step_that_does_not_help_is_halved_until_all_is_forgotten() -> None:
    image = torch.full(SHAPE, 0.5)
    before, rule, pull = image.clone(), Lbfgs(image), torch.ones(SHAPE)
    rule.begin(image)
    rule.step(image, pull, torch.tensor(1.0), torch.tensor([0.1]))
    for halvings in range(10):
        assert torch.allclose(image, before - 0.1 / 2**halvings, atol=1e-6)
        assert torch.equal(rule.best(image), before)
        rule.step(image, -pull, torch.tensor(2.0), torch.tensor([0.1]))
    assert torch.allclose(image, before - 0.1, atol=1e-6)


def test_a_step_that_hardly_helps_is_taken_back_too() -> None:
    """Armijo: what the slope promises has to come true to some small part."""
    for gain, taken in ((1e-5, False), (1e-3, True)):
        image = torch.full(SHAPE, 0.5)
        before, rule = image.clone(), Lbfgs(image)
        rule.begin(image)
        rule.step(image, torch.ones(SHAPE), torch.tensor(1.0), torch.tensor([0.1]))
        trial = image.clone()
        promised = 0.1 * before.numel()
        rule.step(image, torch.ones(SHAPE), torch.tensor(1.0 - gain * promised), torch.tensor([0.1]))
        assert torch.equal(rule.best(image), trial if taken else before)


@given(seed=st.integers(0, 1000), rate=st.floats(1e-3, 1.0), function=st.sampled_from(["banana", "bowl", "waves"]))
def test_the_best_image_never_becomes_worse_and_was_seen(seed: int, rate: float, function: str) -> None:
    functions: dict[str, Function] = {
        "banana": banana,
        "bowl": bowl(3 * dice(seed + 1) - 1, longest=1000, seed=seed),
        "waves": lambda image: (20 * image + dice(seed + 1)).sin().sum() + (image[..., 1:] * image[..., :-1]).sum(),
    }
    answer, tried, best = descend(functions[function], dice(seed), 30, rate=rate)
    for done, (now, before) in enumerate(zip(best, [tried[0], *best], strict=False), start=1):
        assert now <= before
        assert any(now == pytest.approx(seen, rel=1e-5, abs=1e-6) for seen in tried[:done])
    assert functions[function](answer).item() == best[-1]


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.nan])
def test_it_backs_off_from_where_the_loss_is_no_number(poison: float) -> None:
    """And goes on: its memory has not been poisoned, though the gradient there is no number either."""
    lowest, met = torch.full(SHAPE, 0.55), 0

    def function(image: Tensor) -> Tensor:
        nonlocal met
        bad = bool(image.detach().max() > 0.7)
        met += bad
        return (image - lowest).square().sum() * (poison if bad else 1.0)

    start = 0.3 + 0.1 * dice(9)
    answer, tried, best = descend(function, start, 25, rate=0.4)
    assert met > 0
    assert sum(not math.isfinite(loss) for loss in tried) == met
    assert all(math.isfinite(loss) for loss in best)
    assert (answer - lowest).abs().max() < 1e-3


# memory


def test_beginning_again_forgets_everything() -> None:
    rule = Lbfgs(dice(0))

    def run(function: Function) -> list[Tensor]:
        image = dice(10)
        rule.begin(image)
        images = []
        for _ in range(25):
            step(rule, function, image, 0.05)
            image.clamp_(0, 1)
            images.append(image.clone())
        return images

    first = run(banana)
    run(bowl(dice(11), longest=1000))
    assert all(torch.equal(one, other) for one, other in zip(first, run(banana), strict=True))


def test_what_it_remembers_keeps_its_place() -> None:
    """As what is recorded on a GPU must."""
    image, rule = dice(12), Lbfgs(dice(12))
    places = {name: kept.data_ptr() for name, kept in vars(rule).items() if isinstance(kept, Tensor)}
    assert len(places) == len(vars(rule))
    rule.begin(image)
    mine = image.data_ptr()
    for _ in range(2 * HISTORY):
        step(rule, banana, image, 0.3)
        image.clamp_(0, 1)
    rule.begin(image)
    assert {name: kept.data_ptr() for name, kept in vars(rule).items()} == places
    assert image.data_ptr() == mine


def test_nothing_waits_for_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a step is taken, taken back or the memory is dropped: the device decides, not Python."""
    image, rule = dice(13), Lbfgs(dice(13))
    rule.begin(image)

    def refuse(*_: object) -> None:
        raise AssertionError("a number was asked for")

    with monkeypatch.context() as changed:
        for name in ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__", "nonzero"):
            changed.setattr(Tensor, name, refuse)
        for iteration in range(30):
            step(rule, banana if iteration < 15 else (lambda x: -banana(x)), image, 0.3)
            image.clamp_(0, 1)
        with pytest.raises(AssertionError):
            bool(image.sum() > 0)
    assert image.isfinite().all()
