"""Where a frame that has one before it begins: at that one's painting, moved to where things are now."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from nst_video.adam import Moments
from nst_video.crop import EVERYWHERE, Part, cut, pasted
from nst_video.flow import Motion, backward_warp, inside
from nst_video.image import resize
from nst_video.masks import Masks
from nst_video.objective import Held
from nst_video.painting import Behind, Prepared, State
from nst_video.revealed import Revealed
from nst_video.settings import StyleSettings
from nst_video.sheet import Sheet

AROUND = 16
"""Side of the squares, in pixels, whose means make the surroundings of a hole."""
HELD = 100.0
"""Whole steps, if pixels do not rest before, after which a painting is held on to altogether; before that, as far as it
has come: what a moving camera brings into view, or what has changed, would stay a photograph. What is recalled from
earlier frames is held on to."""
REPAINT = 0.2
"""A change of the content by this much makes its painting unripe altogether."""
OUTSIDE = 1.0
"""Pixels beyond the border from which on a painting has no memory of what comes in. What is nearer is the border's own:
a camera that drifts by less would have it begin anew in every frame."""
FAINT = 0.015 / 255
"""A change by less from frame to frame is what a camera's noise leaves, or a light that fades by less than a grey level
in two seconds: added to the painting, which stays as ripe as it was."""


@dataclass(frozen=True)
class Beginning:
    """Where the optimiser starts on a frame, what it may hold on to, and what that is taken from if it has moved."""

    image: Tensor
    moments: Moments
    held: Held | None = None
    sheet: Sheet | None = None


def carry(state: State, prepared: Prepared, settings: StyleSettings, masks: Masks, *, follow: bool) -> Beginning | None:
    """The last painting as the beginning of the next one, None in a new scene.

    If not to `follow` what moves, it stays where it is. Behind `masks` nothing was painted.
    """
    content, motion = prepared.content, prepared.motion
    if state.image.shape != content.shape:
        return _enlarged(state.image, content)
    same = settings.paints_like(state.settings)  # else nothing is held on to: one painting flows into the other
    if not follow:
        held = Held(state.image, torch.ones_like(content[:, :1]))
        return Beginning(state.image, state.moments, held if same else None)
    if motion is None or prepared.revealed is None:
        return None
    free = masks.free(content)
    visible = _painted_before(motion.visible, motion.flow, free)
    moments = _carry_moments(state.moments, motion.flow, prepared.part)
    ripeness = torch.where(prepared.revealed.again > 0, state.backdrop.ripeness, moments.ripeness)
    ripeness = _to_be_repainted(ripeness, motion, visible, settings.blur_cost)
    painted = (ripeness / min(settings.ripe, HELD)).clamp(max=1)
    believed = visible, motion.confidence * painted
    image, found, confidence, sheet = _moved(state, prepared, motion, prepared.revealed, believed, free)
    image = torch.lerp(_tinted(content, image, found), image, found)
    moments = replace(moments, ripeness=ripeness if same else ripeness.zero_())
    return Beginning(image, moments, Held(image, confidence) if same else None, sheet)


def _moved(
    state: State,
    prepared: Prepared,
    motion: Motion,
    revealed: Revealed,
    believed: tuple[Tensor, Tensor],
    free: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Sheet]:
    """The last painting where things are now, what was hidden then from earlier ones; how far each pixel was found, and
    how far it is to be held on to (in the last one: as `believed`); and the sheet.

    What has changed in the content beyond its motion (a mouth opens, a light sweeps by) is added to the painting: a few
    iterations would not get there by themselves.
    """
    found, confidence = believed
    image, sheet, known = state.image, state.sheet, found * (1 - revealed.again)
    if prepared.part is None:
        sheet = sheet.still(known)
    else:
        image, sheet = sheet.moved(image, motion.flow, known, prepared.part)
        image = torch.where(motion.moved > 0, image, state.image)
    image = torch.where(revealed.again > 0, state.backdrop.image, image)
    image = (image + motion.change).clamp_(0, 1)
    for ago, older in prepared.recalled:
        if ago - 2 < len(state.earlier):
            seen = _painted_before(older.visible, older.flow, free)
            remembered = backward_warp(state.earlier[ago - 2], older.flow, sharp=True).clamp_(0, 1)
            image = torch.lerp(image, remembered, seen)
            found, confidence = found + seen, confidence * (1 - seen) + seen
    return image, found, confidence, sheet


def _to_be_repainted(ripeness: Tensor, motion: Motion, visible: Tensor, blur_cost: float) -> Tensor:
    """What is new, has changed, or was blurred by being moved has steps to take again."""
    repainted = (motion.change.abs().amax(1, keepdim=True) - FAINT).clamp_(min=0) / REPAINT
    ripeness = ripeness * visible * (1 - repainted).clamp_(min=0)
    interpolated = (motion.flow != 0).any(1, keepdim=True)
    return (ripeness - blur_cost * interpolated).clamp_(min=0)


def behind(state: State | None, prepared: Prepared, settings: StyleSettings, image: Tensor, ripeness: Tensor) -> Behind:
    """How the backdrop is painted after this frame: what is renewed of it like the frame, the rest as it was, or,
    if another painting is wanted now, as it will have to be painted again."""
    if prepared.revealed is None or prepared.seen.backdrop is None:
        return Behind(image, ripeness)
    renewed = prepared.revealed.renewed
    if state is None:
        content = torch.from_numpy(prepared.seen.backdrop.content.transpose(2, 0, 1)[None] / 255).to(image)
        content = resize(content, (image.shape[2], image.shape[3]))  # a glance has half of it
        hidden, renewed = Behind(content, torch.zeros_like(ripeness)), prepared.revealed.open
    elif settings.paints_like(state.settings):
        hidden = state.backdrop
    else:
        hidden, renewed = Behind(state.backdrop.image, torch.zeros_like(ripeness)), prepared.revealed.open
    return Behind(torch.where(renewed > 0, image, hidden.image), torch.where(renewed > 0, ripeness, hidden.ripeness))


def _painted_before(visible: Tensor, flow: Tensor, free: Tensor | None) -> Tensor:
    """Of what was visible before, (1, 1, H, W), what was painted: nothing that comes out from behind a mask was."""
    return visible if free is None else visible * backward_warp(free.float(), flow)


def _enlarged(image: Tensor, content: Tensor) -> Beginning | None:
    """A painting that goes on at another size; None if its shape is another one, too. Moments are forgotten: enlarged,
    by level or by the size of what it sees, they made the next hundred iterations worse than none."""
    (height, width), (tall, wide) = image.shape[2:], content.shape[2:]
    if abs(height * wide - width * tall) > max(height, width) * max(tall, wide) * 0.02:
        return None
    return Beginning(resize(image, (tall, wide)), Moments.zero(content))


def _tinted(content: Tensor, image: Tensor, found: Tensor) -> Tensor:
    """The content with the colours that `image` has around, as far as it was `found`: what a hole starts from."""
    known = _around(torch.cat(((image - content) * found, found), dim=1)) + 1e-6
    return (content + known[:, :3] / known[:, 3:]).clamp_(0, 1)


def _around(image: Tensor) -> Tensor:
    """Every pixel's surroundings, averaged."""
    height, width = image.shape[2:]
    coarse = F.adaptive_avg_pool2d(image, (max(1, height // AROUND), max(1, width // AROUND)))
    coarse = F.avg_pool2d(coarse, 3, stride=1, padding=1, count_include_pad=False)
    return F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)


def _carry_moments(moments: Moments, flow: Tensor, part: Part | None = EVERYWHERE) -> Moments:
    """The optimiser's memory moved along `flow`, each level by the flow of its own scale; outside of `part` nothing
    moves. It has none of what comes in from `OUTSIDE`: that takes whole steps, as a first frame does; with the border's
    memory it would stay pale."""
    if part is None:
        return moments
    flow = cut(flow, part)
    known = inside(flow, OUTSIDE)
    moved = backward_warp(torch.cat((cut(moments.ripeness, part), cut(moments.weight, part)), dim=1), flow)
    ripeness = pasted(moments.ripeness, moved[:, :1], part)
    weight = pasted(moments.weight, moved[:, 1:] * known, part)
    means, squares = [], []
    for level, (mean, square) in enumerate(zip(moments.mean, moments.square, strict=True)):
        if level:
            flow, known = F.avg_pool2d(flow, 2) / 2, F.avg_pool2d(known, 2)
        moved = backward_warp(torch.cat((cut(mean, part, level), cut(square, part, level)), dim=1), flow) * known
        means.append(pasted(mean, moved[:, :3], part, level))
        squares.append(pasted(square, moved[:, 3:], part, level))
    return Moments(tuple(means), tuple(squares), ripeness, weight, moments.age)
