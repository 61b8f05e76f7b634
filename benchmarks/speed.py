"""How fast one iteration is and how near the machine's limit, and how many frames a second that makes.

    python -m benchmarks.speed --weights vgg19.safetensors [--device cuda] [--clip CLIP --style STYLE]

All in one process. Ways to iterate are timed in turns, so that a machine that slows down slows them all:

- *plain*: the loop as it is usually written: eager, NCHW, automatic differentiation, `torch.optim.Adam`; in fp32, on
  CUDA also with TF32 allowed.
- *ours*: what the program runs (`Objective` and `Optimizer` on `Compute`), in fp32 and in half precision.

For each: milliseconds per iteration (median and quartiles), the share of the measured peak of matrix products in that
format that the iteration's own arithmetic is, and how many times faster it is than VGG-19's plain loop and than the
same network's. Then the cost per pixel over sizes; the loss after the same number of iterations in each format, as the
plain network sees it; and, given a clip, frames per second of `video` and of a headless `live`. Writes JSON as well.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nst_video.adam import Moments
from nst_video.device import Compute
from nst_video.image import resize
from nst_video.losses import relative_difference
from nst_video.networks import FeatureNetwork
from nst_video.objective import Objective
from nst_video.optimizer import Optimizer
from nst_video.resources import shipped
from nst_video.settings import CONTENT_LAYERS, STYLE_LAYERS, StyleSettings
from nst_video.weights import load_network

SETTINGS = StyleSettings()
NETWORKS = ("lite", "vgg19-caffe")
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
TURN = 0.4
"""Seconds, or one iteration, that a way runs before it is another one's turn."""


@dataclass
class Way:
    """One way to iterate on images of one size: `run(n)` does n iterations, perhaps without waiting for them."""

    kind: str
    network: str
    precision: str
    size: tuple[int, int]
    gigaflop: float
    run: Callable[[int], None]
    seconds: list[float] = field(default_factory=list)

    @property
    def ms(self) -> float:
        """Milliseconds per iteration, the median of all turns."""
        return 1000 * statistics.median(self.seconds)

    def record(self, peaks: dict[str, float]) -> dict[str, Any]:
        quartiles = statistics.quantiles(self.seconds, n=4)
        achieved = self.gigaflop / self.ms * 1000
        return {
            "way": f"{self.network}, {self.kind}, {self.precision}",
            "size": self.size,
            "ms": self.ms,
            "quartiles_ms": [1000 * quartiles[0], 1000 * quartiles[2]],
            "gigaflop_per_second": achieved,
            "share_of_peak": achieved / peaks[self.precision],
            "ns_per_pixel": self.ms * 1e6 / (self.size[0] * self.size[1]),
        }


