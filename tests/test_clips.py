"""Every kind of clip there is: converted with a strength of 0, a film has all that its clip had. Clips and films are
looked at through ffmpeg's own command line."""

from __future__ import annotations

import math
import os
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from checks import PSNR_DB, SHIFT, Packets, packets, pixels, psnr, shift, tracks
from media import DATA, NTSC, blobs, ffmpeg, loudness, read_png, run_ffmpeg, sliding

from nst_video import studio
from nst_video.cli import main
from nst_video.frame import Pixels
from nst_video.networks import FeatureNetwork
from nst_video.weights import load_network

QUICK = ("--size", 32, "--iterations", 1, "--first-iterations", 1, "--device", "cpu", "--strength", 0, "--quiet")
FRAMES = 53  # a segment and some
Run = Callable[..., tuple[int, str]]
NTSC_30 = Fraction(30000, 1001)
REAL = ["phone_rotated90_ios9.mov", "selfie_webcam_vfr_6s.mp4", "webcam_gesture_again.mkv", "scene_bear_davis.mp4"]
if DATA.is_dir() and os.environ.get("NST_VIDEO_ALL_CLIPS"):
    REAL = sorted(path.name for path in (DATA / "videos").iterdir())


@pytest.fixture(scope="module")
def network() -> FeatureNetwork:
    return load_network("lite")


