"""Puts the rooms together: a still picture, a film, a live picture. No maths here, and nothing is printed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from nst_video import checkpoint, recipe
from nst_video.budget import Budget
from nst_video.container import RECORDING_SUFFIXES, Encoder, choose_encoder, named
from nst_video.controls import Knobs
from nst_video.darkroom import Darkroom, Keep
from nst_video.device import Compute
from nst_video.errors import SettingsError, SinkError, SourceError, WorkError
from nst_video.feeds import open_source
from nst_video.fetch import fetch, is_url, shown
from nst_video.film import SEGMENT, Film
from nst_video.fingerprint import fingerprint
from nst_video.flow import FlowEstimator
from nst_video.frame import Frame, Pixels, StreamInfo
from nst_video.image import to_pixels
from nst_video.optimizer import Losses
from nst_video.parts import Parts
from nst_video.pictures import PICTURE_SUFFIXES, read_picture
from nst_video.pipeline import Pipeline
from nst_video.plot import PLOT_SUFFIXES, check_plotting, plot_losses
from nst_video.settings import STARTS, ImageConfig, LiveConfig, SessionConfig, StyleSettings, VideoConfig
from nst_video.show import Show
from nst_video.sinks import Album, check_film, check_output, write_file, write_picture
from nst_video.sources import Source, files, open_clip
from nst_video.still import REPORT_EVERY, Stage, Watch, beside, kept, resized, slowed, stages, start, weighted
from nst_video.studio import Finished, check_masks, make_stylizer, open_log, paint_all, timed, write_log
from nst_video.stylizer import Painting, Stylizer
from nst_video.window import check_display

GIF_FPS = 50  # hundredths of a second are its unit, and browsers slow down what has less than two
TICK_S = 0.02
"""How often a live session's window is seen to while nothing is painted."""


@dataclass(frozen=True)
class Progress:
    """How far a run is: `done` of `total` iterations or frames (None: not known), the last losses, and a remark."""

    done: int
    total: int | None
    losses: dict[str, float]
    detail: str = ""
    before: int = 0
    """How many of them an earlier run has done."""


@dataclass(frozen=True)
class Summary:
    """What a run made."""

    output: Path
    done: int
    expected: int
    seconds: float
    device: str
    interrupted: bool = False
    resumed: int = 0
    """Frames that an earlier run had done."""
    kept: int = 0
    """Frames that a later run would not have to paint again."""
    harm: str | None = None
    """What ffmpeg said of damage to the source."""
    lost: str | None = None
    """What of the source could not be taken along."""
    notes: tuple[str, ...] = ()
    """What was done otherwise than one might expect."""

    @property
    def incomplete(self) -> bool:
        """The source is damaged, or clearly fewer frames came than it holds."""
        return not self.interrupted and (self.harm is not None or self.done < 0.98 * self.expected - 1)


@dataclass(frozen=True)
class LiveSummary:
    """What was painted as it happened."""

    painted: int
    dropped: int
    """Frames of the source that came while others were painted."""
    iterations: int
    seconds: float
    """Between the first frame's coming and the last one's being done."""
    delay: float
    """From a frame's coming to its being done, in seconds; the median."""
    device: str
    kept: tuple[Path, ...]
    """Snapshots and recordings, as they were written."""
    knobs: Knobs
    """As they stood at the end."""
    interrupted: bool = False

    @property
    def fps(self) -> float:
        return self.painted / self.seconds if self.seconds else 0.0


OnProgress = Callable[[Progress], None]


def run_image(config: ImageConfig, settings: StyleSettings, on_progress: OnProgress) -> Summary:
    """Paint one still picture.

    Ctrl-C (KeyboardInterrupt) ends it early: the picture is written as far as it has come. Raises the errors of
    `nst_video.errors`.
    """
    _check_image(config, settings)
    begun = time.perf_counter()
    with ExitStack() as stack:
        content = read_picture(config.content, max_pixels=config.max_pixels)
        check_masks(config, content.shape[1], content.shape[0])
        painters, notes = _painters(config, settings), recipe.facts(config, settings)
        log = open_log(config, stack)

        stylizer, compute = painters[0].stylizer, painters[0].compute

        def keep(iteration: int, image: Tensor) -> None:
            so_far = Painting(content, to_pixels(image), iteration, {})
            path = beside(config.output, iteration, config.iterations)
            write_picture(path, stylizer.finish(so_far, settings).pixels, {**notes, "saved_after": iteration})

        watch = Watch(
            config.iterations,
            keep_at=kept(config.iterations, config.save_every),
            tell=lambda done, losses: on_progress(Progress(done, config.iterations, losses)),
            keep=keep,
        )
        seconds, interrupted = dict[str, float](), False
        try:
            while painters:  # one that is done is let go of, and its memory with it
                painter = painters.pop(0)
                stylizer, compute = painter.stylizer, painter.compute
                for name, value in _descend(painter, content, config, settings, watch).items():
                    seconds[name] = seconds.get(name, 0.0) + value
        except KeyboardInterrupt:
            if watch.image is None:
                raise
            interrupted, notes = True, {**notes, "saved_after": watch.done}
        assert watch.image is not None  # a plan has one iteration at least
        image, curve = watch.image, watch.curve()
        losses = {name: values[-1] for name, values in curve.items()}
        painted = stylizer.finish(Painting(content, to_pixels(image), watch.done, losses, seconds), settings)
        saved = time.perf_counter()
        write_picture(config.output, painted.pixels, notes)
        if config.plot is not None:
            changes = watch.changes if len(watch.changes) > 1 else []
            write_file(config.plot, plot_losses(config.plot.suffix, weighted(curve, settings), changes))
        write_log(log, Frame(painted.pixels, 0, 0, Fraction(1)), painted, {"write": time.perf_counter() - saved})
    return Summary(
        config.output,
        watch.done,
        config.iterations,
        time.perf_counter() - begun,
        compute.name,
        interrupted,
    )


