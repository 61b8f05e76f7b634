"""The stages that a frame goes through: beside each other, or the first two in turns."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pytest

from nst_video.budget import Budget
from nst_video.controls import Knobs
from nst_video.frame import Frame
from nst_video.painting import Painted, Painting, Prepared, State
from nst_video.pipeline import Channel, Pipeline
from nst_video.settings import StyleSettings
from nst_video.studio import Finished, Read, paint_all
from nst_video.stylizer import Stylizer

pytestmark = pytest.mark.usefixtures("nothing_is_left")

PIXELS = np.zeros((2, 2, 3), np.uint8)
SEEING, ITERATING = 7.0, 0.0


class Recorder:
    """A stylizer that only tells what was asked of it, in which thread; its paintings wait for `hold`."""

    def __init__(self, *, takes_turns: bool) -> None:
        self.takes_turns = takes_turns
        self.asked = list[tuple[str, int, str]]()
        self.painting, self.hold = threading.Event(), threading.Event()
        self.seen = [threading.Event() for _ in range(5)]

    def _note(self, what: str, pixels: Any) -> None:
        self.asked.append((what, int(pixels[0, 0, 0]), threading.current_thread().name))

    def prepare(self, pixels: Any, before: Prepared | None, *, size: int) -> Prepared:
        self._note("prepare", pixels)
        self.seen[pixels[0, 0, 0]].set()
        return Prepared(pixels, cast(Any, None), cast(Any, None), None, seconds={"flow": SEEING})

    def paint(self, prepared: Prepared, *_: object, **__: object) -> tuple[Painting, State]:
        self._note("paint", prepared.pixels)
        self.painting.set()
        assert self.hold.wait(20)
        return Painting(prepared.pixels, prepared.pixels, 1, {}, {"optimize": ITERATING}), cast(State, "a state")

    def finish(self, painting: Painting, _: StyleSettings) -> Painted:
        self._note("finish", painting.frame)
        return Painted(painting.frame, painting.painted, 1, {}, {})

    def of(self, what: str) -> list[int]:
        return [index for asked, index, _ in self.asked if asked == what]

    def threads(self, what: str) -> set[str]:
        return {thread for asked, _, thread in self.asked if asked == what}


def frame(index: int) -> Read:
    return Read(Frame(np.full_like(PIXELS, index), index, index, Fraction(1, 25)), 0.0, 0.0)


def start(pipeline: Pipeline, frames: Channel[Read], stylizer: Recorder, **named: Any) -> Iterator[Finished]:
    knobs = Knobs(StyleSettings(), 32)
    return pipeline.results(
        paint_all(pipeline, frames, cast(Stylizer, stylizer), lambda: knobs, lambda *_: None, **named)
    )


@pytest.mark.parametrize("takes_turns", [False, True])
def test_every_frame_goes_through_all_of_it_in_order(takes_turns: bool) -> None:
    stylizer = Recorder(takes_turns=takes_turns)
    stylizer.hold.set()
    with Pipeline() as pipeline:
        done = list(start(pipeline, pipeline.read([frame(index) for index in range(5)]), stylizer))
    assert [item.frame.index for item in done] == list(range(5))
    assert all(stylizer.of(what) == list(range(5)) for what in ("prepare", "paint", "finish"))
    assert stylizer.threads("prepare") == ({"paint"} if takes_turns else {"prepare"})
    assert stylizer.threads("paint") == {"paint"}
    assert stylizer.threads("finish") == {"finish"}


@pytest.mark.parametrize(("takes_turns", "then"), [(False, [0, 1, 3]), (True, [0, 3])])
def test_in_turns_a_live_frame_is_as_young_as_can_be(takes_turns: bool, then: list[int]) -> None:
    """Beside the painting, the next frame is seen as soon as that has begun, and waits for its end."""
    stylizer = Recorder(takes_turns=takes_turns)

    def live() -> Iterator[Read]:
        yield frame(0)
        assert stylizer.painting.wait(20)
        yield frame(1)
        if not takes_turns:
            assert stylizer.seen[1].wait(20)
        yield frame(2)
        yield frame(3)
        stylizer.hold.set()

    with Pipeline() as pipeline:
        done = list(start(pipeline, pipeline.read(live(), newest=True), stylizer))
    assert [item.frame.index for item in done] == then


@pytest.mark.parametrize("takes_turns", [False, True])
def test_the_budget_counts_what_a_frame_waits_for(takes_turns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    around = list[float]()
    monkeypatch.setattr(Budget, "spent", lambda self, iterations, iterating, more, share: around.append(more))
    stylizer = Recorder(takes_turns=takes_turns)
    stylizer.hold.set()
    with Pipeline() as pipeline:
        frames = pipeline.read([frame(index) for index in range(3)])
        assert len(list(start(pipeline, frames, stylizer, budget=Budget(20)))) == 3
    assert len(around) == 2
    assert all(SEEING * takes_turns <= seconds < SEEING * (takes_turns + 1) for seconds in around)
