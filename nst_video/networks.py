"""The perceptual networks: `lite` and VGG-19, as stages in a row whose activations can be tapped.

A network takes an RGB image in [0, 1], NCHW, and answers a dictionary from layer names as the papers
write them (`relu4_2`) to activations. Weights are frozen; gradients flow to the image only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nst_video.errors import SettingsError
from nst_video.losses import Guide, gram_matrix

Pooling = Literal["max", "avg"]

# Simonyan & Zisserman 2015, configuration E: five blocks of 3×3 convolutions, halved by pooling in between.
VGG19_WIDTHS: dict[str, int] = {
    f"{block}_{i}": width
    for block, (width, depth) in enumerate(((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)), start=1)
    for i in range(1, depth + 1)
}
LITE_TAPS = ("1_1", "2_1", "3_1", "4_1", "4_2", "5_1")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)  # RGB; the original networks' training mean


NOWHERE: Mapping[str, Guide] = MappingProxyType({})
Looked = tuple[dict[str, Tensor], dict[str, Tensor]]
"""What is seen of an image: features of the content layers, Gram matrices of the style layers."""


class Convolution(nn.Conv2d):
    """A convolution that keeps the size, or halves it, and a ReLU."""

    def __init__(self, channels: int, width: int, size: int = 3, *, halve: bool = False) -> None:
        super().__init__(channels, width, size, stride=2 if halve else 1, padding=(size - 1) // 2)
        self.halves = halve

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu_()  # in place: one full-resolution layer less in memory


class Pool(nn.Module):
    """Halves its input by the largest of 2×2 values, or by their mean."""

    halves = True

    def __init__(self, pooling: Pooling) -> None:
        super().__init__()
        self.pooling = pooling

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2) if self.pooling == "max" else F.avg_pool2d(x, 2)


class Residual(nn.Module):
    """What a narrow 3×3 convolution adds to a wide layer: depth at a fraction of the cost. He et al. 2016, fig. 5."""

    halves = False

    def __init__(self, width: int, narrow: int) -> None:
        super().__init__()
        self.enter = Convolution(width, narrow, 1)
        self.work = Convolution(narrow, narrow)
        self.leave = nn.Conv2d(narrow, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.leave(self.work(self.enter(x)))
        return (x + added).relu_()


def vgg19_stages(pooling: Pooling = "max", widths: Mapping[str, int] = VGG19_WIDTHS) -> dict[str, nn.Module]:
    """VGG-19: `widths` maps layer numbers ("1_1", "1_2", "2_1", …) to channels, in order."""
    stages: dict[str, nn.Module] = {}
    channels = 3
    for number, width in widths.items():
        if number.endswith("_1") and channels != 3:
            stages[f"pool{number[0]}"] = Pool(pooling)
        stages[number] = Convolution(channels, width)
        channels = width
    return stages


def lite_stages() -> dict[str, nn.Module]:
    """`lite`: 21,136 multiply-adds per pixel up to 5_1 (VGG-19: 361,152).

    Full-resolution layers are most of the time, deep ones hold most of the information: narrow first, wide last. Even
    kernels (4×4, deep down 2×2) where it halves: they meet every pixel equally often, so the gradient has no
    checkerboard.
    """
    return {
        "1_1": Convolution(3, 16),
        "halve1": Convolution(16, 32, 4, halve=True),
        "2_1": Convolution(32, 32),
        "halve2": Convolution(32, 64, 4, halve=True),
        "3_1": Convolution(64, 96),
        "3_a": Residual(96, 48),
        "halve3": Convolution(96, 192, 2, halve=True),
        "4_a": Residual(192, 64),
        "4_1": Residual(192, 64),
        "4_2": Residual(192, 64),
        "4_b": Residual(192, 64),
        "4_c": Residual(192, 64),
        "halve4": Convolution(192, 288, 2, halve=True),
        "5_a": Residual(288, 96),
        "5_b": Residual(288, 96),
        "5_c": Residual(288, 96),
        "5_1": Residual(288, 96),
    }


class FeatureNetwork(nn.Module):
    """Stages in a row, tapped behind some of them.

    `taps` are the stages that can be looked at (default: every convolution). If `measured`, each has a *metric*, a
    symmetric k×k matrix through which its activations are looked at, as a distilled network needs it to see
    distances as its teacher does. The path to the next stage does not see it.
    """

    mean: Tensor

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        *,
        taps: Iterable[str] | None = None,
        measured: bool = False,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleDict(stages)
        self._measured = measured
        self._taps = tuple(name for name, stage in stages.items() if isinstance(stage, Convolution))
        if taps is not None:
            self._taps = tuple(taps)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        if measured:
            for number in self._taps:
                self.register_buffer(f"metric_{number}", torch.eye(self.width(number)))

    @property
    def _entrance(self) -> Convolution:
        return cast(Convolution, next(iter(self.stages.values())))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be tapped, shallow to deep."""
        return tuple(f"relu{number}" for number in self._taps)

    def width(self, number: str) -> int:
        """How many channels the stage of this number has."""
        stage = self.stages[number]
        return cast(nn.Conv2d, stage.leave if isinstance(stage, Residual) else stage).out_channels

    @property
    def distilled(self) -> bool:
        """Whether it has learned to see what a larger network sees, and sees less."""
        return self._measured

    def metric(self, layer: str) -> Tensor | None:
        """The matrix (k, k) through which this layer is looked at; None: as it is."""
        return cast(Tensor, getattr(self, f"metric_{layer.removeprefix('relu')}")) if self._measured else None

    def check_layers(self, layers: Iterable[str], option: str) -> None:
        """Raise `SettingsError` naming `option` if one of `layers` is not a layer of this network."""
        for layer in layers:
            if layer not in self.layers:
                raise SettingsError(f"{option}: this network has no {layer}; it has {', '.join(self.layers)}")

    def enter(self, image: Tensor) -> Tensor:
        """What the first stage takes: an image less its mean, in the network's type; differentiable."""
        x = image - self.mean
        rounded = x.to(self._entrance.weight.dtype)
        if self._entrance.in_channels > x.shape[1]:
            left = (x - rounded).detach().to(rounded.dtype)  # in all, it has no gradient
            rounded = torch.cat((rounded, left), 1)
        return rounded.contiguous(memory_format=torch.channels_last)

    def split_entrance(self) -> None:
        """Let images enter as two numbers of a half type each: what they are rounded to, and what that leaves out.

        A bfloat16's steps near white are one grey level wide: what is finer, the network would not see, and the
        optimiser could not mend. The first stage sees both numbers through the same weights, at no cost that can be
        measured.
        """
        first = self._entrance
        if first.in_channels == len(IMAGENET_MEAN):
            first.in_channels *= 2
            first.weight = nn.Parameter(first.weight.repeat(1, 2, 1, 1), requires_grad=first.weight.requires_grad)

    def activations(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Of `layers`, not looked at through any metric; nothing deeper is computed."""
        return self.activations_behind(None, self.enter(image), layers)

    def activations_behind(self, behind: str | None, x: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """The same from what the stage `behind` has answered; None: from an image that has entered."""
        wanted = {layer.removeprefix("relu") for layer in layers}
        names = tuple(self.stages)
        found: dict[str, Tensor] = {}
        for number in names[0 if behind is None else names.index(behind) + 1 :]:
            if len(found) == len(wanted):
                break
            x = self.stages[number](x)
            if number in wanted:
                found[f"relu{number}"] = x
        return found

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Features of `layers` for an image (N, 3, H, W) in [0, 1]."""
        return self.look(image, layers, ())[0]

    def look(
        self,
        image: Tensor,
        content_layers: Iterable[str],
        style_layers: Iterable[str],
        guides: Mapping[str, Guide] = NOWHERE,
    ) -> Looked:
        """Features of `content_layers` and Gram matrices of `style_layers`, guided where `guides` says so, in one pass.

        The metric P goes through the Gram matrix, P·(FFᵀ)·P, instead of the features: the same at hardly any cost.
        """
        content_layers, style_layers = tuple(content_layers), tuple(style_layers)
        found = self.activations(image, {*content_layers, *style_layers})
        features = {layer: self.measured_features(layer, found[layer]) for layer in content_layers}
        grams = {layer: gram_matrix(found[layer], guides.get(layer)) for layer in style_layers}
        return features, {layer: self.measured_gram(layer, gram) for layer, gram in grams.items()}

    def measured_features(self, layer: str, features: Tensor) -> Tensor:
        """Activations (N, C, H, W) of `layer` as its metric shows them."""
        metric = self.metric(layer)
        return features if metric is None else F.conv2d(features, metric[..., None, None])

    def measured_gram(self, layer: str, gram: Tensor) -> Tensor:
        """The Gram matrices (N, C, C) of `layer` as its metric shows them."""
        metric = self.metric(layer)
        if metric is None:
            return gram
        metric = metric.to(gram)  # rounded, in half precision, as weights are: for style and picture alike
        return metric @ gram @ metric

    def spacing(self, layer: str) -> int:
        """How many image pixels lie between two neighbours of this layer."""
        pixels = 1
        for number, stage in self.stages.items():
            pixels *= 2 if stage.halves else 1
            if f"relu{number}" == layer:
                return pixels
        raise KeyError(layer)

    def reach(self, layers: Iterable[str]) -> int:
        """How many image pixels away, at most, is what a value of one of these layers sees."""
        missing, pixels, reach = set(layers), 1, 0
        for number, stage in self.stages.items():
            if not missing:
                break
            missing.discard(f"relu{number}")
            kernels = [part.kernel_size[0] for part in stage.modules() if isinstance(part, nn.Conv2d)]
            reach += sum(kernel // 2 for kernel in kernels or (2,)) * pixels
            pixels *= 2 if stage.halves else 1
        return reach

    def values(self, layers: Iterable[str]) -> float:
        """How many numbers are kept for the way back, per image pixel, up to the deepest of these layers."""
        missing, area, total, width = set(layers), 1.0, 0.0, 3
        for number, stage in self.stages.items():
            if not missing:
                break
            missing.discard(f"relu{number}")
            area /= 4 if stage.halves else 1
            widths = [part.out_channels for part in stage.modules() if isinstance(part, nn.Conv2d)]
            total += area * (sum(widths) or 3 * width)  # a pool also keeps where the largest was, in eight bytes
            width = widths[-1] if widths else width
        return total

    def multiply_adds(self, deepest: str = "relu5_1") -> float:
        """Multiply-adds of the convolutions, per image pixel, up to `deepest`."""
        total, area = 0.0, 1.0
        for number, stage in self.stages.items():
            area /= 4 if stage.halves else 1
            total += area * sum(p.numel() for p in stage.parameters() if p.ndim == 4)
            if f"relu{number}" == deepest:
                break
        return total

    @torch.no_grad()
    def normalize(self, pictures: Tensor) -> None:
        """Rescale a stack of convolutions so that every layer's mean activation over `pictures` (N, 3, H, W) is 1.

        Scaling a layer of a ReLU stack only scales its activations, so the features stay the same up to one factor
        per layer. Departs from Gatys et al., CVPR 2016, sec. 2, who scale every *filter* to 1: one factor per
        *layer* makes layers and networks comparable just as well, keeps each layer's own metric, and needs no
        large collection of pictures.
        """
        features = self.activations(pictures, self.layers)
        scale = 1.0
        for number, stage in self.stages.items():
            if isinstance(stage, Convolution):
                mean = features[f"relu{number}"].mean().item()
                stage.weight.mul_(scale / mean)
                if stage.bias is not None:
                    stage.bias.div_(mean)
                scale = mean
