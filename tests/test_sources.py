"""Video files: what they declare, what a player would show, which frames a window holds."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media import NTSC, decode, ffmpeg, look_at, numbers, sliding, write_clip

from nst_video.errors import SettingsError, SourceError
from nst_video.frame import Pixels, StreamInfo
from nst_video.sources import PlayedFile, VideoFile


def pixels(source: VideoFile) -> Pixels:
    return np.stack([frame.pixels for frame in source])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("clip", (64, 48, NTSC, 12)),
        ("odd", (65, 47, NTSC, 4)),
        ("rotated", (48, 64, NTSC, 6)),
        ("anamorphic", (85, 48, NTSC, 4)),
        ("pcm", (64, 48, NTSC, 8)),
    ],
)
def test_a_source_tells_displayed_shape_exact_rate_and_length(
    request: pytest.FixtureRequest, name: str, wanted: tuple[int, int, Fraction, int]
) -> None:
    assert VideoFile(request.getfixturevalue(name)).info == StreamInfo(*wanted, time_base=1 / NTSC)


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(25), Fraction(15), Fraction(60000, 1001)])
def test_rates_are_exact(tmp_path: Path, rate: Fraction) -> None:
    path = write_clip(tmp_path / "clip.mp4", sliding(5, 16, 16), rate=rate, sound=None)
    assert VideoFile(path).info.frame_rate == rate


@pytest.mark.parametrize("name", ["clip", "odd", "rotated", "panning", "vorbis"])
def test_frames_are_those_that_a_player_shows(request: pytest.FixtureRequest, name: str) -> None:
    path = request.getfixturevalue(name)
    found, wanted = pixels(VideoFile(path)), decode(path)
    assert found.shape == wanted.shape
    assert np.abs(found.astype(np.int32) - wanted).mean() < 4  # colours lie as they are stored, a player smooths them


def test_frames_know_their_number_and_time(clip: Path) -> None:
    frames = list(VideoFile(clip))
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.pts * frame.time_base for frame in frames] == list(look_at(clip).times)
    assert frames[6].seconds == pytest.approx(6 * 1001 / 24000)


def test_a_clip_on_its_side_comes_upright(tmp_path: Path, rotated: Path) -> None:
    """Turned a quarter against the clock, the stored left is at the bottom."""
    stored = np.full((3, 48, 64, 3), 40, np.uint8)
    stored[:, :, :32] = 220
    flat = write_clip(tmp_path / "flat.mp4", stored, sound=None)
    ffmpeg("-display_rotation", 90, "-i", flat, "-c", "copy", tmp_path / "turned.mp4")
    shown = pixels(VideoFile(tmp_path / "turned.mp4"))
    assert shown.shape == (3, 64, 48, 3)
    assert shown[:, 36:].min() > 200
    assert shown[:, :28].max() < 60


def test_pixels_that_are_not_square_are_made_so(anamorphic: Path) -> None:
    found, stored = pixels(VideoFile(anamorphic)), decode(anamorphic)
    assert found.shape == (4, 48, 85, 3)
    columns = np.round((np.arange(85) + 0.5) * 64 / 85 - 0.5).astype(np.int64).clip(0, 63)
    assert np.abs(found.astype(np.int32) - stored[:, :, columns]).mean() < 6


def test_a_turned_clip_of_pixels_that_are_not_square(tmp_path: Path, anamorphic: Path) -> None:
    path = tmp_path / "both.mp4"
    ffmpeg("-display_rotation", 90, "-i", anamorphic, "-c", "copy", path)
    info = VideoFile(path).info
    assert (info.width, info.height) in ((48, 85), (36, 64))
    assert info.width / info.height == pytest.approx(9 / 16, abs=0.01)
    assert pixels(VideoFile(path)).shape == (4, info.height, info.width, 3)


def test_every_frame_of_a_clip_of_variable_timing_comes_once(uneven: Path) -> None:
    assert numbers(pixels(VideoFile(uneven))) == list(range(10))
    assert VideoFile(uneven).info.frame_count == 10


@pytest.mark.parametrize(
    ("start", "end", "wanted"),
    [
        (0.0, None, range(12)),
        (4 / NTSC, None, range(4, 12)),
        (0.0, 5 / NTSC, range(5)),
        (3 / NTSC, 7 / NTSC, range(3, 7)),
        (0.0, 99.0, range(12)),
        (10 / NTSC, 99.0, range(10, 12)),
    ],
)
def test_a_window_of_a_clip(clip: Path, start: float, end: float | None, wanted: range) -> None:
    """Its declared length is right to a frame: rounding at the edges may go either way."""
    window = VideoFile(clip, start=float(start), end=None if end is None else float(end) - 0.001)
    frames = list(window)
    assert numbers(np.stack([frame.pixels for frame in frames])) == list(wanted)
    assert [frame.index for frame in frames] == list(range(len(wanted)))
    assert window.info.frame_count is not None
    assert abs(window.info.frame_count - len(wanted)) <= 1


def test_a_start_behind_the_end_of_the_clip_is_refused(clip: Path) -> None:
    with pytest.raises(SettingsError, match=r"--start must lie within the clip's 0\.50 s, not at 3 s"):
        VideoFile(clip, start=3)


def test_files_that_are_no_video_are_refused_by_name(tmp_path: Path, text_as_video: Path, photo: Path) -> None:
    with pytest.raises(SourceError, match=r"no video file .*gone\.mp4"):
        VideoFile(tmp_path / "gone.mp4")
    with pytest.raises(SourceError, match=r"text\.mp4 is not a video"):
        VideoFile(text_as_video)
    with pytest.raises(SourceError, match=tmp_path.name):
        VideoFile(tmp_path)
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(SourceError, match=r"empty\.mp4"):
        VideoFile(tmp_path / "empty.mp4")


def test_a_file_with_sound_only_is_refused(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.2", tmp_path / "sound.mp4")
    with pytest.raises(SourceError, match=r"sound\.mp4"):
        VideoFile(tmp_path / "sound.mp4")


def test_a_cover_picture_is_not_the_video(tmp_path: Path, clip: Path, photo: Path) -> None:
    """Phones and music shops attach one; it is another video stream, of one frame."""
    path = tmp_path / "cover.mp4"
    ffmpeg("-i", clip, "-i", photo, "-map", 0, "-map", 1, "-c", "copy", "-disposition:v:1", "attached_pic", path)
    assert numbers(pixels(VideoFile(path))) == list(range(12))


def test_a_truncated_clip_gives_what_is_left(truncated: Path) -> None:
    source = VideoFile(truncated)
    assert source.info.frame_count == 24
    assert 2 < len(list(source)) < 20


def test_a_clip_without_a_single_frame_is_an_error(truncated: Path, tmp_path: Path) -> None:
    head = truncated.read_bytes()
    path = tmp_path / "head.mp4"
    path.write_bytes(head[: head.index(b"mdat") + 8])
    with pytest.raises(SourceError, match=r"head\.mp4 is not a video"):
        VideoFile(path)


def test_a_window_between_two_frames_is_an_error(clip: Path) -> None:
    """The last frame is shown from 0.459 to 0.5005 s: ffmpeg itself is content to decode nothing."""
    with pytest.raises(SettingsError, match=r"--start must lie within the clip's 0\.50 s"):
        list(VideoFile(clip, start=0.495))


def test_a_reader_that_is_left_ends_its_decoder(clip: Path) -> None:
    source = VideoFile(clip)
    frames = source.__iter__()
    next(frames)
    assert source._decoder is not None
    process = source._decoder._process
    del frames
    assert process.poll() is not None


def test_closing_ends_the_decoder_and_a_second_reading_starts_over(clip: Path) -> None:
    source = VideoFile(clip)
    source.close()
    first = next(iter(source))
    source.close()
    assert source._decoder is not None
    assert source._decoder._process.poll() is not None
    assert len(list(source)) == 12
    assert first.index == 0


def test_a_played_file_gives_each_frame_when_it_is_due(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, waits = 100.0, list[float]()

    class Clock(threading.Event):
        """Which the test's own time goes by: waiting takes none."""

        def wait(self, timeout: float | None = None) -> bool:
            nonlocal now
            assert timeout is not None
            waits.append(timeout)
            now += timeout
            return self.is_set()

    source = PlayedFile(clip)
    source._closed = Clock()
    monkeypatch.setattr("nst_video.sources.time.monotonic", lambda: now)
    frames = iter(source)
    for index, frame in zip(range(4), frames, strict=False):
        assert frame.index == index
        assert now == pytest.approx(100 + frame.seconds)
    now += 10  # the one who takes them was busy: what is overdue comes at once
    assert next(frames).index == 4
    assert waits[-1] == 0
    source.close()
    assert next(frames, None) is None
