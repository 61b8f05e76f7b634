"""What VGG-19 says of a picture, small enough to be remembered: asked once, learned from many times.

Asking the teacher costs more than a training step of the student. So each tap's activations are kept as their
strongest principal components, in half precision, along with their Gram matrix. The components are orthonormal: a
distance between them is the distance between the activations, less what the components left out would add.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nst_video.device import Compute
from nst_video.losses import gram_matrix
from nst_video.networks import LITE_TAPS, FeatureNetwork

TAPS = tuple(f"relu{number}" for number in LITE_TAPS)
STYLE_TAPS = tuple(tap for tap in TAPS if tap != "relu4_2")
COMPONENTS = {"relu1_1": 20, "relu2_1": 48, "relu3_1": 128, "relu4_1": 256, "relu4_2": 256, "relu5_1": 384}
"""Of 64, 128, 256 and 512 channels; at each tap they hold clearly more than the student's own channels can."""


def rows(features: Tensor) -> Tensor:
    """(N, C, H, W) → (N, H·W, C), without a copy where the channels lie last."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


@dataclass(frozen=True)
class Sample:
    """A picture (3, H, W) and, for each tap, the teacher's components (H'·W', K) and their Gram matrix (K, K).

    `front` is what the student's frozen front answers (C, H', W'); None while it still learns.
    """

    image: Tensor
    front: Tensor | None
    components: dict[str, Tensor]
    grams: dict[str, Tensor]


class Teacher:
    """A frozen, normalised VGG-19 in bfloat16, and the axes along which it is remembered, found on `pictures`."""

    def __init__(self, network: FeatureNetwork, pictures: Tensor, device: torch.device) -> None:
        self._compute = Compute(device, torch.bfloat16, "teacher")
        self._network = self._compute.place(network.requires_grad_(False))
        self.axes: dict[str, Tensor] = {}
        energy: dict[str, Tensor] = {}
        for some in torch.split(pictures, 8):
            for tap, features in self.activations(some).items():
                energy[tap] = energy.get(tap, 0) + gram_matrix(features).sum(0)
        for tap, matrix in energy.items():
            _, vectors = torch.linalg.eigh(matrix.cpu())  # weakest first
            self.axes[tap] = vectors[:, -COMPONENTS[tap] :].flip(1).to(device)

    @torch.no_grad()
    def activations(self, pictures: Tensor) -> dict[str, Tensor]:
        """All of the taps, whole, (N, C, H', W') in bfloat16."""
        return self._network(pictures.to(self._compute.device), TAPS)  # type: ignore[no-any-return]

    def first_filters(self, count: int, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias of those filters of conv1_1 that together span all of its activations best.

        Chosen one by one, each for what it explains of the rest (column subset selection, pivoted as in QR).
        """
        found = rows(self.activations(pictures)["relu1_1"]).float().flatten(0, 1)
        rest, chosen = (found.T @ found).double().cpu(), list[int]()
        for _ in range(count):
            explained = rest.square().sum(0) / rest.diagonal().clamp_min(1e-12)
            explained[chosen] = -1
            best = int(explained.argmax())
            chosen.append(best)
            rest = rest - torch.outer(rest[:, best], rest[best]) / rest[best, best]
        conv = self._network.stages["1_1"]  # whose channels are there twice, see `FeatureNetwork.split_entrance`
        return conv.weight[chosen, : pictures.shape[1]].float(), conv.bias[chosen].float()  # type: ignore[index]

    @torch.no_grad()
    def samples(self, pictures: Tensor, taps: Sequence[str], fronts: Tensor | None = None) -> list[Sample]:
        """What is to be remembered of each of `pictures` (N, 3, H, W), with its `fronts` (N, C, H', W') if any."""
        components, grams = dict[str, Tensor](), dict[str, Tensor]()
        activations = self.activations(pictures)
        for tap in taps:
            found = rows(activations[tap]).float() @ self.axes[tap]
            grams[tap] = (found.transpose(1, 2) @ found / found.shape[1]).half()
            components[tap] = found.half()
        images, halves = pictures.half(), None if fronts is None else fronts.half()
        return [
            Sample(
                images[i].clone(),  # not a view: it would keep the whole batch
                None if halves is None else halves[i].clone(),
                {tap: value[i].clone() for tap, value in components.items()},
                {tap: value[i].clone() for tap, value in grams.items()},
            )
            for i in range(len(images))
        ]
