"""What an image is optimised towards, with a network so simple that the losses can be written down."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nst_video.losses import gram_matrix
from nst_video.networks import Looked
from nst_video.objective import Held, Objective
from nst_video.settings import StyleSettings

SETTINGS = StyleSettings(
    content_layers=("a",), style_layers=("a", "b"), content_weight=0.5, style_weight=2.0, tv_weight=0.0
)


def dice(seed: int) -> Tensor:
    return torch.rand(1, 3, 8, 10, generator=torch.Generator().manual_seed(seed))


def look(image: Tensor) -> Looked:
    """A network of two layers: the image itself, and its square."""
    return {"a": image}, {"a": gram_matrix(image), "b": gram_matrix(image.square())}


def aimed(settings: StyleSettings = SETTINGS, held: Held | None = None, *, every_term: bool = False) -> Objective:
    objective = Objective(look, dice(0), settings, every_term=every_term)
    objective.aim(settings, look(dice(1))[0], look(dice(2))[1], held)
    return objective


def relative(value: Tensor, target: Tensor) -> float:
    return float((value - target).square().sum() / target.square().sum())


def test_losses_are_the_weighted_sum_of_relative_differences() -> None:
    image, grams, targets = dice(3), look(dice(3))[1], look(dice(2))[1]
    losses = aimed()(image).values()
    a, b = (relative(grams[layer], targets[layer]) for layer in ("a", "b"))
    assert losses["content"] == pytest.approx(relative(image, dice(1)), rel=1e-4)
    assert losses["style"] == pytest.approx((a + b) / 2, rel=1e-4)
    assert losses["total"] == pytest.approx(0.5 * losses["content"] + 2 * losses["style"], rel=1e-4)


def test_style_layers_count_by_their_weights() -> None:
    settings = StyleSettings(content_layers=("a",), style_layers=("a", "b"), style_layer_weights=(1, 3))
    grams, targets = look(dice(3))[1], look(dice(2))[1]
    a, b = (relative(grams[layer], targets[layer]) for layer in ("a", "b"))
    assert aimed(settings)(dice(3)).style.item() == pytest.approx((a + 3 * b) / 4, rel=1e-4)


def test_what_is_held_on_to_counts_where_it_can_be_believed() -> None:
    settings = replace(SETTINGS, content_weight=0.0, style_weight=0.0, temporal_weight=3.0)
    confidence = torch.zeros(1, 1, 8, 10)
    confidence[..., :5] = 1
    losses = aimed(settings, Held(dice(4), confidence))(dice(3)).values()
    wanted = (dice(3) - dice(4)).square()[..., :5].mean().item() / 2
    assert losses["temporal"] == pytest.approx(wanted, rel=1e-5)
    assert losses["total"] == pytest.approx(3 * wanted, rel=1e-5)


def test_aiming_again_changes_what_is_aimed_at_and_nothing_stays_behind() -> None:
    objective = aimed(held=Held(dice(4), torch.ones(1, 1, 8, 10)))
    assert objective(dice(3)).temporal > 0
    settings = StyleSettings(content_layers=("a",), style_layers=("a", "b"), content_weight=1.0, tv_weight=0.5)
    objective.aim(settings, look(dice(5))[0], look(dice(6))[1])
    fresh = Objective(look, dice(0), settings)
    fresh.aim(settings, look(dice(5))[0], look(dice(6))[1])
    assert objective(dice(3)).values() == fresh(dice(3)).values()
    assert objective(dice(3)).temporal == 0
    assert objective(dice(3)).tv > 0


def test_targets_and_weights_keep_their_place_in_memory() -> None:
    """A captured iteration reads from where they were when it was captured."""
    objective = aimed()

    def places() -> list[int]:
        tensors = [*objective._features.values(), *objective._grams.values(), *objective._held]
        return [
            tensor.data_ptr()
            for tensor in (*tensors, objective._weights, objective._style_weights, objective._content_weights)
        ]

    before = places()
    objective.aim(SETTINGS, look(dice(5))[0], look(dice(6))[1], Held(dice(4), torch.ones(1, 1, 8, 10)))
    assert places() == before


def test_computing_every_term_changes_no_total() -> None:
    """As it has to be captured; terms without weight, or with nothing to hold on to, do not count."""
    few, every = aimed()(dice(3)).values(), aimed(every_term=True)(dice(3)).values()
    assert few["tv"] == 0 < every["tv"]
    for name in ("total", "content", "style", "temporal"):
        assert every[name] == pytest.approx(few[name], rel=1e-6)


def test_without_style_or_without_content_the_other_counts() -> None:
    for content, style in ((("a",), ()), ((), ("a",))):
        settings = StyleSettings(content_layers=content, style_layers=style)

        def part(image: Tensor, content: tuple[str, ...] = content, style: tuple[str, ...] = style) -> Looked:
            features, grams = look(image)
            return {k: features[k] for k in content}, {k: grams[k] for k in style}

        objective = Objective(part, dice(0), settings)
        objective.aim(settings, part(dice(1))[0], part(dice(2))[1])
        losses = objective(dice(3)).values()
        assert (losses["content"] > 0, losses["style"] > 0) == (bool(content), bool(style))


def test_the_papers_form_is_taken_when_it_is_asked_for() -> None:
    settings = StyleSettings(content_layers=("a",), style_layers=("a",), loss="paper")
    objective = Objective(lambda x: ({"a": x}, {"a": gram_matrix(x)}), dice(0), settings)
    objective.aim(settings, {"a": dice(1)}, {"a": gram_matrix(dice(2))})
    losses = objective(dice(3)).values()
    assert losses["content"] == pytest.approx(0.5 * (dice(3) - dice(1)).square().sum().item(), rel=1e-5)
    wanted = (gram_matrix(dice(3)) - gram_matrix(dice(2))).square().sum().item() / 36
    assert losses["style"] == pytest.approx(wanted, rel=1e-5)


def regions(image: Tensor) -> Looked:
    """The same two layers, their Gram matrices seen apart in the upper and the lower half."""
    features, _ = look(image)
    halves = image[..., :4, :], image[..., 4:, :]
    grams = {
        "a": torch.cat([gram_matrix(half) for half in halves]),
        "b": torch.cat([gram_matrix(half.square()) for half in halves]),
    }
    return features, grams


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.1, 0.7), (0.0, 1.0)])
def test_regions_count_by_their_shares(shares: tuple[float, float]) -> None:
    objective = Objective(regions, dice(0), SETTINGS, shares=shares)
    objective.aim(SETTINGS, regions(dice(1))[0], regions(dice(2))[1])
    grams, targets = regions(dice(3))[1], regions(dice(2))[1]
    wanted = sum(
        share * relative(grams[layer][region], targets[layer][region]) / 2
        for layer in ("a", "b")
        for region, share in enumerate(shares)
    )
    losses = objective(dice(3)).values()
    assert losses["style"] == pytest.approx(wanted, rel=1e-4)
    assert losses["total"] == pytest.approx(0.5 * losses["content"] + 2 * wanted, rel=1e-4)


def test_regions_pull_at_their_own_pixels_only() -> None:
    objective = Objective(regions, dice(0), replace(SETTINGS, content_weight=0.0), shares=(1.0, 0.0))
    objective.aim(replace(SETTINGS, content_weight=0.0), regions(dice(1))[0], regions(dice(2))[1])
    image = dice(3).requires_grad_()
    (gradient,) = torch.autograd.grad(objective(image).total, image)
    assert (gradient[..., 4:, :] == 0).all()
    assert (gradient[..., :4, :] != 0).all()


def both(image: Tensor) -> Looked:
    """Two layers for either term."""
    return {"a": image, "b": image.square()}, look(image)[1]


@pytest.mark.parametrize("scale", [0.01, 1, 50])
def test_weights_of_layers_of_either_kind_say_only_how_they_compare(scale: float) -> None:
    settings = StyleSettings(
        content_layers=("a", "b"),
        style_layers=("a", "b"),
        content_layer_weights=(3 * scale, scale),
        style_layer_weights=(scale, 4 * scale),
    )
    objective = Objective(both, dice(0), settings)
    objective.aim(settings, both(dice(1))[0], both(dice(2))[1])
    losses = objective(dice(3)).values()
    (features, grams), wanted = both(dice(3)), (both(dice(1))[0], both(dice(2))[1])
    content = [relative(features[layer], wanted[0][layer]) for layer in ("a", "b")]
    style = [relative(grams[layer], wanted[1][layer]) for layer in ("a", "b")]
    assert losses["content"] == pytest.approx((3 * content[0] + content[1]) / 4, rel=1e-4)
    assert losses["style"] == pytest.approx((style[0] + 4 * style[1]) / 5, rel=1e-4)
    plain = replace(settings, content_layer_weights=(), style_layer_weights=())
    objective.aim(plain, both(dice(1))[0], both(dice(2))[1])
    losses = objective(dice(3)).values()
    assert losses["content"] == pytest.approx(sum(content) / 2, rel=1e-4)
    assert losses["style"] == pytest.approx(sum(style) / 2, rel=1e-4)


def test_a_layer_without_weight_does_not_count() -> None:
    settings = StyleSettings(content_layers=("a", "b"), style_layers=("a",), content_layer_weights=(0, 2))
    one_style = {"a": both(dice(2))[1]["a"]}
    objective = Objective(lambda image: (both(image)[0], {"a": gram_matrix(image)}), dice(0), settings)
    objective.aim(settings, both(dice(1))[0], one_style)
    assert objective(dice(3)).content.item() == pytest.approx(relative(dice(3).square(), dice(1).square()), rel=1e-4)
