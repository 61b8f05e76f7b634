"""What is done to colours before and after painting. Images are (N, 3, H, W) in [0, 1]; answers may leave it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# NTSC's YIQ (FCC 1953), the space Gatys et al. transfer luminance in ("Preserving Color", 2016, sec. 3.2).
_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


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


def adjust(image: Tensor, *, hue: float, saturation: float, brightness: float) -> Tensor:
    """Turn hues by `hue` degrees, scale saturation and brightness; one 3×3 matrix through YIQ."""
    if hue == 0 and saturation == 1 and brightness == 1:
        return image
    cos, sin = (saturation * f(math.radians(hue)) for f in (math.cos, math.sin))
    turn = torch.tensor([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], dtype=torch.float64)
    matrix = _yiq()
    return _mix(brightness * torch.linalg.inv(matrix) @ turn @ matrix, image)
