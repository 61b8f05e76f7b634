"""Paints the pictures of recipes.md with VGG-19, by the commands that stand there, and hangs them side by side.

python -m docs.make_recipes --pictures FOLDER --weights FILE --work FOLDER [--only 1 3]

The pictures are the files named in `PICTURES`; recipes.md tells where they are from. What lies in the work folder
already is not painted again, so that an interrupted run can go on.
"""

from __future__ import annotations

import argparse
import json
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import imageio.v3 as imageio
import numpy as np

from nst_video.cli import main as nst_video
from nst_video.frame import Pixels
from nst_video.pictures import read_picture
from nst_video.resources import shipped
from nst_video.settings import STYLE_LAYERS

HERE = Path(__file__).parent / "recipes"
PICTURES = (
    "harbour",
    "cathedral",
    "shipwreck",
    "starry_night",
    "the_scream",
    "great_wave",
    "wheat_field",
    "self_portrait",
)
GAP = 6  # white pixels between two pictures
PAPER = "--optimizer lbfgs --init noise --iterations 200"
"""How the papers paint."""
RATIOS = ("1e-4", "1e-3", "1e-2", "1e-1")
"""α/β of figures 3 and 4."""
RELATIVE = (("0.03", "0.3"), ("0.3", "0.3"), ("3", "1"), ("30", "10"))
"""The weights of content and total variation that look like these ratios, with the default loss."""
LITERAL = (("1e-6", "1"), ("1e-5", "1"), ("1e-4", "3"), ("1e-3", "30"))
"""The same of `--loss paper`, at 128 × 80 pixels."""
FIVE = {"shipwreck": "0.3", "starry_night": "0.24", "the_scream": "0.3", "great_wave": "0.15", "wheat_field": "0.15"}
"""The content weights of figure 3's five paintings; the last two stand for a Picasso and a Kandinsky."""


@dataclass(frozen=True)
class Easel:
    """Where pictures come from and paintings go."""

    pictures: Path
    weights: Path
    work: Path
    threads: str

    def picture(self, name: str) -> Path:
        """The file of a picture; the portrait ships with the program."""
        return shipped("samples", "portrait.jpg") if name == "portrait" else self.pictures / f"{name}.jpg"

    def paint(self, name: str, content: str, style: str, options: str) -> Pixels:
        """Run one command of recipes.md and answer what it painted."""
        output, log = self.work / f"{name}.png", self.work / f"{name}.jsonl"
        if not output.exists():
            command = ["image", str(self.picture(content)), "--style", str(self.picture(style)), "-o", str(output)]
            command += ["--network", "vgg19-caffe", "--weights", str(self.weights), *options.split()]
            begun, busy = time.perf_counter(), time.process_time()
            if nst_video([*command, "--threads", self.threads, "--log-json", str(log), "--quiet"]):
                raise SystemExit(f"failed: {shlex.join(command)}")
            seconds = f"{time.perf_counter() - begun:.0f} s, {time.process_time() - busy:.0f} s of processor time"
            losses = json.loads(log.read_text().splitlines()[-1])["losses"]
            print(f"{name}: {seconds}, {losses}", flush=True)
        return read_picture(output)


def main() -> None:
    parser = argparse.ArgumentParser(description="Paint the pictures of recipes.md.")
    parser.add_argument("--pictures", type=Path, required=True, metavar="FOLDER", help=f"has {', '.join(PICTURES)}.jpg")
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE", help="of VGG-19")
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="where all paintings are kept")
    parser.add_argument("--only", type=int, nargs="+", choices=RECIPES, default=list(RECIPES), help="these recipes")
    parser.add_argument("--threads", default="0", help="as in nst_video")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    HERE.mkdir(exist_ok=True)
    easel = Easel(options.pictures, options.weights, options.work, options.threads)
    for number in options.only:
        RECIPES[number](easel)


