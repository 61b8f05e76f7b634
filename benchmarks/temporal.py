"""How steady and how stylised a film is: each frame from scratch against the warm start at several iteration counts.

    python -m benchmarks.temporal CLIP STYLE --weights vgg19.safetensors --iterations 1 3 10

For every way it prints the style and content score (VGG-19 in fp32, see score.py), the warping error (Lai et al. 2018:
mean over frames and unoccluded pixels of ‖warp(O_t+1) − O_t‖², flow and occlusion from the input), iterations and
seconds per frame; and writes JSON and a strip picture beside it. An over-smooth film scores well on warping error:
read it together with the style score.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import time
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from benchmarks.score import Judge
from nst_video.device import Compute
from nst_video.flow import FlowEstimator, backward_warp, grey, occlusion_mask
from nst_video.frame import Pixels
from nst_video.image import fit, read_picture, to_image
from nst_video.networks import FeatureNetwork
from nst_video.settings import StyleSettings
from nst_video.sources import VideoFile
from nst_video.stylizer import State, Stylizer
from nst_video.weights import load_network


class WarpingError:
    """Lai et al., ECCV 2018, eq. 5, with the flow of the source's own frames."""

    def __init__(self, frames: list[Pixels]) -> None:
        estimator, greys = FlowEstimator(), [grey(f, (f.shape[0], f.shape[1])) for f in frames]
        flows = [estimator(after, before) for before, after in pairwise(greys)]  # from each frame to the next one
        self._flows = [(flow, occlusion_mask(flow, opposite)) for flow, opposite in flows]

    def __call__(self, results: list[Pixels]) -> float:
        errors = []
        for (before, after), (flow, visible) in zip(pairwise(results), self._flows, strict=True):
            difference = (backward_warp(to_image(after), flow) - to_image(before)).square().sum(1, keepdim=True)
            errors.append(((difference * visible).sum() / visible.sum().clamp_min(1)).item())
        return sum(errors) / len(errors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="the original VGG-19 weights, for scoring")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--frames", type=int, default=0, help="only the first so many (default: all)")
    parser.add_argument("--score-every", type=int, default=5, help="score every n-th frame")
    parser.add_argument("--scratch", type=int, default=100, help="iterations per frame from scratch; 0 leaves it out")
    parser.add_argument("--iterations", type=int, nargs="+", default=[1, 3, 10], help="of the warm start")
    parser.add_argument("--temporal-weight", type=float, default=StyleSettings.temporal_weight)
    parser.add_argument("--network", choices=("lite", "vgg19-caffe"), default="lite", help="to optimise against")
    parser.add_argument("--out", type=Path, default=Path("temporal"), help="name of the .json and .png to write")
    args = parser.parse_args()

    source = VideoFile(args.clip)
    height, width = fit(source.info.height, source.info.width, args.size)
    frames = [
        np.asarray(cv2.resize(f.pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        for f in islice(source, args.frames or None)
    ]
    style = read_picture(args.style)
    network = load_network(args.network, weights=None if args.network == "lite" else args.weights)
    judge, steadiness = Judge(args.weights, style, args.size), WarpingError(frames)
    settings = StyleSettings(temporal_weight=args.temporal_weight)
    ways: list[tuple[str, int, dict[str, Any]]] = [
        *([(f"from scratch, {args.scratch}", args.scratch, {"carry": False})] if args.scratch else []),
        *((f"warm start without flow, {n}", n, {"use_flow": False}) for n in args.iterations if n == 3),
        *((f"ours, {n}", n, {}) for n in args.iterations),
    ]

    rows, strips = [], [np.hstack(pick(frames))]
    print(f"source's own warping error {steadiness(frames):.6f}")
    print(f"{'':30} style  content  warping   s/frame")
    for name, iterations, options in ways:
        results, seconds = convert(network, frames, style, settings, args.size, iterations, **options)
        scored = range(0, len(frames), args.score_every)
        row = {
            "way": name,
            "style": sum(judge.style(results[i]) for i in scored) / len(scored),
            "content": sum(judge.content(results[i], frames[i]) for i in scored) / len(scored),
            "warping_error": steadiness(results),
            "seconds_per_frame": seconds / len(frames),
        }
        rows.append(row)
        strips.append(np.hstack(pick(results)))
        print(
            f"{name:28} {row['style']:7.4f} {row['content']:7.4f} {row['warping_error']:10.6f} "
            f"{row['seconds_per_frame']:7.3f}",
            flush=True,
        )
    record = {
        "clip": args.clip.name,
        "style": args.style.name,
        "network": args.network,
        "size": [width, height],
        "frames": len(frames),
        "settings": dataclasses.asdict(settings),
        "torch": torch.__version__,
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "source_warping_error": steadiness(frames),
        "ways": rows,
    }
    args.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    cv2.imwrite(str(args.out.with_suffix(".png")), cv2.cvtColor(np.vstack(strips), cv2.COLOR_RGB2BGR))


def convert(
    network: FeatureNetwork,
    frames: list[Pixels],
    style: Pixels,
    settings: StyleSettings,
    size: int,
    iterations: int,
    *,
    carry: bool = True,
    use_flow: bool = True,
) -> tuple[list[Pixels], float]:
    """All frames painted, and the seconds it took; without `carry` each starts from its own content."""
    stylizer = Stylizer(
        network,
        [style],
        compute=Compute.choose(),
        size=size,
        iterations=iterations,
        first_iterations=max(iterations, 150) if carry else iterations,
        flow=FlowEstimator() if use_flow else None,
    )
    results: list[Pixels] = []
    state: State | None = None
    begun = time.perf_counter()
    for frame in tqdm(frames, leave=False, mininterval=10):
        painted, state = stylizer.step(frame, settings, state if carry else None)
        results.append(painted.pixels)
    return results, time.perf_counter() - begun


def pick(frames: list[Pixels]) -> list[Pixels]:
    """Four frames spread over the clip, for the strip picture."""
    return [frames[i * (len(frames) - 1) // 3] for i in range(4)]


if __name__ == "__main__":
    main()
