"""Colours: what stays, what turns, and what is taken over from another picture."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nst_video.color import adjust, local_colors, luminance_transfer, match_colors

YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def yiq(image: Tensor) -> Tensor:
    return (YIQ.to(image) @ image.flatten(2)).view_as(image)


def picture(seed: int = 0, height: int = 9, width: int = 7) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def correlated(seed: int) -> Tensor:
    """A picture whose colours have some mean and covariance of their own."""
    dice = torch.Generator().manual_seed(seed + 1)
    axes, _ = torch.linalg.qr(torch.randn(3, 3, generator=dice))
    mix = axes * (0.3 + torch.rand(3, generator=dice))
    return torch.einsum("ij,njhw->nihw", mix, picture(seed, 20, 21)) * 0.5 + 0.2


def statistics(image: Tensor) -> tuple[Tensor, Tensor]:
    pixels = image.double().flatten(2)[0]
    return pixels.mean(1), torch.cov(pixels, correction=0)


def test_neutral_settings_change_nothing() -> None:
    image = picture()
    assert torch.equal(adjust(image, hue=0, saturation=1, brightness=1), image)


def test_a_full_turn_of_hue_is_none_and_so_are_two_halves() -> None:
    image = picture()
    assert torch.allclose(adjust(image, hue=360, saturation=1, brightness=1), image, atol=1e-5)
    half = adjust(image, hue=180, saturation=1, brightness=1)
    assert not torch.allclose(half, image, atol=0.1)
    assert torch.allclose(adjust(half, hue=180, saturation=1, brightness=1), image, atol=1e-5)


@given(hue=st.floats(-180, 180), grey=st.floats(0, 1))
def test_grey_stays_grey_whatever_the_hue(hue: float, grey: float) -> None:
    image = torch.full((1, 3, 2, 2), grey)
    assert torch.allclose(adjust(image, hue=hue, saturation=1, brightness=1), image, atol=1e-5)


@given(hue=st.floats(-180, 180), saturation=st.floats(0, 4), brightness=st.floats(0, 4))
def test_hue_turns_chroma_saturation_scales_it_brightness_scales_everything(
    hue: float, saturation: float, brightness: float
) -> None:
    before = yiq(picture())
    after = yiq(adjust(picture(), hue=hue, saturation=saturation, brightness=brightness))
    turn = saturation * complex(math.cos(math.radians(hue)), math.sin(math.radians(hue)))
    chroma = torch.complex(before[:, 1], before[:, 2]) * turn * brightness
    assert torch.allclose(after[:, 0], before[:, 0] * brightness, atol=1e-4)
    assert torch.allclose(after[:, 1], chroma.real, atol=1e-4)
    assert torch.allclose(after[:, 2], chroma.imag, atol=1e-4)


def test_without_saturation_all_channels_are_the_luminance() -> None:
    image = picture()
    grey = adjust(image, hue=0, saturation=0, brightness=1)
    luminance = yiq(image)[:, :1].expand_as(image)
    assert torch.allclose(grey, luminance, atol=1e-3)


def test_luminance_transfer_takes_luminance_from_the_painting_and_chroma_from_the_content() -> None:
    painted, content = picture(1), picture(2)
    both = yiq(luminance_transfer(painted, content))
    assert torch.allclose(both[:, 0], yiq(painted)[:, 0], atol=1e-5)
    assert torch.allclose(both[:, 1:], yiq(content)[:, 1:], atol=1e-5)


def test_luminance_transfer_changes_neither_picture() -> None:
    painted, content = picture(1), picture(2)
    luminance_transfer(painted, content)
    assert torch.equal(painted, picture(1))
    assert torch.equal(content, picture(2))


@given(seed=st.integers(0, 500))
def test_matched_colors_have_the_mean_and_covariance_of_the_reference(seed: int) -> None:
    image, reference = correlated(seed), correlated(seed + 1000)[..., :13]
    mean, covariance = statistics(match_colors(image, reference))
    wanted_mean, wanted_covariance = statistics(reference)
    assert torch.allclose(mean, wanted_mean, atol=1e-5)
    assert torch.allclose(covariance, wanted_covariance, atol=1e-4)  # covariances get 1e-5 of noise


def test_matching_a_picture_to_itself_changes_nothing() -> None:
    image = correlated(3)
    assert torch.allclose(match_colors(image, image), image, atol=1e-5)


@pytest.mark.parametrize("flat", ["image", "reference", "both"])
def test_matching_single_coloured_pictures_gives_no_nan_and_the_right_mean(flat: str) -> None:
    image = torch.full((1, 3, 8, 8), 0.5) if flat != "reference" else picture(1)
    reference = torch.full((1, 3, 8, 8), 0.2) if flat != "image" else picture(2)
    matched = match_colors(image, reference)
    assert matched.isfinite().all()
    assert torch.allclose(matched.mean((2, 3)), reference.mean((2, 3)), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_number_format_is_kept(dtype: torch.dtype) -> None:
    image = picture().to(dtype)
    assert match_colors(image, image).dtype == dtype
    assert adjust(image, hue=10, saturation=1, brightness=1).dtype == dtype
    assert luminance_transfer(image, image).dtype == dtype


# local colours


def lively(seed: int, height: int = 48, width: int = 100) -> Tensor:
    """With so much contrast in every window that nothing of it is taken for flat."""
    return (picture(seed, height, width) > 0.5).float()


def affine(image: Tensor) -> Tensor:
    turn = torch.tensor([[0.5, 0.2, -0.1], [0.1, -0.3, 0.1], [0.0, 0.3, 0.4]])
    return torch.einsum("ij,njhw->nihw", turn, image) + torch.tensor([0.2, 0.4, 0.1]).view(1, 3, 1, 1)


@pytest.mark.parametrize("size", [(48, 100), (96, 200), (70, 151), (24, 50)])
def test_what_an_affine_function_did_to_the_colours_is_done_to_the_full_picture(size: tuple[int, int]) -> None:
    content, full = lively(1), picture(2, *size)
    answer = local_colors(affine(content), content, full)
    assert answer.shape == full.shape
    assert (answer - affine(full)).abs().max() < 0.03
    assert (answer - affine(full)).abs().mean() < 0.005


def test_each_part_gets_its_own_function() -> None:
    content, full = lively(1), picture(2, 96, 200)
    painted = affine(content)
    painted[..., 50:] = 1 - content[..., 50:]
    answer = local_colors(painted, content, full)
    assert (answer - affine(full))[..., :80].abs().mean() < 0.01
    assert (answer - (1 - full))[..., 120:].abs().mean() < 0.01


def test_where_the_painting_is_the_content_the_full_picture_comes_back() -> None:
    content, full = lively(3), picture(4, 96, 200)
    assert (local_colors(content, content, full) - full).abs().mean() < 0.01
    soft = 0.4 + 0.1 * picture(5, 48, 100)  # not much more than flat: it comes back paler, but in its colours
    assert (local_colors(soft, soft, soft) - soft).abs().max() < 0.1
    assert (local_colors(soft, soft, soft) - soft).mean((2, 3)).abs().max() < 0.005


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_of_a_constant_content_the_paintings_mean_is_left(value: float) -> None:
    content, full = torch.full((1, 3, 48, 100), value), torch.full((1, 3, 96, 200), value)
    tint = torch.tensor([0.2, 0.7, 0.4]).view(1, 3, 1, 1)
    plain = local_colors(tint.expand_as(content), content, full)
    assert torch.allclose(plain, tint.expand_as(full), atol=1e-5)
    painted = tint + 0.2 * (lively(6) - 0.5)
    answer = local_colors(painted, content, full)
    assert answer.isfinite().all()
    assert torch.allclose(answer.mean((2, 3)), painted.mean((2, 3)), atol=0.01)
    assert answer[0, 0].std() < 0.3 * painted[0, 0].std()


def edges(image: Tensor) -> Tensor:
    return (image[..., 1:] - image[..., :-1]).abs()


def test_an_edge_of_the_painting_alone_disappears_and_one_of_the_content_stays() -> None:
    content = 0.5 + 0.02 * (picture(7, 48, 100) - 0.5)
    content[..., 30:] += 0.3
    painted = affine(content)
    painted[..., 70:] += 0.3
    answer = local_colors(painted, content, content)
    assert edges(painted)[..., 69].mean() == pytest.approx(0.3, abs=0.02)
    assert edges(answer)[..., 60:80].mean((0, 1, 2)).max() < 0.3 * 0.3
    assert (answer[..., 80:] - painted[..., 80:]).mean().abs() < 0.01  # the light that it brought is there
    kept, wanted = (edges(image)[..., 29].mean((0, 2)) for image in (answer, painted))
    assert torch.allclose(kept, wanted, rtol=0.15, atol=0.01)


def test_an_edge_of_the_full_picture_is_as_sharp_as_before() -> None:
    full = torch.full((1, 3, 96, 200), 0.2)
    full[..., 101:] = 0.8  # not where the smaller one has it
    content = torch.nn.functional.avg_pool2d(full, 2)
    answer = local_colors(1 - content, content, full)
    assert edges(answer)[..., 100].mean() > 0.85 * 0.6
    assert edges(answer)[..., :99].max() < 0.05
    assert edges(answer)[..., 102:].max() < 0.05


def test_local_colours_change_none_of_the_pictures_and_take_the_smallest() -> None:
    pictures = [picture(seed, 16, 16) for seed in (1, 2, 3)]
    local_colors(*pictures)
    assert all(torch.equal(one, picture(seed, 16, 16)) for one, seed in zip(pictures, (1, 2, 3), strict=True))
    tiny = picture(1, 1, 1)
    assert local_colors(tiny, tiny, picture(2, 3, 2)).isfinite().all()
