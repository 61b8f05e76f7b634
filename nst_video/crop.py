"""Parts of a picture: rectangles that are cut out, worked on and pasted where they were."""

from __future__ import annotations

from torch import Tensor

Part = tuple[slice, slice]
"""Rows and columns of a picture."""
EVERYWHERE: Part = slice(None), slice(None)


def enlarged_part(part: Part, times: int) -> Part:
    """The same part of a picture so many times as large."""
    rows, columns = (slice(*(end and end * times for end in (side.start, side.stop))) for side in part)
    return rows, columns


def cut(image: Tensor, part: Part, level: int = 0) -> Tensor:
    """That part of an image (1, C, H, W); of one that has been halved as often as `level` says, the same part of it."""
    rows, columns = (slice(*(end and end >> level for end in (side.start, side.stop))) for side in part)
    return image[..., rows, columns]


def pasted(image: Tensor, piece: Tensor, part: Part, level: int = 0) -> Tensor:
    """An image like this one with another `piece` in that part of it; see `cut`."""
    if part == EVERYWHERE:
        return piece
    image = image.clone()
    cut(image, part, level).copy_(piece)
    return image
