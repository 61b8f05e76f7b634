"""How steady, how stylised and how crisp a film is, painted in several ways.

    python -m benchmarks.temporal CLIP STYLE --weights vgg19.safetensors --iterations 1 3 10
    python -m benchmarks.temporal PHOTO STYLE --weights vgg19.safetensors --frames 300 --ways c --noise 2
    python -m benchmarks.temporal CLIP STYLE --seeing
    python -m benchmarks.temporal --middlebury FOLDER

The ways: (a) each frame from scratch; (b) warm start without flow; (c) ours; (d) ours without temporal loss; (e) a
single pass with the settings of Ruder et al. (GCPR 2016). A photo is repeated, with a camera's noise.

For each it prints style and content score (VGG-19 in fp32, see score.py), the warping error (Lai et al., ECCV 2018:
mean over frames and unoccluded pixels of ‖warp(O_t+1) − O_t‖², flow and occlusion from the input), sharpness (variance
of the Laplacian, relative to (a)'s), drift of the mean luminance, mean change in still regions (of 255), iterations
and seconds per frame; and writes JSON and a strip picture. An over-smooth film scores well on warping error: read it
together with style and sharpness.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import platform
import time
import typing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from tqdm import tqdm

from benchmarks.score import Judge
from nst_video.adam import Moments
from nst_video.device import Compute
from nst_video.errors import NstVideoError
from nst_video.flow import FlowEstimator, agreed, backward_warp, grey, motion_boundaries, occlusion_mask, way_back
from nst_video.focus import OVERDUE
from nst_video.frame import Pixels
from nst_video.glance import LARGER, WORTH, enlarged_flow, suffices
from nst_video.image import fit, resize, resize_pixels, to_image, to_pixels
from nst_video.networks import FeatureNetwork
from nst_video.objective import Held, Objective
from nst_video.optimizer import Optimizer
from nst_video.painting import Prepared
from nst_video.pictures import read_picture
from nst_video.settings import CONTENT_LAYERS, STYLE_LAYERS, Flow, StyleSettings, VideoConfig
from nst_video.sources import VideoFile
from nst_video.stylizer import Stylizer
from nst_video.weights import load_network

RUDER = StyleSettings(content_weight=0.05, style_weight=1.0, tv_weight=1e-5, temporal_weight=10.0, jitter=0)
"""Content 5, style 100, total variation 1e-3, temporal 1e3 (sec. 6.1), over 100. Our terms are relative to their
targets, theirs are not, so only the proportions are theirs."""
FIRST = VideoConfig.first_iterations
"""Iterations of the first frame of a film."""


class WarpingError:
    """Lai et al., ECCV 2018, eq. 5, with the flow of the source's own frames."""

    def __init__(self, frames: list[Pixels]) -> None:
        estimator, greys = FlowEstimator(), [grey(f) for f in frames]
        flows = [estimator(after, before) for before, after in pairwise(greys)]  # from each frame to the next one
        self._flows = [(flow, occlusion_mask(flow, opposite)) for flow, opposite in flows]

    def __call__(self, results: list[Pixels]) -> float:
        errors = []
        for (before, after), (flow, visible) in zip(pairwise(results), self._flows, strict=False):
            difference = (backward_warp(to_image(after), flow) - to_image(before)).square().sum(1, keepdim=True)
            errors.append(((difference * visible).sum() / visible.sum().clamp_min(1)).item())
        return sum(errors) / len(errors)