@dataclass(frozen=True)
class _Painter:
    """A network's part in a still picture."""

    network: str
    stylizer: Stylizer
    compute: Compute
    stages: list[Stage]


def _descend(
    painter: _Painter, content: Pixels, config: ImageConfig, settings: StyleSettings, watch: Watch
) -> dict[str, float]:
    """Paint at all sizes of a painter, on from what `watch` has seen last; the seconds, by what they went into."""
    seconds = dict[str, float]()
    for stage in painter.stages:
        watch.changes.append((watch.done, f"{painter.network}, {stage.size} px"))
        prepared = painter.stylizer.prepare(content, None, size=stage.size)
        worked = prepared.content
        # Only the picture goes on: an optimiser's memory of another size or network misleads it.
        painting, state = painter.stylizer.paint(
            prepared,
            slowed(settings, watch.done),
            None,
            iterations=stage.iterations,
            start=start(config, worked) if watch.image is None else resized(watch.image, worked),
            on_iteration=watch,
        )
        watch.image = state.image
        seconds = {name: seconds.get(name, 0.0) + value for name, value in painting.seconds.items()}
    return seconds


def _painters(config: ImageConfig, settings: StyleSettings) -> list[_Painter]:
    """Who paints a still picture, and at which sizes: `--network`, then `--refine` at the last size."""
    last = config.refine_iterations
    painters = []
    if last < config.iterations:
        first = replace(config, pooling="max") if last and config.network == "lite" else config  # it has no other
        scales = 1 if config.optimizer == "sgd" else config.scales
        plan = stages(config.size, config.iterations - last, scales)
        stylizer, compute, _ = make_stylizer(first, settings, iterations=1, method=config.optimizer)
        painters.append(_Painter(config.network, stylizer, compute, plan))
    if last and config.refine != "none":
        instead = replace(config, network=config.refine, weights=config.refine_weights)
        plan = stages(config.size, last, 1 if painters else config.scales)
        stylizer, compute, _ = make_stylizer(instead, settings, iterations=1, method=config.optimizer)
        painters.append(_Painter(config.refine, stylizer, compute, plan))
    return painters


