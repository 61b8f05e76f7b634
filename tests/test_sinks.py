"""Films and pictures: whole or not there at all."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media import NTSC, blobs, decode, look_at, numbers, read_png, run_ffmpeg, sound_md5, stepped

from nst_video.errors import SinkError, WorkError
from nst_video.frame import Frame, Pixels
from nst_video.sinks import FILM_SUFFIXES, PICTURE_SUFFIXES, VideoWriter, check_output, write_picture


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def writer(output: Path, **given: Any) -> VideoWriter:
    return VideoWriter(output, 64, 48, NTSC, **{"codec": "h264", "crf": 12, **given})


def feed(sink: VideoWriter, frames: Pixels) -> None:
    for index, pixels in enumerate(frames):
        sink.write(Frame(pixels, index, index, Fraction(1001, 24000)))


# what can be written


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    for name in ("out", "out.txt", "out.gif"):
        with pytest.raises(SinkError, match=r"must end in \.mp4, \.m4v, \.mov, \.mkv"):
            check_output(tmp_path / name, FILM_SUFFIXES)
    check_output(tmp_path / "OUT.MP4", FILM_SUFFIXES)
    check_output(tmp_path / "out.png", PICTURE_SUFFIXES)
    assert names(tmp_path) == []


def test_a_missing_folder_and_a_folder_of_that_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"there is no folder .*gone"):
        check_output(tmp_path / "gone" / "out.mp4", FILM_SUFFIXES)
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(SinkError, match="it is a folder"):
        check_output(tmp_path / "out.mp4", FILM_SUFFIXES)


def test_an_input_is_not_overwritten_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.touch()
    (tmp_path / "link.mp4").symlink_to(path)
    for output in (path, tmp_path / "link.mp4", tmp_path / "." / "clip.mp4"):
        with pytest.raises(SinkError, match="it is the input"):
            check_output(output, FILM_SUFFIXES, (tmp_path / "other.mp4", path))
    check_output(tmp_path / "out.mp4", FILM_SUFFIXES, (path,))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="everything is writable for root")
def test_what_is_write_protected_is_refused(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    (locked / "old.mp4").touch()
    (locked / "old.mp4").chmod(0o400)
    with pytest.raises(SinkError, match="write-protected"):
        check_output(locked / "old.mp4", FILM_SUFFIXES)
    locked.chmod(0o500)
    with pytest.raises(SinkError, match="cannot write"):
        check_output(locked / "out.mp4", FILM_SUFFIXES)
    locked.chmod(0o700)


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(SinkError, match=r"cannot write .*out\.mp4: Permission denied"):
        check_output(tmp_path / "out.mp4", FILM_SUFFIXES)


# films


@pytest.mark.parametrize("suffix", FILM_SUFFIXES)
def test_a_film_appears_when_it_is_whole(tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"out{suffix}"
    sink = writer(output)
    feed(sink, stepped(5, 48, 64))
    assert not output.exists()
    sink.close()
    assert numbers(decode(output)) == list(range(5))
    assert names(tmp_path) == [output.name]


def test_an_older_film_is_replaced_at_the_end_only(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"old")
    sink = writer(output)
    feed(sink, stepped(2, 48, 64))
    assert output.read_bytes() == b"old"
    sink.close()
    assert len(look_at(output).times) == 2


def test_giving_up_leaves_nothing_and_an_older_film_as_it_was(tmp_path: Path, clip: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"old")
    sink = writer(output, audio_from=clip)
    feed(sink, stepped(2, 48, 64))
    sink._partial.touch()  # in case that the encoder has not got so far yet
    sink.discard()
    sink.discard()
    assert names(tmp_path) == ["out.mp4"]
    assert output.read_bytes() == b"old"


def test_discarding_a_closed_film_keeps_it(tmp_path: Path) -> None:
    sink = writer(tmp_path / "out.mp4")
    feed(sink, stepped(2, 48, 64))
    sink.close()
    sink.discard()
    assert names(tmp_path) == ["out.mp4"]


def test_a_killed_encoder_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    sink = writer(tmp_path / "out.mp4")
    feed(sink, stepped(3, 48, 64))
    sink._encoder._process.kill()
    with pytest.raises(WorkError, match=r"cannot write .*out\.mp4"):
        sink.close()
    assert names(tmp_path) == []


def test_an_encoder_that_fails_at_the_end_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a full disk: everything was taken, only the exit code tells."""
    sink = writer(tmp_path / "out.mp4")
    feed(sink, stepped(3, 48, 64))
    finish = sink._encoder.finish

    def failing() -> int:
        finish()
        return 228

    monkeypatch.setattr(sink._encoder, "finish", failing)
    with pytest.raises(WorkError, match=r"cannot write .*out\.mp4"):
        sink.close()
    assert names(tmp_path) == []


