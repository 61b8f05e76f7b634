"""Where a picture has changed, what explains it (noise, a light, motion, what was behind), and what its painting takes
on of it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from nst_video.fields import WINDOW, Floats, Places, averaged, chosen, mean_colour, spread
from nst_video.revealed import Backdrop, faint, unshaded

CALM_STILL = 0.5
"""Pixels: if the camera is still, motion by less is not acted on yet where nothing but noise is seen, nor by more in a
place no part of which has changed: there, flow is a guess."""
EXPLAINED = 0.1
"""Grey levels by which motion has to explain a change better than stillness does, and this share of the noise more:
before a still camera, the wall beside a hand that moves stays, though its flow says otherwise."""
BEHIND = 2.0
"""Grey levels by which fast motion has to explain it better than a light or a shadow on what is behind everything:
nothing on a wall contradicts a flow that takes it along with a shadow."""
FAST = 2.0
"""Pixels: slower motion takes a wall along, too, but is as likely to be the camera's own, too slow to be noticed. Half
a pixel to either side this begins to count."""
SUPPORT = 17
"""Side of the square, in the painting's pixels, whose changes are asked for an explanation."""
SAME_THING = 25.0
"""Squared grey levels: an edge of more contrast keeps its two sides apart in that square."""
MOST = 20.0
"""Grey levels: a larger change says no more than one by as much."""
MOST_NOISE = 5.0
"""Grey levels: no camera's noise is taken to be more."""
CORE = 8.0
"""Changes of a moving thing's content by less than this (of 255) are left to the iterations: mostly, they are the
errors of the flow, and would flicker."""
MENDED, UNLIKE = 10.0, 24.0
"""Grey levels of detail by which a painting may be of something else than what is there, for the iterations to see to
it; and by which it shows nothing of it."""
AROUND = 16
"""Side of the squares, in pixels, over which a difference is averaged to be taken for a change of the light."""


class Changed(NamedTuple):
    """Where something has happened before a still camera.

    seen: more is to be seen than noise; moved: something is to be done about it; along: that is to follow the flow;
    behind: it looks like what is behind everything, in whatever light.
    """

    seen: Places
    moved: Places
    along: Places
    behind: Places


def changed(
    content: Floats, before: Floats, behind: Backdrop, there: Floats, speed: Floats, scale: float = 1.0
) -> Changed:
    """What has happened to a `content` (H, W, 3), 0 to 255. `before`: what it was; there: what the flow, of this
    `speed` (H, W) in pixels, makes of that; behind: what is behind everything; scale: by how much the picture whose
    pixels those of `speed` are is larger."""
    difference, left, unlit = content - before, content - there, unshaded(content, behind.content)
    noise = _noise(np.abs(left))
    seen = _more_than_noise(difference, noise)
    around = spread(seen)
    still = _cost(difference) - EXPLAINED * (1 + noise)
    doubt = np.where(behind.open, MOST * np.clip(FAST + 0.5 - speed, 0, 1), np.float32(np.inf))
    shaded = _cost(unlit) - BEHIND + doubt
    explained = _supported(np.minimum(still, shaded) - _cost(left), content, round(SUPPORT / scale) | 1) > 0
    moving = _touched(explained & (speed >= CALM_STILL), around)
    return Changed(seen, around | moving, (around & explained) | moving, faint(unlit))


def to_paint(difference: Floats, moved: Places) -> Floats:
    """What a difference of the content (H, W, 3) does to its painting: a change of the light, however slow, all; of the
    rest, what is large and `moved`. Noise, added again and again to a painting that ends at black and white, would
    wear it down."""
    light = _light(difference)
    detail = averaged(difference) - light
    still = _light(chosen(moved, np.zeros_like(difference), difference))
    return chosen(moved, light + detail - np.clip(detail, -CORE, CORE), still)


def missed(difference: Floats, scale: float = 1.0) -> Floats:
    """How much of what is there a painting misses, 0 to 1, (H, W), that is of something that differs so from it, (H, W,
    3). scale: how much larger pixels are than those that `WINDOW` counts: in as many, a thin arm would be lost. A light
    is added to it anyway; the middle of what is wider than three of its squares passes for one, too. What seems to be
    one beside something large is none."""
    level = averaged(difference, round(WINDOW / scale) | 1)
    detail = mean_colour(np.minimum(np.abs(level), np.abs(level - _light(difference, round(AROUND / scale)))))
    return np.asarray(np.clip((detail - MENDED) / (UNLIKE - MENDED), 0, 1), np.float32)


def seam(along: Places, speed: Floats) -> Places:
    """Where a motion that is acted on ends abruptly: by a pixel or more."""
    return np.asarray(along & spread(~along, 3) & (speed >= 1))


def _light(difference: Floats, side: int = AROUND) -> Floats:
    """What a difference (H, W, 3) has in common with its surroundings, averaged over squares of this side."""
    height, width = difference.shape[:2]
    coarse = cv2.resize(difference, (max(1, width // side), max(1, height // side)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cv2.blur(coarse, (3, 3)), (width, height)), np.float32)


def _more_than_noise(difference: Floats, noise: float) -> Places:
    """Where a difference (H, W, 3) is more than noise of this standard deviation."""
    sizes = np.abs(difference)
    mean = np.abs(averaged(difference))
    more = (mean > 3 + 3 * noise / WINDOW) | (sizes > 8 + 5 * noise)
    return np.asarray(more[..., 0] | more[..., 1] | more[..., 2])


def _noise(sizes: Floats) -> float:
    """Standard deviation of a camera's noise, from what motion leaves unexplained: what the calmer blocks show."""
    blocks = cv2.resize(sizes, (sizes.shape[1] // 8, sizes.shape[0] // 8), interpolation=cv2.INTER_AREA)
    return min(MOST_NOISE, 1.25 * float(np.quantile(blocks, 0.2)))


def _touched(places: Places, by: Places) -> Places:
    """Of connected places (H, W) those as a whole any part of which is touched `by` others."""
    count, names = cv2.connectedComponents(places.astype(np.uint8))
    kept = np.zeros(count, np.bool_)
    kept[names[by]] = True
    return np.asarray(kept[names] & places)


def _cost(difference: Floats) -> Floats:
    """Of leaving a difference (H, W, 3) unexplained, at the scale of `WINDOW` and below it; in grey levels (H, W).

    Details and what is under them count alike: soft shading alone may tell that a cheek has moved.
    """
    under = averaged(difference)
    sizes = np.minimum(np.abs(under), MOST) + np.minimum(np.abs(difference - under), MOST)
    return mean_colour(sizes)


def _supported(gain: Floats, content: Floats, side: int) -> Floats:
    """The mean of a gain (H, W) in its surroundings, a square of this `side`, as far as the content (H, W, 3) seems to
    belong together.

    Costs are smoothed by the content's own edges as in Hosni et al., CVPR 2011, with the filter of He, Sun & Tang,
    ECCV 2010.
    """
    guide = cv2.cvtColor(content, cv2.COLOR_RGB2GRAY)
    bright, level = averaged(guide, side), averaged(gain, side)
    alike = averaged(guide * guide, side) - bright * bright + SAME_THING
    slope = (averaged(guide * gain, side) - bright * level) / alike
    return averaged(slope, side) * guide + averaged(level - slope * bright, side)