def run_video(config: VideoConfig, settings: StyleSettings, on_progress: OnProgress) -> Summary:
    """Paint a film, frame by frame, with its sound.

    Until the first frame is done `on_progress` is called from a thread of its own, then from the caller's.
    Ctrl-C (KeyboardInterrupt in the calling thread) ends the film after the frames that are in hand; a second one
    gives up. Raises the errors of `nst_video.errors`. However it ends, another run can go on where it stopped.
    """
    config = replace(config, output=named(config.output))
    clip = _check_video(config)
    begun = time.perf_counter()
    with ExitStack() as stack:
        encoder = choose_encoder(config.output, config.codec, config.crf, hardware=config.hardware)
        source = None if is_url(config.clip) else _open(config, config.clip, encoder)
        stylizer, compute, _ = make_stylizer(
            config,
            settings,
            iterations=config.iterations,
            first_iterations=config.first_iterations,
            flow=FlowEstimator() if config.flow == "dis" else None,
            memory=config.long_term,
        )
        parts = Parts(config.output, fingerprint(config, settings, clip), resume=config.resume)
        stack.callback(parts.close)
        source = source or _fetched(config, parts, encoder, on_progress)
        skip = parts.frames
        goes_on = skip and not parts.complete
        state = checkpoint.unpack(parts.state(len(parts.segments) - 1), compute.device) if goes_on else None
        log = open_log(config, stack, keep=skip)
        # Left in this order: decoder and encoder end, then the threads that may be waiting for them.
        pipeline = stack.enter_context(Pipeline())
        stack.callback(source.close)
        film = Film(
            config.output,
            parts,
            source.info,
            encoder,
            sound=source.sound if config.audio else None,
            start=config.start,
            duration=None if config.end is None else config.end - config.start,
        )
        stack.callback(film.discard)  # harmless once it is closed

        def tell(done: int, losses: dict[str, float], detail: str = "") -> None:
            on_progress(Progress(done, max(done, source.info.frame_count), losses, detail, before=skip))

        def report(index: int, iteration: int, losses: Losses) -> None:
            pipeline.check()
            if index == 0 and iteration % REPORT_EVERY == 0:  # the long one
                tell(0, losses.values(), f"first frame: {iteration} of {config.first_iterations} iterations")

        def write(item: Finished) -> tuple[Finished, float]:
            started = time.perf_counter()
            ends = (item.frame.index + 1) % SEGMENT == 0
            film.write(
                replace(item.frame, pixels=item.painted.pixels), (lambda: checkpoint.pack(item.state)) if ends else None
            )
            return item, time.perf_counter() - started

        done, interrupted, losses = skip, False, dict[str, float]()
        knobs = Knobs(settings, config.size)
        frames = pipeline.read(timed(source.frames(skip)))
        finished = paint_all(pipeline, frames, stylizer, lambda: knobs, report, state=state)
        written = pipeline.stage("write", write, finished)
        try:
            while True:
                try:
                    for item, write_seconds in pipeline.results(written):
                        done += 1
                        write_log(log, item.frame, item.painted, {"read": item.read_seconds, "write": write_seconds})
                        losses = item.painted.losses
                        tell(done, losses)
                    interrupted = not film.close(interrupted=interrupted)
                    break
                except KeyboardInterrupt:
                    if interrupted or not done:
                        raise
                    interrupted = True
                    pipeline.stop()
                    tell(done, losses, "finishing; Ctrl-C again gives up")
        except WorkError as error:
            film.discard()
            kept = f"; {parts.frames} frames are kept, --resume goes on from there" if parts.segments else ""
            raise WorkError(f"{error}{kept}") from error
    notes = [f"begun anew, as {', '.join(parts.replaced)} changed"] if parts.replaced else []
    if config.hardware and not encoder.hardware:
        notes.append(f"--hardware: no encoder of a graphics card works here, {encoder.name} was used")
    return Summary(
        config.output,
        film.count,
        max(film.count, source.info.frame_count),
        time.perf_counter() - begun,
        compute.name,
        interrupted,
        resumed=skip,
        kept=parts.frames,
        harm=source.harm,
        lost=film.lost,
        notes=(*notes, *film.notes),
    )


def run_live(config: LiveConfig, settings: StyleSettings, on_progress: OnProgress) -> LiveSummary:
    """Paint what a source shows, as it shows it; what comes while another frame is painted is left out.

    With a window it is to be called in the main thread. Ctrl-C (KeyboardInterrupt in the calling thread) ends it, as
    closing the window does. Raises the errors of `nst_video.errors`.
    """
    _check_live(config)
    interrupted = False
    with ExitStack() as stack:
        width, height = config.camera_size
        source = open_source(
            config.camera,
            config.source,
            size=(width, height),
            frame_rate=config.camera_fps,
            max_pixels=config.max_pixels,
        )
        stack.callback(source.close)
        flow = FlowEstimator(quick=True) if config.flow == "dis" else None
        stylizer, compute, network = make_stylizer(config, settings, iterations=max(1, config.iterations), flow=flow)
        budget = None if config.iterations else Budget(min(config.target_fps, float(source.info.frame_rate)))
        log = open_log(config, stack)

        def darkroom(keep: Keep) -> Darkroom:
            def develops() -> Stylizer:
                styles = [read_picture(path, max_pixels=config.max_pixels) for path in config.style]
                return Stylizer(network, styles, compute=compute, size=config.size, iterations=1)

            return Darkroom(develops, compute, iterations=config.snapshot_iterations, keep=keep)

        show = Show(config, settings, source, darkroom=darkroom, machine=f"{config.network} · {compute.name}")
        stack.callback(show.close)
        pipeline = stack.enter_context(Pipeline())
        # Left in this order: window, source (the reader may wait for it), threads, files that are being written.
        stack.callback(source.close)
        stack.callback(show.close_window)
        frames = pipeline.read(timed(source), newest=True)
        finished = paint_all(
            pipeline, frames, stylizer, lambda: show.knobs, lambda *_: pipeline.check(), budget, hold=show.hold
        )
        delays, iterations, begun = list[float](), 0, 0.0
        try:
            for item in pipeline.results_within(finished, TICK_S):
                if item is not None:
                    now = time.perf_counter()
                    begun = begun or item.came_at
                    delays.append(now - item.came_at)
                    iterations += item.painted.iterations
                    write_log(
                        log, item.frame, item.painted, {"read": item.read_seconds}, delay=delays[-1], done=now - begun
                    )
                    on_progress(Progress(len(delays), config.frames, item.painted.losses))
                    show.take(item.frame, item.painted, item.came_at)
                if not show.go_on() or len(delays) == config.frames:
                    break
        except KeyboardInterrupt:
            interrupted = True
        seconds = time.perf_counter() - begun if delays else 0.0
    return LiveSummary(
        painted=len(delays),
        dropped=frames.dropped,
        iterations=iterations,
        seconds=seconds,
        delay=statistics.median(delays) if delays else 0.0,
        device=compute.name,
        kept=tuple(show.kept),
        knobs=show.knobs,
        interrupted=interrupted,
    )


