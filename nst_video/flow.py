"""Optical flow between two frames, what it moves, and where it cannot be believed.

A *backward flow* (N, 2, H, W), in pixels, x before y, tells for each pixel of the current frame where it was in the
previous one: current(p) ≈ previous(p + flow(p)). Every mask is (N, 1, H, W), float32.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nst_video.frame import Pixels

STILL = 0.25
"""Below this many pixels of motion a pixel is kept as it is: repeated interpolation would blur it away."""


class FlowEstimator:
    """Dense inverse search flow (Kroeger et al., ECCV 2016) as OpenCV has it. Not for several threads at once."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, previous: NDArray[np.uint8], current: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Grey frames (H, W) → the backward flow, current to previous, and the opposite one; on the CPU."""
        backward = self._dis.calc(current, previous, None)  # type: ignore[call-overload]
        forward = self._dis.calc(previous, current, None)  # type: ignore[call-overload]
        return _flow_tensor(backward), _flow_tensor(forward)


def grey(pixels: Pixels, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The luminance of a frame at (height, width), averaged over the area, for `FlowEstimator`."""
    small = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _flow_tensor(flow: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(flow, dtype=np.float32)).permute(2, 0, 1)[None]


def backward_warp(image: Tensor, flow: Tensor) -> Tensor:
    """`image` (N, C, H, W), moved so that it fits the current frame: out(p) = image(p + flow(p)).

    Bilinear; beyond the border its edge is repeated. See `steady` for keeping still pixels untouched.
    """
    height, width = image.shape[-2:]
    position = _positions(flow) + flow
    scale = torch.tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)]).to(flow).view(1, 2, 1, 1)
    grid = (position * scale - 1).clamp(-1, 1).permute(0, 2, 3, 1)  # padding_mode="border" is missing on older MPS
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


def steady(flow: Tensor) -> Tensor:
    """`flow` with motions under `STILL` pixels set to none."""
    return torch.where(flow.square().sum(1, keepdim=True) < STILL**2, torch.zeros_like(flow), flow)


def occlusion_mask(flow: Tensor, opposite: Tensor) -> Tensor:
    """1 where `flow` (N, 2, H, W) can be believed, 0 where something was hidden or left the image.

    Forward-backward consistency of Sundaram et al., ECCV 2010, as in Ruder et al., GCPR 2016, sec. 4.1: hidden
    where |w + ŵ|² ≥ 0.01 (|w|² + |ŵ|²) + 0.5, ŵ being the opposite flow at p + w.
    """
    height, width = flow.shape[-2:]
    there = backward_warp(opposite, flow)
    hidden = (flow + there).square().sum(1) >= 0.01 * (flow.square().sum(1) + there.square().sum(1)) + 0.5
    x, y = (_positions(flow) + flow).unbind(1)
    outside = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
    return (~(hidden | outside)).float()[:, None]


def motion_boundaries(flow: Tensor) -> Tensor:
    """1 away from motion boundaries, 0 on them: |∇u|² + |∇v|² > 0.01 |w|² + 0.002 (Ruder et al., sec. 4.1)."""
    across = F.pad(flow[..., :, 1:] - flow[..., :, :-1], (0, 1))
    down = F.pad(flow[..., 1:, :] - flow[..., :-1, :], (0, 0, 0, 1))
    change = (across.square() + down.square()).sum(1)
    return (change <= 0.01 * flow.square().sum(1) + 0.002).float()[:, None]


def _positions(flow: Tensor) -> Tensor:
    height, width = flow.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=flow.device, dtype=flow.dtype),
        torch.arange(width, device=flow.device, dtype=flow.dtype),
        indexing="ij",
    )
    return torch.stack((x, y))[None]
