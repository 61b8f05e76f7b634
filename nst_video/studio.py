"""What stills, films and live pictures are painted with: the stylizer, its stages in threads, a log."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from nst_video.budget import Budget
from nst_video.controls import Knobs
from nst_video.device import Compute
from nst_video.errors import SettingsError, SinkError
from nst_video.flow import FlowEstimator
from nst_video.frame import Frame, Mask
from nst_video.glance import suffices
from nst_video.networks import FeatureNetwork
from nst_video.optimizer import Losses, Method
from nst_video.painting import Painted, Painting, Prepared, State
from nst_video.pictures import picture_size, read_mask, read_picture
from nst_video.pipeline import Channel, Pipeline
from nst_video.settings import ConvertConfig, Flow, SessionConfig, StyleSettings
from nst_video.sinks import check_output
from nst_video.stylizer import Stylizer
from nst_video.weights import load_network

SHAPE_TOLERANCE = 0.02
"""A mask may be so much narrower or wider, relatively, than what it is for: sizes are rounded."""


@dataclass(frozen=True)
class Read:
    """A frame, when it came, and the seconds that reading it took."""

    frame: Frame
    came_at: float
    read_seconds: float


@dataclass(frozen=True)
class Finished(Read):
    painted: Painted
    state: State
    """What the next frame begins with."""


def paint_all(
    pipeline: Pipeline,
    frames: Channel[Read],
    stylizer: Stylizer,
    knobs: Callable[[], Knobs],
    on_iteration: Callable[[int, int, Losses], None],
    budget: Budget | None = None,
    *,
    hold: Callable[[Frame], Frame] = lambda frame: frame,
    state: State | None = None,
) -> Channel[Finished]:
    """Three stages: while a frame is painted, the next one is prepared and the last one finished. Where `prepare` and
    `paint` take turns they are one stage: what is live is as young as can be then when it is seen.

    `knobs` are asked for at each stage of each frame; `hold` may put another frame in a frame's place; `on_iteration`
    gets the frame's index, the number of iterations done, and the losses; `state` is what the first frame begins with.
    """
    before = None if state is None else state.prepared
    begun = knobs().begun

    def prepare(item: Read) -> tuple[Read, Prepared]:
        nonlocal before
        item = replace(item, frame=hold(item.frame))
        before = stylizer.prepare(item.frame.pixels, before, size=knobs().size)
        return item, before

    def paint(both: tuple[Read, Prepared]) -> tuple[Read, Painting, State]:
        nonlocal state, begun
        (item, prepared), now, wanted = both, time.perf_counter(), knobs()
        if wanted.begun != begun:
            state, begun = None, wanted.begun
        first = state is None
        painting, state = stylizer.paint(
            prepared,
            wanted.settings,
            state,
            iterations=None if budget is None else budget.iterations,
            on_iteration=lambda done, _, losses: on_iteration(item.frame.index, done, losses),
        )
        if budget is not None and painting.iterations and not first:  # which waits for much that is done once
            iterating = painting.seconds["optimize"]
            around = time.perf_counter() - now - iterating
            if stylizer.takes_turns:
                around += sum(prepared.seconds.values())
            budget.spent(painting.iterations, iterating, around, painting.share)
        return item, painting, state

    def finish(all_of_it: tuple[Read, Painting, State]) -> Finished:
        item, painting, state = all_of_it
        painted = stylizer.finish(painting, knobs().settings)
        return Finished(item.frame, item.came_at, item.read_seconds, painted, state)

    if stylizer.takes_turns:
        painted = pipeline.stage("paint", lambda item: paint(prepare(item)), frames, ahead=1)
    else:
        prepared = pipeline.stage("prepare", prepare, frames, ahead=1, modest=True)
        painted = pipeline.stage("paint", paint, prepared, ahead=1)
    return pipeline.stage("finish", finish, painted, ahead=1, modest=True)


def make_stylizer(
    config: SessionConfig,
    settings: StyleSettings,
    *,
    iterations: int,
    first_iterations: int | None = None,
    flow: Flow = "none",
    memory: tuple[int, ...] = (),
    method: Method = "adam",
) -> tuple[Stylizer, Compute, FeatureNetwork]:
    """A stylizer for what is wanted, where it computes, and its network. Raises the errors of `nst_video.errors`."""
    config.check_blend(settings)
    masks, limit = list[Mask](), math.inf
    if isinstance(config, ConvertConfig):
        config.check_masks(settings)
        masks = [read_mask(path, max_pixels=config.max_pixels) for path in config.mask]
        limit = config.memory * 1e9
    styles = [read_picture(path, max_pixels=config.max_pixels) for path in config.style]
    compute = Compute.choose(config.device, config.precision, config.threads)
    with compute.one_thread():  # here nothing is painted
        network = load_network(
            config.network, weights=config.weights, pooling=config.pooling, progress=not config.quiet
        )
        network = compute.place(network)
    network.check_layers(settings.content_layers, "--content-layers")
    network.check_layers(settings.style_layers, "--style-layers")
    stylizer = Stylizer(
        network,
        styles,
        compute=compute,
        size=config.size,
        iterations=iterations,
        first_iterations=first_iterations,
        flow=None if flow == "none" else FlowEstimator(),
        quick=suffices(flow, iterations),
        memory=memory,
        method=method,
        masks=masks,
        limit=limit,
    )
    return stylizer, compute, network


def check_masks(config: ConvertConfig, width: int, height: int) -> None:
    """Raise `SettingsError` if a mask has not the shape of what is painted, whatever its size."""
    for path in config.mask:
        wide, tall = picture_size(path, max_pixels=config.max_pixels)
        if abs(wide * height - width * tall) > SHAPE_TOLERANCE * max(wide * height, width * tall):
            raise SettingsError(
                f"--mask {path} has {wide}x{tall} pixels; it must have the shape of what is painted, {width}x{height}"
            )


def timed(source: Iterable[Frame]) -> Iterator[Read]:
    frames = iter(source)
    while True:
        started = time.perf_counter()
        frame = next(frames, None)
        if frame is None:
            return
        now = time.perf_counter()
        yield Read(frame, now, now - started)


def check_log(config: SessionConfig, others: tuple[Path, ...]) -> None:
    """Raise `SinkError` if the log cannot be written, or would take the place of one of `others`."""
    if config.log_json is not None:
        check_output(config.log_json, None, others)


def open_log(config: SessionConfig, stack: ExitStack, *, keep: int = 0) -> TextIO | None:
    """The log, with what an earlier run wrote about the first `keep` frames."""
    if config.log_json is None:
        return None
    try:
        if keep and config.log_json.is_file():
            lines = config.log_json.read_text(encoding="utf-8").splitlines()[:keep]
            config.log_json.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
            return stack.enter_context(config.log_json.open("a", encoding="utf-8"))
        return stack.enter_context(config.log_json.open("w", encoding="utf-8"))
    except OSError as error:
        raise SinkError(f"cannot write --log-json {config.log_json}: {error.strerror}") from None


def write_log(log: TextIO | None, frame: Frame, painted: Painted, seconds: dict[str, float], **more: float) -> None:
    if log is None:
        return
    record: dict[str, Any] = {
        "index": frame.index,
        "pts": round(frame.seconds, 6),
        "iterations": painted.iterations,
        "losses": {name: float(f"{value:.6g}") for name, value in painted.losses.items()},
        "seconds": {stage: round(value, 5) for stage, value in {**painted.seconds, **seconds}.items()},
        **{name: round(value, 5) for name, value in more.items()},
    }
    log.write(json.dumps(record) + "\n")
    log.flush()