def _check_image(config: ImageConfig, settings: StyleSettings) -> None:
    """What can be known to fail before anything is opened or loaded."""
    config.check_descent(settings)
    if isinstance(config.init, Path) and not config.init.is_file():
        words = ", ".join(STARTS)
        raise SourceError(f"--init must be {words} or a picture, and there is no picture {config.init}")
    given = (config.weights, config.refine_weights, config.init)
    inputs = (config.content, *config.style, *config.mask, *(path for path in given if isinstance(path, Path)))
    between = [beside(config.output, done, config.iterations) for done in kept(config.iterations, config.save_every)]
    check_output(config.output, PICTURE_SUFFIXES, inputs)
    taken = {path.resolve() for path in inputs}
    for path in between:
        same = path.exists() and any(other.exists() and path.samefile(other) for other in taken)
        if same or path.is_dir() or path.resolve() in taken:
            name = f"choose another name than {config.output}"
            raise SinkError(f"--save-every would write over {path}, an input or a folder; {name}")
    written = (*inputs, config.output, *between)
    if config.plot is not None:
        check_output(config.plot, PLOT_SUFFIXES, written)
        check_plotting()
        written += (config.plot,)
    _check_log(config, written)


def _check_video(config: VideoConfig) -> list[Path]:
    """What can be known to fail before anything is opened; the files that the clip consists of."""
    clip = [] if is_url(config.clip) else files(config.clip)
    others = (*config.style, *config.mask, *([] if config.weights is None else [config.weights]))
    resumes = config.resume is not False and Parts.of(config.output).exists()
    check_film(config.output, clip, others, resumes=resumes)
    _check_log(config, (*clip, *others, config.output))
    return clip


def _check_shape(config: VideoConfig, info: StreamInfo, encoder: Encoder) -> None:
    """What cannot be written as it is."""
    if encoder.even and min(info.width, info.height) < 2:
        raise SettingsError(
            f"{config.output} needs two pixels each way, and {shown(str(config.clip))} has {info.width}x{info.height}: "
            ".webm takes it"
        )
    if config.output.suffix.lower() == ".gif" and info.frame_rate > GIF_FPS:
        raise SettingsError(f"a GIF has at most {GIF_FPS} frames a second, not {float(info.frame_rate):g}: add --fps")


def _open(config: VideoConfig, clip: str | Path, encoder: Encoder) -> Source:
    source = open_clip(clip, start=config.start, end=config.end, fps=config.fps, max_pixels=config.max_pixels)
    _check_shape(config, source.info, encoder)
    check_masks(config, source.info.width, source.info.height)
    return source


def _fetched(config: VideoConfig, parts: Parts, encoder: Encoder, on_progress: OnProgress) -> Source:
    """What a URL sends, kept until the film is done: it may be asked for again."""
    on_progress(Progress(0, None, {}, f"fetching {shown(str(config.clip))}"))
    return _open(config, fetch(str(config.clip), parts.folder / "source", duration=config.end), encoder)


def _check_live(config: LiveConfig) -> None:
    """What can be known to fail before anything is opened or loaded."""
    inputs = (*config.style, *([] if config.weights is None else [config.weights]))
    inputs += () if config.source is None or "://" in config.source else (Path(config.source),)
    if config.record is not None:
        check_output(config.record, RECORDING_SUFFIXES, inputs)
        inputs += (config.record,)
    _check_log(config, inputs)
    if config.snapshot_dir is not None:
        Album.check(config.snapshot_dir)
    for path in config.style:
        read_picture(path, max_pixels=config.max_pixels)
    if not config.headless:
        check_display()


def _check_log(config: SessionConfig, others: tuple[Path, ...]) -> None:
    if config.log_json is not None:
        check_output(config.log_json, None, others)
