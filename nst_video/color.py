"""What is done to colours before and after painting. Images are (N, 3, H, W) in [0, 1]; answers may leave it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# NTSC's YIQ (FCC 1953), the space Gatys et al. transfer luminance in ("Preserving Color", 2016, sec. 3.2).
_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))

WINDOW = 0.04
"""Side of the windows in which `local_colors` looks, as a share of the picture's longer side."""
SMALLEST_WINDOW = 9  # pixels: fewer could be explained however they were painted
FLATNESS = 1e-3
"""What varies less than this in a window (a variance) is taken for flat there."""


def _mix(matrix: Tensor, image: Tensor) -> Tensor:
    return torch.einsum("ij,njhw->nihw", matrix.to(image), image)


def _yiq() -> Tensor:
    return torch.tensor(_TO_YIQ, dtype=torch.float64)


def luminance_transfer(painted: Tensor, content: Tensor) -> Tensor:
    """The luminance of `painted` with the colours of `content`. Gatys et al. 2016, "Preserving Color", sec. 3.2."""
    matrix = _yiq()
    both = _mix(matrix, content)
    both[:, :1] = _mix(matrix[:1], painted)
    return _mix(torch.linalg.inv(matrix), both)


def match_colors(image: Tensor, reference: Tensor) -> Tensor:
    """`image` with the mean and covariance of the colours of `reference`.

    The linear histogram match of Gatys et al. 2016, "Preserving Color", sec. 3.1, in its symmetric form:
    x → Σr^½ Σi^-½ (x − μi) + μr.
    """
    pixels, wanted = image.flatten(2).double(), reference.flatten(2).double()
    mean, wanted_mean = pixels.mean(2, keepdim=True), wanted.mean(2, keepdim=True)
    ours, theirs = _covariance(pixels - mean), _covariance(wanted - wanted_mean)
    transform = _power(theirs, 0.5) @ _power(ours, -0.5)
    return (transform @ (pixels - mean) + wanted_mean).view_as(image).to(image.dtype)


def _covariance(centered: Tensor) -> Tensor:
    # A little white noise keeps a grey or single-coloured picture's covariance invertible.
    return centered @ centered.transpose(1, 2) / centered.shape[2] + 1e-5 * torch.eye(3).to(centered)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, axes = torch.linalg.eigh(matrix)
    powered: Tensor = axes @ torch.diag_embed(values**exponent) @ axes.transpose(1, 2)
    return powered


def local_colors(painted: Tensor, content: Tensor, full: Tensor) -> Tensor:
    """`full` with the colours and the light that `painted` has given to its smaller version, `content`.

    In every small window the painting's colours are explained as an affine function of the content's, and that function
    is applied: whatever the painting invented, a stroke or a bent line, has no such explanation and is gone, and every
    edge of the content stays where it is. The guided filter of He, Sun & Tang, ECCV 2010, with a coloured guide, its
    coefficients enlarged as in their "Fast Guided Filter", 2015. All (1, 3, H, W), the first two of one shape.
    """
    side = 2 * max(SMALLEST_WINDOW // 2, round(max(content.shape[2:]) * WINDOW / 2)) + 1

    def mean(image: Tensor) -> Tensor:
        return F.avg_pool2d(image, side, stride=1, padding=side // 2, count_include_pad=False)

    def products(one: Tensor, other: Tensor) -> Tensor:
        return (one[0, :, None] * other[0, None]).flatten(0, 1)[None]

    guide, wanted = mean(content), mean(painted)
    spread = (mean(products(content, content)) - products(guide, guide)).view(3, 3, -1).permute(2, 0, 1)
    shared = (mean(products(content, painted)) - products(guide, wanted)).view(3, 3, -1).permute(2, 0, 1)
    slope = _inverse(spread + FLATNESS * torch.eye(3).to(spread)) @ shared  # [guide's channel, painting's]
    slopes = slope.permute(1, 2, 0).view(3, 3, *content.shape[2:])
    offset = wanted - torch.einsum("ijhw,nihw->njhw", slopes, guide)
    answer = torch.empty_like(full)
    for channel in range(3):  # one by one: all twelve at the full size of a large picture would not fit anywhere
        smooth = mean(torch.cat((slopes[None, :, channel], offset[:, channel : channel + 1]), dim=1))
        smooth = F.interpolate(smooth, full.shape[2:], mode="bilinear", align_corners=False)
        answer[:, channel] = (smooth[:, :3] * full).sum(1) + smooth[:, 3]
    return answer


def _inverse(matrices: Tensor) -> Tensor:
    """Of many small ones (N, 3, 3), by Cramer's rule: sooner than any solver, and on every device."""
    a, b, c = matrices.unbind(1)
    rows = torch.stack((torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)), dim=2)
    return rows / (a * rows[:, :, 0]).sum(1)[:, None, None]


def adjust(image: Tensor, *, hue: float, saturation: float, brightness: float) -> Tensor:
    """Turn hues by `hue` degrees, scale saturation and brightness; one 3×3 matrix through YIQ."""
    if hue == 0 and saturation == 1 and brightness == 1:
        return image
    cos, sin = (saturation * f(math.radians(hue)) for f in (math.cos, math.sin))
    turn = torch.tensor([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], dtype=torch.float64)
    matrix = _yiq()
    return _mix(brightness * torch.linalg.inv(matrix) @ turn @ matrix, image)
