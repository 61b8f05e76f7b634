"""A frame as it is looked at: at half its size, which tells what has become of the scene as well, and far sooner.

That is enlarged. The content is not: what is painted has all the detail that the frame has. Nor is the flow, unless
there is little time: half the size loses what is thin and fast, and carries strokes less exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from nst_video.crop import enlarged_part
from nst_video.flow import FlowEstimator, Motion, agreed, changed_part, grey, way_back
from nst_video.frame import Pixels
from nst_video.image import resize_pixels
from nst_video.scene import Seen, followed, see
from nst_video.settings import Flow

LARGER = 2
"""By how much a frame is larger than what is looked at."""
LEAST = 60
"""Pixels: if the shorter side had fewer then, a frame is seen as it is. That is fast, too, and so few do not tell what
moves."""
ONE_MOTION = 0.5
"""Pixels, of what is looked at, by which neighbours' motions may differ to be one."""
NEIGHBOURS = np.ones((3, 3), np.uint8)
WORTH = 3
"""Iterations from which on flow is worth being searched at a frame's own size: seeing takes half the time of one of
them, and more, then; else a fifth."""


def suffices(flow: Flow, iterations: int) -> bool:
    """Whether flow is to be searched at half the size in frames of so many iterations."""
    return flow == "half" or (flow == "auto" and iterations < WORTH)


def glance(
    pixels: Pixels,
    before: Seen | None,
    estimator: FlowEstimator | None,
    memory: Sequence[int] = (),
    *,
    whole: bool = False,
) -> Seen:
    """`see`, at half the size; the content and what moves it are as large as `pixels` (H, W, 3), but what is only for
    the next frame is not. If `whole`, flow since the last frame is not searched at half the size but at this one; what
    is recalled from earlier ones is at half of it."""
    height, width = pixels.shape[0] // LARGER, pixels.shape[1] // LARGER
    if estimator is None or min(height, width) < LEAST:
        return see(pixels, before, estimator, memory)
    last = before if before is not None and before.content.shape == pixels.shape else None
    small = resize_pixels(pixels, (height, width))
    flows = fewer = None
    if whole and last is not None and last.half is not None:
        part = changed_part(grey(last.half.content.astype(np.uint8)), grey(small))
        larger = enlarged_part(part, LARGER)
        flows = estimator(grey(last.content.astype(np.uint8)), grey(pixels), 1.0, larger)
        fewer = smaller_flow(flows[0], (width, height)), smaller_flow(flows[1], (width, height))
    half = see(small, last and last.half, estimator, memory, scale=LARGER, flows=fewer)
    content = pixels.astype(np.float32, order="C")
    if last is None or half.motion is None or half.revealed is None or half.stirred is None:
        return Seen(content, backdrop=half.backdrop, half=half)
    size = pixels.shape[1], pixels.shape[0]
    motion = _motion(half.motion, size)
    if flows is not None:
        motion = replace(motion, flow=_where_it_moves(motion.flow, agreed(flows[0], way_back(*flows))))
    return Seen(
        followed(content, last.content, motion.moved[0, 0].numpy() > 0),
        motion,
        tuple((ago, _motion(older, size)) for ago, older in half.recalled),
        revealed=half.revealed.each(lambda mask: _enlarged(mask, size, cv2.INTER_NEAREST)),
        backdrop=half.backdrop,
        stirred=_enlarged(half.stirred * LARGER, size, cv2.INTER_LINEAR),
        half=half,
    )


def _motion(motion: Motion, size: tuple[int, int]) -> Motion:
    """At this size."""
    return Motion(
        enlarged_flow(motion.flow, size),
        _enlarged(motion.visible, size, cv2.INTER_NEAREST),
        _enlarged(motion.confidence, size, cv2.INTER_LINEAR),
        _enlarged(motion.moved, size, cv2.INTER_NEAREST),
        _enlarged(motion.change, size, cv2.INTER_LINEAR),
    )


def _where_it_moves(seen: Tensor, flow: Tensor) -> Tensor:
    """A `flow` where what is `seen` of it moves, none elsewhere."""
    return flow * (seen != 0).any(1, keepdim=True)


def smaller_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """A flow (1, 2, H, W) at this size, width before height, in its pixels."""
    smaller = np.empty((1, 2, size[1], size[0]), np.float32)
    for plane, made, scale in zip(
        flow[0].numpy(), smaller[0], (size[0] / flow.shape[3], size[1] / flow.shape[2]), strict=True
    ):
        cv2.resize(plane, size, dst=made, interpolation=cv2.INTER_AREA)
        made *= scale
    return torch.from_numpy(smaller)


def enlarged_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """A flow (1, 2, h, w) at this size, width before height, in its pixels. What is still stays so, and between two
    things that move nothing is made up."""
    planes = list(flow[0].numpy())
    apart = np.logical_and.reduce([plane == 0 for plane in planes])
    for plane in planes:
        apart |= cv2.dilate(plane, NEIGHBOURS) - cv2.erode(plane, NEIGHBOURS) > ONE_MOTION
    sharp = cv2.resize(apart.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    larger = np.empty((1, 2, size[1], size[0]), np.float32)
    for plane, made, scale in zip(planes, larger[0], (size[0] / flow.shape[3], size[1] / flow.shape[2]), strict=True):
        cv2.resize(plane, size, dst=made, interpolation=cv2.INTER_LINEAR)
        cv2.copyTo(cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST), sharp, made)
        made *= scale
    return torch.from_numpy(larger)


def _enlarged(field: Tensor, size: tuple[int, int], interpolation: int) -> Tensor:
    """A field (1, C, h, w) at this size."""
    larger = np.empty((1, field.shape[1], size[1], size[0]), np.float32)
    for plane, made in zip(field[0].numpy(), larger[0], strict=True):
        cv2.resize(plane, size, dst=made, interpolation=interpolation)
    return torch.from_numpy(larger)
