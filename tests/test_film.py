"""Films of segments: the same whether they are made in one go or not, and never a loss of what is done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from checks import packets, psnr, tracks
from media import (
    NTSC,
    blobs,
    decode,
    ffmpeg,
    look_at,
    loudness,
    numbers,
    read_png,
    run_ffmpeg,
    sound_md5,
    stepped,
    write_clip,
)

from nst_video import container, film
from nst_video import ffmpeg as ffmpeg_room
from nst_video.clip import Clip, count_frames, look
from nst_video.container import choose_encoder
from nst_video.errors import WorkError
from nst_video.film import Film
from nst_video.frame import Frame, Pixels, StreamInfo
from nst_video.parts import Parts

COUNT = 11
PICTURES = stepped(COUNT, 48, 64) + blobs(48, 64)[None] // 32 - 4
"""Numbered, with some texture."""
INFO = StreamInfo(64, 48, NTSC, COUNT, time_base=1 / NTSC)
MILLISECOND = Fraction(1, 1000)


def frames(pictures: Pixels = PICTURES, info: StreamInfo = INFO) -> list[Frame]:
    """At an even rate."""
    return [Frame(picture, index, index, info.time_base, 1) for index, picture in enumerate(pictures)]


def uneven() -> list[Frame]:
    """In milliseconds, with a pause at the end of what will be a segment."""
    shown = [0, 40, 41, 500, 2000, 2033, 2067, 2100, 9000, 9001, 9100]
    return [
        Frame(picture, index, at, MILLISECOND, until - at)
        for index, (picture, at, until) in enumerate(zip(PICTURES, shown, [*shown[1:], 9777], strict=True))
    ]


UNEVEN = StreamInfo(64, 48, Fraction(10, 9), COUNT, time_base=MILLISECOND)


@contextmanager
def making(
    output: Path,
    info: StreamInfo = INFO,
    *,
    codec: str = "auto",
    sound: Clip | None = None,
    start: float = 0.0,
    duration: float | None = None,
) -> Iterator[tuple[Film, Parts]]:
    """A run, as a session has it; one that is left early leaves what a run that fails does."""
    parts = Parts(output, {"work": 1}, resume=None)
    encoder = choose_encoder(output, codec, 12, preset="ultrafast")
    made = Film(output, parts, info, encoder, sound=sound, start=start, duration=duration)
    try:
        yield made, parts
    finally:
        made.discard()


def write(made: Film, some: list[Frame], *, every: int = 4) -> None:
    """A segment ends with each frame whose number says so, whoever writes it."""
    for frame in some:
        state = partial(str.encode, f"state {frame.index}")
        made.write(frame, state if (frame.index + 1) % every == 0 else None)


def make(output: Path, some: list[Frame] | None = None, info: StreamInfo = INFO, *, codec: str = "auto") -> Path:
    """In one go."""
    with making(output, info, codec=codec) as (made, _):
        write(made, frames() if some is None else some)
        made.close()
    return output


def left(output: Path) -> Path:
    return output.with_name(output.name + ".parts")


# whole films


@pytest.mark.parametrize("name", ["film.mp4", "film.m4v", "film.mov", "film.mkv", "film.webm"])
def test_every_frame_of_every_segment_is_in_the_film_once_at_its_time(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / name)
    assert numbers(decode(path)) == list(range(COUNT))
    unit = MILLISECOND if name in ("film.mkv", "film.webm") else 0
    assert all(abs(time - index / NTSC) <= unit for index, time in enumerate(look_at(path).times))
    assert os.listdir(tmp_path) == [name]


def test_frames_look_as_they_were_given(tmp_path: Path) -> None:
    assert psnr(decode(make(tmp_path / "film.mp4")), PICTURES) > 38


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_uneven_frames_keep_their_times_over_the_ends_of_segments(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / name, uneven(), UNEVEN)
    found = packets(path)
    assert found.times == [frame.time for frame in uneven()]
    if name == "film.mp4":
        assert found.end == Fraction(9777, 1000)
    assert numbers(decode(path)) == list(range(COUNT))


def test_many_short_segments_do_not_drift(tmp_path: Path) -> None:
    """Of one frame each: rounded to microseconds, and that again and again, they would."""
    small = stepped(20, 16, 16)
    info = replace(INFO, width=16, height=16)
    with making(tmp_path / "film.mp4", info) as (made, _):
        write(made, frames(small, info), every=1)
        made.close()
    times = look_at(tmp_path / "film.mp4").times
    assert len(times) == 20
    assert all(abs(time - index / NTSC) < Fraction(1, 10_000) for index, time in enumerate(times))


def test_a_film_that_begins_after_its_sound_keeps_that_distance(tmp_path: Path, clip: Path) -> None:
    info = replace(INFO, offset=Fraction(1, 4))
    with making(tmp_path / "film.mp4", info, sound=look(clip, max_pixels=10**6)) as (made, _):
        write(made, frames())
        made.close()
    found = packets(tmp_path / "film.mp4", "0:V:0", "-copyts")
    assert abs(found.times[0] - Fraction(1, 4)) < MILLISECOND
    assert abs(packets(tmp_path / "film.mp4", "0:a:0", "-copyts").times[0]) < Fraction(1, 20)


def test_a_film_of_an_odd_size_loses_a_row_and_a_column(tmp_path: Path) -> None:
    pictures = np.stack([blobs(47, 65)] * 2)
    info = replace(INFO, width=65, height=47)
    path = make(tmp_path / "film.mp4", frames(pictures, info), info)
    assert psnr(decode(path), pictures[:, :46, :64]) > 32


# gone on with


@pytest.mark.parametrize("name", ["film.mp4", "film.gif", "%05d.png"])
def test_a_film_that_was_interrupted_is_bit_for_bit_as_one_made_in_one_go(tmp_path: Path, name: str) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "apart").mkdir()
    make(tmp_path / "whole" / name)
    apart = tmp_path / "apart" / name
    with making(apart) as (made, parts):
        write(made, frames()[:6])
    assert not apart.exists()
    with making(apart) as (made, parts):
        assert parts.frames == 4
        assert parts.state(0).read_bytes() == b"state 3"
        write(made, frames()[4:8])
    with making(apart) as (made, parts):
        assert parts.frames == 8
        write(made, frames()[8:])
        made.close()
    wanted = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert {path.name: path.read_bytes() for path in apart.parent.iterdir()} == wanted
    assert len(wanted) == (COUNT if name == "%05d.png" else 1)


def test_an_interrupted_matroska_film_differs_in_its_random_number_only(tmp_path: Path) -> None:
    for name in ("whole.mkv", "apart.mkv"):
        with making(tmp_path / name) as (made, _):
            write(made, frames()[:6])
            if name == "whole.mkv":
                write(made, frames()[6:])
                made.close()
    with making(tmp_path / "apart.mkv") as (made, parts):
        write(made, frames()[parts.frames :])
        made.close()
    assert packets(tmp_path / "apart.mkv") == packets(tmp_path / "whole.mkv")
    assert np.array_equal(decode(tmp_path / "apart.mkv"), decode(tmp_path / "whole.mkv"))


def test_uneven_films_too(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole.mp4", uneven(), UNEVEN)
    apart = tmp_path / "apart.mp4"
    with making(apart, UNEVEN) as (made, _):
        write(made, uneven()[:5])
    with making(apart, UNEVEN) as (made, parts):
        write(made, uneven()[parts.frames :])
        made.close()
    assert apart.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
def test_an_interrupted_film_can_be_watched_and_gone_on_with(tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    with making(output) as (made, parts):
        write(made, frames()[:7])
        made.close(interrupted=True)
        assert parts.frames == 4
    assert numbers(decode(output))[:6] == list(range(6))
    assert len(decode(output)) == 7
    assert not list(left(output).glob("draft-*"))
    with making(output) as (made, parts):
        assert parts.frames == 4
        write(made, frames()[4:])
        made.close()
    (tmp_path / "whole").mkdir()
    assert output.read_bytes() == make(tmp_path / "whole" / name).read_bytes()
    assert not left(output).exists()


def test_a_film_that_is_interrupted_within_its_first_segment_can_be_watched(tmp_path: Path) -> None:
    with making(tmp_path / "film.mp4") as (made, _):
        write(made, frames()[:2])
        made.close(interrupted=True)
    assert numbers(decode(tmp_path / "film.mp4")) == [0, 1]
    assert os.listdir(tmp_path) == ["film.mp4"]


def test_a_film_that_is_interrupted_at_the_end_of_a_segment_has_no_empty_one_behind_it(tmp_path: Path) -> None:
    with making(tmp_path / "film.mp4") as (made, parts):
        write(made, frames()[:8])
        made.close(interrupted=True)
        assert parts.frames == 8
    assert numbers(decode(tmp_path / "film.mp4")) == list(range(8))


def test_a_film_that_ends_with_a_segment_is_whole(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mp4", frames()[:8])
    assert numbers(decode(path)) == list(range(8))
    assert not left(path).exists()


def test_a_film_of_which_all_is_painted_is_only_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "film.mp4"

    def fail(*_: object) -> None:
        raise WorkError("no space")

    with monkeypatch.context() as patch, making(output) as (made, _):
        patch.setattr(Film, "_run", fail)
        write(made, frames())
        with pytest.raises(WorkError, match="no space"):
            made.close()
    with making(output) as (made, parts):
        assert (parts.frames, parts.complete) == (COUNT, True)
        made.close()
    assert numbers(decode(output)) == list(range(COUNT))
    assert os.listdir(tmp_path) == ["film.mp4"]


# what lies beside the pictures


def test_sound_is_taken_along_bit_for_bit(tmp_path: Path, clip: Path) -> None:
    for name in ("film.mp4", "film.mkv", "film.mov"):
        with making(tmp_path / name, sound=look(clip, max_pixels=10**6)) as (made, _):
            write(made, frames())
            made.close()
            assert made.notes == ()
        assert sound_md5(tmp_path / name) == sound_md5(clip) is not None
        assert numbers(decode(tmp_path / name)) == list(range(COUNT))


def test_sound_that_does_not_fit_is_encoded_and_that_is_told(tmp_path: Path, vorbis: Path) -> None:
    with making(tmp_path / "film.mp4", sound=look(vorbis, max_pixels=10**6)) as (made, _):
        write(made, frames()[:8])
        made.close()
    assert made.notes == (".mp4 does not take vorbis: the sound was encoded anew",)
    assert tracks(tmp_path / "film.mp4") == ["Video: h264", "Audio: aac"]
    assert loudness(tmp_path / "film.mp4").max() > 1000


def test_sound_that_cannot_be_read_costs_the_sound_and_not_the_film(tmp_path: Path, clip: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    found = look(copy, max_pixels=10**6)
    copy.write_bytes(b"")
    with making(tmp_path / "film.mp4", sound=found) as (made, _):
        write(made, frames())
        made.close()
    assert made.lost == "its sound could not be read and was left out"
    assert tracks(tmp_path / "film.mp4") == ["Video: h264"]
    assert numbers(decode(tmp_path / "film.mp4")) == list(range(COUNT))


@pytest.mark.parametrize(
    ("suffix", "codec", "wanted"),
    [
        (".mp4", "aac", "aac"),
        (".mp4", "pcm_s16le", "aac"),
        (".mov", "pcm_s16le", "pcm_s16le"),
        (".mkv", "pcm_s16le", "pcm_s16le"),
        (".mkv", "aac", "aac"),
        (".webm", "libopus", "opus"),
    ],
)
def test_of_a_window_only_its_sound_is_taken_and_both_begin_together(
    tmp_path: Path, suffix: str, codec: str, wanted: str
) -> None:
    """Of a clip whose only key frame is its first picture: silence, then a tone. A film from the tone on has none of
    the silence."""
    source = tmp_path / "source.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=gray:size=64x48:rate=25:duration=4", "-f", "lavfi", "-i",
           "sine=sample_rate=48000:duration=2,adelay=2000:all=1", "-c:a", codec, source)  # fmt: skip
    length = float(COUNT / NTSC)
    output = tmp_path / f"film{suffix}"
    with making(output, sound=look(source, max_pixels=10**6), start=2.5, duration=length) as (made, _):
        write(made, frames())
        made.close()
    assert wanted in tracks(output)[1]
    sound = loudness(output)
    assert abs(len(sound) / 8000 - length) < 0.08
    assert min(part.max() for part in np.array_split(sound, 4)) > 1000
    assert abs(packets(output, "0:V:0", "-copyts").times[0]) < Fraction(1, 20)


def test_the_sound_of_an_interrupted_film_ends_with_its_pictures(tmp_path: Path, clip: Path) -> None:
    with making(tmp_path / "film.mp4", sound=look(clip, max_pixels=10**6)) as (made, _):
        write(made, frames()[:5])
        made.close(interrupted=True)
    sound, pictures = (packets(tmp_path / "film.mp4", stream) for stream in ("0:a", "0:v"))
    assert pictures.end == 5 / NTSC
    assert abs(sound.end - pictures.end) < Fraction(1, 20)
    assert packets(clip, "0:a").end > Fraction(2, 5)


# other kinds


def test_a_gif_has_every_frame_to_a_hundredth_and_plays_for_ever(tmp_path: Path) -> None:
    path = make(tmp_path / "film.gif")
    found = decode(path)
    assert len(found) == COUNT
    assert numbers(found)[:-1] == list(range(COUNT - 1))
    assert all(abs(time - index / NTSC) <= Fraction(1, 100) for index, time in enumerate(packets(path).times))
    assert b"NETSCAPE2.0\x03\x01\x00\x00" in path.read_bytes()
    assert psnr(found[:-1], PICTURES[:-1]) > 30


def test_the_last_frame_of_a_gif_has_its_colours_too(tmp_path: Path) -> None:
    """A film may end with a cut, or fade to a colour of its own."""
    pictures = np.full((5, 16, 16, 3), (200, 30, 30), np.uint8)
    pictures[-1] = (20, 40, 220)
    info = replace(INFO, width=16, height=16)
    shown = decode(make(tmp_path / "film.gif", frames(pictures, info), info))
    assert np.abs(shown.astype(np.int32) - pictures).max() < 12


def test_a_gif_of_one_frame_has_its_colours(tmp_path: Path) -> None:
    pictures = np.full((1, 16, 16, 3), (20, 40, 220), np.uint8)
    info = replace(INFO, width=16, height=16)
    shown = decode(make(tmp_path / "film.gif", frames(pictures, info), info))
    assert np.abs(shown.astype(np.int32) - pictures).max() < 12


def test_a_gif_of_uneven_frames_keeps_their_times(tmp_path: Path) -> None:
    """As far as a GIF can: players take no less than two hundredths of a second."""
    shown = [0, 40, 73, 500, 2000, 2033, 2067, 2100, 9000, 9040, 9100]
    ends = [*shown[1:], 9777]
    some = [replace(frame, pts=at, duration=end - at) for frame, at, end in zip(uneven(), shown, ends, strict=True)]
    path = make(tmp_path / "film.gif", some, UNEVEN)
    for time, at in zip(packets(path).times, shown, strict=True):
        assert abs(time - at * MILLISECOND) <= Fraction(1, 100)


@pytest.mark.parametrize("pattern", ["%05d.png", "frame-%d.png", "%03d.bmp"])
def test_pictures_are_lossless_and_numbered_from_one(tmp_path: Path, pattern: str) -> None:
    folder = tmp_path / "100%d of it"
    folder.mkdir()
    pictures = np.stack([blobs(47, 65, seed) for seed in range(6)])
    info = replace(INFO, width=65, height=47)
    make(folder / pattern, frames(pictures, info), info)
    names = [pattern % number for number in range(1, 7)]
    assert sorted(os.listdir(folder)) == sorted(names)
    for name, picture in zip(names, pictures, strict=True):
        assert np.array_equal(read_png(folder / name), picture)


def test_a_folder_gets_pictures_and_keeps_what_it_has(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    make(container.named(folder))
    assert sorted(os.listdir(folder)) == [*(f"{number:05}.png" for number in range(1, COUNT + 1)), "notes.txt"]
    assert np.array_equal(read_png(folder / "00003.png"), PICTURES[2])
    assert os.listdir(tmp_path) == ["pictures"]


def test_jpegs_are_of_high_quality(tmp_path: Path) -> None:
    make(tmp_path / "%02d.jpg")
    shown = np.stack([read_png(tmp_path / f"{number:02}.jpg") for number in range(1, COUNT + 1)])
    assert psnr(shown, PICTURES) > 36


def test_uneven_frames_give_one_picture_each(tmp_path: Path) -> None:
    make(tmp_path / "%02d.png", uneven(), UNEVEN)
    assert len(os.listdir(tmp_path)) == COUNT


def test_interrupted_pictures_are_those_that_are_done(tmp_path: Path) -> None:
    with making(tmp_path / "%02d.png") as (made, _):
        write(made, frames()[:6])
        made.close(interrupted=True)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [f"{number:02}.png" for number in range(1, 7)]


# what goes wrong


def test_an_encoder_that_dies_costs_its_segment_and_no_other(tmp_path: Path) -> None:
    output = tmp_path / "film.mp4"
    with making(output) as (made, _):
        write(made, frames()[:6])
        assert made._open is not None
        made._open._encoding.end()
        with pytest.raises(WorkError, match="cannot write"):
            write(made, [replace(frame, index=1) for frame in frames()[6:] * 500])
    assert not output.exists()
    with making(output) as (made, parts):
        assert parts.frames == 4
        write(made, frames()[4:])
        made.close()
    assert numbers(decode(output)) == list(range(COUNT))


def test_an_encoder_that_dies_at_the_end_of_its_segment_is_told_soon(tmp_path: Path) -> None:
    """It is finished beside the painting: the next end of a segment tells, or that of the film."""
    with making(tmp_path / "film.mp4") as (made, parts):
        write(made, frames()[:3])
        assert made._open is not None
        made._open._encoding.end()
        with pytest.raises(WorkError, match="cannot write"):
            write(made, frames()[3:8])
        assert parts.frames == 0
    assert os.listdir(tmp_path) == []


def test_a_film_that_lost_frames_on_its_way_is_no_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "film.mp4"
    monkeypatch.setattr(film, "count_frames", lambda path: count_frames(path) - ("film" in path.name))
    with making(output) as (made, parts):
        write(made, frames())
        with pytest.raises(WorkError, match=rf"cannot write .*film\.mp4: {COUNT - 1} of {COUNT} frames got into it"):
            made.close()
        assert parts.frames == COUNT
    assert not output.exists()


def test_a_segment_that_lost_frames_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film, "count_frames", lambda _: 3)
    with making(tmp_path / "film.mp4") as (made, parts):
        with pytest.raises(WorkError, match="3 of 4 frames got into it"):
            write(made, frames()[:8])
        assert parts.segments == []


def test_a_state_that_cannot_be_packed_is_told(tmp_path: Path) -> None:
    def fail() -> bytes:
        raise WorkError("no memory")

    with making(tmp_path / "film.mp4") as (made, parts):
        made.write(frames()[0], fail)
        with pytest.raises(WorkError, match="no memory"):
            made.close()
        assert parts.segments == []


def test_a_film_without_a_frame_is_an_error(tmp_path: Path) -> None:
    for interrupted in (False, True):
        with (
            making(tmp_path / "film.mp4") as (made, _),
            pytest.raises(WorkError, match=r"cannot write .*film\.mp4: there is not a single frame for it"),
        ):
            made.close(interrupted=interrupted)
    assert os.listdir(tmp_path) == []


def test_an_older_film_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    output = tmp_path / "film.mp4"
    output.write_bytes(b"older")
    with making(output) as (made, _):
        write(made, frames()[:6])
        assert output.read_bytes() == b"older"
    assert output.read_bytes() == b"older"
    make(output, frames()[4:])
    assert len(decode(output)) == COUNT


def test_a_film_that_cannot_get_its_name_is_told_and_kept(tmp_path: Path) -> None:
    output = tmp_path / "film.mp4"
    with making(output) as (made, _):
        write(made, frames())
        output.mkdir()  # meanwhile
        (output / "mine").touch()
        with pytest.raises(WorkError, match=r"cannot replace .*film\.mp4: "):
            made.close()
    assert left(output).is_dir()


def test_discarding_leaves_nothing_of_a_film_without_a_segment_and_no_process(tmp_path: Path) -> None:
    with making(tmp_path / "film.mp4") as (made, _):
        write(made, frames()[:2])
        assert made._open is not None
        process = made._open._encoding._process
    assert process.poll() is not None
    assert os.listdir(tmp_path) == []


def test_discarding_a_film_that_is_closed_is_harmless(tmp_path: Path) -> None:
    with making(tmp_path / "film.mp4") as (made, _):
        write(made, frames())
        made.close()
        made.discard()
    assert os.listdir(tmp_path) == ["film.mp4"]
    assert len(decode(tmp_path / "film.mp4")) == COUNT


def test_players_find_the_index_of_an_mp4_in_front(tmp_path: Path) -> None:
    data = make(tmp_path / "film.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"error" not in run_ffmpeg("-loglevel", "level+error", "-i", tmp_path / "film.mp4", "-f", "null", "-").stderr


def test_times_are_in_units_that_hold_them_exactly(tmp_path: Path) -> None:
    told = look_at(make(tmp_path / "film.mp4")).description
    assert f"{container.units(NTSC, 1 / NTSC) // 1000}k tbn" in told


def clip_with_sound(path: Path) -> Clip:
    return look(write_clip(path, stepped(3, 48, 64)), max_pixels=10**6)


def test_a_full_disk_does_not_cost_the_film_its_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without sound there might have been room; but then nobody would look for it."""
    tried = list[list[str]]()

    def full(arguments: list[str], **_: Any) -> CompletedProcess[bytes]:
        tried.append(arguments)
        return CompletedProcess(arguments, 228, b"", b"[error] Error writing trailer: No space left on device")

    with making(tmp_path / "film.mp4", sound=clip_with_sound(tmp_path / "clip.mp4")) as (made, parts):
        write(made, frames())
        made._end(None)
        made._settle()
        monkeypatch.setattr(ffmpeg_room, "run", full)
        with pytest.raises(WorkError, match="No space left"):
            made.close()
        assert parts.frames == COUNT
    assert len([one for one in tried if "concat" in one]) == 1


def test_sound_that_ffmpeg_refuses_is_left_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ffmpeg_room.run

    def refusing(arguments: list[str], **given: Any) -> CompletedProcess[bytes]:
        if "1:a:0" in arguments:
            return CompletedProcess(arguments, 187, b"", b"[error] Could not write header: Invalid argument")
        return run(arguments, **given)

    monkeypatch.setattr(ffmpeg_room, "run", refusing)
    with making(tmp_path / "film.mp4", sound=clip_with_sound(tmp_path / "clip.mp4")) as (made, _):
        write(made, frames())
        made.close()
        assert made.lost == "its sound could not be read and was left out"
    assert "Audio" not in look_at(tmp_path / "film.mp4").description
