"""Picture files: read, and written whole or not at all."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from nst_video.errors import SourceError
from nst_video.frame import Mask, Pixels
from nst_video.settings import MAX_PIXELS

NOTE = "nst_video"
"""The text chunk of a PNG that says how it was painted."""
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")

Image.MAX_IMAGE_PIXELS = None  # sizes are checked here, before anything is decoded


def read_picture(path: Path, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The picture in a file, upright by its EXIF tag, without alpha.

    Raises:
        SourceError: there is no such file, it is no picture, a damaged one, or one of more than `max_pixels`.
    """
    with _opened(path, max_pixels) as picture:
        try:
            picture.load()
            return _pixels(ImageOps.exif_transpose(picture))
        except Exception as error:  # Pillow has no common one for what a damaged file may do to a decoder
            raise SourceError(f"{path} is damaged: {_one_line(error)}") from None


def read_mask(path: Path, *, max_pixels: int = MAX_PIXELS) -> Mask:
    """The brightness of the picture in a file: 0 black or transparent, 1 white.

    Raises:
        SourceError: as `read_picture`; it is black all over.
    """
    grey = np.asarray(Image.fromarray(read_picture(path, max_pixels=max_pixels)).convert("L"), np.float32)
    with _opened(path, max_pixels) as picture:
        if picture.has_transparency_data:
            alpha = ImageOps.exif_transpose(picture).convert("RGBA").getchannel("A")
            grey = grey * np.asarray(alpha, np.float32) / np.float32(255)
    grey = grey / np.float32(255)
    if not grey.any():
        raise SourceError(f"{path} is black all over: nothing would be painted; white is where the style goes")
    return grey


def read_note(path: Path) -> str | None:
    """What this program has written into a picture about it, if it has.

    Raises:
        SourceError: there is no such file, or it is no picture.
    """
    with _opened(path, sys.maxsize) as picture:  # only its head is read
        note = picture.info.get(NOTE)  # of a PNG; only what stands before the pixels
        return note if isinstance(note, str) else None


def picture_size(path: Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height of the picture in a file, upright; only its head is read.

    Raises:
        SourceError: as `read_picture`.
    """
    with _opened(path, max_pixels) as picture:
        try:
            turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        except Exception:
            turned = False
        return (picture.height, picture.width) if turned else picture.size


def _opened(path: Path, max_pixels: int) -> Image.Image:
    if not os.path.isfile(path):  # unlike Path.is_file, of any name, however long
        raise SourceError(f"no picture {path}")
    try:
        picture = Image.open(path)
    except PermissionError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None
    except Exception:
        raise SourceError(f"{path} is not a picture that can be read (PNG, JPEG, WebP, TIFF, BMP …)") from None
    if picture.width * picture.height > max_pixels:
        picture.close()
        raise SourceError(
            f"{path} has {picture.width}x{picture.height} pixels; --max-pixels allows {max_pixels} "
            "(raise it if there is memory for them)"
        )
    return picture


def _pixels(picture: Image.Image) -> Pixels:
    if picture.mode.startswith("I") or picture.mode == "F":  # 16 bits and more, which `convert` would cut off
        values = np.asarray(picture, np.float64)
        whole = 65535.0 if picture.mode != "F" or values.max(initial=0) > 1 else 1.0
        grey = np.clip(np.round(values * (255 / whole)), 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.array(picture.convert("RGB"), np.uint8)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def numbered(pattern: Path) -> list[Path]:
    """The files that a name like `frames/%05d.png` stands for, by their numbers."""
    head, digits, tail = re.split(r"%(0?\d*)d", pattern.name, maxsplit=1)
    width = int(digits.lstrip("0") or 0) if digits.startswith("0") else 0
    wanted = re.compile(re.escape(head) + rf"(\d{{{max(width, 1)},}})" + re.escape(tail))
    found = [(int(match[1]), path) for path in pattern.parent.iterdir() if (match := wanted.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def in_order(paths: list[Path]) -> list[Path]:
    """As people count: frame9 before frame10."""
    return sorted(
        paths, key=lambda path: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]
    )


def is_numbered(name: str) -> bool:
    """Whether a name stands for many, like `%05d.png`."""
    return len(re.findall(r"%0?\d*d", name)) == 1


def name_of(name: str, number: int) -> str:
    """The one of this number of those that `name` stands for."""
    return re.sub(r"%0?\d*d", lambda match: match[0] % number, name, count=1)
