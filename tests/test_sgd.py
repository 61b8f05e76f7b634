"""Plain gradient descent: the first gradient sets the scale, and that is all there is to it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nst_video.sgd import Sgd

SHAPE = (1, 3, 5, 7)
LOWEST = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))


def start() -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))


def loss(image: Tensor, scale: float = 1.0) -> Tensor:
    return scale * (torch.linspace(0.5, 2, SHAPE[-1]) * (image - LOWEST).square()).sum()


def slope(image: Tensor, scale: float = 1.0) -> Tensor:
    seen = image.clone().requires_grad_()
    return torch.autograd.grad(loss(seen, scale), seen)[0]


def steps(rule: Sgd, count: int, rate: float = 0.02, scale: float = 1.0) -> list[Tensor]:
    """The image before each step and after the last."""
    image = start()
    rule.begin(image)
    images = [image.clone()]
    for _ in range(count):
        rule.step(image, slope(image, scale), loss(image, scale), torch.tensor([rate]))
        images.append(image.clone())
    return images


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e10])
@pytest.mark.parametrize("rate", [1e-3, 0.1])
def test_the_first_step_has_the_rate_for_its_root_mean_square(rate: float, scale: float) -> None:
    before, after = steps(Sgd(start()), 1, rate, scale)
    assert (after - before).square().mean().sqrt().item() == pytest.approx(rate, rel=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_every_step_is_that_of_torchs_sgd_with_the_scale_of_the_first(scale: float) -> None:
    images = steps(Sgd(start()), 30, scale=scale)
    first = slope(images[0], scale)
    reference = start().requires_grad_()
    sgd = torch.optim.SGD([reference], lr=0.02 / first.square().mean().sqrt().item())
    for image in images[1:]:
        sgd.zero_grad()
        loss(reference, scale).backward()  # type: ignore[no-untyped-call]
        sgd.step()
        assert torch.allclose(image, reference, atol=1e-5)
    assert loss(images[-1]) < 0.5 * loss(images[0])


def test_the_rate_may_change_from_step_to_step() -> None:
    image, rule = start(), Sgd(start())
    rule.begin(image)
    pull = torch.ones(SHAPE)
    for rate in (0.02, 0.01, 0.04):
        before = image.clone()
        rule.step(image, 3 * pull, torch.zeros(()), torch.tensor([rate]))
        assert torch.allclose(image, before - rate, atol=1e-6)


def test_beginning_again_forgets_the_scale_and_nothing_changes_its_place() -> None:
    rule = Sgd(start())
    places = [kept.data_ptr() for kept in vars(rule).values()]
    first = steps(rule, 5)
    steps(rule, 5, scale=1e4)
    assert all(torch.equal(one, other) for one, other in zip(first, steps(rule, 5), strict=True))
    assert [kept.data_ptr() for kept in vars(rule).values()] == places


def test_where_nothing_pulls_nothing_moves() -> None:
    image, rule = start(), Sgd(start())
    rule.begin(image)
    rule.step(image, torch.zeros(SHAPE), torch.zeros(()), torch.tensor([0.1]))
    assert torch.equal(image, start())


def test_what_is_shown_is_the_image_itself() -> None:
    image = start()
    assert Sgd(image).best(image) is image


def test_what_lies_behind_a_mask_does_not_lengthen_the_steps_elsewhere() -> None:
    image, gradient = start(), torch.zeros(SHAPE)
    gradient[..., :4] = 0.5
    before, rule = image.clone(), Sgd(image)
    rule.begin(image)
    rule.step(image, gradient, torch.zeros(()), torch.tensor([0.02]))
    assert torch.allclose((before - image)[..., :4], torch.tensor(0.02))
    assert torch.equal(image[..., 4:], before[..., 4:])


def test_without_any_gradient_nothing_moves() -> None:
    image, rule = start(), Sgd(start())
    rule.begin(image)
    rule.step(image, torch.zeros(SHAPE), torch.zeros(()), torch.tensor([0.02]))
    assert torch.equal(image, start())
