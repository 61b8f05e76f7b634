"""Puts the rooms together for a still picture. No maths here, and nothing is printed."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from nst_video import recipe
from nst_video.device import Compute
from nst_video.errors import SinkError, SourceError
from nst_video.frame import Frame, Pixels
from nst_video.image import to_pixels
from nst_video.painting import Painting
from nst_video.pictures import PICTURE_SUFFIXES, read_picture
from nst_video.plot import PLOT_SUFFIXES, check_plotting, plot_losses
from nst_video.report import OnProgress, Progress, Summary
from nst_video.settings import STARTS, ImageConfig, StyleSettings
from nst_video.sinks import check_output, write_file, write_picture
from nst_video.still import REFINING, Stage, Watch, beside, kept, resized, slowed, stages, start, weighted
from nst_video.studio import check_log, check_masks, make_stylizer, open_log, write_log
from nst_video.stylizer import Stylizer


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
        method = REFINING if painters else config.optimizer
        stylizer, compute, _ = make_stylizer(instead, settings, iterations=1, method=method)
        painters.append(_Painter(config.refine, stylizer, compute, plan))
    return painters


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
    check_log(config, written)
