"""Iterations on one image: gradient steps down an objective, moments in, moments out.

Adam (Kingma & Ba, ICLR 2015) on a pyramid: the gradient is halved in size again and again, each level has moments and
a step of its own, and the steps are enlarged and added up. Plain Adam gives every pixel the same step and turns into
speckle what should become a stroke; the coarse levels move whole strokes at once, and the same loss is reached in
fewer iterations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

LEVELS = 4
LEVEL_DECAY = 0.7
"""The step of a level is this much of the next finer one's."""
SMALLEST = 8  # pixels: no level gets narrower
RIPENING = 80.0
"""So many of the whole steps that a pixel takes until it is ripe are divided up into shorter and shorter ones."""
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


Evaluate = Callable[[Tensor], Losses]
Capture = Callable[[Callable[[], Losses]], Callable[[], Losses]]
OnIteration = Callable[[int, Tensor, Losses], None]


@dataclass(frozen=True)
class Moments:
    """Adam's memory: running means of the gradient and of its square, from fine to coarse, and their age in steps.

    ripeness: how many whole steps each pixel has taken towards what it shows, (N, 1, H, W).
    """

    mean: tuple[Tensor, ...]
    square: tuple[Tensor, ...]
    ripeness: Tensor
    age: int

    @classmethod
    def zero(cls, image: Tensor, levels: int = LEVELS) -> Moments:
        """No memory yet of an image (N, 3, H, W). One level is plain Adam; a small image has fewer levels."""
        nothing = tuple(torch.zeros_like(level) for level in _pyramid(image, levels))
        return cls(nothing, tuple(torch.zeros_like(level) for level in nothing), torch.zeros_like(image[:, :1]), age=0)

    def levels(self) -> tuple[Tensor, ...]:
        """The means, then the squares, each from fine to coarse; then the ripeness."""
        return (*self.mean, *self.square, self.ripeness)


class Optimizer:
    """Steps on images of one shape, down one objective.

    All that an iteration hands to the next is allocated once and keeps its place, so that `capture` may record it: it
    gets a function without arguments and answers one that does the same.
    """

    def __init__(
        self,
        objective: Evaluate,
        like: Tensor,
        *,
        levels: int = LEVELS,
        capture: Capture | None = None,
    ) -> None:
        self._objective = objective
        self._image = torch.zeros_like(like).requires_grad_()
        self._moments = Moments.zero(like, levels)
        self._spread = tuple(torch.empty_like(level) for level in self._moments.mean)
        self._pace = torch.empty_like(self._moments.ripeness)
        self._age, self._learning_rate, self._ripe = torch.zeros((3, 1), device=like.device)
        self._betas = torch.tensor(BETAS, device=like.device)
        self._replay = None if capture is None else capture(self._iteration)

    def run(
        self,
        image: Tensor,
        moments: Moments,
        *,
        iterations: int,
        learning_rate: float,
        ripe: float = math.inf,
        on_iteration: OnIteration | None = None,
    ) -> tuple[Tensor, Moments, Losses]:
        """`iterations` steps from `image` (N, 3, H, W), every one clamped to [0, 1].

        A pixel that has taken `ripe` whole steps rests; before that its steps become shorter, see `pace`.
        Answers the new image, the new moments and the losses *before* the last step (what the last forward pass saw).
        Neither argument is changed. `on_iteration` gets the number of steps done, the image and the losses; reading a
        loss makes a GPU wait, so it should not do so each time.
        """
        with torch.no_grad():
            self._image.copy_(image)
            for mine, given in zip(self._moments.levels(), moments.levels(), strict=True):
                mine.copy_(given)
            self._age.fill_(moments.age)
            self._learning_rate.fill_(learning_rate)
            self._ripe.fill_(ripe)
        iterate = self._replay or self._iteration  # not kept: an object that knows its own method outlives its use
        for iteration in range(1, iterations + 1):
            losses = iterate()
            if on_iteration is not None:
                on_iteration(iteration, self._image.detach(), losses)
        mean, square = (
            tuple(level.clone() for level in memory) for memory in (self._moments.mean, self._moments.square)
        )
        after = Moments(mean, square, self._moments.ripeness.clone(), moments.age + iterations)
        return self._image.detach().clone(), after, losses

    def _iteration(self) -> Losses:
        losses = self._objective(self._image)
        (gradient,) = torch.autograd.grad(losses.total, self._image)
        with torch.no_grad():
            step = self._step(gradient.contiguous())
            pace(self._moments.ripeness, self._ripe, out=self._pace)
            self._image.sub_(step.mul_(self._learning_rate * self._pace)).clamp_(0, 1)
            self._moments.ripeness.add_(self._pace)
        return Losses(*(loss.detach() for loss in losses))

    def _step(self, gradient: Tensor) -> Tensor:
        """Take `gradient` into the moments and answer the step of all levels together, for a rate of 1."""
        self._age += 1
        first, second = (1 - self._betas**self._age).unbind()  # Adam's bias corrections
        steps = []
        for level, part in enumerate(_pyramid(gradient, len(self._spread))):
            mean, square, spread = self._moments.mean[level], self._moments.square[level], self._spread[level]
            mean.lerp_(part, 1 - BETAS[0])
            square.mul_(BETAS[1]).addcmul_(part, part, value=1 - BETAS[1])
            torch.div(square, second, out=spread).sqrt_().add_(EPSILON)
            steps.append(torch.div(mean, spread, out=spread).mul_(LEVEL_DECAY**level / first))
        total = steps.pop()
        while steps:
            finer = steps.pop()
            total = finer.add_(F.interpolate(total, finer.shape[-2:], mode="bilinear", align_corners=False))
        return total


def pace(ripeness: Tensor, ripe: Tensor | float, out: Tensor | None = None) -> Tensor:
    """How long each pixel's steps are, 1 to 0: whole ones at first, then shorter by the same amount from step to step,
    none once it has taken `ripe` of them."""
    return torch.sub(torch.as_tensor(ripe), ripeness, out=out).div_(RIPENING).clamp_(0, 1).sqrt_()


def optimize(
    objective: Evaluate,
    image: Tensor,
    moments: Moments,
    *,
    iterations: int,
    learning_rate: float,
    on_iteration: OnIteration | None = None,
) -> tuple[Tensor, Moments, Losses]:
    """`Optimizer.run` for once."""
    return Optimizer(objective, image, levels=len(moments.mean)).run(
        image, moments, iterations=iterations, learning_rate=learning_rate, on_iteration=on_iteration
    )


def _pyramid(tensor: Tensor, levels: int) -> Iterator[Tensor]:
    """`tensor` (N, C, H, W), then its halves by averaging, down to `SMALLEST` pixels."""
    for level in range(levels):
        if level:
            if min(tensor.shape[-2:]) < 2 * SMALLEST:
                return
            tensor = F.avg_pool2d(tensor, 2)
        yield tensor