class Made(NamedTuple):
    """A film, painted."""

    frames: list[Pixels]
    iterations: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, nargs="?", help="a film, or a photo to be repeated")
    parser.add_argument("style", type=Path, nargs="?")
    parser.add_argument("--weights", type=Path, help="the original VGG-19 weights, for scoring")
    parser.add_argument("--ways", nargs="+", choices=tuple("abcde"), default=["a", "b", "c", "d"])
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--frames", type=int, default=40, help="only so many; 0 for all")
    parser.add_argument("--start", type=int, default=0, help="the first frame")
    parser.add_argument("--score-every", type=int, default=5, help="score every n-th frame")
    parser.add_argument("--scratch", type=int, default=100, help="iterations per frame of (a)")
    parser.add_argument("--iterations", type=int, nargs="+", default=[1, 3, 10], help="of (c) and (d); the last of (b)")
    parser.add_argument("--ruder", type=int, default=500, help="iterations per frame of (e), and twice that at first")
    parser.add_argument("--stability", type=float, default=StyleSettings.stability)
    parser.add_argument("--flow", choices=typing.get_args(Flow)[:3], default="dis", help="of (c) and (d)")
    parser.add_argument("--noise", type=float, default=2.0, help="of a repeated photo: standard deviation, of 255")
    parser.add_argument("--network", choices=("lite", "vgg19-caffe"), default="lite", help="to optimise against")
    parser.add_argument("--seeing", action="store_true", help="how long it takes to see and to paint a frame, only")
    parser.add_argument("--middlebury", type=Path, help="a folder of pairs with the flow between them: its error only")
    parser.add_argument("--out", type=Path, default=Path("temporal"), help="name of the .json and .png to write")
    args = parser.parse_args()
    if args.middlebury:
        print_flow_errors(args.middlebury)
        return
    if not (args.clip and args.style and (args.weights or args.seeing)):
        parser.error("CLIP, STYLE and --weights are needed")

    frames = read_frames(args.clip, args.size, args.start, args.frames, args.noise)
    style = read_picture(args.style)
    network = load_network(args.network, weights=None if args.network == "lite" else args.weights)
    if args.seeing:
        for iterations in (1, WORTH):
            print_seeing(network, frames, style, args.size, iterations)
        return
    judge, error = Judge(args.weights, style, args.size), WarpingError(frames)
    settings = StyleSettings(stability=args.stability)
    scored = range(0, len(frames), args.score_every)
    rows, strips = list[dict[str, object]](), [np.hstack(pick(frames))]
    record = {
        "clip": args.clip.name,
        "style": args.style.name,
        "network": args.network,
        "size": [frames[0].shape[1], frames[0].shape[0]],
        "frames": len(frames),
        "settings": dataclasses.asdict(settings),
        "flow": args.flow,
        "torch": torch.__version__,
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "source_warping_error": error(frames),
        "ways": rows,
    }
    print(f"{args.clip.name} {args.style.name}, {len(frames)} frames, own warping error {error(frames):.6f}")
    print(f"{'':32} style  content  warping    sharp   drift  still   its   s/frame")
    for name, made in ways(network, frames, style, settings, args):
        row = {
            "way": name,
            "style": sum(judge.style(made.frames[i]) for i in scored) / len(scored),
            "content": sum(judge.content(made.frames[i], frames[i]) for i in scored) / len(scored),
            "warping_error": error(made.frames),
            "sharpness": sum(sharpness(made.frames[i]) for i in scored) / len(scored),
            "drift": drift(made.frames, frames),
            "still_change": still_change(made.frames, frames),
            "iterations": made.iterations,
            "seconds_per_frame": made.seconds / len(frames),
            "styles": [round(judge.style(made.frames[i]), 4) for i in scored],
            "sharpnesses": [round(sharpness(made.frames[i]), 1) for i in scored],
        }
        rows.append(row)
        strips.append(np.hstack(pick(made.frames)))
        crisp = sharpness_of(rows, row)
        print(
            f"{name:30} {row['style']:7.4f} {row['content']:7.4f} {row['warping_error']:10.6f} {crisp:6.2f} "
            f"{row['drift']:+7.2%} {row['still_change']:6.2f} {row['iterations']:6.1f} {row['seconds_per_frame']:7.3f}",
            flush=True,
        )
        args.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
        cv2.imwrite(str(args.out.with_suffix(".png")), cv2.cvtColor(np.vstack(strips), cv2.COLOR_RGB2BGR))


def read_frames(path: Path, size: int, start: int, count: int, noise: float) -> list[Pixels]:
    """Frames at the worked size; of a photo, `count` times the same with normal noise."""
    try:
        photo = read_picture(path)
    except NstVideoError:
        source = VideoFile(path)
        shape = fit(source.info.height, source.info.width, size)
        frames = [resize_pixels(f.pixels, shape) for f in islice(source, start, start + count if count else None)]
        source.close()
        return frames
    photo, dice = resize_pixels(photo, fit(photo.shape[0], photo.shape[1], size)), np.random.default_rng(0)
    return [
        np.asarray(np.clip(np.rint(photo + dice.normal(0, noise, photo.shape)), 0, 255), np.uint8)
        for _ in range(count or 300)
    ]


def ways(
    network: FeatureNetwork, frames: list[Pixels], style: Pixels, settings: StyleSettings, args: argparse.Namespace
) -> Iterator[tuple[str, Made]]:
    """Each way asked for, by its name, and what it made."""
    size, free = args.size, dataclasses.replace(settings, temporal_weight=0.0)
    flow = FlowEstimator()
    if "a" in args.ways:
        yield f"(a) from scratch, {args.scratch}", scratch(network, frames, style, settings, size, args.scratch)
    if "b" in args.ways:
        many = args.iterations[-1]
        yield f"(b) no flow, {many}", warm(network, frames, style, settings, size, many, None)
    for letter, name, those in (("c", "ours", settings), ("d", "no temporal loss", free)):
        for many in args.iterations if letter in args.ways else ():
            made = warm(network, frames, style, those, size, many, flow, quick=suffices(args.flow, many))
            yield f"({letter}) {name}, {many}", made
    if "e" in args.ways:
        yield f"(e) Ruder et al., {args.ruder}", ruder(network, frames, style, size, args.ruder)


