"""A look at a picture that is too large to be looked at as a whole: tile by tile, with the same answer.

A value of a deep layer sees only so far. So each tile is cut out with that much around it, and counts with those values
alone that lie in it: as weights, Gram matrices are sums over positions, and every position lies in one tile. On the way
back each tile is looked at once more and adds its share to the gradient, its surroundings included. What a whole look
would have to remember is never remembered for more than one tile; the price is a second look, and the surroundings
looked at twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import torch
from torch import Tensor

from nst_video.losses import Guide
from nst_video.networks import NOWHERE, FeatureNetwork, Looked

LookAt = Callable[[Tensor, Mapping[str, Guide]], Looked]
"""How an image of one shape is looked at, guided; differentiable."""


@dataclass(frozen=True)
class Span:
    """Along one side, in pixels: what counts, [begin, end), and what is cut out to see it, [first, last)."""

    begin: int
    end: int
    first: int
    last: int


def spans(side: int, tile: int, around: int, grid: int) -> list[Span]:
    """A side cut into equal pieces of at most `tile` pixels, each with `around` pixels more where there are any; all
    cuts lie on the `grid`. What is cut out has one length, but for the last of an odd side: a network that is laid out
    for one shape serves for all."""
    cells = max(1, side // grid)
    pieces = min(cells, max(1, math.ceil(side / max(tile, grid))))
    cuts = [round(cells * piece / pieces) * grid for piece in range(pieces)] + [side]
    margin = math.ceil(around / grid) * grid
    length = max(end - begin for begin, end in pairwise(cuts)) + 2 * margin
    furthest = max(0, (side - length) // grid * grid)
    found = []
    for begin, end in pairwise(cuts):
        first = min(max(0, begin - margin), furthest)
        found.append(Span(begin, end, first, side if first == furthest else first + length))
    return found


class TiledLook:
    """Looks at images (1, 3, H, W) like `like` in tiles of at most `tile` pixels a side.

    `make_look` answers how to look at an image of the shape of the one that it gets.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        like: Tensor,
        content_layers: Sequence[str],
        style_layers: Sequence[str],
        *,
        tile: int,
        guides: Mapping[str, Guide] = NOWHERE,
        make_look: Callable[[Tensor], LookAt],
    ) -> None:
        self._network, self._make_look = network, make_look
        self.content_layers, self.style_layers = tuple(content_layers), tuple(style_layers)
        layers = (*content_layers, *style_layers)
        self._spacing = {layer: network.spacing(layer) for layer in layers}
        grid, reach = max(self._spacing.values(), default=1), network.reach(layers)
        self._windows = list(product(*(spans(side, tile, reach, grid) for side in like.shape[2:])))
        sizes = {layer: [side // pixels for side in like.shape[2:]] for layer, pixels in self._spacing.items()}
        everywhere = {layer: torch.ones((1, *sizes[layer]), device=like.device) for layer in style_layers}
        self._guides = {layer: guides.get(layer) or Guide(ones, ones.sum((1, 2))) for layer, ones in everywhere.items()}
        self._sizes = sizes
        self._looks: dict[tuple[int, int], LookAt] = {}

    def __call__(self, image: Tensor) -> Looked:
        """Features of the content layers and Gram matrices of the style layers; differentiable."""
        found = _Look.apply(image, self)
        features = dict(zip(self.content_layers, found, strict=False))
        return features, dict(zip(self.style_layers, found[len(features) :], strict=True))

    def answers(self, image: Tensor) -> tuple[Tensor, ...]:
        """The same in a row, put together from all tiles."""
        features, grams = dict[str, Tensor](), dict[str, Tensor]()
        for part, window in self._parts(image):
            seen, products = self._look_at(part, window)
            for layer, values in seen.items():
                if layer not in features:
                    features[layer] = values.new_empty((1, values.shape[1], *self._sizes[layer]))
                inner, outer = self._places(layer, window)
                features[layer][outer] = values[inner]
            for layer, gram in products.items():
                grams[layer] = grams[layer] + gram if layer in grams else gram
        return *(features[layer] for layer in self.content_layers), *(grams[layer] for layer in self.style_layers)

    def gradient(self, image: Tensor, gradients: Sequence[Tensor]) -> Tensor:
        """The image's, from those of the answers."""
        of_features = dict(zip(self.content_layers, gradients, strict=False))
        of_grams = gradients[len(of_features) :]
        total = torch.zeros_like(image)
        for part, window in self._parts(image):
            part = part.detach().clone().requires_grad_()
            with torch.enable_grad():
                seen, products = self._look_at(part, window)
            shares = []
            for layer, values in seen.items():
                inner, outer = self._places(layer, window)
                share = torch.zeros_like(values)
                share[inner] = of_features[layer][outer]
                shares.append(share)
            (added,) = torch.autograd.grad((*seen.values(), *products.values()), part, (*shares, *of_grams))
            down, across = window
            total[..., down.first : down.last, across.first : across.last] += added
        return total

    def _parts(self, image: Tensor) -> Iterator[tuple[Tensor, tuple[Span, Span]]]:
        for down, across in self._windows:
            yield image[..., down.first : down.last, across.first : across.last], (down, across)

    def _look_at(self, part: Tensor, window: tuple[Span, Span]) -> Looked:
        """At one tile with its surroundings; of the Gram matrices, its share."""
        guides = {}
        for layer, (weights, total) in self._guides.items():
            inner, outer = self._places(layer, window)
            size = [side // self._spacing[layer] for side in part.shape[2:]]
            cut = weights.new_zeros((len(weights), *size))
            cut[inner[1:]] = weights[outer[1:]]
            guides[layer] = Guide(cut, total)
        shape = (part.shape[2], part.shape[3])
        if shape not in self._looks:
            self._looks[shape] = self._make_look(part)
        return self._looks[shape](part, guides)

    def _places(self, layer: str, window: tuple[Span, Span]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Where the values of a tile are in what is seen of it and its surroundings, and where in the whole."""
        pixels, whole = self._spacing[layer], slice(None)
        ends = [min(span.end // pixels, size) for span, size in zip(window, self._sizes[layer], strict=True)]
        outer = [slice(span.begin // pixels, end) for span, end in zip(window, ends, strict=True)]
        inner = [
            slice(one.start - span.first // pixels, one.stop - span.first // pixels)
            for one, span in zip(outer, window, strict=True)
        ]
        return (whole, whole, *inner), (whole, whole, *outer)


class _Look(torch.autograd.Function):
    """To automatic differentiation all tiles are one step."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, tiled: TiledLook) -> tuple[Tensor, ...]:
        ctx.save_for_backward(image)
        ctx.tiled = tiled
        return tiled.answers(image)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (image,) = ctx.saved_tensors
        return ctx.tiled.gradient(image, gradients), None