def test_a_film_without_frames_is_an_error_and_leaves_nothing_or_is_empty(tmp_path: Path) -> None:
    sink = writer(tmp_path / "out.mp4")
    try:
        sink.close()
    except WorkError:
        assert names(tmp_path) == []
    else:
        assert names(tmp_path) == ["out.mp4"]


def test_sound_that_fits_is_copied_and_other_sound_encoded(tmp_path: Path, clip: Path, vorbis: Path) -> None:
    for name, source, fits in (("copied", clip, True), ("encoded", vorbis, False)):
        output = tmp_path / f"{name}.mp4"
        sink = writer(output, audio_from=source)
        feed(sink, stepped(8, 48, 64))
        sink.close()
        assert (sound_md5(output) == sound_md5(source)) is fits
        assert "Audio: aac" in look_at(output).description


def test_the_sound_of_an_interrupted_film_ends_with_its_picture(tmp_path: Path, clip: Path) -> None:
    sink = writer(tmp_path / "out.mp4", audio_from=clip)
    feed(sink, stepped(4, 48, 64))
    sink.close(interrupted=True)
    assert numbers(decode(tmp_path / "out.mp4")) == list(range(4))
    listing = run_ffmpeg("-i", tmp_path / "out.mp4", "-map", "0:a", "-f", "null", "-progress", "-", "-").stdout.decode()
    microseconds = [int(line.split("=")[1]) for line in listing.splitlines() if line.startswith("out_time_us")]
    assert microseconds[-1] / 1e6 == pytest.approx(float(4 / NTSC), abs=0.06)


# pictures


@pytest.mark.parametrize("suffix", [*PICTURE_SUFFIXES, ".PNG", ".JPG"])
def test_every_picture_format_keeps_its_colours(tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"out{suffix}"
    write_picture(output, blobs(31, 45))
    shown = read_png(output)
    assert shown.shape == (31, 45, 3)
    assert np.abs(shown.astype(np.int32) - blobs(31, 45)).mean() < 5
    assert names(tmp_path) == [output.name]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_formats_without_loss_have_none(tmp_path: Path, suffix: str) -> None:
    write_picture(tmp_path / f"out{suffix}", blobs(31, 45))
    assert np.array_equal(read_png(tmp_path / f"out{suffix}"), blobs(31, 45))


def test_a_picture_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"cannot write .*out\.png"):
        write_picture(tmp_path / "gone" / "out.png", blobs(8, 8))
    with pytest.raises(WorkError, match=r"cannot write .*wide\.webp"):  # WebP ends at 16383 pixels
        write_picture(tmp_path / "wide.webp", np.zeros((2, 17000, 3), np.uint8))
    assert names(tmp_path) == []


def test_a_result_that_cannot_take_its_name_is_kept_and_named(tmp_path: Path) -> None:
    """On Windows a player that shows the old film keeps it from being replaced: hours of work must not go with it."""
    for name, write in (("out.png", lambda output: write_picture(output, blobs(8, 8))), ("out.mp4", film_of_two)):
        (tmp_path / name).mkdir()
        with pytest.raises(WorkError, match=rf"cannot replace .*{name}.*; the result is in ") as failure:
            write(tmp_path / name)
        kept = Path(str(failure.value).rpartition(" is in ")[2])
        assert kept.stat().st_size > 0
        kept.unlink()


def film_of_two(output: Path) -> None:
    sink = writer(output)
    feed(sink, stepped(2, 48, 64))
    try:
        sink.close()
    finally:
        sink.discard()
