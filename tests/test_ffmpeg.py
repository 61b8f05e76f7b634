"""One ffmpeg process: every frame once, its own words in the errors, nothing left running."""

from __future__ import annotations

import os
import threading
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from media import blobs, numbers, soon, stepped, wait_until, write_clip

from nst_video import ffmpeg
from nst_video.errors import WorkError
from nst_video.frame import Pixels

scripted = pytest.mark.skipif(os.name == "nt", reason="a shell script plays ffmpeg")


def reader(clip: Path, *filters: str, patience: float = ffmpeg.PATIENCE_S) -> ffmpeg.Ffmpeg:
    chain = ["-vf", ",".join(filters)] if filters else []
    arguments = ["-i", ffmpeg.plain(clip), "-map", "0:V:0", "-fps_mode", "passthrough", *chain,
                 "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]  # fmt: skip
    return ffmpeg.Ffmpeg(arguments, what=f"cannot decode {clip}", reads=True, patience=patience)


def writer(film: Path, width: int = 64, height: int = 48, *options: str) -> ffmpeg.Ffmpeg:
    """Of pixels without times, losslessly."""
    arguments = ["-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-i", "pipe:0",
                 "-c:v", "libx264rgb", "-qp", "0", *options, ffmpeg.plain(film)]  # fmt: skip
    return ffmpeg.Ffmpeg(arguments, what=f"cannot write {film}", reads=False)


def frames_of(clip: Path, width: int = 64, height: int = 48) -> Pixels:
    return np.stack(list(reader(clip).frames(width, height)))


def fake(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """From now on this is ffmpeg."""
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))


# reading


def test_every_frame_comes_once_and_in_order(clip: Path, uneven: Path) -> None:
    assert numbers(frames_of(clip)) == list(range(12))
    assert numbers(frames_of(uneven)) == list(range(10))


def test_frames_come_as_rgb_and_each_in_memory_of_its_own(media: Path) -> None:
    red = np.zeros((3, 48, 64, 3), np.uint8)
    red[..., 0] = 220
    frames = list(reader(write_clip(media / "red.mp4", red, sound=None)).frames(64, 48))
    assert len(frames) == 3
    assert np.abs(frames[0].astype(np.int32) - (220, 0, 0)).max() <= 4
    frames[0][:] = 0
    assert frames[1].max() > 200


def test_frames_tell_their_numbers_and_times_as_the_file_has_them(uneven: Path) -> None:
    decoder = reader(uneven, ffmpeg.TELL_TIMES)
    told = []
    for _ in decoder.frames(64, 48):
        told.append(decoder.next_time())
    assert told == [(n, 40 * (n if n < 5 else 5 + 5 * (n - 5))) for n in range(10)]


def test_a_frame_that_is_dropped_behind_the_filter_still_tells_its_time(clip: Path) -> None:
    """So that a film that is gone on with keeps its numbers."""
    decoder = reader(clip, "settb=1001/24000", ffmpeg.TELL_TIMES, r"select=gte(n\,9)")
    assert numbers(np.stack(list(decoder.frames(64, 48)))) == [9, 10, 11]
    assert [decoder.next_time() for _ in range(12)] == [(n, n) for n in range(12)]


@scripted
def test_a_time_that_never_comes_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, "exec sleep 60")
    process = reader(tmp_path / "clip.mp4", patience=0.05)
    with pytest.raises(WorkError, match=r"cannot decode .*: ffmpeg did not tell when a frame is shown"):
        soon(process.next_time)
    process.kill()


