"""The feature stacks: layers, shapes, cost, normalisation; what is computed and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from nst_video.errors import SettingsError
from nst_video.losses import gram_matrix
from nst_video.networks import (
    CAFFE_MEAN,
    IMAGENET_MEAN,
    LITE_TAPS,
    Convolution,
    FeatureNetwork,
    Pooling,
    Residual,
    lite_stages,
    vgg19_stages,
)
from nst_video.settings import CONTENT_LAYERS, STYLE_LAYERS
from nst_video.weights import load_network

LITE_TAPS_AS_LAYERS = tuple(f"relu{number}" for number in LITE_TAPS)
WIDTHS = {"1_1": 4, "1_2": 5, "2_1": 6, "3_1": 7, "3_2": 8}


def small(pooling: Pooling = "max", taps: tuple[str, ...] | None = None) -> FeatureNetwork:
    """A stack like VGG-19's; with `taps`, looked at through metrics."""
    torch.manual_seed(0)
    return FeatureNetwork(vgg19_stages(pooling, WIDTHS), taps=taps, measured=taps is not None)


def convolution(network: FeatureNetwork, number: str) -> Convolution:
    return cast(Convolution, network.stages[number])


def picture(height: int = 24, width: int = 32) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


def on_paper(stages: Callable[[], dict[str, nn.Module]]) -> FeatureNetwork:
    """A network with shapes but no memory behind them."""
    with torch.device("meta"):
        return FeatureNetwork(stages())


def test_vgg19_has_the_sixteen_layers_of_the_paper() -> None:
    names = on_paper(vgg19_stages).layers
    blocks = {1: 2, 2: 2, 3: 4, 4: 4, 5: 4}
    assert names == tuple(f"relu{block}_{i}" for block, depth in blocks.items() for i in range(1, depth + 1))


def test_lite_offers_the_layers_that_the_settings_use() -> None:
    names = load_network("lite").layers
    assert names == ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")
    assert set(names) == {*STYLE_LAYERS, *CONTENT_LAYERS}


def test_multiply_adds_per_pixel() -> None:
    """VGG-19 by hand: Σ 9·in·out / 4^(block − 1); lite is at most a sixteenth of it."""
    assert on_paper(vgg19_stages).multiply_adds() == 361152
    assert on_paper(vgg19_stages).multiply_adds("relu1_2") == 9 * (3 * 64 + 64 * 64)
    lite = on_paper(lite_stages)
    full, half = 9 * 3 * 16, 16 * 16 * 32 / 4 + 9 * 32 * 32 / 4
    assert lite.multiply_adds("relu2_1") == full + half
    assert lite.multiply_adds() <= 361152 / 16


def test_a_residual_stage_adds_to_what_it_is_given() -> None:
    torch.manual_seed(0)
    stage, x = Residual(6, 2), torch.rand(1, 6, 5, 5)
    added = stage.leave(stage.work(stage.enter(x)))
    assert torch.allclose(stage(x), (x + added).relu(), atol=1e-6)
    nn.init.zeros_(stage.leave.weight)
    nn.init.zeros_(cast(Tensor, stage.leave.bias))
    assert torch.equal(stage(x), x)


