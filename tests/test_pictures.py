"""Picture files: every kind of them as RGB, upright; what is damaged, too large or in a row."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from media import blobs, write_png
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nst_video.errors import SourceError
from nst_video.frame import Pixels
from nst_video.pictures import NOTE, in_order, is_numbered, numbered, picture_size, read_mask, read_note, read_picture


def saved(path: Path, picture: Image.Image | Pixels, **options: Any) -> Path:
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path, **options)
    return path


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


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".tiff", ".bmp"])
def test_lossless_kinds_are_read_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    pixels = blobs(6, 7)
    path = saved(tmp_path / f"some{suffix}", pixels, **({"lossless": True} if suffix == ".webp" else {}))
    assert np.array_equal(read_picture(path), pixels)
    assert picture_size(path) == (7, 6)


def test_a_jpeg_is_read_nearly_as_it_was(tmp_path: Path) -> None:
    pixels = blobs(32, 40)
    found = read_picture(saved(tmp_path / "some.jpg", pixels, quality=95))
    assert np.abs(found.astype(np.int32) - pixels).mean() < 5


def test_what_a_file_is_called_does_not_matter(tmp_path: Path) -> None:
    pixels = blobs(6, 7)
    assert np.array_equal(read_picture(saved(tmp_path / "some.jpg", pixels, format="PNG")), pixels)


def test_16_bit_grey_is_scaled_and_not_cut_off(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32896, 65535, 128, 129]], np.uint16)
    wanted = [0, 1, 128, 255, 0, 1]
    for suffix in (".png", ".tif"):
        found = read_picture(saved(tmp_path / f"deep{suffix}", Image.fromarray(values)))
        assert found.dtype == np.uint8
        assert found.shape == (1, 6, 3)
        assert found[0].tolist() == [[value] * 3 for value in wanted]


def test_floats_are_taken_from_nought_to_one_or_to_65535(tmp_path: Path) -> None:
    for values, wanted in (([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 32767.6, 65535.0], [0, 128, 255])):
        path = saved(tmp_path / "float.tif", Image.fromarray(np.array([values], np.float32)))
        assert read_picture(path)[0, :, 1].tolist() == wanted


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    picture.putpalette([10, 20, 30, 200, 100, 50, 0, 255, 0])
    wanted = [[[10, 20, 30], [200, 100, 50]], [[0, 255, 0], [200, 100, 50]]]
    for suffix in (".png", ".gif", ".bmp"):
        assert read_picture(saved(tmp_path / f"few{suffix}", picture)).tolist() == wanted


def test_a_transparent_palette_keeps_its_colours(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    picture.putpalette([10, 20, 30, 200, 100, 50])
    assert read_picture(saved(tmp_path / "few.png", picture, transparency=0)).tolist() == [
        [[10, 20, 30], [200, 100, 50]]
    ]


def test_one_bit_pictures_are_black_and_white(tmp_path: Path) -> None:
    path = saved(tmp_path / "bits.png", Image.fromarray(np.array([[True, False]])))
    assert read_picture(path).tolist() == [[[255] * 3, [0] * 3]]


def test_grey_with_alpha_comes_without(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[[77, 0], [99, 255]]], np.uint8), "LA")
    assert read_picture(saved(tmp_path / "grey.png", picture)).tolist() == [[[77] * 3, [99] * 3]]


def test_cmyk_is_converted(tmp_path: Path) -> None:
    """Of printers: ink takes light away."""
    inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 255]]], np.uint8)
    found = read_picture(saved(tmp_path / "print.tif", Image.fromarray(inks, "CMYK")))
    assert found.tolist() == [[[255, 255, 255], [0, 255, 255], [255, 0, 0], [0, 0, 0]]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_shown_upright_and_the_size_agrees(tmp_path: Path, orientation: int) -> None:
    stored = blobs(6, 10)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "photo.png", stored, exif=exif)
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(stored),
    }[orientation]
    shown = read_picture(path)
    assert np.array_equal(shown, upright)
    assert picture_size(path) == (shown.shape[1], shown.shape[0])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_a_picture_that_was_cut_short_is_damaged(tmp_path: Path, suffix: str) -> None:
    """Not painted grey from there on; its size can still be told."""
    path = saved(tmp_path / f"some{suffix}", blobs(64, 80))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(SourceError, match=rf"some\{suffix} (is damaged: |is not a picture)") as told:
        read_picture(path)
    assert "\n" not in str(told.value)
    if suffix in (".png", ".jpg", ".bmp"):
        assert "is damaged" in str(told.value)
        assert picture_size(path) == (80, 64)


def test_a_png_with_a_flipped_bit_is_damaged(tmp_path: Path) -> None:
    path = saved(tmp_path / "some.png", blobs(64, 80))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"some\.png is damaged"):
        read_picture(path)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_a_picture_with_more_pixels_than_allowed_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """A hundred bytes may claim to be ten gigapixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    wanted = r"bomb\.png has 100000x100000 pixels; --max-pixels allows 80000000"
    for look in (read_picture, picture_size):
        with pytest.raises(SourceError, match=wanted):
            look(tmp_path / "bomb.png")


