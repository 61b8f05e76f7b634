"""What paints images of one shape for settings of one kind, made once and kept from frame to frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nst_video.crop import cut
from nst_video.device import Compute, Look
from nst_video.focus import Focus
from nst_video.losses import Guide
from nst_video.networks import NOWHERE, FeatureNetwork
from nst_video.objective import Objective
from nst_video.optimizer import Method, Optimizer
from nst_video.settings import StyleSettings
from nst_video.views import View, Viewpoint

PARTS = 4
"""So many shapes of parts keep their easels, those that were used last."""


@dataclass(frozen=True)
class Easel:
    """Where `free` (1, 1, H, W) is False the content stays. Without a `viewpoint` images are always seen as they stand.
    `parts`: what paints parts of such images."""

    look: Look
    viewpoint: Viewpoint | None
    guides: Mapping[str, Guide]
    objective: Objective
    optimizer: Optimizer
    free: Tensor | None
    parts: dict[object, Easel] = field(default_factory=dict)

    @classmethod
    def set_up(
        cls,
        compute: Compute,
        network: FeatureNetwork,
        like: Tensor,
        settings: StyleSettings,
        *,
        method: Method,
        moves: bool,
        memory: float,
        guides: Mapping[str, Guide] = NOWHERE,
        shares: Sequence[float] = (1.0,),
        free: Tensor | None = None,
    ) -> Easel:
        """One for images `like` this one, looked at from views that change if it `moves`. `memory`: see
        `Compute.look`; shares: see `Objective`."""
        layers = settings.content_layers, settings.style_layers
        look = compute.look(network, like, *layers, guides=guides, memory=memory)
        viewpoint = Viewpoint(like) if moves else None
        whole = look.whole if viewpoint is None else lambda image: look.whole(viewpoint(image))
        objective = Objective(whole, like, settings, every_term=compute.captures, shares=shares)
        capture = compute.capture if compute.captures else None
        optimizer = Optimizer(objective, like, method=method, free=free, capture=capture)
        return cls(look, viewpoint, guides, objective, optimizer, free)

    def part(self, key: object, make: Callable[[], Easel]) -> Easel:
        """The easel for parts of that kind: the one that was made for them, if it is still there."""
        easel = self.parts.pop(key, None) or make()
        self.parts[key] = easel
        for oldest in list(self.parts)[:-PARTS]:
            del self.parts[oldest]
        return easel

    def show(self, image: Tensor) -> Tensor:
        """The image from where it is looked at now."""
        return image if self.viewpoint is None else self.viewpoint.show(image)

    @torch.no_grad()
    def rest(self, part: Easel, image: Tensor, view: View, focus: Focus) -> dict[str, Tensor]:
        """What the Gram matrices of an image, seen from there, have beyond those of the part that is in focus; that
        easel looks from there already."""
        if self.viewpoint is not None:
            self.viewpoint.go(view)
        its = part.look.whole(part.show(cut(image, focus.around)))[1]
        return {layer: gram - focus.share * its[layer] for layer, gram in self.look.whole(self.show(image))[1].items()}
