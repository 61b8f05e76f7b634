"""What moves fast is shown blurred along its way, as a camera's shutter would have shown it.

Strokes that leap from frame to frame flicker, however well they are carried along. Only what is shown is blurred: the
painting that the next frame goes on from stays crisp. The camera's own motion is left out, for the eye follows it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nst_video.frame import Pixels

Floats = NDArray[np.float32]

SHARP = 0.25
"""Pixels: a blur by less anywhere in the picture is not worth the time."""


def exposed(painting: Pixels, flow: Floats, share: float) -> Pixels:
    """`painting` (H, W, 3) with a shutter open for this `share` of a frame; its backward `flow` is (2, H, W)."""
    way = share * (flow - np.median(flow[:, ::2, ::2], axis=(1, 2), keepdims=True))
    if not way.size or float(np.abs(way).max()) < SHARP:
        return painting
    height, width = painting.shape[:2]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    blurred = 0.5 * painting.astype(np.float32)
    for half in (-0.5, 0.5):
        across, down = x + half * way[0], y + half * way[1]
        blurred += 0.25 * cv2.remap(painting, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.rint(blurred), np.uint8)