@pytest.fixture
def run(
    style: Path, network: FeatureNetwork, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run the command line; the exit code and what is said on stderr."""
    monkeypatch.setattr(studio, "load_network", lambda *_, **__: network)

    def convert(clip: object, output: object, *more: object) -> tuple[int, str]:
        given = ("video", clip, "--style", style, "-o", output, *QUICK, *more)
        code = main([str(one) for one in given])
        out, err = capsys.readouterr()
        assert out == ""
        assert "Traceback" not in err
        return code, err

    return convert


def make(path: Path, frames: Pixels, *options: object, rate: Fraction = NTSC, sound: bool = False) -> Path:
    """`frames` as `options` say, nearly lossless unless they say otherwise."""
    _, height, width, _ = frames.shape
    raw = path.with_suffix(".rgb")
    raw.write_bytes(frames.tobytes())
    tone = ("-f", "lavfi", "-i", f"sine=frequency=440:duration={float(len(frames) / rate):.6f}") if sound else ()
    ffmpeg("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate, "-i", raw, *tone,
           "-c:v", "libx264", "-qp", 6, "-preset", "ultrafast", "-bf", 2, *options, path)  # fmt: skip
    raw.unlink()
    return path


def colours(matrix: str, levels: str, pixel_format: str = "yuv420p", *, tagged: bool = True) -> tuple[str, ...]:
    scale = f"scale=out_color_matrix={matrix}:out_range={levels}:flags=accurate_rnd+full_chroma_int"
    name = {"bt601": "smpte170m", "bt709": "bt709"}[matrix]
    tags = f"setparams=colorspace={name}:color_primaries={name}:color_trc={name}:range={levels}"
    blank = "setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown:range=unknown"
    return ("-vf", f"{scale},format={pixel_format},{tags if tagged else blank}")


@dataclass(frozen=True)
class Case:
    options: tuple[object, ...] = colours("bt709", "tv")
    size: tuple[int, int] = (96, 72)
    shown: tuple[int, int] | None = None
    """Width and height that a player shows, if they are others than those stored."""
    rate: Fraction = NTSC
    frames: int = FRAMES
    sound: bool = False
    suffix: str = ".mp4"
    then: tuple[object, ...] = ()
    """Options of a second pass that copies."""
    read_as: str = ""
    """What a player does before it shows the pictures that ffmpeg, left alone, would not."""


CASES = {
    "23.976": Case(),
    "29.97": Case(rate=NTSC_30, sound=True),
    "10": Case(rate=Fraction(10)),
    "59.94 in milliseconds": Case(rate=Fraction(60000, 1001), suffix=".mkv"),
    "23.976 in milliseconds": Case(suffix=".mkv"),
    "rotated by 90": Case(shown=(72, 96), then=("-display_rotation", 90)),
    "rotated by 180": Case(then=("-display_rotation", 180)),
    "rotated by 270": Case(shown=(72, 96), then=("-display_rotation", 270)),
    "641x361": Case(colours("bt709", "tv", "yuv444p"), size=(641, 361), frames=5),
    "sar 15:16": Case((*colours("bt709", "tv"), "-aspect", "5/4"), shown=(90, 72)),
    "rotated, sar 15:16": Case(
        (*colours("bt709", "tv"), "-aspect", "5/4"), shown=(77, 96), then=("-display_rotation", 90)
    ),
    "portrait": Case(size=(72, 128)),
    "full range": Case((*colours("bt601", "pc"), "-pix_fmt", "yuvj420p")),
    "full range bt709": Case(colours("bt709", "pc")),
    "10 bit": Case(colours("bt709", "tv", "yuv420p10le")),
    "10 bit bt601": Case(colours("bt601", "tv", "yuv422p10le")),
    "bt601": Case(colours("bt601", "tv")),
    "bt709": Case(colours("bt709", "tv")),
    "untagged": Case(colours("bt601", "tv", tagged=False)),
    "untagged HD": Case(
        colours("bt709", "tv", tagged=False), size=(1280, 720), frames=3, read_as="setparams=colorspace=bt709"
    ),
    "4:4:4": Case(colours("bt709", "tv", "yuv444p")),
    "one frame": Case(frames=1),
    "two frames": Case(frames=2),
    "a segment": Case(frames=48),
    "a segment and one": Case(frames=49, sound=True),
    "avi": Case(("-c:v", "mpeg4", "-q:v", "1"), suffix=".avi", rate=Fraction(25)),
    "webm": Case(("-c:v", "libvpx-vp9", "-crf", "4", "-b:v", "0", *colours("bt709", "tv")), suffix=".webm", frames=9),
    "mov": Case(suffix=".mov", sound=True),
    "ts": Case(suffix=".ts", rate=NTSC_30),
}


def smooth(case: Case) -> Pixels:
    """A slow pan without fine colours, which 4:2:0 would lose."""
    return sliding(case.frames, case.size[1], case.size[0], seed=3)


@pytest.fixture(scope="module")
def clip_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("clips")

    def made(name: str) -> Path:
        case = CASES[name]
        path = folder / f"{name.replace('/', '_').replace(':', '_')}{case.suffix}"
        if not path.exists():
            make(path, smooth(case), *case.options, rate=case.rate, sound=case.sound)
            if case.then:
                first = path.rename(path.with_name("first" + path.name))
                ffmpeg(*case.then, "-i", first, "-c", "copy", path)
        return path

    return made


def assert_timed_alike(found: Packets, wanted: Packets, *, within: Fraction = Fraction(0)) -> None:
    assert len(found.times) == len(wanted.times)
    assert max(abs(a - b) for a, b in zip(found.times, wanted.times, strict=True)) <= within
    assert abs(found.end - wanted.end) <= max(wanted.durations)


@pytest.mark.parametrize("name", CASES)
def test_a_film_has_the_frames_times_shape_and_colours_of_its_clip(
    run: Run, clip_of: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    case, clip, film = CASES[name], clip_of(name), tmp_path / "film.mp4"
    assert run(clip, film) == (0, "")
    ticks = {".mkv": Fraction(1, 1000), ".webm": Fraction(1, 1000), ".ts": Fraction(1, 90000)}
    found, wanted = packets(film), packets(clip)
    assert_timed_alike(found, wanted, within=ticks.get(case.suffix, Fraction(0)))
    exactly = [index / case.rate for index in range(case.frames)]
    assert [time - found.times[0] for time in found.times] == exactly
    width, height = case.shown or case.size
    shape = (width // 2 * 2, height // 2 * 2)
    shown = pixels(film, *shape)
    source = pixels(clip, width, height, crop=shape, filters=case.read_as)
    assert shown.shape == source.shape
    told = run_ffmpeg("-i", film).stderr.decode()
    assert f"{shape[0]}x{shape[1]}" in told
    assert "yuv420p(tv, bt709" in told
    assert psnr(shown, source) >= PSNR_DB
    assert shift(shown, source) <= SHIFT
    if case.frames > 2:  # of two frames ffmpeg itself cannot tell
        assert f" {float(case.rate):.4g} fps" in told or f" {round(float(case.rate), 2):g} fps" in told
    assert sound_of(film) == sound_of(clip)


def sound_of(path: Path) -> list[list[str]]:
    """The checksums of all packets of each track."""
    count = sum(track.startswith("Audio") for track in tracks(path))
    return [packets(path, f"0:a:{number}").checksums for number in range(count)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_timing_is_kept(run: Run, uneven: Path, tmp_path: Path, suffix: str) -> None:
    clip = tmp_path / f"clip{suffix}"
    ffmpeg("-i", uneven, "-c", "copy", clip)
    film = tmp_path / "film.mp4"
    assert run(clip, film) == (0, "")
    assert_timed_alike(packets(film), packets(clip))
    assert len(set(packets(film).durations)) > 1


def test_variable_timing_can_be_made_even(run: Run, uneven: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    assert run(uneven, film, "--fps", "29.97") == (0, "")
    found, wanted = packets(film), packets(uneven)
    assert {b - a for a, b in zip(found.times, found.times[1:], strict=False)} == {1 / NTSC_30}
    assert abs(found.end - wanted.end) <= max(wanted.durations)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("late", ["picture", "sound"])
def test_what_starts_late_starts_as_late_in_the_film(run: Run, tmp_path: Path, suffix: str, late: str) -> None:
    both = make(tmp_path / "both.mp4", smooth(CASES["10"]), *colours("bt709", "tv"), rate=Fraction(25), sound=True)
    clip, film = tmp_path / f"clip{suffix}", tmp_path / "film.mp4"
    first, second = (("-itsoffset", 0.52), ()) if late == "picture" else ((), ("-itsoffset", 0.52))
    ffmpeg(*first, "-i", both, *second, "-i", both, "-map", "0:v", "-map", "1:a", "-c", "copy", clip)
    assert run(clip, film) == (0, "")

    def begins(path: Path) -> tuple[Fraction, Fraction]:
        """Picture and sound, by the same clock."""
        streams = [packets(path, one, "-copyts") for one in ("0:V:0", "0:a:0")]
        return streams[0].times[0], streams[1].times[0]

    wanted, found = begins(clip), begins(film)
    assert float((found[0] - found[1]) - (wanted[0] - wanted[1])) == pytest.approx(0, abs=0.5 / 25)
    assert (found[0] - found[1] > Fraction(2, 5)) is (late == "picture")
    assert sound_of(film) == sound_of(clip) or suffix == ".ts"  # whose AAC has heads that MP4 does without


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sound tracks, subtitles, chapters, a title."""
    folder = tmp_path_factory.mktemp("rich")
    plain = make(folder / "plain.mp4", smooth(CASES["10"]), *colours("bt709", "tv"), rate=Fraction(25), sound=True)
    (folder / "words.srt").write_text("1\n00:00:00,200 --> 00:00:01,000\nHullo\n\n", encoding="utf-8")
    chapters = "".join(
        f"[CHAPTER]\nTIMEBASE=1/10\nSTART={10 * n}\nEND={10 * n + 10}\ntitle=Part {n}\n" for n in range(2)
    )
    (folder / "facts.txt").write_text(f";FFMETADATA1\ntitle=A film\nartist=Somebody\n{chapters}", encoding="utf-8")
    path = folder / "rich.mkv"
    ffmpeg("-i", plain, "-f", "lavfi", "-i", "sine=frequency=880:duration=2", "-i", folder / "words.srt",
           "-i", folder / "facts.txt", "-map", "0:v", "-map", "0:a", "-map", "1:a", "-map", 2, "-map_metadata", 3,
           "-map_chapters", 3, "-c:v", "copy", "-c:a:0", "copy", "-c:a:1", "libvorbis", "-c:s", "srt",
           "-metadata:s:a:1", "language=fra", "-metadata:s:s:0", "language=deu", path)  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("suffix", "wanted", "notes"),
    [
        (".mkv", ["Audio: aac", "Audio: vorbis", "Subtitle: subrip"], ""),
        (".mp4", ["Audio: aac", "Audio: aac", "Subtitle: mov_text"], "vorbis: the sound was encoded anew"),
        (".mov", ["Audio: aac", "Audio: aac", "Subtitle: mov_text"], "vorbis: the sound was encoded anew"),
        (".webm", ["Audio: opus", "Audio: vorbis", "Subtitle: webvtt"], "aac: the sound was encoded anew"),
    ],
)
def test_all_that_lies_beside_the_pictures_goes_along(
    run: Run,
    rich: Path,
    style: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    suffix: str,
    wanted: list[str],
    notes: str,
) -> None:
    film = tmp_path / f"film{suffix}"
    given = ["video", str(rich), "--style", str(style), "-o", str(film), *map(str, QUICK[:-1])]
    assert main(given) == 0
    assert notes in capsys.readouterr().err
    assert [track for track in tracks(film) if not track.startswith(("Video", "Data"))] == wanted
    told = run_ffmpeg("-i", film).stderr.decode()
    for fact in ("A film", "Part 0", "Part 1", "(fra)", "(deu)" if suffix != ".mov" else "Subtitle"):
        assert fact in told
    for number, track in enumerate(wanted[:2]):
        copied = track == ["Audio: aac", "Audio: vorbis"][number]
        same = packets(film, f"0:a:{number}").checksums == packets(rich, f"0:a:{number}").checksums
        assert same is copied
    words = run_ffmpeg("-i", film, "-map", "0:s", "-f", "srt", "-").stdout.decode()
    assert "00:00:00,200 --> 00:00:01,000\nHullo" in words
    again = tmp_path / f"silent{suffix}"
    assert run(rich, again, "--no-audio")[0] == 0
    assert [track for track in tracks(again) if not track.startswith("Video")] == []


