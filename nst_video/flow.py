"""Optical flow between two frames, what it moves, and where it cannot be believed.

A *backward flow* (1, 2, H, W), in pixels, x before y, tells for each pixel of the current frame where it was in the
previous one: current(p) ≈ previous(p + flow(p)). Every mask is (1, 1, H, W), float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nst_video.crop import EVERYWHERE, Part
from nst_video.fields import WINDOW, Floats
from nst_video.frame import Pixels
from nst_video.spline import Spline, in_bands, look_up, put_together

cv2.setNumThreads(1)  # mostly flow is estimated beside a painting, whose threads leave no core for those of OpenCV

REACH = 11
"""Side of the square, in quarters of the size, whose flow is taken where there is nothing to follow."""
TEXTURE = 16.0
"""Squared grey levels per pixel of slope: a twentieth of a fully textured picture's, four times a wall's noise."""
ASTRAY = 0.04
"""Squared pixels by which there and back may differ, on average, for a flow without texture to be believed. At half the
size an eighth of it: what a light that flickers does to a slope agrees there, too, and is as small."""
HIDDEN = 0.5
"""Squared pixels by which there and back differ where something was hidden (Sundaram et al., see `occlusion_mask`)."""
DESCENT, REFINEMENT = (5, 6), (1, 0)
"""Iterations of a patch's search and of the flow's refinement, at full size and in smaller pictures: in these refining
takes a quarter of the time. A sixth step makes up for that by films' warping error, not by ground truth."""
SMALL = 40_000
"""Pixels: of fewer a thread takes as much time as it saves, and more from the painting beside it."""
UNCHANGED = 3
"""Whole grey levels, averaged over `WINDOW`, by which small pictures differ where nothing is taken to have moved."""
MARGIN = 24
"""Pixels of small pictures, around all that has changed, that are searched with it."""
EDGE = 6
"""Pixels of small pictures: if what has changed is so near to three of their sides, a camera may have moved;"""
SHIFTED = 0.04
"""or if all the rest has moved by so many pixels: half of what tells a camera that does at half the size (scene.py).
Flow that is searched whole tells it from as little; searched where no more has moved, it took twice the time before
nearly every talker, for nothing."""
ROOMY = 256
"""Pixels: pictures and their parts have their places from the same few grids, whose sides are multiples of this."""
MOST = 0.75
"""With this much of a picture, to cut a part out and put it back takes as much time as it saves."""
STILL = 0.25
"""Below this many pixels of motion a still camera's pixel is kept as it is: repeated interpolation would blur it."""


@dataclass(frozen=True)
class Motion:
    """How a frame has moved since the one before, every mask in [0, 1].

    flow: backward; visible: what was there before, less what its painting misses of what is there: 0 only where it was
    hidden; confidence: what can be held on to; moved: what is not just as it was; change: of the content beyond its
    motion, (1, 3, H, W), of 1.
    """

    flow: Tensor
    visible: Tensor
    confidence: Tensor
    moved: Tensor
    change: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> Motion:
        """With every tensor changed alike: moved to another device, say."""
        return Motion(*(change(getattr(self, field.name)) for field in fields(self)))


Flows = tuple[Tensor, Tensor]
"""The backward flow, current to previous, and the opposite one."""


class FlowEstimator:
    """Dense inverse search flow (Kroeger et al., ECCV 2016) as OpenCV has it. Not for several threads at once.

    Down to the finest scale, which its presets leave out: on the Middlebury pairs the mean error falls from 0.27 to
    0.20 pixels. There and back at once, in a thread for each, unless frames are `SMALL`.
    """

    def __init__(self) -> None:
        self._there, self._back = _dense_inverse_search(), _dense_inverse_search()

    def __call__(
        self, previous: NDArray[np.uint8], current: NDArray[np.uint8], scale: float = 1.0, part: Part = EVERYWHERE
    ) -> Flows:
        """Grey frames (H, W) → the flow between them; on the CPU. scale: by how much the frames were larger; part: to
        be searched, elsewhere nothing moves."""
        backward, forward = np.zeros((2, *current.shape, 2), np.float32)
        if previous[part].size:
            pieces = np.ascontiguousarray(previous[part]), np.ascontiguousarray(current[part])
            backward[part], forward[part] = self._between(*pieces, scale)
        return flow_tensor(backward), flow_tensor(forward)

    def _between(self, previous: NDArray[np.uint8], current: NDArray[np.uint8], scale: float) -> tuple[Floats, Floats]:
        for search in (self._there, self._back):
            search.setGradientDescentIterations(DESCENT[scale > 1])
            search.setVariationalRefinementIterations(REFINEMENT[scale > 1])
        there, back = (self._there, previous, current), (self._back, current, previous)
        if current.size < SMALL:
            forward, backward = _searched(*there), _searched(*back)
        else:
            with ThreadPoolExecutor(1) as beside:
                coming = beside.submit(_searched, *there)
                backward, forward = _searched(*back), coming.result()
        near, far, believed = _halved(backward), _halved(forward), ASTRAY / scale**3
        return _supported(backward, near, far, current, believed), _supported(forward, far, near, previous, believed)


