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

from nst_video.change import changed, missed, seam, to_paint
from nst_video.crop import EVERYWHERE
from nst_video.fields import Floats, Places, averaged, chosen, in_colours, length, mean_colour, median
from nst_video.flow import (
    HIDDEN,
    STILL,
    FlowEstimator,
    Flows,
    Motion,
    agreed,
    astray,
    changed_part,
    grey,
    inside,
    motion_boundaries,
    remap,
    steady,
    way_back,
)
from nst_video.frame import Pixels
from nst_video.revealed import Backdrop, Revealed, changes, same

FOLLOW = 0.05
"""How much of its difference the content takes on per frame where nothing but noise is seen."""
SLACK = 2.0
"""Squared pixels, of what is searched, by which there and back may differ (`HIDDEN` is 0.5): beside what moves flow is
out by a pixel, and whatever is not believed is painted anew, in every frame. A cut is still told by `HIDDEN`."""
PANNED = 0.08
"""Pixels, of what is searched for flow, as that is what it errs by: if the picture's border has moved by more, and its
middle by half as much, a camera moves in somebody's hand; if it has not moved as one, but everywhere, the camera zooms
or turns, as long as `STILL` says so of the picture. Flow goes on where there is no texture: whoever moves before a
plain wall takes the middle along, but not the border. A dark border's flow is noise: then nothing of it is found in
the middle."""
BORDER = 6
"""How wide that is, in pixels."""
BLACK = 24.0
"""Rows and columns with nothing brighter (of 255) are the bars beside a film of another shape, which never move."""
ALIKE = 25.0
"""Where the flow cannot be believed, but the content it points to differs by less than this (of 255), it does no harm:
on a plain wall any flow will do, and a hole there would show."""
ANEW = (0.2, 0.6)
"""How much of what a painting misses is painted anew in every frame: with flow searched at its own size, and at half of
it. At once, it would flicker. At half the size flow loses more, and one iteration mends nothing."""
MENDING = 0.1
"""How much of it the iterations are taken to mend in every frame."""
CUT = 0.25
"""A frame of which more than this share cannot be found in the one before is another scene."""
MISSING = 0.003
"""Earlier frames are only asked when more than this share cannot be found in the last one."""


@dataclass(frozen=True)
class Seen:
    """A frame as the scene shows it.

    content: (H, W, 3), 0 to 255; motion: since the frame before, None where that is none or of another scene; recalled:
    since earlier frames, each believed only where all nearer ones are hidden (Ruder et al., GCPR 2016, eq. 9), by how
    many frames ago that was; earlier: the contents of those frames, the last one first; revealed: since the frame
    before, None where `motion` is; backdrop: what was seen behind it, None where nothing has been remembered; stirred:
    the flow of what has moved before the camera, (1, 2, H, W), without the camera's own, None where `motion` is;
    depicted: what its painting is of, (H, W, 3), the content where flow has been right (what is added of the content
    hides little), None where nothing has been remembered; half: this at half the size, if that was looked at: then
    `earlier` is empty, the backdrop of that size, and `depicted` only there.
    """

    content: Floats
    motion: Motion | None = None
    recalled: tuple[tuple[int, Motion], ...] = ()
    earlier: tuple[Floats, ...] = ()
    revealed: Revealed | None = None
    backdrop: Backdrop | None = None
    stirred: Tensor | None = None
    depicted: Floats | None = None
    half: Seen | None = None


