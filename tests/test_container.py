"""Encoders, as ffmpeg's own eyes see what they write, and what of a clip goes along in which kind of film."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from checks import packets, tracks
from hypothesis import given
from hypothesis import strategies as st
from media import NTSC, blobs, decode, ffmpeg, look_at, numbers, run_ffmpeg, sound_md5, stepped

from nst_video import container, matroska
from nst_video.clip import Clip, Stream, look
from nst_video.container import CONTAINERS, PICTURES, Encoder, choose_encoder, companions, container_of, named, units
from nst_video.errors import SettingsError, WorkError
from nst_video.ffmpeg import Ffmpeg
from nst_video.frame import Pixels

PER_SECOND = units(NTSC, 1 / NTSC)


def encoding(
    path: Path, width: int = 64, height: int = 48, encoder: Encoder | None = None, *, per_second: int = PER_SECOND
) -> Ffmpeg:
    """An encoder that has had its head."""
    encoder = encoder or choose_encoder(path, "auto", 10, preset="ultrafast")
    process = container.encode(path, width, height, encoder, per_second=per_second)
    process.feed(matroska.head(width, height, NTSC))
    return process


def feed(process: Ffmpeg, frames: Pixels, rate: Fraction = NTSC) -> None:
    for index, frame in enumerate(frames):
        process.feed(matroska.block(index / rate, 1 / rate, frame.nbytes), frame)


def encode(path: Path, frames: Pixels, codec: str = "auto", crf: int = 10) -> Path:
    _, height, width, _ = frames.shape
    process = encoding(path, width, height, choose_encoder(path, codec, crf, preset="ultrafast"))
    feed(process, frames)
    assert process.finish() == 0
    return path


# encoders


@pytest.mark.parametrize(
    ("name", "codec", "wanted"),
    [
        ("film.mp4", "auto", "libx264"),
        ("film.MP4", "auto", "libx264"),
        ("film.mkv", "auto", "libx264"),
        ("film.mov", "h265", "libx265"),
        ("film.mkv", "vp9", "libvpx-vp9"),
        ("film.webm", "auto", "libvpx-vp9"),
        ("film.webm", "vp9", "libvpx-vp9"),
        ("film.gif", "auto", "libx264rgb"),
        ("%05d.png", "auto", "libx264rgb"),
    ],
)
def test_a_film_gets_the_codec_that_suits_it_or_was_chosen(name: str, codec: str, wanted: str) -> None:
    encoder = choose_encoder(Path(name), codec, 18)
    assert encoder.name == wanted
    assert (encoder.subsampled, encoder.even) == (wanted != "libx264rgb", wanted in ("libx264", "libx265"))


def test_a_codec_that_a_film_does_not_hold_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"--codec for film\.mp4 must be auto or h264 or h265, not vp9"):
        choose_encoder(Path("film.mp4"), "vp9", 18)
    with pytest.raises(SettingsError, match=r"--codec for film\.webm must be auto or vp9, not h264"):
        choose_encoder(Path("film.webm"), "h264", 18)


def test_pictures_and_gifs_keep_their_colours_whatever_codec_is_asked_for(tmp_path: Path) -> None:
    for output in (named(tmp_path), tmp_path / "%05d.png", tmp_path / "film.gif"):
        assert choose_encoder(output, "h265", 18, hardware=True).arguments[:2] == ("-qp", "0")


def test_quality_and_speed_reach_the_encoder() -> None:
    assert choose_encoder(Path("film.mp4"), "h264", 31, preset="fast").arguments == ("-crf", "31", "-preset", "fast")
    assert choose_encoder(Path("film.webm"), "vp9", 31).arguments[:4] == ("-crf", "31", "-b:v", "0")


def test_h265_is_tagged_as_apple_wants_it_but_not_in_matroska() -> None:
    for suffix in (".mp4", ".m4v", ".mov"):
        assert choose_encoder(Path("film" + suffix), "h265", 18).arguments[-2:] == ("-tag:v", "hvc1")
    assert "-tag:v" not in choose_encoder(Path("film.mkv"), "h265", 18).arguments


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_hardware_that_does_not_work_falls_back_to_software(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = list[str]()

    def fails(encoder: str, arguments: tuple[str, ...]) -> bool:
        tried.append(encoder)
        return False

    monkeypatch.setattr(container, "works", fails)
    path = Path("film.mp4")
    assert choose_encoder(path, codec, 18, hardware=True) == choose_encoder(path, codec, 18)
    assert [name.rpartition("_")[2] for name in tried] == ["nvenc", "videotoolbox", "qsv", "amf"]


def test_hardware_that_works_is_taken_with_the_quality_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "works", lambda name, _: "videotoolbox" in name or "qsv" in name)
    assert choose_encoder(Path("film.mp4"), "h264", 20, hardware=True) == Encoder(
        "h264_videotoolbox", ("-q:v", "60"), hardware=True
    )
    monkeypatch.setattr(container, "works", lambda name, _: "qsv" in name)
    wanted = Encoder("hevc_qsv", ("-global_quality", "20", "-tag:v", "hvc1"), hardware=True)
    assert choose_encoder(Path("film.mov"), "h265", 20, hardware=True) == wanted
    assert choose_encoder(Path("film.mkv"), "vp9", 20, hardware=True) == choose_encoder(Path("film.mkv"), "vp9", 20)


def test_a_trial_tells_encoders_that_run_from_those_that_do_not() -> None:
    assert container.works("libx264", ("-crf", "20"))
    assert not container.works("libx264", ("-no-such-option", "20"))
    assert not container.works("no_such_encoder", ())


# films


@pytest.mark.parametrize(
    ("name", "codec", "wanted"),
    [
        ("out.mp4", "h264", "Video: h264"),
        ("out.mp4", "h265", "Video: hevc"),
        ("out.mkv", "h264", "Video: h264"),
        ("out.mkv", "vp9", "Video: vp9"),
        ("segment.mp4", "vp9", "Video: vp9"),
    ],
)
def test_a_film_has_every_frame_once_at_its_time_and_is_tagged(
    tmp_path: Path, name: str, codec: str, wanted: str
) -> None:
    """Segments are MP4s whatever the film will be."""
    encoder = choose_encoder(tmp_path / "x.mkv" if codec == "vp9" else tmp_path / name, codec, 10, preset="ultrafast")
    process = encoding(tmp_path / name, encoder=encoder)
    feed(process, stepped(9, 48, 64))
    assert process.finish() == 0
    path = tmp_path / name
    assert numbers(decode(path)) == list(range(9))
    assert tracks(path) == [wanted]
    times = look_at(path).times
    unit = Fraction(1, 1000) if name.endswith("mkv") else Fraction(0)
    assert all(abs(time - index / NTSC) <= unit for index, time in enumerate(times))
    assert "yuv420p(tv, bt709" in look_at(path).description


@pytest.mark.parametrize("rate", [NTSC, Fraction(25), Fraction(60000, 1001), Fraction(1, 3), Fraction(1000)])
def test_any_rate_is_exact(tmp_path: Path, rate: Fraction) -> None:
    process = encoding(tmp_path / "out.mp4", 16, 16, per_second=units(rate, 1 / rate))
    feed(process, stepped(5, 16, 16), rate)
    assert process.finish() == 0
    assert look_at(tmp_path / "out.mp4").rate == rate


def test_uneven_frames_keep_their_times_and_durations(tmp_path: Path) -> None:
    begins = [Fraction(ms, 1000) for ms in (0, 40, 41, 500, 10_500)]
    lengths = [Fraction(ms, 1000) for ms in (40, 1, 459, 10_000, 77)]
    process = encoding(tmp_path / "out.mp4", 16, 16, per_second=units(Fraction(25), Fraction(1, 1000)))
    for frame, time, length in zip(stepped(5, 16, 16), begins, lengths, strict=True):
        process.feed(matroska.block(time, length, frame.nbytes), frame)
    assert process.finish() == 0
    found = packets(tmp_path / "out.mp4")
    assert found.times == begins
    assert found.durations == lengths


@given(
    rate=st.fractions(Fraction(1, 100), 1000, max_denominator=1001), base=st.sampled_from([0, 1000, 90_000, 15_360, 1])
)
def test_units_are_fine_enough_and_hold_every_time_exactly(rate: Fraction, base: int) -> None:
    time_base = Fraction(1, base) if base else Fraction(0)
    found = units(rate, time_base)
    assert found >= 10_000
    assert (found * (time_base or 1 / rate)).denominator == 1
    assert found < 2**31 / 100  # of 32 bits that MP4 has for a time


def test_units_fit_into_an_mp4_even_if_they_cannot_be_exact(tmp_path: Path) -> None:
    """Of a clip that is timed in nanoseconds, at an even but odd rate."""
    rate = Fraction(111_000_000_000, 4_439_934_289)
    process = encoding(tmp_path / "out.mp4", 16, 16, per_second=units(rate, 1 / rate))
    feed(process, stepped(5, 16, 16), rate)
    assert process.finish() == 0
    assert len(decode(tmp_path / "out.mp4")) == 5


@pytest.mark.parametrize("colour", [(230, 30, 30), (30, 200, 40), (20, 40, 220), (240, 240, 240), (8, 8, 8)])
@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_colours_survive(tmp_path: Path, colour: tuple[int, int, int], codec: str) -> None:
    """Untagged or converted by another matrix, they would be up to 40 off."""
    path = encode(tmp_path / "out.mkv", np.full((2, 48, 64, 3), colour, np.uint8), codec, crf=4)
    assert np.abs(decode(path).astype(np.int32) - colour).max() <= 5


def test_lossless_films_keep_every_pixel_of_any_size(tmp_path: Path) -> None:
    frames = np.stack([blobs(47, 65, seed) for seed in range(3)])
    process = encoding(tmp_path / "out.mp4", 65, 47, choose_encoder(tmp_path / "film.gif", "auto", 18))
    feed(process, frames)
    assert process.finish() == 0
    assert np.array_equal(decode(tmp_path / "out.mp4"), frames)


@pytest.mark.parametrize(("height", "width"), [(47, 65), (48, 65), (47, 64), (3, 2)])
def test_an_odd_last_row_or_column_is_dropped_and_nothing_rescaled(tmp_path: Path, height: int, width: int) -> None:
    frame = blobs(height, width)
    shown = decode(encode(tmp_path / "out.mp4", np.stack([frame] * 2), crf=1))[0]
    assert shown.shape == (height // 2 * 2, width // 2 * 2, 3)
    kept = frame[: shown.shape[0], : shown.shape[1]].astype(np.int32)
    if min(height, width) > 3:
        assert np.abs(shown.astype(np.int32) - kept).mean() < 4


def test_vp9_keeps_odd_sizes(tmp_path: Path) -> None:
    frame = blobs(47, 65)
    shown = decode(encode(tmp_path / "out.webm", np.stack([frame] * 2), crf=4))[0]
    assert shown.shape == (47, 65, 3)
    assert np.abs(shown.astype(np.int32) - frame).mean() < 4


# what goes wrong


class Narrow:
    """A pipe that takes no more than 1000 bytes at a time."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self.close = pipe.close

    def write(self, data: memoryview) -> int:
        return self._pipe.write(data[:1000])


