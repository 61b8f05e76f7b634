"""Pictures to tensors and back, and their sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from media import blobs

from nst_video.image import fit, resize, resize_pixels, to_image, to_pixels


def test_every_byte_survives_the_way_to_a_tensor_and_back() -> None:
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    image = to_image(pixels)
    assert image.shape == (1, 3, 16, 16)
    assert image.dtype == torch.float32
    assert image.min() == 0
    assert image.max() == 1
    assert np.array_equal(to_pixels(image), pixels)


def test_channels_rows_and_columns_keep_their_places() -> None:
    pixels = blobs(5, 8)
    image = to_image(pixels)
    assert image[0, 2, 3, 6].item() == pytest.approx(pixels[3, 6, 2] / 255)


def test_a_view_with_negative_strides_is_taken() -> None:
    pixels = blobs(5, 8)
    assert np.array_equal(to_pixels(to_image(pixels[:, ::-1])), pixels[:, ::-1])


def test_the_given_pixels_stay_untouched() -> None:
    pixels = blobs(5, 8)
    to_image(pixels).zero_()
    assert np.array_equal(pixels, blobs(5, 8))


def test_values_are_rounded_and_clamped_not_wrapped() -> None:
    image = torch.tensor([-0.5, 1.5, 0.4999 / 255, 0.5001 / 255, 254.6 / 255, float(torch.tensor(100.4 / 255))])
    assert to_pixels(image.view(1, 1, 1, 6).expand(1, 3, 1, 6))[0, :, 0].tolist() == [0, 255, 0, 1, 255, 100]


@pytest.mark.parametrize(
    ("height", "width", "longer", "wanted"),
    [
        (480, 640, 320, (240, 320)),
        (640, 480, 320, (320, 240)),
        (100, 100, 64, (64, 64)),
        (33, 47, 64, (45, 64)),
        (40, 640, 64, (16, 64)),
        (640, 40, 64, (64, 16)),
        (1, 1, 32, (32, 32)),
    ],
)
def test_fit_scales_the_longer_side_and_keeps_the_shape(
    height: int, width: int, longer: int, wanted: tuple[int, int]
) -> None:
    assert fit(height, width, longer) == wanted


@given(height=st.integers(1, 5000), width=st.integers(1, 5000), longer=st.integers(16, 2000))
def test_fit_never_gives_a_side_under_16_pixels(height: int, width: int, longer: int) -> None:
    sides = fit(height, width, longer)
    assert min(sides) >= 16
    assert max(sides) == longer


def test_resize_leaves_a_fitting_image_as_it_is() -> None:
    image = torch.rand(1, 3, 6, 8)
    assert resize(image, (6, 8)) is image


@pytest.mark.parametrize("size", [(13, 40), (4, 5), (24, 16)])
def test_resize_gives_the_size_and_stays_in_range(size: tuple[int, int]) -> None:
    """Bicubic interpolation overshoots at hard edges."""
    image = torch.zeros(1, 3, 12, 16)
    image[..., 5:] = 1
    resized = resize(image, size)
    assert resized.shape == (1, 3, *size)
    assert resized.min() >= 0
    assert resized.max() <= 1


def test_shrinking_averages_instead_of_skipping() -> None:
    """Without antialiasing a checkerboard becomes stripes or a flat colour that is not its mean."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    board = ((x + y) % 2).float().expand(1, 3, -1, -1)
    small = resize(board, (15, 15))
    assert (small[..., 2:-2, 2:-2] - 0.5).abs().max() < 0.05


def test_resizing_keeps_the_middle_in_the_middle() -> None:
    ramp = torch.linspace(0, 1, 32).expand(1, 3, 32, 32)
    assert torch.allclose(resize(ramp, (16, 16)).flip(3), 1 - resize(ramp, (16, 16)), atol=1e-5)


def test_pixels_are_averaged_when_shrinking_and_smooth_when_enlarging() -> None:
    board = np.zeros((8, 12, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 200
    assert np.array_equal(resize_pixels(board, (4, 6)), np.full((4, 6, 3), 100))
    assert resize_pixels(board, (8, 12)) is board
    step = np.zeros((4, 4, 3), np.uint8)
    step[:, 2:] = 200
    assert len(np.unique(resize_pixels(step, (16, 16)))) > 4