@scripted
def test_times_are_found_within_other_lines_and_are_no_complaints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads of a decoder write to the same stderr."""
    lines = r"[h264 @ 0x1] something frame:0    pts:-12     pts_time:-0.5\nframe:1    pts:34      pts_time:3.4\n"
    fake(tmp_path, monkeypatch, f"printf '{lines}n=0\\n' >&2; exit 1")
    process = reader(tmp_path / "clip.mp4")
    assert [soon(process.next_time), soon(process.next_time)] == [(0, -12), (1, 34)]
    assert process.finish() == 1
    assert process.complaint() == "ffmpeg stopped without a word"


def test_what_cannot_be_decoded_is_told_in_ffmpegs_words(text_as_video: Path) -> None:
    with pytest.raises(WorkError, match=r"cannot decode .*text\.mp4: .*[Ii]nvalid data"):
        frames_of(text_as_video)


def test_a_stream_that_ends_within_a_frame_is_an_error(clip: Path) -> None:
    with pytest.raises(WorkError, match="cannot decode"):
        frames_of(clip, 64, 49)


def test_a_killed_decoder_is_an_error_and_not_the_end(media: Path) -> None:
    """Far more than a pipe holds, so that ffmpeg cannot have written it all."""
    process = reader(write_clip(media / "long.mp4", stepped(20, 240, 320), sound=None))
    frames = process.frames(320, 240)
    next(frames)
    process.end()
    with pytest.raises(WorkError, match="cannot decode"):
        list(frames)


def test_a_decoder_can_be_killed_twice_and_leaves_no_process(clip: Path) -> None:
    process = reader(clip)
    next(process.frames(64, 48))
    process.kill()
    process.kill()
    assert process._process.poll() is not None
    process._listener.join(timeout=10)
    assert not process._listener.is_alive()


def test_pictures_come_each_in_its_own_size_until_the_end(tmp_path: Path) -> None:
    """As a camera sends them that is turned while it films."""
    big, small = blobs(5, 7, seed=1), blobs(3, 2, seed=2)
    both = b"".join(b"P6\n%d %d\n255\n" % (one.shape[1], one.shape[0]) + one.tobytes() for one in (big, small, big))
    (tmp_path / "row.ppm").write_bytes(both)
    arguments = ["-f", "image2pipe", "-c:v", "ppm", "-i", ffmpeg.plain(tmp_path / "row.ppm"), "-c", "copy",
                 "-f", "image2pipe", "pipe:1"]  # fmt: skip
    process = ffmpeg.Ffmpeg(arguments, what="cannot receive", reads=True)
    found = list(process.pictures())
    process.kill()
    assert len(found) == 3
    for picture, wanted in zip(found, (big, small, big), strict=True):
        assert np.array_equal(picture, wanted)


def test_draining_ends_when_ffmpeg_does(clip: Path) -> None:
    process = reader(clip)
    soon(process.drain)
    assert process.finish() == 0


# damage


def test_a_whole_file_has_no_harm(clip: Path) -> None:
    decoder = reader(clip)
    list(decoder.frames(64, 48))
    assert decoder.harm is None


def test_a_file_that_was_cut_short_gives_what_is_left_and_tells_of_it(truncated: Path) -> None:
    decoder = reader(truncated)
    assert 2 < len(list(decoder.frames(128, 96))) < 24
    assert decoder.harm is not None
    assert "\n" not in decoder.harm
    assert "@ 0x" not in decoder.harm


@scripted
def test_frames_before_a_failure_stay_and_the_failure_is_the_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path, monkeypatch, "printf abcdefghijkl; echo '[error] broken here' >&2; exit 1")
    process = reader(tmp_path / "clip.mp4")
    assert [frame.tobytes() for frame in process.frames(2, 1)] == [b"abcdef", b"ghijkl"]
    assert process.harm == "broken here"


@pytest.mark.parametrize(
    "line",
    [
        "[h264 @ 0x55d] [error] error while decoding MB 3 4, bytestream -5",
        "[vist#0:0/h264 @ 0x55d] [warning] corrupt decoded frame",
        "[in#0/matroska,webm @ 0x55d] [error] Error during demuxing: Input/output error",
        "[mov,mp4,m4a @ 0x55d] [error] stream 0, offset 0x30: partial file",
        "[matroska,webm @ 0x55d] [error] File ended prematurely at pos. 5000",
        "[png @ 0x55d] [error] CRC mismatch",
    ],
)
def test_what_ffmpeg_says_of_damage_is_recognised_without_its_marks(line: str) -> None:
    stderr = f"[info] Input #0\n{line}\n[vist#0:0/h264 @ 0x1] [warning] corrupt decoded frame\n".encode()
    assert ffmpeg.harm(stderr) == line.rpartition("] ")[2]


def test_what_is_no_damage_is_not_taken_for_it(clip: Path) -> None:
    arguments = ["-i", ffmpeg.plain(clip), "-f", "null", "-"]
    done = ffmpeg.run(arguments, level="info")
    assert done.returncode == 0
    assert b"Stream #0:0" in done.stderr
    assert ffmpeg.harm(done.stderr) is None


# writing


def test_every_byte_that_is_fed_arrives(tmp_path: Path) -> None:
    frames = stepped(3, 48, 64)
    process = writer(tmp_path / "out.mkv")
    process.feed(frames[0], frames[1].tobytes())
    process.feed(frames[2])
    assert process.finish() == 0
    assert np.array_equal(frames_of(tmp_path / "out.mkv"), frames)


def test_an_array_that_is_a_view_is_fed_as_it_looks(tmp_path: Path) -> None:
    frame = blobs(48, 64)[:, ::-1]
    process = writer(tmp_path / "out.mkv")
    process.feed(frame)
    assert process.finish() == 0
    assert np.array_equal(frames_of(tmp_path / "out.mkv")[0], frame)


def test_a_process_that_does_not_finish_is_killed(tmp_path: Path) -> None:
    """With its input held open by somebody else it waits for ever."""
    process = writer(tmp_path / "out.mkv")
    process.feed(blobs(48, 64))
    pipe = process._process.stdin
    assert pipe is not None
    process._process.stdin = None
    assert process.finish(timeout=0.01) < 0
    assert process._process.poll() is not None
    assert process.complaint() == "ffmpeg did not finish within 0.01 s"
    pipe.close()


# patience


@scripted
def test_one_that_gives_nothing_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, "exec sleep 60")
    process = reader(tmp_path / "clip.mp4", patience=0.2)
    with pytest.raises(WorkError, match=r"cannot decode .*clip\.mp4: ffmpeg did nothing for 0\.2 s"):
        soon(lambda: list(process.frames(64, 48)))
    assert process.gave_up
    assert process._process.poll() is not None


class Quick(threading.Event):
    """The watchdog's: it looks again and again, however patient it is."""

    looks = 0

    def wait(self, timeout: float | None = None) -> bool:
        Quick.looks += 1
        return super().wait(0.0005)


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its patience may be changed while it watches: starting a process may take long on a busy machine."""
    monkeypatch.setattr(ffmpeg, "threading", SimpleNamespace(Event=Quick, Thread=threading.Thread))


@scripted
@pytest.mark.usefixtures("watchful")
def test_one_that_stops_after_some_frames_is_ended_and_that_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no damage to the file: what follows is not known."""
    fake(tmp_path, monkeypatch, "printf abcdef; exec sleep 60")
    process = reader(tmp_path / "clip.mp4")
    frames = process.frames(2, 1)
    assert soon(lambda: next(frames)).tobytes() == b"abcdef"
    process._patience = 0.05
    with pytest.raises(WorkError, match=r"ffmpeg did nothing for 0\.05 s"):
        soon(lambda: next(frames))


