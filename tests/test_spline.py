"""Images between their pixels: what is met stays, no wave grows, and it is the spline that a textbook would solve."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nst_video.spline import Spline, in_bands, put_together


def places(height: int, width: int, x: float = 0.0, y: float = 0.0) -> Tensor:
    """Those of all pixels, moved."""
    rows, columns = torch.meshgrid(torch.arange(height) + float(y), torch.arange(width) + float(x), indexing="ij")
    return torch.stack((columns, rows))[None].float()


def dice(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def test_a_pixel_that_is_met_is_what_it_was() -> None:
    image = dice(1, 3, 20, 30)
    assert torch.allclose(Spline(image).at(places(20, 30)), image, atol=3e-4)
    assert torch.allclose(Spline(image).at(places(20, 30, x=2, y=-1))[..., 1:, :-2], image[..., :-1, 2:], atol=3e-4)


@given(at=st.lists(st.floats(0, 39), min_size=1, max_size=8))
def test_between_pixels_it_is_the_spline_through_them(at: list[float]) -> None:
    """Through equations that are solved as they stand, the edge being repeated far beyond the border."""
    line, beyond = dice(40), 30
    known = np.pad(line.double().numpy(), beyond, mode="edge")
    weights = np.eye(len(known)) * 4 / 6 + (np.eye(len(known), k=1) + np.eye(len(known), k=-1)) / 6
    weights[0, 0] = weights[-1, -1] = 5 / 6
    coefficients = np.linalg.solve(weights, known)

    def spline(x: float) -> float:
        def weight(far: float) -> float:
            return 2 / 3 - far**2 + far**3 / 2 if far < 1 else max(0.0, 2 - far) ** 3 / 6

        return float(sum(c * weight(abs(x + beyond - i)) for i, c in enumerate(coefficients)))

    asked = torch.tensor(at)[None, None, None]
    wanted = torch.tensor([spline(x) for x in asked.flatten().tolist()], dtype=torch.float32)
    row = line[None, None, None].expand(1, 2, 5, 40)
    across = Spline(row).at(torch.cat((asked, torch.full_like(asked, 2)), dim=1))
    assert torch.allclose(across[0, 1, 0], wanted, atol=5e-4)
    down = Spline(row.transpose(2, 3)).at(torch.cat((torch.full_like(asked, 2), asked), dim=1))
    assert torch.allclose(down[0, 0, 0], wanted, atol=5e-4)


@given(turn=st.floats(0.05, math.pi), shift=st.floats(0, 1))
def test_no_wave_grows(turn: float, shift: float) -> None:
    wave = torch.sin(torch.arange(200) * turn).expand(1, 1, 6, 200)
    moved = Spline(wave).at(places(6, 200, x=shift, y=1 - shift))[..., 20:-20]
    assert moved.square().mean() < wave[..., 20:-20].square().mean() * 1.02 + 1e-3  # the waves in it are not all whole


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_what_is_carried_on_and_on_does_not_grow(shift: float) -> None:
    """What is cut off of the filter would add up."""
    image = carried = dice(1, 1, 40, 60)
    for index in range(300):
        carried = Spline(carried).at(places(40, 60, x=shift if index % 2 else -shift))
    assert carried.std() < 1.001 * image.std()


def test_what_is_carried_a_hundred_times_keeps_its_detail() -> None:
    x = torch.arange(64.0)
    image = (0.5 + 0.4 * torch.sin(2 * math.pi * x / 8)).expand(1, 1, 8, 64)
    carried = image
    for index in range(100):
        carried = Spline(carried).at(places(8, 64, x=0.4 if index % 2 else -0.4))
    middle = carried[..., 16:-16]
    assert middle.std() > 0.85 * image[..., 16:-16].std()  # linear interpolation: less than a tenth
    assert middle.std() < 1.01 * image[..., 16:-16].std()


def test_beyond_the_border_its_edge_is_repeated() -> None:
    image = dice(1, 2, 8, 9)
    assert torch.allclose(Spline(image).at(places(8, 9, x=100)), image[..., -1:].expand(1, 2, 8, 9), atol=1e-3)
    assert torch.allclose(Spline(image).at(places(8, 9, y=-100)), image[..., :1, :].expand(1, 2, 8, 9), atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 1, 7), (1, 1, 5, 2)])
def test_small_images(shape: tuple[int, int, int, int]) -> None:
    image = dice(*shape)
    where = places(*shape[2:])
    given_places = where.clone()
    assert torch.allclose(Spline(image).at(where), image, atol=3e-4)
    assert torch.equal(where, given_places)  # neither is changed
    assert torch.equal(image, dice(*shape))


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [(12, 20), (7, 11), (1, 1)])
def test_what_is_looked_up_does_not_depend_on_the_threads(threads: int, size: tuple[int, int]) -> None:
    """Each of them looks up a part; a film must come out the same on another machine's next run."""
    image, where = dice(1, 3, *size), 3 * dice(1, 2, *size)
    alone, before = Spline(image).at(where), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        parts = in_bands(where)
        assert torch.equal(Spline(image).at(where), alone)
    finally:
        torch.set_num_threads(before)
    assert len(parts) == max(number for number in range(1, threads + 1) if size[0] * size[1] % number == 0)
    assert torch.equal(put_together(parts, *size), where)
