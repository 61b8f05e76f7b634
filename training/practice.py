"""What the student practises on: pairs of pictures, of which half are being optimised against the student itself.

An optimiser drives a picture to where its network errs, so that is where a network for optimisers has to learn.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nst_video.adam import Moments
from nst_video.losses import relative_difference
from nst_video.networks import FeatureNetwork
from nst_video.optimizer import Losses, optimize
from nst_video.settings import CONTENT_LAYERS, STYLE_LAYERS, StyleSettings
from nst_video.views import JITTER, Viewpoint
from training.pictures import Crops
from training.teacher import Sample

SHOTS = 8
"""How many of the pictures on one way from content to painting are kept."""


Ask = Callable[[Tensor], list[Sample]]
"""Pictures (N, 3, H, W), and what is to be learned of each."""


@dataclass(frozen=True)
class Scene:
    """A content, a style, and pictures in between."""

    content: Sample
    style: Sample
    shots: list[Sample] = field(default_factory=list)


class Corpus:
    """Scenes of two kinds: mixed at random, and on the way of an optimiser. New ones push out old ones."""

    def __init__(self, ask: Ask, crops: Crops, scenes: int) -> None:
        self._ask, self._crops = ask, crops
        mixed = max(1, scenes * 4 // 5)
        self._mixed: deque[Scene] = deque(maxlen=mixed)
        self._optimized: deque[Scene] = deque(maxlen=max(1, scenes - mixed))
        while len(self._mixed) < mixed:
            self.mix(min(4, mixed - len(self._mixed)))

    def mix(self, count: int) -> None:
        """Add that many scenes whose pictures in between are mixtures and noise."""
        contents, styles = self._crops.batch(count), self._crops.batch(count)
        between = [self._crops.between(content, style) for content, style in zip(contents, styles, strict=True)]
        samples = self._ask(torch.cat([contents, styles, torch.stack(between)]))
        self._mixed.extend(Scene(samples[i], samples[count + i], [samples[2 * count + i]]) for i in range(count))

    def open(self, count: int) -> list[Scene]:
        """Add that many scenes whose pictures in between are still to be painted."""
        samples = self._ask(self._crops.batch(2 * count))
        scenes = [Scene(content, style) for content, style in zip(samples[:count], samples[count:], strict=True)]
        self._optimized.extend(scenes)
        return scenes

    def keep(self, scenes: list[Scene], images: Tensor) -> None:
        """Remember one more picture of each scene; of many, some old one is forgotten."""
        for scene, sample in zip(scenes, self._ask(images), strict=True):
            if len(scene.shots) == SHOTS:
                del scene.shots[self._crops.rng.randrange(SHOTS)]
            scene.shots.append(sample)

    def pairs(self, count: int) -> list[Sample]:
        """2·count samples: a picture and what it is compared with, mostly its style, and so on."""
        rng, found = self._crops.rng, list[Sample]()
        painted = [scene for scene in self._optimized if scene.shots]
        for _ in range(count):
            if painted and rng.random() < 0.5:
                scene = rng.choice(painted)
                found += [rng.choice(scene.shots), scene.style if rng.random() < 0.8 else scene.content]
            else:
                scene, kind = rng.choice(self._mixed), rng.random()
                found += [
                    scene.content if kind < 0.5 else scene.shots[0],
                    scene.style if kind < 0.8 else scene.content,
                ]
        return found


class Cohort:
    """Scenes that are painted side by side, with the student's eyes and the optimiser of `nst_video`."""

    def __init__(self, corpus: Corpus, size: int, rng: random.Random) -> None:
        self._corpus, self._scenes = corpus, corpus.open(size)
        self._contents = torch.stack([scene.content.image for scene in self._scenes]).float()
        self._styles = torch.stack([scene.style.image for scene in self._scenes]).float()
        starts = [c if rng.random() < 0.85 else torch.rand_like(c) for c in self._contents]
        self._images = torch.stack(starts)
        self._moments = Moments.zero(self._images)
        self._retires_at = rng.randint(100, 250)

    @property
    def retired(self) -> bool:
        """The pictures are as good as finished."""
        return self._moments.age > self._retires_at

    def paint(self, student: FeatureNetwork, iterations: int) -> None:
        """Go on for some iterations, from one view, then show the pictures to the teacher."""
        weights = StyleSettings()
        viewpoint = Viewpoint(self._images)
        view = viewpoint.view(self._moments.age, JITTER)
        viewpoint.go(view)

        def look(images: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            return student.look(images.contiguous(memory_format=torch.channels_last), CONTENT_LAYERS, STYLE_LAYERS)

        with torch.no_grad():
            content_targets, style_targets = look(viewpoint.show(self._contents))[0], look(view.turned(self._styles))[1]

        def objective(images: Tensor) -> Losses:
            features, grams = look(viewpoint(images))
            style = torch.stack([_relative(grams[layer], style_targets[layer]) for layer in STYLE_LAYERS]).mean()
            content = torch.stack([_relative(features[k], content_targets[k]) for k in CONTENT_LAYERS]).mean()
            zero = torch.zeros_like(style)
            return Losses(weights.content_weight * content + style, content, style, zero, zero)

        student.requires_grad_(False)
        self._images, self._moments, _ = optimize(
            objective, self._images, self._moments, iterations=iterations, learning_rate=weights.learning_rate
        )
        student.requires_grad_(True)
        self._corpus.keep(self._scenes, self._images)


def _relative(values: Tensor, targets: Tensor) -> Tensor:
    """The sum of each picture's own relative difference: none of them knows of the others."""
    return torch.stack([relative_difference(v, t) for v, t in zip(values, targets, strict=True)]).sum()
