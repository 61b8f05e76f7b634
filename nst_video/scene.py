"""What has become of the scene since the frame before: what is still, what has moved, what is new, or a cut.

Where nothing but a camera's noise is seen, the content stays what it was (and follows slowly, so that a light that
fades is not missed), and its painting can stay untouched. Flow is estimated from this content to the new frame, not
from frame to frame, so that a motion too slow to be acted on adds up until it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nst_video.flow import (
    STILL,
    FlowEstimator,
    Motion,
    agreed,
    grey,
    inside,
    motion_boundaries,
    occlusion_mask,
    remap,
    steady,
)
from nst_video.frame import Pixels

Floats = NDArray[np.float32]

WINDOW = 5
"""Side of the square, in pixels, over which differences are averaged to tell a change from noise."""
FOLLOW = 0.05
"""How much of its difference the content takes on per frame where nothing but noise is seen."""
CALM_STILL = 0.5
"""Pixels: if the camera is still, motion by less is not acted on yet where nothing but noise is seen, nor by more in a
place no part of which has changed: there, flow is a guess. If the camera moves, its background moves as a whole."""
MOST_NOISE = 5.0
"""Grey levels: no camera's noise is taken to be more."""
ALIKE = 25.0
"""Where the flow cannot be believed, but the content it points to differs by less than this (of 255), it does no harm:
on a plain wall any flow will do, and a hole there would show."""
CORE = 8.0
"""Changes of a moving thing's content by less than this (of 255) are left to the iterations: mostly, they are the
errors of the flow, and would flicker."""
AROUND = 16
"""Side of the squares, in pixels, over which a difference is averaged to be taken for a change of the light."""
CUT = 0.25
"""A frame of which more than this share cannot be found in the one before is another scene."""
HIDDEN = 0.003
"""Earlier frames are only asked when more than this share cannot be found in the last one."""


@dataclass(frozen=True)
class Seen:
    """A frame as the scene shows it.

    content: (H, W, 3), 0 to 255; motion: since the frame before, None where that is none or of another scene;
    recalled: since earlier frames, each believed only where all nearer ones are hidden (Ruder et al., GCPR 2016,
    eq. 9), by how many frames ago that was; earlier: the contents of those frames, the last one first.
    """

    content: Floats
    motion: Motion | None = None
    recalled: tuple[tuple[int, Motion], ...] = ()
    earlier: tuple[Floats, ...] = ()


def see(pixels: Pixels, before: Seen | None, estimator: FlowEstimator | None, memory: Sequence[int] = ()) -> Seen:
    """`pixels`, at the worked size, after `before` was seen; `memory`: how many frames back to look for what the last
    one does not show."""
    content = pixels.astype(np.float32)
    if estimator is None or before is None or before.content.shape != content.shape:
        return Seen(content)
    earlier = (before.content, *before.earlier)[: max(memory, default=0)]
    motion, there = _motion(before.content, content, pixels, estimator)
    if float(motion.visible.mean()) < 1 - CUT:
        return Seen(content)
    difference, left = content - before.content, content - there
    changed = _changed(difference, _noise(np.abs(left)))
    along = motion.flow[0].numpy()
    speed = np.hypot(along[0], along[1])
    around = np.asarray(cv2.dilate(changed, np.ones((WINDOW, WINDOW), np.uint8)), np.uint8)
    if np.median(speed) < STILL:  # the camera is still
        moving = _touched((speed >= CALM_STILL).astype(np.uint8), around)
    else:
        moving = (speed >= STILL).astype(np.uint8)
    moved = np.maximum(around, moving)
    mask = _tensor(moved)
    shown = np.where(moved[..., None], content, before.content + FOLLOW * difference)
    motion = Motion(
        motion.flow * mask,
        torch.maximum(motion.visible, 1 - mask),
        torch.maximum(motion.confidence, 1 - mask),
        mask,
        _change(np.where(moved[..., None], left, FOLLOW * difference), moved),
    )
    recalled = list[tuple[int, Motion]]()
    hidden = 1 - motion.visible
    for ago in sorted(set(memory) - {1}):
        if ago <= len(earlier) and float(hidden.mean()) > HIDDEN:
            older, _ = _motion(earlier[ago - 1], content, pixels, estimator)
            believed = hidden * older.visible
            recalled.append((ago, replace(older, visible=believed, confidence=believed)))
            hidden = hidden - believed
    return Seen(shown, motion, tuple(recalled), earlier)


