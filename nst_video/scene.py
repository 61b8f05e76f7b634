"""What has become of the scene since the frame before: what is still, what has moved, what is new, or a cut.

Where nothing but a camera's noise is seen, the content stays what it was (and follows slowly, so that a light that
fades is not missed), and its painting can stay untouched. Flow is estimated from this content to the new frame, not
from frame to frame, so that a motion too slow to be acted on adds up until it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nst_video.flow import (
    HIDDEN,
    STILL,
    FlowEstimator,
    Motion,
    agreed,
    astray,
    flow_tensor,
    grey,
    inside,
    motion_boundaries,
    remap,
    steady,
)
from nst_video.frame import Pixels
from nst_video.revealed import Backdrop, Places, Revealed, borrow, changes, same

Floats = NDArray[np.float32]

WINDOW = 5
"""Side of the square, in pixels, over which differences are averaged to tell a change from noise."""
FOLLOW = 0.05
"""How much of its difference the content takes on per frame where nothing but noise is seen."""
SLACK = 2.0
"""Squared pixels by which there and back may differ (`HIDDEN` is 0.5): beside what moves flow is out by a pixel, and
whatever is not believed is painted anew, in every frame. A cut is still told by `HIDDEN`."""
PANNED = 0.08
"""Pixels: if the picture's border has moved by more, and its middle by half as much, a camera moves in somebody's hand.
Flow goes on where there is no texture: whoever moves before a plain wall takes the middle along, but not the border. A
dark border's flow is noise: then nothing of it is found in the middle."""
BORDER = 6
"""How wide that is, in pixels."""
CALM_STILL = 0.5
"""Pixels: if the camera is still, motion by less is not acted on yet where nothing but noise is seen, nor by more in a
place no part of which has changed: there, flow is a guess. If the camera moves, its background moves as a whole."""
EXPLAINED = 0.1
"""Grey levels by which motion has to explain a change better than stillness does, and this share of the noise more:
before a still camera, the wall beside a hand that moves stays, though its flow says otherwise."""
SUPPORT = 17
"""Side of the square, in pixels, whose changes are asked for that."""
SAME_THING = 25.0
"""Squared grey levels: an edge of more contrast keeps its two sides apart in that square."""
MOST = 20.0
"""Grey levels: a larger change says no more than one by as much."""
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
MISSING = 0.003
"""Earlier frames are only asked when more than this share cannot be found in the last one."""


@dataclass(frozen=True)
class Seen:
    """A frame as the scene shows it.

    content: (H, W, 3), 0 to 255; motion: since the frame before, None where that is none or of another scene;
    recalled: since earlier frames, each believed only where all nearer ones are hidden (Ruder et al., GCPR 2016,
    eq. 9), by how many frames ago that was; earlier: the contents of those frames, the last one first; revealed: since
    the frame before, None where `motion` is; backdrop: what was seen behind it, None where nothing has been remembered.
    """

    content: Floats
    motion: Motion | None = None
    recalled: tuple[tuple[int, Motion], ...] = ()
    earlier: tuple[Floats, ...] = ()
    revealed: Revealed | None = None
    backdrop: Backdrop | None = None

    @property
    def stirred(self) -> Tensor | None:
        """The flow of what has moved before the camera, (1, 2, H, W), without the camera's own; where something is only
        lent, nothing has."""
        if self.motion is None or self.revealed is None:
            return None
        return (self.motion.flow - _camera(self.motion.flow)) * (1 - self.revealed.lent)