@pytest.mark.parametrize("size", [2, 4])
def test_a_halving_convolution_meets_every_pixel_equally_often(size: int) -> None:
    """With kernels that do not, the gradient has a checkerboard."""
    stage = Convolution(1, 1, size, halve=True)
    nn.init.ones_(stage.weight)
    image = torch.ones(1, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(stage(image).sum(), image)
    inside = gradient[..., 2:-2, 2:-2]
    assert torch.equal(inside, inside[..., :1, :1].expand_as(inside))


def test_lite_halves_as_vgg19_does() -> None:
    features = load_network("lite")(picture(64, 96), LITE_TAPS_AS_LAYERS)
    sizes = {layer: tuple(f.shape[2:]) for layer, f in features.items()}
    assert sizes == {
        "relu1_1": (64, 96),
        "relu2_1": (32, 48),
        "relu3_1": (16, 24),
        "relu4_1": (8, 12),
        "relu4_2": (8, 12),
        "relu5_1": (4, 6),
    }


def test_shapes_per_layer() -> None:
    features = small()(picture(), small().layers)
    shapes = {name: tuple(f.shape) for name, f in features.items()}
    assert shapes == {
        "relu1_1": (1, 4, 24, 32),
        "relu1_2": (1, 5, 24, 32),
        "relu2_1": (1, 6, 12, 16),
        "relu3_1": (1, 7, 6, 8),
        "relu3_2": (1, 8, 6, 8),
    }


def test_activations_are_rectified_and_depend_on_the_picture_minus_the_mean() -> None:
    network = small()
    features = network(picture(), ["relu1_1"])["relu1_1"]
    conv = convolution(network, "1_1")
    centred = picture() - torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    wanted = nn.functional.conv2d(centred, conv.weight, conv.bias, padding=1).clamp_min(0)
    assert torch.allclose(features, wanted, atol=1e-6)
    assert features.min() == 0


def test_zero_padding_means_the_mean_colour() -> None:
    """On a picture of the mean colour even the border sees nothing but biases."""
    for mean in (IMAGENET_MEAN, CAFFE_MEAN):
        network = FeatureNetwork(vgg19_stages("max", WIDTHS), mean=mean)
        flat = torch.tensor(mean).view(1, 3, 1, 1).expand(1, 3, 8, 8)
        bias = convolution(network, "1_1").bias
        assert bias is not None
        features = network(flat, ["relu1_1"])["relu1_1"]
        assert torch.allclose(features, bias.relu().view(1, -1, 1, 1).expand_as(features), atol=1e-6)


@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_pooling_halves_by_the_largest_or_by_the_mean(pooling: Pooling) -> None:
    network = small(pooling)
    features = network(picture(), ["relu1_2", "relu2_1"])
    blocks = features["relu1_2"].unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    pooled = blocks.amax(4) if pooling == "max" else blocks.mean(4)
    assert torch.allclose(features["relu2_1"], network.stages["2_1"](pooled), atol=1e-6)


def test_nothing_deeper_than_asked_for_is_computed() -> None:
    network, calls = small(), list[str]()
    for number in WIDTHS:
        network.stages[number].register_forward_hook(lambda *_, n=number: calls.append(n))
    assert network(picture(), ["relu2_1", "relu1_1"]).keys() == {"relu1_1", "relu2_1"}
    assert calls == ["1_1", "1_2", "2_1"]


def symmetric(size: int) -> Tensor:
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(2))
    return matrix + matrix.T


def test_a_metric_changes_what_is_looked_at_and_not_what_goes_on() -> None:
    plain, network = small(), small(taps=("1_1", "3_1"))
    assert network.layers == ("relu1_1", "relu3_1")
    metric = network.metric("relu1_1")
    assert metric is not None
    metric.copy_(symmetric(4))
    through, straight = network(picture(), network.layers), plain(picture(), plain.layers)
    measured = torch.einsum("ij,njhw->nihw", symmetric(4), straight["relu1_1"])
    assert torch.allclose(through["relu1_1"], measured, atol=1e-5)
    assert torch.allclose(through["relu3_1"], straight["relu3_1"], atol=1e-6)
    assert plain.metric("relu1_1") is None
    assert network.activations(picture(), ["relu1_1"])["relu1_1"].equal(straight["relu1_1"])


def test_gram_matrices_are_those_of_the_features_as_looked_at() -> None:
    """The metric goes through the Gram matrix, which costs nothing, and the answer is the same."""
    network = small(taps=("1_1", "3_1"))
    for layer, size in (("relu1_1", 4), ("relu3_1", 7)):
        cast(Tensor, network.metric(layer)).copy_(symmetric(size))
    features, grams = network.look(picture(), ["relu3_1"], ["relu1_1", "relu3_1"])
    assert list(features) == ["relu3_1"]
    for layer, looked_at in network(picture(), ["relu1_1", "relu3_1"]).items():
        assert torch.allclose(grams[layer], gram_matrix(looked_at), rtol=1e-4, atol=1e-4)


def test_a_way_can_be_resumed_behind_any_stage() -> None:
    network = small()
    whole = network(picture(), ["relu2_1", "relu3_2"])
    rest = network.activations_behind("2_1", whole["relu2_1"], ["relu3_2"])
    assert torch.equal(rest["relu3_2"], whole["relu3_2"])


def test_normalize_gives_every_layer_a_mean_of_one_and_keeps_its_pattern() -> None:
    network, pictures = small(), torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    before = network(pictures, network.layers)
    network.normalize(pictures)
    after = network(pictures, network.layers)
    for layer in network.layers:
        assert after[layer].mean().item() == pytest.approx(1, rel=1e-4)
        assert torch.allclose(after[layer], before[layer] / before[layer].mean(), atol=1e-4)


def test_gradients_flow_to_the_image() -> None:
    image = picture().requires_grad_()
    small().requires_grad_(False)(image, ["relu3_2"])["relu3_2"].sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0


