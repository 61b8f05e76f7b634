"""A still picture on its way: the sizes that it is painted at, where it begins, and what is told and kept of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from nst_video.image import resize, resize_pixels, to_image
from nst_video.optimizer import DECAY_ITERATIONS, Losses, Method
from nst_video.pictures import read_picture
from nst_video.settings import LOWEST_RATE, ImageConfig, StyleSettings

LARGE = 512
"""Pictures of this size and more are begun small, which gives the large forms of a style their place, and is cheap."""
FIRST_SIZE = 128
SMALL_SHARE = 0.3
"""So many of a size's and all smaller sizes' iterations belong to the smaller ones."""
REFINING: Method = "lbfgs"
"""How another network goes on with a picture that is nearly done: Adam, whose steps have one length whatever is left to
do, leaves 2 to 6 % more of the style undone in 20 iterations of VGG-19, and roughens what was smooth."""
REPORT_EVERY = 10  # iterations: reading a loss makes a GPU wait


@dataclass(frozen=True)
class Stage:
    """So many iterations at this size."""

    size: int
    iterations: int


def stages(size: int, iterations: int, scales: int) -> list[Stage]:
    """From coarse to fine, each size twice the one before; 0 `scales`: from `FIRST_SIZE` or a little more on, if the
    picture is `LARGE`."""
    if not scales:
        scales = int(math.log2(size / FIRST_SIZE)) + 1 if size >= LARGE else 1
    left, found = iterations, list[Stage]()
    for scale in range(scales):
        smaller = round(left * SMALL_SHARE) if scale < scales - 1 else 0
        found.append(Stage(round(size / 2**scale), left - smaller))
        left = smaller
    return [stage for stage in reversed(found) if stage.iterations]


def start(config: ImageConfig, content: Tensor) -> Tensor:
    """The image that the optimiser begins with, of the shape of `content` (1, 3, H, W), the content as it is worked."""
    image = content
    picture = config.style[0] if config.init == "style" else config.init
    if isinstance(picture, Path):
        pixels = read_picture(picture, max_pixels=config.max_pixels)
        image = to_image(resize_pixels(pixels, (content.shape[2], content.shape[3])), content.device)
    dice = torch.Generator().manual_seed(config.seed)
    return torch.lerp(image, torch.rand(content.shape, generator=dice).to(image), config.noise)


def resized(image: Tensor, content: Tensor) -> Tensor:
    """An image as it goes on beside `content`; very narrow ones do not keep their shape from size to size."""
    return resize(image, (content.shape[2], content.shape[3]))


def beside(output: Path, iteration: int, iterations: int) -> Path:
    """Where the picture after so many iterations is kept: out.png → out-0100.png."""
    return output.with_stem(f"{output.stem}-{iteration:0{len(str(iterations))}d}")


def kept(iterations: int, every: int | None) -> list[int]:
    """After which iterations the picture is to be kept: 1, N, 2N …"""
    return [] if every is None else sorted({1, *range(every, iterations + 1, every)})


class Watch:
    """What is seen of a picture while it is painted: losses told, pictures kept, a curve remembered.

    `tell` gets the number of iterations done and the losses, every now and then; `keep` the number and the image, where
    it is to be kept. Losses stay on the device until they are asked for.
    """

    def __init__(
        self,
        iterations: int,
        *,
        keep_at: Sequence[int],
        tell: Callable[[int, dict[str, float]], None],
        keep: Callable[[int, Tensor], None],
    ) -> None:
        self._iterations, self._keep_at, self._tell, self._keep = iterations, set(keep_at), tell, keep
        self._curve: Tensor | None = None
        self.done = 0
        self.changes = list[tuple[int, str]]()
        """After how many iterations something else began, and what."""
        self.image: Tensor | None = None
        """As it is; the optimiser goes on working on it."""

    def __call__(self, _: int, image: Tensor, losses: Losses) -> None:
        """To be called after every iteration."""
        if self._curve is None:
            self._curve = torch.zeros((self._iterations, len(losses)), device=image.device)
        torch.stack(losses, out=self._curve[self.done])
        self.done += 1
        self.image = image  # after this, there is something to keep
        if self.done in self._keep_at:
            self._keep(self.done, image)
        if self.done % REPORT_EVERY == 0 or self.done == self._iterations:
            self._tell(self.done, losses.values())

    def curve(self) -> dict[str, list[float]]:
        """All losses so far, unweighted but for the total, by their names."""
        values = [] if self._curve is None else self._curve[: self.done].T.tolist()
        return dict(zip(Losses._fields, values, strict=False))


def weighted(curve: dict[str, list[float]], settings: StyleSettings) -> dict[str, list[float]]:
    """The terms of a still picture's curve as they add up to its total."""
    weights = {
        "total": 1.0,
        "content": settings.content_weight,
        "style": settings.style_weight,
        "tv": settings.tv_weight,
    }
    return {name: [weight * value for value in curve.get(name, ())] for name, weight in weights.items()}


def slowed(settings: StyleSettings, done: int) -> StyleSettings:
    """The settings of what comes after `done` iterations: the learning rate has decayed."""
    rate = settings.learning_rate * settings.learning_rate_decay ** (done / DECAY_ITERATIONS)
    return replace(settings, learning_rate=max(rate, LOWEST_RATE))
