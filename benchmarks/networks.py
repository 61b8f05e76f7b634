"""How good a stand-in for VGG-19 `lite` is: paints the same pairs with both, and VGG-19 in fp32 judges.

    python -m benchmarks.networks --weights vgg19.safetensors --pair CONTENT STYLE --pair CONTENT STYLE …

Each pair is painted three times with the same number of iterations: by VGG-19, by `lite`, and by `lite` with VGG-19
for the last tenth (`image --refine`). For each: style score by layer, content score (see score.py), seconds. And
along `lite`'s way, how far the two networks agree: the correlation of their losses and the cosine of their gradients.
Writes JSON and a contact sheet: content, style, and the three results of each pair in a row.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.score import Judge
from nst_video.device import Compute
from nst_video.frame import Pixels
from nst_video.image import fit, resize, to_image
from nst_video.losses import relative_difference
from nst_video.networks import FeatureNetwork
from nst_video.optimizer import Losses, Method
from nst_video.pictures import read_picture
from nst_video.settings import CONTENT_LAYERS, STYLE_LAYERS, StyleSettings
from nst_video.still import REFINING
from nst_video.stylizer import Stylizer
from nst_video.weights import load_network

REFINED = 0.1
"""The share of the iterations that VGG-19 does after `lite`."""
LOOKS = (0, 2, 5, 10, 20, 40, 80, 140, 199)
"""The iterations of `lite` at which the two networks are compared."""


@dataclass
class Result:
    """A painting and what it took: a duration for each iteration, and seconds in all."""

    pixels: Pixels
    image: Tensor
    iterations: list[float]
    seconds: float
    snapshots: list[Tensor]


def paint(
    network: FeatureNetwork,
    content: Pixels,
    style: Pixels,
    size: int,
    iterations: int,
    start: Tensor | None = None,
    method: Method = "adam",
) -> Result:
    """By the program's own stylizer, in fp32 on the CPU: there each iteration's time is its own."""
    stamps, snapshots = [time.perf_counter()], list[Tensor]()

    def look(done: int, image: Tensor, _: Losses) -> None:
        stamps.append(time.perf_counter())
        if done - 1 in LOOKS:
            snapshots.append(image.detach().clone())

    compute = Compute.choose("cpu", "fp32")
    begun = time.perf_counter()
    stylizer = Stylizer(network, [style], compute=compute, size=size, iterations=iterations, method=method)
    painted, state = stylizer.step(content, StyleSettings(), None, start=start, on_iteration=look)
    seconds = time.perf_counter() - begun
    durations = [after - before for before, after in pairwise(stamps)][1:]  # the first waits for the targets
    return Result(painted.pixels, state.image, durations, seconds, snapshots)


class Eye:
    """A network's loss and its gradient for a pair, in the program's default form."""

    def __init__(self, network: FeatureNetwork, content: Tensor, style: Tensor) -> None:
        self._network = network
        with torch.no_grad():
            self._content = network.look(content, CONTENT_LAYERS, ())[0]
            self._style = network.look(style, (), STYLE_LAYERS)[1]

    def __call__(self, image: Tensor) -> tuple[float, Tensor]:
        image = image.clone().requires_grad_()
        features, grams = self._network.look(image, CONTENT_LAYERS, STYLE_LAYERS)
        style = torch.stack([relative_difference(grams[k], self._style[k]) for k in STYLE_LAYERS]).mean()
        content = torch.stack([relative_difference(features[k], self._content[k]) for k in CONTENT_LAYERS]).mean()
        loss = StyleSettings().content_weight * content + style
        (gradient,) = torch.autograd.grad(loss, image)
        return loss.item(), gradient.flatten()


def agreement(one: Eye, other: Eye, images: list[Tensor]) -> dict[str, Any]:
    """Over a way of several images: how the losses run together, and the cosines of the gradients."""
    seen = [(one(image), other(image)) for image in images]
    losses = np.array([(a[0], b[0]) for a, b in seen])
    cosines = [torch.nn.functional.cosine_similarity(a[1], b[1], dim=0).item() for a, b in seen]
    return {
        "loss_correlation": float(np.corrcoef(losses.T)[0, 1]),
        "gradient_cosines": [round(c, 4) for c in cosines],
        "losses": losses.round(5).tolist(),
    }


def fitted(picture: Pixels, size: int) -> Pixels:
    """The picture at the worked size, so that no resizing lies between a result and its score."""
    height, width = fit(picture.shape[0], picture.shape[1], size)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def sheet(rows: list[list[Pixels]], side: int) -> Pixels:
    """Pictures in rows, each fitted into a square of `side` pixels on white."""

    def cell(picture: Pixels) -> Pixels:
        height, width = fit(picture.shape[0], picture.shape[1], side)
        square = np.full((side + 4, side + 4, 3), 255, np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = cv2.resize(
            picture, (width, height), interpolation=cv2.INTER_AREA
        )
        return square

    return np.concatenate([np.concatenate([cell(p) for p in row], axis=1) for row in rows], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", type=Path, nargs=2, action="append", required=True, metavar=("CONTENT", "STYLE"))
    parser.add_argument("--weights", type=Path, required=True, help="the original VGG-19 weights")
    parser.add_argument("--lite", type=Path, help="another weight file for `lite`")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("networks"), help="name of the .json and .png to write")
    args = parser.parse_args()
    if args.iterations < 30:
        parser.error("--iterations must be at least 30: a tenth of them has to be enough to be timed")

    vgg = load_network("vgg19-caffe", weights=args.weights)
    lite = load_network("lite", weights=args.lite)
    last = round(REFINED * args.iterations)
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    records, pictures = list[dict[str, Any]](), list[list[Pixels]]()
    for content_path, style_path in tqdm(args.pair):
        content, style = fitted(read_picture(content_path), args.size), read_picture(style_path)
        judge = Judge(args.weights, style, args.size)
        by_vgg = paint(vgg, content, style, args.size, args.iterations)
        by_lite = paint(lite, content, style, args.size, args.iterations)
        early = paint(lite, content, style, args.size, args.iterations - last)
        refined = paint(vgg, content, style, args.size, last, start=early.image, method=REFINING)
        refined.seconds += early.seconds
        ways = {"vgg19": by_vgg, "lite": by_lite, "refined": refined}
        record: dict[str, Any] = {"content": content_path.stem, "style": style_path.stem}
        for name, result in ways.items():
            record[name] = {
                "style": judge.style(result.pixels),
                "content": judge.content(result.pixels, content),
                "layers": judge.style_by_layer(result.pixels),
                "seconds": result.seconds,
                "ms_per_iteration": statistics.median(result.iterations) * 1e3,
            }
        worked = resize(to_image(style), fit(style.shape[0], style.shape[1], args.size))
        eyes = [Eye(network, to_image(content), worked) for network in (vgg, lite)]
        record["agreement"] = agreement(eyes[0], eyes[1], by_lite.snapshots)
        records.append(record)
        pictures.append([content, fitted(style, args.size), *(result.pixels for result in ways.values())])
        tqdm.write(_line(record))
        summary = _summary(records)
        report = {"machine": machine, "iterations": args.iterations, "size": args.size, **summary, "pairs": records}
        args.out.with_suffix(".json").write_text(json.dumps(report, indent=1), encoding="utf-8")
        cv2.imwrite(str(args.out.with_suffix(".png")), sheet(pictures, args.size)[..., ::-1])
    print(json.dumps(summary, indent=1))


def _line(record: dict[str, Any]) -> str:
    parts = [f"{record['content']}, {record['style']}:"]
    for name in ("vgg19", "lite", "refined"):
        way = record[name]
        layers = " ".join(f"{value:.3f}" for value in way["layers"].values())
        parts.append(
            f"  {name:8} style {way['style']:.4f} = {layers}; content {way['content']:.3f}; {way['seconds']:5.1f} s, "
            f"{way['ms_per_iteration']:.1f} ms an iteration; {way['style'] / record['vgg19']['style']:.2f} times"
        )
    found = record["agreement"]
    parts.append(f"  losses correlate {found['loss_correlation']:.3f}; cosines {found['gradient_cosines']}")
    return "\n".join(parts)


def _summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the pairs; each figure's ratio to VGG-19's own."""
    answer: dict[str, Any] = {}
    for name in ("vgg19", "lite", "refined"):
        ratios = [r[name]["style"] / r["vgg19"]["style"] for r in records]
        answer[name] = {
            "style": statistics.mean(r[name]["style"] for r in records),
            "content": statistics.mean(r[name]["content"] for r in records),
            "layers": {k: statistics.mean(r[name]["layers"][k] for r in records) for k in STYLE_LAYERS},
            "ratio_mean": statistics.mean(ratios),
            "ratio_worst": max(ratios),
            "seconds": statistics.mean(r[name]["seconds"] for r in records),
            "ms_per_iteration": statistics.median(r[name]["ms_per_iteration"] for r in records),
        }
    for name in ("lite", "refined"):
        answer[name]["style_to_vgg19"] = answer[name]["style"] / answer["vgg19"]["style"]
        answer[name]["times_faster"] = answer["vgg19"]["seconds"] / answer[name]["seconds"]
    answer["lite"]["iteration_times_faster"] = statistics.median(
        r["vgg19"]["ms_per_iteration"] / r["lite"]["ms_per_iteration"] for r in records
    )
    answer["loss_correlation"] = statistics.mean(r["agreement"]["loss_correlation"] for r in records)
    answer["gradient_cosines"] = (
        np.mean([r["agreement"]["gradient_cosines"] for r in records], axis=0).round(3).tolist()
    )
    return answer


if __name__ == "__main__":
    main()
