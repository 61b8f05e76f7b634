"""Paints the two pictures of the README from samples/, with the network that ships.

python -m docs.make_figures
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np

from nst_video.frame import Pixels
from nst_video.image import read_picture
from nst_video.resources import shipped
from nst_video.session import run_image, run_video
from nst_video.settings import ImageConfig, StyleSettings, VideoConfig
from nst_video.sinks import write_picture
from nst_video.sources import VideoFile

HERE = Path(__file__).parent
STYLES = ("starlight", "mosaic", "woodcut", "stained_glass")
FILM_STYLE = "starlight"
GAP = 6  # white pixels between two pictures


def main() -> None:
    portrait = shipped("samples", "portrait.jpg")
    columns = [[np.full((240, 240, 3), 255, np.uint8), tile(read_picture(portrait), 240)]]
    with tempfile.TemporaryDirectory() as folder:
        for style in STYLES:
            picture = shipped("samples", f"{style}.jpg")
            result = Path(folder, f"{style}.png")
            config = ImageConfig(content=portrait, style=(picture,), output=result, size=480, iterations=300)
            run_image(config, StyleSettings(), lambda _: None)
            columns.append([tile(read_picture(picture), 240), tile(read_picture(result), 240)])
        write_picture(HERE / "styles.jpg", hang(columns))

        clip, film = shipped("samples", "portrait.mp4"), Path(folder, "film.mp4")
        picture = shipped("samples", f"{FILM_STYLE}.jpg")
        run_video(VideoConfig(clip=clip, style=(picture,), output=film), StyleSettings(), lambda _: None)
        before, after = ([frame.pixels for frame in VideoFile(path)] for path in (clip, film))
        moments = [i * (len(before) - 1) // 4 for i in range(5)]
        write_picture(HERE / "film.jpg", hang([[before[i], after[i]] for i in moments]))


def tile(picture: Pixels, side: int) -> Pixels:
    """The middle square of a picture, side × side."""
    height, width = picture.shape[:2]
    cut = min(height, width)
    y, x = (height - cut) // 2, (width - cut) // 2
    square = cv2.resize(picture[y : y + cut, x : x + cut], (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(square, np.uint8)


def hang(columns: list[list[Pixels]]) -> Pixels:
    """Columns of pictures of equal size on one white wall."""
    pad = ((0, GAP), (0, GAP), (0, 0))
    wall = np.hstack([np.vstack([np.pad(p, pad, constant_values=255) for p in column]) for column in columns])
    return wall[:-GAP, :-GAP]


if __name__ == "__main__":
    main()
