"""Masks at the sizes of images, and what they mean to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nst_video.masks import Masks


def image(height: int, width: int) -> torch.Tensor:
    return torch.zeros(1, 3, height, width)


def test_without_any_there_is_nothing_to_tell() -> None:
    masks, some = Masks([]), image(4, 6)
    assert len(masks) == 0
    assert masks.fitted(some) is masks.free(some) is masks.together(some) is None


@given(
    of=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    to=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    values=st.lists(st.integers(0, 255).map(lambda level: level / 255), min_size=1, max_size=3),
)
def test_an_even_mask_is_as_even_at_any_size(of: tuple[int, int], to: tuple[int, int], values: list[float]) -> None:
    masks, some = Masks([np.full(of, value, np.float32) for value in values]), image(*to)
    fitted, free, together = masks.fitted(some), masks.free(some), masks.together(some)
    assert fitted is not None
    assert free is not None
    assert together is not None
    assert fitted.shape == (len(values), 1, *to)
    for mask, value in zip(fitted, values, strict=True):
        assert mask.flatten().tolist() == pytest.approx([value] * mask.numel(), abs=1e-6)
    assert bool(free.all()) == bool(free.any()) == (max(values) > 0)
    assert together.flatten().tolist() == pytest.approx([min(1.0, sum(values))] * together.numel(), abs=1e-6)


def test_a_mask_that_shrinks_is_averaged() -> None:
    checks = np.indices((8, 8)).sum(0) % 2
    fitted = Masks([checks.astype(np.float32)]).fitted(image(2, 4))
    assert fitted is not None
    assert fitted.flatten().tolist() == [0.5] * 8


def test_those_of_the_last_two_sizes_are_kept() -> None:
    masks = Masks([np.ones((8, 8), np.float32)])
    first, second = masks.fitted(image(4, 4)), masks.fitted(image(6, 6))
    assert masks.fitted(image(4, 4)) is first
    masks.fitted(image(5, 5))
    assert masks.fitted(image(6, 6)) is second
    assert masks.fitted(image(4, 4)) is not first
