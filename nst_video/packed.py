"""A network's look at an image, and its gradient, as a CPU does them best: what `FeatureNetwork.look` answers, sooner.

The network is frozen, so the way back is known beforehand and needs no tape: one pass forward that keeps what the way
back will need, one pass backward that adds up gradients in place. Weights are laid out once for the inputs that they
meet; ReLU and residual sum are done while a result is still in the cache. The kernels are oneDNN's, by the names under
which torch's own compiler calls them; `available` says whether this machine has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nst_video.losses import Guide, guided_gradient, guided_product
from nst_video.networks import NOWHERE, Convolution, FeatureNetwork, Looked, Pool, Residual

_aten, _onednn = torch.ops.aten, torch.ops.mkldnn
_ONE, _TWO, _NONE = [1, 1], [2, 2], [0, 0]

Kept = tuple[Tensor, ...]
"""What a stage needs on the way back; the last is its answer."""


class PackedNetwork:
    """`network`, laid out for images of one shape (1, 3, H, W), to the deepest of the layers asked for.

    Its weights must not change afterwards. `image` is any such image.
    """

    def __init__(
        self, network: FeatureNetwork, image: Tensor, content_layers: Sequence[str], style_layers: Sequence[str]
    ) -> None:
        self.network = network
        self.content_layers, self.style_layers = tuple(content_layers), tuple(style_layers)
        self._stages: dict[str, _Stage] = {}
        missing = {*content_layers, *style_layers}
        with torch.no_grad():
            x = network.enter(image)
            for number, stage in network.stages.items():
                if not missing:
                    break
                missing.discard(f"relu{number}")
                packed = _STAGES[type(stage)](stage, x)
                self._stages[f"relu{number}"] = packed
                x = packed.forward(x)[-1]

    def __call__(self, image: Tensor, guides: Mapping[str, Guide] = NOWHERE) -> Looked:
        """Features of the content layers and Gram matrices of the style layers; differentiable."""
        found = _Look.apply(self.network.enter(image), self, guides)
        features = dict(zip(self.content_layers, found, strict=False))
        return features, dict(zip(self.style_layers, found[len(features) :], strict=True))

    @torch.no_grad()
    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Features of the content layers alone; nothing deeper is computed."""
        depth = max((list(self._stages).index(layer) + 1 for layer in self.content_layers), default=0)
        kept = self.forward(self.network.enter(image), depth)
        found = dict(zip(self._stages, kept, strict=False))
        return {layer: self.network.measured_features(layer, found[layer][-1]) for layer in self.content_layers}

    def forward(self, x: Tensor, depth: int | None = None) -> list[Kept]:
        """What each stage keeps of an image that has entered, shallow to deep; only the first `depth` stages, if
        given."""
        kept = list[Kept]()
        for stage in islice(self._stages.values(), depth):
            kept.append(stage.forward(x))
            x = kept[-1][-1]
        return kept

    def answers(self, kept: Sequence[Kept], guides: Mapping[str, Guide] = NOWHERE) -> tuple[Tensor, ...]:
        """Features of the content layers, then Gram matrices of the style layers, as their metrics show them."""
        found = {layer: each[-1] for layer, each in zip(self._stages, kept, strict=True)}
        features = (self.network.measured_features(layer, found[layer]) for layer in self.content_layers)
        grams = ((layer, _gram(found[layer], guides.get(layer))) for layer in self.style_layers)
        return *features, *(self.network.measured_gram(layer, gram) for layer, gram in grams)

    def backward(
        self, kept: Sequence[Kept], gradients: Sequence[Tensor], guides: Mapping[str, Guide] = NOWHERE
    ) -> Tensor:
        """The gradient of what has entered, from those of the answers."""
        of_features = dict(zip(self.content_layers, gradients, strict=False))
        of_grams = dict(zip(self.style_layers, gradients[len(of_features) :], strict=True))
        gradient = torch.zeros_like(kept[-1][-1])
        for (layer, stage), each in zip(reversed(self._stages.items()), reversed(kept), strict=True):
            # A metric is symmetric: the way back leads through it in the same manner.
            if layer in of_features:
                gradient.add_(self.network.measured_features(layer, of_features[layer]))
            if layer in of_grams:
                of_gram = self.network.measured_gram(layer, of_grams[layer])
                _add_gram_gradient(gradient, each[-1], of_gram, guides.get(layer))
            gradient = stage.backward(gradient, each)
        return gradient


