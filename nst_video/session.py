"""Puts the rooms together: a still picture, a film. No maths here, and nothing is printed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from nst_video.device import Compute
from nst_video.errors import SinkError
from nst_video.frame import Frame, Pixels
from nst_video.image import read_picture, resize
from nst_video.optimizer import Losses
from nst_video.pipeline import Pipeline
from nst_video.settings import ImageConfig, SessionConfig, StyleSettings, VideoConfig
from nst_video.sinks import FILM_SUFFIXES, PICTURE_SUFFIXES, VideoWriter, check_output, write_picture
from nst_video.sources import VideoFile
from nst_video.stylizer import Painted, State, Stylizer
from nst_video.weights import load_network

REPORT_EVERY = 10  # iterations of a still picture: reading a loss makes a GPU wait


@dataclass(frozen=True)
class Progress:
    """How far a run is: `done` of `total` iterations or frames (None: not known), the last losses, and a remark."""

    done: int
    total: int | None
    losses: dict[str, float]
    detail: str = ""


@dataclass(frozen=True)
class Summary:
    """What a run made."""

    output: Path
    done: int
    expected: int
    seconds: float
    device: str
    interrupted: bool = False

    @property
    def incomplete(self) -> bool:
        """Clearly fewer frames came than the file holds or should hold."""
        return not self.interrupted and self.done < 0.98 * self.expected - 1


OnProgress = Callable[[Progress], None]


def run_image(config: ImageConfig, settings: StyleSettings, on_progress: OnProgress) -> Summary:
    """Paint one still picture. Raises the errors of `nst_video.errors`."""
    _check_outputs(config, PICTURE_SUFFIXES, config.content)
    begun = time.perf_counter()
    with ExitStack() as stack:
        content = read_picture(config.content)
        last = config.refine_iterations
        stylizers = []
        if last < config.iterations:
            first = replace(config, pooling="max") if last and config.network == "lite" else config  # it has no other
            stylizers.append(_stylizer(first, settings, iterations=config.iterations - last))
        if last and config.refine != "none":
            instead = replace(config, network=config.refine, weights=config.refine_weights)
            stylizers.append(_stylizer(instead, settings, iterations=last))
        log = _open_log(config, stack)
        done = 0

        def report(iteration: int, _: Tensor, losses: Losses) -> None:
            if (done + iteration) % REPORT_EVERY == 0 or done + iteration == config.iterations:
                on_progress(Progress(done + iteration, config.iterations, losses.values()))

        start, seconds = _start(config, stylizers[0][0], content), dict[str, float]()
        for stylizer, _ in stylizers:
            painted, state = stylizer.step(content, settings, None, start=start, on_iteration=report)
            start, done = state.image, done + painted.iterations
            seconds = {stage: seconds.get(stage, 0.0) + value for stage, value in painted.seconds.items()}
        saved = time.perf_counter()
        write_picture(config.output, painted.pixels)
        _log(log, 0, 0.0, replace(painted, iterations=done, seconds=seconds), {"write": time.perf_counter() - saved})
    return Summary(config.output, done, config.iterations, time.perf_counter() - begun, stylizers[-1][1].name)


def run_video(config: VideoConfig, settings: StyleSettings, on_progress: OnProgress) -> Summary:
    """Paint a film, frame by frame, with its sound.

    Until the first frame is done `on_progress` is called from a thread of its own, then from the caller's.
    Ctrl-C (KeyboardInterrupt in the calling thread) ends the film after the frames that are in hand; a second one
    gives up. Raises the errors of `nst_video.errors`, and then leaves no output.
    """
    _check_outputs(config, FILM_SUFFIXES, config.clip)
    begun = time.perf_counter()
    with ExitStack() as stack:
        source = VideoFile(config.clip, start=config.start, end=config.end)
        stylizer, compute = _stylizer(
            config,
            settings,
            iterations=config.iterations,
            first_iterations=config.first_iterations,
            use_flow=config.flow == "dis",
        )
        log = _open_log(config, stack)
        # Left in this order: decoder and encoder end, then the threads that may be waiting for them.
        pipeline = stack.enter_context(Pipeline())
        stack.callback(source.close)
        sink = VideoWriter(
            config.output,
            source.info.width,
            source.info.height,
            source.info.frame_rate,
            codec=config.codec,
            crf=config.crf,
            audio_from=config.clip if config.audio else None,
            start=config.start,
            duration=None if config.end is None else config.end - config.start,
        )
        stack.callback(sink.discard)  # harmless once it is closed
        state: State | None = None

        def paint(item: tuple[Frame, float]) -> tuple[Frame, Painted, float]:
            nonlocal state
            frame, read_seconds = item

            def report(iteration: int, _: Tensor, losses: Losses) -> None:
                pipeline.check()
                if frame.index == 0 and iteration % REPORT_EVERY == 0:  # the long one
                    detail = f"first frame: {iteration} of {config.first_iterations} iterations"
                    on_progress(Progress(0, source.info.frame_count, losses.values(), detail))

            painted, state = stylizer.step(frame.pixels, settings, state, on_iteration=report)
            return frame, painted, read_seconds

        def write(item: tuple[Frame, Painted, float]) -> tuple[Frame, Painted, dict[str, float]]:
            frame, painted, read_seconds = item
            started = time.perf_counter()
            sink.write(Frame(painted.pixels, frame.index, frame.pts, frame.time_base))
            return frame, painted, {"read": read_seconds, "write": time.perf_counter() - started}

        done, interrupted, losses = 0, False, dict[str, float]()
        written = pipeline.stage("write", write, pipeline.stage("stylise", paint, pipeline.read(_timed(source))))
        while True:
            try:
                for frame, painted, seconds in pipeline.results(written):
                    done += 1
                    _log(log, frame.index, frame.seconds, painted, seconds)
                    losses = painted.losses
                    on_progress(Progress(done, source.info.frame_count, losses))
                sink.close(interrupted=interrupted)
                break
            except KeyboardInterrupt:
                if interrupted or not done:
                    raise
                interrupted = True
                pipeline.stop()
                on_progress(Progress(done, source.info.frame_count, losses, "finishing; Ctrl-C again gives up"))
    seconds_all = time.perf_counter() - begun
    return Summary(config.output, done, source.info.frame_count, seconds_all, compute.name, interrupted)


def _stylizer(
    config: SessionConfig,
    settings: StyleSettings,
    *,
    iterations: int,
    first_iterations: int | None = None,
    use_flow: bool = True,
) -> tuple[Stylizer, Compute]:
    config.check_blend(settings)
    styles = [read_picture(path) for path in config.style]
    compute = Compute.choose(config.device, config.precision, config.threads)
    network = load_network(config.network, weights=config.weights, pooling=config.pooling, progress=not config.quiet)
    network.check_layers(settings.content_layers, "--content-layers")
    network.check_layers(settings.style_layers, "--style-layers")
    stylizer = Stylizer(
        network,
        styles,
        compute=compute,
        size=config.size,
        iterations=iterations,
        first_iterations=first_iterations,
        use_flow=use_flow,
    )
    return stylizer, compute


def _start(config: ImageConfig, stylizer: Stylizer, content: Pixels) -> Tensor:
    """The image that the optimiser begins with, of the shape that it works `content` at."""
    start = stylizer.worked(content)
    if config.init == "style":
        start = resize(stylizer.worked(read_picture(config.style[0])), (start.shape[2], start.shape[3]))
    dice = torch.Generator().manual_seed(config.seed)
    noise = torch.rand(start.shape, generator=dice).to(start)
    return torch.lerp(start, noise, 1.0 if config.init == "noise" else config.init_noise)


def _timed(source: VideoFile) -> Iterator[tuple[Frame, float]]:
    """Frames with the seconds that reading each took."""
    frames = iter(source)
    while True:
        started = time.perf_counter()
        frame = next(frames, None)
        if frame is None:
            return
        yield frame, time.perf_counter() - started


def _check_outputs(config: SessionConfig, suffixes: tuple[str, ...], content: Path) -> None:
    weights = (config.weights, config.refine_weights if isinstance(config, ImageConfig) else None)
    inputs = (content, *config.style, *(path for path in weights if path is not None))
    check_output(config.output, suffixes, inputs)
    if config.log_json is not None:
        check_output(config.log_json, None, (*inputs, config.output))


def _open_log(config: SessionConfig, stack: ExitStack) -> TextIO | None:
    if config.log_json is None:
        return None
    try:
        return stack.enter_context(config.log_json.open("w", encoding="utf-8"))
    except OSError as error:
        raise SinkError(f"cannot write --log-json {config.log_json}: {error.strerror}") from None


def _log(log: TextIO | None, index: int, pts: float, painted: Painted, seconds: dict[str, float]) -> None:
    if log is None:
        return
    record: dict[str, Any] = {
        "index": index,
        "pts": round(pts, 6),
        "iterations": painted.iterations,
        "losses": {name: float(f"{value:.6g}") for name, value in painted.losses.items()},
        "seconds": {stage: round(value, 5) for stage, value in {**painted.seconds, **seconds}.items()},
    }
    log.write(json.dumps(record) + "\n")
    log.flush()
