"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): momentum, made orthogonal before it is applied.

A convolution's gradient is dominated by a few directions; with all of them made equally long, the weak ones are
learned as fast as the strong. Here it brings `lite` in 500 steps where AdamW brings it in over 1000.
torch.optim.Muon takes matrices only, not the weights of convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan et al.: steepest at 0, and not far from 1 after five steps


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest (semi-)orthogonal matrix to `matrix` (m, n), roughly: most singular values come near 1."""
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """For weights of two and more dimensions, seen as matrices (outputs, the rest)."""

    def __init__(
        self, weights: Iterable[Tensor], lr: float, *, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step down the gradients at hand; `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                memory: dict[str, Any] = self.state[weight]
                if not memory:
                    memory["mean"] = torch.zeros_like(weight)
                memory["mean"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(memory["mean"], group["momentum"]).flatten(1)  # Nesterov's
                stretch = max(1, ahead.shape[0] / ahead.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(orthogonal(ahead).reshape(weight.shape), alpha=-group["lr"] * stretch)