class _Look(torch.autograd.Function):
    """To automatic differentiation the whole network is one step."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: PackedNetwork, guides: Mapping[str, Guide]) -> tuple[Tensor, ...]:
        ctx.packed, ctx.kept, ctx.guides = packed, packed.forward(x), guides
        return tuple(answer.view_as(answer) for answer in packed.answers(ctx.kept, guides))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.packed.backward(ctx.kept, gradients, ctx.guides), None, None


def _rows(features: Tensor) -> Tensor:
    """Channels-last features (1, C, H, W) as (H·W, C), in the same memory."""
    return features.permute(0, 2, 3, 1).flatten(0, 2)


def _gram(features: Tensor, guide: Guide | None) -> Tensor:
    """`losses.gram_matrix` of one image. Of bfloat16 the product is summed in float32 and rounded once; raising the
    features first would avoid that, but takes longer than the product."""
    rows = _rows(features)
    return (rows.T @ rows).float()[None] / len(rows) if guide is None else guided_product(rows, guide)


def _add_gram_gradient(gradient: Tensor, features: Tensor, of_gram: Tensor, guide: Guide | None) -> None:
    """To the `gradient` of features, in place, what comes from their Gram matrix: F·(Ġ + Ġᵀ)/M."""
    rows = _rows(features)
    if guide is None:
        _rows(gradient).addmm_(rows, ((of_gram[0] + of_gram[0].T) / len(rows)).to(rows.dtype))
    else:
        _rows(gradient).add_(guided_gradient(rows, guide, of_gram))


def _stop_(gradient: Tensor, y: Tensor) -> Tensor:
    """`gradient`, in place, through a ReLU that answered `y`."""
    return _aten.threshold_backward.grad_input(gradient, y, 0, grad_input=gradient)  # type: ignore[no-any-return]


class _Kernel:
    """One convolution, its weights laid out for inputs like `x`, channels last."""

    def __init__(self, convolution: nn.Conv2d, x: Tensor) -> None:
        self._weight, self._bias = convolution.weight.detach(), cast(Tensor, convolution.bias).detach()
        self._stride, self._padding = list(convolution.stride), list(cast(tuple[int, int], convolution.padding))
        self._forward = _lay_out(self._weight, self._stride, self._padding, x)
        if self._stride == _ONE:  # the way back is a convolution with the same kernel, turned round
            self._margin = [size - 1 - pad for size, pad in zip(convolution.kernel_size, self._padding, strict=True)]
            self._turned = _lay_out(self._weight.transpose(0, 1).flip(2, 3), _ONE, self._margin, self.relu(x))

    def relu(self, x: Tensor) -> Tensor:
        """ReLU(w∗x + b)."""
        return _onednn._convolution_pointwise.default(  # type: ignore[no-any-return]
            x, self._forward, self._bias, self._padding, self._stride, _ONE, 1, "relu", [], ""
        )

    def add_relu(self, x: Tensor, other: Tensor) -> Tensor:
        """ReLU(w∗x + b + other)."""
        return _onednn._convolution_pointwise.binary(  # type: ignore[no-any-return]
            x, other, self._forward, self._bias, self._padding, self._stride, _ONE, 1, "add", 1.0, "relu", [], ""
        )

    def backward(self, gradient: Tensor, x: Tensor) -> Tensor:
        """The gradient of `x`, from that of w∗x + b."""
        if self._stride == _ONE:
            return _onednn._convolution_pointwise.default(  # type: ignore[no-any-return]
                gradient, self._turned, None, self._margin, _ONE, _ONE, 1, "none", [], ""
            )
        return _aten.convolution_backward.default(  # type: ignore[no-any-return]
            gradient, x, self._weight, None, self._stride, self._padding, _ONE, False, _NONE, 1, [True, False, False]
        )[0]

    def backward_onto(self, total: Tensor, gradient: Tensor) -> Tensor:
        """The same of a convolution that keeps the size, added to `total` in place."""
        return _onednn._convolution_pointwise_.binary(  # type: ignore[no-any-return]
            total, gradient, self._turned, None, self._margin, _ONE, _ONE, 1, "add", 1.0, None, [], None
        )


def _lay_out(weight: Tensor, stride: list[int], padding: list[int], x: Tensor) -> Tensor:
    weight = weight.contiguous(memory_format=torch.channels_last)
    return _onednn._reorder_convolution_weight(  # type: ignore[no-any-return]
        weight, padding, stride, _ONE, 1, list(x.shape)
    )


class _Stage(Protocol):
    """A stage of `networks`, laid out for inputs like `x`."""

    def __init__(self, stage: Any, x: Tensor) -> None: ...

    def forward(self, x: Tensor) -> Kept: ...

    def backward(self, gradient: Tensor, kept: Kept) -> Tensor:
        """The input's gradient; that of the answer may be overwritten."""


