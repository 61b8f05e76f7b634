"""Colours: what stays, what turns, and what is taken over from another picture."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nst_video.color import adjust, luminance_transfer, match_colors

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