def test_a_pipe_that_takes_little_at_a_time_gets_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = encoding(tmp_path / "out.mp4")
    pipe = process._process.stdin
    assert pipe is not None
    monkeypatch.setattr(process._process, "stdin", Narrow(pipe))
    feed(process, stepped(3, 48, 64))
    assert process.finish() == 0
    assert numbers(decode(tmp_path / "out.mp4")) == [0, 1, 2]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_told_in_ffmpegs_words(tmp_path: Path) -> None:
    (tmp_path / "full.mkv").symlink_to("/dev/full")
    process = encoding(tmp_path / "full.mkv")
    feed(process, stepped(1, 48, 64))
    assert process.finish() != 0
    assert "No space left" in process.complaint()


def test_an_encoder_that_dies_is_told_by_feeding_or_finishing(tmp_path: Path) -> None:
    process = container.encode(
        tmp_path / "gone" / "out.mp4", 64, 48, choose_encoder(Path("x.mp4"), "auto", 18), per_second=PER_SECOND
    )

    def feed_much() -> None:
        process.feed(matroska.head(64, 48, NTSC))
        feed(process, np.broadcast_to(blobs(48, 64), (1000, 48, 64, 3)))

    with pytest.raises(WorkError, match=r"cannot write .*out\.mp4: .*No such file"):
        feed_much()
    assert process.finish() != 0


