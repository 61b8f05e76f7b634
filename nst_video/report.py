"""What is told of a run, on its way and at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nst_video.controls import Knobs


@dataclass(frozen=True)
class Progress:
    """How far a run is: `done` of `total` iterations or frames (None: not known), the last losses, and a remark."""

    done: int
    total: int | None
    losses: dict[str, float]
    detail: str = ""
    before: int = 0
    """How many of them an earlier run has done."""


@dataclass(frozen=True)
class Summary:
    """What a run made."""

    output: Path
    done: int
    expected: int
    seconds: float
    device: str
    interrupted: bool = False
    resumed: int = 0
    """Frames that an earlier run had done."""
    kept: int = 0
    """Frames that a later run would not have to paint again."""
    harm: str | None = None
    """What ffmpeg said of damage to the source."""
    lost: str | None = None
    """What of the source could not be taken along."""
    notes: tuple[str, ...] = ()
    """What was done otherwise than one might expect."""

    @property
    def incomplete(self) -> bool:
        """The source is damaged, or clearly fewer frames came than it holds."""
        return not self.interrupted and (self.harm is not None or self.done < 0.98 * self.expected - 1)


@dataclass(frozen=True)
class LiveSummary:
    """What was painted as it happened."""

    painted: int
    dropped: int
    """Frames of the source that came while others were painted."""
    iterations: int
    seconds: float
    """Between the first frame's coming and the last one's being done."""
    delay: float
    """From a frame's coming to its being done, in seconds; the median."""
    device: str
    kept: tuple[Path, ...]
    """Snapshots and recordings, as they were written."""
    knobs: Knobs
    """As they stood at the end."""
    interrupted: bool = False

    @property
    def fps(self) -> float:
        return self.painted / self.seconds if self.seconds else 0.0


OnProgress = Callable[[Progress], None]
