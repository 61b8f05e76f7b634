"""What a clip is: its rate, exactly; its streams; what of it is damaged, hidden or too large."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from media import NTSC, ffmpeg, sliding, stepped, write_clip

from nst_video.clip import Clip, Stream, count_between, even_rate, look
from nst_video.errors import SourceError

MANY = 10**6
RATES = [NTSC, Fraction(30000, 1001), Fraction(60000, 1001), Fraction(24), Fraction(25), Fraction(10), Fraction(60)]
MILLISECOND, MPEG = Fraction(1, 1000), Fraction(1, 90_000)


def rounded(count: int, rate: Fraction, base: Fraction, begins: Fraction = Fraction(0)) -> list[Fraction]:
    """Times as a file has them that counts in units of `base`."""
    return [round((begins + index / rate) / base) * base for index in range(count)]


def declared(rate: Fraction) -> float:
    """As ffmpeg prints it."""
    return round(float(rate), 2)


def seen(path: Path, max_pixels: int = MANY) -> Clip:
    return look(path, max_pixels=max_pixels)


# rates


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("base", [MILLISECOND, MPEG, None])
@pytest.mark.parametrize("count", [2, 5, 100, 2000])
def test_the_rate_of_even_pictures_is_exact_whatever_their_times_are_rounded_to(
    rate: Fraction, base: Fraction | None, count: int
) -> None:
    assert even_rate(rounded(count, rate, base or 1 / rate), base or 1 / rate, declared(rate)) == rate


@given(
    rate=st.sampled_from(RATES),
    base=st.sampled_from([MILLISECOND, MPEG]),
    count=st.integers(2, 500),
    begins=st.fractions(0, 1000, max_denominator=1000),
)
def test_pictures_may_begin_anywhere(rate: Fraction, base: Fraction, count: int, begins: Fraction) -> None:
    assert even_rate(rounded(count, rate, base, begins), base, declared(rate)) == rate


@pytest.mark.parametrize("rate", RATES)
def test_long_clips_need_no_declared_rate(rate: Fraction) -> None:
    """24 and 24000/1001 differ by more than a millisecond after a second or so."""
    assert even_rate(rounded(1000, rate, MILLISECOND), MILLISECOND) == rate


def test_a_declared_rate_that_does_not_fit_is_not_believed() -> None:
    assert even_rate(rounded(100, Fraction(25), MILLISECOND), MILLISECOND, 30) == 25
    assert even_rate(rounded(100, Fraction(25), MILLISECOND), MILLISECOND, 1000) == 25


@given(numerator=st.integers(1, 5000), denominator=st.integers(1, 1000), count=st.integers(2, 60))
def test_an_unusual_rate_fits_its_pictures_to_a_unit(numerator: int, denominator: int, count: int) -> None:
    wanted = min(Fraction(numerator, denominator), Fraction(240))
    times = rounded(count, wanted, MPEG)
    rate = even_rate(times, MPEG)
    assert rate is not None
    assert all(abs(time - times[0] - index / rate) <= MPEG for index, time in enumerate(times))


@given(
    gaps=st.lists(st.integers(33, 47), min_size=3, max_size=60).filter(lambda gaps: max(gaps) - min(gaps) > 4),
    given_rate=st.sampled_from([0.0, 25.0, 30.0]),
)
def test_jittered_times_are_not_even(gaps: list[int], given_rate: float) -> None:
    """An even rate that is right to a unit everywhere allows gaps that differ by four units, never more."""
    times = [sum(gaps[:index]) * MILLISECOND for index in range(len(gaps) + 1)]
    assert even_rate(times, MILLISECOND, given_rate) is None


@pytest.mark.parametrize("skipped", [1, 50, 98])
def test_a_picture_that_was_left_out_makes_times_uneven(skipped: int) -> None:
    times = rounded(100, Fraction(25), MILLISECOND)
    del times[skipped]
    assert even_rate(times, MILLISECOND, 25) is None


def test_a_single_picture_has_the_rate_that_is_declared() -> None:
    assert even_rate([Fraction(3)], MILLISECOND, 23.98) == NTSC
    assert even_rate([Fraction(3)], MILLISECOND, 25) == 25
    assert even_rate([Fraction(3)], MILLISECOND) is None
    assert even_rate([Fraction(3)], MILLISECOND, 90_000) is None


def test_pictures_at_one_and_the_same_time_and_absurd_rates_are_not_even() -> None:
    assert even_rate([Fraction(1)] * 3, MILLISECOND) is None
    assert even_rate([Fraction(index, 90_000) for index in range(10)], MPEG) is None


# times


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi", ".ts"])
def test_times_rate_and_end_are_the_same_in_every_container(tmp_path: Path, suffix: str) -> None:
    clip = seen(write_clip(tmp_path / f"clip{suffix}", stepped(9, 16, 16), sound=None))
    assert (clip.rate, clip.even, len(clip.times)) == (NTSC, True, 9)
    for index, time in enumerate(clip.times):
        assert abs(time - clip.times[0] - index / NTSC) <= clip.time_base
    assert abs(clip.end - clip.times[0] - 9 / NTSC) <= 2 * clip.time_base


def test_pictures_that_are_stored_in_another_order_are_told_in_that_of_showing(tmp_path: Path) -> None:
    path = tmp_path / "b.mp4"
    source = write_clip(tmp_path / "source.mp4", sliding(12, 32, 32), sound=None)
    ffmpeg("-i", source, "-c:v", "libx264", "-bf", 3, "-x264-params", "b-adapt=0", path)
    clip = seen(path)
    assert list(clip.times) == sorted(clip.times)
    assert clip.rate == NTSC
    assert len(clip.times) == 12


def test_uneven_times_are_told_one_by_one_and_their_rate_is_the_mean(uneven: Path) -> None:
    clip = seen(uneven)
    assert not clip.even
    assert clip.times == tuple(Fraction(n if n < 5 else 5 + 5 * (n - 5), 25) for n in range(10))
    assert clip.time_base == MILLISECOND
    assert clip.rate == Fraction(9) / clip.times[-1]
    assert clip.end > clip.times[-1]


def test_what_an_edit_list_cuts_away_is_not_counted(tmp_path: Path) -> None:
    """A copy from 0.3 s on keeps the pictures since the last key frame, marked as not to be shown."""
    source = write_clip(tmp_path / "source.mp4", stepped(12, 48, 64), rate=Fraction(25), sound=None)
    ffmpeg("-ss", "0.3", "-i", source, "-c", "copy", tmp_path / "cut.mp4")
    stored = ffmpeg("-i", tmp_path / "cut.mp4", "-c", "copy", "-f", "framecrc", "-").decode()
    assert ", F=0x" in stored  # else this tests nothing
    clip = seen(tmp_path / "cut.mp4")
    assert len(clip.times) == 4
    assert clip.rate == 25


def test_pictures_within_a_window_are_counted_from_its_start_to_before_its_end(clip: Path) -> None:
    found = seen(clip)
    assert count_between(found, Fraction(0), found.end) == 12
    assert count_between(found, 3 / NTSC, 7 / NTSC) == 4
    assert count_between(found, found.end, found.end + 1) == 0


# streams


def test_what_lies_beside_the_pictures_is_told_with_its_language(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "words.srt").write_text("1\n00:00:00,100 --> 00:00:00,300\nHello\n")
    path = tmp_path / "all.mkv"
    ffmpeg(
        "-i", clip, "-i", tmp_path / "words.srt", "-f", "lavfi", "-i", "sine=duration=0.2",
        "-map", "2", "-map", "0:v", "-map", "0:a", "-map", "1", "-c", "copy", "-c:a:0", "flac",
        "-metadata:s:v", "language=fra", "-metadata:s:a:0", "language=deu", "-metadata:s:s", "language=eng",
        "-metadata:s:a:1", "language=", "-attach", tmp_path / "words.srt", "-metadata:s:t", "mimetype=text/plain", path,
    )  # fmt: skip
    found = seen(path)
    assert found.language == "fra"
    assert [(one.index, one.kind, one.codec) for one in found.others] == [
        (0, "Audio", "flac"),
        (2, "Audio", "aac"),
        (3, "Subtitle", "subrip"),
        (4, "Attachment", "none"),
    ]
    assert [one.language for one in found.others[::2]] == ["deu", "eng"]
    assert found.container.startswith("matroska")


def test_a_clip_of_pictures_only_has_nothing_beside_and_no_language(silent: Path) -> None:
    clip = seen(silent)
    assert clip.others == ()
    assert clip.language in (None, "und")
    assert clip.container.startswith("mov,mp4")


def test_a_cover_is_not_the_video_wherever_it_stands(tmp_path: Path, clip: Path, photo: Path) -> None:
    path = tmp_path / "cover.m4v"
    ffmpeg("-i", clip, "-i", photo, "-map", 1, "-map", 0, "-c", "copy", "-disposition:v:0", "attached_pic",
           "-f", "mp4", path)  # fmt: skip
    found = seen(path)
    assert len(found.times) == 12
    assert [one.kind for one in found.others] == ["Audio"]


def test_a_song_with_a_cover_is_no_video(tmp_path: Path, photo: Path) -> None:
    path = tmp_path / "song.m4a"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.1", "-i", photo, "-map", 0, "-map", 1, "-c:v", "copy",
           "-disposition:v:0", "attached_pic", path)  # fmt: skip
    with pytest.raises(SourceError, match=r"song\.m4a is not a video that ffmpeg can read: there are no pictures"):
        seen(path)


def test_streams_as_others_number_them(tmp_path: Path) -> None:
    """A transport stream tells its own numbers, too."""
    path = write_clip(tmp_path / "clip.ts", stepped(5, 16, 16), sound="mp2")
    assert [(one.index, one.kind, one.codec) for one in seen(path).others] == [(1, "Audio", "mp2")]


# pictures


def test_sizes_are_of_the_upright_picture_with_square_pixels(rotated: Path, anamorphic: Path, odd: Path) -> None:
    assert [(one.width, one.height, one.stored) for one in map(seen, (rotated, anamorphic, odd))] == [
        (48, 64, (48, 64)),
        (85, 48, (64, 48)),
        (65, 47, (65, 47)),
    ]


def plain(path: Path, size: str, *options: object) -> Path:
    """Grey, of two pictures, told of nothing but what the options say."""
    ffmpeg("-f", "lavfi", "-i", f"color=gray:size={size}:rate=25,format=yuv420p", "-frames:v", 2,
           "-c:v", "libx264", "-preset", "ultrafast", *options, path)  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("size", "wanted"), [("64x48", "bt601"), ("720x576", "bt601"), ("1280x720", "bt709"), ("720x1280", "bt709")]
)
def test_untagged_colours_are_taken_as_players_take_them(tmp_path: Path, size: str, wanted: str) -> None:
    assert seen(plain(tmp_path / "clip.mp4", size)).matrix == wanted


def test_colours_that_are_told_are_not_assumed(tmp_path: Path, clip: Path) -> None:
    assert seen(clip).matrix is None
    assert seen(plain(tmp_path / "clip.mp4", "1280x720", "-colorspace", "smpte170m")).matrix is None


def test_rgb_has_no_matrix(tmp_path: Path) -> None:
    ffmpeg(
        "-f", "lavfi", "-i", "color=red:size=32x32:rate=25", "-frames:v", 2, "-c:v", "libx264rgb", tmp_path / "r.mkv"
    )
    ffmpeg("-f", "lavfi", "-i", "color=red:size=32x32:rate=10", "-frames:v", 2, tmp_path / "r.gif")
    assert seen(tmp_path / "r.mkv").matrix is None
    assert seen(tmp_path / "r.gif").matrix is None


@pytest.mark.parametrize(("curve", "wanted"), [("smpte2084", "PQ"), ("arib-std-b67", "HLG"), ("bt709", None)])
def test_hdr_is_told_by_its_curve(tmp_path: Path, curve: str, wanted: str | None) -> None:
    options = ("-vf", f"setparams=color_trc={curve}:colorspace=bt2020nc:color_primaries=bt2020:range=tv")
    clip = seen(plain(tmp_path / "clip.mkv", "64x48", *options))
    assert clip.hdr == wanted
    assert clip.hdr_tags == ("bt2020nc", "bt2020", "tv")


def test_interlaced_pictures_are_told_from_whole_ones(tmp_path: Path, clip: Path) -> None:
    frames = sliding(8, 48, 64)
    source = write_clip(tmp_path / "source.mkv", frames, rate=Fraction(50), sound=None)
    for order, first in (("interleave_top", "tff"), ("interleave_bottom", "bff")):
        path = tmp_path / f"{first}.mkv"
        ffmpeg("-i", source, "-vf", f"tinterlace={order},fieldorder={first}", "-c:v", "mpeg2video", "-q:v", 2,
               "-flags", "+ilme+ildct", path)  # fmt: skip
        assert seen(path).interlaced
    assert not seen(clip).interlaced


# damage


def test_a_whole_clip_has_no_harm_and_misses_nothing(clip: Path) -> None:
    assert (seen(clip).harm, seen(clip).missing) == (None, 0)


def test_a_clip_that_was_cut_short_tells_how_many_pictures_there_should_be(truncated: Path) -> None:
    clip = seen(truncated)
    assert clip.harm is not None
    assert clip.missing > 0
    assert len(clip.times) + clip.missing == 24


def test_a_matroska_clip_that_was_cut_short_is_noticed(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", sliding(24, 96, 128), sound=None)
    data = whole.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    clip = seen(tmp_path / "cut.mkv")
    assert clip.harm == "File ended prematurely"
    assert 2 < len(clip.times) < 24
    assert len(clip.times) + clip.missing == 24


def test_a_clip_with_pictures_larger_than_allowed_is_refused_before_they_are_decoded(clip: Path) -> None:
    assert len(seen(clip, 64 * 48).times) == 12
    with pytest.raises(SourceError, match=r"clip\.mp4 has pictures of 64x48 pixels; --max-pixels allows 3071"):
        seen(clip, 64 * 48 - 1)


def test_what_is_no_video_is_told_in_ffmpegs_words(tmp_path: Path, text_as_video: Path) -> None:
    with pytest.raises(SourceError, match=r"text\.mp4 is not a video that ffmpeg can read: moov atom not found"):
        seen(text_as_video)
    with pytest.raises(SourceError, match=r"no video file .*gone\.mp4"):
        seen(tmp_path / "gone.mp4")


def test_names_that_look_like_protocols_are_files(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-y.mp4", "a:b.mp4", "100%d.mp4", "Stream #0:0: Audio.mp4"):
        Path(name).write_bytes(clip.read_bytes())
        assert len(seen(Path(name)).times) == 12
        assert seen(Path(name)).others == (Stream(1, "Audio", "aac", "und"),)


def test_a_title_that_looks_like_a_stream_is_none(tmp_path: Path, clip: Path) -> None:
    """Whoever made the clip may have written anything into it."""
    title = "x\n[info]   Stream #0:7: Audio: aac, 44100 Hz"
    ffmpeg("-i", clip, "-c", "copy", "-metadata", f"title={title}", "-metadata", f"comment={title}", tmp_path / "t.mkv")
    assert [one.index for one in seen(tmp_path / "t.mkv").others] == [1]