def test_sound_that_is_no_sound_does_not_cost_the_film(run: Run, clip: Path, tmp_path: Path) -> None:
    """Its packets are noise, which can be copied; no player will like it, but nothing is lost."""
    data = bytearray(clip.read_bytes())
    at = data.find(b"mp4a")
    data[at : at + 4] = b"zzzz"
    odd = tmp_path / "odd.mp4"
    odd.write_bytes(data)
    film = tmp_path / "film.mp4"
    code, _ = run(odd, film)
    assert code in (0, 1)
    assert len(packets(film).times) == 12


@pytest.mark.parametrize("name", ["clip.gif", "frames", "frames/%05d.png", "frames/*.png"])
def test_a_gif_and_pictures_in_a_row_are_clips(run: Run, tmp_path: Path, name: str) -> None:
    frames = smooth(CASES["10"])[:12]
    source = make(tmp_path / "source.mp4", frames, *colours("bt709", "tv"), rate=Fraction(10))
    (tmp_path / "frames").mkdir()
    ffmpeg("-i", source, tmp_path / "clip.gif")
    ffmpeg("-i", source, tmp_path / "frames/%05d.png")
    film = tmp_path / "film.mp4"
    assert run(tmp_path / name, film, *(() if name == "clip.gif" else ("--fps", 10))) == (0, "")
    assert packets(film).times == [Fraction(index, 10) for index in range(12)]
    shown = pixels(film, 96, 72)
    if name == "clip.gif":
        assert psnr(shown, pixels(tmp_path / "clip.gif", 96, 72)) > 20  # dots of colour suffer from 4:2:0
    else:
        assert psnr(shown, np.stack([read_png(path) for path in sorted((tmp_path / "frames").iterdir())])) > PSNR_DB