def changed_part(previous: NDArray[np.uint8], current: NDArray[np.uint8]) -> Part:
    """The part of small pictures (H, W) with all that has changed, and some around; all if a camera may have moved."""
    changed = cv2.blur(cv2.absdiff(previous, current), (WINDOW, WINDOW)) > UNCHANGED
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not len(rows):
        part, sides = (slice(0), slice(0)), 0
    else:
        (top, left), (bottom, right) = (rows[0], columns[0]), (rows[-1] + 1, columns[-1] + 1)
        part = slice(max(0, top - MARGIN), bottom + MARGIN), slice(max(0, left - MARGIN), right + MARGIN)
        height, width = changed.shape
        sides = sum(end < EDGE for end in (top, left, height - bottom, width - right))
    if sides >= 3 or _shift(previous, current, part) > SHIFTED:
        return EVERYWHERE
    return part


def moving_part(flow: Tensor, around: int, multiple: int) -> Part | None:
    """The part of a picture that a flow (1, 2, H, W), on the CPU, moves and takes from, and so many pixels `around`;
    None if nothing moves, all if it is `MOST` of it. It begins and ends at a `multiple`, or where the picture does."""
    planes = flow[0].numpy()
    moves = (planes != 0).any(axis=0)
    if not moves.any():
        return None
    reach = math.ceil(np.abs(planes).max()) + around

    def side(found: NDArray[np.intp], length: int) -> slice:
        first = max(0, found[0] - reach) // multiple * multiple
        last = -(-(found[-1] + 1 + reach) // multiple) * multiple
        return slice(int(first) or None, None if last >= length else int(last))

    height, width = moves.shape
    part = side(np.flatnonzero(moves.any(axis=1)), height), side(np.flatnonzero(moves.any(axis=0)), width)
    return part if moves[part].size < MOST * moves.size else EVERYWHERE


def _shift(previous: NDArray[np.uint8], current: NDArray[np.uint8], but: Part) -> float:
    """By how many pixels all `but` a part has moved, as a whole: a step of Lucas & Kanade (IJCAI 1981), of every second
    row and column."""
    slopes = np.stack(cv2.spatialGradient(current)).astype(np.float32) / 8
    slopes[:, *but] = 0
    slopes = slopes[:, ::2, ::2].reshape(2, -1)
    difference = (current[::2, ::2].astype(np.float32) - previous[::2, ::2]).ravel()
    return float(np.hypot(*np.linalg.solve(slopes @ slopes.T + np.eye(2), slopes @ difference)))


def _dense_inverse_search() -> cv2.DISOpticalFlow:
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    search.setPatchStride(4)
    return search


def _searched(search: cv2.DISOpticalFlow, here: NDArray[np.uint8], there: NDArray[np.uint8]) -> Floats:
    """The flow from `here` to `there`, (H, W, 2)."""
    return np.asarray(search.calc(here, there, None), np.float32)  # type: ignore[call-overload]


def _supported(flow: Floats, near: Floats, far: Floats, picture: NDArray[np.uint8], believed: float) -> Floats:
    """`flow` (H, W, 2) where there is something to follow; elsewhere what the surroundings do, or nothing. `near` and
    `far`: it and the opposite flow at half the size; believed: see `ASTRAY`.

    On a plain wall flow is a guess: `picture` has no texture there and the way back does not agree. Without this the
    painting of a wall would swim.
    """
    across, down = (slope.astype(np.float32) / 16 for slope in cv2.spatialGradient(_halved(picture)))
    # Sobel's weights add up to 8, and this is half the size. Not by cv2.magnitude: its last bit depends on where in
    # memory the arrays lie, and a film that is made again would not be the same.
    texture = _halved(across * across + down * down)
    apart = near + cv2.remap(
        far, *_places(np.asarray(near / 2, np.float32)), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    astray = _halved(np.minimum(apart[..., 0] * apart[..., 0] + apart[..., 1] * apart[..., 1], 1))
    astray = np.asarray(cv2.blur(astray, (REACH // 2 | 1, REACH // 2 | 1)), np.float32)
    support = np.maximum(np.square(texture / (texture + TEXTURE)), (1 + astray / believed) ** -4)[..., None]
    around = cv2.blur(support * _halved(near), (REACH, REACH)) / (cv2.blur(support, (REACH, REACH))[..., None] + 0.02)
    share = cv2.resize(support / (support + 0.02), flow.shape[1::-1])[..., None]
    return np.asarray(share * flow + (1 - share) * cv2.resize(around, flow.shape[1::-1]), np.float32)


def _halved(field: NDArray[Any]) -> NDArray[Any]:
    """A field (H, W, …) at half its size, its values as they are."""
    size = max(1, field.shape[1] // 2), max(1, field.shape[0] // 2)
    return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_AREA))


def _places(flow: Floats) -> tuple[Floats, Floats]:
    """Where each pixel of a flow (H, W, 2) points to, x and y, for cv2.remap."""
    height, width = flow.shape[:2]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    return np.asarray(flow[..., 0] + x, np.float32), np.asarray(flow[..., 1] + y, np.float32)


def remap(pixels: Floats, flow: Tensor) -> Floats:
    """`backward_warp` for an array (H, W, C) and a flow on the CPU, without torch's threads."""
    places = _places(flow[0].permute(1, 2, 0).numpy())
    return np.asarray(cv2.remap(pixels, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def grey(pixels: Pixels) -> NDArray[np.uint8]:
    """The luminance of a frame, for `FlowEstimator`."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def flow_tensor(flow: Floats) -> Tensor:
    """A flow (H, W, 2) as one of shape (1, 2, H, W)."""
    return torch.from_numpy(np.stack((flow[..., 0], flow[..., 1]))[None])


def backward_warp(image: Tensor, flow: Tensor, *, sharp: bool = False) -> Tensor:
    """`image` (1, C, H, W), moved so that it fits the current frame: out(p) = image(p + flow(p)).

    Bilinear, which blurs; or `sharp`, by cubic splines. Beyond the border its edge is repeated. See `steady` for
    keeping still pixels untouched.
    """
    height, width = image.shape[-2:]
    positions, scale = _grid(height, width, flow.device)
    if sharp:
        return Spline(image).at(positions + flow)
    grid = torch.addcmul(positions * scale - 1, flow, scale).clamp_(-1, 1)  # older MPS has no padding_mode="border"
    return put_together(look_up(image, in_bands(grid)), height, width)


def way_back(flow: Tensor, opposite: Tensor) -> Tensor:
    """The opposite flow where `flow` leads: `flow` turned round, if both are right and nothing is hidden."""
    return backward_warp(opposite, flow)


def agreed(flow: Tensor, back: Tensor) -> Tensor:
    """The mean of `flow` and of its `way_back` turned round: two estimates err less than one."""
    return (flow - back) / 2


def steady(flow: Tensor, still: float = STILL) -> Tensor:
    """`flow` with motions under so many pixels set to none."""
    return flow * (flow.square().sum(1, keepdim=True) >= still**2)


def occlusion_mask(flow: Tensor, opposite: Tensor) -> Tensor:
    """1 where `flow` (1, 2, H, W) can be believed, 0 where something was hidden or left the image.

    Forward-backward consistency of Sundaram et al., ECCV 2010, as in Ruder et al., GCPR 2016, sec. 4.1: hidden
    where |w + ŵ|² ≥ 0.01 (|w|² + |ŵ|²) + 0.5, ŵ being the opposite flow at p + w.
    """
    return (astray(flow, way_back(flow, opposite)) < HIDDEN).float() * inside(flow)


def astray(flow: Tensor, back: Tensor) -> Tensor:
    """By how many squared pixels a flow and its way back differ, |w + ŵ|² − 0.01 (|w|² + |ŵ|²): `occlusion_mask`."""
    lengths = flow.square().sum(1, keepdim=True) + back.square().sum(1, keepdim=True)
    return (flow + back).square().sum(1, keepdim=True) - 0.01 * lengths


def inside(flow: Tensor, margin: float = 0.0) -> Tensor:
    """1 where `flow` points into the picture, or by no more than a `margin` of pixels out of it; elsewhere 0."""
    height, width = flow.shape[-2:]
    x, y = (_grid(height, width, flow.device)[0] + flow).unbind(1)
    return ((x >= -margin) & (x <= width - 1 + margin) & (y >= -margin) & (y <= height - 1 + margin)).float()[:, None]


def motion_boundaries(flow: Tensor) -> Tensor:
    """1 away from motion boundaries, 0 on them: |∇u|² + |∇v|² > 0.01 |w|² + 0.002 (Ruder et al., sec. 4.1)."""
    change = torch.zeros_like(flow)
    change[..., :-1] = flow.diff(dim=3).square_()
    change[..., :-1, :] += flow.diff(dim=2).square_()
    return (change.sum(1) <= 0.01 * flow.square().sum(1) + 0.002).float()[:, None]


def places(image: Tensor) -> Tensor:
    """Where the pixels of an image (1, C, H, W) are, (1, 2, H, W), x before y."""
    return _grid(image.shape[2], image.shape[3], image.device)[0].contiguous()


def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where the pixels are, (1, 2, H, W), x before y; and what makes [0, 2] of the range of either."""
    roomy = (-(-side // ROOMY) * ROOMY for side in (height, width))
    return _positions(*roomy, device)[..., :height, :width], _scale(height, width, device)


@lru_cache(maxsize=4)
def _positions(height: int, width: int, device: torch.device) -> Tensor:
    y, x = torch.meshgrid(
        torch.arange(height, device=device, dtype=torch.float32),
        torch.arange(width, device=device, dtype=torch.float32),
        indexing="ij",
    )
    return torch.stack((x, y))[None]


@lru_cache(maxsize=256)
def _scale(height: int, width: int, device: torch.device) -> Tensor:
    scale = torch.tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)])
    return scale.to(device, non_blocking=True).view(1, 2, 1, 1)
