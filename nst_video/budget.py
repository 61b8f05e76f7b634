"""How many iterations a live frame may take."""

from __future__ import annotations

_INERTIA = 0.85
"""How much of an estimate stays with each frame: a hiccup must not be seen, a change of load within half a second."""


_FIXED = 0.25
"""Of an iteration's time on all of a picture what it takes on the smallest part, too."""


class Budget:
    """Iterations per frame so that `target_fps` frames are painted in a second: as many as fit, one at least.

    `spent` tells it what a frame took; `iterations` answers what the next one may take. Either may be told which share
    of the picture they are done on.
    """

    def __init__(self, target_fps: float) -> None:
        self._seconds = 1 / target_fps
        self._each = self._around = 0.0
        self._allowed = 1.0

    def iterations(self, share: float = 1.0) -> int:
        return max(1, int(self._allowed / _work(share)))

    def spent(self, iterations: int, iterating: float, around: float, share: float = 1.0) -> None:
        """A frame took so many iterations, so many seconds for them, and so many around them."""
        each = iterating / (iterations * _work(share))
        if not self._each:
            self._each, self._around = each, around
        self._each += (1 - _INERTIA) * (each - self._each)
        self._around += (1 - _INERTIA) * (around - self._around)
        fitting = max(0.0, (self._seconds - self._around) / self._each)
        self._allowed += (1 - _INERTIA) * (fitting - self._allowed)


def _work(share: float) -> float:
    """How long an iteration takes on a share of the picture, where it takes 1 on all of it."""
    return _FIXED + (1 - _FIXED) * share
