"""Optical flow between two frames, what it moves, and where it cannot be believed.

A *backward flow* (N, 2, H, W), in pixels, x before y, tells for each pixel of the current frame where it was in the
previous one: current(p) ≈ previous(p + flow(p)). Every mask is (N, 1, H, W), float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nst_video.frame import Pixels

cv2.setNumThreads(1)  # flow is estimated beside the painting, whose threads leave no core for those of OpenCV

STILL = 0.25
"""Below this many pixels of motion a pixel is kept as it is: repeated interpolation would blur it away."""


@dataclass(frozen=True)
class Motion:
    """How a frame has moved since the one before: the flow without what is as good as still, where it can be believed
    (0 or 1), and where it can be held on to (also away from motion boundaries)."""

    flow: Tensor
    visible: Tensor
    confidence: Tensor

    @classmethod
    def between(cls, flow: Tensor, opposite: Tensor) -> Motion:
        """Of a backward flow and its opposite."""
        boundaries = motion_boundaries(flow)  # of the flow as it is: `steady` leaves steps in it
        flow = steady(flow)
        visible = occlusion_mask(flow, steady(opposite))
        return cls(flow, visible, visible * boundaries)

    def at(self, size: tuple[int, int]) -> Motion:
        """Of a frame of this (height, width), seen at another size."""
        height, width = self.flow.shape[-2:]
        if (height, width) == size:
            return self
        scale = torch.tensor([size[1] / width, size[0] / height]).to(self.flow).view(1, 2, 1, 1)
        flow = F.interpolate(self.flow, size, mode="bilinear", align_corners=False) * scale
        return Motion(flow, F.interpolate(self.visible, size), F.interpolate(self.confidence, size))

    def each(self, change: Callable[[Tensor], Tensor]) -> Motion:
        """With every tensor changed alike: moved to another device, say."""
        return Motion(change(self.flow), change(self.visible), change(self.confidence))


class FlowEstimator:
    """Dense inverse search flow (Kroeger et al., ECCV 2016) as OpenCV has it. Not for several threads at once.

    `quick` takes a fifth of the time: it looks less closely, and wants frames `shrink` times smaller.
    """

    def __init__(self, *, quick: bool = False) -> None:
        preset = cv2.DISOPTICAL_FLOW_PRESET_FAST if quick else cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
        self._dis = cv2.DISOpticalFlow.create(preset)
        if quick:
            self._dis.setFinestScale(1)  # one finer than the preset has, since the frames are smaller
        self.shrink = 2 if quick else 1

    def __call__(self, previous: NDArray[np.uint8], current: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Grey frames (H, W) → the backward flow, current to previous, and the opposite one; on the CPU."""
        backward = self._dis.calc(current, previous, None)  # type: ignore[call-overload]
        forward = self._dis.calc(previous, current, None)  # type: ignore[call-overload]
        return _flow_tensor(backward), _flow_tensor(forward)


def grey(pixels: Pixels, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The luminance of a frame at (height, width), averaged over the area, for `FlowEstimator`."""
    luminance = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(luminance, size[::-1], interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _flow_tensor(flow: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(flow, dtype=np.float32)).permute(2, 0, 1)[None]


def backward_warp(image: Tensor, flow: Tensor) -> Tensor:
    """`image` (N, C, H, W), moved so that it fits the current frame: out(p) = image(p + flow(p)).

    Bilinear; beyond the border its edge is repeated. See `steady` for keeping still pixels untouched.
    """
    height, width = image.shape[-2:]
    positions, scale = _grid(height, width, flow.device)
    grid = torch.addcmul(positions * scale - 1, flow, scale).clamp_(-1, 1)  # older MPS has no padding_mode="border"
    return F.grid_sample(image, grid.permute(0, 2, 3, 1), mode="bilinear", padding_mode="zeros", align_corners=True)


def steady(flow: Tensor) -> Tensor:
    """`flow` with motions under `STILL` pixels set to none."""
    return flow * (flow.square().sum(1, keepdim=True) >= STILL**2)


def occlusion_mask(flow: Tensor, opposite: Tensor) -> Tensor:
    """1 where `flow` (N, 2, H, W) can be believed, 0 where something was hidden or left the image.

    Forward-backward consistency of Sundaram et al., ECCV 2010, as in Ruder et al., GCPR 2016, sec. 4.1: hidden
    where |w + ŵ|² ≥ 0.01 (|w|² + |ŵ|²) + 0.5, ŵ being the opposite flow at p + w.
    """
    height, width = flow.shape[-2:]
    there = backward_warp(opposite, flow)
    hidden = (flow + there).square().sum(1) >= 0.01 * (flow.square().sum(1) + there.square().sum(1)) + 0.5
    x, y = (_grid(height, width, flow.device)[0] + flow).unbind(1)
    outside = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
    return (~(hidden | outside)).float()[:, None]


def motion_boundaries(flow: Tensor) -> Tensor:
    """1 away from motion boundaries, 0 on them: |∇u|² + |∇v|² > 0.01 |w|² + 0.002 (Ruder et al., sec. 4.1)."""
    across = F.pad(flow[..., :, 1:] - flow[..., :, :-1], (0, 1))
    down = F.pad(flow[..., 1:, :] - flow[..., :-1, :], (0, 0, 0, 1))
    change = (across.square() + down.square()).sum(1)
    return (change <= 0.01 * flow.square().sum(1) + 0.002).float()[:, None]


@lru_cache(maxsize=8)  # a frame needs it for each level of the optimiser's memory
def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where the pixels are, (1, 2, H, W), x before y; and what makes [0, 2] of the range of either."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device, dtype=torch.float32),
        torch.arange(width, device=device, dtype=torch.float32),
        indexing="ij",
    )
    scale = torch.tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)], device=device)
    return torch.stack((x, y))[None], scale.view(1, 2, 1, 1)
