"""One frame: prepare, paint, finish. No threads, no files: `painted, state = stylizer.step(...)`.

`step` is the three in a row. A pipeline calls them one by one, for then the next frame can be prepared, and the last
one finished, beside the painting.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nst_video import color
from nst_video.device import Compute, Look
from nst_video.flow import FlowEstimator, Motion, backward_warp, grey
from nst_video.frame import Pixels
from nst_video.image import fit, resize, resize_pixels, to_image, to_pixels
from nst_video.networks import FeatureNetwork
from nst_video.objective import Held, Objective
from nst_video.optimizer import Moments, OnIteration, Optimizer
from nst_video.settings import StyleSettings

SCENE_CUT = 0.6
"""A frame of which more than this share cannot be found in the previous one starts afresh."""


ALIKE = 0.1
"""Where the flow cannot be believed, but the content it points to differs by less than this (of 1), it does no harm:
on a plain wall any flow will do, and a hole there would show."""


@dataclass(frozen=True)
class Prepared:
    """A frame and all that can be known of it before the last one is painted; seconds by what they went into.

    content: the frame at the worked size; motion: since the frame prepared before; None of the first frame, of one of
    another shape, and where flow is not wanted.
    """

    pixels: Pixels
    content: Tensor
    grey: NDArray[np.uint8]
    motion: Motion | None
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """What one frame hands to the next: what it showed, how the painting looks, the optimiser's memory."""

    prepared: Prepared
    image: Tensor
    moments: Moments


@dataclass(frozen=True)
class Painting:
    """A frame as the optimiser left it, still at the worked size, and what that took."""

    frame: Pixels
    painted: Pixels
    iterations: int
    losses: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Painted:
    """A finished frame and what it took."""

    pixels: Pixels
    iterations: int
    losses: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Beginning:
    """Where the optimiser starts on a frame, and what it may hold on to."""

    image: Tensor
    moments: Moments
    held: Held | None = None


@dataclass(frozen=True)
class _Easel:
    """What paints images of one shape, seen in one way; kept from frame to frame."""

    key: object
    look: Look
    objective: Objective
    optimizer: Optimizer


