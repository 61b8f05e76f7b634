"""What travels through the pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""An RGB picture, uint8, (height, width, 3)."""
Mask = NDArray[np.float32]
"""How much of something there is at each place of a picture, in [0, 1], (height, width)."""


@dataclass(frozen=True)
class Frame:
    """One picture of a stream and when it is shown: from `pts` on, for `duration` (0: not known), in units of
    `time_base` seconds after the stream's first one."""

    pixels: Pixels
    index: int
    pts: int
    time_base: Fraction
    duration: int = 0

    @property
    def time(self) -> Fraction:
        """Seconds, exactly."""
        return self.pts * self.time_base

    @property
    def seconds(self) -> float:
        return float(self.time)


@dataclass(frozen=True)
class StreamInfo:
    """What a source knows of its frames before the first is read.

    width and height are of the displayed picture: upright, with square pixels.
    """

    width: int
    height: int
    frame_rate: Fraction
    frame_count: int
    """How many frames there are; of a file that was cut short, how many there should be; 0 of what has no end."""
    time_base: Fraction = Fraction(0)
    """What times are multiples of; 0 if nobody knows."""
    offset: Fraction = Fraction(0)
    """Seconds from the beginning of the file (or of the wanted part of it), where its sound begins, to the first
    frame."""

    @property
    def even(self) -> bool:
        """Whether each frame is shown for the same time."""
        return self.time_base == 1 / self.frame_rate


class LiveSource(Protocol):
    """What is painted as it comes. Iterated in one thread, asked and closed from another."""

    info: StreamInfo
    mirrored: bool
    """Whether people expect to see it as in a mirror."""

    @property
    def description(self) -> str:
        """Its name, resolution and rate, and what was asked for if that is something else."""
        ...

    @property
    def notice(self) -> str | None:
        """What is the matter with it just now, for people; None while frames come."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """End the iteration soon, wherever it waits."""
        ...
