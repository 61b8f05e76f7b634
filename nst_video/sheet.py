"""A painting on its way from frame to frame, sampled from one sheet for as long as it may be.

Whenever a painting is moved it lies between its pixels, and interpolation takes some of its detail. What is taken in
eighty frames no iterations give back. So it is not moved from frame to frame but taken from one and the same sheet,
from places that move. Only what has been painted since that sheet was new, and what was never on it, is moved from
frame to frame; when that is too much of the painting, there is a new sheet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nst_video.crop import EVERYWHERE, Part, cut, pasted
from nst_video.flow import backward_warp, places
from nst_video.spline import Spline

SERVES = 0.6
"""With less than this share of a painting on it a sheet is given up."""
ANOTHER = 0.25
"""A pixel that has changed by this much since is not on the sheet any more; by half as much, half of it is."""
ALMOST = 0.999
"""From this on nothing has come between: rounding leaves less than 1."""
SURROUNDINGS = 20
"""Pixels around what moves that splines need to know: those further away count for nothing."""


@dataclass(frozen=True)
class Sheet:
    """A `painting` of some frames ago.

    places: where on it each pixel of the last frame's painting comes from, (1, 2, H, W), in pixels, x before y; whole:
    1 where nothing has come between, (1, 1, H, W); taken: what was taken from there.
    """

    painting: Spline
    places: Tensor
    whole: Tensor
    taken: Tensor

    @classmethod
    def of(cls, painting: Tensor) -> Sheet:
        """A new one."""
        return cls(Spline(painting), places(painting), torch.ones_like(painting[:, :1]), painting)

    def still(self, visible: Tensor) -> Sheet:
        """The one for a frame in which nothing moves."""
        return replace(self, whole=(self.whole > ALMOST).float() * visible)

    def moved(self, painting: Tensor, flow: Tensor, visible: Tensor, part: Part = EVERYWHERE) -> tuple[Tensor, Sheet]:
        """The last `painting` (1, 3, H, W), moved along `flow` as far as it is `visible`, and where that is on the
        sheet: what is only partly visible is painted anew bit by bit, and taken from there for the last time. Outside
        of `part` nothing moves; see `flow.moving_part`."""
        before, still = (cut(each, part) for each in (self.places, self.whole, self.taken)), self.still(visible)
        piece = Sheet(self.painting, *before)
        made, piece = piece._moved(cut(painting, part), cut(flow, part), cut(visible, part))
        pairs = ((still.places, piece.places), (still.whole, piece.whole), (still.taken, piece.taken))
        return pasted(painting, made, part), Sheet(self.painting, *(pasted(*pair, part) for pair in pairs))

    def _moved(self, painting: Tensor, flow: Tensor, visible: Tensor) -> tuple[Tensor, Sheet]:
        """All of it. Beside a tear it is moved by linear steps: splines would take something from across."""
        torn = _torn(self.places)
        parts = torch.cat((painting, self.places, self.whole * (1 - torn), torn), dim=1)
        soft, there, whole, torn = torch.split(backward_warp(parts, flow), [3, 2, 1, 1], dim=1)
        since = (painting - self.taken) * self.whole * (1 - torn)  # splines reach far: nothing that means nothing
        crisp = backward_warp(torch.cat((since, painting), dim=1), flow, sharp=True)
        since, painting = torch.split(crisp, [3, 3], dim=1)
        whole = (whole > ALMOST).float() * visible
        taken = self.painting.at(there)
        painting = torch.where(whole > 0, taken + since, torch.where(torn > 0, soft, painting))
        return painting, Sheet(self.painting, there, whole, taken)

    def after(self, painting: Tensor, free: Tensor | None = None) -> Sheet:
        """The one to be used after a frame ended with this `painting`, which is painted only where `free`, (1, 1, H,
        W)."""
        since = (painting - self.taken).abs_().amax(1, keepdim=True)
        mine = self.whole * (1 - since / ANOTHER).clamp_(min=0)
        mine = mine if free is None else mine[free]
        return self if float(mine.mean()) > SERVES else Sheet.of(painting)


def _torn(places: Tensor) -> Tensor:
    """1 on both sides of where neighbours come from places that are none, (1, 1, H, W): nothing is between them."""
    torn = torch.zeros_like(places[:, :1])
    for side in (2, 3):
        length = places.shape[side] - 1
        step = places.diff(dim=side)
        step[:, 3 - side] -= 1  # x comes first
        apart = (step.abs() > 1).any(1, keepdim=True).float()
        for first in (0, 1):
            part = torn.narrow(side, first, length)
            torch.maximum(part, apart, out=part)
    return torn
