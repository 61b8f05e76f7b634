"""The network that learns to be `lite`: how it begins, what it sees, and what ships of it in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from nst_video.device import Compute
from nst_video.networks import LITE_TAPS, Convolution, FeatureNetwork, Residual, lite_stages
from training.teacher import COMPONENTS, TAPS, Sample, Teacher, rows

FRONT = "halve3"
"""The last stage of the front, if nothing else is said."""


class Student:
    """The network that learns, with a head for each tap. Its `front` ends with the stage of that name."""

    def __init__(self, device: torch.device, front: str = FRONT) -> None:
        self._front = front
        self.network = Compute(device, torch.float32, "student").place(
            FeatureNetwork(lite_stages(), taps=LITE_TAPS, measured=True)
        )
        self.heads = {
            tap: torch.zeros(COMPONENTS[tap], self.network.width(number), device=device, requires_grad=True)
            for tap, number in zip(TAPS, LITE_TAPS, strict=True)
        }

    @torch.no_grad()
    def begin(self, teacher: Teacher, pictures: Tensor) -> None:
        """Random weights; but the teacher's own first filters, for nothing learned comes near them."""
        for module in self.network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(cast(Tensor, module.bias))
        for stage in self.network.stages.values():
            if isinstance(stage, Residual):
                stage.leave.weight.mul_(0.2)  # else each would double what it adds to
        first = cast(Convolution, self.network.stages["1_1"])
        weight, bias = teacher.first_filters(first.out_channels, pictures)
        first.weight.copy_(weight)
        cast(Tensor, first.bias).copy_(bias)

    @torch.no_grad()
    def take(self, network: FeatureNetwork) -> None:
        """The weights of one that shipped, and heads that its metrics could be of: (MᵀM)^½ = M for a metric M."""
        self.network.load_state_dict(network.state_dict())
        for tap, head in self.heads.items():
            metric = cast(Tensor, network.metric(tap))
            head.zero_()[: len(metric)] = metric

    @torch.no_grad()
    def fit_heads(self, samples: list[Sample], taps: Sequence[str]) -> None:
        """The heads of `taps` that are best for the network as it is, by least squares."""
        squares, products = dict[str, Tensor](), dict[str, Tensor]()
        for some in (samples[i : i + 8] for i in range(0, len(samples), 8)):
            for tap, found in self.look(some, taps).items():
                own, wanted = found.flatten(0, 1), stacked([s.components[tap] for s in some]).flatten(0, 1)
                squares[tap] = squares.get(tap, 0) + (own.T @ own).double()
                products[tap] = products.get(tap, 0) + (own.T @ wanted).double()
        for tap, square in squares.items():
            ridge = 1e-3 * square.diagonal().mean() * torch.eye(len(square)).to(square)
            self.heads[tap].copy_(torch.linalg.solve(square + ridge, products[tap]).T)

    def look(self, samples: list[Sample], taps: Sequence[str], *, exact: bool = True) -> dict[str, Tensor]:
        """The student's own activations, (N, M, k) in float32, for the samples' pictures or fronts."""
        fronts = [s.front for s in samples if s.front is not None]
        x = stacked(fronts or [s.image for s in samples]).contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=not exact):
            if fronts:
                found = self.network.activations_behind(self._front, x, taps)
            else:
                found = self.network.activations(x, taps)
        return {tap: rows(features).float() for tap, features in found.items()}

    @torch.no_grad()
    def front(self, images: Tensor) -> Tensor:
        """What the front answers, (N, C, H/8, W/8)."""
        x = self.network.enter(images)
        for name, stage in self.network.stages.items():
            x = stage(x)
            if name == self._front:
                break
        return x

    @property
    def _deep_stages(self) -> list[str]:
        names = list(self.network.stages)
        return names[names.index(self._front) + 1 :]

    @property
    def deep_weights(self) -> list[Tensor]:
        """The weights behind the front."""
        return [w for name in self._deep_stages for w in self.network.stages[name].parameters()]

    @property
    def deep_taps(self) -> tuple[str, ...]:
        """The taps behind the front."""
        return tuple(tap for tap in TAPS if tap.removeprefix("relu") in self._deep_stages)

    @torch.no_grad()
    def measure(self) -> None:
        """Let the network look through the metrics of the heads as they are."""
        for tap, metric in self.metrics().items():
            cast(Tensor, self.network.metric(tap)).copy_(metric)

    @torch.no_grad()
    def metrics(self) -> dict[str, Tensor]:
        """(AᵀA)^½ of each head A: through it the student's distances are the teacher's."""
        roots = {}
        for tap, head in self.heads.items():
            energy, axes = torch.linalg.eigh((head.T @ head).double().cpu())
            roots[tap] = (axes * energy.clamp_min(0).sqrt() @ axes.T).to(head)
        return roots

    @torch.no_grad()
    def finished(self, pictures: Tensor) -> FeatureNetwork:
        """The network that ships: with its metrics, scaled to a mean magnitude of 1 over `pictures`."""
        network = FeatureNetwork(lite_stages(), taps=LITE_TAPS, measured=True)
        self.measure()
        network.load_state_dict(self.network.state_dict())
        for tap, features in network(pictures.cpu(), TAPS).items():
            cast(Tensor, network.metric(tap)).div_(features.abs().mean())
        return network


def stacked(tensors: list[Tensor]) -> Tensor:
    """As a batch, in float32."""
    return torch.stack(tensors).float()