def _motion(then: Floats, now: Floats, pixels: Pixels, estimator: FlowEstimator) -> tuple[Motion, Floats]:
    """Motion since `then`, and what `then` looks like (H, W, 3), moved along it."""
    flow, opposite = estimator(grey(then.astype(np.uint8)), grey(pixels))
    boundaries = motion_boundaries(flow)  # of the flow as it is: `steady` leaves steps in it
    consistent = occlusion_mask(flow, opposite)
    flow = steady(agreed(flow, opposite))
    there = remap(then, flow)
    alike = cv2.transform(cv2.absdiff(now, there), np.full((1, 3), 1 / 3)) < ALIKE
    visible = torch.maximum(consistent, _tensor(alike) * inside(flow))
    whole = torch.ones_like(visible)
    return Motion(flow, visible, _smooth(consistent * boundaries), whole, whole), there


def _change(difference: Floats, moved: NDArray[np.uint8]) -> Tensor:
    """What a difference of the content (H, W, 3) does to its painting: a change of the light, however slow, all; of the
    rest, what is large and `moved`. Noise, added again and again to a painting that ends at black and white, would
    wear it down."""
    mask = moved[..., None]
    light = _light(difference)
    detail = cv2.blur(difference, (WINDOW, WINDOW)) - light
    change = np.where(mask, light + detail - np.clip(detail, -CORE, CORE), _light(difference * (1 - mask)))
    return torch.from_numpy(np.ascontiguousarray(change.transpose(2, 0, 1)[None], np.float32) / 255)


def _light(difference: Floats) -> Floats:
    """What a difference (H, W, 3) has in common with its surroundings."""
    height, width = difference.shape[:2]
    coarse = cv2.resize(difference, (max(1, width // AROUND), max(1, height // AROUND)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cv2.blur(coarse, (3, 3)), (width, height)), np.float32)


def _changed(difference: Floats, noise: float) -> NDArray[np.uint8]:
    """1 where a difference (H, W, 3) is more than noise of this standard deviation."""
    sizes = np.abs(difference)
    mean = np.abs(cv2.blur(difference, (WINDOW, WINDOW)))
    changed = (mean > 3 + 3 * noise / WINDOW) | (sizes > 8 + 5 * noise)
    return np.asarray(changed[..., 0] | changed[..., 1] | changed[..., 2], np.uint8)


def _touched(places: NDArray[np.uint8], changed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Of connected places (H, W) those as a whole of which any part has changed."""
    count, names = cv2.connectedComponents(places)
    kept = np.zeros(count, np.uint8)
    kept[names[changed > 0]] = 1
    return np.asarray(kept[names] & places, np.uint8)


def _noise(sizes: Floats) -> float:
    """Standard deviation of a camera's noise, from what motion leaves unexplained: what the calmer blocks show."""
    blocks = cv2.resize(sizes, (sizes.shape[1] // 8, sizes.shape[0] // 8), interpolation=cv2.INTER_AREA)
    return min(MOST_NOISE, 1.25 * float(np.quantile(blocks, 0.2)))


def _smooth(mask: Tensor) -> Tensor:
    """A mask with soft edges, that is nowhere more than it was."""
    blurred = cv2.blur(mask[0, 0].numpy(), (WINDOW, WINDOW))
    return mask * torch.from_numpy(blurred)[None, None]


def _tensor(mask: NDArray[Any]) -> Tensor:
    return torch.from_numpy(mask.astype(np.float32))[None, None]
