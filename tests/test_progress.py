"""The progress bar: a bar at a terminal, a line now and then elsewhere, nothing when it is to be quiet."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from nst_video.progress import EVERY_S, ProgressBar
from nst_video.report import Progress

Told = Callable[[], list[str]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the time."""
    now = 100.0

    def put(seconds: float) -> None:
        nonlocal now
        now = 100.0 + seconds

    monkeypatch.setattr("nst_video.progress.time.monotonic", lambda: now)
    return put


def progress(done: int, total: int | None = 10) -> Progress:
    return Progress(done, total, {"total": 0.1234})


def test_without_a_terminal_a_line_every_few_seconds_and_one_at_the_end(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressBar("frame", quiet=False) as bar:
        for done, seconds in ((1, 1.0), (2, EVERY_S + 1), (3, EVERY_S + 2), (10, EVERY_S + 5)):
            clock(seconds)
            bar(progress(done))
    out, err = capsys.readouterr()
    assert out == ""
    first, last = err.splitlines()
    assert first.startswith("2 of 10 frames, 0.3 a second, 24 s left, ")
    assert last.startswith("10 of 10 frames, 1.0 a second, 0 s left, ")
    assert "0.1234" in last


def test_an_unknown_length_is_not_made_up(clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("frame", quiet=False) as bar:
        clock(EVERY_S * 2)
        bar(progress(5, None))
    assert capsys.readouterr().err.startswith("5 frames, 0.5 a second, ")


def test_nothing_done_yet_is_no_division_by_zero(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressBar("frame", quiet=False) as bar:
        clock(EVERY_S * 2)
        bar(Progress(0, 10, {"total": 0.5}, "first frame: 10 of 150 iterations"))
    assert "first frame: 10 of 150 iterations" in capsys.readouterr().err


def test_quiet_is_quiet(clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("frame", quiet=True) as bar:
        clock(100)
        bar(progress(10))
    assert capsys.readouterr() == ("", "")


def test_at_a_terminal_there_is_a_bar_that_is_closed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with ProgressBar("frame", quiet=False) as bar:
        bar(progress(4))
        assert bar._bar is not None
        assert (bar._bar.n, bar._bar.total) == (4, 10)
        bar(progress(10))
        assert bar._bar.n == 10
    assert bar._bar.disable
    out, err = capsys.readouterr()
    assert out == ""
    assert "10/10" in err
    assert "0.1234" in err


TERMS = {"total": 3.5, "content": 1.25, "style": 2.0, "tv": 0.000123456, "temporal": 0.0}


@pytest.mark.parametrize(
    ("unit", "told"),
    [("iteration", "loss 3.5 (content 1.25, style 2, tv 0.0001235)"), ("frame", "loss 3.5")],
)
def test_iterations_show_the_terms_of_the_loss_and_frames_do_not(
    clock: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    unit: str,
    told: str,
) -> None:
    with ProgressBar(unit, quiet=False) as bar:
        clock(EVERY_S * 2)
        bar(Progress(10, 20, TERMS))
    assert capsys.readouterr().err.endswith(f", {told}\n")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with ProgressBar(unit, quiet=False) as bar:
        bar(Progress(10, 20, TERMS))
        assert bar._bar is not None
        assert bar._bar.postfix == told


def test_a_loss_without_terms_is_a_loss(clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]) -> None:
    for losses in ({"total": 2.0}, {"total": 2.0, "style": 0.0, "tv": 0.0}):
        with ProgressBar("iteration", quiet=False) as bar:
            clock(EVERY_S * 2)
            bar(Progress(10, 10, losses))
        assert capsys.readouterr().err.endswith(", loss 2\n")


def test_a_remark_stands_in_the_place_of_the_loss(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressBar("iteration", quiet=False) as bar:
        clock(EVERY_S * 2)
        bar(Progress(1, 10, TERMS, "a remark"))
    err = capsys.readouterr().err
    assert err.endswith(", a remark\n")
    assert "loss" not in err
