"""Films from file to file: what comes out, what is told on the way, what is left when it goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from media import NTSC, blobs, decode, ffmpeg, look_at, loudness, numbers, read_png, sound_md5, stepped, write_clip
from media import write_png as save
from sessions import UNPAINTED, convert, interrupt_at, lines, names, quietly, searched_whole

from nst_video import ffmpeg as room
from nst_video import video_session
from nst_video.container import Encoder
from nst_video.device import Compute
from nst_video.errors import NstVideoError, SettingsError, SinkError, SourceError, WeightsError, WorkError
from nst_video.film import Film
from nst_video.frame import Frame
from nst_video.glance import glance
from nst_video.image_session import run_image
from nst_video.pipeline import Pipeline
from nst_video.report import Progress, Summary
from nst_video.settings import ImageConfig, StyleSettings, VideoConfig
from nst_video.sources import VideoFile
from nst_video.stylizer import Stylizer
from nst_video.video_session import run_video

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_a_film_takes_a_mask_of_its_own_shape_only(
    film: Callable[..., VideoConfig], silent: Path, media: Path, tmp_path: Path
) -> None:
    mask = save(media / "square.png", blobs(32, 32))
    with pytest.raises(
        SettingsError, match=r"^--mask .*square\.png has 32x32 pixels; it must have the shape .* 64x48$"
    ):
        convert(film(silent, mask=(mask,)))
    assert names(tmp_path) == []


def test_a_film_is_the_same_whether_it_is_seen_and_painted_in_turns_or_not(
    film: Callable[..., VideoConfig], panning: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, before = list[tuple[str, int]](), torch.get_num_threads()

    def noted(*given: Any, **named: Any) -> Any:
        seen.append((threading.current_thread().name, torch.get_num_threads()))
        return glance(*given, **named)

    monkeypatch.setattr("nst_video.stylizer.glance", noted)
    try:
        for turns in (False, True):
            monkeypatch.setattr(Compute, "takes_turns", turns)
            config = film(panning, f"{turns}.mp4", iterations=1, first_iterations=2, threads=3)
            convert(config, StyleSettings())
    finally:
        torch.set_num_threads(before)
    assert seen == [("prepare", 1)] * 6 + [("paint", 3)] * 6
    assert np.array_equal(decode(tmp_path / "False.mp4"), decode(tmp_path / "True.mp4"))


def test_a_film_has_the_frames_rate_shape_and_sound_of_its_clip(
    film: Callable[..., VideoConfig], clip: Path, tmp_path: Path
) -> None:
    summary = convert(film(clip))
    out = look_at(tmp_path / "out.mp4")
    assert numbers(decode(tmp_path / "out.mp4")) == list(range(12))
    assert out.rate == NTSC
    assert out.times == look_at(clip).times
    assert sound_md5(tmp_path / "out.mp4") == sound_md5(clip) is not None
    assert (summary.done, summary.expected, summary.interrupted, summary.incomplete) == (12, 12, False, False)
    assert names(tmp_path) == ["out.mp4"]


def test_a_film_is_painted(film: Callable[..., VideoConfig], panning: Path, tmp_path: Path) -> None:
    convert(film(panning, size=64, iterations=3, first_iterations=20), StyleSettings())
    change = np.abs(decode(tmp_path / "out.mp4").astype(np.int32) - decode(panning)).mean((1, 2, 3))
    assert change.min() > 3


@pytest.mark.parametrize(
    ("name", "shape"),
    [("odd", (46, 64)), ("rotated", (64, 48)), ("anamorphic", (48, 84)), ("panning", (48, 64))],
)
def test_a_film_looks_as_a_player_shows_its_clip(
    request: pytest.FixtureRequest, film: Callable[..., VideoConfig], tmp_path: Path, name: str, shape: tuple[int, int]
) -> None:
    """Upright, with square pixels; 4:2:0 has no odd sizes, so an odd last row or column goes."""
    path = request.getfixturevalue(name)
    convert(film(path))
    out, shown = decode(tmp_path / "out.mp4"), decode(path)
    assert out.shape == (len(shown), *shape, 3)
    if name != "anamorphic":
        assert np.abs(out.astype(np.int32) - shown[:, : shape[0], : shape[1]]).mean() < 5


@pytest.mark.parametrize("name", ["pcm", "vorbis", "clip"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_is_kept_in_every_container(
    request: pytest.FixtureRequest, film: Callable[..., VideoConfig], tmp_path: Path, name: str, suffix: str
) -> None:
    """Bit for bit where the container takes it, encoded anew as AAC where it does not."""
    path = request.getfixturevalue(name)
    convert(film(path, f"out{suffix}"))
    output = tmp_path / f"out{suffix}"
    assert numbers(decode(output)) == list(range(len(decode(path))))
    copied = name == "clip" or suffix == ".mkv"
    assert (sound_md5(output) == sound_md5(path)) is copied
    assert copied or "Audio: aac" in look_at(output).description
    heard, original = loudness(output), loudness(path)
    assert heard.mean() == pytest.approx(original.mean(), rel=0.1)
    assert abs(len(heard) - len(original)) < 0.1 * 8000


def test_a_clip_without_sound_and_a_wish_for_none(
    film: Callable[..., VideoConfig], clip: Path, silent: Path, tmp_path: Path
) -> None:
    convert(film(silent, "silent.mp4"))
    convert(film(clip, "muted.mp4", audio=False))
    for name in ("silent.mp4", "muted.mp4"):
        assert sound_md5(tmp_path / name) is None
        assert "Audio" not in look_at(tmp_path / name).description


def test_a_window_has_its_frames_and_its_sound_in_time(
    film: Callable[..., VideoConfig], media: Path, tmp_path: Path
) -> None:
    """The clip is silent for a second, then beeps as it turns bright: both come half a second later than --start."""
    path = media / "beep.mp4"
    if not path.exists():
        frames = np.zeros((50, 32, 32, 3), np.uint8)
        frames[25:] = 200
        plain = write_clip(media / "bright.mp4", frames, rate=Fraction(25), sound=None)
        tone = "aevalsrc='if(gt(t,1),sin(2000*t),0)':d=2:s=44100"
        ffmpeg("-i", plain, "-f", "lavfi", "-i", tone, "-c:v", "copy", "-c:a", "aac", path)
    convert(film(path, start=0.48, end=1.52, size=32))
    out = tmp_path / "out.mp4"
    bright = [frame.mean() > 100 for frame in decode(out)]
    assert len(bright) == pytest.approx(26, abs=1)
    assert bright.index(True) == pytest.approx(13, abs=1)
    begins = int(np.argmax(loudness(out) > 3000)) / 8000
    assert begins == pytest.approx(bright.index(True) / 25, abs=0.06)
    assert len(loudness(out)) / 8000 == pytest.approx(1.04, abs=0.1)


def test_a_clip_of_variable_timing_keeps_its_frames_and_its_length(
    film: Callable[..., VideoConfig], uneven: Path, tmp_path: Path
) -> None:
    """Nine steps of five times 1/25 s and four times 1/5 s, and the last frame's own 1/25 s: 1.04 s."""
    summary = convert(film(uneven))
    assert numbers(decode(tmp_path / "out.mp4")) == list(range(10))
    assert not summary.incomplete
    assert look_at(tmp_path / "out.mp4").times == look_at(uneven).times


