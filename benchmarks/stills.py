"""Still pictures: how soon the loss falls, what half precision costs, how much memory it takes.

    python -m benchmarks.stills curve CONTENT STYLE --weights vgg19.safetensors [--size 512 --optimizers adam lbfgs sgd]
    python -m benchmarks.stills precision CONTENTS STYLES [--weights …] [--device cuda --half fp16 --starts 3]
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
from dataclasses import dataclass, replace
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
AS_IT_STANDS = StyleSettings(jitter=0)
"""For a curve: losses that are seen from different places cannot be compared."""
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

            run_image(replace(config, optimizer=optimizer, scales=scales, iterations=count), AS_IT_STANDS, note)
        last = seen[EVALUATIONS[-1]]
        cells = "".join(f"{seen[count]:>10.5f} ({seen[count] / last:.2f})" for count in EVALUATIONS)
        print(f"{optimizer + (', one size' if scales == 1 else ', coarse to fine'):24}{cells}", flush=True)


@dataclass(frozen=True)
class Trial:
    """How pairs are painted to see what a number format costs.

    The way down is chaotic: a start that differs by a quarter of a grey level ends elsewhere. So each pair is painted
    from as many such `starts`.
    """

    weights: Path | None
    device: str
    size: int
    iterations: int
    starts: int

    def losses(self, content: Pixels, style: Pixels, precision: str) -> list[float]:
        """Of what comes out, seen in fp32; one for each start."""
        painter, judge = (self._stylizer(style, each) for each in (precision, "fp32"))
        prepared, found = judge.prepare(content, None), list[float]()
        for number in range(self.starts):
            shaken = torch.rand(prepared.content.shape, generator=torch.Generator().manual_seed(number)) * 2 - 1
            start = (prepared.content + JITTER * shaken.to(prepared.content)).clamp_(0, 1)
            painted = painter.paint(prepared, SETTINGS, None, iterations=self.iterations, start=start)[1].image
            found.append(judge.paint(prepared, SETTINGS, None, iterations=1, start=painted)[0].losses["total"])
        return found

    def _stylizer(self, style: Pixels, precision: str) -> Stylizer:
        compute = Compute.choose(self.device, precision)
        return Stylizer(_loaded(self.weights, precision), [style], compute=compute, size=self.size, iterations=1)


@functools.cache
def _loaded(weights: Path | None, precision: str) -> FeatureNetwork:
    """One for each format, as it is changed to it in place."""
    return load_network(_network(weights), weights=weights)


def precision(pairs: Iterable[Pair], trial: Trial, half: str) -> None:
    """Print, for every pair, the loss in fp32, how much more it is in the format `half`, and how far fp32 is from
    itself."""
    ends, clear, lost = list[float](), 0, 0
    for (content, seen), (style, wanted) in pairs:
        full, other = (trial.losses(seen, wanted, precision) for precision in ("fp32", half))
        if not all(map(math.isfinite, full + other)):
            lost += 1
            print(f"{content:22} {style:32} is not finite", flush=True)
            continue
        mean = max(statistics.mean(full), sys.float_info.min)
        ends.append(statistics.mean(other) / mean - 1)
        told = f"{content:22} {style:32} {mean:.5f} {100 * ends[-1]:+6.2f} %"
        if trial.starts > 1:
            scatter, of_other = (statistics.stdev(losses) / mean for losses in (full, other))
            error = math.hypot(scatter, of_other) / math.sqrt(trial.starts)
            clear += abs(ends[-1]) > max(0.01, 2 * error)
            told += f" ± {100 * error:.2f}; fp32 itself scatters by {100 * scatter:.2f} %"
        print(told, flush=True)
    within = sum(abs(end) <= 0.01 for end in ends)
    beyond = f", {clear} beyond it and beyond two standard errors" if trial.starts > 1 else ""
    print(
        f"{len(ends)} pairs, {trial.starts} starts, {half}: {within} within 1 %{beyond}; mean "
        f"{100 * statistics.mean(ends):+.2f}, median {100 * statistics.median(ends):+.2f} %, from "
        f"{100 * min(ends):+.2f} to {100 * max(ends):+.2f} %; {lost} not finite"
    )


def _pictures(folder: Path) -> list[tuple[str, Pixels]]:
    """All of a folder, and black, and white."""
    flat = [(name, np.full((64, 64, 3), value, np.uint8)) for name, value in (("black", 0), ("white", 255))]
    return [*((path.stem, read_picture(path)) for path in sorted(folder.iterdir())), *flat]


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
    parser.add_argument("--device", default="cpu", help="that precision is seen on")
    parser.add_argument("--half", choices=("bf16", "fp16"), default="bf16")
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
        trial = Trial(args.weights, args.device, args.size, args.iterations, args.starts)
        precision(itertools.islice(pairs, 0, None, args.every), trial, args.half)
        return
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "out.png")
        config = ImageConfig(content=content, style=(style,), output=output, size=args.size)
        curve(replace(config, network=_network(args.weights), weights=args.weights, precision="fp32"), args.optimizers)


if __name__ == "__main__":
    main()