def test_names_that_look_like_options_or_protocols_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-y.mp4", "a:b.mp4", "100%d.mp4", "with space.mp4"):
        encode(Path(name), stepped(1, 16, 16))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["-y.mp4", "100%d.mp4", "a:b.mp4", "with space.mp4"]


# which kind of film


def test_a_film_is_of_the_kind_that_its_name_tells(tmp_path: Path) -> None:
    assert container_of(Path("film.MKV")) is CONTAINERS[".mkv"]
    assert container_of(named(tmp_path)) is PICTURES
    assert container_of(tmp_path / "frame-%d.JPG") is PICTURES
    assert container_of(tmp_path / "film-%d.mp4") is CONTAINERS[".mp4"]  # a name of one film
    (tmp_path / "folder.mp4").mkdir()
    assert container_of(named(tmp_path / "folder.mp4")) is PICTURES


# what goes along


def clip_with(*streams: tuple[str, str], language: str | None = None) -> Clip:
    others = tuple(Stream(1 + index, kind, codec, None) for index, (kind, codec) in enumerate(streams))
    return Clip(
        Path("clip.mkv"), 64, 48, (64, 48), NTSC, True, 1 / NTSC, (Fraction(0),), 1 / NTSC, 0, None, language, others,
        False, None, None,
    )  # fmt: skip