@pytest.mark.parametrize("output", ["film.gif", "film.webm", "film.mkv", "film.m4v", "painted/%03d.png", "painted"])
def test_every_kind_of_output(run: Run, tmp_path: Path, output: str) -> None:
    frames = smooth(CASES["10"])
    clip = make(tmp_path / "clip.mkv", frames, *colours("bt709", "tv"), rate=Fraction(10), sound=True)
    (tmp_path / "painted").mkdir()
    assert run(clip, tmp_path / output, "--resume")[0] == 0
    if output.startswith("painted"):
        made = sorted((tmp_path / "painted").iterdir())
        assert [path.name for path in made] == [
            f"{number:0{3 if '%' in output else 5}}.png" for number in range(1, FRAMES + 1)
        ]
        shown = np.stack([read_png(path) for path in made])
        assert psnr(shown, pixels(clip, 96, 72)) >= PSNR_DB
        for more in ((), ("--no-resume",), ("--resume",)):
            code, err = run(clip, tmp_path / output, *more)
            assert code == 2
            assert "there are such pictures already" in err
    else:
        film = tmp_path / output
        assert_timed_alike(packets(film), packets(clip), within=Fraction(1, 1000))
        assert psnr(pixels(film, 96, 72), pixels(clip, 96, 72)) > (25 if output.endswith("gif") else PSNR_DB)
        assert bool(sound_of(film)) is (not output.endswith("gif"))
    assert not list(tmp_path.glob("*.parts"))


