"""Frames with their times, as ffmpeg, which knows nothing of the program, reads them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from checks import packets
from hypothesis import given
from hypothesis import strategies as st
from media import NTSC, blobs, ffmpeg, look_at, run_ffmpeg

from nst_video import matroska
from nst_video.frame import Pixels

NANOSECOND = Fraction(1, 1_000_000_000)


def write(path: Path, frames: list[Pixels], times: list[Fraction], durations: list[Fraction]) -> Path:
    height, width, _ = frames[0].shape
    content = matroska.head(width, height, NTSC)
    for frame, time, duration in zip(frames, times, durations, strict=True):
        content += matroska.block(time, duration, frame.nbytes) + frame.tobytes()
    path.write_bytes(content)
    return path


def nanoseconds(times: list[Fraction]) -> list[int]:
    return [round(time / NANOSECOND) for time in times]


def test_pixels_arrive_as_they_are(tmp_path: Path) -> None:
    """Odd sizes too, and in the right order of channels."""
    frames = [blobs(5, 7, seed) for seed in range(3)]
    path = write(tmp_path / "raw.mkv", frames, [index / NTSC for index in range(3)], [1 / NTSC] * 3)
    raw = ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "-")
    assert np.array_equal(np.frombuffer(raw, np.uint8).reshape(3, 5, 7, 3), np.stack(frames))
    assert "rawvideo (RGB[24] / 0x18424752), rgb24" in look_at(path).description
    assert "error" not in run_ffmpeg("-loglevel", "level+warning", "-i", path, "-f", "null", "-").stderr.decode()


def test_even_times_and_durations_are_exact_to_the_nanosecond(tmp_path: Path) -> None:
    times = [index / NTSC for index in range(50)]
    found = packets(write(tmp_path / "raw.mkv", [blobs(1, 1)] * 50, times, [1 / NTSC] * 50))
    assert nanoseconds(found.times) == [round(time / NANOSECOND) for time in times]
    assert nanoseconds(found.durations) == [round(1 / NTSC / NANOSECOND)] * 50
    assert all((time / NANOSECOND).denominator == 1 for time in found.times)


@pytest.mark.parametrize("begins", [Fraction(0), Fraction(86_400), Fraction(8_000_000)])
def test_uneven_times_are_kept_also_after_months(tmp_path: Path, begins: Fraction) -> None:
    steps = [Fraction(1, 1000), Fraction(3), Fraction(1, 240), Fraction(90), Fraction(1, 90_000)]
    times = [begins + sum(steps[:index]) for index in range(5)]
    path = write(tmp_path / "raw.mkv", [blobs(2, 2)] * 5, times, steps)
    found = packets(path, "0:V:0", "-copyts")
    assert nanoseconds(found.times) == nanoseconds(times)
    assert nanoseconds(found.durations) == nanoseconds(steps)


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=8), st.integers(1, 9), st.integers(1, 9))
def test_whatever_the_size_and_the_times_it_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[int], width: int, height: int
) -> None:
    times = [sum(gaps[:index]) * NANOSECOND for index in range(len(gaps))]
    frames = [blobs(height, width, seed) for seed in range(len(gaps))]
    path = write(tmp_path_factory.mktemp("raw") / "raw.mkv", frames, times, [gap * NANOSECOND for gap in gaps])
    found = packets(path)
    assert nanoseconds(found.times) == nanoseconds(times)
    assert nanoseconds(found.durations) == gaps


def test_the_frame_rate_is_a_hint_that_ffmpeg_takes(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.mkv", [blobs(2, 2)] * 3, [Fraction(i) for i in range(3)], [Fraction(1)] * 3)
    assert ", 23.98 fps," in look_at(path).description
