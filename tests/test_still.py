"""A still picture on its way: the sizes it is painted at, where it begins, what is told and kept of it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from media import blobs, read_png, write_png
from torch import Tensor

from nst_video.errors import SourceError
from nst_video.image import resize_pixels, to_image
from nst_video.optimizer import Losses
from nst_video.settings import LOWEST_RATE, MIN_SIZE, ImageConfig, StyleSettings
from nst_video.still import REPORT_EVERY, Stage, Watch, beside, kept, slowed, stages, start, weighted

# sizes


@given(st.integers(MIN_SIZE, 8192), st.integers(1, 100_000), st.integers(0, 8))
def test_the_iterations_of_all_sizes_add_up_and_each_size_has_some(size: int, iterations: int, scales: int) -> None:
    found = stages(size, iterations, scales)
    assert sum(stage.iterations for stage in found) == iterations
    assert min(stage.iterations for stage in found) > 0


@given(st.integers(MIN_SIZE, 8192), st.integers(1, 100_000), st.integers(0, 8))
def test_sizes_double_up_to_the_one_that_is_wanted(size: int, iterations: int, scales: int) -> None:
    found = [stage.size for stage in stages(size, iterations, scales)]
    assert found[-1] == size
    for smaller, larger in itertools.pairwise(found):
        assert abs(larger - 2 * smaller) <= 1.5
    assert len(found) <= (scales or 7)


@given(st.integers(100, 100_000), st.integers(2, 4))
def test_most_iterations_belong_to_the_last_size_and_with_enough_of_them_no_size_is_left_out(
    iterations: int, scales: int
) -> None:
    found = stages(512, iterations, scales)
    assert len(found) == scales
    assert found[-1].iterations == pytest.approx(0.7 * iterations, abs=0.51)
    assert [stage.iterations for stage in found[1:]] == sorted(stage.iterations for stage in found[1:])


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (32, [32]),
        (511, [511]),
        (512, [128, 256, 512]),
        (1000, [250, 500, 1000]),
        (1024, [128, 256, 512, 1024]),
        (8192, [128, 256, 512, 1024, 2048, 4096, 8192]),
    ],
)
def test_large_pictures_are_begun_small_and_others_are_not(size: int, wanted: list[int]) -> None:
    assert [stage.size for stage in stages(size, 100_000, 0)] == wanted


def test_one_iteration_is_done_at_the_size_that_is_wanted() -> None:
    for scales in range(9):
        assert stages(8192, 1, scales) == [Stage(8192, 1)]


def test_one_size_gets_all_iterations() -> None:
    assert stages(8192, 77, 1) == [Stage(8192, 77)]


def test_two_sizes_share_the_iterations() -> None:
    assert stages(64, 10, 2) == [Stage(32, 3), Stage(64, 7)]


# where it begins


@pytest.fixture
def content() -> Tensor:
    return to_image(blobs(30, 40, seed=5))


def begun(content: Tensor, style: Path, **options: Any) -> Tensor:
    return start(ImageConfig(content=Path("c.png"), style=(style,), output=Path("o.png"), **options), content)


def test_it_begins_with_the_content_unless_something_else_is_wanted(content: Tensor, style: Path) -> None:
    assert torch.equal(begun(content, style), content)
    assert torch.equal(begun(content, style, init="content", init_noise=0), content)


def test_it_can_begin_with_the_first_style_in_the_shape_of_the_content(content: Tensor, style: Path) -> None:
    wanted = to_image(resize_pixels(read_png(style), (30, 40)))
    assert torch.equal(begun(content, style, init="style"), wanted)


def test_it_can_begin_with_a_picture_of_any_size(content: Tensor, style: Path, tmp_path: Path) -> None:
    for height, width in ((1, 1), (30, 40), (7, 90)):
        pixels = blobs(height, width, seed=6)
        path = write_png(tmp_path / "begin.png", pixels)
        assert torch.equal(begun(content, style, init=path), to_image(resize_pixels(pixels, (30, 40))))


def test_noise_is_white_and_has_nothing_of_the_content(content: Tensor, style: Path) -> None:
    noise = begun(content, style, init="noise")
    assert noise.shape == content.shape
    assert noise.dtype == content.dtype
    assert torch.equal(begun(torch.zeros_like(content), style, init="noise"), noise)
    assert 0 <= noise.min() < 0.01
    assert 0.99 < noise.max() <= 1
    assert float(noise.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(noise.std()) == pytest.approx(12**-0.5, abs=0.02)
    neighbours = torch.corrcoef(torch.stack((noise[..., :-1].flatten(), noise[..., 1:].flatten())))
    assert abs(float(neighbours[0, 1])) < 0.08


def test_the_same_seed_is_the_same_noise_and_another_one_another(content: Tensor, style: Path) -> None:
    torch.manual_seed(1)
    noise = begun(content, style, init="noise", seed=3)
    torch.manual_seed(2)  # what others draw does not matter
    assert torch.equal(begun(content, style, init="noise", seed=3), noise)
    assert not torch.equal(begun(content, style, init="noise", seed=4), noise)
    assert torch.equal(begun(content, style, init="noise"), begun(content, style, init="noise", seed=0))


def test_a_blend_is_half_content_and_half_noise_or_as_much_as_is_wanted(content: Tensor, style: Path) -> None:
    noise = begun(content, style, init="noise")
    torch.testing.assert_close(begun(content, style, init="blend"), (content + noise) / 2)
    for ratio in (0.0, 0.2, 1.0):
        wanted = content + ratio * (noise - content)
        torch.testing.assert_close(begun(content, style, init="blend", init_noise=ratio), wanted)


def test_noise_can_be_mixed_into_any_start_and_there_may_be_less_of_it(
    content: Tensor, style: Path, tmp_path: Path
) -> None:
    noise, path = begun(content, style, init="noise"), write_png(tmp_path / "begin.png", blobs(9, 9, seed=7))
    for init in ("content", "style", path):
        plain = begun(content, style, init=init)
        torch.testing.assert_close(begun(content, style, init=init, init_noise=0.25), 0.75 * plain + 0.25 * noise)
    torch.testing.assert_close(begun(content, style, init="noise", init_noise=0.5), (content + noise) / 2)


def test_the_content_itself_stays_as_it_is(content: Tensor, style: Path) -> None:
    before = content.clone()
    for init in ("content", "style", "noise", "blend"):
        begun(content, style, init=init).add_(1)  # as optimisers do
        assert torch.equal(content, before)


def test_a_start_that_is_no_picture_or_too_large_is_an_error(content: Tensor, style: Path, text_as_video: Path) -> None:
    with pytest.raises(SourceError, match=r"text\.mp4 is not a picture"):
        begun(content, style, init=text_as_video)
    with pytest.raises(SourceError, match="--max-pixels allows 100"):
        begun(content, style, init="style", max_pixels=100)


# what is kept and told


@pytest.mark.parametrize(
    ("name", "iteration", "iterations", "wanted"),
    [
        ("out.png", 1, 9, "out-1.png"),
        ("out.png", 1, 200, "out-001.png"),
        ("out.png", 100, 1000, "out-0100.png"),
        ("a.b.c.JPG", 20, 20, "a.b.c-20.JPG"),
        ("Gemälde ★.png", 5, 10, "Gemälde ★-05.png"),
    ],
)
def test_pictures_on_the_way_lie_beside_the_result_in_their_order(
    name: str, iteration: int, iterations: int, wanted: str
) -> None:
    assert beside(Path("folder") / name, iteration, iterations) == Path("folder") / wanted


@given(st.integers(1, 2000), st.integers(1, 3000))
def test_the_first_one_and_every_so_many_are_kept(iterations: int, every: int) -> None:
    found = kept(iterations, every)
    assert found == [done for done in range(1, iterations + 1) if done == 1 or done % every == 0]
    names = [beside(Path("o.png"), done, iterations).name for done in found]
    assert names == sorted(names)


def test_nothing_is_kept_on_the_way_if_nobody_wants_it() -> None:
    assert kept(100, None) == []


def losses(number: int) -> Losses:
    return Losses(*(torch.tensor(10.0 * number + place) for place in range(5)))


def watched(iterations: int, keep_at: list[int], done: int) -> tuple[Watch, list[Any], list[Any]]:
    """After so many iterations: the watch, what it told and what it kept."""
    told, keeping = list[Any](), list[Any]()
    watch = Watch(
        iterations,
        keep_at=keep_at,
        tell=lambda done, values: told.append((done, values)),
        keep=lambda done, image: keeping.append((done, float(image.mean()))),
    )
    for number in range(1, done + 1):
        watch(99, torch.full((1, 3, 4, 5), float(number)), losses(number))
    return watch, told, keeping


def test_every_tenth_iteration_and_the_last_one_are_told() -> None:
    watch, told, _ = watched(25, [], 25)
    assert [done for done, _ in told] == [REPORT_EVERY, 2 * REPORT_EVERY, 25]
    assert told[-1][1] == {"total": 250, "content": 251, "style": 252, "tv": 253, "temporal": 254}
    assert watch.done == 25
    assert [done for done, _ in watched(20, [], 20)[1]] == [10, 20]  # the last one once


def test_pictures_are_kept_at_the_right_iterations_as_they_are_then() -> None:
    assert watched(12, [1, 5, 10], 12)[2] == [(1, 1.0), (5, 5.0), (10, 10.0)]
    assert watched(12, [], 12)[2] == []


def test_the_curve_has_all_losses_of_what_is_done_in_order() -> None:
    watch, *_ = watched(9, [], 7)
    curve = watch.curve()
    assert list(curve) == ["total", "content", "style", "tv", "temporal"]
    for place, values in enumerate(curve.values()):
        assert values == [10.0 * number + place for number in range(1, 8)]


def test_the_curve_remembers_losses_whose_tensors_are_used_again() -> None:
    """As they are where iterations are replayed."""
    watch = Watch(2, keep_at=(), tell=lambda *_: None, keep=lambda *_: None)
    same = losses(1)
    for number in (1, 2):
        for value, wanted in zip(same, losses(number), strict=True):
            value.copy_(wanted)
        watch(number, torch.zeros(1, 3, 4, 5), same)
    assert watch.curve()["total"] == [10, 20]


def test_before_the_first_iteration_there_is_nothing() -> None:
    watch, *_ = watched(5, [1], 0)
    assert (watch.done, watch.image, watch.curve()) == (0, None, {})


def test_images_of_several_sizes_are_one_picture() -> None:
    watch, told, keeping = watched(12, [1, 10], 3)
    for number in range(4, 13):
        watch(1, torch.full((1, 3, 8, 10), float(number)), losses(number))
    assert watch.done == 12
    assert watch.image is not None
    assert watch.image.shape == (1, 3, 8, 10)
    assert [done for done, _ in told] == [10, 12]
    assert keeping == [(1, 1.0), (10, 10.0)]
    assert len(watch.curve()["style"]) == 12


def test_weighted_terms_add_up_to_the_total() -> None:
    settings = StyleSettings(content_weight=2, style_weight=3, tv_weight=0.5)
    curve = {"content": [1.0, 2.0], "style": [4.0, 0.0], "tv": [8.0, 6.0], "temporal": [0.0, 0.0]}
    curve["total"] = [18.0, 7.0]
    found = weighted(curve, settings)
    assert found == {"total": [18, 7], "content": [2, 4], "style": [12, 0], "tv": [4, 3]}
    for total, *terms in zip(*found.values(), strict=True):
        assert total == sum(terms)


def test_no_iterations_weigh_nothing() -> None:
    assert weighted({}, StyleSettings()) == {"total": [], "content": [], "style": [], "tv": []}


def test_what_comes_later_is_slower_and_holds_on_to_nothing() -> None:
    settings = StyleSettings(learning_rate=0.02, learning_rate_decay=0.25, hue=5, temporal_weight=7)
    for done, rate in ((0, 0.02), (50, 0.01), (100, 0.005), (200, 0.00125)):
        found = slowed(settings, done)
        assert found.learning_rate == pytest.approx(rate)
        assert (found.hue, found.learning_rate_decay) == (5, 0.25)
    assert slowed(StyleSettings(learning_rate=0.02), 10_000).learning_rate == 0.02


def test_no_learning_rate_becomes_too_low_to_be_valid() -> None:
    settings = StyleSettings(learning_rate=LOWEST_RATE, learning_rate_decay=0.001)
    assert slowed(settings, 100_000).learning_rate == LOWEST_RATE
