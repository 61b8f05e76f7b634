"""Still pictures: how soon the loss falls, what half precision costs, how much memory it takes.

    python -m benchmarks.stills curve CONTENT STYLE --weights vgg19.safetensors [--size 512 --optimizers adam lbfgs sgd]
    python -m benchmarks.stills precision CONTENTS STYLES [--weights …] [--size 128 --every 1 --starts 1]
    python -m benchmarks.stills memory [--weights …] [--size 512 --iterations 3]

*curve*: the loss after 100, 200 and 500 evaluations, and as a multiple of the last; by each optimiser, at one size and
coarse to fine (then each number is a run of its own). *precision*: every content of a folder with every style of
another, and both with black and white, in fp32 and in half precision; the loss of what came out, seen in fp32, as the
mean over some starts. *memory*: peak of the resident memory above that of an interpreter that has imported torch, in a
process of its own: ours, and the loop as it is usually written. Without `--weights` all of it is done by `lite`.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import math
import statistics
import subprocess
import sys
import tempfile
import typing
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.speed import Plain, pictures
from nst_video.device import Compute
from nst_video.frame import Pixels
from nst_video.image import to_pixels
from nst_video.image_session import run_image
from nst_video.networks import FeatureNetwork
from nst_video.optimizer import Method
from nst_video.pictures import read_picture
from nst_video.report import Progress
from nst_video.settings import ImageConfig, Network, StyleSettings
from nst_video.sinks import write_picture
from nst_video.stylizer import Stylizer
from nst_video.weights import load_network

EVALUATIONS = (100, 200, 500)
JITTER = 0.25 / 255
SETTINGS = StyleSettings()
Pair = tuple[tuple[str, Pixels], tuple[str, Pixels]]


def curve(config: ImageConfig, optimizers: Sequence[Method]) -> None:
    """Print a row for each way to get down."""
    print(f"{'':24}" + "".join(f"{count:>18}" for count in EVALUATIONS))
    for optimizer, scales in itertools.product(optimizers, (1, 0)):
        seen = dict[int, float]()
        for count in EVALUATIONS if scales != 1 else EVALUATIONS[-1:]:

            def note(progress: Progress) -> None:
                if progress.done in EVALUATIONS and (scales == 1 or progress.done == count):  # noqa: B023
                    seen[progress.done] = progress.losses["total"]  # noqa: B023

            run_image(replace(config, optimizer=optimizer, scales=scales, iterations=count), SETTINGS, note)
        last = seen[EVALUATIONS[-1]]
        cells = "".join(f"{seen[count]:>10.5f} ({seen[count] / last:.2f})" for count in EVALUATIONS)
        print(f"{optimizer + (', one size' if scales == 1 else ', coarse to fine'):24}{cells}", flush=True)


def precision(pairs: Iterable[Pair], weights: Path | None, size: int, iterations: int, starts: int) -> None:
    """Print, for every pair, the loss in fp32 and how much more it is after half precision.

    The way down is chaotic: a start that differs by a quarter of a grey level ends elsewhere. So each is the mean over
    as many such `starts`, and what fp32 differs from itself by is told beside it.
    """
    half_format = Compute.choose("cpu").name.rsplit(", ", 1)[-1]
    ends, clear, lost = list[float](), 0, 0
    for (content, seen), (style, wanted) in pairs:
        judge = _stylizer(wanted, weights, "fp32", size, 1)
        image = judge.prepare(seen, None).content
        found = dict[str, list[float]]()
        for format_ in dict.fromkeys(("fp32", half_format)):
            painter = _stylizer(wanted, weights, format_, size, iterations)
            for number in range(starts):
                dice = torch.Generator().manual_seed(number)
                shaken = (image + JITTER * (2 * torch.rand(image.shape, generator=dice) - 1)).clamp_(0, 1)
                painted = painter.step(seen, SETTINGS, None, start=shaken)[1].image
                losses = judge.step(seen, SETTINGS, None, start=painted)[0].losses
                found.setdefault(format_, []).append(losses["total"])
        full, half = found["fp32"], found[half_format]
        if not all(map(math.isfinite, full + half)):
            lost += 1
            print(f"{content:22} {style:32} is not finite", flush=True)
            continue
        mean = max(statistics.mean(full), sys.float_info.min)
        ends.append(statistics.mean(half) / mean - 1)
        told = f"{content:22} {style:32} {mean:.5f} {100 * ends[-1]:+6.2f} %"
        if starts > 1:
            scatter, of_half = (statistics.stdev(losses) / mean for losses in (full, half))
            error = math.hypot(scatter, of_half) / math.sqrt(starts)
            clear += abs(ends[-1]) > max(0.01, 2 * error)
            told += f" ± {100 * error:.2f}; fp32 itself scatters by {100 * scatter:.2f} %"
        print(told, flush=True)
    within = sum(abs(end) <= 0.01 for end in ends)
    beyond = f", {clear} beyond it and beyond two standard errors" if starts > 1 else ""
    print(
        f"{len(ends)} pairs, {starts} starts: {within} within 1 %{beyond}; mean {100 * statistics.mean(ends):+.2f}, "
        f"median {100 * statistics.median(ends):+.2f} %, from {100 * min(ends):+.2f} to {100 * max(ends):+.2f} %; "
        f"{lost} not finite"
    )


def _pictures(folder: Path) -> list[tuple[str, Pixels]]:
    """All of a folder, and black, and white."""
    flat = [(name, np.full((64, 64, 3), value, np.uint8)) for name, value in (("black", 0), ("white", 255))]
    return [*((path.stem, read_picture(path)) for path in sorted(folder.iterdir())), *flat]


def _stylizer(style: Pixels, weights: Path | None, format_: str, size: int, iterations: int) -> Stylizer:
    return Stylizer(
        _loaded(weights, format_), [style], compute=Compute.choose("cpu", format_), size=size, iterations=iterations
    )


@functools.cache
def _loaded(weights: Path | None, format_: str) -> FeatureNetwork:
    """One for each format, as it is changed to it in place."""
    return load_network(_network(weights), weights=weights)


def memory(weights: Path | None, size: int, iterations: int) -> None:
    """Print megabytes."""
    only_torch = _told("import torch; torch.zeros(1).sum()")
    for kind in ("ours fp32", "ours bf16", "plain fp32"):
        arguments = (kind, str(weights or ""), str(size), str(iterations))
        peak = _told(f"from benchmarks.stills import run; run(*{arguments!r})")
        print(
            f"{'VGG-19' if weights else 'lite'} at {size}, {kind:10} {(peak - only_torch) / 1e6:8.0f} MB "
            f"above {only_torch / 1e6:.0f}",
            flush=True,
        )


def _told(work: str) -> int:
    """The most bytes that a process of its own had in memory while it did this."""
    scale = 1 if sys.platform == "darwin" else 1024
    told = f"{work}; import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * {scale})"
    return int(subprocess.run([sys.executable, "-c", told], check=True, capture_output=True).stdout.split()[-1])


def run(kind: str, weights: str, size: str, iterations: str) -> None:
    """A few iterations, ours or plain ones, on pictures that are made up."""
    content, style = pictures(int(size), torch.device("cpu"))
    file, network = Path(weights) if weights else None, _network(weights)
    if kind.startswith("plain"):
        Plain(load_network(network, weights=file), content, style).run(int(iterations))
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder, "content.png"), Path(folder, "style.png")
        for path, image in zip(paths, (content, style), strict=True):
            write_picture(path, to_pixels(image))
        config = ImageConfig(
            content=paths[0],
            style=(paths[1],),
            output=Path(folder, "out.png"),
            network=network,
            weights=file,
            precision="fp32" if kind == "ours fp32" else "bf16",
            size=int(size),
            iterations=int(iterations),
            scales=1,
        )
        run_image(config, SETTINGS, lambda _: None)


def _network(weights: object) -> Network:
    return "vgg19-caffe" if weights else "lite"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("curve", "precision", "memory"))
    parser.add_argument("pictures", type=Path, nargs="*")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every n-th pair")
    parser.add_argument("--starts", type=int, default=1, metavar="N", help="runs of each pair, from nearly one start")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--optimizers", nargs="+", choices=typing.get_args(Method), default=typing.get_args(Method))
    parser.add_argument("--iterations", type=int, default=3)
    args = parser.parse_args()
    if args.what == "memory":
        memory(args.weights, args.size, args.iterations)
        return
    content, style = args.pictures
    if args.what == "precision":
        pairs = itertools.product(_pictures(content), _pictures(style))
        precision(itertools.islice(pairs, 0, None, args.every), args.weights, args.size, args.iterations, args.starts)
        return
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "out.png")
        config = ImageConfig(content=content, style=(style,), output=output, size=args.size)
        curve(replace(config, network=_network(args.weights), weights=args.weights, precision="fp32"), args.optimizers)


if __name__ == "__main__":
    main()