def scratch(
    network: FeatureNetwork, frames: list[Pixels], style: Pixels, settings: StyleSettings, size: int, iterations: int
) -> Made:
    """Each frame as a picture of its own."""
    stylizer = Stylizer(network, [style], compute=Compute.choose(), size=size, iterations=iterations)
    begun = time.perf_counter()
    results = [stylizer.step(frame, settings, None)[0].pixels for frame in tqdm(frames, leave=False, mininterval=10)]
    return Made(results, iterations, time.perf_counter() - begun)


def warm(
    network: FeatureNetwork,
    frames: list[Pixels],
    style: Pixels,
    settings: StyleSettings,
    size: int,
    iterations: int,
    flow: FlowEstimator | None,
    *,
    quick: bool = False,
) -> Made:
    """As `video` paints: 150 iterations for the first frame, at most `iterations` for the others."""
    stylizer = Stylizer(
        network,
        [style],
        compute=Compute.choose(),
        size=size,
        iterations=iterations,
        first_iterations=FIRST,
        flow=flow,
        quick=quick,
    )
    results, state, total = list[Pixels](), None, 0
    begun = time.perf_counter()
    for frame in tqdm(frames, leave=False, mininterval=10):
        painted, state = stylizer.step(frame, settings, state)
        results.append(painted.pixels)
        total += painted.iterations
    return Made(results, total / len(frames), time.perf_counter() - begun)


def ruder(network: FeatureNetwork, frames: list[Pixels], style: Pixels, size: int, iterations: int) -> Made:
    """Single pass, short-term loss: start from the warped last result, content in the holes; nothing else is carried.

    Theirs is L-BFGS, DeepFlow and VGG-19; here it is our Adam, flow and network, so that the settings are compared.
    """
    compute, estimator = Compute.choose(), FlowEstimator()
    network = compute.place(network)
    content = to_image(frames[0])
    look = compute.look(network, content, CONTENT_LAYERS, STYLE_LAYERS)
    objective = Objective(look.whole, content, RUDER)
    optimizer = Optimizer(objective, content)
    picture = resize(to_image(style), fit(style.shape[0], style.shape[1], size))
    with torch.no_grad():
        grams = network.look(picture, (), STYLE_LAYERS)[1]
    results, image, begun = list[Pixels](), content, time.perf_counter()
    for i, frame in enumerate(tqdm(frames, leave=False, mininterval=10)):
        content, held = to_image(frame), None
        image = image if i else content
        if i:
            flow, opposite = estimator(grey(frames[i - 1]), grey(frame))
            visible, warped = occlusion_mask(flow, opposite), backward_warp(image, flow)
            held = Held(warped, visible * motion_boundaries(flow))
            image = torch.lerp(content, warped, visible)
        objective.aim(RUDER, look.content(content), grams, held)
        image, *_ = optimizer.run(
            image,
            Moments.zero(content),
            iterations=iterations if i else 2 * iterations,
            learning_rate=RUDER.learning_rate,
        )
        results.append(to_pixels(image))
    return Made(results, iterations * (1 + 1 / len(frames)), time.perf_counter() - begun)


def sharpness(pixels: Pixels) -> float:
    """Variance of the Laplacian of the luminance, 0 to 255."""
    return float(cv2.Laplacian(grey(pixels), cv2.CV_64F).var())


def sharpness_of(rows: list[dict[str, object]], row: dict[str, object]) -> float:
    """Relative to (a)'s, the first row, if it is there."""
    first = rows[0]["sharpness"] if str(rows[0]["way"]).startswith("(a)") else math.nan
    return float(str(row["sharpness"])) / float(str(first))


