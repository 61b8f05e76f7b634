"""What was there where something was hidden until now, if a still camera has seen it before.

A hole that is painted anew is pale for a while: Gram matrices are of the whole picture, which has most of the strokes
that they ask for. So it begins with those that were there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nst_video.fields import Floats, Places, averaged, chosen, in_colours, mean_colour

SAME = 8.0
"""Grey levels by which a place may differ from what it was, noise left out."""
SHADE = 0.16
"""So much of what it shows, the same share of all colours, a light may add to a thing, or a shadow take."""
RESTED = 10
"""Frames that a place has to rest, looking like what is behind everything, to be taken for it."""
SETTLED = 100
"""Frames that a thing has to rest before a still camera to become a part of what is behind everything that moves."""


@dataclass(frozen=True)
class Backdrop:
    """What a still camera sees behind everything that moves.

    content: (H, W, 3), 0 to 255; rest: for how many frames nothing has changed, (H, W); open: where it is seen, in
    whatever light.
    """

    content: Floats
    rest: NDArray[np.uint8]
    open: Places

    @classmethod
    def of(cls, content: Floats) -> Backdrop:
        """All that is to be seen."""
        rest = np.zeros(content.shape[:2], np.uint8)
        return cls(content, rest, np.ones(rest.shape, np.bool_))

    def after(self, content: Floats, changed: Places, moving: Places, again: Places) -> tuple[Backdrop, Places]:
        """As it is with the next frame (its `content`, where that has `changed`, where something is `moving`, and where
        it has come to light `again`), and where it is taken from that.

        There, nothing changes and it is seen in its own light. A shadow that goes by must leave no trace: in a painting
        that it had made black nothing would be left to be lightened again.
        """
        rest = np.where(changed, 0, np.minimum(self.rest, SETTLED - 1) + 1).astype(np.uint8)
        settled = rest == SETTLED
        alike = same(content, self.content)
        stays = self.open & ~moving & lit_anew(content, self.content)
        open = again | stays | (alike & (rest >= RESTED)) | settled
        renewed = settled | (open & alike & ~changed)
        return Backdrop(chosen(renewed, content, self.content), rest, open), renewed


@dataclass(frozen=True)
class Revealed:
    """What has come to light since the frame before, each (1, 1, H, W), 0 or 1.

    again: what is there as a still camera has seen it before; open: where the backdrop is seen; renewed: where it is
    taken from the frame.
    """

    again: Tensor
    open: Tensor
    renewed: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> Revealed:
        """With every tensor changed alike: moved to another device, say."""
        return Revealed(*(change(getattr(self, field.name)) for field in fields(self)))


def changes(content: Floats, since: Floats) -> Floats:
    """By how much a content (H, W, 3) has changed, noise left out."""
    return averaged(content - since)


def unshaded(content: Floats, as_before: Floats) -> Floats:
    """By how much a content (H, W, 3) has changed, but for what a light or a shadow may do to it."""
    difference = content - as_before
    light = mean_colour(averaged(difference)) / np.maximum(mean_colour(averaged(as_before)), 1)
    return np.asarray(difference - in_colours(np.clip(light, -SHADE, SHADE)) * as_before, np.float32)


def same(content: Floats, as_before: Floats) -> Places:
    """Where a content (H, W, 3) looks as it did, but for noise and a faint shadow."""
    return faint(content - as_before)


def lit_anew(content: Floats, as_before: Floats) -> Places:
    """Where a content (H, W, 3) looks as it did, but for noise, a light or a shadow."""
    return faint(unshaded(content, as_before))


def faint(difference: Floats) -> Places:
    """Where a difference (H, W, 3) is none but noise."""
    red, green, blue = cv2.split(np.abs(averaged(difference)))
    return np.asarray(np.maximum(np.maximum(red, green), blue) < SAME)