def codecs(suffix: str, *streams: tuple[str, str], copy: bool = True) -> tuple[list[str], tuple[str, ...]]:
    """What is done with each stream, like "1:aac copy", and what is told of it."""
    found = companions(CONTAINERS[suffix], clip_with(*streams), suffix, copy=copy)
    arguments = list(found.arguments)
    maps = [index for index, one in enumerate(arguments) if one == "-map"]
    return [f"{arguments[index + 1]} {arguments[index + 3]}" for index in maps], found.notes


@pytest.mark.parametrize(
    ("suffix", "codec", "wanted"),
    [
        (".mp4", "aac", "copy"),
        (".mp4", "opus", "copy"),
        (".mp4", "pcm_s16le", "aac"),
        (".m4v", "vorbis", "aac"),
        (".mov", "pcm_s16le", "copy"),
        (".mov", "opus", "aac"),
        (".mkv", "pcm_s16le", "copy"),
        (".mkv", "vorbis", "copy"),
        (".webm", "vorbis", "copy"),
        (".webm", "opus", "copy"),
        (".webm", "aac", "libopus"),
    ],
)
def test_sound_is_copied_where_it_fits_and_encoded_where_not(suffix: str, codec: str, wanted: str) -> None:
    done, notes = codecs(suffix, ("Audio", codec))
    assert done == [f"1:a:0 {wanted}"]
    told = f"{suffix} does not take {codec}: the sound was encoded anew"
    assert notes == (() if wanted == "copy" else (told,))


@pytest.mark.parametrize(
    ("suffix", "codec", "wanted"),
    [
        (".mp4", "mov_text", "copy"),
        (".mp4", "subrip", "mov_text"),
        (".mp4", "hdmv_pgs_subtitle", None),
        (".mov", "ass", "mov_text"),
        (".mkv", "subrip", "copy"),
        (".mkv", "hdmv_pgs_subtitle", "copy"),
        (".mkv", "mov_text", "srt"),
        (".webm", "webvtt", "copy"),
        (".webm", "subrip", "webvtt"),
        (".webm", "dvd_subtitle", None),
    ],
)
def test_subtitles_are_copied_converted_or_left_out(suffix: str, codec: str, wanted: str | None) -> None:
    done, notes = codecs(suffix, ("Subtitle", codec))
    assert done == ([] if wanted is None else [f"1:s:0 {wanted}"])
    assert notes == (() if wanted else (f"{suffix} does not take {codec}: these subtitles were left out",))


def test_streams_are_numbered_by_kind_and_those_left_out_do_not_count() -> None:
    streams = [("Subtitle", "dvd_subtitle"), ("Audio", "aac"), ("Subtitle", "subrip"), ("Audio", "vorbis")]
    found = companions(CONTAINERS[".mp4"], clip_with(*streams), ".mp4")
    text = " ".join(found.arguments)
    assert "-map 1:a:0 -c:a:0 copy -map 1:a:1 -c:a:1 aac -map 1:s:1 -c:s:0 mov_text" in text
    assert "1:s:0" not in text
    assert len(found.notes) == 2


def test_the_same_is_told_once() -> None:
    assert len(codecs(".mp4", ("Audio", "vorbis"), ("Audio", "vorbis"))[1]) == 1


