"""A picture looked at in tiles is seen as a whole one is."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nst_video.losses import Guide
from nst_video.networks import FeatureNetwork, Looked, lite_stages, vgg19_stages
from nst_video.tiles import TiledLook, spans


def network(kind: str, *, measured: bool = False) -> FeatureNetwork:
    """VGG-19's shape with few channels, or `lite`'s own; all activations are alive, so that nothing hides a mistake."""
    widths = {f"{block}_{i}": 4 for block, depth in enumerate((2, 2, 4, 4, 1), 1) for i in range(1, depth + 1)}
    stages = lite_stages() if kind == "lite" else vgg19_stages("avg" if kind == "avg" else "max", widths)
    taps = ("1_1", "2_1", "3_1", "4_1", "4_2", "5_1") if kind == "lite" else None
    made = FeatureNetwork(stages, taps=taps, measured=measured).requires_grad_(False).double()
    dice = torch.Generator().manual_seed(3)
    for parameter in (*made.parameters(), *(buffer for name, buffer in made.named_buffers() if "metric" in name)):
        scale = (2 / parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.1
        parameter.copy_(torch.randn(parameter.shape, generator=dice, dtype=torch.float64) * scale)
        if parameter.ndim == 2:
            parameter.copy_(parameter + parameter.T)
    return made


CONTENT, STYLE = ("relu4_2", "relu2_1"), ("relu1_1", "relu3_1", "relu4_2", "relu5_1")


def image(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def gradient_of(seen: Looked, of: Tensor) -> Tensor:
    """Of a sum in which every number that was seen has a weight of its own."""
    dice = torch.Generator().manual_seed(2)
    values = [value for kind in seen for value in kind.values()]
    parts = [(value * torch.randn(value.shape, generator=dice, dtype=value.dtype)).sum() for value in values]
    return torch.autograd.grad(torch.stack(parts).sum(), of)[0]


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize(("kind", "size", "tile"), [
    ("max", (203, 150), 48), ("avg", (130, 333), 96), ("lite", (260, 167), 64), ("lite", (40, 300), 32),
])  # fmt: skip
def test_answers_and_gradient_are_those_of_a_whole_look(
    kind: str, size: tuple[int, int], tile: int, guided: bool
) -> None:
    plain = network(kind, measured=kind == "lite")
    content = tuple(layer for layer in CONTENT if layer in plain.layers)
    x = image(*size).requires_grad_()
    guides = dict[str, Guide]()
    if guided:
        for layer in STYLE:
            shape = [side // plain.spacing(layer) for side in size]
            weights = torch.rand(2, *shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
            guides[layer] = Guide(weights, weights.sum((1, 2)))
    looked_at = list[tuple[int, int]]()

    def make_look(_: Tensor) -> object:
        def look(part: Tensor, some: Mapping[str, Guide]) -> Looked:
            looked_at.append((part.shape[2], part.shape[3]))
            return plain.look(part, content, STYLE, some)

        return look

    tiled = TiledLook(plain, x, content, STYLE, tile=tile, guides=guides, make_look=make_look)  # type: ignore[arg-type]
    wanted, found = plain.look(x, content, STYLE, guides), tiled(x)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.keys() == theirs.keys()
        for layer in theirs:
            assert torch.allclose(ours[layer], theirs[layer], rtol=1e-9, atol=1e-12), layer
    assert torch.allclose(gradient_of(found, x), gradient_of(wanted, x), rtol=1e-7, atol=1e-10)
    assert len(looked_at) > 2
    assert all(min(part) < max(size) for part in looked_at)


@given(
    side=st.integers(1, 5000), tile=st.integers(16, 1000), around=st.integers(0, 200), grid=st.sampled_from((1, 4, 16))
)
def test_spans_cover_a_side_once_on_the_grid_with_all_that_is_around(
    side: int, tile: int, around: int, grid: int
) -> None:
    found = spans(side, tile, around, grid)
    assert found[0].begin == 0
    assert found[-1].end == side
    assert all(one.end == other.begin for one, other in pairwise(found))
    for span in found:
        assert span.begin % grid == span.first % grid == 0
        assert span.begin < span.end
        assert span.first == max(0, span.begin - around) or span.first < span.begin - around
        assert span.last == side or span.last >= span.end + around
        assert span.first >= 0
        assert span.last <= side
        assert span.end - span.begin < tile + 2 * grid
