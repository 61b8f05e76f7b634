"""What the benchmark of the networks reports, on pictures made here and with `lite` in both roles."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from media import write_png

from benchmarks import temporal
from benchmarks.networks import LOOKS, Eye, _summary, agreement, fitted, paint, sheet
from benchmarks.temporal import (
    WarpingError,
    drift,
    print_seeing,
    read_frames,
    ruder,
    scratch,
    sharpness,
    still_change,
    warm,
)
from nst_video.device import Compute
from nst_video.flow import FlowEstimator
from nst_video.frame import Pixels
from nst_video.glance import WORTH
from nst_video.image import to_image
from nst_video.settings import STYLE_LAYERS, StyleSettings
from nst_video.weights import load_network


def blobs(height: int, width: int, seed: int) -> Pixels:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, axis=0).repeat(8, axis=1))


def test_a_network_agrees_with_itself_and_not_with_another() -> None:
    lite, other = load_network("lite"), load_network("lite")
    torch.manual_seed(0)
    for weight in other.parameters():
        weight.copy_(weight[torch.randperm(len(weight))])
    content, style = to_image(blobs(48, 64, 1)), to_image(blobs(48, 64, 2))
    images = [torch.lerp(content, style, i / 4) for i in range(4)]
    eyes = [Eye(network, content, style) for network in (lite, lite, other)]
    same, different = agreement(eyes[0], eyes[1], images), agreement(eyes[0], eyes[2], images)
    assert same["loss_correlation"] == pytest.approx(1)
    assert same["gradient_cosines"] == pytest.approx([1] * 4)
    assert max(different["gradient_cosines"]) < 0.9


def test_painting_times_every_iteration_but_the_first_and_keeps_looks_on_the_way() -> None:
    result = paint(load_network("lite"), blobs(48, 64, 1), blobs(40, 40, 2), 64, 7)
    assert len(result.iterations) == 6
    assert sum(result.iterations) < result.seconds
    assert len(result.snapshots) == sum(look < 7 for look in LOOKS)
    assert not torch.equal(result.snapshots[0], result.snapshots[-1])
    assert result.pixels.shape == (48, 64, 3)
    further = paint(load_network("lite"), blobs(48, 64, 1), blobs(40, 40, 2), 64, 1, start=result.image)
    near, far = (np.abs(p.astype(float) - result.pixels).mean() for p in (further.pixels, blobs(48, 64, 1)))
    assert near < far


def test_the_summary_compares_with_vgg19() -> None:
    def way(style: float, seconds: float, ms: float) -> dict[str, object]:
        layers = dict.fromkeys(STYLE_LAYERS, style)
        return {"style": style, "content": 1.0, "layers": layers, "seconds": seconds, "ms_per_iteration": ms}

    found = {"loss_correlation": 0.5, "gradient_cosines": [0.1, 0.3]}
    pairs = [
        {"vgg19": way(0.1, 40, 200), "lite": way(0.2, 4, 10), "refined": way(0.1, 8, 200), "agreement": found},
        {"vgg19": way(0.3, 40, 200), "lite": way(0.9, 4, 20), "refined": way(0.3, 8, 200), "agreement": found},
    ]
    summary = _summary(pairs)
    assert summary["lite"]["ratio_mean"] == pytest.approx(2.5)
    assert summary["lite"]["ratio_worst"] == pytest.approx(3)
    assert summary["lite"]["style_to_vgg19"] == pytest.approx(1.1 / 0.4)
    assert summary["lite"]["iteration_times_faster"] == pytest.approx(15)
    assert summary["refined"]["times_faster"] == pytest.approx(5)
    assert summary["gradient_cosines"] == [0.1, 0.3]


def test_the_sheet_shows_every_picture_whole() -> None:
    rows = [[blobs(48, 64, 1), blobs(64, 32, 2)], [blobs(64, 64, 3), blobs(16, 16, 4)]]
    page = sheet(rows, 64)
    assert page.shape == (2 * 68, 2 * 68, 3)
    assert np.array_equal(page[8:56, 0:64], rows[0][0])
    assert np.array_equal(fitted(rows[1][0], 64), rows[1][0])
    assert fitted(rows[0][0], 32).shape == (24, 32, 3)


# films


def rough(height: int, width: int, seed: int) -> Pixels:
    grain = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 60, (height, width)), (5, 5), 0)
    return np.asarray(np.clip(blobs(height, width, seed) / 2 + 60 + grain[..., None], 0, 255), np.uint8)


def test_the_warping_error_of_a_painting_that_moves_along_is_next_to_nothing() -> None:
    wide, other = rough(96, 160, 1), rough(96, 160, 2)
    frames, painted = ([p[:, 4 * i : 4 * i + 128].copy() for i in range(3)] for p in (wide, other))
    error = WarpingError(frames)
    assert error(painted) < 0.02 * error([other[:, :128]] * 3)
    assert error([painted[0]] * 3) > 0.01


def test_sharpness_falls_with_blur() -> None:
    picture = rough(64, 96, 1)
    assert sharpness(cv2.blur(picture, (3, 3))) < 0.5 * sharpness(picture)  # type: ignore[arg-type]


def test_drift_is_that_of_the_painting_where_the_source_stays() -> None:
    source = [rough(64, 96, 1)] * 20
    assert drift(source, source) == 0
    fading = [np.full((64, 96, 3), 100 + i, np.uint8) for i in range(20)]
    assert drift(fading, source) == pytest.approx(18 / 100.5, abs=0.01)
    changed = [f.copy() for f in source]
    for f in changed[10:]:
        f[:32] = 0
    upper = [f.copy() for f in source]
    for f in upper[10:]:
        f[:26] = 0  # a painting that changes where the source does
    assert abs(drift(upper, changed)) < 0.01 < abs(drift(upper, source))


def test_change_counts_where_the_source_is_still() -> None:
    source = [rough(64, 96, 1).copy() for _ in range(4)]
    for i, f in enumerate(source):
        f[:, :20] = 60 * i
    painted = [np.full((64, 96, 3), 100 + 2 * (i % 2), np.uint8) for i in range(4)]
    for i, p in enumerate(painted):
        p[:, :20] = 50 * i
    assert still_change(painted, source) == pytest.approx(2)
    assert np.isnan(still_change(painted, [rough(64, 96, i) for i in range(4)]))


def test_a_photo_is_repeated_with_noise(tmp_path: Path) -> None:
    frames = read_frames(write_png(tmp_path / "photo.png", blobs(48, 64, 1)), 32, 0, 5, 2.0)
    assert [f.shape for f in frames] == [(24, 32, 3)] * 5
    assert 1 < np.abs(frames[0].astype(float) - frames[1]).mean() < 4


@pytest.mark.parametrize("turns", [True, False])
@pytest.mark.parametrize("iterations", [1, WORTH])
def test_seeing_is_timed_as_the_tool_does_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, iterations: int, turns: bool
) -> None:
    monkeypatch.setattr(temporal, "FIRST", 2)
    monkeypatch.setattr(Compute, "takes_turns", turns)
    frames = [rough(48, 64, 1)[:, i : i + 48].copy() for i in range(3)]
    print_seeing(load_network("lite"), frames, blobs(48, 48, 2), 48, iterations)
    told = capsys.readouterr().out
    assert ("flow half" in told) == (iterations == 1)
    seeing, share, painting, part, mean, *both = map(float, re.findall(r"[\d.]+(?=[ %)])", told.split(":")[1]))
    assert min(seeing, painting, part, mean, *both) > 0
    assert len(both) == (not turns)
    assert share == pytest.approx(100 * seeing / painting, abs=2)


def test_every_way_paints_every_frame() -> None:
    frames = [rough(48, 64, 1)[:, i : i + 48].copy() for i in range(3)]
    network, style, settings = load_network("lite"), blobs(48, 48, 2), StyleSettings()
    made = [
        scratch(network, frames, style, settings, 48, 2),
        warm(network, frames, style, settings, 48, 2, FlowEstimator()),
        ruder(network, frames, style, 48, 2),
    ]
    for film in made:
        assert [f.shape for f in film.frames] == [(48, 48, 3)] * 3
        assert all(np.abs(p.astype(float) - f).mean() > 1 for p, f in zip(film.frames, frames, strict=True))
    assert [film.iterations for film in made] == pytest.approx([2, 154 / 3, 2 * 4 / 3])
