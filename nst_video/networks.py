"""The perceptual networks: `lite` and VGG-19, as stacks of convolutions whose activations can be tapped.

A network takes an RGB image in [0, 1], NCHW, and answers a dictionary from layer names as the papers
write them (`relu4_2`) to activations. Weights are frozen; gradients flow to the image only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nst_video.errors import SettingsError

Pooling = Literal["max", "avg"]

# Simonyan & Zisserman 2015, configuration E: five blocks of 3×3 convolutions, halved by pooling in between.
VGG19_WIDTHS: dict[str, int] = {
    f"{block}_{i}": width
    for block, (width, depth) in enumerate(((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)), start=1)
    for i in range(1, depth + 1)
}

# Full-resolution layers are most of the time, deep ones hold most of the information: narrow first, wide last.
# 22,048 multiply-adds per pixel, the tap projections included (VGG-19 up to conv5_1: 361,152).
LITE_WIDTHS: dict[str, int] = {
    "1_1": 16, "1_2": 16,
    "2_1": 32, "2_2": 32,
    "3_1": 64, "3_2": 64, "3_3": 64,
    "4_1": 144, "4_2": 144, "4_3": 144,
    "5_1": 256,
}  # fmt: skip
LITE_TAPS = ("1_1", "2_1", "3_1", "4_1", "4_2", "5_1")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)  # RGB; the original networks' training mean


class FeatureNetwork(nn.Module):
    """A stack of 3×3 convolutions with ReLU, in blocks separated by 2×2 pooling.

    `widths` maps layer numbers ("1_1", "1_2", "2_1", …) to channels, in order. Layers in `projected`
    are tapped through a linear k×k map behind the ReLU (the path to the next layer does not see it).
    """

    mean: Tensor

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        projected: Iterable[str] = (),
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        pooling: Pooling = "max",
    ) -> None:
        super().__init__()
        self.numbers = tuple(widths)
        self.pooling = pooling
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.convs = nn.ModuleDict()
        self.taps = nn.ModuleDict({n: nn.Conv2d(widths[n], widths[n], 1, bias=False) for n in projected})
        channels = 3
        for number, width in widths.items():
            self.convs[number] = nn.Conv2d(channels, width, 3, padding=1)
            channels = width

    def conv(self, number: str) -> nn.Conv2d:
        """The convolution of this number, "1_1" for example."""
        return cast(nn.Conv2d, self.convs[number])

    def tap(self, number: str) -> nn.Conv2d:
        """The projection behind the layer of this number, which must be in `projected`."""
        return cast(nn.Conv2d, self.taps[number])

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be tapped, shallow to deep."""
        tappable = [n for n in self.numbers if n in self.taps] if len(self.taps) else self.numbers
        return tuple(f"relu{n}" for n in tappable)

    def check_layers(self, layers: Iterable[str], option: str) -> None:
        """Raise `SettingsError` naming `option` if one of `layers` is not a layer of this network."""
        for layer in layers:
            if layer not in self.layers:
                raise SettingsError(f"{option}: this network has no {layer}; it has {', '.join(self.layers)}")

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Activations of `layers` for an image (N, 3, H, W) in [0, 1]; nothing deeper is computed."""
        wanted = {layer.removeprefix("relu") for layer in layers}
        features: dict[str, Tensor] = {}
        x = image - self.mean
        for number in self.numbers:
            if number.endswith("_1") and number != "1_1":
                x = F.max_pool2d(x, 2) if self.pooling == "max" else F.avg_pool2d(x, 2)
            x = F.relu(self.convs[number](x))
            if number in wanted:
                features[f"relu{number}"] = self.taps[number](x) if number in self.taps else x
                if len(features) == len(wanted):
                    break
        return features

    def multiply_adds(self, deepest: str = "relu5_1") -> float:
        """Multiply-adds per image pixel up to `deepest`, projections included."""
        total, area = 0.0, 1.0
        for number in self.numbers:
            if number.endswith("_1") and number != "1_1":
                area /= 4
            total += area * self.conv(number).weight.numel()
            if number in self.taps:
                total += area * self.tap(number).weight.numel()
            if f"relu{number}" == deepest:
                break
        return total

    @torch.no_grad()
    def normalize(self, pictures: Tensor) -> None:
        """Rescale the weights so that every layer's mean activation over `pictures` (N, 3, H, W) is 1.

        Scaling a layer of a ReLU stack only scales its activations, so the features stay the same up to one factor
        per layer. Departs from Gatys et al., CVPR 2016, sec. 2, who scale every *filter* to 1: one factor per
        *layer* makes layers and networks comparable just as well, keeps each layer's own metric, and needs no
        large collection of pictures.
        """
        assert not self.taps, "a projected network is normalised when it is made"
        features = self(pictures, self.layers)
        scale = 1.0
        for number in self.numbers:
            conv = self.conv(number)
            mean = features[f"relu{number}"].mean().item()
            conv.weight.mul_(scale / mean)
            if conv.bias is not None:
                conv.bias.div_(mean)
            scale = mean