@scripted
def test_one_that_takes_nothing_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once its pipe is full."""
    fake(tmp_path, monkeypatch, "exec sleep 60")
    process = ffmpeg.Ffmpeg([], what="cannot write film.mp4", reads=False, patience=0.2)
    with pytest.raises(WorkError, match=r"cannot write film\.mp4: ffmpeg did nothing for 0\.2 s"):
        soon(lambda: process.feed(bytes(10_000_000)))
    assert process._process.poll() is not None


@scripted
@pytest.mark.usefixtures("watchful")
def test_nobody_who_waits_for_nothing_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow painter takes longer for a frame than a decoder may."""
    fake(tmp_path, monkeypatch, "printf abcdefghijkl; exec sleep 60")
    process = reader(tmp_path / "clip.mp4")
    frames = process.frames(2, 1)
    assert soon(lambda: next(frames)).tobytes() == b"abcdef"
    process._patience = 0.0
    looks = Quick.looks
    wait_until(lambda: Quick.looks > looks + 20)
    process._patience = ffmpeg.PATIENCE_S
    assert not process.gave_up
    assert soon(lambda: next(frames)).tobytes() == b"ghijkl"
    process.kill()


# words


@scripted
def test_complaints_are_the_last_line_that_says_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(
        tmp_path,
        monkeypatch,
        "echo '[error] first' >&2; echo '[libx264 @ 0x55] [error] the reason' >&2; echo >&2\n"
        "echo '[warning] by the way' >&2; echo 'Conversion failed!' >&2; exit 3",
    )
    process = reader(tmp_path / "clip.mp4")
    assert process.finish() == 3
    assert process.complaint() == "the reason"
    done = ffmpeg.run([])
    assert done.returncode == 3
    assert ffmpeg.last_words(b"\n".join(done.stderr.splitlines()[:2])) == "the reason"
    fake(tmp_path, monkeypatch, "exit 4")
    with pytest.raises(WorkError, match="stopped without a word"):
        list(reader(tmp_path / "clip.mp4").frames(64, 48))
    assert ffmpeg.last_words(b"") == "ffmpeg stopped without a word"