def test_interlaced_clips_lose_their_combs(run: Run, tmp_path: Path) -> None:
    fast = np.stack([np.roll(blobs(72, 96, 3), 8 * index, axis=1) for index in range(40)])
    progressive = make(tmp_path / "p.mkv", fast, *colours("bt709", "tv"), rate=Fraction(50))
    clip = tmp_path / "i.mp4"
    ffmpeg("-i", progressive, "-vf", "tinterlace=interleave_top,setfield=tff", "-c:v", "libx264", "-qp", 4,
           "-flags", "+ilme+ildct", clip)  # fmt: skip
    film = tmp_path / "film.mp4"
    assert run(clip, film) == (0, "")
    assert_timed_alike(packets(film), packets(clip))

    def combs(frames: Pixels) -> float:
        lines = frames[2:-2].astype(np.int32)
        return float(np.abs(2 * lines[:, 2:-2] - lines[:, 1:-3] - lines[:, 3:-1]).mean())

    assert combs(pixels(film, 96, 72)) < 0.4 * combs(pixels(clip, 96, 72))


@pytest.mark.parametrize("curve", ["smpte2084", "arib-std-b67"])
def test_hdr_is_toned_down(run: Run, tmp_path: Path, curve: str) -> None:
    sdr = make(tmp_path / "sdr.mkv", smooth(CASES["10"])[:5], *colours("bt709", "tv", "yuv444p"), rate=Fraction(10))
    clip, film = tmp_path / "hdr.mp4", tmp_path / "film.mp4"
    to_hdr = ("zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020,"
              f"zscale=t={curve}:m=bt2020nc:r=tv:npl=203,format=yuv420p10le")  # fmt: skip
    tags = f"log-level=error:colorprim=bt2020:transfer={curve}:colormatrix=bt2020nc"
    ffmpeg("-i", sdr, "-vf", to_hdr, "-c:v", "libx265", "-crf", 4, "-x265-params", tags, clip)
    assert run(clip, film) == (0, "")
    found, wanted = pixels(film, 96, 72), pixels(sdr, 96, 72)
    assert "yuv420p(tv, bt709" in run_ffmpeg("-i", film).stderr.decode()
    assert psnr(found, wanted) > 20  # its lights are dimmed a little, to leave room for brighter ones
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.98