def drift(results: list[Pixels], frames: list[Pixels]) -> float:
    """By how much the mean luminance of the last tenth differs from that of the first, as a share of it, where the
    source itself ends as it began (within 3 of 255); nan if there is no such place."""
    tenth = max(1, len(results) // 10)
    first, last, theirs, ours = (
        np.mean([grey(p) for p in part], axis=0)
        for part in (frames[:tenth], frames[-tenth:], results[:tenth], results[-tenth:])
    )
    same = np.abs(cv2.blur(last - first, (9, 9))) < 3
    return float(ours[same].mean() / theirs[same].mean() - 1) if same.any() else math.nan


def still_change(results: list[Pixels], frames: list[Pixels]) -> float:
    """Mean absolute change from frame to frame, of 255, where the source does not change within 15 pixels around; nan
    if there is no such place."""
    changes = []
    for (before, after), (then, now) in zip(pairwise(results), pairwise(frames), strict=True):
        difference = np.abs(cv2.blur(now.astype(np.float32) - then, (9, 9))).max(2)
        still = cv2.dilate((difference > 2).astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
        if still.any():
            changes.append(np.abs(after.astype(np.int16) - before)[still].mean())
    return float(np.mean(changes)) if changes else math.nan


def print_seeing(network: FeatureNetwork, frames: list[Pixels], style: Pixels, size: int, iterations: int) -> None:
    """How many milliseconds, by the median, it takes to see a frame (flow, masks, what has changed) and to paint it
    with so many iterations (carrying and looking included): in turns, all of it or where it is unripe; and, where the
    tool does so, while the next one is seen."""
    compute, quick = Compute.choose(), suffices("auto", iterations)
    stylizer = Stylizer(
        network,
        [style],
        compute=compute,
        size=size,
        iterations=iterations,
        first_iterations=FIRST,  # else all would be unripe for a hundred frames
        flow=FlowEstimator(),
        quick=quick,
    )
    settings, clock, begun = StyleSettings(), time.perf_counter, 1 + len(frames) // 10
    seeing, painting = list[float](), dict[str, list[float]]()
    with ThreadPoolExecutor(1) as other:
        for _ in range(2):  # a machine that slows down slows all
            for way in ("all", "part") if compute.takes_turns else ("all", "part", "beside"):
                times = painting.setdefault(way, [])
                prepared, state = stylizer.prepare(frames[0], None), None
                for index, frame in enumerate(frames[1:]):
                    if compute.takes_turns:
                        following: Prepared | None = stylizer.prepare(frame, prepared)
                    else:
                        coming = other.submit(stylizer.prepare, frame, prepared)
                        following = None if way == "beside" else coming.result()
                    if following is not None:
                        seeing.append(following.seconds["flow"])
                    if state is not None and way == "all":
                        state = dataclasses.replace(state, focus=OVERDUE)
                    now = clock()
                    _, state = stylizer.paint(prepared, settings, state)
                    if index >= begun:
                        times.append(clock() - now)
                    prepared = following or coming.result()
    see, *paint = (1000 * float(np.median(times)) for times in (seeing, *painting.values()))
    mean = 1000 * float(np.mean(painting["part"]))
    height, width = frames[0].shape[:2]
    what = f"{width}x{height}, flow {'half' if quick else 'dis'}, iterations {iterations}"
    beside = "" if compute.takes_turns else f", {paint[2]:.1f} ms while the next one is seen"
    print(
        f"{what}: seeing {see:.1f} ms, {see / paint[0]:.0%} of painting all of a frame, {paint[0]:.1f} ms; "
        f"painting what is unripe {paint[1]:.1f} ms (mean {mean:.1f}){beside}"
    )


def print_flow_errors(folder: Path) -> None:
    """Median and mean endpoint error in pixels of the flow of pairs `frame10.png`, `frame11.png` to `flow10.flo`."""
    print(f"{'':16}   dis: median, mean, seconds     half: median, mean, seconds")
    for scene in sorted(path.parent for path in folder.glob("*/flow10.flo")):
        data = (scene / "flow10.flo").read_bytes()
        width, height = np.frombuffer(data, "<i4", 2, 4)
        truth = torch.from_numpy(np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2).copy())
        known = (truth.abs() < 1e9).all(2)
        pictures, figures = [read_picture(scene / f"frame1{i}.png") for i in (0, 1)], []
        for share in (1, LARGER):
            begun = time.perf_counter()
            here, there = (grey(resize_pixels(picture, (height // share, width // share))) for picture in pictures)
            flow, opposite = FlowEstimator()(there, here, share)
            flow = enlarged_flow(agreed(flow, way_back(flow, opposite)), (width, height))
            seconds = time.perf_counter() - begun
            wrong = (flow[0].permute(1, 2, 0) - truth).norm(dim=2)[known]
            figures.append(f"{wrong.median():9.3f} {wrong.mean():9.3f} {seconds:9.3f}")
        print(f"{scene.name:16}", "   ".join(figures))


def pick(frames: list[Pixels]) -> list[Pixels]:
    """Four frames spread over the clip, for the strip picture."""
    return [frames[i * (len(frames) - 1) // 3] for i in range(4)]


if __name__ == "__main__":
    main()
