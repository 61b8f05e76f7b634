"""Pictures from files, to tensors and back, and their sizes."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from media import blobs, write_png

from nst_video.errors import SourceError
from nst_video.image import fit, resize, resize_pixels, to_image, to_pixels
from nst_video.pictures import read_picture


def test_a_png_is_read_as_rgb(tmp_path: Path) -> None:
    pixels = np.zeros((4, 5, 3), np.uint8)
    pixels[..., 0] = 200  # red
    bgr = np.zeros((4, 5, 3), np.uint8)
    bgr[..., 2] = 200
    assert cv2.imwrite(str(tmp_path / "red.png"), bgr)
    assert np.array_equal(read_picture(tmp_path / "red.png"), pixels)


def test_names_outside_ascii_are_read(tmp_path: Path) -> None:
    pixels = blobs(6, 7)
    write_png(tmp_path / "plain.png", pixels).rename(tmp_path / "Gemälde ★.png")
    assert np.array_equal(read_picture(tmp_path / "Gemälde ★.png"), pixels)


def test_grey_and_transparent_pictures_come_with_three_channels(tmp_path: Path) -> None:
    grey = np.full((4, 5), 77, np.uint8)
    assert cv2.imwrite(str(tmp_path / "grey.png"), grey)
    assert np.array_equal(read_picture(tmp_path / "grey.png"), np.full((4, 5, 3), 77))
    bgra = np.full((4, 5, 4), (10, 20, 30, 128), np.uint8)
    assert cv2.imwrite(str(tmp_path / "alpha.png"), bgra)
    assert np.array_equal(read_picture(tmp_path / "alpha.png"), np.full((4, 5, 3), (30, 20, 10)))


def test_a_photo_is_turned_upright_by_its_exif_tag(tmp_path: Path) -> None:
    """Orientation 6: the camera was held on its side, the stored picture's left is shown at the top."""
    stored = np.zeros((40, 64, 3), np.uint8)
    stored[:, :32] = 255
    done, data = cv2.imencode(".jpg", stored)
    assert done
    tag = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)  # orientation, one SHORT
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + tag + struct.pack("<I", 0)
    exif = b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(tiff)) + b"Exif\0\0" + tiff
    jpeg = data.tobytes()
    (tmp_path / "photo.jpg").write_bytes(jpeg[:2] + exif + jpeg[2:])
    shown = read_picture(tmp_path / "photo.jpg")
    assert shown.shape == (64, 40, 3)
    assert shown[:28].min() > 200
    assert shown[36:].max() < 50


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_an_error_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.png"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"some\.png"):
        read_picture(path)


def test_a_missing_file_and_a_folder_are_errors_that_name_them(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no picture .*nowhere\.png"):
        read_picture(tmp_path / "nowhere.png")
    with pytest.raises(SourceError, match=tmp_path.name):
        read_picture(tmp_path)


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