def test_a_log_must_not_overwrite_an_input_or_the_film(
    film: Callable[..., VideoConfig], clip: Path, tmp_path: Path
) -> None:
    before = clip.read_bytes()
    with pytest.raises(SinkError, match="it is the input"):
        convert(film(clip, log_json=clip))
    assert clip.read_bytes() == before


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_codecs(film: Callable[..., VideoConfig], silent: Path, tmp_path: Path, codec: str) -> None:
    convert(film(silent, codec=codec))
    assert {"h264": "Video: h264", "h265": "Video: hevc"}[codec] in look_at(tmp_path / "out.mp4").description


def test_the_log_of_a_film_is_a_line_a_frame(film: Callable[..., VideoConfig], clip: Path, tmp_path: Path) -> None:
    convert(film(clip, log_json=tmp_path / "log.jsonl", iterations=2, first_iterations=5))
    found = lines(tmp_path / "log.jsonl")
    assert [line["index"] for line in found] == list(range(12))
    # every frame of this clip is brighter than the one before, and still no cut: it holds no texture at all
    assert found[0]["iterations"] == 5
    assert all(line["pts"] == pytest.approx(line["index"] * 1001 / 24000, abs=1e-5) for line in found)
    assert all(line["losses"].keys() == {"total", "content", "style", "tv", "temporal"} for line in found)
    stages = {"read", "prepare", "flow", "upload", "carry", "look", "optimize", "color", "write"}
    assert all(line["seconds"].keys() == stages for line in found)
    assert all(value >= 0 for line in found for value in line["seconds"].values())


