"""Where styles go: masks at the size of an image, and what they mean to it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nst_video.frame import Mask


class Masks:
    """Masks (H, W) in [0, 1], of any sizes; without any, styles go everywhere.

    Each method takes the image that it is asked for and answers at its size and beside it, or None without masks.
    """

    def __init__(self, masks: Sequence[Mask]) -> None:
        self._masks = [torch.from_numpy(mask)[None, None] for mask in masks]
        self._sized: dict[tuple[int, int], Tensor] = {}

    def __len__(self) -> int:
        return len(self._masks)

    def fitted(self, image: Tensor) -> Tensor | None:
        """All of them, (R, 1, H, W). Those of the last two sizes are kept: a film asks for them with every frame."""
        if not self._masks:
            return None
        size = (image.shape[2], image.shape[3])
        kept = self._sized  # replaced as a whole: two threads may ask
        if size not in kept:
            fitted = torch.cat([_fitted(mask, image) for mask in self._masks])
            self._sized = kept = {**dict(list(kept.items())[-1:]), size: fitted}
        return kept[size]

    def free(self, image: Tensor) -> Tensor | None:
        """Where anything is to be painted at all, True or False, (1, 1, H, W)."""
        fitted = self.fitted(image)
        return None if fitted is None else fitted.amax(0, keepdim=True) > 0

    def together(self, image: Tensor) -> Tensor | None:
        """How much of the painting is to be seen, (1, 1, H, W) in [0, 1]."""
        fitted = self.fitted(image)
        return None if fitted is None else fitted.sum(0, keepdim=True).clamp(0, 1)


def _fitted(mask: Tensor, image: Tensor) -> Tensor:
    """A mask (1, 1, H, W) at the size of `image`, on its device: averaged when it shrinks, else interpolated."""
    size, shrinks = image.shape[2:], mask.shape[2] > image.shape[2]
    method = "area" if shrinks else "bilinear"
    return F.interpolate(mask, size, mode=method, align_corners=None if shrinks else False).to(image.device)