def see(pixels: Pixels, before: Seen | None, estimator: FlowEstimator | None, memory: Sequence[int] = ()) -> Seen:
    """`pixels`, at the worked size, after `before` was seen; `memory`: how many frames back to look for what the last
    one does not show."""
    content = pixels.astype(np.float32)
    if estimator is None:
        return Seen(content)
    if before is None or before.backdrop is None or before.content.shape != content.shape:
        return Seen(content, backdrop=Backdrop.of(content))
    earlier = (before.content, *before.earlier)[: max(memory, default=0)]
    found, there, consistent, still, known = _motion(before.content, content, pixels, estimator)
    if known < 1 - CUT:
        return Seen(content, backdrop=Backdrop.of(content))
    difference, speed = content - before.content, np.hypot(*found.flow[0].numpy())
    changed, moved, along = _places(content, difference, content - there, speed, still=still)
    hidden = new = moved & ~_mask(found.visible)
    again = np.zeros_like(moved)
    if still:  # what has changed and cannot be followed is new, too, however like its surroundings it is
        hidden = hidden & (along | ~same(content, before.content))
        new = hidden | changed & ~_mask(consistent)
        again = new & same(content, before.backdrop.content)
    elsewhere, lent = borrow(before.content, content, new & ~again)
    hidden = hidden | lent
    along = along & ~again
    flow = torch.where(_tensor(lent) > 0, flow_tensor(elsewhere), found.flow * _tensor(along))
    left = content - remap(before.content, flow)
    change = _change(np.where(moved[..., None], left, FOLLOW * difference), moved)
    change = np.where(again[..., None], changes(content, before.backdrop.content), change)
    shown = np.where(moved[..., None], content, before.content + FOLLOW * difference)
    backdrop = before.backdrop.after(shown, moved, along, again) if still else Backdrop.of(shown)
    kept = _tensor(~moved | again)
    motion = Motion(
        flow,
        torch.maximum(_tensor(~hidden), kept),
        torch.maximum(found.confidence, kept) * _tensor(~_seam(along, speed)),
        _tensor(moved),
        torch.from_numpy(np.ascontiguousarray(change.transpose(2, 0, 1)[None], np.float32) / 255),
    )
    revealed = Revealed(_tensor(again), _tensor(lent), _tensor(backdrop.open))
    recalled = tuple(_recall(earlier, sorted(set(memory) - {1}), 1 - motion.visible, pixels, estimator))
    return Seen(shown, motion, recalled, earlier, revealed, backdrop)


def _recall(
    earlier: Sequence[Floats], memory: Sequence[int], hidden: Tensor, pixels: Pixels, estimator: FlowEstimator
) -> Iterator[tuple[int, Motion]]:
    """Motion since `earlier` contents, as many frames ago as `memory` says, where all nearer ones are `hidden`."""
    for ago in memory:
        if ago <= len(earlier) and float(hidden.mean()) > MISSING:
            older = _motion(earlier[ago - 1], pixels.astype(np.float32), pixels, estimator).motion
            believed = hidden * older.visible
            yield ago, replace(older, visible=believed, confidence=believed)
            hidden = hidden - believed


def _places(
    content: Floats, difference: Floats, left: Floats, speed: Floats, *, still: bool
) -> tuple[Places, Places, Places]:
    """Where `content` (H, W, 3) has changed, where something is to be done for it, and where that is to follow the
    flow, which has this `speed` (H, W); `difference` is all that has changed, `left` what the flow leaves of it."""
    noise = _noise(np.abs(left))
    changed = _changed(difference, noise)
    around = _spread(changed)
    if not still:
        moved = np.ones_like(around)
        return changed, moved, moved
    explained = _explained(difference, left, content) > EXPLAINED * (1 + noise)
    moving = _touched(explained & (speed >= CALM_STILL), around)
    return changed, around | moving, (around & explained) | moving


class _Found(NamedTuple):
    """What flow says.

    there: what was seen then, moved along it, (H, W, 3); consistent: where there and back agree, (1, 1, H, W); still:
    whether the camera is; known: the share of the picture that was there before.
    """

    motion: Motion
    there: Floats
    consistent: Tensor
    still: bool
    known: float


def _motion(then: Floats, now: Floats, pixels: Pixels, estimator: FlowEstimator) -> _Found:
    """What has become of `then` (H, W, 3)."""
    flow, opposite = estimator(grey(then.astype(np.uint8)), grey(pixels))
    boundaries = motion_boundaries(flow)  # of the flow as it is: `steady` leaves steps in it
    differs, within = astray(flow, opposite), inside(flow)
    consistent = (differs < SLACK).float() * within
    flow = agreed(flow, opposite)
    still = _still(flow)
    if still:
        flow = steady(flow)
    there = remap(then, flow)
    alike = _tensor(cv2.transform(cv2.absdiff(now, there), np.full((1, 3), 1 / 3)) < ALIKE) * inside(flow)
    whole = torch.ones_like(consistent)
    motion = Motion(flow, torch.maximum(consistent, alike), _smooth(consistent * boundaries), whole, whole)
    known = torch.maximum((differs < HIDDEN).float() * within, alike)
    return _Found(motion, there, consistent, still, float(known.mean()))


def _still(flow: Tensor) -> bool:
    """Whether the camera is."""
    ways = flow[0].numpy()
    middle, border = np.hypot(*np.median(ways, axis=(1, 2))), float(_camera(flow).norm())
    return bool(np.median(np.hypot(*ways)) < STILL and (border < PANNED or middle < PANNED / 2))


def _camera(flow: Tensor) -> Tensor:
    """The camera's share in a flow: that of the picture's border, (1, 2, 1, 1)."""
    ways = flow[0].numpy()
    sides = (ways[:, :BORDER], ways[:, -BORDER:], ways[:, :, :BORDER], ways[:, :, -BORDER:])
    border = np.median(np.concatenate([side.reshape(2, -1) for side in sides], axis=1), axis=1)
    return torch.from_numpy(border).view(1, 2, 1, 1)


