"""How far a run is, on stderr: a bar at a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from tqdm import tqdm

from nst_video.report import Progress

EVERY_S = 5.0  # between two lines where there is no terminal


def _losses(losses: Mapping[str, float], *, each: bool) -> str:
    """The total; if wanted, its terms as well, as far as there are any."""
    terms = [f"{name} {value:.4g}" for name, value in losses.items() if name != "total" and value] if each else []
    return f"loss {losses['total']:.4g}" + (f" ({', '.join(terms)})" if terms else "")


class ProgressBar:
    """A callback for a run, and a context manager. `unit` is "frame" or "iteration"."""

    def __init__(self, unit: str, *, quiet: bool) -> None:
        self._unit, self._quiet = unit, quiet
        self._bar: tqdm[None] | None = None
        self._begun = self._told = time.monotonic()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, progress: Progress) -> None:
        if self._quiet:
            return
        loss = progress.detail or _losses(progress.losses, each=self._unit == "iteration")
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = tqdm(
                    total=progress.total, initial=progress.before, unit=f" {self._unit}s", dynamic_ncols=True
                )
            self._bar.total = progress.total  # what a URL sends is not known before
            self._bar.set_postfix_str(loss, refresh=bool(progress.detail))
            self._bar.update(progress.done - self._bar.n)
        elif (now := time.monotonic()) - self._told > EVERY_S or progress.done == progress.total:
            self._told = now
            rate = (progress.done - progress.before) / max(now - self._begun, 1e-9)
            of = "" if progress.total is None else f" of {progress.total}"
            left = ""
            if progress.total is not None and rate:
                left = f", {max(progress.total - progress.done, 0) / rate:.0f} s left"
            print(f"{progress.done}{of} {self._unit}s, {rate:.1f} a second{left}, {loss}", file=sys.stderr, flush=True)
