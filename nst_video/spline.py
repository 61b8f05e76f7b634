"""Images between their pixels, by cubic splines (Unser, IEEE Signal Processing Magazine 1999).

A painting is carried from frame to frame, and each time it lies between its pixels. Halfway between two of them, linear
interpolation leaves 71 % of a wave of four pixels, and a spline 97 %. Torch's bicubic kernel leaves as much, but makes
waves of six pixels grow by 3 %: without end, in a film. A spline makes none grow.
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache

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


class Spline:
    """An `image` (1, C, H, W), between its pixels, too.

    A cubic B-spline has four weights to a side; two linear look-ups with one pair each are the same (Sigg & Hadwiger,
    GPU Gems 2, ch. 20).
    """

    def __init__(self, image: Tensor) -> None:
        self.image = image

    @cached_property
    def _coefficients(self) -> Tensor:
        return _coefficients(self.image)

    def at(self, places: Tensor) -> Tensor:
        """The image at `places` (1, 2, H, W), in pixels, x before y; beyond the border its edge is repeated."""
        size = places.shape[2:]
        last, to_grid, across, down = _sides(*self.image.shape[2:], self.image.device)
        places = torch.minimum(in_bands(places).clamp(min=0), last)
        whole = places.floor()
        part = places.sub_(whole)
        rest = 1 - part
        outer = part**3 / 6, rest**3 / 6
        weight = outer[0] + (2 / 3 - rest.square() * (1 - rest / 2))  # of the last two together
        first = (whole - outer[1] / (1 - weight) + MARGIN).mul_(to_grid).sub_(1)
        further = (1 + outer[0] / weight + outer[1] / (1 - weight)).mul_(to_grid)

        def mix(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
            return torch.addcmul(one, other.sub_(one), share)  # three times as fast as torch.lerp here

        def look(grid: Tensor) -> Tensor:
            return look_up(self._coefficients, grid)

        above = mix(look(first), look(torch.addcmul(first, further, across)), weight[:, :1])
        below = mix(look(torch.addcmul(first, further, down)), look(first + further), weight[:, :1])
        return put_together(mix(above, below, weight[:, 1:]), *size)


def look_up(image: Tensor, grid: Tensor) -> Tensor:
    """`image` (1, C, H, W) at the places of a grid (B, 2, h, w) in [-1, 1], x before y, by linear steps."""
    image = image.expand(len(grid), -1, -1, -1)
    return F.grid_sample(image, grid.permute(0, 2, 3, 1), padding_mode="zeros", align_corners=True)


def in_bands(places: Tensor) -> Tensor:
    """`places` (1, 2, H, W) as (B, 2, 1, W'), to look them up: on the CPU, torch gives each picture of a batch to a
    thread of its own, and a single one to one thread alone. As many as there are threads, if as many are equally long.
    """
    count = places.shape[2] * places.shape[3]
    threads = torch.get_num_threads() if places.device.type == "cpu" else 1
    bands = next(number for number in range(threads, 0, -1) if count % number == 0)
    return places if bands == 1 else places.reshape(2, bands, 1, -1).transpose(0, 1)


def put_together(found: Tensor, height: int, width: int) -> Tensor:
    """What was found `in_bands`, (B, C, 1, W') or (1, C, H, W), as one image (1, C, H, W)."""
    return found.transpose(0, 1).reshape(1, -1, height, width)


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


@lru_cache(maxsize=256)
def _sides(height: int, width: int, device: torch.device) -> tuple[Tensor, ...]:
    """The last place, what makes [0, 2] of the range of the coefficients, a step across and a step down; each x before
    y, (1, 2, 1, 1)."""
    last = torch.tensor([width - 1, height - 1], dtype=torch.float32).view(1, 2, 1, 1)
    steps = torch.eye(2).view(2, 1, 2, 1, 1)
    return tuple(t.to(device, non_blocking=True) for t in (last, 2 / (last + 2 * MARGIN), *steps.unbind()))