def see(
    pixels: Pixels,
    before: Seen | None,
    estimator: FlowEstimator | None,
    memory: Sequence[int] = (),
    *,
    scale: float = 1.0,
    flows: Flows | None = None,
) -> Seen:
    """`pixels` after `before` was seen; `memory`: how many frames back to look for what the last one does not show;
    scale: by how much what is painted is larger. In its pixels it is told what is too slow to be acted on; how much
    flow may err, and whether the camera moves, in those that are searched for it. `flows`: since `before`, if they are
    known more exactly than these pixels tell."""
    content = pixels.astype(np.float32, order="C")
    if estimator is None:
        return Seen(content)
    if before is None or before.backdrop is None or before.depicted is None or before.content.shape != content.shape:
        return _for_the_first_time(content)
    error = 1.0 if flows is None else 1 / scale
    flows = flows or _flows(before.content, pixels, estimator, scale)
    found = _find(before.content, content, flows, scale, error)
    if found.known < 1 - CUT:
        return _for_the_first_time(content)
    if found.camera is None:
        fate = _before_a_still_camera(content, before.content, before.backdrop, found, scale)
    else:
        fate = _before_a_moving_camera(found)
    flow = found.motion.flow * _tensor(fate.along)
    fresh, depicted = fate.hidden | fate.again, remap(before.depicted, flow)
    lacking = np.where(fresh, np.float32(0), ANEW[scale * error > 1] * missed(content - depicted, 1 / error))
    motion = _acted_on(content, before.content, before.backdrop, found, fate, flow, lacking)
    mended = np.where(fresh, np.float32(1), 1 - (1 - MENDING) * (1 - lacking))
    depicted += (content - depicted) * in_colours(mended)
    own = flow if found.camera is None else flow - found.camera
    shown = followed(content, before.content, fate.moved)
    backdrop, renewed = Backdrop.of(shown), np.ones_like(fresh)
    if found.camera is None:
        backdrop, renewed = before.backdrop.after(shown, fate.moved, fate.along, fate.again)
    revealed = Revealed(_tensor(fate.again), _tensor(backdrop.open), _tensor(renewed))
    earlier = (before.content, *before.earlier)[: max(memory, default=0)]
    hidden = (motion.visible == 0).float()
    recalled = tuple(_recall(earlier, sorted(set(memory) - {1}), hidden, pixels, estimator, scale))
    return Seen(shown, motion, recalled, earlier, revealed, backdrop, own, depicted)


def _for_the_first_time(content: Floats) -> Seen:
    """A frame of a scene that was never seen before."""
    return Seen(content, backdrop=Backdrop.of(content), depicted=content)


def followed(content: Floats, before: Floats, moved: Places) -> Floats:
    """A content (H, W, 3) as it is shown: where nothing has `moved` it stays what it was, and follows slowly."""
    shown = content - before
    shown *= FOLLOW
    shown += before
    cv2.copyTo(content, moved.view(np.uint8), shown)
    return shown


class _Fate(NamedTuple):
    """What has happened where, each (H, W).

    moved: something is to be done; along: that follows the flow; hidden: it was not to be seen before; again: it is
    what was seen behind, before that.
    """

    moved: Places
    along: Places
    hidden: Places
    again: Places


def _before_a_moving_camera(found: _Found) -> _Fate:
    """Everything follows the flow."""
    hidden = ~_mask(found.motion.visible)
    everywhere = np.ones_like(hidden)
    return _Fate(everywhere, everywhere, hidden, ~everywhere)


def _before_a_still_camera(content: Floats, before: Floats, behind: Backdrop, found: _Found, scale: float) -> _Fate:
    """What has changed and cannot be followed is taken for what was seen `behind`, if it looks like that."""
    seen, moved, along, alike = changed(content, before, behind, found.there, found.speed, scale)
    hidden = moved & ~_mask(found.motion.visible) & (along | ~same(content, before))
    again = (hidden | seen & ~_mask(found.consistent)) & alike
    return _Fate(moved, along & ~again, hidden, again)


def _acted_on(
    content: Floats,
    before: Floats,
    behind: Backdrop,
    found: _Found,
    fate: _Fate,
    flow: Tensor,
    lacking: Floats,
) -> Motion:
    """The motion that the painting is to make: `flow`. So much of what is there the painting is `lacking`, (H, W), and
    has to be painted anew."""
    left = chosen(fate.moved, content - remap(before, flow), FOLLOW * (content - before))
    change = chosen(fate.again, changes(content, behind.content), to_paint(left, fate.moved))
    kept = _tensor(~fate.moved | fate.again)
    whole = _tensor(~seam(fate.along, found.speed))
    return Motion(
        flow,
        torch.maximum(_tensor(~fate.hidden), kept) * _tensor(1 - lacking),
        torch.maximum(found.motion.confidence, kept) * whole,
        _tensor(fate.moved),
        torch.from_numpy(np.ascontiguousarray(change.transpose(2, 0, 1)[None], np.float32) / 255),
    )


