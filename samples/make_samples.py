"""Paint the sample pictures: `python samples/make_samples.py [NAME ...]`, all of them without a name.

Everything is drawn by these scripts from seeded noise; only the portrait starts from a photograph, NASA's
public-domain picture of Eileen Collins that scikit-image ships. Needs scikit-image besides the project's own libraries.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import paint_cubist
import paint_oils
import paint_panes
import paint_portrait
import paint_prints
from paint_tools import Pixels

HERE = Path(__file__).parent

PAINTERS: dict[str, Callable[[np.random.Generator], Pixels]] = {
    "starlight.jpg": paint_oils.starlight,
    "mosaic.jpg": paint_panes.mosaic,
    "stained_glass.jpg": paint_panes.stained_glass,
    "woodcut.jpg": paint_prints.woodcut,
    "ink.jpg": paint_prints.ink,
    "halftone.jpg": paint_prints.halftone,
    "wildflowers.jpg": paint_oils.wildflowers,
    "cubist.jpg": paint_cubist.cubist,
    "portrait.jpg": paint_portrait.still,
}


def main() -> None:
    """Paint what was asked for into this folder."""
    names = [*PAINTERS, "portrait.mp4"]
    parser = argparse.ArgumentParser(description="Paint the sample pictures and the portrait clip.")
    parser.add_argument("name", nargs="*", help=f"what to paint, of {', '.join(names)}; everything if left out")
    wanted = parser.parse_args().name or names
    if unknown := set(wanted) - set(names):
        parser.error(f"no such sample: {', '.join(sorted(unknown))}")
    for name in wanted:
        path = HERE / name
        # Each picture has a seed of its own, so that painting one alone gives the same as painting them all.
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        if name in PAINTERS:
            cv2.imwrite(str(path), PAINTERS[name](rng)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        else:
            paint_portrait.clip(path, rng)
        print(f"{name}: {path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
