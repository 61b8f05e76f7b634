"""From where an image is looked at: moved by some pixels, mirrored.

An optimiser finds what its network cannot see: a picture that satisfies a small network as it stands need not satisfy a
large one. Looked at from another place again and again, beside its content from the same place and its style mirrored
alike, the picture has to be right from everywhere, and what is right by chance of one place alone averages out. Moving
the image is known as jitter (Mordvintsev et al. 2015, "Inceptionism"; Olah et al. 2017, "Feature Visualization": the
more ways to transform it, the more natural what a network dreams of).
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import torch
from torch import Tensor

JITTER = 8
"""Pixels that a small network's look is moved by, at most. Half the distance between values of its deepest layer, so
that all of their places in the picture come up."""
HOLD = 4
"""Iterations with one view: the content has to be looked at from each."""
LARGEST_SHARE = 1 / 16
"""Of its height or width, an image is moved by at most."""


class View(NamedTuple):
    """Pixels that the image is moved by, down and across, and whether it is mirrored on the way."""

    down: int = 0
    across: int = 0
    upside_down: bool = False
    mirrored: bool = False

    def turned(self, image: Tensor) -> Tensor:
        """An image (N, C, H, W), mirrored as here, not moved."""
        sides = [dim for dim, turns in ((2, self.upside_down), (3, self.mirrored)) if turns]
        return image.flip(sides) if sides else image


class Viewpoint:
    """Shows images (N, C, H, W) of the size of `like` from one view after the other; differentiable.

    What it is made of keeps its place in memory, so that a captured iteration looks from where it has gone to.
    """

    def __init__(self, like: Tensor) -> None:
        self._down, self._across = (_Side(length, like.device) for length in like.shape[2:])

    def view(self, number: int, reach: int) -> View:
        """One of a series that is the same every time, moved by up to `reach` pixels each way; first, as it stands."""
        if not number:
            return View()
        dice = random.Random(number)
        down, across = (
            dice.randint(-most, most) for most in (min(reach, self._down.most), min(reach, self._across.most))
        )
        return View(down, across, dice.random() < 0.5, dice.random() < 0.5)

    def go(self, view: View) -> None:
        """Look from this view from now on. It is moved by less than the image's sides."""
        self._down.go(view.down, turned=view.upside_down)
        self._across.go(view.across, turned=view.mirrored)

    def __call__(self, image: Tensor) -> Tensor:
        return _Shown.apply(image, self)  # type: ignore[no-any-return]

    def show(self, image: Tensor) -> Tensor:
        """The image from here; what is beyond its edges is its own reflection."""
        return image.index_select(2, self._down.shown).index_select(3, self._across.shown)

    def back(self, gradient: Tensor) -> Tensor:
        """The image's gradient, from that of what was shown. Departs from the derivative: a reflection is no reason to
        change what it reflects. So each pixel has one source or none, and sums have one order on every device."""
        found = gradient.index_select(2, self._down.source).index_select(3, self._across.source)
        return found.mul_(self._down.seen[:, None]).mul_(self._across.seen)


class _Side:
    """Rows, or columns, as they are shown: which ones; where each of them is shown; and whether it is."""

    def __init__(self, length: int, device: torch.device) -> None:
        self.most = int(LARGEST_SHARE * length)
        self._at = torch.arange(length, device=device)
        self.shown, self.source = self._at.clone(), self._at.clone()
        self.seen = torch.ones(length, device=device)

    def go(self, moved: int, *, turned: bool) -> None:
        last = len(self._at) - 1
        place = last - self._at if turned else self._at
        self.shown.copy_(last - (last - (place + moved).abs()).abs())  # as a ball between two walls
        source = self._at - moved
        self.seen.copy_((source >= 0) & (source <= last))
        source = last - source if turned else source
        self.source.copy_(source.clamp_(0, last))


class _Shown(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, viewpoint: Viewpoint) -> Tensor:
        ctx.viewpoint = viewpoint
        return viewpoint.show(image)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.viewpoint.back(gradients[0]), None
