"""Puts the rooms together for a film, from file to file."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from nst_video import checkpoint
from nst_video.container import Encoder, choose_encoder, named
from nst_video.controls import Knobs
from nst_video.errors import SettingsError, WorkError
from nst_video.fetch import fetch, is_url, shown
from nst_video.film import SEGMENT, Film
from nst_video.fingerprint import fingerprint
from nst_video.frame import StreamInfo
from nst_video.optimizer import Losses
from nst_video.parts import Parts
from nst_video.pipeline import Pipeline
from nst_video.report import OnProgress, Progress, Summary
from nst_video.settings import StyleSettings, VideoConfig
from nst_video.sinks import check_film
from nst_video.sources import Source, files, open_clip
from nst_video.still import REPORT_EVERY
from nst_video.studio import Finished, check_log, check_masks, make_stylizer, open_log, paint_all, timed, write_log

GIF_FPS = 50  # hundredths of a second are its unit, and browsers slow down what has less than two


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
            flow=config.flow,
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


def _check_video(config: VideoConfig) -> list[Path]:
    """What can be known to fail before anything is opened; the files that the clip consists of."""
    clip = [] if is_url(config.clip) else files(config.clip)
    others = (*config.style, *config.mask, *([] if config.weights is None else [config.weights]))
    resumes = config.resume is not False and Parts.of(config.output).exists()
    check_film(config.output, clip, others, resumes=resumes)
    check_log(config, (*clip, *others, config.output))
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
