"""What moves fast is shown blurred along its way, as a camera's shutter would have shown it.

Strokes that leap from frame to frame flicker, however well they are carried along. Only what is shown is blurred: the
painting that the next frame goes on from stays crisp. The camera's own motion blurs nothing, for the eye follows it.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from nst_video.fields import Floats
from nst_video.frame import Pixels

SHARP = 0.25
"""Pixels: a blur by less anywhere in the picture is not worth the time."""
STEP = 1.5
"""Pixels that a thing moves, at most, between two looks through the shutter;"""
LOOKS = 8
"""but no more looks than so, after the first."""


def exposed(painting: Pixels, flow: Floats, share: float) -> Pixels:
    """`painting` (H, W, 3) with a shutter open for this `share` of a frame, from half of that before to half after it;
    its backward `flow` is (2, H, W), in pixels."""
    way = share * flow
    longest = float(np.hypot(*way).max())
    if longest < SHARP:
        return painting
    height, width = painting.shape[:2]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    count = min(LOOKS, 2 * math.ceil(longest / STEP / 2))
    blurred = np.zeros(painting.shape, np.float32)
    for look in range(count + 1):  # the trapezoidal rule
        then, weight = look / count - 0.5, (0.5 if look in (0, count) else 1) / count
        places = (x + then * way[0]).astype(np.float32), (y + then * way[1]).astype(np.float32)
        seen = cv2.remap(painting, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) if then else painting
        blurred += np.float32(weight) * seen
    return np.asarray(np.rint(blurred), np.uint8)
