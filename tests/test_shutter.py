"""What moves fast is shown blurred along its way; what stands, or moves as the camera does, stays crisp."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nst_video.shutter import exposed

DICE = np.random.default_rng(0)
NOISE = DICE.integers(0, 256, (48, 64, 3), np.uint8)


def flow(x: float, y: float = 0.0) -> NDArray[np.float32]:
    """A still picture, in whose middle something has come by so many pixels."""
    flow = np.zeros((2, 48, 64), np.float32)
    flow[:, 16:32, 20:44] = np.array([x, y])[:, None, None]
    return flow


def test_what_moves_is_blurred_and_what_stands_is_not() -> None:
    shown = exposed(NOISE, flow(-8), 0.5)
    moving = np.zeros((48, 64), np.bool_)
    moving[16:32, 20:44] = True
    assert np.array_equal(shown[~moving], NOISE[~moving])
    assert shown[moving].std() < 0.8 * NOISE[moving].std()


def test_it_is_blurred_along_its_way_alone() -> None:
    stripes = np.broadcast_to(DICE.integers(0, 256, (48, 1, 3), np.uint8), (48, 64, 3)).copy()
    assert np.array_equal(exposed(stripes, flow(-8), 0.5), stripes)
    assert not np.array_equal(exposed(stripes, flow(0, -8), 0.5), stripes)


def test_it_stays_where_it_is() -> None:
    """A dot on its way becomes a line with the dot in its middle, as bright as the dot was."""
    dot = np.zeros((48, 64, 3), np.uint8)
    dot[24, 32] = 200
    shown = exposed(dot, flow(-8), 0.5).astype(np.float64)[..., 0]
    assert abs(shown.sum() - 200) < 4
    assert (shown * np.arange(64)).sum() / shown.sum() == 32
    assert shown[24, 32] == shown.max()


def test_however_fast_it_is_a_dot_becomes_one_line() -> None:
    bar = np.zeros((48, 64, 3), np.uint8)
    bar[:, 31:34] = 255
    shown = exposed(bar, np.broadcast_to(np.array([20, 0], np.float32)[:, None, None], (2, 48, 64)), 0.5)[24, :, 0]
    (lit,) = np.nonzero(shown)
    assert 8 <= len(lit) <= 14
    assert np.array_equal(lit, np.arange(lit[0], lit[-1] + 1))


def test_a_shutter_that_is_hardly_open_and_what_hardly_moves_blur_nothing() -> None:
    assert exposed(NOISE, flow(-8), 0.0) is NOISE
    assert exposed(NOISE, flow(-0.3), 0.5) is NOISE