def test_an_unknown_layer_is_an_error_that_names_option_layer_and_choice() -> None:
    network = small(taps=("1_1", "3_1"))
    network.check_layers(["relu1_1", "relu3_1"], "--style-layers")
    with pytest.raises(SettingsError, match=r"--style-layers.*no relu2_1.*relu1_1, relu3_1"):
        network.check_layers(["relu1_1", "relu2_1"], "--style-layers")


# how far it sees, and what it keeps


def measures(network: FeatureNetwork) -> dict[str, tuple[int, int]]:
    """Spacing and reach of each layer."""
    return {layer: (network.spacing(layer), network.reach([layer])) for layer in network.layers}


def mixed() -> FeatureNetwork:
    """Convolutions that halve, and a residual."""
    stages = {
        "1_1": Convolution(3, 4, 5),
        "halve": Convolution(4, 6, 4, halve=True),
        "2_1": Residual(6, 2),
        "again": Convolution(6, 8, 2, halve=True),
        "3_1": Convolution(8, 10, 1),
        "3_2": Residual(10, 3),
    }
    return FeatureNetwork(stages, taps=("1_1", "2_1", "3_1", "3_2"))


def test_spacing_and_reach_by_hand() -> None:
    """Half a kernel at each stage, in pixels as large as they are there; pools and halving kernels count as well."""
    assert measures(small()) == {
        "relu1_1": (1, 1),
        "relu1_2": (1, 2),
        "relu2_1": (2, 2 + 1 + 2),
        "relu3_1": (4, 5 + 2 + 4),
        "relu3_2": (4, 11 + 4),
    }
    assert measures(mixed()) == {
        "relu1_1": (1, 2),
        "relu2_1": (2, 2 + 2 + 2),
        "relu3_1": (4, 6 + 2 + 0),
        "relu3_2": (4, 8 + 4),
    }
    assert {layer: spacing for layer, (spacing, _) in measures(on_paper(vgg19_stages)).items()} == {
        layer: 2 ** (int(layer[4]) - 1) for layer in on_paper(vgg19_stages).layers
    }


def test_the_deepest_layer_reaches_farthest_whatever_the_order() -> None:
    assert small().reach(("relu3_1", "relu1_1")) == small().reach(("relu1_1", "relu3_1")) == 11
    assert small().reach(()) == 0
    with pytest.raises(KeyError):
        small().spacing("relu9_9")


def test_what_is_kept_by_hand() -> None:
    """A convolution keeps its answer, a residual its narrow layers too; a pool its answer and, in eight bytes, where
    each came from."""
    network = small()
    assert network.values(["relu1_1"]) == 4
    assert network.values(["relu1_2", "relu1_1"]) == 4 + 5
    assert network.values(["relu2_1"]) == 9 + 3 * 5 / 4 + 6 / 4
    assert network.values(["relu3_2"]) == 9 + (15 + 6) / 4 + (3 * 6 + 7 + 8) / 16
    assert mixed().values(["relu3_2"]) == 4 + (6 + 2 + 2 + 6) / 4 + (8 + 10 + 3 + 3 + 10) / 16
    assert network.values(()) == 0


def alive(stages: dict[str, nn.Module], taps: tuple[str, ...] | None = None) -> FeatureNetwork:
    """All weights are positive: no ReLU hides what is seen."""
    network = FeatureNetwork(stages, taps=taps, mean=(0, 0, 0)).requires_grad_(False).double()
    for parameter in network.parameters():
        parameter.fill_(1 / parameter[0].numel() if parameter.ndim > 1 else 0.1)
    return network


@pytest.mark.parametrize("kind", ["lite", "vgg19"])
def test_no_value_sees_beyond_its_reach_and_each_sees_half_as_far_at_least(kind: str) -> None:
    widths = {layer.removeprefix("relu"): 1 for layer in on_paper(vgg19_stages).layers}
    network = alive(lite_stages(), LITE_TAPS) if kind == "lite" else alive(vgg19_stages("avg", widths))
    image = torch.rand(1, 3, 16, 320, dtype=torch.float64).requires_grad_()
    features = network(image, network.layers)
    for layer in network.layers:
        spacing, reach = network.spacing(layer), network.reach([layer])
        where = features[layer].shape[3] // 2
        value = features[layer][:, :, features[layer].shape[2] // 2, where].sum()
        (gradient,) = torch.autograd.grad(value, image, retain_graph=True)
        seen = gradient.abs().sum((0, 1, 2)).nonzero().flatten() - where * spacing
        assert -reach <= seen.min() <= -reach / 2
        assert reach / 2 <= seen.max() <= reach
