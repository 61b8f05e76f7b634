"""One ffmpeg process: every frame once, its own words in the errors, nothing left running."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from media import NTSC, blobs, decode, look_at, numbers, sound_md5, stepped, write_clip

from nst_video import ffmpeg
from nst_video.errors import WorkError
from nst_video.frame import Pixels


def frames_of(clip: Path, width: int = 64, height: int = 48, start: float = 0, duration: float | None = None) -> Pixels:
    process = ffmpeg.decode(clip, width, height, start=start, duration=duration)
    return np.stack(list(process.frames(width, height)))


def test_every_frame_comes_once_and_in_order(clip: Path, uneven: Path) -> None:
    assert numbers(frames_of(clip)) == list(range(12))
    assert numbers(frames_of(uneven)) == list(range(10))


def test_frames_are_rgb_and_scaled(media: Path) -> None:
    red = np.zeros((3, 48, 64, 3), np.uint8)
    red[..., 0] = 220
    path = write_clip(media / "red.mp4", red, sound=None)
    small = frames_of(path, 32, 24)
    assert small.shape == (3, 24, 32, 3)
    assert np.abs(small.astype(np.int32) - (220, 0, 0)).max() <= 4


@pytest.mark.parametrize(
    ("start", "duration", "wanted"),
    [(0.0, 5 / NTSC, range(5)), (4 / NTSC, None, range(4, 12)), (4 / NTSC, 3 / NTSC, range(4, 7))],
)
def test_a_window_has_exactly_its_frames(clip: Path, start: float, duration: float | None, wanted: range) -> None:
    found = frames_of(clip, start=float(start), duration=None if duration is None else float(duration) - 0.001)
    assert numbers(found) == list(wanted)


def test_what_cannot_be_decoded_is_told_in_ffmpegs_words(text_as_video: Path) -> None:
    with pytest.raises(WorkError, match=r"cannot decode .*text\.mp4: .*[Ii]nvalid data"):
        frames_of(text_as_video)


def test_a_stream_that_ends_within_a_frame_is_an_error(clip: Path) -> None:
    process = ffmpeg.decode(clip, 64, 48)
    with pytest.raises(WorkError, match="cannot decode"):
        list(process.frames(64, 49))


def test_a_killed_decoder_is_an_error_and_not_the_end(media: Path) -> None:
    """Far more than a pipe holds, so that ffmpeg cannot have written it all."""
    path = write_clip(media / "long.mp4", stepped(20, 240, 320), sound=None)
    process = ffmpeg.decode(path, 320, 240)
    frames = process.frames(320, 240)
    next(frames)
    process._process.kill()
    with pytest.raises(WorkError, match="cannot decode"):
        list(frames)


def test_a_decoder_can_be_killed_twice_and_leaves_no_process(clip: Path) -> None:
    process = ffmpeg.decode(clip, 64, 48)
    next(process.frames(64, 48))
    process.kill()
    process.kill()
    assert process._process.poll() is not None
    process._listener.join(timeout=10)
    assert not process._listener.is_alive()


def test_names_that_look_like_options_or_protocols_are_files(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-y.mp4", "a:b.mp4", "100%d.mp4", "with space.mp4"):
        (tmp_path / name).write_bytes(clip.read_bytes())
        assert len(frames_of(Path(name))) == 12
        encoder = ffmpeg.encode(Path("out" + name), 64, 48, (25, 1), codec="h264", crf=18, audio_from=Path(name))
        encoder.feed(blobs(48, 64))
        assert encoder.finish() == 0
        assert (tmp_path / f"out{name}").is_file()


def encode(path: Path, frames: Pixels, codec: str = "h264", crf: int = 10) -> Path:
    _, height, width, _ = frames.shape
    encoder = ffmpeg.encode(path, width, height, NTSC.as_integer_ratio(), codec=codec, crf=crf)
    for frame in frames:
        encoder.feed(frame)
    assert encoder.finish() == 0
    return path


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_film_has_every_frame_at_the_exact_rate(tmp_path: Path, codec: str) -> None:
    path = encode(tmp_path / "out.mp4", stepped(9, 48, 64), codec)
    film = look_at(path)
    assert numbers(decode(path)) == list(range(9))
    assert film.rate == NTSC
    assert film.times[0] == 0
    assert {"h264": "h264", "h265": "hevc"}[codec] in film.description
    assert "yuv420p(tv, bt709" in film.description


@pytest.mark.parametrize("colour", [(230, 30, 30), (30, 200, 40), (20, 40, 220), (240, 240, 240), (8, 8, 8)])
def test_colours_survive(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    """Untagged or converted by another matrix, they would be up to 40 off."""
    frames = np.full((2, 48, 64, 3), colour, np.uint8)
    path = encode(tmp_path / "out.mp4", frames, crf=4)
    assert np.abs(decode(path).astype(np.int32) - colour).max() <= 5


@pytest.mark.parametrize(("height", "width"), [(47, 65), (48, 65), (47, 64), (3, 2)])
def test_an_odd_last_row_or_column_is_dropped_and_nothing_rescaled(tmp_path: Path, height: int, width: int) -> None:
    frame = blobs(height, width)
    path = encode(tmp_path / "out.mp4", np.stack([frame] * 2), crf=1)
    shown = decode(path)[0]
    assert shown.shape == (height // 2 * 2, width // 2 * 2, 3)
    kept = frame[: shown.shape[0], : shown.shape[1]].astype(np.int32)
    if min(height, width) > 3:
        assert np.abs(shown.astype(np.int32) - kept).mean() < 4


def test_an_array_that_is_a_view_is_fed_as_it_looks(tmp_path: Path) -> None:
    frames = np.stack([blobs(48, 64)] * 2)[:, :, ::-1]
    path = encode(tmp_path / "out.mp4", frames, crf=1)
    assert np.abs(decode(path)[0].astype(np.int32) - frames[0]).mean() < 4


class Narrow:
    """A pipe that takes no more than 1000 bytes at a time."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self.close = pipe.close

    def write(self, data: memoryview) -> int:
        return self._pipe.write(data[:1000])


