"""One frame: prepare, warp, optimise, recolour. No threads, no files: `painted, state = stylizer.step(...)`."""

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
from nst_video.device import Compute
from nst_video.flow import FlowEstimator, backward_warp, grey, motion_boundaries, occlusion_mask, steady
from nst_video.frame import Pixels
from nst_video.image import fit, resize, to_image, to_pixels
from nst_video.losses import (
    content_loss,
    relative_difference,
    style_loss,
    temporal_loss,
    total_variation,
)
from nst_video.networks import FeatureNetwork
from nst_video.optimizer import Losses, Moments, OnIteration, optimize
from nst_video.settings import StyleSettings

SCENE_CUT = 0.6
"""A frame of which more than this share cannot be found in the previous one starts afresh."""


_TERMS = {"relative": (relative_difference, relative_difference), "paper": (content_loss, style_loss)}
"""What `--loss` means: how content features, and how Gram matrices, are compared."""


ALIKE = 0.1
"""Where the flow cannot be believed, but the content it points to differs by less than this (of 1), it does no harm:
on a plain wall any flow will do, and a hole there would show."""


@dataclass(frozen=True)
class State:
    """What one frame hands to the next: how the clip looked, how the painting looks, the optimiser's memory."""

    grey: NDArray[np.uint8]
    content: Tensor
    image: Tensor
    moments: Moments


@dataclass(frozen=True)
class Painted:
    """A finished frame and what it took."""

    pixels: Pixels
    iterations: int
    losses: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Beginning:
    """Where the optimiser starts on a frame, and the warped last result that it may hold on to, with confidence."""

    image: Tensor
    moments: Moments
    warped: Tensor | None = None
    confidence: Tensor | None = None


@dataclass(frozen=True)
class _Targets:
    """What the objective compares features with."""

    content: dict[str, Tensor]
    grams: dict[str, Tensor]


class Stylizer:
    """Paints frames like `styles` (pixels), worked at `size` pixels on the longer side.

    A frame with no state takes `first_iterations` (default: as many as any other), the others `iterations`.
    Not for several threads at once.
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
        use_flow: bool = True,
    ) -> None:
        self._network = compute.place(network)
        self._compute = compute
        self._styles = [to_image(style) for style in styles]
        self._size = size
        self._iterations = iterations
        self._first_iterations = iterations if first_iterations is None else first_iterations
        self._flow = FlowEstimator() if use_flow else None
        self._grams: tuple[object, dict[str, Tensor]] | None = None

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
        seconds: dict[str, float] = {}
        with _timed(seconds, "prepare"):
            frame = to_image(pixels, self._compute.device)
            content = resize(frame, fit(pixels.shape[0], pixels.shape[1], self._size))
            now = grey(pixels, (content.shape[2], content.shape[3]))
        with _timed(seconds, "flow"):
            carried = self._carry(state, now, content) if state is not None else None
        afresh = carried is None
        iterations = self._first_iterations if afresh else self._iterations
        with _timed(seconds, "optimize"):
            beginning = carried or _Beginning(content if start is None else start, Moments.zero(content))
            targets = _Targets(
                content=self._look(content, content_layers=settings.content_layers)[0],
                grams=self._style_grams(settings, content, renew=afresh),
            )
            image, moments, losses = optimize(
                lambda x: self._objective(x, settings, targets, beginning),
                beginning.image,
                beginning.moments,
                iterations=iterations,
                learning_rate=settings.learning_rate,
                on_iteration=on_iteration,
            )
            values = losses.values()
        with _timed(seconds, "color"):
            painted = to_pixels(self.finish(image, frame, settings))
        return Painted(painted, iterations, values, seconds), State(now, content, image, moments)

    def finish(self, image: Tensor, frame: Tensor, settings: StyleSettings) -> Tensor:
        """An optimised image as the user wants to see it: at the frame's size, with its colours and strength."""
        result = resize(image, (frame.shape[2], frame.shape[3]))
        if settings.original_colors == "luminance":
            result = color.luminance_transfer(result, frame)
        result = color.adjust(
            result, hue=settings.hue, saturation=settings.saturation, brightness=settings.brightness
        ).clamp(0, 1)
        return result if settings.strength == 1 else torch.lerp(frame, result, settings.strength)

    def worked(self, pixels: Pixels) -> Tensor:
        """A frame as the image that the optimiser would work on."""
        return resize(to_image(pixels, self._compute.device), fit(pixels.shape[0], pixels.shape[1], self._size))

    def _carry(self, state: State, now: NDArray[np.uint8], content: Tensor) -> _Beginning | None:
        """The last result and its moments moved to where things are now, holes filled from the content.

        What has changed in the content beyond its motion (a mouth opens, a light sweeps by) is added to the painting:
        a few iterations would not get there by themselves. None at a scene cut: hardly anything of the last frame is
        to be seen in this one.
        """
        if state.grey.shape != now.shape:
            return None
        if self._flow is None:
            return _Beginning(state.image, state.moments, state.image, torch.ones_like(content[:, :1]))
        flow, opposite = (f.to(content.device) for f in self._flow(state.grey, now))
        boundaries = motion_boundaries(flow)  # of the flow as it is: `steady` leaves steps in it
        flow, opposite = steady(flow), steady(opposite)
        visible = occlusion_mask(flow, opposite)
        if visible.mean() < 1 - SCENE_CUT:
            return None
        image, before = backward_warp(torch.cat((state.image, state.content), dim=1), flow).chunk(2, dim=1)
        alike = (content - before).abs().mean(1, keepdim=True) < ALIKE
        image = (image + content - before).clamp_(0, 1)
        moments = _carry_moments(state.moments, flow)
        start = torch.where((visible > 0) | alike, image, content)
        return _Beginning(start, moments, image, visible * boundaries)

    def _objective(self, image: Tensor, settings: StyleSettings, targets: _Targets, beginning: _Beginning) -> Losses:
        content_term, style_term = _TERMS[settings.loss]
        features, grams = self._network.look(self._compute.lower(image), settings.content_layers, settings.style_layers)
        zero = torch.zeros((), device=image.device)
        content = style = tv = temporal = zero
        for layer in settings.content_layers:
            content = content + content_term(features[layer], targets.content[layer]) / len(settings.content_layers)
        weights = settings.style_layer_weights or (1.0,) * len(settings.style_layers)
        for layer, weight in zip(settings.style_layers, weights, strict=True):
            style = style + weight / sum(weights) * style_term(grams[layer], targets.grams[layer])
        if settings.tv_weight:
            tv = total_variation(image)
        if settings.temporal_weight and beginning.warped is not None and beginning.confidence is not None:
            temporal = temporal_loss(image, beginning.warped, beginning.confidence)
        total = (
            settings.content_weight * content
            + settings.style_weight * style
            + settings.tv_weight * tv
            + settings.temporal_weight * temporal
        )
        return Losses(total, content, style, tv, temporal)

    @torch.no_grad()
    def _look(
        self, image: Tensor, content_layers: Sequence[str] = (), style_layers: Sequence[str] = ()
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return self._network.look(self._compute.lower(image), content_layers, style_layers)

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
                for layer, gram in self._look(image, style_layers=settings.style_layers)[1].items():
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
