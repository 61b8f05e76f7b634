"""Images between their pixels, by cubic splines (Unser, IEEE Signal Processing Magazine 1999).

A painting is carried from frame to frame, and each time it lies between its pixels. Halfway between two of them, linear
interpolation leaves 71 % of a wave of four pixels, and a spline 97 %. Torch's bicubic kernel leaves as much, but makes
waves of six pixels grow by 3 %: without end, in a film. A spline makes none grow.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

POLE = math.sqrt(3) - 2
"""Of the filter that turns pixels into a cubic spline's coefficients: one n pixels away counts by POLE ** n."""
SHIFTS = (1, 2, 4, 8)
"""Adding up an image and itself moved by each of these, one after the other, counts pixels up to their sum away: with
the first three alone an image would grow by a tenth in a thousand frames."""
MARGIN = 2
"""Coefficients beyond the border that a place within it needs."""


def sample(image: Tensor, places: Tensor) -> Tensor:
    """`image` (N, C, H, W) at `places` (N, 2, H, W), in pixels, x before y; beyond the border its edge is repeated.

    A cubic B-spline has four weights to a side; two linear look-ups with one pair each are the same (Sigg & Hadwiger,
    GPU Gems 2, ch. 20).
    """
    height, width = image.shape[2:]
    coefficients = _coefficients(image)
    last, to_grid, across, down = _sides(height, width, image.device)
    places = torch.minimum(places.clamp(min=0), last)
    whole = places.floor()
    part = places.sub_(whole)
    rest = 1 - part
    outer = part**3 / 6, rest**3 / 6
    weight = outer[0] + (2 / 3 - rest.square() * (1 - rest / 2))  # of the last two together
    first = (whole - outer[1] / (1 - weight) + MARGIN).mul_(to_grid).sub_(1)
    further = (1 + outer[0] / weight + outer[1] / (1 - weight)).mul_(to_grid)

    def look(grid: Tensor) -> Tensor:
        return F.grid_sample(coefficients, grid.permute(0, 2, 3, 1), align_corners=True)

    def mix(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
        return torch.addcmul(one, other.sub_(one), share)  # three times as fast as torch.lerp here

    above = mix(look(first), look(torch.addcmul(first, further, across)), weight[:, :1])
    below = mix(look(torch.addcmul(first, further, down)), look(first + further), weight[:, :1])
    return mix(above, below, weight[:, 1:])


def _coefficients(image: Tensor) -> Tensor:
    """Of the spline that passes through the pixels of `image`, with `MARGIN` more on each side.

    Σ POLE ** n · Sⁿ, where S moves by a pixel, is (1 + POLE · S)(1 + POLE² · S²)(1 + POLE⁴ · S⁴) …: once there, once
    back.
    """
    margin = sum(SHIFTS) + MARGIN
    image = F.pad(image, (margin,) * 4, mode="replicate")
    for dim in (2, 3):
        for shift in SHIFTS:
            length = image.shape[dim] - shift
            image = torch.add(image.narrow(dim, shift, length), image.narrow(dim, 0, length), alpha=POLE**shift)
        for shift in SHIFTS:
            length = image.shape[dim] - shift
            image = torch.add(image.narrow(dim, 0, length), image.narrow(dim, shift, length), alpha=POLE**shift)
    return image / math.prod(1 + POLE**shift for shift in SHIFTS) ** 4


@lru_cache(maxsize=8)
def _sides(height: int, width: int, device: torch.device) -> tuple[Tensor, ...]:
    """The last place, what makes [0, 2] of the range of the coefficients, a step across and a step down; each x before
    y, (1, 2, 1, 1)."""
    last = torch.tensor([width - 1, height - 1], dtype=torch.float32, device=device).view(1, 2, 1, 1)
    steps = torch.eye(2, device=device).view(2, 1, 2, 1, 1)
    return last, 2 / (last + 2 * MARGIN), *steps.unbind()
