"""The feature stacks: layers, shapes, cost, normalisation; what is computed and what is not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nst_video.errors import SettingsError
from nst_video.networks import (
    CAFFE_MEAN,
    IMAGENET_MEAN,
    LITE_TAPS,
    LITE_WIDTHS,
    VGG19_WIDTHS,
    FeatureNetwork,
    Pooling,
)
from nst_video.settings import CONTENT_LAYERS, STYLE_LAYERS

WIDTHS = {"1_1": 4, "1_2": 5, "2_1": 6, "3_1": 7, "3_2": 8}


def small(pooling: Pooling = "max", projected: tuple[str, ...] = ()) -> FeatureNetwork:
    torch.manual_seed(0)
    return FeatureNetwork(WIDTHS, pooling=pooling, projected=projected)


def picture(height: int = 24, width: int = 32) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


def on_paper(widths: dict[str, int], projected: tuple[str, ...] = ()) -> FeatureNetwork:
    """A network with shapes but no memory behind them."""
    with torch.device("meta"):
        return FeatureNetwork(widths, projected=projected)


def test_vgg19_has_the_sixteen_layers_of_the_paper() -> None:
    names = on_paper(VGG19_WIDTHS).layers
    blocks = {1: 2, 2: 2, 3: 4, 4: 4, 5: 4}
    assert names == tuple(f"relu{block}_{i}" for block, depth in blocks.items() for i in range(1, depth + 1))


def test_lite_offers_the_layers_that_the_settings_use() -> None:
    names = on_paper(LITE_WIDTHS, LITE_TAPS).layers
    assert names == ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")
    assert set(names) == {*STYLE_LAYERS, *CONTENT_LAYERS}


def test_multiply_adds_per_pixel() -> None:
    """VGG-19 by hand: Σ 9·in·out / 4^(block − 1); lite is at most a sixteenth of it."""
    assert on_paper(VGG19_WIDTHS).multiply_adds() == 361152
    assert on_paper(VGG19_WIDTHS).multiply_adds("relu1_2") == 9 * (3 * 64 + 64 * 64)
    assert on_paper(LITE_WIDTHS, LITE_TAPS).multiply_adds() <= 23000
    small_by_hand = 9 * (3 * 4 + 4 * 5) + 9 * 5 * 6 / 4
    assert small(projected=("1_1", "2_1")).multiply_adds("relu2_1") == small_by_hand + 4 * 4 + 6 * 6 / 4


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
    conv = network.conv("1_1")
    centred = picture() - torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    assert torch.allclose(features, nn.functional.conv2d(centred, conv.weight, conv.bias, padding=1).clamp_min(0))
    assert features.min() == 0


def test_zero_padding_means_the_mean_colour() -> None:
    """On a picture of the mean colour even the border sees nothing but biases."""
    for mean in (IMAGENET_MEAN, CAFFE_MEAN):
        network = FeatureNetwork(WIDTHS, mean=mean)
        flat = torch.tensor(mean).view(1, 3, 1, 1).expand(1, 3, 8, 8)
        bias = network.conv("1_1").bias
        assert bias is not None
        features = network(flat, ["relu1_1"])["relu1_1"]
        assert torch.allclose(features, bias.relu().view(1, -1, 1, 1).expand_as(features), atol=1e-6)


@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_pooling_halves_by_the_largest_or_by_the_mean(pooling: Pooling) -> None:
    network = small(pooling)
    features = network(picture(), ["relu1_2", "relu2_1"])
    blocks = features["relu1_2"].unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    pooled = blocks.amax(4) if pooling == "max" else blocks.mean(4)
    assert torch.allclose(features["relu2_1"], network.conv("2_1")(pooled).relu(), atol=1e-6)


def test_nothing_deeper_than_asked_for_is_computed() -> None:
    network, calls = small(), list[str]()
    for number in WIDTHS:
        network.conv(number).register_forward_hook(lambda *_, n=number: calls.append(n))
    assert list(network(picture(), ["relu2_1", "relu1_1"])) == ["relu1_1", "relu2_1"]
    assert calls == ["1_1", "1_2", "2_1"]


def test_projections_change_what_is_tapped_and_not_what_goes_on() -> None:
    plain, network = small(), small(projected=("1_1", "3_1"))
    network.load_state_dict(plain.state_dict(), strict=False)
    assert network.layers == ("relu1_1", "relu3_1")
    network.tap("1_1").weight.data.normal_(generator=torch.Generator().manual_seed(2))
    network.tap("3_1").weight.data.copy_(torch.eye(7).view(7, 7, 1, 1))
    through, straight = network(picture(), network.layers), plain(picture(), plain.layers)
    projected = torch.einsum("ij,njhw->nihw", network.tap("1_1").weight[..., 0, 0], straight["relu1_1"])
    assert torch.allclose(through["relu1_1"], projected, atol=1e-6)
    assert torch.allclose(through["relu3_1"], straight["relu3_1"], atol=1e-6)


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
    network = small(projected=("1_1", "3_1"))
    network.check_layers(["relu1_1", "relu3_1"], "--style-layers")
    with pytest.raises(SettingsError, match=r"--style-layers.*no relu2_1.*relu1_1, relu3_1"):
        network.check_layers(["relu1_1", "relu2_1"], "--style-layers")
