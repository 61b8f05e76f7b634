"""A painting that is moved many times looks as if it had been moved but a few times."""

from __future__ import annotations

import torch
from torch import Tensor

from nst_video.flow import backward_warp
from nst_video.sheet import ANOTHER, SERVES, Sheet
from nst_video.spline import Spline


def waves(length: float, left: float = 0.0) -> Tensor:
    """Upright waves of this many pixels, moved to the right by `left`."""
    x = torch.arange(96, dtype=torch.float32) - left
    return (0.5 + 0.4 * torch.sin(2 * torch.pi * x / length)).expand(1, 3, 40, 96).clone()


def drift(x: float) -> Tensor:
    """Everything has come from `x` pixels to the left."""
    return torch.stack((torch.full((40, 96), -x), torch.zeros(40, 96)))[None]


def carried(painting: Tensor, frames: int, x: float) -> Tensor:
    sheet, visible = Sheet.of(painting), torch.ones_like(painting[:, :1])
    for _ in range(frames):
        painting, sheet = sheet.moved(painting, drift(x), visible)
        sheet = sheet.after(painting)
    return painting


def contrast(painting: Tensor) -> float:
    return painting[..., 60:90].std().item()


def test_what_is_carried_for_long_keeps_its_detail_and_is_where_it_belongs() -> None:
    fine, frames, x = waves(5), 48, 0.5
    again = carried(fine, frames, x)
    assert contrast(again) > 0.9 * contrast(fine)
    blurred = fine
    for _ in range(frames):
        blurred = backward_warp(blurred, drift(x), sharp=True)
    assert contrast(again) > 1.15 * contrast(blurred)
    assert (again - waves(5, left=frames * x))[..., 60:90].abs().max() < 0.06


def test_a_painting_that_rests_is_not_touched() -> None:
    painting = torch.rand(1, 3, 40, 96, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(carried(painting, 24, 0.0), painting, atol=1e-3)


def test_with_only_the_part_carried_that_moves_the_painting_and_its_sheet_are_the_same() -> None:
    x, y = torch.arange(96.0), torch.arange(40.0)[:, None]
    flow = drift(1.6) * ((x >= 40) & (x < 60) & (y >= 12) & (y < 26))
    visible = 1 - 0.2 * (x < 9).float().expand(1, 1, 40, 96)
    painting = torch.rand(1, 3, 40, 96, generator=torch.Generator().manual_seed(0))
    part = slice(None), slice(16, 88)
    ways = [(painting, Sheet.of(painting)), (painting, Sheet.of(painting))]
    for frame in range(4):
        (whole, sheet), (partly, other) = ways
        new = 0.1 * waves(12, left=frame)
        ways = [sheet.moved(whole + new, flow, visible), other.moved(partly + new, flow, visible, part)]
    (whole, sheet), (partly, other) = ways
    assert torch.allclose(whole, partly, atol=1e-4)
    for one, another in ((sheet.places, other.places), (sheet.taken, other.taken)):
        assert torch.allclose(one, another, atol=1e-3)
    assert torch.equal(sheet.whole, other.whole)
    still = Sheet.of(painting).still(visible)
    assert torch.equal(still.whole, visible)
    assert torch.equal(still.still(visible).whole, visible * (visible == 1))  # for the last time


def test_what_is_painted_on_the_way_is_carried_too() -> None:
    painting, visible = waves(24), torch.ones(1, 1, 40, 96)
    sheet = Sheet.of(painting)
    painting, sheet = sheet.moved(painting, drift(1.0), visible)
    painting = painting + waves(12) / 2
    moved, _ = sheet.moved(painting, drift(2.0), visible)
    assert torch.allclose(moved[..., 10:], backward_warp(painting, drift(2.0))[..., 10:], atol=0.02)


def test_where_something_was_hidden_the_sheet_is_not_asked() -> None:
    painting, visible = waves(24), torch.ones(1, 1, 40, 96)
    visible[..., 30:50] = 0
    sheet = Sheet.of(painting)
    painting, sheet = sheet.moved(painting, drift(1.0), visible)
    new = painting.clone()
    new[..., 30:50] = 0.9
    moved, sheet = sheet.moved(new, drift(3.0), torch.ones_like(visible))
    assert torch.allclose(moved[..., 34:52], torch.full((1, 3, 40, 18), 0.9), atol=1e-3)
    assert not sheet.whole[..., 34:52].any()
    assert sheet.whole[..., 55:90].all()


def test_a_sheet_serves_until_too_little_of_the_painting_is_on_it() -> None:
    painting, visible = waves(8), torch.ones(1, 1, 40, 96)
    sheet = first = Sheet.of(painting)
    gone = 0
    while sheet.painting is first.painting:
        painting, sheet = sheet.moved(painting, drift(3), visible * (torch.arange(96) >= 3))
        sheet, gone = sheet.after(painting), gone + 3
    assert abs(gone / 96 - (1 - SERVES)) < 0.06
    assert sheet.painting.image is painting


def test_what_has_been_painted_anew_is_not_on_the_sheet() -> None:
    painting = waves(8) / 2
    sheet = Sheet.of(painting)
    assert sheet.after(painting + ANOTHER / 4) is sheet
    assert sheet.after(painting + ANOTHER / 2) is not sheet


def test_where_nothing_is_painted_nothing_is_missed() -> None:
    painting, visible = waves(8), torch.zeros(1, 1, 40, 96)
    visible[..., :30] = 1
    _, sheet = Sheet.of(painting).moved(painting, drift(0), visible)
    assert sheet.after(painting, visible > 0) is sheet
    assert sheet.after(painting) is not sheet


def test_what_is_not_on_the_sheet_keeps_its_detail_but_beside_a_tear() -> None:
    painting = waves(5)
    sheet = Sheet(Spline(painting), Sheet.of(painting).places, torch.zeros(1, 1, 40, 96), painting)
    moved, _ = sheet.moved(painting, drift(0.5), torch.ones(1, 1, 40, 96))
    assert contrast(moved) > 0.95 * contrast(painting)
    places = sheet.places.clone()
    places[:, 0, :, 75:] += 4
    torn = Sheet(sheet.painting, places, sheet.whole, painting)
    moved, _ = torn.moved(painting, drift(0.5), torch.ones(1, 1, 40, 96))
    linear = backward_warp(painting, drift(0.5))
    assert torch.equal(moved[..., 74:76], linear[..., 74:76])
    assert not torch.allclose(moved[..., 60:72], linear[..., 60:72], atol=0.02)


def test_nothing_is_taken_from_between_what_moves_apart() -> None:
    """A dark thing comes in over a dark ground, whose bright stripe it has covered: nothing of that shines through."""
    ground = torch.full((1, 3, 40, 96), 0.2)
    ground[..., 40:50] = 0.9
    thing, speed = 60, 3.5
    ground[..., thing:] = 0.2
    painting, sheet = ground, Sheet.of(ground)
    for number in range(1, 8):
        left = int(thing - speed * number)
        flow = torch.zeros(1, 2, 40, 96)
        flow[:, 0, :, left:] = speed
        painting, sheet = sheet.moved(painting, flow, torch.ones(1, 1, 40, 96))
        if left < 36:
            assert painting[..., left - 2 :].max() < 0.7
