"""Where in a frame is painted: everywhere, or only in a part, while the rest waits.

Before a still camera most of a painting soon rests, and what moves there is small. A part is painted as a picture of
its own, but towards the style of the whole: a Gram matrix is a mean over places, so that of the picture is that of the
part, by its share, and that of the rest, which stays what it was. What the rest is still to take of its shorter and
shorter steps adds up; when that is worth it, all of the picture is painted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nst_video.crop import EVERYWHERE, Part, cut

UNRIPE = 0.4
"""How long the steps (see `adam.pace`) of places are that do not wait."""
CELL = 8
"""Side of the squares, in pixels, over which that is averaged: a speck can wait."""
AROUND = 16
"""Pixels around them that are painted with them: a stroke does not end where its place does."""
SEAM = 8
"""Pixels around that which are looked at, too, but stay as they are: at the edge of a part the network sees nothing
beyond."""
GRID = 32
"""Parts that are looked at begin and end at a multiple of so many pixels: what paints them is made for a shape."""
LEAST = 96
"""Pixels: a smaller part takes hardly less time."""
MOST = 0.5
"""Of the picture: a larger part is not worth the seam."""
ROOMY = 2.0
"""A part so many times as large as need be, and a tenth of the picture, goes on: another one asks for another rest."""
OWED = 0.25
"""Whole steps of an average pixel that may be put off; then all is painted, though not more often."""
AGEING = 1 / 400
"""As much is owed for every frame in which only a part was painted: what changes too little to be painted again, as by
a light that fades for minutes, is not in the rest."""

Mirrored = tuple[bool, bool]
"""Upside down; from side to side."""


@dataclass(frozen=True)
class Focus:
    """A part of a picture, as rows and columns.

    part: what is painted; around: what is looked at for it; share: how much of the picture that is; owed: what has been
    put off in frames before, and the rest's age, in whole steps of an average pixel; rest: what to add to
    the part's Gram matrices, times its share, to have the picture's, by how it is mirrored.
    """

    part: Part = EVERYWHERE
    around: Part = EVERYWHERE
    share: float = 1.0
    owed: float = 0.0
    rest: Mapping[Mirrored, Mapping[str, Tensor]] = field(default_factory=dict)

    @property
    def everywhere(self) -> bool:
        return self.part == EVERYWHERE

    @property
    def nothing(self) -> bool:
        return self.share == 0

    @property
    def inner(self) -> Part:
        """Where the part is in what is around it."""
        if self.everywhere:
            return EVERYWHERE
        rows, columns = (
            slice(part.start - around.start, part.stop - around.start)
            for part, around in zip(self.part, self.around, strict=True)
        )
        return rows, columns

    def knowing(self, mirrored: Mirrored, rest: Mapping[str, Tensor]) -> Focus:
        """The same with a rest that is `mirrored` so."""
        return replace(self, rest={**self.rest, mirrored: rest})


EVERYTHING = Focus()
OVERDUE = Focus(owed=math.inf)
"""After this one all is painted."""
NOTHING = Focus((slice(0, 0), slice(0, 0)), (slice(0, 0), slice(0, 0)), 0.0)


def focused(paces: Tensor, last: Focus = EVERYTHING, iterations: int = 1) -> Focus:
    """Where to paint a picture whose pixels' steps are as long as `paces` (1, 1, H, W) say, 0 to 1, after `last`, if so
    many `iterations` would be done on all of it."""
    height, width = paces.shape[2:]
    unripe = (F.avg_pool2d(paces, CELL, ceil_mode=True)[0, 0] > UNRIPE).cpu().numpy()
    rows, columns = np.flatnonzero(unripe.any(axis=1)), np.flatnonzero(unripe.any(axis=0))
    if not len(rows):
        focus = NOTHING
    else:
        around = _looked_at(rows, height), _looked_at(columns, width)
        share = _share(around, height, width)
        if all(_holds(*sides) for sides in zip(last.around, around, strict=True)) and last.share < ROOMY * share + 0.1:
            around, share = last.around, last.share
        part = _painted(around[0], height), _painted(around[1], width)
        focus = Focus(part, around, share, rest=last.rest if around == last.around else {})
    if focus.share > MOST:
        return EVERYTHING
    waiting = float(paces.sum() - cut(paces, focus.part).sum()) / paces.numel()
    owed = last.owed + iterations * waiting + AGEING
    return replace(focus, owed=owed) if owed <= OWED else EVERYTHING


def _looked_at(unripe: NDArray[np.intp], length: int) -> slice:
    """Of a side with `unripe` cells what is to be looked at."""
    margin = AROUND + SEAM
    first = max(0, min(int(unripe[0]) * CELL - margin, length - LEAST)) // GRID * GRID
    last = -(-max((int(unripe[-1]) + 1) * CELL + margin, first + LEAST) // GRID) * GRID
    return slice(first, min(last, length))


def _painted(around: slice, length: int) -> slice:
    """Of a side that is looked at what is painted."""
    return slice(around.start + SEAM * (around.start > 0), around.stop - SEAM * (around.stop < length))


def _holds(larger: slice, smaller: slice) -> bool:
    """Whether a side has all of another one. EVERYWHERE has none: after that there is no rest to go on with."""
    return larger.start is not None and larger.start <= smaller.start and smaller.stop <= larger.stop


def _share(part: Part, height: int, width: int) -> float:
    tall, wide = (side.stop - side.start for side in part)
    return float(tall * wide / (height * width))
