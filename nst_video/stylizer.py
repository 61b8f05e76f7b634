"""One frame: prepare, paint, finish. No threads, no files: `painted, state = stylizer.step(...)`.

`step` is the three in a row. A pipeline calls them one by one, for then the last frame can be finished, and where there
are cores enough the next one prepared, beside the painting.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from nst_video import color
from nst_video.adam import COARSEST, Moments, pace
from nst_video.crop import cut, pasted
from nst_video.device import Compute
from nst_video.easel import Easel
from nst_video.flow import FlowEstimator, moving_part
from nst_video.focus import EVERYTHING, Focus, focused
from nst_video.frame import Mask, Pixels
from nst_video.glance import glance
from nst_video.image import fit, resize, resize_pixels, to_image, to_pixels
from nst_video.losses import Guide
from nst_video.masks import Masks
from nst_video.networks import NOWHERE, FeatureNetwork
from nst_video.objective import Held
from nst_video.optimizer import Losses, Method, OnIteration
from nst_video.painting import Painted, Painting, Prepared, State
from nst_video.settings import StyleSettings
from nst_video.sheet import SURROUNDINGS, Sheet
from nst_video.shutter import exposed
from nst_video.views import HOLD, JITTER, View
from nst_video.warm_start import Beginning, behind, carry

BUSY = 0.02
"""With this much of the picture to be painted a frame gets all its iterations; with less, fewer."""
DONE = 1e-4
"""With less than this much to be painted it gets none."""


class _Task(NamedTuple):
    """What is to be done on a frame: so many `iterations` of those that were `asked` for, where the focus is; with
    histogram colours, in those of the palette."""

    settings: StyleSettings
    palette: Tensor | None
    asked: int
    iterations: int
    focus: Focus


class Stylizer:
    """Paints frames like `styles` (pixels), worked at `size` pixels on the longer side.

    A frame with no state takes `first_iterations` (default: as many as any other), the others `iterations`. `masks`
    (H, W) in [0, 1] say where the styles go: one for all of them, or one for each. `limit`: as many bytes, or about so,
    may be held at once for the network's way back. `quick`: flow is searched at half the size.
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
        quick: bool = False,
        memory: Sequence[int] = (),
        method: Method = "adam",
        masks: Sequence[Mask] = (),
        limit: float = math.inf,
    ) -> None:
        self._network = compute.place(network)
        self._compute = compute
        self._styles = [to_image(style) for style in styles]
        self._size = size
        self._iterations = iterations
        self._first_iterations = iterations if first_iterations is None else first_iterations
        self._flow = flow
        self._quick = quick
        self._memory = tuple(memory)
        self._method: Method = method
        self._masks = Masks(masks)
        self._limit = limit
        self._grams: dict[tuple[int, View], dict[str, Tensor]] = {}
        self._grams_are_of: object = None
        self._palette: Tensor | None = None
        self._easel: Easel | None = None
        self._easel_is_for: object = None

    @property
    def takes_turns(self) -> bool:
        """Whether `prepare` and `paint` are to take turns, in one thread."""
        return self._compute.takes_turns

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

    def prepare(self, pixels: Pixels, before: Prepared | None, *, size: int | None = None) -> Prepared:
        """Make a frame ready for `paint`; `before` is the one that is painted before it.

        `size` is the longer side that it is worked at (default: as the stylizer was made for).
        """
        seconds: dict[str, float] = {}
        with self._compute.before_painting():
            with _timed(seconds, "prepare"):
                small = resize_pixels(pixels, fit(pixels.shape[0], pixels.shape[1], size or self._size))
            with _timed(seconds, "flow"):
                last = None if before is None else before.seen
                seen = glance(small, last, self._flow, self._memory, whole=not self._quick)
                part = None if seen.motion is None else moving_part(seen.motion.flow, SURROUNDINGS, COARSEST)
            with _timed(seconds, "upload"):
                content = self._hand_over(torch.from_numpy((seen.content / 255).transpose(2, 0, 1)[None].copy()))
                motion = seen.motion and seen.motion.each(self._hand_over)
                recalled = tuple((ago, motion.each(self._hand_over)) for ago, motion in seen.recalled)
                revealed = seen.revealed and seen.revealed.each(self._hand_over)
        return Prepared(pixels, content, seen, motion, recalled, revealed, seconds, part)

    def _hand_over(self, tensor: Tensor) -> Tensor:
        return self._compute.hand_over(tensor.to(self._compute.device))

    def paint(
        self,
        prepared: Prepared,
        settings: StyleSettings,
        state: State | None,
        *,
        iterations: int | Callable[[float], int] | None = None,
        start: Tensor | None = None,
        on_iteration: OnIteration | None = None,
    ) -> tuple[Painting, State]:
        """Optimise a prepared frame, `iterations` times (default: as the stylizer was made for), or as often as they
        answer for the share of it that is looked at. `on_iteration` gets no more than that of the image."""
        with self._compute.painting():
            seconds, content = dict(prepared.seconds), prepared.content
            with _timed(seconds, "carry"):
                follow = self._flow is not None
                carried = carry(state, prepared, settings, self._masks, follow=follow) if state is not None else None
                beginning = carried or Beginning(content if start is None else start, Moments.zero(content))
                if iterations is None:
                    iterations = self._first_iterations if carried is None else self._iterations
                asked = iterations(1.0) if callable(iterations) else iterations
                focus = EVERYTHING if carried is None else self._focus(carried, prepared, settings, state, asked)
                asked = iterations(focus.share) if callable(iterations) else iterations
                wanted = asked if carried is None else self._wanted(asked, beginning, settings, focus)
            palette = None
            if settings.original_colors == "histogram":  # of the frame that a scene begins with
                palette = content if state is None or carried is None or state.palette is None else state.palette
            if state is not None and wanted == 0:
                image, moments, values = beginning.image, beginning.moments, state.losses
                seconds.update(look=0.0, optimize=0.0)
            else:
                task = _Task(settings, palette, asked, wanted, focus)
                image, moments, losses, focus = self._optimized(content, beginning, task, seconds, on_iteration)
                values = losses.values()
            painted = to_pixels(image)
            earlier = () if carried is None or state is None else (state.image, *state.earlier)
            earlier = earlier[: max(self._memory, default=0)]
            backdrop = behind(state, prepared, settings, image, moments.ripeness)
            free = self._masks.free(image)
            sheet = beginning.sheet.after(image, free) if beginning.sheet is not None else Sheet.of(image)
            state = State(prepared, image, moments, settings, values, backdrop, sheet, earlier, palette, focus)
            stirred = prepared.seen.stirred
            return Painting(prepared.pixels, painted, wanted, values, seconds, stirred, focus.share), state

    def _optimized(
        self,
        content: Tensor,
        beginning: Beginning,
        task: _Task,
        seconds: dict[str, float],
        on_iteration: OnIteration | None,
    ) -> tuple[Tensor, Moments, Losses, Focus]:
        """A frame when that is done, and the focus, which may have got to know more of the rest."""
        settings, focus, age = task.settings, task.focus, beginning.moments.age
        with _timed(seconds, "look"):
            whole = self._set_up(content, settings)
            easel = whole if focus.everywhere else self._set_up_part(whole, content, settings, focus)
            piece, image = cut(content, focus.around).contiguous(), cut(beginning.image, focus.around)
            if whole.free is not None:
                image = torch.where(whole.free, image, content)

            def targets(done: int) -> tuple[Mapping[str, Tensor], ...]:
                nonlocal focus
                view = self._go(easel, content, settings, age + done)
                mirrored = view.upside_down, view.mirrored
                if not focus.everywhere and mirrored not in focus.rest:
                    focus = focus.knowing(mirrored, whole.rest(easel, beginning.image, view, focus))
                grams = self._style_grams(settings, content, task.palette, view)
                return easel.look.content(easel.show(piece)), grams, focus.rest.get(mirrored, {})

            features, grams, rest = targets(0)
            held = beginning.held and Held(*(cut(each, focus.around) for each in beginning.held))
            easel.objective.aim(settings, features, grams, held, iterations=task.asked, portion=focus.share, rest=rest)

        def move(done: int) -> None:
            if easel.viewpoint is not None and done and (age + done) % HOLD == 0:
                easel.objective.retarget(*targets(done))

        with _timed(seconds, "optimize"):
            image, moments, losses = easel.optimizer.run(
                image,
                beginning.moments.cut(focus.around),
                iterations=task.iterations,
                learning_rate=settings.learning_rate,
                decay=settings.learning_rate_decay,
                ripe=self._ripe(settings),
                before_iteration=move,
                on_iteration=on_iteration,
            )
            image = pasted(beginning.image, cut(image, focus.inner), focus.part)
            moments = beginning.moments.pasted(moments.cut(focus.inner), focus.part)
        return image, moments, losses, focus

    def _focus(
        self, carried: Beginning, prepared: Prepared, settings: StyleSettings, state: State | None, iterations: int
    ) -> Focus:
        """Where so many iterations are to paint: everywhere, unless pixels ripen, the camera is still and a part takes
        less time than all. The paper's content loss, a sum, is not put together from parts as means are; masks say
        themselves where."""
        motion = prepared.motion
        if state is None or motion is None:  # a new scene or another size
            return EVERYTHING
        if self._method != "adam" or self._masks or settings.loss != "relative" or not self._compute.counts_pixels:
            return EVERYTHING
        if bool((motion.moved > 0).all()):  # before a camera that moves everything does
            return EVERYTHING
        return focused(pace(carried.moments.ripeness, self._ripe(settings)), state.focus, iterations)

    def _go(self, easel: Easel, content: Tensor, settings: StyleSettings, age: int) -> View:
        """Look from where a painting of this `age` is looked at."""
        if easel.viewpoint is None:
            return View()
        view = easel.viewpoint.view(age // HOLD, self._jitter(settings))
        easel.viewpoint.go(view)
        masks = self._masks.fitted(content)
        if masks is not None:
            for layer, guide in self._guides(easel.viewpoint.show(masks), settings.style_layers).items():
                easel.guides[layer].copy_(guide)
        return view

    def _jitter(self, settings: StyleSettings) -> int:
        """By how many pixels looks are moved. A goal that moves would mislead what compares it with its last one."""
        if self._method != "adam":
            return 0
        by_network = JITTER if self._network.distilled else 0
        return by_network if settings.jitter is None else settings.jitter

    def _ripe(self, settings: StyleSettings) -> float:
        """A still picture's pixels never ripen: its iterations are counted by the user."""
        return settings.ripe if self._flow is not None else math.inf

    def _wanted(self, iterations: int, beginning: Beginning, settings: StyleSettings, focus: Focus) -> int:
        """How many of `iterations` a frame is worth: all, unless next to nothing in it is left to be painted."""
        if focus.nothing:
            return 0
        paces, free = pace(beginning.moments.ripeness, self._ripe(settings)), self._masks.free(beginning.image)
        unripe = float((paces if free is None else paces[free]).mean())
        return math.ceil(iterations * min(1.0, unripe / BUSY)) if unripe > DONE else 0

    def finish(self, painting: Painting, settings: StyleSettings) -> Painted:
        """A painting as the user wants to see it: at the frame's size, with its colours and strength."""
        seconds = dict(painting.seconds)
        with _timed(seconds, "color"), self._compute.beside():
            frame, painted = painting.frame, painting.painted
            if settings.photorealistic:
                painted = self._photographed(painted, frame)
            elif painting.flow is not None:
                painted = exposed(painted, painting.flow[0].numpy(), settings.shutter)
            finished = self._recolor(resize_pixels(painted, (frame.shape[0], frame.shape[1])), frame, settings)
        return Painted(finished, painting.painted, painting.iterations, painting.losses, seconds)

    def _photographed(self, painted: Pixels, frame: Pixels) -> Pixels:
        """The frame in the colours of its painting."""
        small = resize_pixels(frame, (painted.shape[0], painted.shape[1]))
        images = (to_image(pixels, self._compute.device) for pixels in (painted, small, frame))
        return to_pixels(color.local_colors(*images))

    def _recolor(self, painted: Pixels, frame: Pixels, settings: StyleSettings) -> Pixels:
        kept = settings.hue == 0 and settings.saturation == settings.brightness == settings.strength == 1
        if kept and settings.original_colors != "luminance" and not self._masks:
            return painted
        result, content = to_image(painted, self._compute.device), to_image(frame, self._compute.device)
        if settings.original_colors == "luminance":
            result = color.luminance_transfer(result, content)
        result = color.adjust(
            result, hue=settings.hue, saturation=settings.saturation, brightness=settings.brightness
        ).clamp(0, 1)
        share: Tensor | float = settings.strength
        masked = self._masks.together(content)
        if masked is not None:
            share = share * masked
        return to_pixels(content + share * (result - content))

    def _set_up(self, content: Tensor, settings: StyleSettings) -> Easel:
        """The easel for images of this shape and settings of this kind: the last one, if it fits."""
        key = (content.shape, settings.content_layers, settings.style_layers, settings.loss, self._jitter(settings) > 0)
        if self._easel is None or self._easel_is_for != key:
            self._easel = None  # its memory is free for the next one
            masks = self._masks.fitted(content)
            guides = {} if masks is None else self._guides(masks, settings.style_layers)
            shares = (1.0,) if masks is None else masks.mean((1, 2, 3)).tolist()
            free = self._masks.free(content)
            self._easel = self._make_easel(content, settings, guides=guides, shares=shares, free=free)
            self._easel_is_for = key
        return self._easel

    def _set_up_part(self, whole: Easel, content: Tensor, settings: StyleSettings, focus: Focus) -> Easel:
        """The easel for what is looked at in that `focus`; only the part in it is free."""
        piece = cut(content, focus.around)

        def make() -> Easel:
            free = torch.zeros_like(piece[:, :1], dtype=torch.bool)
            cut(free, focus.inner).fill_(True)
            return self._make_easel(piece, settings, free=free)

        return whole.part((piece.shape, *((side.start, side.stop) for side in focus.inner)), make)

    def _make_easel(
        self,
        like: Tensor,
        settings: StyleSettings,
        *,
        guides: Mapping[str, Guide] = NOWHERE,
        shares: Sequence[float] = (1.0,),
        free: Tensor | None,
    ) -> Easel:
        return Easel.set_up(
            self._compute,
            self._network,
            like,
            settings,
            method=self._method,
            moves=self._jitter(settings) > 0,
            memory=self._limit,
            guides=guides,
            shares=shares,
            free=free,
        )

    def _guides(self, masks: Tensor, layers: Sequence[str]) -> dict[str, Guide]:
        """How much each value of a layer counts for each style, by the masks (R, 1, H, W)."""
        guides = {}
        for layer in layers:
            spacing = self._network.spacing(layer)
            weights = F.avg_pool2d(masks, spacing)[:, 0]  # of a last row that is cut short, no layer knows
            guides[layer] = Guide(weights, weights.sum((1, 2)).clamp_min(1e-6))
        return guides

    def _style_grams(
        self, settings: StyleSettings, content: Tensor, palette: Tensor | None, view: View
    ) -> dict[str, Tensor]:
        """Gram matrices of the styles, mirrored as the `view` is, in the colours of `palette` if there is one, blended,
        or one after the other where each has a mask; kept until something that they depend on changes.

        Σ_k w_k‖G − A_k‖² differs from ‖G − Σ_k w_k A_k‖² by a constant only: a blend costs no more than one style.
        """
        size = max(16, round(max(content.shape[2:]) * settings.style_scale))
        key = (settings.style_layers, size)
        if self._grams_are_of != key or self._palette is not palette:
            self._grams, self._grams_are_of, self._palette = {}, key, palette
        blend = settings.style_blend or (1.0,) * len(self._styles)
        apart = len(self._masks) > 1
        blended: dict[str, Tensor] = {}
        for index, (style, weight) in enumerate(zip(self._styles, blend, strict=True)):
            if not weight:
                continue
            which = index, view._replace(down=0, across=0)
            if which not in self._grams:
                image = resize(style.to(content.device), fit(style.shape[2], style.shape[3], size))
                if palette is not None:  # in float64, which MPS does not know
                    image = color.match_colors(image.cpu(), palette.cpu()).clamp(0, 1).to(content)
                self._grams[which] = self._compute.grams(
                    self._network, view.turned(image), settings.style_layers, memory=self._limit
                )
            for layer, gram in self._grams[which].items():
                share = gram if apart else gram * (weight / sum(blend))
                if layer in blended:
                    share = torch.cat((blended[layer], share)) if apart else blended[layer] + share
                blended[layer] = share
        return blended


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - begun
