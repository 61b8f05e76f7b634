"""Puts the rooms together for a live picture."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from nst_video.budget import Budget
from nst_video.container import RECORDING_SUFFIXES
from nst_video.darkroom import Darkroom, Keep
from nst_video.feeds import open_source
from nst_video.pictures import read_picture
from nst_video.pipeline import Pipeline
from nst_video.report import LiveSummary, OnProgress, Progress
from nst_video.settings import LiveConfig, StyleSettings
from nst_video.show import Show
from nst_video.sinks import Album, check_output
from nst_video.studio import check_log, make_stylizer, open_log, paint_all, timed, write_log
from nst_video.stylizer import Stylizer
from nst_video.window import check_display

TICK_S = 0.02
"""How often a live session's window is seen to while nothing is painted."""


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
        stylizer, compute, network = make_stylizer(
            config,
            settings,
            iterations=max(1, config.iterations),
            flow=config.flow,
        )
        budget = None if config.iterations else Budget(min(config.target_fps, float(source.info.frame_rate)))
        log = open_log(config, stack)

        def darkroom(keep: Keep) -> Darkroom:
            def develops() -> Stylizer:
                styles = [read_picture(path, max_pixels=config.max_pixels) for path in config.style]
                return Stylizer(network, styles, compute=compute.aside, size=config.size, iterations=1)

            return Darkroom(develops, compute.aside, iterations=config.snapshot_iterations, keep=keep)

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


def _check_live(config: LiveConfig) -> None:
    """What can be known to fail before anything is opened or loaded."""
    inputs = (*config.style, *([] if config.weights is None else [config.weights]))
    inputs += () if config.source is None or "://" in config.source else (Path(config.source),)
    if config.record is not None:
        check_output(config.record, RECORDING_SUFFIXES, inputs)
        inputs += (config.record,)
    check_log(config, inputs)
    if config.snapshot_dir is not None:
        Album.check(config.snapshot_dir)
    for path in config.style:
        read_picture(path, max_pixels=config.max_pixels)
    if not config.headless:
        check_display()