def test_the_first_frame_gets_its_own_iterations(
    film: Callable[..., VideoConfig], panning: Path, tmp_path: Path
) -> None:
    convert(film(panning, size=64, log_json=tmp_path / "log.jsonl", iterations=2, first_iterations=5))
    assert [line["iterations"] for line in lines(tmp_path / "log.jsonl")] == [5, 2, 2, 2, 2, 2]


def test_without_flow_none_is_estimated(
    film: Callable[..., VideoConfig], silent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise RuntimeError("not wanted")

    monkeypatch.setattr("nst_video.studio.FlowEstimator", none)
    convert(film(silent, flow="none"))
    with pytest.raises(RuntimeError, match="not wanted"):
        convert(film(silent, flow="dis"))


@pytest.mark.parametrize(
    ("flow", "iterations", "at_a_glance"), [("auto", 2, True), ("auto", 3, False), ("half", 3, True), ("dis", 2, False)]
)
def test_a_film_of_few_iterations_may_be_searched_for_flow_at_half_its_size(
    flow: str,
    iterations: int,
    at_a_glance: bool,
    film: Callable[..., VideoConfig],
    panning: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched = searched_whole(monkeypatch)
    convert(film(panning, flow=flow, iterations=iterations, size=176))
    assert set(searched) == {not at_a_glance}


def test_progress_counts_frames_and_tells_of_a_long_first_one(film: Callable[..., VideoConfig], silent: Path) -> None:
    told = list[Progress]()
    run_video(film(silent, first_iterations=20, iterations=10), UNPAINTED, told.append)
    assert ["10 of 20" in progress.detail for progress in told[:2]] == [True, False]
    assert {progress.total for progress in told} == {8}
    assert [progress.done for progress in told] == [0, 0, *range(1, 9)]
    assert all("total" in progress.losses for progress in told)


def test_the_same_clip_gives_the_same_film(film: Callable[..., VideoConfig], panning: Path, tmp_path: Path) -> None:
    for name in ("first.mp4", "second.mp4"):
        convert(film(panning, name, iterations=2), StyleSettings())
    assert np.array_equal(decode(tmp_path / "first.mp4"), decode(tmp_path / "second.mp4"))


def test_a_truncated_clip_is_finished_and_told(
    film: Callable[..., VideoConfig], truncated: Path, tmp_path: Path
) -> None:
    summary = convert(film(truncated))
    assert summary.incomplete
    assert summary.expected == 24
    assert len(look_at(tmp_path / "out.mp4").times) == summary.done < 20


def test_a_frame_or_two_less_than_estimated_is_not_damage() -> None:
    summary = Summary(Path("out.mp4"), 98, 100, 1.0, "CPU")
    assert not summary.incomplete
    assert replace(summary, done=90).incomplete
    assert not replace(summary, done=90, interrupted=True).incomplete


def test_an_interrupt_keeps_what_is_finished_playable(
    film: Callable[..., VideoConfig], media: Path, tmp_path: Path
) -> None:
    """Ctrl-C once: the frames in hand are finished, picture and sound end together."""
    path = media / "longer.mp4"
    if not path.exists():
        write_clip(path, np.concatenate([stepped(20, 32, 32)] * 6))
    config = film(path, log_json=tmp_path / "log.jsonl")
    summary = run_video(config, UNPAINTED, interrupt_at(3))
    assert summary.interrupted
    assert not summary.incomplete
    found = numbers(decode(tmp_path / "out.mp4"))
    assert 3 <= len(found) < 120
    assert found == [index % 20 for index in range(len(found))]
    assert len(found) - summary.done in (0, 1)
    assert abs(len(loudness(tmp_path / "out.mp4")) / 8000 - float(len(found) / NTSC)) < 0.1
    assert names(tmp_path) == ["log.jsonl", "out.mp4"]


@pytest.mark.parametrize(("frame", "times"), [(1, 2), (0, 1)])
def test_an_interrupt_before_the_first_frame_or_a_second_one_gives_up(
    film: Callable[..., VideoConfig], clip: Path, tmp_path: Path, frame: int, times: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_video(film(clip, first_iterations=20), UNPAINTED, interrupt_at(frame, times=times))
    assert names(tmp_path) == []


def test_an_interrupt_while_waiting_for_the_first_frame_gives_up(
    film: Callable[..., VideoConfig], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There would be nothing to see in the film."""
    results, calls = Pipeline.results, 0

    def pressed(self: Pipeline, outbox: Any) -> Iterator[Any]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyboardInterrupt
        return results(self, outbox)

    monkeypatch.setattr(Pipeline, "results", pressed)
    with pytest.raises(KeyboardInterrupt):
        convert(film(clip))
    assert names(tmp_path) == []


def test_an_encoder_that_dies_in_the_middle_is_an_error_and_leaves_nothing(
    film: Callable[..., VideoConfig], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Film.write

    def dying(self: Film, frame: Frame, state: Any = None) -> None:
        if frame.index == 4:
            assert self._open is not None
            self._open._encoding.end()
            self._open._encoding._process.wait()
        write(self, frame, state)

    monkeypatch.setattr(Film, "write", dying)
    with pytest.raises(WorkError, match=r"cannot write .*out"):
        convert(film(clip))
    assert names(tmp_path) == []


def test_an_encoder_that_does_not_know_its_options_is_an_error_and_leaves_nothing(
    film: Callable[..., VideoConfig], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Encoder("no_such_encoder", ())
    monkeypatch.setattr(video_session, "choose_encoder", lambda *_, **__: broken)
    with pytest.raises(WorkError, match=r"cannot write .*out"):
        convert(film(clip))
    assert names(tmp_path) == []


def test_a_decoder_that_dies_in_the_middle_is_an_error_and_leaves_nothing(
    film: Callable[..., VideoConfig], media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = media / "big.mp4"
    if not path.exists():
        write_clip(path, stepped(20, 240, 320), sound=None)
    timed = VideoFile._timed

    def dying(self: VideoFile, decoder: room.Ffmpeg, skip: int, origin: Fraction) -> Iterator[tuple[Frame, bool]]:
        for number, item in enumerate(timed(self, decoder, skip, origin)):
            if number == 1:
                decoder.end()
            yield item

    monkeypatch.setattr(VideoFile, "_timed", dying)
    with pytest.raises(WorkError, match="cannot decode"):
        convert(film(path))
    assert names(tmp_path) == []


def test_an_error_while_painting_is_raised_and_leaves_nothing(
    film: Callable[..., VideoConfig], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Stylizer, "paint", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        convert(film(clip))
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["film", "picture"])
@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"output": "gone/out"}, SinkError, "there is no folder"),
        ({"output": "input"}, SinkError, "it is the input"),
        ({"style": "gone.png"}, SourceError, "gone.png"),
        ({"style": "text"}, SourceError, "text.mp4 is not a picture"),
        ({"input": "gone"}, SourceError, "gone"),
        ({"input": "text"}, SourceError, "text.mp4"),
        ({"weights": "gone.pth"}, WeightsError, "gone.pth"),
        ({"log_json": "gone/log"}, SinkError, "there is no folder"),
        ({"device": "mps"}, SettingsError, "--device"),
    ],
)
def test_unusable_input_is_told_and_leaves_nothing(
    tmp_path: Path,
    film: Callable[..., VideoConfig],
    picture: ImageConfig,
    text_as_video: Path,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    changed: dict[str, str],
    error: type[NstVideoError],
    says: str,
) -> None:
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    field = "clip" if kind == "film" else "content"
    config: Any = film(clip) if kind == "film" else picture
    suffix, given = config.output.suffix, dict[str, Any]()
    for name, value in changed.items():
        path = text_as_video if value == "text" else tmp_path / value
        if name == "output":
            path = getattr(config, field) if value == "input" else path.with_suffix(suffix)
        given[field if name == "input" else name] = value if name == "device" else (path,) if name == "style" else path
    run: Any = run_video if kind == "film" else run_image
    config = replace(config, **given)
    with pytest.raises(error, match=says):
        run(config, StyleSettings(), quietly)
    assert names(tmp_path) == []


def test_a_tiny_picture_and_a_tiny_clip_are_painted(
    picture: ImageConfig, film: Callable[..., VideoConfig], tmp_path: Path, media: Path
) -> None:
    small = save(media / "small.png", blobs(5, 3))
    run_image(replace(picture, content=small, iterations=1), StyleSettings(), quietly)
    assert read_png(tmp_path / "out.png").shape == (5, 3, 3)
    clip = write_clip(media / "small.mp4", stepped(2, 2, 16), sound=None)
    convert(film(clip))
    assert decode(tmp_path / "out.mp4").shape == (2, 2, 16, 3)


def paint_without_joining(config: VideoConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a film of eight frames is painted, then the disk is full."""

    def full(*_: object) -> None:
        raise WorkError("cannot write it: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Film, "_run", full)
        with pytest.raises(WorkError, match="No space left on device; 8 frames are kept, --resume goes on from there"):
            convert(config)


def test_a_film_that_could_not_be_joined_is_joined_by_the_next_run(
    film: Callable[..., VideoConfig], silent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_without_joining(film(silent), monkeypatch)
    assert names(tmp_path) == ["out.mp4.parts"]
    summary = convert(film(silent))
    assert (summary.done, summary.resumed, summary.incomplete) == (8, 8, False)
    assert numbers(decode(tmp_path / "out.mp4")) == list(range(8))
    assert names(tmp_path) == ["out.mp4"]


def test_other_settings_begin_anew_unless_resuming_is_insisted_on(
    film: Callable[..., VideoConfig], silent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_without_joining(film(silent), monkeypatch)
    with pytest.raises(SettingsError, match="was begun with another --size; give the same, or --no-resume"):
        convert(film(silent, size=40, resume=True))
    assert names(tmp_path) == ["out.mp4.parts"]
    summary = convert(film(silent, size=40))
    assert summary.resumed == 0
    assert summary.notes == ("begun anew, as --size changed",)
    assert names(tmp_path) == ["out.mp4"]


def test_a_command_that_is_refused_throws_no_work_away(
    film: Callable[..., VideoConfig], silent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_without_joining(film(silent, "out.gif"), monkeypatch)
    with pytest.raises(SettingsError, match="a GIF has at most 50 frames a second"):
        convert(film(silent, "out.gif", fps=Fraction(60)))
    assert convert(film(silent, "out.gif")).resumed == 8


def test_a_log_goes_on_where_the_film_does(film: Callable[..., VideoConfig], media: Path, tmp_path: Path) -> None:
    path = media / "of-three-segments.mp4"
    if not path.exists():
        write_clip(path, np.concatenate([stepped(20, 32, 32)] * 6))
    config = film(path, log_json=tmp_path / "log.jsonl")
    assert run_video(config, UNPAINTED, interrupt_at(60)).kept == 48
    assert convert(config).resumed == 48
    assert [line["index"] for line in lines(tmp_path / "log.jsonl")] == list(range(120))
    assert numbers(decode(tmp_path / "out.mp4")) == [index % 20 for index in range(120)]