class Stylizer:
    """Paints frames like `styles` (pixels), worked at `size` pixels on the longer side.

    A frame with no state takes `first_iterations` (default: as many as any other), the others `iterations`.
    `prepare`, `paint` and `finish` may each run in a thread of its own, but none of them in two at once.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        styles: Sequence[Pixels],
        *,
        compute: Compute,
        size: int,
        iterations: int,
        first_iterations: int | None = None,
        flow: FlowEstimator | None = None,
    ) -> None:
        self._network = compute.place(network)
        self._compute = compute
        self._styles = [to_image(style) for style in styles]
        self._size = size
        self._iterations = iterations
        self._first_iterations = iterations if first_iterations is None else first_iterations
        self._flow = flow
        self._grams: tuple[object, dict[str, Tensor]] | None = None
        self._easel: _Easel | None = None

    def step(
        self,
        pixels: Pixels,
        settings: StyleSettings,
        state: State | None,
        *,
        start: Tensor | None = None,
        on_iteration: OnIteration | None = None,
    ) -> tuple[Painted, State]:
        """Paint one frame; `state` is the one before, None for the first. The answer has the frame's own shape.

        `start` is the image to begin a first frame with, at the worked size (default: the content).
        """
        prepared = self.prepare(pixels, None if state is None else state.prepared)
        painting, state = self.paint(prepared, settings, state, start=start, on_iteration=on_iteration)
        return self.finish(painting, settings), state

    def prepare(self, pixels: Pixels, before: Prepared | None) -> Prepared:
        """Make a frame ready for `paint`; `before` is the one that is painted before it."""
        seconds: dict[str, float] = {}
        motion = None
        with self._compute.beside():
            with _timed(seconds, "prepare"):
                content = self._compute.hand_over(self.worked(pixels))
                height, width = content.shape[2:]
                shrink = 1 if self._flow is None else self._flow.shrink
                now = grey(pixels, (max(16, height // shrink), max(16, width // shrink)))
            with _timed(seconds, "flow"):
                if self._flow is not None and before is not None and before.grey.shape == now.shape:
                    motion = Motion.between(*self._flow(before.grey, now))
                    motion = motion.each(lambda tensor: self._compute.hand_over(tensor.to(content.device)))
        return Prepared(pixels, content, now, motion, seconds)

    def paint(
        self,
        prepared: Prepared,
        settings: StyleSettings,
        state: State | None,
        *,
        iterations: int | None = None,
        start: Tensor | None = None,
        on_iteration: OnIteration | None = None,
    ) -> tuple[Painting, State]:
        """Optimise a prepared frame, `iterations` times (default: as the stylizer was made for)."""
        with self._compute.painting():
            seconds, content = dict(prepared.seconds), prepared.content
            with _timed(seconds, "carry"):
                carried = self._carry(state, prepared) if state is not None else None
            if iterations is None:
                iterations = self._first_iterations if carried is None else self._iterations
            with _timed(seconds, "look"):
                easel = self._set_up(content, settings)
                grams = self._style_grams(settings, content, renew=carried is None)
                beginning = carried or _Beginning(content if start is None else start, Moments.zero(content))
                easel.objective.aim(settings, easel.look.content(content), grams, beginning.held)
            with _timed(seconds, "optimize"):
                image, moments, losses = easel.optimizer.run(
                    beginning.image,
                    beginning.moments,
                    iterations=iterations,
                    learning_rate=settings.learning_rate,
                    on_iteration=on_iteration,
                )
                values = losses.values()
                painted = to_pixels(image)
            return Painting(prepared.pixels, painted, iterations, values, seconds), State(prepared, image, moments)

    def finish(self, painting: Painting, settings: StyleSettings) -> Painted:
        """A painting as the user wants to see it: at the frame's size, with its colours and strength."""
        seconds = dict(painting.seconds)
        with _timed(seconds, "color"), self._compute.beside():
            frame = painting.frame
            painted = resize_pixels(painting.painted, (frame.shape[0], frame.shape[1]))
            finished = self._recolor(painted, frame, settings)
        return Painted(finished, painting.iterations, painting.losses, seconds)

    def _recolor(self, painted: Pixels, frame: Pixels, settings: StyleSettings) -> Pixels:
        kept = settings.hue == 0 and settings.saturation == settings.brightness == settings.strength == 1
        if kept and settings.original_colors != "luminance":
            return painted
        result, content = to_image(painted, self._compute.device), to_image(frame, self._compute.device)
        if settings.original_colors == "luminance":
            result = color.luminance_transfer(result, content)
        result = color.adjust(
            result, hue=settings.hue, saturation=settings.saturation, brightness=settings.brightness
        ).clamp(0, 1)
        return to_pixels(torch.lerp(content, result, settings.strength))

    def worked(self, pixels: Pixels) -> Tensor:
        """A frame as the image that the optimiser would work on."""
        small = resize_pixels(pixels, fit(pixels.shape[0], pixels.shape[1], self._size))
        return to_image(small, self._compute.device)

    def _carry(self, state: State, prepared: Prepared) -> _Beginning | None:
        """The last result and its moments moved to where things are now, holes filled from the content.

        What has changed in the content beyond its motion (a mouth opens, a light sweeps by) is added to the painting:
        a few iterations would not get there by themselves. None at a scene cut: hardly anything of the last frame is
        to be seen in this one.
        """
        content, last = prepared.content, state.prepared.content
        if last.shape != content.shape:
            return None
        motion = prepared.motion
        if motion is None:
            return _Beginning(state.image, state.moments, Held(state.image, torch.ones_like(content[:, :1])))
        if motion.visible.mean() < 1 - SCENE_CUT:
            return None
        motion = motion.at((content.shape[2], content.shape[3]))
        image, before = backward_warp(torch.cat((state.image, last), dim=1), motion.flow).chunk(2, dim=1)
        alike = (content - before).abs().mean(1, keepdim=True) < ALIKE
        image = (image + content - before).clamp_(0, 1)
        start = torch.lerp(content, image, (alike | (motion.visible > 0)).float())
        return _Beginning(start, _carry_moments(state.moments, motion.flow), Held(image, motion.confidence))

    def _set_up(self, content: Tensor, settings: StyleSettings) -> _Easel:
        """The easel for images of this shape and settings of this kind: the last one, if it fits."""
        key = (content.shape, settings.content_layers, settings.style_layers, settings.loss)
        if self._easel is None or self._easel.key != key:
            self._easel = None  # its memory is free for the next one
            look = self._compute.look(self._network, content, settings.content_layers, settings.style_layers)
            objective = Objective(look.whole, content, settings, every_term=self._compute.captures)
            capture = self._compute.capture if self._compute.captures else None
            optimizer = Optimizer(objective, content, capture=capture)
            self._easel = _Easel(key, look, objective, optimizer)
        return self._easel

    @torch.no_grad()
    def _look_at_style(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        return self._network.look(self._compute.lower(image), (), layers)[1]

    def _style_grams(self, settings: StyleSettings, content: Tensor, *, renew: bool) -> dict[str, Tensor]:
        """Gram matrices of the styles, blended; kept until a setting that they depend on changes.

        Σ_k w_k‖G − A_k‖² differs from ‖G − Σ_k w_k A_k‖² by a constant only: a blend costs no more than one style.
        """
        matched = settings.original_colors == "histogram"
        key = (settings.style_layers, settings.style_scale, settings.style_blend, matched)
        if self._grams is None or self._grams[0] != key or (matched and renew):
            blend = settings.style_blend or (1.0,) * len(self._styles)
            grams: dict[str, Tensor] = {}
            for style, weight in zip(self._styles, blend, strict=True):
                size = fit(style.shape[2], style.shape[3], max(16, round(self._size * settings.style_scale)))
                image = resize(style.to(content.device), size)
                if matched:
                    image = color.match_colors(image.cpu(), content.cpu()).clamp(0, 1).to(content)  # float64: no MPS
                for layer, gram in self._look_at_style(image, settings.style_layers).items():
                    share = gram * (weight / sum(blend))
                    grams[layer] = grams[layer] + share if layer in grams else share
            self._grams = (key, grams)
        return self._grams[1]


def _carry_moments(moments: Moments, flow: Tensor) -> Moments:
    """The optimiser's memory moved along `flow`, each level by the flow of its own scale."""
    means, squares = [], []
    for level, (mean, square) in enumerate(zip(moments.mean, moments.square, strict=True)):
        if level:
            flow = F.avg_pool2d(flow, 2) / 2
        moved = backward_warp(torch.cat((mean, square), dim=1), flow)
        means.append(moved[:, :3])
        squares.append(moved[:, 3:])
    return Moments(tuple(means), tuple(squares), moments.age)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - begun