def test_a_pipe_that_takes_little_at_a_time_gets_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = ffmpeg.encode(tmp_path / "out.mp4", 64, 48, NTSC.as_integer_ratio(), codec="h264", crf=10)
    pipe = encoder._process.stdin
    assert pipe is not None

    monkeypatch.setattr(encoder._process, "stdin", Narrow(pipe))
    for frame in stepped(3, 48, 64):
        encoder.feed(frame)
    assert encoder.finish() == 0
    assert numbers(decode(tmp_path / "out.mp4")) == [0, 1, 2]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_told_in_ffmpegs_words(tmp_path: Path) -> None:
    (tmp_path / "full.mkv").symlink_to("/dev/full")
    encoder = ffmpeg.encode(tmp_path / "full.mkv", 64, 48, (25, 1), codec="h264", crf=10)
    encoder.feed(blobs(48, 64))
    assert encoder.finish() != 0
    assert "No space left" in encoder.complaint()


def test_an_encoder_that_dies_is_told_by_feeding_or_finishing(tmp_path: Path) -> None:
    nowhere = tmp_path / "gone" / "out.mp4"
    encoder = ffmpeg.encode(nowhere, 64, 48, (25, 1), codec="h264", crf=18)
    frame = blobs(48, 64)

    def feed() -> None:
        for _ in range(1000):
            encoder.feed(frame)

    with pytest.raises(WorkError, match=r"cannot write .*out\.mp4: .*No such file"):
        feed()
    assert encoder.finish() != 0


