"""Iterations on one image: gradient steps down an objective, moments in, moments out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from nst_video.adam import LEVELS, Adam, Moments
from nst_video.lbfgs import Lbfgs
from nst_video.sgd import Sgd

DECAY_ITERATIONS = 100
"""Iterations in which the learning rate is multiplied by its decay once."""

Method = Literal["adam", "lbfgs", "sgd"]


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


class Optimizer:
    """Steps on images of one shape, down one objective.

    All that an iteration hands to the next is allocated once and keeps its place, so that `capture` may record it: it
    gets a function without arguments and answers one that does the same. Where `free` (1, 1, H, W) is False the image
    stays as it is.
    """

    def __init__(
        self,
        objective: Evaluate,
        like: Tensor,
        *,
        method: Method = "adam",
        levels: int = LEVELS,
        free: Tensor | None = None,
        capture: Capture | None = None,
    ) -> None:
        self._objective = objective
        self._image = torch.zeros_like(like).requires_grad_()
        self._rule: Adam | Lbfgs | Sgd
        self._rule = Adam(like, levels) if method == "adam" else Lbfgs(like) if method == "lbfgs" else Sgd(like)
        self._free, self._fixed = free, None if free is None else torch.zeros_like(like)
        self._rate, self._decay = torch.zeros((2, 1), device=like.device)
        self._replay = None if capture is None else capture(self._iteration)

    def run(
        self,
        image: Tensor,
        moments: Moments,
        *,
        iterations: int,
        learning_rate: float,
        decay: float = 1.0,
        ripe: float = math.inf,
        before_iteration: Callable[[int], None] | None = None,
        on_iteration: OnIteration | None = None,
    ) -> tuple[Tensor, Moments, Losses]:
        """`iterations` steps from `image` (N, 3, H, W), every one clamped to [0, 1].

        The learning rate is multiplied by `decay` every `DECAY_ITERATIONS`. Adam goes on with `moments`, and a pixel
        that has taken `ripe` whole steps rests; the others know neither and answer the moments that they were given.
        Answers the new image, the new moments and the losses *before* the last step (what the last forward pass saw).
        Neither argument is changed. `before_iteration` gets the number of steps done and may change what the objective
        wants; `on_iteration` gets the number of steps done, the image and the losses; reading a loss makes a GPU wait,
        so it should not do so each time.
        """
        with torch.no_grad():
            self._image.copy_(image)
            if self._fixed is not None:
                self._fixed.copy_(image)
            self._rate.fill_(learning_rate)
            self._decay.fill_(decay ** (1 / DECAY_ITERATIONS))
            if isinstance(self._rule, Adam):
                self._rule.resume(moments, ripe=ripe)
            else:
                self._rule.begin(image)
        iterate = self._replay or self._iteration  # not kept: an object that knows its own method outlives its use
        for iteration in range(1, iterations + 1):
            if before_iteration is not None:
                before_iteration(iteration - 1)
            losses = iterate()
            if on_iteration is not None:
                on_iteration(iteration, self._rule.best(self._image.detach()), losses)
        if isinstance(self._rule, Adam):
            moments = self._rule.moments(moments.age + iterations)
        return self._rule.best(self._image.detach()).clone(), moments, losses

    def _iteration(self) -> Losses:
        losses = self._objective(self._image)
        (gradient,) = torch.autograd.grad(losses.total, self._image)
        with torch.no_grad():
            gradient = gradient.contiguous()
            if self._free is not None:
                gradient.mul_(self._free)
            self._rule.step(self._image, gradient, losses.total.detach(), self._rate)
            if self._free is not None and self._fixed is not None:  # the coarse levels of Adam reach beyond
                self._image.copy_(torch.where(self._free, self._image, self._fixed))
            self._image.clamp_(0, 1)
            self._rate.mul_(self._decay)
        return Losses(*(loss.detach() for loss in losses))


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