def test_hdr_is_refused_where_it_cannot_be_toned_down(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make(tmp_path / "sdr.mp4", smooth(CASES["10"])[:2], *colours("bt709", "tv"))
    marked = tmp_path / "hdr.mp4"
    ffmpeg("-i", clip, "-c", "copy", "-bsf:v", "h264_metadata=transfer_characteristics=16", marked)
    monkeypatch.setattr("nst_video.ffmpeg.has_filter", lambda name: name != "zscale")
    code, err = run(marked, tmp_path / "film.mp4")
    assert code == 2
    assert "hdr.mp4 is HDR (PQ), which this ffmpeg cannot tone down" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "name",
    ["-dash.mp4", "two words.mp4", 'it\'s "quoted".mp4', "Gemälde ★ 🎨.mp4", "a:b.mp4", "100%d.mp4", "a;b&c.mp4"],
)
def test_names_are_only_names(
    run: Run, clip: Path, style: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As clip, style and film, from within their folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(clip, name)
    Path("out").mkdir()
    given = ["video", f"--output=out/{name}", f"--style={style}", *map(str, QUICK), "--", name]
    assert main(given) == 0
    assert packets(tmp_path / "out" / name).times == packets(clip).times
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
    shutil.copy(style, f"{name}.png")
    assert main(["image", f"--output=out/{name}.png", f"--style={name}.png", *map(str, QUICK[:2]), "--iterations",
                 "1", "--quiet", "--", f"{name}.png"]) == 0  # fmt: skip


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_url_is_fetched(run: Run, web: str, clip: Path, tmp_path: Path) -> None:
    shutil.copy(clip, tmp_path / "far.mp4")
    film = tmp_path / "film.mp4"
    code, _ = run(f"{web}/far.mp4", film)
    assert code == 0
    assert packets(film).times == packets(clip).times
    assert packets(film, "0:a").checksums == packets(clip, "0:a").checksums
    code, err = run(f"{web}/gone.mp4", tmp_path / "other.mp4")
    assert code == 2
    assert err.startswith(f"nst-video: cannot fetch {web}/gone.mp4: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["far.mp4", "film.mp4"]


def test_a_stream_in_pieces_is_fetched(run: Run, web: str, tmp_path: Path) -> None:
    clip = make(tmp_path / "clip.mp4", smooth(CASES["10"]), *colours("bt709", "tv"), rate=Fraction(25), sound=True)
    ffmpeg("-i", clip, "-c", "copy", "-f", "hls", "-hls_time", 1, "-hls_playlist_type", "vod", tmp_path / "list.m3u8")
    film = tmp_path / "film.mp4"
    assert run(f"{web}/list.m3u8", film) == (0, "")
    assert_timed_alike(packets(film), packets(clip), within=Fraction(1, 25))  # the sound has a lead-in there
    assert len(loudness(film)) == pytest.approx(len(loudness(clip)), abs=0.05 * 8000)


def test_a_download_that_ends_early_is_no_clip(run: Run, clip: Path, tmp_path: Path) -> None:
    class Half(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = clip.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Half)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        code, err = run(f"http://anna:secret@127.0.0.1:{server.server_port}/clip.mp4", tmp_path / "film.mp4")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert code == 2
    assert err.startswith("nst-video: cannot fetch http://127.0.0.1:")
    assert "secret" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".mpg", ".avi", ".h264"])
@pytest.mark.parametrize(("start", "end"), [(0.2, None), (1.0, 2.0), (0.52, 0.6), (2.4, 2.5)])
def test_a_window_of_any_kind_of_clip_has_the_frames_of_its_time(
    run: Run, tmp_path: Path, suffix: str, start: float, end: float | None
) -> None:
    """Of one long group of pictures, which nothing but its beginning can be decoded from."""
    frames = np.empty((75, 48, 64, 3), np.uint8)
    frames[:] = (30 + 2.8 * np.arange(75)).round().astype(np.uint8)[:, None, None, None]
    sound = suffix != ".h264"
    codec = {".mpg": ("-c:v", "mpeg2video", "-q:v", 2), ".avi": ("-c:v", "mpeg4", "-q:v", 2, "-bf", 0)}.get(suffix, ())
    options = (*colours("bt709", "tv"), "-g", 250, *codec)
    whole = make(tmp_path / "whole.mkv", frames, *options, rate=Fraction(25), sound=sound)
    clip, film = tmp_path / f"clip{suffix}", tmp_path / "film.mp4"
    ffmpeg("-i", whole, "-c:v", "copy", *(("-c:a", "mp2") if sound else ()), clip)
    assert run(clip, film, "--start", start, *(() if end is None else ("--end", end))) == (0, "")
    shown = pixels(film, 64, 48)
    numbers = [round((float(frame.mean()) - 30) / 2.8) for frame in shown]
    assert numbers == list(range(round(start * 25), 75 if end is None else math.ceil(end * 25)))
    assert packets(film).times[0] < Fraction(1, 25)
    if sound and end is not None:
        assert len(loudness(film)) / 8000 == pytest.approx(end - start, abs=0.08)


