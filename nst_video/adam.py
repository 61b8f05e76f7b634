"""Adam (Kingma & Ba, ICLR 2015) on a pyramid.

The gradient is halved in size again and again, each level has moments and a step of its own, and the steps are enlarged
and added up. Plain Adam gives every pixel the same step and turns into speckle what should become a stroke; the coarse
levels move whole strokes at once, and the same loss is reached in fewer iterations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from nst_video.crop import Part, cut, pasted

LEVELS = 4
COARSEST = 2 ** (LEVELS - 1)
"""Pixels of the image to one of the coarsest level."""
LEVEL_DECAY = 0.7
"""The step of a level is this much of the next finer one's."""
SMALLEST = 8  # pixels: no level gets narrower
RIPENING = 80.0
"""So many of the whole steps that a pixel takes until it is ripe are divided up into shorter and shorter ones."""
BETAS = (0.9, 0.99)
EPSILON = 1e-8


@dataclass(frozen=True)
class Moments:
    """Adam's memory: running means of the gradient and of its square, from fine to coarse; and how many steps an
    image has taken since its first (see views.py).

    ripeness: how many whole steps each pixel has taken towards what it shows, (N, 1, H, W); weight: of how much each
    pixel's two means are made, (N, 2, H, W): 1 in the long run, less where they have begun not long ago.
    """

    mean: tuple[Tensor, ...]
    square: tuple[Tensor, ...]
    ripeness: Tensor
    weight: Tensor
    age: int

    @classmethod
    def zero(cls, image: Tensor, levels: int = LEVELS) -> Moments:
        """No memory yet of an image (N, 3, H, W). One level is plain Adam; a small image has fewer levels."""
        nothing = tuple(torch.zeros_like(level) for level in _pyramid(image, levels))
        ripeness = torch.zeros_like(image[:, :1])
        weight = ripeness.repeat(1, len(BETAS), 1, 1)
        return cls(nothing, tuple(torch.zeros_like(level) for level in nothing), ripeness, weight, age=0)

    def levels(self) -> tuple[Tensor, ...]:
        """The means, then the squares, each from fine to coarse; then ripeness and weight."""
        return (*self.mean, *self.square, self.ripeness, self.weight)

    def cut(self, part: Part) -> Moments:
        """Those of a part of the image, which begins at a multiple of `COARSEST`, and ends at one or with the image."""
        mean, square = (
            tuple(cut(each, part, level) for level, each in enumerate(memory)) for memory in (self.mean, self.square)
        )
        return Moments(mean, square, cut(self.ripeness, part), cut(self.weight, part), self.age)

    def pasted(self, piece: Moments, part: Part) -> Moments:
        """With those of a `piece` of the image in that part of it, and as old as they are; see `cut`."""
        mean, square = (
            tuple(pasted(*both, part, level) for level, both in enumerate(zip(mine, its, strict=True)))
            for mine, its in ((self.mean, piece.mean), (self.square, piece.square))
        )
        ripeness, weight = pasted(self.ripeness, piece.ripeness, part), pasted(self.weight, piece.weight, part)
        return Moments(mean, square, ripeness, weight, piece.age)


class Adam:
    """Steps on images of one shape. Its memory keeps its place.

    Departs from the paper: its correction of young means is each pixel's own, for a part of a film's picture may be
    newer than the rest.
    """

    def __init__(self, like: Tensor, levels: int = LEVELS) -> None:
        self._moments = Moments.zero(like, levels)
        self._spread = tuple(torch.empty_like(level) for level in self._moments.mean)
        self._weights = tuple(_pyramid(self._moments.weight, levels))
        self._pace = torch.empty_like(self._moments.ripeness)
        self._ripe = torch.zeros(1, device=like.device)
        self._kept = torch.tensor(BETAS, device=like.device).view(1, 2, 1, 1)
        self._added = 1 - self._kept

    def resume(self, moments: Moments, *, ripe: float = math.inf) -> None:
        """Go on with `moments`, which are not changed. A pixel that has taken `ripe` whole steps rests; before that its
        steps become shorter, see `pace`."""
        for mine, given in zip(self._moments.levels(), moments.levels(), strict=True):
            mine.copy_(given)
        for finer, weight in pairwise(self._weights):
            weight.copy_(F.avg_pool2d(finer, 2))
        self._ripe.fill_(ripe)

    def step(self, image: Tensor, gradient: Tensor, loss: Tensor, rate: Tensor) -> None:
        """Move `image` (N, 3, H, W), in place, against its `gradient`; the finest level's step is `rate` at most."""
        step = self._whole_step(gradient)
        pace(self._moments.ripeness, self._ripe, out=self._pace)
        image.sub_(step.mul_(rate * self._pace))
        self._moments.ripeness.add_(self._pace)

    def best(self, image: Tensor) -> Tensor:
        """What to show while `image` is being worked on: itself."""
        return image

    def moments(self, age: int) -> Moments:
        """What another one may go on with; a copy."""
        mean, square = (
            tuple(level.clone() for level in memory) for memory in (self._moments.mean, self._moments.square)
        )
        return Moments(mean, square, self._moments.ripeness.clone(), self._moments.weight.clone(), age)

    def _whole_step(self, gradient: Tensor) -> Tensor:
        """Take `gradient` into the moments and answer the step of all levels together, for a rate of 1."""
        steps = []
        for level, part in enumerate(_pyramid(gradient, len(self._spread))):
            mean, square, spread = self._moments.mean[level], self._moments.square[level], self._spread[level]
            mean.lerp_(part, 1 - BETAS[0])
            square.mul_(BETAS[1]).addcmul_(part, part, value=1 - BETAS[1])
            weight = self._weights[level].mul_(self._kept).add_(self._added)
            first, second = weight[:, :1], weight[:, 1:]
            torch.div(square, second, out=spread).sqrt_().add_(EPSILON).mul_(first)
            steps.append(torch.div(mean, spread, out=spread).mul_(LEVEL_DECAY**level))
        total = steps.pop()
        while steps:
            finer = steps.pop()
            total = finer.add_(F.interpolate(total, finer.shape[-2:], mode="bilinear", align_corners=False))
        return total


def pace(ripeness: Tensor, ripe: Tensor | float, out: Tensor | None = None) -> Tensor:
    """How long each pixel's steps are, 1 to 0: whole ones at first, then shorter by the same amount from step to step,
    none once it has taken `ripe` of them."""
    return torch.sub(torch.as_tensor(ripe), ripeness, out=out).div_(RIPENING).clamp_(0, 1).sqrt_()


def _pyramid(tensor: Tensor, levels: int) -> Iterator[Tensor]:
    """`tensor` (N, C, H, W), then its halves by averaging, down to `SMALLEST` pixels."""
    for level in range(levels):
        if level:
            if min(tensor.shape[-2:]) < 2 * SMALLEST:
                return
            tensor = F.avg_pool2d(tensor, 2)
        yield tensor