def _change(difference: Floats, moved: Places) -> Floats:
    """What a difference of the content (H, W, 3) does to its painting: a change of the light, however slow, all; of the
    rest, what is large and `moved`. Noise, added again and again to a painting that ends at black and white, would
    wear it down."""
    mask = moved[..., None]
    light = _light(difference)
    detail = cv2.blur(difference, (WINDOW, WINDOW)) - light
    still = _light(np.where(mask, np.float32(0), difference))
    return np.asarray(np.where(mask, light + detail - np.clip(detail, -CORE, CORE), still), np.float32)


def _light(difference: Floats) -> Floats:
    """What a difference (H, W, 3) has in common with its surroundings."""
    height, width = difference.shape[:2]
    coarse = cv2.resize(difference, (max(1, width // AROUND), max(1, height // AROUND)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cv2.blur(coarse, (3, 3)), (width, height)), np.float32)


def _changed(difference: Floats, noise: float) -> Places:
    """Where a difference (H, W, 3) is more than noise of this standard deviation."""
    sizes = np.abs(difference)
    mean = np.abs(cv2.blur(difference, (WINDOW, WINDOW)))
    changed = (mean > 3 + 3 * noise / WINDOW) | (sizes > 8 + 5 * noise)
    return np.asarray(changed[..., 0] | changed[..., 1] | changed[..., 2])


def _touched(places: Places, changed: Places) -> Places:
    """Of connected places (H, W) those as a whole of which any part has changed."""
    count, names = cv2.connectedComponents(places.astype(np.uint8))
    kept = np.zeros(count, np.bool_)
    kept[names[changed]] = True
    return np.asarray(kept[names] & places)


def _explained(difference: Floats, left: Floats, content: Floats) -> Floats:
    """How much more of a `difference` (H, W, 3) motion explains than stillness, `left` being what motion leaves of it;
    in grey levels (H, W), in the mean of the surroundings as far as they seem to belong together.

    Two costs, smoothed by the content's own edges, as in Hosni et al., CVPR 2011, with the filter of He, Sun & Tang,
    ECCV 2010. Details and what is under them count alike: soft shading alone may tell that a cheek has moved.
    """
    gain, guide = _cost(difference) - _cost(left), cv2.cvtColor(content, cv2.COLOR_RGB2GRAY)

    def mean(field: NDArray[Any]) -> Floats:
        return np.asarray(cv2.blur(field, (SUPPORT, SUPPORT)), np.float32)

    bright, level = mean(guide), mean(gain)
    slope = (mean(guide * gain) - bright * level) / (mean(guide * guide) - bright * bright + SAME_THING)
    return np.asarray(mean(slope) * guide + mean(level - slope * bright), np.float32)


def _cost(difference: Floats) -> Floats:
    """Of a difference (H, W, 3), at the scale of `WINDOW` and below it."""
    under = cv2.blur(difference, (WINDOW, WINDOW))
    sizes = np.minimum(np.abs(under), MOST) + np.minimum(np.abs(difference - under), MOST)
    return np.asarray(cv2.transform(sizes, np.full((1, 3), 1 / 3)), np.float32)


def _seam(along: Places, speed: Floats) -> Places:
    """Where a motion that is acted on ends abruptly: by a pixel or more."""
    return np.asarray(along & _spread(~along, 3) & (speed >= 1))


def _spread(places: Places, side: int = WINDOW) -> Places:
    """With all that is around them, in a square of this side."""
    return np.asarray(cv2.dilate(places.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)


def _noise(sizes: Floats) -> float:
    """Standard deviation of a camera's noise, from what motion leaves unexplained: what the calmer blocks show."""
    blocks = cv2.resize(sizes, (sizes.shape[1] // 8, sizes.shape[0] // 8), interpolation=cv2.INTER_AREA)
    return min(MOST_NOISE, 1.25 * float(np.quantile(blocks, 0.2)))


def _smooth(mask: Tensor) -> Tensor:
    """A mask with soft edges, that is nowhere more than it was."""
    blurred = cv2.blur(mask[0, 0].numpy(), (WINDOW, WINDOW))
    return mask * torch.from_numpy(blurred)[None, None]


def _mask(tensor: Tensor) -> Places:
    return np.asarray(tensor[0, 0].numpy() > 0)


def _tensor(mask: NDArray[Any]) -> Tensor:
    return torch.from_numpy(mask.astype(np.float32))[None, None]
