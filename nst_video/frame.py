"""What travels through the pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""An RGB picture, uint8, (height, width, 3)."""


@dataclass(frozen=True)
class Frame:
    """One picture of a stream and when it is shown: `pts` × `time_base` seconds after the stream's start."""

    pixels: Pixels
    index: int
    pts: int
    time_base: Fraction

    @property
    def seconds(self) -> float:
        return float(self.pts * self.time_base)


@dataclass(frozen=True)
class StreamInfo:
    """What a source knows of its frames before the first is read.

    width and height are of the displayed picture: upright, with square pixels.
    """

    width: int
    height: int
    frame_rate: Fraction
    frame_count: int
    """How many frames there are; of a file that was cut short, how many there should be."""
