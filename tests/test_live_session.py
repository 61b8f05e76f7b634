"""Live pictures without a window: what is painted, what is left out, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sessions import lines, quietly, searched_whole

from nst_video import live_session
from nst_video.budget import Budget
from nst_video.darkroom import Darkroom
from nst_video.device import Compute
from nst_video.errors import SinkError, SourceError
from nst_video.frame import Frame
from nst_video.live_session import run_live
from nst_video.networks import FeatureNetwork
from nst_video.report import Progress
from nst_video.settings import LiveConfig, StyleSettings
from nst_video.sources import PlayedFile, VideoFile
from nst_video.stylizer import Stylizer
from nst_video.weights import load_network

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture
def live(style: Path, silent: Path) -> Callable[..., LiveConfig]:
    def config(**given: Any) -> LiveConfig:
        quick = {"size": 32, "iterations": 1, "device": "cpu", "headless": True, **given}
        return LiveConfig(**{"source": str(silent), "style": (style,), **quick})

    return config


def test_live_paints_what_the_source_shows_until_it_ends(live: Callable[..., LiveConfig], tmp_path: Path) -> None:
    told = list[Progress]()
    summary = run_live(live(log_json=tmp_path / "log.jsonl"), StyleSettings(), told.append)
    log = lines(tmp_path / "log.jsonl")
    assert summary.painted == len(log) == len(told) > 0
    assert summary.painted + summary.dropped == 8
    assert summary.iterations == summary.painted
    assert [line["index"] for line in log] == sorted({line["index"] for line in log})
    assert 0 < summary.delay < 10
    assert summary.fps > 0
    assert log[0]["seconds"].keys() == {"read", "prepare", "flow", "upload", "carry", "look", "optimize", "color"}
    assert all(line["delay"] > 0 for line in log)


def test_live_leaves_out_what_comes_while_another_frame_is_painted(
    live: Callable[..., LiveConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read, paint = threading.Event(), Stylizer.paint

    def at_once(self: VideoFile) -> Iterator[Frame]:
        yield from VideoFile.__iter__(self)
        read.set()

    def slowly(*given: Any, **named: Any) -> Any:
        assert read.wait(20)  # the whole clip goes by
        return paint(*given, **named)

    monkeypatch.setattr(PlayedFile, "__iter__", at_once)
    monkeypatch.setattr(Stylizer, "paint", slowly)
    summary = run_live(live(log_json=tmp_path / "log"), StyleSettings(), quietly)
    indices = [line["index"] for line in lines(tmp_path / "log")]
    assert indices[-1] == 7  # the newest
    assert summary.painted == len(indices) <= 3
    assert summary.dropped == 8 - summary.painted


def test_loading_leaves_the_threads_to_the_painting(
    live: Callable[..., LiveConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenMP's workers sleep between their tasks if there are more of them than cores."""
    before, found, load, paint = torch.get_num_threads(), list[int](), load_network, Stylizer.paint

    def loaded(*given: Any, **named: Any) -> FeatureNetwork:
        found.append(torch.get_num_threads())
        return load(*given, **named)

    def painted(*given: Any, **named: Any) -> Any:
        made = paint(*given, **named)
        found.append(torch.get_num_threads())
        return made

    monkeypatch.setattr("nst_video.studio.load_network", loaded)
    monkeypatch.setattr(Stylizer, "paint", painted)
    try:
        run_live(live(frames=2, threads=3), StyleSettings(), quietly)
    finally:
        torch.set_num_threads(before)
    assert found == [1, *[3] * (len(found) - 1)]
    assert len(found) > 2


@pytest.mark.parametrize(("given", "at_a_glance"), [(0, True), (1, True), (3, False)])
def test_live_sees_at_a_glance_what_it_has_little_time_for(
    given: int, at_a_glance: bool, live: Callable[..., LiveConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searching whole frames for flow takes half of an iteration, and more."""
    searched = searched_whole(monkeypatch)
    run_live(live(frames=2, iterations=given, size=176), StyleSettings(), quietly)
    assert set(searched) == {not at_a_glance}


def test_live_stops_after_so_many_frames(live: Callable[..., LiveConfig]) -> None:
    assert run_live(live(frames=2), StyleSettings(), quietly).painted == 2


def test_live_ends_with_ctrl_c(live: Callable[..., LiveConfig]) -> None:
    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    summary = run_live(live(), StyleSettings(), interrupt)
    assert summary.interrupted
    assert summary.painted == 1


def test_live_takes_what_the_budget_allows(
    live: Callable[..., LiveConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spent = list[tuple[int, float, float, float]]()

    class Two:
        def __init__(self, target_fps: float) -> None:
            assert target_fps == pytest.approx(24000 / 1001)  # the clip has no more

        def iterations(self, share: float) -> int:
            assert share == 1  # so small a picture is painted as a whole
            return 3 if spent else 2

        def spent(self, *given: Any) -> None:
            spent.append(given)

    monkeypatch.setattr(live_session, "Budget", Two)
    run_live(live(iterations=0, target_fps=30.0, frames=3, log_json=tmp_path / "log"), StyleSettings(), quietly)
    assert [line["iterations"] for line in lines(tmp_path / "log")] == [2, 2, 3]
    assert all(
        count in (2, 3) and iterating > 0 and around > 0 and share == 1 for count, iterating, around, share in spent
    )


def test_snapshots_are_developed_aside(live: Callable[..., LiveConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    """A second team of threads would hold up the live picture's, on two cores, for as long as it lives."""
    made = list[tuple[Stylizer, Compute]]()

    class Shown(Darkroom):
        def __init__(self, develops: Callable[[], Stylizer], compute: Compute, **given: Any) -> None:
            made.append((develops(), compute))
            super().__init__(develops, compute, **given)

    monkeypatch.setattr(live_session, "Darkroom", Shown)
    aside = Compute(torch.device("cpu"), torch.float32, "aside")
    monkeypatch.setattr(Compute, "aside", aside)
    run_live(live(frames=1), StyleSettings(), quietly)
    ((stylizer, compute),) = made
    assert stylizer._compute is compute is aside


def test_an_error_while_painting_live_is_raised(
    live: Callable[..., LiveConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Stylizer, "finish", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        run_live(live(), StyleSettings(), quietly)


def test_the_log_of_live_takes_no_place_of_what_is_read(live: Callable[..., LiveConfig], tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"precious")
    config = live()
    for path in (weights, Path(config.source or ""), *config.style):
        before = path.read_bytes()
        with pytest.raises(SinkError, match="it is the input"):
            run_live(replace(config, weights=weights, log_json=path), StyleSettings(), quietly)
        assert path.read_bytes() == before


def test_the_budget_does_not_count_the_first_frame_which_waits_for_much(
    live: Callable[..., LiveConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = list[int]()
    monkeypatch.setattr(Budget, "spent", lambda self, iterations, *_: spent.append(iterations))
    assert run_live(live(iterations=0, frames=3), StyleSettings(), quietly).painted == 3
    assert len(spent) >= 2
    assert len(spent) <= 4  # one more may be on its way when the third is done


def test_live_needs_a_source_that_is_there(live: Callable[..., LiveConfig]) -> None:
    with pytest.raises(SourceError, match=r"no video file gone\.mp4"):
        run_live(replace(live(), source="gone.mp4"), StyleSettings(), quietly)