def test_an_encoder_that_does_not_finish_is_killed(tmp_path: Path) -> None:
    """With its input held open by somebody else it waits for ever."""
    encoder = ffmpeg.encode(tmp_path / "out.mp4", 64, 48, (25, 1), codec="h264", crf=18)
    encoder.feed(blobs(48, 64))
    pipe = encoder._process.stdin
    assert pipe is not None
    encoder._process.stdin = None
    assert encoder.finish(timeout=0.01) != 0
    assert encoder._process.poll() is not None
    assert "did not finish" in encoder.complaint()
    pipe.close()


@pytest.mark.skipif(os.name == "nt", reason="a shell script plays ffmpeg")
def test_complaints_are_the_last_line_that_says_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "ffmpeg"
    script.write_text("#!/bin/sh\necho first >&2; echo 'the reason' >&2; echo; echo 'Conversion failed!' >&2; exit 3\n")
    script.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(script))
    process = ffmpeg.decode(tmp_path / "clip.mp4", 64, 48)
    assert process.finish() == 3
    assert process.complaint() == "the reason"
    script.write_text("#!/bin/sh\nexit 4\n")
    with pytest.raises(WorkError, match="stopped without a word"):
        list(ffmpeg.decode(tmp_path / "clip.mp4", 64, 48).frames(64, 48))


def test_no_ffmpeg_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", none)
    with pytest.raises(WorkError, match="pip install imageio-ffmpeg"):
        ffmpeg.executable()


@pytest.mark.parametrize(
    ("source", "suffix", "fits"),
    [
        ("clip", ".mp4", True),
        ("clip", ".mkv", True),
        ("pcm", ".mkv", True),
        ("pcm", ".mov", True),
        ("pcm", ".mp4", False),
        ("pcm", ".m4v", False),
        ("vorbis", ".mkv", True),
        ("vorbis", ".MP4", False),
        ("vorbis", ".mov", False),
        ("silent", ".mp4", False),
    ],
)
def test_sound_is_copied_where_it_fits_and_players_find_it(
    request: pytest.FixtureRequest, tmp_path: Path, source: str, suffix: str, fits: bool
) -> None:
    assert ffmpeg.audio_fits(request.getfixturevalue(source), tmp_path / f"out{suffix}") is fits
    assert list(tmp_path.iterdir()) == []


def test_sound_is_copied_bit_for_bit(tmp_path: Path, clip: Path) -> None:
    encoder = ffmpeg.encode(
        tmp_path / "out.mp4", 64, 48, NTSC.as_integer_ratio(), codec="h264", crf=18, audio_from=clip
    )
    for frame in stepped(12, 48, 64):
        encoder.feed(frame)
    assert encoder.finish() == 0
    assert sound_md5(tmp_path / "out.mp4") == sound_md5(clip) is not None


def test_cut_shortens_picture_and_sound_in_place(tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(clip.read_bytes())
    ffmpeg.cut(path, float(6 / NTSC))
    assert numbers(decode(path)) == list(range(6))
    assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]


def test_a_film_that_cannot_be_cut_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"no film")
    ffmpeg.cut(path, 1)
    assert path.read_bytes() == b"no film"
    assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]


def test_ctrl_c_at_the_terminal_does_not_reach_ffmpeg(clip: Path) -> None:
    """It runs in a session of its own: an encoder that dies of Ctrl-C leaves a film without an index."""
    if not hasattr(os, "getsid"):
        pytest.skip("no sessions on this system")
    process = ffmpeg.decode(clip, 64, 48)
    assert os.getsid(process._process.pid) != os.getsid(0)
    process.kill()


def test_no_listener_is_left(clip: Path) -> None:
    frames_of(clip)
    assert [t.name for t in threading.enumerate() if t.name == "ffmpeg-stderr"] == []


def test_an_ffmpeg_that_never_ends_is_an_error_of_its_kind(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "FINISH_TIMEOUT_S", 0.0)
    with pytest.raises(WorkError, match="did not finish within 0 s"):
        ffmpeg.packets(clip)
