"""Losses against iterations, drawn."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

from nst_video.errors import SinkError

PLOT_SUFFIXES = (".png", ".svg", ".pdf")


def check_plotting() -> None:
    """Find out early whether plots can be drawn.

    Raises:
        SinkError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise SinkError("--plot needs matplotlib: pip install matplotlib") from None


def plot_losses(suffix: str, losses: Mapping[str, Sequence[float]], changes: Sequence[tuple[int, str]]) -> bytes:
    """A picture file with each of `losses` from iteration 1 on, on a logarithmic scale, and a line with a few words at
    `changes`: the iteration after which something changed. What has no place there, zeros above all, is left out.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, values in losses.items():
        if any(math.isfinite(value) and value > 0 for value in values):
            shown = [value if value > 0 else math.nan for value in values]  # the content's is 0 where it is the start
            axes.plot(range(1, len(values) + 1), shown, label=name, linewidth=2 if name == "total" else 1.2)
    for iteration, words in changes:
        axes.axvline(iteration + 0.5, color="0.7", linewidth=1, zorder=0)
        axes.annotate(
            words,
            (iteration + 0.5, 1),
            (3, -10),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color="0.4",
            fontsize=8,
        )
    axes.set(xlabel="iteration", ylabel="loss, as weighted in the total", yscale="log")
    axes.margins(x=0.01)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()
    file = io.BytesIO()
    figure.savefig(file, dpi=100, format=suffix.lower().removeprefix("."))
    return file.getvalue()
