"""The losses on inputs that can be solved by hand, their gradients, and half precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nst_video.losses import (
    Guide,
    content_loss,
    gram_matrix,
    guided_gradient,
    guided_product,
    relative_difference,
    style_loss,
    temporal_loss,
    total_variation,
)


def dice(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def checkerboard(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((x + y) % 2).float().expand(1, 3, -1, -1)


# Gram matrices


def test_gram_of_one_hot_channels_is_their_shares_of_the_area() -> None:
    features = torch.zeros(1, 3, 4, 5)
    features[:, 0, :2] = 1  # half of the picture
    features[:, 1, 2] = 1  # a quarter
    features[:, 2, 3] = 2  # a quarter, twice as strong
    assert torch.allclose(gram_matrix(features), torch.diag(torch.tensor([0.5, 0.25, 1.0]))[None])


def test_gram_of_constant_channels_is_their_outer_product() -> None:
    values = torch.tensor([1.0, -2.0, 3.0])
    features = values.view(1, 3, 1, 1).expand(1, 3, 7, 6)
    assert torch.allclose(gram_matrix(features)[0], torch.outer(values, values), rtol=1e-5)


def test_gram_keeps_the_pictures_of_a_batch_apart() -> None:
    first, second = dice(1, 4, 5, 6), dice(1, 4, 5, 6, seed=1)
    both = gram_matrix(torch.cat((first, second)))
    assert torch.allclose(both, torch.cat((gram_matrix(first), gram_matrix(second))))


@given(seed=st.integers(0, 999), channels=st.integers(1, 6), height=st.integers(1, 7), width=st.integers(1, 7))
def test_gram_is_symmetric_and_positive_semidefinite(seed: int, channels: int, height: int, width: int) -> None:
    gram = gram_matrix(dice(1, channels, height, width, seed=seed, dtype=torch.float64))[0]
    assert torch.allclose(gram, gram.T, rtol=1e-12, atol=1e-14)
    assert torch.linalg.eigvalsh(gram).min() > -1e-12


@given(seed=st.integers(0, 999), factor=st.floats(0.01, 100))
def test_gram_grows_with_the_square_of_the_features(seed: int, factor: float) -> None:
    features = dice(1, 3, 4, 5, seed=seed, dtype=torch.float64)
    assert torch.allclose(gram_matrix(factor * features), factor**2 * gram_matrix(features), rtol=1e-9)


@given(seed=st.integers(0, 999))
def test_gram_does_not_see_where_things_are(seed: int) -> None:
    features = dice(1, 3, 4, 5, seed=seed, dtype=torch.float64)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(seed))
    shuffled = features.flatten(2)[..., order].view_as(features)
    assert torch.allclose(gram_matrix(shuffled), gram_matrix(features))


def test_gram_does_not_depend_on_the_size_of_the_picture() -> None:
    features = dice(1, 3, 4, 5)
    assert torch.allclose(gram_matrix(features.repeat(1, 1, 3, 2)), gram_matrix(features), atol=1e-6)


# known values


def test_content_loss_is_half_the_sum_of_squares() -> None:
    value, target = torch.full((1, 2, 3, 4), 5.0), torch.full((1, 2, 3, 4), 2.0)
    assert content_loss(value, target).item() == 0.5 * 24 * 9


def test_style_loss_is_the_sum_of_squares_over_four_channels_squared() -> None:
    gram, target = torch.full((1, 3, 3), 4.0), torch.full((1, 3, 3), 1.0)
    assert style_loss(gram, target).item() == pytest.approx(9 * 9 / (4 * 9))


def test_total_variation_of_a_checkerboard_is_two() -> None:
    assert total_variation(checkerboard(6, 8)).item() == 2
    assert total_variation(checkerboard(5, 9)).item() == 2


def test_total_variation_of_ramps() -> None:
    """A ramp of step a across has a², one of step b down b², both together a² + b²."""
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    assert total_variation((0.5 * x)[None, None]).item() == pytest.approx(0.25)
    assert total_variation((0.25 * y)[None, None]).item() == pytest.approx(0.0625)
    assert total_variation((0.5 * x + 0.25 * y)[None, None]).item() == pytest.approx(0.3125)
    assert total_variation(torch.ones(1, 3, 6, 8)).item() == 0


def test_temporal_loss_is_the_mean_square_weighted_by_confidence() -> None:
    image, warped = torch.full((1, 3, 2, 4), 0.75), torch.full((1, 3, 2, 4), 0.25)
    confidence = torch.zeros(1, 1, 2, 4)
    assert temporal_loss(image, warped, confidence).item() == 0
    confidence[..., 0, :] = 1  # one half of the pixels
    assert temporal_loss(image, warped, confidence).item() == pytest.approx(0.125)
    confidence[..., 0, :] = 0.5
    assert temporal_loss(image, warped, confidence).item() == pytest.approx(0.0625)


def test_relative_difference_known_value() -> None:
    assert relative_difference(torch.tensor([3.0, 0.0]), torch.tensor([1.0, 2.0])).item() == pytest.approx(8 / 5)


@given(seed=st.integers(0, 999), factor=st.floats(0.01, 100))
def test_relative_difference_is_0_for_equal_1_for_nothing_and_has_no_unit(seed: int, factor: float) -> None:
    value, target = dice(2, 3, 4, 5, seed=seed), dice(2, 3, 4, 5, seed=seed + 1)
    assert relative_difference(target, target).item() == 0
    assert relative_difference(torch.zeros_like(target), target).item() == pytest.approx(1)
    assert relative_difference(2 * target, target).item() == pytest.approx(1)
    same = relative_difference(value, target).item()
    assert relative_difference(factor * value, factor * target).item() == pytest.approx(same, rel=1e-4)


def test_relative_difference_to_nothing_is_no_nan() -> None:
    zero = torch.zeros(1, 2, 3, 3)
    assert relative_difference(zero, zero).item() == 0
    assert not relative_difference(zero + 1e-3, zero).isnan()


# gradients


@pytest.mark.parametrize(
    ("loss", "shapes"),
    [
        (gram_matrix, [(2, 3, 4, 5)]),
        (content_loss, [(1, 2, 3, 4)] * 2),
        (style_loss, [(1, 3, 3)] * 2),
        (relative_difference, [(1, 2, 3, 4)] * 2),
        (total_variation, [(1, 3, 4, 5)]),
        (temporal_loss, [(1, 3, 4, 5), (1, 3, 4, 5), (1, 1, 4, 5)]),
    ],
)
def test_gradients_are_those_of_finite_differences(loss: Callable[..., Tensor], shapes: list[tuple[int, ...]]) -> None:
    inputs = [dice(*shape, seed=seed, dtype=torch.float64).requires_grad_() for seed, shape in enumerate(shapes)]
    assert torch.autograd.gradcheck(loss, inputs)


def test_gradient_of_style_loss_in_the_features_is_that_of_the_paper() -> None:
    """Gatys et al., eq. 6: 1/(C² M) Fᵀ(G − A), with the 1/M of `gram_matrix`."""
    features = dice(1, 3, 4, 5, dtype=torch.float64).requires_grad_()
    target = gram_matrix(dice(1, 3, 4, 5, seed=1, dtype=torch.float64))
    style_loss(gram_matrix(features), target).backward()  # type: ignore[no-untyped-call]
    flat = features.detach().flatten(2)
    wanted = (gram_matrix(features.detach()) - target) @ flat / (9 * 20)
    assert features.grad is not None
    assert torch.allclose(features.grad.flatten(2), wanted)


# half precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_half_precision_features_do_not_overflow(dtype: torch.dtype) -> None:
    """Σ F² over 640×480 positions of magnitude 200 is 10¹⁰, far beyond the 65504 of float16."""
    dice = torch.Generator().manual_seed(0)
    features = (150 + 100 * torch.rand(1, 4, 480, 640, generator=dice)).to(dtype)
    gram = gram_matrix(features)
    assert gram.dtype == torch.float32
    assert torch.allclose(gram.double(), gram_matrix(features.double()), rtol=1e-3)
    energy = features.double().square().sum().item()
    assert content_loss(features, torch.zeros_like(features)).item() == pytest.approx(0.5 * energy, rel=1e-4)
    assert relative_difference(features, -features).item() == pytest.approx(4, rel=1e-3)
    assert style_loss(gram, torch.zeros_like(gram)).isfinite()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gradients_are_finite(dtype: torch.dtype) -> None:
    features = torch.full((1, 4, 48, 64), 200.0, dtype=dtype).requires_grad_()
    relative_difference(gram_matrix(features), torch.ones(1, 4, 4)).backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert features.grad.dtype == dtype


def test_float64_stays_float64() -> None:
    features = dice(1, 2, 3, 4, dtype=torch.float64)
    assert gram_matrix(features).dtype == torch.float64
    assert content_loss(features, features).dtype == torch.float64
    assert relative_difference(features, features).dtype == torch.float64


def test_of_float16_the_gram_matrix_has_a_gradient_though_its_share_is_tiny() -> None:
    """Over many positions, 1/M of a small gradient is less than float16 can tell from nothing."""
    features = dice(1, 4, 200, 300).half().requires_grad_()
    reference = features.detach().float().requires_grad_()
    for x in (features, reference):
        (1e4 * (1e-6 * gram_matrix(x)).sum()).backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert reference.grad is not None
    assert (features.grad - reference.grad).norm() < 0.1 * reference.grad.norm()


# guided Gram matrices


def guide(*weights: Tensor) -> Guide:
    """One way for each (H, W)."""
    stacked = torch.stack(weights)
    return Guide(stacked, stacked.sum((1, 2)))


@given(seed=st.integers(0, 999), weight=st.floats(0.01, 1))
def test_looking_everywhere_alike_is_not_being_guided(seed: int, weight: float) -> None:
    features = dice(1, 3, 4, 5, seed=seed, dtype=torch.float64)
    even = torch.full((4, 5), weight, dtype=torch.float64)
    assert torch.allclose(gram_matrix(features, guide(even)), gram_matrix(features), rtol=1e-12)


def test_looking_at_a_part_is_the_gram_matrix_of_that_part_in_each_way() -> None:
    features = dice(1, 3, 6, 8)
    left, corner, dot = torch.zeros(3, 6, 8)
    left[:, :3], corner[4:, 5:], dot[2, 6] = 1, 1, 1
    grams = gram_matrix(features, guide(left, corner, dot))
    assert grams.shape == (3, 3, 3)
    for gram, part in zip(grams, (features[..., :3], features[..., 4:, 5:], features[..., 2:3, 6:7]), strict=True):
        assert torch.allclose(gram[None], gram_matrix(part), atol=1e-6)


@given(seed=st.integers(0, 999))
def test_a_position_that_weighs_twice_is_as_good_as_two(seed: int) -> None:
    features = dice(1, 3, 2, 5, seed=seed, dtype=torch.float64)
    weights = torch.full((2, 5), 0.25, dtype=torch.float64)
    weights[1] = 0.5
    twice = torch.cat((features, features[..., 1:, :]), dim=2)
    assert torch.allclose(gram_matrix(features, guide(weights)), gram_matrix(twice), rtol=1e-9, atol=1e-12)


def test_parts_with_their_parts_of_the_weights_add_up_to_the_whole() -> None:
    features, whole = dice(1, 3, 6, 8), guide(torch.rand(6, 8), torch.rand(6, 8))
    parts = [
        gram_matrix(features[:, :, rows], Guide(whole.weights[:, rows], whole.total))
        for rows in (slice(0, 2), slice(2, 6))
    ]
    assert torch.allclose(parts[0] + parts[1], gram_matrix(features, whole), atol=1e-6)


def test_gradients_of_guided_gram_matrices_are_those_of_finite_differences() -> None:
    features = dice(1, 3, 4, 5, dtype=torch.float64).requires_grad_()
    ways = guide(*dice(2, 4, 5, seed=1, dtype=torch.float64).abs())
    assert torch.autograd.gradcheck(lambda x: gram_matrix(x, ways), features)
    other = dice(2, 3, 3, seed=2, dtype=torch.float64)  # no symmetric one
    (gradient,) = torch.autograd.grad((gram_matrix(features, ways) * other).sum(), features)
    rows = features.detach()[0].flatten(1).T
    assert torch.allclose(gradient[0].flatten(1).T, guided_gradient(rows, ways, other), rtol=1e-9)
    assert torch.allclose(gram_matrix(features, ways), guided_product(rows, ways), rtol=1e-9)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_guided_gradient_is_nothing_where_nobody_looks(memory_format: torch.memory_format) -> None:
    features = dice(1, 3, 6, 8).to(memory_format=memory_format).requires_grad_()
    left = torch.zeros(6, 8)
    left[:, :3] = 1
    gram_matrix(features, guide(left)).square().sum().backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert (features.grad[..., 3:] == 0).all()
    assert (features.grad[..., :3] != 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_guided_half_precision_neither_overflows_nor_vanishes(dtype: torch.dtype) -> None:
    features = (150 + 50 * dice(1, 4, 120, 160)).to(dtype).requires_grad_()
    ways = guide(*torch.rand(2, 120, 160, generator=torch.Generator().manual_seed(1)))
    grams = gram_matrix(features, ways)
    exact = features.detach().double().requires_grad_()
    wanted = gram_matrix(exact, Guide(*(part.double() for part in ways)))
    assert grams.dtype == torch.float32
    assert torch.allclose(grams.double(), wanted, rtol=1e-4 if dtype == torch.float16 else 2**-7)
    (gradient,) = torch.autograd.grad(grams.sum(), features)
    (wanted_gradient,) = torch.autograd.grad(wanted.sum(), exact)
    assert gradient.dtype == dtype
    assert (gradient - wanted_gradient).norm() < 0.01 * wanted_gradient.norm()