def test_the_bound_itself_is_allowed_and_one_pixel_more_is_not(tmp_path: Path) -> None:
    path = write_png(tmp_path / "some.png", blobs(6, 7))
    assert read_picture(path, max_pixels=42).shape == (6, 7, 3)
    assert picture_size(path, max_pixels=42) == (7, 6)
    for look in (read_picture, picture_size):
        with pytest.raises(SourceError, match="has 7x6 pixels; --max-pixels allows 41"):
            look(path, max_pixels=41)


def test_more_pixels_than_pillow_likes_are_no_matter_if_they_are_allowed(tmp_path: Path) -> None:
    """Its own bound would be a warning at 90 megapixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0))
    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    assert picture_size(tmp_path / "large.png", max_pixels=400_000_000) == (20_000, 20_000)


# masks


def test_a_mask_is_the_brightness_from_nought_to_one(tmp_path: Path) -> None:
    grey = np.array([[0, 51, 128], [204, 254, 255]], np.uint8)
    for mask in (grey, np.repeat(grey[..., None], 3, axis=2)):
        found = read_mask(saved(tmp_path / "mask.png", mask))
        assert found.dtype == np.float32
        assert found == pytest.approx(grey / 255, abs=1e-6)


def test_colours_of_a_mask_count_as_bright_as_they_look(tmp_path: Path) -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]]], np.uint8)
    assert read_mask(saved(tmp_path / "mask.png", colours))[0] == pytest.approx([0.299, 0.587, 0.114, 0.886], abs=0.01)


def test_a_mask_of_16_bits_is_not_cut_off(tmp_path: Path) -> None:
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    found = read_mask(saved(tmp_path / "mask.png", Image.fromarray(deep)))
    assert found[0] == pytest.approx(np.array([0, 1, 128, 255]) / 255, abs=1e-6)


def test_a_mask_of_one_bit_is_black_and_white(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.png", Image.fromarray(np.array([[True, False]])))
    assert read_mask(path).tolist() == [[1, 0]]


def test_a_mask_is_turned_upright_like_any_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "mask.png", np.array([[0, 51, 255]], np.uint8), exif=exif)
    assert read_mask(path) == pytest.approx(np.array([[0], [0.2], [1]]), abs=1e-6)


def test_of_a_mask_what_is_transparent_is_black(tmp_path: Path) -> None:
    colours = np.array([[[255, 255, 255, 0], [255, 255, 255, 51], [255, 255, 255, 255], [0, 0, 0, 255]]], np.uint8)
    assert read_mask(saved(tmp_path / "mask.png", colours)) == pytest.approx(np.array([[0, 0.2, 1, 0]]), abs=1e-6)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_a_black_mask_is_refused_by_its_name(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"mask{suffix}", np.zeros((8, 8), np.uint8))
    with pytest.raises(SourceError, match=rf"mask\{suffix} is black all over: nothing would be painted"):
        read_mask(path)


def test_a_mask_that_is_hardly_white_is_a_mask(tmp_path: Path) -> None:
    hardly = np.zeros((8, 8), np.uint8)
    hardly[3, 4] = 1
    assert read_mask(saved(tmp_path / "mask.png", hardly)).sum() == pytest.approx(1 / 255)


def test_a_mask_that_is_not_there_is_no_picture_or_too_large_is_told(tmp_path: Path, text_as_video: Path) -> None:
    with pytest.raises(SourceError, match=r"no picture .*gone\.png"):
        read_mask(tmp_path / "gone.png")
    with pytest.raises(SourceError, match=r"text\.mp4 is not a picture"):
        read_mask(text_as_video)
    with pytest.raises(SourceError, match="has 8x8 pixels; --max-pixels allows 63"):
        read_mask(saved(tmp_path / "mask.png", np.ones((8, 8), np.uint8)), max_pixels=63)


# notes


@pytest.mark.parametrize("zipped", [False, True])
def test_a_note_in_a_png_is_read(tmp_path: Path, zipped: bool) -> None:
    notes = PngInfo()
    notes.add_text("Software", "another")
    notes.add_text(NOTE, "Größe ★", zip=zipped)
    assert read_note(saved(tmp_path / "some.png", blobs(6, 7), pnginfo=notes)) == "Größe ★"


def test_a_note_is_read_though_the_pixels_are_damaged(tmp_path: Path) -> None:
    """It stands before them."""
    notes = PngInfo()
    notes.add_text(NOTE, "painted")
    path = saved(tmp_path / "some.png", blobs(64, 80), pnginfo=notes)
    path.write_bytes(path.read_bytes()[:500])
    assert read_note(path) == "painted"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp", ".gif"])
def test_a_picture_without_a_note_has_none(tmp_path: Path, suffix: str) -> None:
    assert read_note(saved(tmp_path / f"some{suffix}", blobs(6, 7))) is None


def test_a_note_in_no_picture_is_an_error(tmp_path: Path, text_as_video: Path) -> None:
    with pytest.raises(SourceError, match=r"no picture .*gone\.png"):
        read_note(tmp_path / "gone.png")
    with pytest.raises(SourceError, match=r"text\.mp4 is not a picture"):
        read_note(text_as_video)


# in a row


def touched(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).touch()
    return [folder / name for name in names]


def test_numbered_files_are_found_by_their_numbers_from_whichever_on(tmp_path: Path) -> None:
    touched(tmp_path, "f00010.png", "f00007.png", "f00009.png", "g00008.png", "f00008.jpg", "f8.png", "f00008.png.bak")
    assert [path.name for path in numbered(tmp_path / "f%05d.png")] == ["f00007.png", "f00009.png", "f00010.png"]


def test_numbers_may_have_more_digits_than_asked_for(tmp_path: Path) -> None:
    touched(tmp_path, "998.png", "999.png", "1000.png", "12.png")
    assert [path.name for path in numbered(tmp_path / "%03d.png")] == ["998.png", "999.png", "1000.png"]


def test_numbers_without_noughts_are_counted_not_spelt(tmp_path: Path) -> None:
    touched(tmp_path, "a1b.png", "a10b.png", "a9b.png", "ab.png")
    assert [path.name for path in numbered(tmp_path / "a%db.png")] == ["a1b.png", "a9b.png", "a10b.png"]


def test_what_stands_around_the_number_is_taken_literally(tmp_path: Path) -> None:
    touched(tmp_path, "a.(1)+.png", "ax(2)+.png", "a.3.png")
    assert [path.name for path in numbered(tmp_path / "a.(%d)+.png")] == ["a.(1)+.png"]


def test_names_are_ordered_as_people_count(tmp_path: Path) -> None:
    paths = touched(tmp_path, "f10.png", "f9.png", "f1-2.png", "f1-10.png", "e99.png", "cover.png", "07.png")
    assert [path.name for path in in_order(paths)] == [
        "07.png", "cover.png", "e99.png", "f1-2.png", "f1-10.png", "f9.png", "f10.png"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("%05d.png", True), ("a%db", True), ("%0d.png", True), ("100%.png", False), ("%s.png", False), ("5d.png", False)],
)
def test_a_name_that_stands_for_many_has_a_place_for_a_number(name: str, wanted: bool) -> None:
    assert is_numbered(name) is wanted
