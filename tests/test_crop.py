"""What is cut out of a picture is pasted where it was."""

from __future__ import annotations

import pytest
import torch

from nst_video.crop import cut, pasted


@pytest.mark.parametrize("size", [(80, 120), (75, 101)])
@pytest.mark.parametrize("part", [(slice(None), slice(None)), (slice(None, 40), slice(16, None)), (slice(8, 24),) * 2])
def test_a_piece_that_is_cut_out_is_pasted_where_it_was(size: tuple[int, int], part: tuple[slice, slice]) -> None:
    image = torch.rand(1, 3, *size)
    for level in range(4):
        small = torch.nn.functional.avg_pool2d(image, 2**level)
        piece = cut(small, part, level)
        assert torch.equal(pasted(small, piece, part, level), small)
        changed = pasted(small, piece + 1, part, level)
        assert torch.equal(cut(changed, part, level), piece + 1)
        assert (changed - small).sum().item() == pytest.approx(piece.numel(), rel=1e-4)
        halved = torch.nn.functional.avg_pool2d(cut(image, part), 2**level)
        assert torch.allclose(halved, piece, atol=1e-6)  # as the way of a coarse level's flow needs it
