"""The pictures that a student learns from: photographs and paintings, cut and scaled at random."""

from __future__ import annotations

import math
import random
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from nst_video.frame import Pixels


def load_pictures(folders: list[Path]) -> list[list[Pixels]]:
    """RGB pictures of each folder, sorted by name so that a seed means the same run everywhere.

    Raises:
        SystemExit: a folder is missing or holds no picture that can be read.
    """
    collections = []
    for folder in folders:
        if not folder.is_dir():
            raise SystemExit(f"no folder {folder}")
        found = [cv2.imread(str(path)) for path in sorted(folder.iterdir())]
        collections.append([np.asarray(p[..., ::-1], np.uint8) for p in found if p is not None])
        if not collections[-1]:
            raise SystemExit(f"no pictures in {folder}")
    return collections


class Crops:
    """Square crops of `size` pixels, drawn equally from each collection, scaled and mirrored."""

    def __init__(self, collections: list[list[Pixels]], size: int, rng: random.Random) -> None:
        self.collections, self.size, self.rng = collections, size, rng

    def __call__(self) -> Tensor:
        """One crop, (3, size, size), in [0, 1]."""
        picture = self.rng.choice(self.rng.choice(self.collections))
        side = min(picture.shape[:2])
        cut = min(side, int(self.size * math.exp(self.rng.uniform(0.0, math.log(max(side / self.size, 1.0) + 1e-6)))))
        y, x = (self.rng.randint(0, extent - cut) for extent in picture.shape[:2])
        crop = cv2.resize(picture[y : y + cut, x : x + cut], (self.size, self.size), interpolation=cv2.INTER_AREA)
        if self.rng.random() < 0.5:
            crop = crop[:, ::-1]
        return torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1).float() / 255

    def batch(self, count: int) -> Tensor:
        """That many crops, (count, 3, size, size)."""
        return torch.stack([self() for _ in range(count)])

    def between(self, content: Tensor, style: Tensor) -> Tensor:
        """A picture as there are some between a content and a style: a mixture, or on the way from noise, or both."""
        kind, picture = self.rng.random(), content
        if kind < 0.4:
            picture = torch.lerp(content, style, self.rng.uniform(0.2, 0.8))
        if kind > 0.3:
            picture = torch.lerp(picture, torch.rand_like(picture), self.rng.uniform(0.03, 0.8) ** 1.5)
        return picture
