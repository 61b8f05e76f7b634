"""The packed network against the plain one, which is the reference."""

from __future__ import annotations

import platform

import pytest
import torch
from torch import Tensor, nn

from nst_video import packed
from nst_video.device import Compute
from nst_video.losses import Guide
from nst_video.networks import Convolution, FeatureNetwork, Looked, Pool, Residual, vgg19_stages
from nst_video.packed import PackedNetwork
from nst_video.weights import load_network

# Not `packed.available`, which says no as well if the answers are wrong.
pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
    reason="oneDNN's kernels are for x86 processors",
)


def network(stages: dict[str, nn.Module], *, measured: bool = False) -> FeatureNetwork:
    torch.manual_seed(0)
    taps = tuple(number for number, stage in stages.items() if not isinstance(stage, Pool))
    made = FeatureNetwork(stages, taps=taps, measured=measured).requires_grad_(False)
    for layer in made.layers if measured else ():
        metric = made.metric(layer)
        assert metric is not None
        metric.copy_(torch.rand(metric.shape))
        metric.add_(metric.T.clone())
    return made.to(memory_format=torch.channels_last)


def image(height: int = 36, width: int = 52) -> Tensor:
    dice = torch.Generator().manual_seed(1)
    return torch.rand(1, 3, height, width, generator=dice).requires_grad_()


def compare(one: Looked, other: Looked, x: Tensor, tolerance: float) -> None:
    """The same layers, answers and image gradient, for a sum in which every number counts differently."""
    gradients = []
    for seen in (one, other):
        dice, terms = torch.Generator().manual_seed(2), []
        for value in (value.float() for kind in seen for value in kind.values()):
            terms.append((torch.rand(value.shape, generator=dice) * value).mean() / value.detach().mean())
        gradients.append(torch.autograd.grad(torch.stack(terms).sum(), x)[0].float())
    for mine, plain in zip(one, other, strict=True):
        assert list(mine) == list(plain)
        for layer, value in plain.items():
            assert mine[layer].dtype == value.dtype
            assert mine[layer].shape == value.shape
            assert (mine[layer] - value).float().norm() <= tolerance * value.float().norm()
    assert (gradients[0] - gradients[1]).norm() <= tolerance * gradients[1].norm()


STACKS: dict[str, dict[str, nn.Module]] = {
    "one convolution": {"1": Convolution(3, 8)},
    "kernels of all sizes": {"1": Convolution(3, 8, 1), "2": Convolution(8, 12, 3), "3": Convolution(12, 6, 5)},
    "halving": {"1": Convolution(3, 8, 4, halve=True), "2": Convolution(8, 6, 2, halve=True)},
    "residual": {"1": Convolution(3, 8), "2": Residual(8, 4), "3": Residual(8, 3)},
    "largest of four": vgg19_stages("max", {"1_1": 4, "1_2": 5, "2_1": 6, "3_1": 7}),
    "mean of four": vgg19_stages("avg", {"1_1": 4, "1_2": 5, "2_1": 6, "3_1": 7}),
}


@pytest.mark.parametrize("measured", [False, True])
@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("size", [(36, 52), (17, 16), (35, 21)])
def test_answers_and_gradient_are_the_plain_networks(name: str, measured: bool, size: tuple[int, int]) -> None:
    plain, x = network(STACKS[name], measured=measured), image(*size)
    layers = plain.layers
    for content, style in ((layers[-1:], layers), (layers, ()), ((), layers[:1]), (layers[:1], layers[-1:])):
        compare(PackedNetwork(plain, x, content, style)(x), plain.look(x, content, style), x, 1e-5)


@pytest.mark.skipif(not packed.available(torch.bfloat16), reason="no packed kernels for bfloat16 here")
def test_lite_in_bf16_is_lite_within_the_formats_precision() -> None:
    lite = Compute.choose("cpu", "bf16").place(load_network("lite"))
    x = image(96, 128)
    content, style = ("relu4_2",), ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    packed_seen, plain_seen = PackedNetwork(lite, x, content, style)(x), lite.look(x, content, style)
    compare(packed_seen, plain_seen, x, 0.1)


