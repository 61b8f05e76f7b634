"""Snapshots painted on in the background: each is kept, in turn, whatever happens to the one before it."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from media import blobs

from nst_video.darkroom import CHUNK, Darkroom, Exposure
from nst_video.device import Compute
from nst_video.frame import Pixels
from nst_video.image import resize, to_image, to_pixels
from nst_video.networks import FeatureNetwork
from nst_video.painting import Painting, Prepared, State
from nst_video.settings import StyleSettings
from nst_video.stylizer import Stylizer
from nst_video.weights import load_network

FRAME, PAINTING, STYLE = blobs(45, 60, seed=1), blobs(24, 32, seed=2), blobs(64, 64, seed=3)
COMPUTE = Compute.choose("cpu", "fp32")
PATIENCE = 60.0
"""Seconds after which something is taken to hang."""


@lru_cache
def network() -> FeatureNetwork:
    return load_network("lite")


class Watched(Stylizer):
    """Made for small pictures, as the live one is; tells of every time that it is asked to paint."""

    def __init__(self, watch: Callable[[], None] = lambda: None, compute: Compute = COMPUTE) -> None:
        super().__init__(network(), [STYLE], compute=compute, size=32, iterations=1)
        self.watch = watch
        self.asked = list[tuple[tuple[int, ...], int]]()

    def paint(
        self, prepared: Prepared, settings: StyleSettings, state: State | None, **given: Any
    ) -> tuple[Painting, State]:
        self.watch()
        self.asked.append((tuple(prepared.content.shape[2:]), given["iterations"]))
        return super().paint(prepared, settings, state, **given)


class Room(Darkroom):
    """A darkroom whose pictures can be waited for."""

    def __init__(self, make: Callable[[], Stylizer], iterations: int, compute: Compute = COMPUTE) -> None:
        self.pictures = queue.Queue[tuple[Pixels, Exposure, int]]()
        self.told = list[str | None]()
        self.threads = set[threading.Thread]()
        super().__init__(make, compute, iterations=iterations, keep=self._hang_up)

    def _hang_up(self, pixels: Pixels, exposure: Exposure, iterations: int) -> None:
        self.told.append(self.progress)
        self.threads.add(threading.current_thread())
        self.pictures.put((pixels, exposure, iterations))

    def picture(self) -> tuple[Pixels, Exposure, int]:
        return self.pictures.get(timeout=PATIENCE)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert not set(threading.enumerate()) - before


def exposure(frame: Pixels = FRAME, **settings: Any) -> Exposure:
    return Exposure(frame, PAINTING, StyleSettings(**settings), mirrored=False, facts={})


def enlarged(shape: tuple[int, int]) -> Pixels:
    return to_pixels(resize(to_image(PAINTING), shape))


def difference(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(np.int32) - b.astype(np.int32)).mean())


# what comes out


@pytest.mark.parametrize("iterations", [1, CHUNK - 1, CHUNK, 2 * CHUNK + 2])
def test_an_exposure_is_painted_in_the_frames_own_size_with_all_its_iterations(iterations: int) -> None:
    stylizer = Watched()
    room, wanted = Room(lambda: stylizer, iterations), exposure()
    room.develop(wanted)
    pixels, developed, done = room.picture()
    room.close()
    assert pixels.shape == FRAME.shape
    assert pixels.dtype == np.uint8
    assert developed is wanted
    assert done == iterations == sum(count for _, count in stylizer.asked)
    assert {shape for shape, _ in stylizer.asked} == {FRAME.shape[:2]}
    assert max(count for _, count in stylizer.asked) <= CHUNK
    assert room.take_error() is None


def test_with_one_thread_to_paint_with_none_of_it_takes_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever takes more once has workers of its own from then on, which keep the live picture's from their cores."""
    torch.set_num_threads(3)
    found, compute = list[tuple[str, int]](), replace(COMPUTE, threads=1)

    def note(what: str) -> None:
        found.append((what, torch.get_num_threads()))

    def make() -> Stylizer:
        note("make")
        return Watched(lambda: note("begin"), compute)

    def painted(image: torch.Tensor) -> Pixels:
        note("paint")
        return to_pixels(image)

    monkeypatch.setattr("nst_video.stylizer.to_pixels", painted)
    room = Room(make, 1, compute)
    room.develop(exposure())
    room.picture()
    room.close()
    assert found == [("make", 1), ("begin", 1), ("paint", 1)]


