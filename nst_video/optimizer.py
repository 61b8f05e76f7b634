"""Iterations on one image: gradient steps down an objective, moments in, moments out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

BETAS = (0.9, 0.99)
EPSILON = 1e-8


class Losses(NamedTuple):
    """The terms of the objective, unweighted, and their weighted total; scalars on the device."""

    total: Tensor
    content: Tensor
    style: Tensor
    tv: Tensor
    temporal: Tensor

    def values(self) -> dict[str, float]:
        """As plain numbers, fetched from the device in one go."""
        return dict(zip(self._fields, torch.stack(self).tolist(), strict=True))


Objective = Callable[[Tensor], Losses]
OnIteration = Callable[[int, Tensor, Losses], None]


@dataclass(frozen=True)
class Moments:
    """Adam's memory (Kingma & Ba, ICLR 2015): running means of the gradient and of its square, and their age."""

    mean: Tensor
    square: Tensor
    age: int

    @classmethod
    def zero(cls, image: Tensor) -> Moments:
        return cls(torch.zeros_like(image), torch.zeros_like(image), 0)


def optimize(
    objective: Objective,
    image: Tensor,
    moments: Moments,
    *,
    iterations: int,
    learning_rate: float,
    on_iteration: OnIteration | None = None,
) -> tuple[Tensor, Moments, Losses]:
    """Adam, `iterations` steps from `image` (N, 3, H, W), every step clamped to [0, 1].

    Answers the new image, the new moments and the losses *before* the last step (what the last forward pass saw).
    Neither argument is changed. `on_iteration` gets the number of steps done, the image and the losses; reading a
    loss makes a GPU wait, so it should not do so each time.
    """
    image, mean, square, age = image.detach().clone(), moments.mean.clone(), moments.square.clone(), moments.age
    for iteration in range(1, iterations + 1):
        image.requires_grad_()
        losses = objective(image)
        (gradient,) = torch.autograd.grad(losses.total, image)
        image = image.detach()
        age += 1
        mean.lerp_(gradient, 1 - BETAS[0])
        square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        spread = (square / (1 - BETAS[1] ** age)).sqrt_().add_(EPSILON)
        image.addcdiv_(mean, spread, value=-learning_rate / (1 - BETAS[0] ** age)).clamp_(0, 1)
        if on_iteration is not None:
            on_iteration(iteration, image, losses)
    return image, Moments(mean, square, age), Losses(*(loss.detach() for loss in losses))
