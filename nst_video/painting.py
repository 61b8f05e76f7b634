"""A frame on its way, from prepared to finished, and what one frame hands to the next."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from nst_video.adam import Moments
from nst_video.crop import EVERYWHERE, Part
from nst_video.flow import Motion
from nst_video.focus import EVERYTHING, Focus
from nst_video.frame import Pixels
from nst_video.revealed import Revealed
from nst_video.scene import Seen
from nst_video.settings import StyleSettings
from nst_video.sheet import Sheet


@dataclass(frozen=True)
class Prepared:
    """A frame and all that can be known of it before the last one is painted; seconds by what they went into.

    content: the frame at the worked size, without noise where nothing happens; motion: since the frame prepared
    before, None of the first frame of a scene, of one of another shape, and where flow is not wanted; recalled: since
    earlier ones, by how many frames ago that was; revealed: what has come to light, None where `motion` is; part:
    outside of it nothing moves, None if nothing does at all.
    """

    pixels: Pixels
    content: Tensor
    seen: Seen
    motion: Motion | None
    recalled: tuple[tuple[int, Motion], ...] = ()
    revealed: Revealed | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    part: Part | None = EVERYWHERE


@dataclass(frozen=True)
class Behind:
    """How the scene's backdrop is painted, (1, 3, H, W), and how ripe that is, (1, 1, H, W)."""

    image: Tensor
    ripeness: Tensor


@dataclass(frozen=True)
class State:
    """What one frame hands to the next: what it showed, how the painting looks, the optimiser's memory, what was
    wanted and how near it came, how the backdrop is painted, what a moving painting is taken from, how earlier frames
    were painted, the last one first, the content whose colours the style has been given, if it was, and where the frame
    was painted."""

    prepared: Prepared
    image: Tensor
    moments: Moments
    settings: StyleSettings
    losses: dict[str, float]
    backdrop: Behind
    sheet: Sheet
    earlier: tuple[Tensor, ...] = ()
    palette: Tensor | None = None
    focus: Focus = EVERYTHING


@dataclass(frozen=True)
class Painting:
    """A frame as the optimiser left it, still at the worked size, and what that took; `flow`: how what it shows has
    moved before the camera since the frame before, (1, 2, H, W), on the CPU, None where that is not known; `share`: of
    the picture that the iterations were done on."""

    frame: Pixels
    painted: Pixels
    iterations: int
    losses: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)
    flow: Tensor | None = None
    share: float = 1.0


@dataclass(frozen=True)
class Painted:
    """A finished frame, the painting before it was finished, at the worked size, and what it took."""

    pixels: Pixels
    unfinished: Pixels
    iterations: int
    losses: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)