def test_nothing_is_copied_if_copying_has_failed() -> None:
    done, notes = codecs(".mkv", ("Audio", "aac"), ("Subtitle", "subrip"), ("Subtitle", "dvd_subtitle"), copy=False)
    assert done == ["1:a:0 aac", "1:s:0 srt"]
    assert len(notes) == 2


def test_fonts_go_along_in_matroska_only() -> None:
    fonts = clip_with(("Subtitle", "ass"), ("Attachment", "ttf"))
    assert "1:t" in companions(CONTAINERS[".mkv"], fonts, ".mkv").arguments
    assert "1:t" not in companions(CONTAINERS[".mkv"], clip_with(("Subtitle", "ass")), ".mkv").arguments
    assert "1:t" not in companions(CONTAINERS[".mp4"], fonts, ".mp4").arguments


def test_the_language_of_the_pictures_goes_along() -> None:
    for language, wanted in (("fra", "language=fra"), (None, "language=und")):
        found = companions(CONTAINERS[".mp4"], clip_with(language=language), ".mp4")
        assert found.arguments[-2:] == ("-metadata:s:v:0", wanted)


@pytest.fixture(scope="module")
def rich(media: Path, clip: Path) -> Path:
    """Sound of two kinds, subtitles, a chapter and a title."""
    (media / "words.srt").write_text("1\n00:00:00,100 --> 00:00:00,300\nHello\n")
    (media / "facts.txt").write_text(
        ";FFMETADATA1\ntitle=A title\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=300\ntitle=One\n"
    )
    path = media / "rich.mkv"
    ffmpeg(
        "-i", clip, "-f", "lavfi", "-i", "sine=duration=0.5:sample_rate=48000", "-i", media / "words.srt",
        "-i", media / "facts.txt", "-map", "0:v", "-map", "0:a", "-map", "1:a", "-map", "2", "-map_metadata", 3,
        "-map_chapters", 3, "-c:v", "copy", "-c:a:0", "copy", "-c:a:1", "libopus", "-c:s", "srt",
        "-metadata:s:a:1", "language=ita", path,
    )  # fmt: skip
    return path


@pytest.mark.parametrize("suffix", [suffix for suffix in CONTAINERS if suffix != ".gif"])
def test_every_kind_of_film_takes_what_it_can(tmp_path: Path, rich: Path, suffix: str) -> None:
    """The arguments are right if ffmpeg takes them, and another ffmpeg finds all of it in the film."""
    clip, kind = look(rich, max_pixels=10**6), CONTAINERS[suffix]
    codec = "vp9" if suffix == ".webm" else "h264"
    encoder = choose_encoder(tmp_path / f"film{suffix}", codec, 30, preset="ultrafast")
    for number in range(2):
        process = encoding(tmp_path / f"{number}.mp4", encoder=encoder)
        feed(process, stepped(6, 48, 64))
        assert process.finish() == 0
    length = round(6 / NTSC * 1_000_000)
    listing = tmp_path / "list.txt"
    listing.write_text("ffconcat version 1.0\n" + "".join(f"file {n}.mp4\nduration {length}us\n" for n in range(2)))
    film = tmp_path / f"film{suffix}"
    beside = companions(kind, clip, suffix)
    ffmpeg(*container.join(
        listing, film, offset=Fraction(0), per_second=PER_SECOND, container=kind, beside=beside, clip=clip
    ))  # fmt: skip
    first = "opus" if suffix == ".webm" else "aac"
    second = "aac" if suffix == ".mov" else "opus"
    subtitle = {".mkv": "subrip", ".webm": "webvtt"}.get(suffix, "mov_text")
    assert tracks(film)[:4] == [
        f"Video: {codec}", f"Audio: {first}", f"Audio: {second}", f"Subtitle: {subtitle}"
    ]  # fmt: skip
    assert len(beside.notes) == (1 if suffix in (".mov", ".webm") else 0)
    told = run_ffmpeg("-i", film).stderr.decode()
    assert "A title" in told
    assert "Chapter #0:0" in told
    assert "(ita): Audio" in told
    if not beside.notes:
        assert sound_md5(film) == sound_md5(rich) is not None
    found = packets(film).times
    unit = Fraction(1, 1000) if suffix in (".mkv", ".webm") else Fraction(1, PER_SECOND)
    assert len(found) == 12
    assert all(abs(time - index / NTSC) <= unit for index, time in enumerate(found))