class _Convolution:
    def __init__(self, stage: Convolution, x: Tensor) -> None:
        self._kernel = _Kernel(stage, x)

    def forward(self, x: Tensor) -> Kept:
        return x, self._kernel.relu(x)

    def backward(self, gradient: Tensor, kept: Kept) -> Tensor:
        x, y = kept
        return self._kernel.backward(_stop_(gradient, y), x)


class _Residual:
    def __init__(self, stage: Residual, x: Tensor) -> None:
        self._enter = _Kernel(stage.enter, x)
        narrow = self._enter.relu(x)
        self._work, self._leave = _Kernel(stage.work, narrow), _Kernel(stage.leave, narrow)

    def forward(self, x: Tensor) -> Kept:
        entered = self._enter.relu(x)
        worked = self._work.relu(entered)
        return entered, worked, self._leave.add_relu(worked, x)

    def backward(self, gradient: Tensor, kept: Kept) -> Tensor:
        entered, worked, y = kept
        gradient = _stop_(gradient, y)
        inner = _stop_(self._leave.backward(gradient, worked), worked)
        inner = _stop_(self._work.backward(inner, entered), entered)
        return self._enter.backward_onto(gradient, inner)


class _Pool:
    def __init__(self, stage: Pool, x: Tensor) -> None:
        self._mean = stage.pooling == "avg"

    def forward(self, x: Tensor) -> Kept:
        if self._mean:
            return x, F.avg_pool2d(x, 2)
        y, where = F.max_pool2d(x, 2, return_indices=True)
        return x, where, y

    def backward(self, gradient: Tensor, kept: Kept) -> Tensor:
        x = kept[0]
        if self._mean:
            return _aten.avg_pool2d_backward(  # type: ignore[no-any-return]
                gradient, x, _TWO, _TWO, _NONE, False, True, None
            )
        return _aten.max_pool2d_with_indices_backward(  # type: ignore[no-any-return]
            gradient, x, _TWO, _TWO, _NONE, _ONE, False, kept[1]
        )


_STAGES: dict[type[nn.Module], type[_Stage]] = {Convolution: _Convolution, Residual: _Residual, Pool: _Pool}


@cache
def available(dtype: torch.dtype) -> bool:
    """Whether this torch has the kernels, which are not of its public interface, and they answer what plain ones do."""
    with torch.random.fork_rng(devices=()):  # which layers are made with
        stages = {
            "1": Convolution(3, 16),
            "2": Convolution(16, 16, 4, halve=True),
            "3": Residual(16, 8),
            "p": Pool("max"),
        }
    network = FeatureNetwork(stages, taps=("1", "3")).requires_grad_(False)
    dice = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.copy_(torch.rand(parameter.shape, generator=dice).sub_(0.5).mul_(0.5))
    if dtype != torch.float32:
        network.split_entrance()
    network, image = network.to(dtype), torch.rand(1, 3, 24, 32, generator=dice)
    layers = ("relu3",), ("relu1",)
    try:
        ours = _image_gradient(PackedNetwork(network, image, *layers), image)
    except (AttributeError, RuntimeError):  # no such kernel; not for this processor; other arguments
        return False
    plain = _image_gradient(lambda x: network.look(x, *layers), image)
    return bool((ours - plain).norm() < 0.02 * plain.norm())


def _image_gradient(look: Callable[[Tensor], Looked], image: Tensor) -> Tensor:
    image = image.clone().requires_grad_()
    features, grams = look(image)
    total = torch.stack([answer.float().sum() for answer in (*features.values(), *grams.values())]).sum()
    return torch.autograd.grad(total, image)[0].float()
