"""Every thread and queue of a conversion: stages joined by bounded channels, with one way to stop and one to fail.

Nothing is dropped before `stop`: a stage that is ahead waits for the next one. The last channel is iterated by the
caller, in the main thread. The first error anywhere stops all stages and is raised there.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

CAPACITY = 4  # frames between two stages: enough to ride out a slow one, little memory


class _Aborted(Exception):
    """A channel takes or gives nothing any more: its stage has nothing left to do."""


class Channel(Generic[T]):
    """A bounded queue that can be closed (what is in it still comes out) or aborted (both ends stop at once).

    When it is full, `put` waits; if only the `newest` counts, it drops the oldest instead and counts it in `dropped`.
    """

    def __init__(self, capacity: int = CAPACITY, *, newest: bool = False) -> None:
        self.dropped = 0
        self._items: deque[T] = deque()
        self._capacity, self._newest = capacity, newest
        self._changed = threading.Condition()  # its lock is reentrant
        self._closed = self._aborted = False

    def put(self, item: T) -> None:
        with self._changed:
            self.wait_for_room()
            if len(self._items) == self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Until `put` would not wait."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._aborted or self._closed or self._newest or len(self._items) < self._capacity
            )
            if self._aborted or self._closed:
                raise _Aborted

    def shut(self) -> None:
        """Drop what is in it and take no more."""
        with self._changed:
            self._items.clear()
            self._closed = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        with self._changed:
            self._aborted = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        for item in self.within(math.inf):
            assert item is not None
            yield item

    def within(self, seconds: float) -> Iterator[T | None]:
        """The items; None whenever none has come for so many seconds."""
        while True:
            with self._changed:
                deadline = time.monotonic() + seconds
                while not self._ready() and (left := deadline - time.monotonic()) > 0:
                    # The short wait lets Ctrl-C through on Windows, where a lock cannot be interrupted.
                    self._changed.wait_for(self._ready, timeout=min(0.2, left))
                if self._aborted:
                    raise _Aborted
                item = self._items.popleft() if self._items else None
                if item is None and self._closed:
                    return
                self._changed.notify_all()
            yield item

    def _ready(self) -> bool:
        return bool(self._items) or self._closed or self._aborted


class Pipeline:
    """Stages in threads of their own. Use as a context manager: leaving it ends all of them.

    Example::

        with Pipeline() as pipeline:
            frames = pipeline.read(source)
            painted = pipeline.stage("stylise", paint, frames)
            for result in pipeline.results(painted):
                ...
    """

    def __init__(self) -> None:
        self._channels: list[Channel[Any]] = []
        self._threads: list[threading.Thread] = []
        self._error: BaseException | None = None
        self._inlet: Channel[Any] | None = None
        self._lock = threading.Lock()
        self._stopping, self._aborting = threading.Event(), threading.Event()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def read(self, source: Iterable[T], *, newest: bool = False) -> Channel[T]:
        """Iterate `source` in a thread; `newest`: as fast as it goes, keeping only the last one."""

        def pull() -> Iterator[T]:
            items = iter(source)
            try:
                for item in items:
                    if self._stopping.is_set():
                        return
                    yield item
            finally:
                _close(items)

        self._inlet = self._start("read", pull, Channel(1, newest=True) if newest else Channel())
        return self._inlet

    def stage(
        self, name: str, work: Callable[[T], U], inbox: Channel[T], *, ahead: int = CAPACITY, modest: bool = False
    ) -> Channel[U]:
        """Apply `work` to everything that comes in, in order, in a thread; at most `ahead` results may wait.

        A `modest` one leaves the processor to the others when they want it.
        """

        def produce() -> Iterator[U]:
            if modest:
                step_back()
            return map(work, inbox)

        return self._start(name, produce, Channel(ahead))

    def results(self, outbox: Channel[T]) -> Iterator[T]:
        """What comes out of the last stage; at the end, the first error of any stage is raised."""
        with contextlib.suppress(_Aborted):
            yield from outbox
        if self._error is not None:
            raise self._error

    def results_within(self, outbox: Channel[T], seconds: float) -> Iterator[T | None]:
        """The same for one who has other things to see to: None whenever nothing has come for so many seconds."""
        with contextlib.suppress(_Aborted):
            yield from outbox.within(seconds)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Read no more; what a stage has begun on is still finished, what waits for its first stage is dropped."""
        self._stopping.set()
        if self._inlet is not None:
            self._inlet.shut()

    def check(self) -> None:
        """To be called now and then by a stage's work that takes long: leaves it when the pipeline was aborted."""
        if self._aborting.is_set():
            raise _Aborted

    def abort(self) -> None:
        """End all stages as soon as they have finished the item in hand, and wait for them."""
        self._aborting.set()
        for channel in self._channels:
            channel.abort()
        for thread in self._threads:
            thread.join()

    def _start(self, name: str, produce: Callable[[], Iterator[U]], outbox: Channel[U]) -> Channel[U]:
        def run() -> None:
            items = produce()
            try:
                outbox.wait_for_room()
                for item in items:
                    outbox.put(item)
                    outbox.wait_for_room()  # before the next one is begun: what is live grows old while it waits
                outbox.close()
            except _Aborted:
                pass
            except BaseException as error:
                with self._lock:
                    if self._error is None:
                        self._error = error
                    for channel in self._channels:
                        channel.abort()
            finally:
                _close(items)

        with self._lock:
            self._channels.append(outbox)
            if self._error is not None:  # of a stage that failed before this one was there
                outbox.abort()
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return outbox


def step_back() -> None:
    """Lower the priority of this thread, where a thread has one of its own."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + 10))


def _close(items: object) -> None:
    """End a generator's own resources now and in this thread, not whenever it is collected."""
    close = getattr(items, "close", None)
    if close is not None:
        close()