@pytest.mark.parametrize("shape", [(61, 37), (10, 40)])
def test_frames_of_any_shape_come_out_in_their_own(shape: tuple[int, int]) -> None:
    room = Room(Watched, 1)
    room.develop(exposure(blobs(*shape)))
    assert room.picture()[0].shape == (*shape, 3)
    room.close()


def test_it_starts_from_the_painting_and_not_from_the_frame() -> None:
    room = Room(Watched, 1)
    room.develop(exposure(learning_rate=1e-5))  # what is seen is where it began
    pixels, *_ = room.picture()
    room.close()
    assert difference(pixels, enlarged((45, 60))) < 0.1
    assert difference(pixels, FRAME) > 20


def test_in_pieces_it_becomes_what_it_would_have_become_in_one_go() -> None:
    """Nothing is held on to between two pieces, whatever the live picture holds on to; and it is finished as asked."""
    asked: dict[str, Any] = {"stability": 1.0, "strength": 0.8, "hue": 40.0}
    room = Room(Watched, 3 * CHUNK)
    room.develop(exposure(**asked))
    pixels, *_ = room.picture()
    room.close()
    stylizer, settings = Watched(), StyleSettings(temporal_weight=0, **asked)
    prepared, start = stylizer.prepare(FRAME, None, size=60), resize(to_image(PAINTING), (45, 60))
    painting, _ = stylizer.paint(prepared, settings, None, iterations=3 * CHUNK, start=start)
    assert difference(pixels, stylizer.finish(painting, settings).pixels) < 0.02


def test_more_iterations_come_nearer_to_the_style() -> None:
    losses = list[float]()
    for iterations in (CHUNK, 6 * CHUNK):
        room = Room(Watched, iterations)
        room.develop(exposure())
        pixels, *_ = room.picture()
        room.close()
        stylizer = Watched()
        again, _ = stylizer.paint(
            stylizer.prepare(FRAME, None, size=60), StyleSettings(), None, iterations=1, start=to_image(pixels)
        )
        losses.append(again.losses["total"])
    assert losses[1] < 0.8 * losses[0]


# one after the other


def test_exposures_are_kept_in_order_by_one_stylizer() -> None:
    made = list[Watched]()

    def make() -> Stylizer:
        made.append(Watched())
        return made[-1]

    room = Room(make, 2)
    frames = [blobs(30, 40, seed=seed) for seed in (5, 6, 7)]
    exposures = [exposure(frame) for frame in frames]
    for one in exposures:
        room.develop(one)
    developed = [room.picture() for _ in frames]
    room.close()
    assert [one for _, one, _ in developed] == exposures
    assert [done for *_, done in developed] == [2, 2, 2]
    assert len(made) == 1
    assert len({pixels.tobytes() for pixels, *_ in developed}) == 3


