"""How many iterations a live frame may take."""

from __future__ import annotations

_INERTIA = 0.85
"""How much of an estimate stays with each frame: a hiccup must not be seen, a change of load within half a second."""


class Budget:
    """Iterations per frame so that `target_fps` frames are painted in a second: as many as fit, one at least.

    `spent` tells it what a frame took; `iterations` answers what the next one may take.
    """

    def __init__(self, target_fps: float) -> None:
        self._seconds = 1 / target_fps
        self._each = self._around = 0.0
        self._allowed = 1.0

    @property
    def iterations(self) -> int:
        return max(1, int(self._allowed))

    def spent(self, iterations: int, iterating: float, around: float) -> None:
        """A frame took so many iterations, so many seconds for them, and so many around them."""
        each = iterating / iterations
        if not self._each:
            self._each, self._around = each, around
        self._each += (1 - _INERTIA) * (each - self._each)
        self._around += (1 - _INERTIA) * (around - self._around)
        fitting = max(1.0, (self._seconds - self._around) / self._each)
        self._allowed += (1 - _INERTIA) * (fitting - self._allowed)
