"""L-BFGS (Liu & Nocedal 1989), the optimiser of Gatys et al., CVPR 2016, with bounds and a line search.

Every iteration is one evaluation of the loss. A step that does not lower it enough (Armijo's rule) is taken back and
tried again at half its length. All decisions fall on the device, by `torch.where`: nobody waits for a number, and the
iteration can be recorded like any other.

Departs from the paper, whose pixels know no bounds: here they stay in [0, 1]. Trial points are clamped by the caller,
differences are taken between points where the loss was seen, and a pixel at its bound that is pulled outwards takes no
part in the direction (Bertsekas 1982).
"""

from __future__ import annotations

import torch
from torch import Tensor

from nst_video.sgd import root_mean_square

HISTORY = 10
"""So many pairs are remembered; 100, as in the paper's code, do no better here."""
ARMIJO = 1e-4
"""A step has to lower the loss by this much of what the slope promises."""
SHORTEST = 1e-3
"""A step that was shortened to this much of its direction has lost its way: the memory is dropped."""
CURVED = 1e-8
"""With less cosine between step and change of gradient, a pair says nothing of the curvature."""


class Lbfgs:
    """Steps on images of one shape. Its memory keeps its place: 2·`HISTORY` + 2 images."""

    def __init__(self, like: Tensor) -> None:
        size, device = like.numel(), like.device
        self._steps, self._changes = torch.zeros((2, HISTORY, size), device=device)
        self._curvature = torch.zeros(HISTORY, device=device)  # 1/(s·y) of each pair; 0: there is none
        self._newest = torch.zeros(1, dtype=torch.long, device=device)
        self._image, self._gradient = torch.zeros(size, device=device), torch.zeros(size, device=device)
        self._loss, self._length, self._width = torch.zeros((3, 1), device=device)

    def begin(self, image: Tensor) -> None:
        """Start at `image` with nothing remembered."""
        self._curvature.zero_()
        self._image.copy_(image.flatten())
        self._gradient.zero_()
        self._loss.fill_(torch.inf)
        self._length.fill_(1)

    def step(self, image: Tensor, gradient: Tensor, loss: Tensor, rate: Tensor) -> None:
        """Put the next trial point into `image` (N, 3, H, W), whose `gradient` and `loss` were seen.

        As long as nothing is known of the curvature, a step has the root mean square `rate`.
        """
        seen, slope = image.flatten(), gradient.flatten()
        step, change = seen - self._image, slope - self._gradient
        better = loss.isfinite() & (loss <= self._loss + ARMIJO * (self._gradient @ step).clamp(max=0))
        self._remember(step, change, better)
        torch.where(better, seen, self._image, out=self._image)
        torch.where(better, slope, self._gradient, out=self._gradient)
        torch.where(better, loss, self._loss, out=self._loss)
        self._length.copy_(torch.where(better, 1.0, self._length / 2))
        lost = self._length < SHORTEST
        self._length.masked_fill_(lost, 1)
        self._curvature.mul_(~lost)
        image.copy_((self._image + self._length * self._direction(rate)).view_as(image))

    def best(self, image: Tensor) -> Tensor:
        """What to show while `image` is being tried: the best one that was seen."""
        return self._image.view_as(image)

    def _remember(self, step: Tensor, change: Tensor, wanted: Tensor) -> None:
        """Take a pair of step and change of the gradient into the memory, if it is `wanted` and of use."""
        along, steepness = step @ change, change @ change
        wanted = wanted & (along > CURVED * (step.norm() * steepness.sqrt()))
        self._newest.copy_(torch.where(wanted, (self._newest + 1) % HISTORY, self._newest))
        self._width.copy_(torch.where(wanted, along / steepness, self._width))
        for memory, new in ((self._steps, step), (self._changes, change), (self._curvature, 1 / along)):
            memory.index_copy_(0, self._newest, torch.where(wanted, new, memory.index_select(0, self._newest)))

    def _direction(self, rate: Tensor) -> Tensor:
        """Down from the best image seen, by Nocedal's two loops."""
        blocked = ((self._image <= 0) & (self._gradient > 0)) | ((self._image >= 1) & (self._gradient < 0))
        down = -self._gradient.masked_fill(blocked, 0)
        steepest = rate / root_mean_square(down)
        known = self._curvature.index_select(0, self._newest)
        shares = []
        for age in range(HISTORY):
            step, change, curvature = self._pair(age)
            shares.append(curvature * (step @ down))
            down = down - shares[-1] * change
        down = down * torch.where(known > 0, self._width, steepest)
        for age in reversed(range(HISTORY)):
            step, change, curvature = self._pair(age)
            down = down + (shares[age] - curvature * (change @ down)) * step
        return down.masked_fill(blocked, 0)

    def _pair(self, age: int) -> tuple[Tensor, Tensor, Tensor]:
        where = (self._newest - age) % HISTORY
        return tuple(memory.index_select(0, where)[0] for memory in (self._steps, self._changes, self._curvature))  # type: ignore[return-value]