def test_no_ffmpeg_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", none)
    with pytest.raises(WorkError, match="pip install imageio-ffmpeg"):
        ffmpeg.executable()


@scripted
def test_an_ffmpeg_that_never_ends_is_an_error_of_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, "exec sleep 60")
    with pytest.raises(WorkError, match=r"ffmpeg did not finish within 0\.05 s: -i clip\.mp4"):
        soon(lambda: ffmpeg.run(["-i", "clip.mp4"], timeout=0.05))


def test_a_run_answers_output_and_exit_code(clip: Path, tmp_path: Path) -> None:
    done = ffmpeg.run(["-i", ffmpeg.plain(clip), "-map", "0:v", "-c", "copy", "-f", "framecrc", "-"])
    assert done.returncode == 0
    assert len([line for line in done.stdout.splitlines() if not line.startswith(b"#")]) == 12
    gone = ffmpeg.run(["-i", ffmpeg.plain(tmp_path / "gone.mp4"), "-f", "null", "-"])
    assert gone.returncode != 0
    assert "No such file" in ffmpeg.last_words(gone.stderr)


def test_names_that_look_like_options_or_protocols_are_files(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-y.mp4", "a:b.mp4", "100%d.mp4", "with space.mp4"):
        (tmp_path / name).write_bytes(clip.read_bytes())
        assert len(frames_of(Path(name))) == 12


# around it


def test_ctrl_c_at_the_terminal_does_not_reach_ffmpeg(clip: Path) -> None:
    """It runs in a session of its own: an encoder that dies of Ctrl-C leaves a film without an index."""
    if not hasattr(os, "getsid"):
        pytest.skip("no sessions on this system")
    process = reader(clip, "realtime")
    assert os.getsid(process._process.pid) != os.getsid(0)
    process.kill()


def test_no_threads_are_left(clip: Path) -> None:
    def threads() -> list[str]:
        return [one.name for one in threading.enumerate() if one.name in ("ffmpeg-stderr", "ffmpeg-watch")]

    wait_until(lambda: not threads())  # of what other tests have ended
    frames_of(clip)
    wait_until(lambda: not threads())


def test_the_units_of_a_time_are_those_of_the_filter_before_it(clip: Path) -> None:
    decoder = reader(clip, f"settb={Fraction(1, 90000)}", ffmpeg.TELL_TIMES)
    list(decoder.frames(64, 48))
    assert [decoder.next_time()[1] for _ in range(3)] == [
        0,
        round(90000 * 1001 / 24000),
        round(2 * 90000 * 1001 / 24000),
    ]


@scripted
def test_one_that_skips_far_is_not_ended_as_long_as_it_gets_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each frame that it passes over is told, though none is given; its patience is shorter than all of them take."""
    told = 'for n in 1 2 3 4 5 6 7 8; do echo "frame:$n    pts:$n   pts_time:0" >&2; sleep 0.1; done'
    fake(tmp_path, monkeypatch, f"{told}; head -c {64 * 48 * 3} /dev/zero")
    process = reader(tmp_path / "clip.mp4", patience=0.5)
    assert len(soon(lambda: list(process.frames(64, 48)))) == 1
    assert not process.gave_up