def test_a_window_of_uneven_frames_ends_where_it_should(run: Run, tmp_path: Path) -> None:
    """After a pause, ffmpeg's own -t would count from the first frame."""
    clip, film = tmp_path / "clip.mkv", tmp_path / "film.mp4"
    both = make(tmp_path / "both.mkv", smooth(CASES["10"])[:50], *colours("bt709", "tv"), rate=Fraction(25))
    ffmpeg("-i", both, "-vf", "setpts='if(lt(N,25),N,N+50)/(25*TB)'", "-fps_mode", "passthrough", "-c:v", "libx264",
           "-bf", 0, clip)  # fmt: skip
    assert run(clip, film, "--start", 0.9, "--end", 3.4) == (0, "")
    found = packets(film)
    assert [time - found.times[0] + Fraction(23, 25) for time in found.times] == [
        Fraction(n, 25) for n in (23, 24, *range(75, 85))
    ]
    for fps, frames in ((1000, 100), (50, 5)):
        assert run(clip, film, "--end", 0.1, "--fps", fps) == (0, "")
        assert len(packets(film).times) == frames
    assert run(clip, film, "--fps", 0.1) == (0, "")
    assert len(packets(film).times) == 1
    code, err = run(clip, film, "--start", 1.5, "--end", 2.5)
    assert code == 2
    assert "there is no picture" in err


@pytest.mark.parametrize(("across", "down", "wide"), [(4, 3, 85), (600, 1, 64), (1, 600, 64)])
def test_absurd_shapes_of_pixels_are_not_believed(
    run: Run, anamorphic: Path, tmp_path: Path, across: int, down: int, wide: int
) -> None:
    odd, film = tmp_path / "odd.mp4", tmp_path / "film.webm"
    data = bytearray(anamorphic.read_bytes())
    at = data.index(b"pasp") + 4
    data[at : at + 8] = struct.pack(">II", across, down)
    odd.write_bytes(data)
    assert run(odd, film)[0] == 0
    assert f" {wide}x48" in run_ffmpeg("-i", film).stderr.decode()
    _, err = run(odd, tmp_path / "other.webm", "--max-pixels", 3500)
    assert ("has pictures of 85x48 pixels" in err) is (wide == 85)


def test_languages_of_any_form_are_streams_like_others(run: Run, clip: Path, tmp_path: Path) -> None:
    other, film = tmp_path / "other.mkv", tmp_path / "film.mkv"
    ffmpeg("-i", clip, "-c", "copy", "-metadata:s:v:0", "language=en-US", "-metadata:s:a:0", "language=pt-BR", other)
    assert run(other, film) == (0, "")
    assert "Audio: aac" in tracks(film)


def test_what_cannot_be_written_is_told_before_the_work(run: Run, tmp_path: Path) -> None:
    (tmp_path / "row").mkdir()
    frames = smooth(CASES["10"])
    fast = make(tmp_path / "fast.mp4", frames, *colours("bt709", "tv"), rate=Fraction(60))
    dot = make(tmp_path / "dot.mkv", np.full((2, 1, 1, 3), 99, np.uint8), "-c:v", "ffv1")
    ffmpeg("-i", fast, tmp_path / "row" / "%05d.png")
    for clip, output, says in (
        (fast, "film.gif", "a GIF has at most 50 frames a second, not 60: add --fps"),
        (dot, "film.mp4", "dot.mkv has 1x1: .webm takes it"),
        (tmp_path / "row", "row", "the clip's own pictures are there"),
        (tmp_path / "row" / "%05d.png", "row/b%05d.png", "the clip's own pictures are there"),
        (fast, "a%d_%d.png", "or be like frames/%05d.png"),
        (fast, "painted", "or be like frames/%05d.png"),
    ):
        code, err = run(clip, tmp_path / output)
        assert (code, err.count("\n")) == (2, 1)
        assert says in err
    code, err = run(fast, tmp_path / "film.mp4", "--log-json", tmp_path / "film.mp4")
    assert code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dot.mkv", "fast.mp4", "row"]
    assert len(list((tmp_path / "row").iterdir())) == FRAMES


@pytest.mark.parametrize("name", ["%03d.webp", "100% %05d.png", "%d.jpg"])
def test_rows_of_any_name_and_kind(run: Run, clip: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "100% row").mkdir()
    assert run(clip, tmp_path / "100% row" / name) == (0, "")
    assert len(list((tmp_path / "100% row").iterdir())) == 12


