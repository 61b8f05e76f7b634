"""What an image is optimised towards: the losses, put together as the settings say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nst_video.losses import content_loss, relative_difference, style_loss, temporal_loss, total_variation
from nst_video.networks import Looked
from nst_video.optimizer import Losses
from nst_video.settings import StyleSettings

_TERMS = {"relative": (relative_difference, relative_difference), "paper": (content_loss, style_loss)}
"""What `--loss` means: how content features, and how Gram matrices, are compared."""


_NONE: Mapping[str, Tensor] = {}


class Held(NamedTuple):
    """The last result, moved to where things are now, (1, 3, H, W), and how far it is to be, (1, 1, H, W)."""

    image: Tensor
    confidence: Tensor


class Objective:
    """For images of one shape, seen by `look`; which layers and which form of loss is settled when it is made.

    Targets and weights keep their place in memory: `aim` and `retarget` copy new ones there, so that an iteration that
    was captured sees them. Terms without weight are left out, which saves time, or computed all the same if
    `every_term`: a captured iteration cannot change its mind. `shares`: how much of the picture each region has, where
    Gram matrices (R, C, C) are those of R regions: as each is a mean over its region, that makes every pixel count
    alike.

    The images may be parts of a picture, each a `portion` of its places: then so much of its Gram matrices and those
    of the `rest` are the picture's. The other terms are the part's own and count for so much; what has more in it than
    the rest is held to its content a little less than in the picture, of all of whose features it has more.
    A captured iteration does not hear of that.
    """

    def __init__(
        self,
        look: Callable[[Tensor], Looked],
        like: Tensor,
        settings: StyleSettings,
        *,
        every_term: bool = False,
        shares: Sequence[float] = (1.0,),
    ) -> None:
        self._look, self._every_term, self._shares = look, every_term, tuple(shares)
        self._content_term, self._style_term = _TERMS[settings.loss]
        with torch.no_grad():
            self._features, self._grams = look(like)
        self._content_weights = torch.zeros(max(1, len(self._features)), device=like.device)
        self._style_weights = torch.zeros(max(1, len(self._grams)), device=like.device)
        self._weights = torch.zeros(4, device=like.device)
        self._held = Held(torch.zeros_like(like), torch.zeros_like(like[:, :1]))
        self._smooth = self._hold = every_term
        self._portion, self._rest = 1.0, dict[str, Tensor]()

    def aim(
        self,
        settings: StyleSettings,
        features: Mapping[str, Tensor],
        grams: Mapping[str, Tensor],
        held: Held | None = None,
        *,
        iterations: int = 1,
        portion: float = 1.0,
        rest: Mapping[str, Tensor] = _NONE,
    ) -> None:
        """Take new targets and weights, for so many `iterations`. Nothing is held on to without `held`."""
        self.retarget(features, grams, rest)
        _share_out(settings.content_layer_weights, self._content_weights)
        _share_out(settings.style_layer_weights, self._style_weights)
        temporal_weight = settings.held_weight(iterations) if held is not None else 0.0
        shares = torch.tensor([portion, 1.0, portion, portion])
        weights = [settings.content_weight, settings.style_weight, settings.tv_weight, temporal_weight]
        self._weights.copy_(shares * torch.tensor(weights))
        self._portion = portion
        self._smooth = self._every_term or settings.tv_weight > 0
        self._hold = self._every_term or temporal_weight > 0
        if held is not None:
            self._held.image.copy_(held.image)
            self._held.confidence.copy_(held.confidence)

    def retarget(
        self, features: Mapping[str, Tensor], grams: Mapping[str, Tensor], rest: Mapping[str, Tensor] = _NONE
    ) -> None:
        """Take new targets alone, and what is to be added to the Gram matrices of a part."""
        self._rest = dict(rest)
        for mine, given in ((self._features, features), (self._grams, grams)):
            for layer, target in given.items():
                mine[layer].copy_(target)

    def __call__(self, image: Tensor) -> Losses:
        """The losses of `image`, differentiable."""
        features, grams = self._look(image)
        zero = torch.zeros((), device=image.device)
        content, style = zero, zero
        if features:
            terms = [self._content_term(found, self._features[layer]) for layer, found in features.items()]
            content = (self._content_weights * torch.stack(terms)).sum()
        if grams:
            if self._rest:
                grams = {
                    layer: torch.add(self._rest[layer], gram, alpha=self._portion) for layer, gram in grams.items()
                }
            terms = [self._compared(found, self._grams[layer]) for layer, found in grams.items()]
            style = (self._style_weights * torch.stack(terms)).sum()
        tv = total_variation(image) if self._smooth else zero
        temporal = temporal_loss(image, *self._held) if self._hold else zero
        total = (self._weights * torch.stack((content, style, tv, temporal))).sum()
        return Losses(total, content, style, tv, temporal)

    def _compared(self, grams: Tensor, targets: Tensor) -> Tensor:
        """How far Gram matrices (R, C, C) are from their targets, over all regions."""
        pairs = zip(self._shares, grams.unbind(), targets.unbind(), strict=True)
        return torch.stack([self._style_term(gram[None], target[None]) * share for share, gram, target in pairs]).sum()


def _share_out(weights: Sequence[float], place: Tensor) -> None:
    """Put weights that add up to 1 into their place; without any, equal ones."""
    weights = weights or (1.0,) * len(place)
    place.copy_(torch.tensor([weight / sum(weights) for weight in weights]))
