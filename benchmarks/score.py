"""Scores a stylised picture with VGG-19 in fp32: the same for every tool, so that they can be compared.

    python -m benchmarks.score CONTENT STYLE RESULT [RESULT …] --weights vgg19.safetensors --size 256

content = Σ(F − P)²/ΣP² at relu4_2; style = mean over relu1_1 … relu5_1 of Σ(G − A)²/ΣA². Lower is closer. The
content picture itself is scored as well, as what a result has to improve on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from nst_video.frame import Pixels
from nst_video.image import fit, resize, to_image
from nst_video.losses import gram_matrix, relative_difference
from nst_video.pictures import read_picture
from nst_video.settings import CONTENT_LAYERS, STYLE_LAYERS
from nst_video.weights import load_network


class Judge:
    """VGG-19 and a style picture, at `size` pixels on the longer side."""

    def __init__(self, weights: Path, style: Pixels, size: int) -> None:
        self._network = load_network("vgg19-caffe", weights=weights)
        self._size = size
        self._targets = {k: gram_matrix(f) for k, f in self._features(style, STYLE_LAYERS).items()}

    def style_by_layer(self, result: Pixels) -> dict[str, float]:
        """Σ(G − A)²/ΣA² for each style layer."""
        features = self._features(result, STYLE_LAYERS)
        return {k: relative_difference(gram_matrix(f), self._targets[k]).item() for k, f in features.items()}

    def style(self, result: Pixels) -> float:
        """The mean over the style layers."""
        return sum(self.style_by_layer(result).values()) / len(STYLE_LAYERS)

    def content(self, result: Pixels, content: Pixels) -> float:
        """Σ(F − P)²/ΣP² at relu4_2."""
        (layer,) = CONTENT_LAYERS
        ours, theirs = (self._features(p, CONTENT_LAYERS)[layer] for p in (result, content))
        return relative_difference(ours, theirs).item()

    @torch.no_grad()
    def _features(self, pixels: Pixels, layers: tuple[str, ...]) -> dict[str, Tensor]:
        return self._network(resize(to_image(pixels), fit(pixels.shape[0], pixels.shape[1], self._size)), layers)  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path, required=True, help="the original VGG-19 weights")
    parser.add_argument("--size", type=int, default=256)
    args = parser.parse_args()
    judge = Judge(args.weights, read_picture(args.style), args.size)
    content = read_picture(args.content)
    print(f"{'':28} content   style = mean of {' '.join(STYLE_LAYERS)}")
    for path in (args.content, *args.results):
        picture = read_picture(path)
        layers = " ".join(f"{value:7.4f}" for value in judge.style_by_layer(picture).values())
        print(f"{path.name:28} {judge.content(picture, content):7.4f} {judge.style(picture):7.4f} = {layers}")


if __name__ == "__main__":
    main()