def pictures(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """A content and a style picture, 4:3, of `size` pixels on the longer side: patches of flat colour."""
    dice, shape, made = torch.Generator().manual_seed(0), (size * 3 // 4, size), []
    for cells in (12, 40):
        coarse = torch.rand(1, 3, cells * 3 // 4, cells, generator=dice)
        made.append((resize(coarse, shape) * 6).round().div(6).to(device))
    return made[0], made[1]


def gigaflop(network: FeatureNetwork, height: int, width: int) -> float:
    """Arithmetic of one iteration: convolutions and Gram matrices, forward and backward to the image."""
    area, gram = 1.0, 0.0
    for number, stage in network.stages.items():
        area /= 4 if stage.halves else 1
        if f"relu{number}" in STYLE_LAYERS:
            gram += area * network.width(number) ** 2
    return 2 * 2 * (network.multiply_adds() + gram) * height * width / 1e9


class Plain:
    """Gatys' loop as most write it."""

    def __init__(self, network: FeatureNetwork, content: Tensor, style: Tensor) -> None:
        self._network = network
        with torch.no_grad():
            self._content, self._style = self.look(content)[0], self.look(style)[1]
        self.image = content.clone().requires_grad_()
        self._adam = torch.optim.Adam([self.image], lr=SETTINGS.learning_rate)

    def look(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        found = self._network.activations(image, {*CONTENT_LAYERS, *STYLE_LAYERS})
        grams = []
        for layer in STYLE_LAYERS:
            rows = found[layer].flatten(2)
            grams.append(self._network.measured_gram(layer, rows @ rows.transpose(1, 2) / rows.shape[2]))
        return self._network.measured_features(CONTENT_LAYERS[0], found[CONTENT_LAYERS[0]]), grams

    def loss(self, image: Tensor) -> Tensor:
        content, grams = self.look(image)
        style = torch.stack([relative_difference(g, a) for g, a in zip(grams, self._style, strict=True)]).mean()
        return SETTINGS.content_weight * relative_difference(content, self._content) + SETTINGS.style_weight * style

    def run(self, iterations: int) -> None:
        for _ in range(iterations):
            self._adam.zero_grad()
            self.loss(self.image).backward()  # type: ignore[no-untyped-call]
            self._adam.step()
            with torch.no_grad():
                self.image.clamp_(0, 1)


class Ours:
    """The program's own iteration."""

    def __init__(self, compute: Compute, network: FeatureNetwork, content: Tensor, style: Tensor) -> None:
        network = compute.place(network)
        look = compute.look(network, content, CONTENT_LAYERS, STYLE_LAYERS)
        objective = Objective(look.whole, content, SETTINGS, every_term=compute.captures)
        with torch.no_grad():
            grams = network.look(style, (), STYLE_LAYERS)[1]
        objective.aim(SETTINGS, look.content(content), grams)
        self._optimizer = Optimizer(objective, content, capture=compute.capture if compute.captures else None)
        self.image, self._moments = content, Moments.zero(content)

    def run(self, iterations: int) -> None:
        self.image, self._moments, _ = self._optimizer.run(
            self.image, self._moments, iterations=iterations, learning_rate=SETTINGS.learning_rate
        )


class Bench:
    """The device, its formats, and the networks' files."""

    def __init__(self, device: str, weights: Path | None) -> None:
        self._weights = weights
        self.networks = NETWORKS if weights is not None else NETWORKS[:1]
        best = Compute.choose(device)
        self.device, self.name = best.device, best.name
        self._computes = {"fp32": Compute.choose(device, "fp32")}
        self.half = next((name for name in ("bf16", "fp16") if DTYPES[name] == best.dtype), None)
        if self.half is not None:
            self._computes[self.half] = best
        self.precisions = tuple(self._computes)
        self.plain_precisions = ("fp32", "tf32") if best.captures else ("fp32",)

    def load(self, name: str) -> FeatureNetwork:
        return load_network(name, weights=self._weights if name != "lite" else None)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def plain(self, name: str, size: int) -> Plain:
        return Plain(self.load(name).to(self.device), *pictures(size, self.device))

    def ours(self, name: str, size: int, precision: str) -> Ours:
        return Ours(self._computes[precision], self.load(name), *pictures(size, self.device))

    def way(self, kind: str, name: str, size: int, precision: str) -> Way:
        if kind == "ours":
            run = self.ours(name, size, precision).run
        else:
            run = functools.partial(_allowing, precision == "tf32", self.plain(name, size).run)
        shape = size * 3 // 4, size
        return Way(kind, name, precision, shape, gigaflop(self.load(name), *shape), run)

    def peak(self, precision: str) -> float:
        """GFLOP/s of a large matrix product, or of the same as a convolution: some libraries favour the one."""
        side = 8192 if self.device.type == "cuda" else 2048
        a, b = torch.randn(2, side, side, device=self.device, dtype=DTYPES[precision])
        image, kernel = a.view(1, side, side // 64, 64), b[..., None, None]
        image, kernel = (t.contiguous(memory_format=torch.channels_last) for t in (image, kernel))
        products: tuple[Callable[[int], object], ...] = (lambda _: a @ b, lambda _: F.conv2d(image, kernel))
        seconds = []
        for product in products * 12:
            begun = time.perf_counter()
            _allowing(precision == "tf32", product, 1)
            self.wait()
            seconds.append(time.perf_counter() - begun)
        return 2 * side**3 / min(seconds[4:]) / 1e9

    def race(self, ways: list[Way], turns: int) -> None:
        """Time them in turns."""
        counts = []
        for way in ways:
            way.run(3)
            self.wait()
            begun = time.perf_counter()
            way.run(2)
            self.wait()
            counts.append(max(1, int(TURN / (time.perf_counter() - begun) * 2)))
        for _, (way, count) in itertools.product(range(turns), zip(ways, counts, strict=True)):
            self.wait()
            begun = time.perf_counter()
            way.run(count)
            self.wait()
            way.seconds.append((time.perf_counter() - begun) / count)

    def losses(self, name: str, size: int, iterations: int) -> dict[str, float]:
        """After so many iterations, as the plain network in fp32 sees it."""
        judge, found = self.plain(name, size), dict[str, float]()
        for precision in self.precisions:
            ours = self.ours(name, size, precision)
            ours.run(iterations)
            with torch.no_grad():
                found[f"ours, {precision}"] = judge.loss(ours.image).item()
        judge.run(iterations)
        with torch.no_grad():
            found["plain, fp32"] = judge.loss(judge.image).item()
        return found


def _allowing(tf32: bool, run: Callable[[int], object], iterations: int) -> None:
    """Run with TF32 allowed or not; then it is again as the program leaves it, which is as torch does."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = tf32
    run(iterations)
    products.allow_tf32, convolutions.allow_tf32 = before


def films(clip: Path, style: Path, device: str, network: str, weights: Path | None, fps: float) -> dict[str, Any]:
    """Frames per second of `video` and of a headless `live`, run as a user runs them, and where the time goes."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log.jsonl")
        common = ["--style", style, "--device", device, "--network", network, "--log-json", log]
        common += [] if weights is None else ["--weights", weights]
        film = ["video", clip, "-o", Path(folder, "film.mp4"), "--iterations", 1, "--first-iterations", 1]
        done, seconds = _command(*film, *common)
        _command("live", "--source", clip, "--headless", "--target-fps", fps, *common)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    span = lines[-1]["done"] - lines[0]["done"]
    stages = {k: statistics.median(line["seconds"][k] for line in lines) for k in lines[0]["seconds"]}
    shares = {k: sum(line["seconds"][k] for line in lines[1:]) / span for k in ("carry", "look", "optimize")}
    return {
        "network": network,
        "video_fps": done / seconds,
        "live_fps": (len(lines) - 1) / span,
        "live_target_fps": fps,
        "live_iterations": statistics.mean(line["iterations"] for line in lines),
        "live_delay_ms": 1000 * statistics.median(line["delay"] for line in lines),
        "live_stage_ms": {k: round(1000 * v, 2) for k, v in stages.items()},
        "live_share_of_time": {k: round(v, 3) for k, v in shares.items()},
    }


def _command(*arguments: object) -> tuple[int, float]:
    """Run the program; the frames and the seconds that it says it took."""
    program = [sys.executable, "-c", "import sys; from nst_video.cli import main; sys.exit(main())"]
    done = subprocess.run([*program, *map(str, arguments)], stdout=subprocess.PIPE, check=True, text=True)
    frames, seconds = re.findall(r"(\d+) frames in ([\d.]+) s", done.stdout)[0]
    return int(frames), float(seconds)


def table(rows: list[dict[str, Any]], base: dict[str, float]) -> None:
    print(
        f"{'':30} {'ms':>8} {'quartiles':>17} {'of peak':>8} {'ns/pixel':>9} {'× VGG-19 plain':>15} {'× own plain':>12}"
    )
    for row in rows:
        low, high = row["quartiles_ms"]
        own, vgg = (base.get(k, float("nan")) / row["ms"] for k in (row["way"].split(",")[0], NETWORKS[1]))
        print(
            f"{row['way'] + ', ' + str(row['size'][1]):30} {row['ms']:8.2f} {low:8.2f} …{high:7.2f} "
            f"{row['share_of_peak']:8.2f} {row['ns_per_pixel']:9.1f} {vgg:15.1f} {own:12.1f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="the original VGG-19's; without, only lite is timed")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", type=int, default=320, help="longer side of the images that all ways work on")
    parser.add_argument("--sizes", type=int, nargs="*", default=[160, 320, 640, 1280], help="to see the cost per pixel")
    parser.add_argument("--turns", type=int, default=9, help="how often each way is timed")
    parser.add_argument("--equal", type=int, default=60, help="iterations before losses are compared; 0 leaves it out")
    parser.add_argument("--clip", type=Path, help="a clip to convert and to play live")
    parser.add_argument("--style", type=Path, default=shipped("samples", "starlight.jpg"), help="for the clip")
    parser.add_argument("--fps", type=float, default=20.0, help="of the live picture")
    parser.add_argument("--out", type=Path, default=Path("speed.json"))
    args = parser.parse_args()

    bench, turns = Bench(args.device, args.weights), max(2, args.turns)
    formats = {*bench.precisions, *bench.plain_precisions}
    peaks = {precision: bench.peak(precision) for precision in sorted(formats)}
    record: dict[str, Any] = {
        "date": date.today().isoformat(),
        "device": bench.name,
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "peak_gigaflop_per_second": peaks,
    }
    print(f"{bench.name}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print("peak of matrix products: " + ", ".join(f"{k} {v:.0f} GFLOP/s" for k, v in peaks.items()))

    ways = [bench.way("plain", name, args.size, p) for name in bench.networks for p in bench.plain_precisions]
    ways += [bench.way("ours", name, args.size, p) for name in bench.networks for p in bench.precisions]
    bench.race(ways, turns)
    base = {way.network: way.ms for way in ways if (way.kind, way.precision) == ("plain", "fp32")}
    record["iterations"] = [way.record(peaks) for way in ways]
    table(record["iterations"], base)
    del ways

    best = bench.precisions[-1]
    sizes = [bench.way("ours", "lite", size, best) for size in args.sizes]
    if sizes:
        print("\ncost per pixel")
        bench.race(sizes, turns)
        record["sizes"] = [way.record(peaks) for way in sizes]
        table(record["sizes"], {})
        del sizes

    if args.equal:
        record["losses"] = {name: bench.losses(name, args.size, args.equal) for name in bench.networks}
        print(f"\nloss after {args.equal} iterations, seen in fp32")
        for name, losses in record["losses"].items():
            print(f"{name:14} " + "   ".join(f"{k} {v:.5f}" for k, v in losses.items()))
    if bench.device.type == "cuda":
        record["gibibytes_at_most"] = torch.cuda.max_memory_allocated(bench.device) / 2**30

    if args.clip is not None:
        record["films"] = []
        for name in bench.networks if bench.device.type == "cuda" else ("lite",):
            weights = args.weights if name != "lite" else None
            found = films(args.clip, args.style, args.device, name, weights, args.fps)
            record["films"].append(found)
            print("\n" + "\n".join(f"{k:20} {v}" for k, v in found.items()))
    args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