def _recall(
    earlier: Sequence[Floats],
    memory: Sequence[int],
    hidden: Tensor,
    pixels: Pixels,
    estimator: FlowEstimator,
    scale: float,
) -> Iterator[tuple[int, Motion]]:
    """Motion since `earlier` contents, as many frames ago as `memory` says, where all nearer ones are `hidden`."""
    for ago in memory:
        if ago <= len(earlier) and float(hidden.mean()) > MISSING:
            then = earlier[ago - 1]
            older = _find(then, pixels.astype(np.float32), _flows(then, pixels, estimator, scale), scale).motion
            believed = hidden * older.visible
            yield ago, replace(older, visible=believed, confidence=believed)
            hidden = hidden - believed


class _Found(NamedTuple):
    """What flow says.

    there: what was seen then, moved along it, (H, W, 3); consistent: where there and back agree, (1, 1, H, W); camera:
    its flow, (1, 2, 1, 1), None if it is still; known: the share of the picture that was there before; speed: of
    everything, in pixels, (H, W).
    """

    motion: Motion
    there: Floats
    consistent: Tensor
    camera: Tensor | None
    known: float
    speed: Floats


def _flows(then: Floats, pixels: Pixels, estimator: FlowEstimator, scale: float) -> Flows:
    """If what is painted is larger by `scale`, only what has changed is searched, as long as the rest rests."""
    before, after = grey(then.astype(np.uint8)), grey(pixels)
    return estimator(before, after, scale, changed_part(before, after) if scale > 1 else EVERYWHERE)


def _find(then: Floats, now: Floats, flows: Flows, scale: float, error: float = 1.0) -> _Found:
    """What has become of `then` (H, W, 3), when what is painted is larger by `scale`. `error`: of the flows, as a share
    of what it is if these pixels are searched."""
    flow, opposite = flows
    boundaries = motion_boundaries(flow)  # of the flow as it is: `steady` leaves steps in it
    back = way_back(flow, opposite)
    differs, within = astray(flow, back), inside(flow)
    consistent = (differs < SLACK * error**2).float() * within
    flow = agreed(flow, back)
    camera = _camera(flow, now, error)
    if camera is None:
        flow = steady(flow, STILL / scale)
    there = remap(then, flow)
    alike = _tensor(mean_colour(np.abs(now - there)) < ALIKE) * inside(flow)
    whole = torch.ones_like(consistent)
    motion = Motion(flow, torch.maximum(consistent, alike), _smooth(consistent * boundaries), whole, whole)
    known = torch.maximum((differs < HIDDEN * error**2).float() * within, alike)
    return _Found(motion, there, consistent, camera, float(known.mean()), scale * length(flow[0].numpy()))


def _camera(flow: Tensor, content: Floats, error: float) -> Tensor | None:
    """The camera's share in a flow, that of the border of the `content` (H, W, 3), (1, 2, 1, 1); None if the camera is
    still. `error`: see `_find`."""
    ways = flow[0].numpy()[:, *_lit(content)]
    sides = (ways[:, :BORDER], ways[:, -BORDER:], ways[:, :, :BORDER], ways[:, :, -BORDER:])
    around = np.concatenate([side.reshape(2, -1) for side in sides], axis=1)
    border = _medians(around)
    panned, still = PANNED * error, STILL * error
    pans = length(border) >= panned and length(_medians(ways)) >= panned / 2
    turns = median(length(around)) >= panned and median(length(ways)) >= still  # or zooms
    return torch.from_numpy(border).view(1, 2, 1, 1) if pans or turns else None


def _medians(ways: Floats) -> Floats:
    """Of each component of vectors (2, …)."""
    return np.array([median(way) for way in ways], np.float32)


def _lit(content: Floats) -> tuple[slice, slice]:
    """Rows and columns of a picture (H, W, 3) without black bars; all of them if it is black."""
    rows = np.flatnonzero(content.max(axis=(1, 2)) > BLACK)
    columns = np.flatnonzero(content.max(axis=0).max(axis=1) > BLACK)
    if not len(rows):
        return slice(None), slice(None)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _smooth(mask: Tensor) -> Tensor:
    """A mask with soft edges, that is nowhere more than it was."""
    return mask * torch.from_numpy(averaged(mask[0, 0].numpy()))[None, None]


def _mask(tensor: Tensor) -> Places:
    return np.asarray(tensor[0, 0].numpy() > 0)


def _tensor(mask: NDArray[Any]) -> Tensor:
    return torch.from_numpy(mask.astype(np.float32))[None, None]