def classic(easel: Easel) -> None:
    """CVPR 2016: figure 3's paintings, the α/β grid, the two forms of the loss, content layers, starts."""
    pictures = [fit(read_picture(easel.picture("harbour")), 290)]
    for style, weight in FIVE.items():
        painted = easel.paint(f"five_{style}", "harbour", style, f"--size 224 --content-weight {weight} {PAPER}")
        pictures.append(inset(fit(painted, 290), read_picture(easel.picture(style))))
    write("five", hang([pictures[i::3] for i in range(3)]))

    grid = list[list[Pixels]]()
    for depth in range(1, len(STYLE_LAYERS) + 1):
        layers, row = " ".join(STYLE_LAYERS[:depth]), list[Pixels]()
        for ratio, (weight, tv) in zip(RATIOS, RELATIVE, strict=True):
            options = f"--size 128 --content-weight {weight} --tv-weight {tv} --style-layers {layers} {PAPER}"
            painted = easel.paint(f"grid_{depth}_{ratio}", "harbour", "starry_night", options)
            row.append(fit(painted, 218))
        grid.append(row)
    named = [[label(p, f"{ratio}, {i + 1}") for i, p in enumerate(c)] for ratio, *c in zip(RATIOS, *grid, strict=True)]
    write("grid", hang(named))

    forms = list[list[Pixels]]()
    for relative, ratio, (weight, tv) in zip(grid[-1], RATIOS, LITERAL, strict=True):
        options = f"--size 128 --loss paper --content-weight {weight} --tv-weight {tv} {PAPER}"
        painted = easel.paint(f"literal_{ratio}", "harbour", "starry_night", options)
        forms.append([label(relative, f"{ratio}, relative"), label(fit(painted, 218), f"{ratio}, paper")])
    write("forms", hang(forms))

    layers_row = list[list[Pixels]]()
    for layer in ("relu2_2", "relu4_2"):
        options = f"--size 192 --content-layers {layer} --content-weight 0.3 {PAPER}"
        painted = easel.paint(layer, "harbour", "starry_night", options)
        layers_row.append([label(fit(painted, 440), layer)])
    write("layers", hang(layers_row))

    starts = list[list[Pixels]]()
    for start in ("content", "style", "noise"):
        options = f"--size 128 --content-weight 0.3 {PAPER.replace('noise', start)}"
        painted = easel.paint(f"from_{start}", "harbour", "starry_night", options)
        starts.append([label(fit(painted, 290), start)])
    write("starts", hang(starts))


def portrait(easel: Easel) -> None:
    """A portrait out of content and noise, at 1, 1065 and 2999 iterations."""
    options = "--size 144 --init blend --iterations 2999 --save-every 1065"
    last = easel.paint("portrait", "portrait", "self_portrait", options)
    moments = [read_picture(easel.work / f"portrait-{i:04d}.png") for i in (1, 1065)]
    write("portrait", hang([[fit(one, 290)] for one in (*moments, last)]))


def rows(easel: Easel) -> None:
    """400 rows, content at relu5_2, gradient descent whose rate decays."""
    curve = easel.work / "rows-losses.png"
    options = "--size 400 --content-layers relu5_2 --optimizer sgd --learning-rate 0.1 --learning-rate-decay 0.96"
    painted = easel.paint("rows", "portrait", "the_scream", f"{options} --iterations 200 --plot {curve}")
    plot = read_picture(curve)
    write("rows", hang([[fit(painted, 320)], [fit(plot, round(320 * plot.shape[1] / plot.shape[0]))]]))


def random(easel: Easel) -> None:
    """Adam from a random picture, without and with total variation."""
    columns = list[list[Pixels]]()
    for weight in ("0", "1"):
        options = f"--size 160 --init noise --content-weight 0.5 --tv-weight {weight} --learning-rate 0.03"
        painted = easel.paint(f"tv_{weight}", "cathedral", "wheat_field", f"{options} --iterations 300")
        columns.append([label(fit(painted, 440), f"tv {weight}")])
    write("random", hang(columns))


def patience(easel: Easel) -> None:
    """100 iterations against 3000."""
    options = "--size 128 --iterations 3000 --save-every 100"
    last = easel.paint("patience", "cathedral", "starry_night", options)
    moments = [read_picture(easel.work / "patience-0100.png"), last]
    write("patience", hang([[label(fit(one, 440), n)] for one, n in zip(moments, ("100", "3000"), strict=True)]))


RECIPES: dict[int, Callable[[Easel], None]] = {1: classic, 2: portrait, 3: rows, 4: random, 5: patience}


def fit(picture: Pixels, width: int) -> Pixels:
    """A picture at another width, in its own shape."""
    height = round(picture.shape[0] * width / picture.shape[1])
    way = cv2.INTER_AREA if width < picture.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=way), np.uint8)


def inset(picture: Pixels, style: Pixels) -> Pixels:
    """A picture with its style in the lower left corner, as in the paper."""
    small = np.pad(fit(style, picture.shape[1] // 4), ((3, 0), (0, 3), (0, 0)), constant_values=255)
    both = picture.copy()
    both[-small.shape[0] :, : small.shape[1]] = small
    return both


def label(picture: Pixels, words: str) -> Pixels:
    """A picture with a few words in its upper left corner, white on black."""
    both = picture.copy()
    (width, height), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
    both[: height + 9, : width + 9] = 0
    cv2.putText(both, words, (4, height + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return both


def hang(columns: Sequence[Sequence[Pixels]]) -> Pixels:
    """Columns of pictures of equal width on one white wall; those of a row are of equal height."""
    pad = ((0, GAP), (0, GAP), (0, 0))
    wall = np.hstack([np.vstack([np.pad(p, pad, constant_values=255) for p in column]) for column in columns])
    return wall[:-GAP, :-GAP]


def write(name: str, picture: Pixels) -> None:
    """Keep a figure."""
    imageio.imwrite(HERE / f"{name}.jpg", picture, quality=70)


if __name__ == "__main__":
    main()
