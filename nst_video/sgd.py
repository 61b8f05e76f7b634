"""Plain gradient descent, as the textbooks have it: slow, and good to compare with."""

from __future__ import annotations

import torch
from torch import Tensor


def root_mean_square(gradient: Tensor) -> Tensor:
    """Of all that is not 0, as it is behind a mask; never 0 itself."""
    counted = torch.count_nonzero(gradient).clamp_min(1)
    return (gradient.square().sum() / counted).sqrt().clamp_min(torch.finfo(torch.float32).tiny)


class Sgd:
    """x ← x − λ∇, with one λ from the first step to the last but for the learning rate's decay.

    λ is such that the first step has the learning rate for its root mean square: a bare λ would mean something else for
    every loss, network and size.
    """

    def __init__(self, like: Tensor) -> None:
        self._scale = torch.zeros((), device=like.device)

    def begin(self, image: Tensor) -> None:
        """Start at `image` (N, 3, H, W): the next gradient sets the scale."""
        self._scale.zero_()

    def step(self, image: Tensor, gradient: Tensor, loss: Tensor, rate: Tensor) -> None:
        """Move `image` (N, 3, H, W), in place, against its `gradient`."""
        self._scale.copy_(torch.where(self._scale == 0, 1 / root_mean_square(gradient), self._scale))
        image.sub_(gradient * (self._scale * rate))

    def best(self, image: Tensor) -> Tensor:
        """What to show while `image` is being worked on: itself."""
        return image