def test_the_end_of_a_window_cuts_picture_and_sound(run: Run, tmp_path: Path) -> None:
    frames = sliding(75, 72, 96)
    clip = make(tmp_path / "clip.mp4", frames, *colours("bt709", "tv"), rate=Fraction(25), sound=True)
    film = tmp_path / "film.mp4"
    assert run(clip, film, "--start", 0.4, "--end", 2.4) == (0, "")
    assert len(packets(film).times) == 50
    assert psnr(pixels(film, 96, 72), pixels(clip, 96, 72)[10:60]) >= PSNR_DB
    assert len(loudness(film)) / 8000 == pytest.approx(2.0, abs=0.06)


DAMAGED: dict[str, tuple[Callable[[bytes], bytes], int, str]] = {
    "no moov": (lambda data: data.replace(b"moov", b"voom"), 2, "is not a video that ffmpeg can read: "),
    "no frames": (lambda data: data[: data.index(b"mdat") + 8], 2, "is not a video that ffmpeg can read: "),
    "empty": (lambda _: b"", 2, "is not a video that ffmpeg can read: "),
    "noise": (lambda data: np.random.default_rng(1).bytes(len(data)), 2, "is not a video that ffmpeg can read: "),
    "truncated": (lambda data: data[: len(data) * 6 // 10], 1, f"of {FRAMES} frames could be read"),
    "bytes flipped": (
        lambda data: bytes(byte ^ (16 if at % 997 == 0 and at > 4000 else 0) for at, byte in enumerate(data)),
        1,
        f"of {FRAMES} frames could be read",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_told_and_what_can_be_read_is_kept(run: Run, tmp_path: Path, name: str) -> None:
    change, wanted, says = DAMAGED[name]
    options = (*colours("bt709", "tv"), "-movflags", "+faststart")
    whole = make(tmp_path / "whole.mp4", smooth(CASES["10"]), *options, sound=True)
    clip, film = tmp_path / "clip.mp4", tmp_path / "film.mp4"
    clip.write_bytes(change(whole.read_bytes()))
    code, err = run(clip, film)
    assert code == wanted, err
    assert err.startswith(f"nst-video: {clip} ")
    assert err.count("\n") == 1
    assert says in err
    assert film.exists() is (wanted == 1)
    if wanted == 1:
        count = len(packets(film).times)
        assert f" {count} of {FRAMES} frames could be read" in err
        assert count > 5
        assert set(packets(film).times) <= set(packets(whole).times)  # what is lost leaves a gap
    assert not list(tmp_path.glob("*.parts"))


@pytest.mark.skipif(not DATA.is_dir(), reason="the reference clips are not beside this checkout")
@pytest.mark.parametrize("name", REAL)
def test_clips_of_real_cameras(run: Run, tmp_path: Path, name: str) -> None:
    """Some; with NST_VIDEO_ALL_CLIPS set all of them, which takes minutes."""
    clip, film = DATA / "videos" / name, tmp_path / "film.mp4"
    assert run(clip, film, "--flow", "none") == (0, "")
    found, wanted = packets(film), packets(clip)
    assert_timed_alike(found, wanted, within=Fraction(1, 1000))
    assert sound_of(film) == sound_of(clip)
    width, height = shown_size(clip)
    shape = (width // 2 * 2, height // 2 * 2)
    part = "select=not(mod(n\\,7))"  # of all frames, that many fit into memory
    shown = pixels(film, *shape, filters=part)
    source = pixels(clip, width, height, crop=shape, filters=part)
    ratio, moved = psnr(shown, source), shift(shown, source)
    print(
        f"{name}: {len(found.times)} of {len(wanted.times)} frames,",
        f"{float(found.end):.3f} of {float(wanted.end):.3f} s,",
        f"{shape[0]}x{shape[1]} of {width}x{height}, {ratio:.1f} dB, shift {moved:.2f},",
        f"{len(sound_of(film))} sound tracks, copied",
    )
    assert ratio >= PSNR_DB
    assert moved <= SHIFT


def shown_size(clip: Path) -> tuple[int, int]:
    """Upright, with square pixels, by ffmpeg's own filters."""
    done = run_ffmpeg("-i", clip, "-map", "0:V:0", "-vf", "scale=iw*sar:ih,showinfo", "-frames:v", 1, "-f", "null", "-")
    found = re.search(rb" s:(\d+)x(\d+) ", done.stderr)
    assert found is not None
    return int(found[1]), int(found[2])
