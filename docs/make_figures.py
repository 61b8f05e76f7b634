"""Paints the pictures of the README from samples/, with the network that ships.

python -m docs.make_figures
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np

from nst_video.frame import Pixels
from nst_video.image_session import run_image
from nst_video.pictures import read_picture
from nst_video.resources import shipped
from nst_video.settings import ImageConfig, StyleSettings, VideoConfig
from nst_video.sinks import write_picture
from nst_video.sources import VideoFile
from nst_video.video_session import run_video

HERE = Path(__file__).parent
STYLES = ("starlight", "mosaic", "woodcut", "stained_glass")
FILM_STYLE = "woodcut"
GAP = 6  # white pixels between two pictures
STEADY = range(30, 33)
"""Frames that follow each other, to show what changes between them."""
LOUDER = 5
"""So many times stronger than they are, these changes are shown."""


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

        still, result = Path(folder, "still.png"), Path(folder, "scratch.png")
        scratch = list[Pixels]()
        for i in STEADY:
            write_picture(still, before[i])
            config = ImageConfig(content=still, style=(picture,), output=result, size=320, iterations=100)
            run_image(config, StyleSettings(), lambda _: None)
            scratch.append(read_picture(result))
        rows = [[film[i] for i in STEADY] for film in (before, after)]
        shown = [[*row, louder(row[-2], row[-1])] for row in (rows[0], scratch, rows[1])]
        write_picture(HERE / "steady.jpg", hang([list(column) for column in zip(*shown, strict=True)]))


def tile(picture: Pixels, side: int) -> Pixels:
    """The middle square of a picture, side × side."""
    height, width = picture.shape[:2]
    cut = min(height, width)
    y, x = (height - cut) // 2, (width - cut) // 2
    square = cv2.resize(picture[y : y + cut, x : x + cut], (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(square, np.uint8)


def louder(one: Pixels, other: Pixels) -> Pixels:
    """The difference between two pictures, grey where there is none."""
    difference = LOUDER * (other.astype(np.int16) - one)
    return np.asarray(np.clip(128 + difference, 0, 255), np.uint8)


def hang(columns: list[list[Pixels]]) -> Pixels:
    """Columns of pictures of equal size on one white wall."""
    pad = ((0, GAP), (0, GAP), (0, 0))
    wall = np.hstack([np.vstack([np.pad(p, pad, constant_values=255) for p in column]) for column in columns])
    return wall[:-GAP, :-GAP]


if __name__ == "__main__":
    main()
