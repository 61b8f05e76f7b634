"""The plot of the losses: it opens, it shows what there is, it fails in one line."""

from __future__ import annotations

import io
import math
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nst_video.errors import SinkError
from nst_video.frame import Pixels
from nst_video.plot import PLOT_SUFFIXES, check_plotting, plot_losses

pytest.importorskip("matplotlib")
CURVE = {"total": [9.0, 5.0, 4.0], "content": [1.0, 2.0, 2.5], "style": [8.0, 3.0, 1.5], "tv": [0.0, 0.0, 0.0]}


def drawn(curve: dict[str, list[float]]) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(plot_losses(".png", curve, []))).convert("RGB"))


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Plots something; what is written in it."""
    import matplotlib

    def written(curve: dict[str, list[float]], changes: list[tuple[int, str]]) -> list[str]:
        with matplotlib.rc_context({"svg.fonttype": "none"}):  # letters as letters
            svg = plot_losses(".svg", curve, changes).decode()
        return [part.split("<")[0].split(">")[-1] for part in svg.split("<text")[1:]]

    return written


def test_it_can_be_looked_at_in_every_format() -> None:
    heads = {".png": b"\x89PNG\r\n\x1a\n", ".svg": b"<?xml", ".pdf": b"%PDF-"}
    assert heads.keys() == set(PLOT_SUFFIXES)
    for suffix, head in heads.items():
        for case in (suffix, suffix.upper()):
            drawn = plot_losses(case, CURVE, [(1, "lite, 32 px")])
            assert drawn.startswith(head)
            assert len(drawn) > 3000


def test_a_png_shows_curves_on_white() -> None:
    pixels = drawn(CURVE)
    assert pixels.shape == (450, 800, 3)
    assert (pixels == 255).all(2).mean() > 0.5
    colours = np.ptp(pixels.astype(np.int32), 2) > 80
    assert 100 < colours.sum() < 0.1 * colours.size


def test_terms_that_are_nought_throughout_are_left_out(words: Any) -> None:
    found = words(CURVE, [])
    assert [word for word in found if word in CURVE] == ["total", "content", "style"]
    assert "iteration" in found
    found = words({**CURVE, "tv": [0.0, 0.0, 1e-3]}, [])
    assert [word for word in found if word in CURVE] == list(CURVE)


def test_changes_are_marked_with_their_words(words: Any) -> None:
    found = words(CURVE, [(0, "lite, 32 px"), (2, "vgg19, 64 px")])
    assert {"lite, 32 px", "vgg19, 64 px"} <= set(found)


def test_one_iteration_is_a_curve(words: Any) -> None:
    curve = {"total": [2.0], "content": [0.0], "style": [2.0], "tv": [0.0]}
    assert [word for word in words(curve, []) if word in curve] == ["total", "style"]
    assert drawn(curve).shape == (450, 800, 3)


@pytest.mark.parametrize("odd", [math.nan, math.inf, 0.0, 1e-38, 3e38])
@pytest.mark.filterwarnings("error")
def test_odd_values_are_no_reason_to_fail_or_to_complain(odd: float) -> None:
    plot_losses(".png", {"total": [3.0, odd, 2.0], "style": [odd] * 3}, [(1, "words")])
    plot_losses(".png", {"total": [odd] * 3}, [])


def test_without_matplotlib_what_to_install_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    check_plotting()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SinkError, match=r"^--plot needs matplotlib: pip install matplotlib$"):
        check_plotting()


def test_nobody_elses_figures_are_touched() -> None:
    """No window, no state that grows."""
    plot_losses(".png", CURVE, [])
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
