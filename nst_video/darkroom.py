"""Develops snapshots: painted on at the camera's full size, in the background, while the live picture goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nst_video.device import Compute
from nst_video.frame import Pixels
from nst_video.image import resize, to_image
from nst_video.pipeline import step_back
from nst_video.settings import StyleSettings
from nst_video.stylizer import Stylizer

CHUNK = 5
"""Iterations between two looks at whether to stop."""


@dataclass(frozen=True)
class Exposure:
    """What is to be developed: the frame, its painting so far (of any size), and how it was painted."""

    frame: Pixels
    painting: Pixels
    settings: StyleSettings
    mirrored: bool
    facts: Mapping[str, Any]


Keep = Callable[[Pixels, Exposure, int], None]
"""What is done with a picture when it is ready, and how many iterations it has had; called in the darkroom's thread."""


class Darkroom:
    """One exposure after the other, in a thread that leaves the processor to the live picture."""

    def __init__(self, make_stylizer: Callable[[], Stylizer], compute: Compute, *, iterations: int, keep: Keep) -> None:
        self._make_stylizer, self._compute, self._iterations, self._keep = make_stylizer, compute, iterations, keep
        self._waiting: queue.Queue[Exposure | None] = queue.Queue()
        self._stopping = threading.Event()
        self._done: int | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="darkroom", daemon=True)

    def develop(self, exposure: Exposure) -> None:
        """Begin with it as soon as those before it are done."""
        if not self._thread.ident:
            self._thread.start()
        self._waiting.put(exposure)

    @property
    def progress(self) -> str | None:
        """For people; None when nothing is being developed."""
        done, more = self._done, self._waiting.qsize()
        if done is None:
            return None
        return f"developing {100 * done // self._iterations} %" + (f", {more} more" if more else "")

    def take_error(self) -> BaseException | None:
        """What has gone wrong since it was asked last."""
        error, self._error = self._error, None
        return error

    def close(self) -> None:
        """Finish what is in hand as it stands, and what waits after a few iterations: each picture is kept."""
        self._stopping.set()
        if self._thread.ident:
            self._waiting.put(None)
            self._thread.join()

    def _work(self) -> None:
        step_back()
        stylizer: Stylizer | None = None
        while (exposure := self._waiting.get()) is not None:
            self._done = 0
            try:
                if stylizer is None:
                    with self._compute.beside():  # a thread that once has workers of its own keeps them
                        stylizer = self._make_stylizer()
                self._develop(exposure, stylizer)
            except Exception as error:
                self._error = error
            self._done = None

    def _develop(self, exposure: Exposure, stylizer: Stylizer) -> None:
        """In chunks, so that a device that only bears one thread at a time is shared, and an end is not waited for."""
        settings, state, painting = replace(exposure.settings, temporal_weight=0.0), None, None
        prepared = stylizer.prepare(exposure.frame, None, size=max(exposure.frame.shape[:2]))
        tall, wide = prepared.content.shape[2:]
        done = 0
        while painting is None or (done < self._iterations and not self._stopping.is_set()):
            chunk = min(CHUNK, self._iterations - done)
            with self._compute.beside():
                start = resize(to_image(exposure.painting, self._compute.device), (tall, wide)) if not state else None
                painting, state = stylizer.paint(prepared, settings, state, iterations=chunk, start=start)
            self._done = done = done + chunk
        self._keep(stylizer.finish(painting, exposure.settings).pixels, exposure, done)