def guided(network: FeatureNetwork, x: Tensor, layers: tuple[str, ...], ways: int = 2) -> dict[str, Guide]:
    """Random weights for each of `layers`, of the size of its features."""
    guides, dice = {}, torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer, features in network(x, layers).items():
            weights = torch.rand(ways, *features.shape[2:], generator=dice)
            guides[layer] = Guide(weights, weights.sum((1, 2)))
    return guides


@pytest.mark.parametrize("measured", [False, True])
@pytest.mark.parametrize("name", STACKS)
def test_guided_answers_and_gradient_are_the_plain_networks_too(name: str, measured: bool) -> None:
    plain, x = network(STACKS[name], measured=measured), image(35, 21)
    layers = plain.layers
    for content, style, seen_through in (((), layers, layers), (layers, layers, layers[-1:]), ((), layers[:1], layers)):
        guides = guided(plain, x, seen_through)
        look = PackedNetwork(plain, x, content, style)
        compare(look(x, guides), plain.look(x, content, style, guides), x, 1e-5)
        compare(look(x), plain.look(x, content, style), x, 1e-5)  # nothing of the guides stays behind


@pytest.mark.skipif(not packed.available(torch.bfloat16), reason="no packed kernels for bfloat16 here")
def test_guided_lite_in_bf16_is_lite_within_the_formats_precision() -> None:
    lite = Compute.choose("cpu", "bf16").place(load_network("lite"))
    x, style = image(64, 96), ("relu1_1", "relu3_1", "relu5_1")
    guides = guided(lite, x, style)
    seen = PackedNetwork(lite, x, ("relu4_2",), style)(x, guides)
    compare(seen, lite.look(x, ("relu4_2",), style, guides), x, 0.1)


def test_layers_in_any_order_and_none_deeper_than_asked_for() -> None:
    plain, x = network({str(i): Convolution(3, 3) for i in range(4)}), image()
    deep = PackedNetwork(plain, x, ("relu2",), ("relu1", "relu0"))
    features, grams = deep(x)
    assert (list(features), list(grams)) == (["relu2"], ["relu1", "relu0"])
    assert len(deep.forward(x)) == 3
    shallow = PackedNetwork(plain, x, ("relu0", "relu1"), ("relu3",))
    alone = shallow.features(x)
    assert all(torch.equal(alone[layer], value) for layer, value in shallow(x)[0].items())
    assert len(shallow.forward(x, 2)) == 2
    assert PackedNetwork(plain, x, (), ("relu0",)).features(x) == {}


def test_looking_twice_is_no_other_than_looking_once() -> None:
    """The way back works in place; it must leave alone what the next look, or another gradient, needs."""
    plain, x = network(STACKS["residual"]), image()
    look = PackedNetwork(plain, x, ("relu3",), ("relu1", "relu2"))

    def total(seen: Looked) -> Tensor:
        return torch.stack([value.square().sum() for kind in seen for value in kind.values()]).sum()

    seen = look(x)
    before = [value.detach().clone() for kind in seen for value in kind.values()]
    first = torch.autograd.grad(total(seen), x, retain_graph=True)[0].clone()
    second = torch.autograd.grad(total(seen), x)[0]
    third = torch.autograd.grad(total(look(x)), x)[0]
    assert torch.equal(first, second)
    assert torch.equal(first, third)
    assert all(torch.equal(a, b) for a, b in zip(before, (v for k in seen for v in k.values()), strict=True))


def test_kernels_that_are_missing_or_answer_wrongly_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    check = packed.available.__wrapped__
    assert check(torch.float32)
    with monkeypatch.context() as changed:
        changed.setattr(packed._Kernel, "add_relu", lambda self, x, other: self.relu(x))
        assert not check(torch.float32)
    monkeypatch.delattr(packed._Kernel, "backward")
    assert not check(torch.float32)


def test_asking_leaves_the_dice_alone() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    packed.available.__wrapped__(torch.float32)
    assert torch.equal(torch.rand(1), wanted)
