"""How many iterations a frame may take, told with made-up times."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nst_video.budget import Budget


def settle(budget: Budget, each: float, around: float, frames: int = 200) -> list[int]:
    counts = []
    for _ in range(frames):
        counts.append(budget.iterations())
        budget.spent(counts[-1], counts[-1] * each, around)
    return counts


def test_it_begins_with_one() -> None:
    assert Budget(20).iterations() == 1


@given(fps=st.floats(1, 60), each=st.floats(0.001, 0.2), around=st.floats(0, 0.05))
def test_it_takes_as_many_as_fit_and_one_at_least(fps: float, each: float, around: float) -> None:
    last = settle(Budget(fps), each, around)[-1]
    fitting = max(1.0, (1 / fps - around) / each)
    assert last >= 1
    assert fitting - 1.01 <= last <= fitting + 0.01


@given(share=st.floats(0, 1), each=st.floats(0.002, 0.02))
def test_on_a_part_of_a_picture_more_of_them_fit(share: float, each: float) -> None:
    """Whatever the frames before were done on: it knows what an iteration takes, on all or on part of them."""
    budget = Budget(10)
    for index in range(200):
        on = share if index % 3 else 1.0
        count = budget.iterations(on)
        budget.spent(count, count * each * (0.25 + 0.75 * on), 0.01, on)
    for on in (share, 1.0):
        fitting = 0.09 / (each * (0.25 + 0.75 * on))
        assert max(1, fitting) - 1.01 <= budget.iterations(on) <= max(1, fitting) + 0.01
    assert budget.iterations(share) >= budget.iterations()


def test_where_not_even_one_fits_a_part_gets_one() -> None:
    budget = Budget(10)
    settle(budget, 0.4, 0.01)
    assert budget.iterations(1.0) == budget.iterations(0.5) == 1


def test_a_hiccup_is_not_seen_and_a_change_of_load_is() -> None:
    budget = Budget(20)
    assert settle(budget, 0.005, 0.005)[-1] in (8, 9)
    budget.spent(9, 0.25, 0.1)  # one frame takes ten times as long
    assert budget.iterations() >= 4
    settle(budget, 0.005, 0.005)
    slower = settle(budget, 0.015, 0.005)
    assert slower[-1] in (2, 3)
    assert max(slower[20:]) <= 4  # within a second


def test_it_never_jumps() -> None:
    counts = settle(Budget(10), 0.002, 0.0)
    assert counts[-1] in (49, 50)
    assert all(after - before <= 8 for before, after in pairwise(counts))


@pytest.mark.parametrize("fps", [0.1, 1000])
def test_rates_at_the_bounds_work(fps: float) -> None:
    assert settle(Budget(fps), 0.01, 0.01)[-1] >= 1
