"""Pictures as arrays and as tensors, and the way between them.

An *image* is a float32 tensor in [0, 1], (1, 3, H, W), RGB; *pixels* are uint8, (H, W, 3), RGB.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nst_video.frame import Pixels


def to_image(pixels: Pixels, device: torch.device | None = None) -> Tensor:
    """(H, W, 3) uint8 → (1, 3, H, W) float32 in [0, 1] on `device`; uploads bytes, not floats."""
    if device is None or device.type == "cpu":  # in one pass and one thread: this runs beside the painting
        return torch.from_numpy(cv2.dnn.blobFromImage(pixels, 1 / 255))
    uploaded = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
    return uploaded.permute(2, 0, 1)[None].float().div_(255).contiguous()


def to_pixels(image: Tensor) -> Pixels:
    """(1, 3, H, W) in [0, 1] → (H, W, 3) uint8, rounded; downloads bytes, not floats."""
    rounded = image[0].detach().clamp(0, 1).mul(255).add_(0.5).to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(1, 2, 0).cpu().numpy())


def fit(height: int, width: int, longer_side: int) -> tuple[int, int]:
    """(height, width) scaled so that the longer side is `longer_side` and no side is under 16 pixels."""
    scale = longer_side / max(height, width)
    return max(16, round(height * scale)), max(16, round(width * scale))


def resize_pixels(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """(H, W, 3) uint8 → (*size, 3): averaged over the area when shrinking, bicubic when enlarging."""
    if pixels.shape[:2] == size:
        return pixels
    shrinks = size[0] * size[1] < pixels.shape[0] * pixels.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=method), dtype=np.uint8)


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bicubic, antialiased when shrinking, clamped to [0, 1]; unchanged when it fits already."""
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image, size, mode="bicubic", align_corners=False, antialias=True).clamp_(0, 1)