def test_nobody_waits_for_it() -> None:
    """Not even for the stylizer, which takes a while to make; and there is no thread before there is an exposure."""
    go_on, made_in = threading.Event(), list[threading.Thread]()

    def make() -> Stylizer:
        made_in.append(threading.current_thread())
        assert go_on.wait(PATIENCE)
        return Watched()

    before = threading.active_count()
    room = Room(make, 1)
    assert threading.active_count() == before
    room.develop(exposure())
    room.develop(exposure())
    assert threading.active_count() == before + 1
    assert room.pictures.empty()
    go_on.set()
    room.picture()
    room.picture()
    room.close()
    assert made_in[0] is not threading.current_thread()
    assert room.threads == set(made_in)


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux a thread has a priority of its own")
def test_it_leaves_the_processor_to_the_live_picture() -> None:
    found = list[int]()
    stylizer = Watched(lambda: found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    room = Room(lambda: stylizer, 1)
    room.develop(exposure())
    room.picture()
    room.close()
    assert found == [min(19, own + 10)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


# progress


def test_progress_is_told_while_it_works_and_only_then() -> None:
    told, all_there = list[str | None](), threading.Event()

    def watch() -> None:
        assert all_there.wait(PATIENCE)
        told.append(room.progress)

    stylizer = Watched(watch)
    room = Room(lambda: stylizer, 2 * CHUNK)
    assert room.progress is None
    room.develop(exposure())
    room.develop(exposure())
    all_there.set()
    room.picture()
    room.picture()
    room.close()
    assert told == ["developing 0 %, 1 more", "developing 50 %, 1 more", "developing 0 %", "developing 50 %"]
    assert room.told[0] == "developing 100 %, 1 more"
    assert room.progress is None


# errors


class Trouble(Exception):
    """What goes wrong here."""


def test_an_error_is_handed_out_once_and_the_next_exposure_is_developed() -> None:
    trouble, told = Trouble("no memory"), list[str | None]()

    def watch() -> None:
        told.append(room.progress)
        if len(told) == 1:
            raise trouble

    stylizer = Watched(watch)
    room = Room(lambda: stylizer, 2)
    assert room.take_error() is None
    room.develop(exposure())
    second = exposure(blobs(30, 40))
    room.develop(second)
    _, developed, done = room.picture()
    assert developed is second
    assert done == 2
    assert room.take_error() is trouble
    assert room.take_error() is None
    room.close()
    assert told[1] == "developing 0 %"
    assert room.pictures.empty()
    assert room.progress is None


def test_a_stylizer_that_cannot_be_made_is_tried_again_for_the_next_exposure() -> None:
    """Its style pictures may lie on a drive that is away for a while."""
    tries = list[int]()

    def make() -> Stylizer:
        tries.append(1)
        if len(tries) == 1:
            raise Trouble("no picture")
        return Watched()

    room = Room(make, 1)
    room.develop(exposure())
    room.develop(exposure())
    room.picture()
    room.close()
    assert isinstance(room.take_error(), Trouble)
    assert room.pictures.empty()


def test_a_picture_that_cannot_be_kept_is_an_error_too() -> None:
    done = list[int]()

    def keep(pixels: Pixels, exposure: Exposure, iterations: int) -> None:
        done.append(iterations)
        raise Trouble("no space left")

    room = Darkroom(Watched, COMPUTE, iterations=1, keep=keep)
    room.develop(exposure())
    room.develop(exposure())
    room.close()
    assert done == [1, 1]
    assert isinstance(room.take_error(), Trouble)
    assert room.progress is None


# the end


def test_closed_in_the_middle_it_keeps_every_picture_as_it_stands() -> None:
    """Minutes may be left to do; but what people took must not be lost."""
    begun = threading.Event()

    def watch() -> None:
        begun.set()
        assert room._stopping.wait(PATIENCE)

    stylizer = Watched(watch)
    room = Room(lambda: stylizer, 40 * CHUNK)
    exposures = [exposure(), exposure(blobs(30, 40))]
    for one in exposures:
        room.develop(one)
    assert begun.wait(PATIENCE)
    room.close()
    developed = [room.picture() for _ in exposures]
    assert [one for _, one, _ in developed] == exposures
    assert [done for *_, done in developed] == [CHUNK, CHUNK]
    assert [pixels.shape for pixels, *_ in developed] == [one.frame.shape for one in exposures]
    assert difference(developed[0][0], enlarged((45, 60))) > 0.5, "it was not painted on"
    assert room.pictures.empty()
    assert room.progress is None
    assert room.take_error() is None


def test_closing_waits_for_the_picture_in_hand() -> None:
    room = Room(Watched, 2)
    room.develop(exposure())
    room.close()
    assert room.pictures.qsize() == 1


def test_closing_without_any_exposure_or_twice_does_no_harm() -> None:
    def make() -> Stylizer:
        raise AssertionError("never needed")

    room = Room(make, 1)
    room.close()
    room.close()
    assert room.progress is None
    assert room.take_error() is None
    busy = Room(Watched, 1)
    busy.develop(exposure())
    busy.close()
    busy.close()
    assert busy.pictures.qsize() == 1
