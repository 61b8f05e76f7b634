"""What is shown from each view, and how gradients find their way back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from nst_video.views import View, Viewpoint


@st.composite
def sizes_and_views(draw: st.DrawFn) -> tuple[tuple[int, int], View]:
    size = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    down, across = (draw(st.integers(1 - length, length - 1)) for length in size)
    return size, View(down, across, draw(st.booleans()), draw(st.booleans()))


def picture(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height * 100 + width))


@given(sizes_and_views())
def test_the_image_is_shown_moved_and_mirrored_its_edges_reflected(given: tuple[tuple[int, int], View]) -> None:
    size, view = given
    image = picture(*size)
    viewpoint = Viewpoint(image)
    viewpoint.go(view)
    down, across = view.down, view.across
    edges = [(0, 0), (0, 0), (abs(down),) * 2, (abs(across),) * 2]
    wide = np.pad(image.numpy(), edges, mode="reflect")
    wanted = wide[:, :, abs(down) + down :, abs(across) + across :][:, :, : size[0], : size[1]]
    assert torch.equal(viewpoint(image), view.turned(torch.from_numpy(wanted.copy())))


@given(sizes_and_views())
def test_a_gradient_comes_back_to_where_it_was_shown_and_reflections_count_for_nothing(
    given: tuple[tuple[int, int], View],
) -> None:
    size, view = given
    image = picture(*size).requires_grad_()
    viewpoint = Viewpoint(image)
    viewpoint.go(view)
    weights = picture(*size) + 1
    (found,) = torch.autograd.grad((viewpoint(image) * weights).sum(), image)
    down, across = view.down, view.across
    beyond = view.turned(weights)  # as the image lies, then moved back; what came from beyond its edges falls away
    wanted = F.pad(beyond, (across, -across, down, -down))
    assert torch.equal(found, wanted)


def test_as_it_stands_an_image_and_its_gradient_are_themselves() -> None:
    image = picture(24, 40).requires_grad_()
    viewpoint = Viewpoint(image)
    assert torch.equal(viewpoint(image), image)
    viewpoint.go(View(5, -3, True, True))
    assert not torch.equal(viewpoint(image), image)
    viewpoint.go(View())
    assert torch.equal(viewpoint(image), image)
    (gradient,) = torch.autograd.grad(viewpoint(image).square().sum(), image)
    assert torch.equal(gradient, 2 * image.detach())


def test_masks_are_shown_as_images_are() -> None:
    """Any number of them, of one channel."""
    image, masks = picture(32, 48), picture(32, 48).transpose(0, 1)
    viewpoint = Viewpoint(image)
    viewpoint.go(View(2, -3, False, True))
    assert torch.equal(viewpoint.show(masks), viewpoint(image).transpose(0, 1))


@pytest.mark.parametrize("reach", [0, 1, 8])
def test_the_series_of_views_is_the_same_every_time_and_leaves_nothing_out(reach: int) -> None:
    one, other = Viewpoint(picture(128, 160)), Viewpoint(picture(160, 128))
    views = [one.view(number, reach) for number in range(40 * (2 * reach + 1))]
    assert views == [other.view(number, reach) for number in range(len(views))]
    assert views[0] == View()
    steps = set(range(-reach, reach + 1))
    assert {view.down for view in views} == {view.across for view in views} == steps
    assert len({(view.upside_down, view.mirrored) for view in views}) == 4


def test_a_small_image_is_moved_by_a_sixteenth_of_each_side_at_most_and_as_often_by_less() -> None:
    views = [Viewpoint(picture(15, 64)).view(number, 200) for number in range(1, 400)]
    assert {view.down for view in views} == {0}
    counts = [sum(view.across == moved for view in views) for moved in range(-4, 5)]
    assert sum(counts) == len(views)
    assert min(counts) > len(views) / 18


def test_it_goes_elsewhere_without_leaving_its_place_in_memory() -> None:
    """A captured iteration reads what it read when it was recorded."""
    viewpoint = Viewpoint(picture(40, 40))
    held = [tensor for side in (viewpoint._down, viewpoint._across) for tensor in (side.shown, side.source, side.seen)]
    places, before = [tensor.data_ptr() for tensor in held], [tensor.clone() for tensor in held]
    viewpoint.go(View(2, -1, True, False))
    after = [tensor for side in (viewpoint._down, viewpoint._across) for tensor in (side.shown, side.source, side.seen)]
    assert [tensor.data_ptr() for tensor in after] == places
    assert all(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
