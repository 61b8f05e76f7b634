"""Media that many tests read and none changes: made once, by the tests themselves."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from media import blobs, ffmpeg, sliding, stepped, write_clip, write_png

from nst_video.settings import ImageConfig, VideoConfig

hypothesis.settings.register_profile("light", max_examples=20, deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("light")


@pytest.fixture(scope="session", autouse=True)
def _heard() -> None:
    """A shell's background jobs ignore Ctrl-C, and what they start inherits that: tests of it would wait in vain."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The pictures are tiny: more threads only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    """`--threads` is global to a process: no test may leave it changed."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _no_presets_of_the_user(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What people have saved is neither read nor written."""
    folder = str(tmp_path_factory.mktemp("settings"))
    monkeypatch.setenv("XDG_CONFIG_HOME", folder)
    monkeypatch.setenv("APPDATA", folder)


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the shared media lie in; read only by agreement."""
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def photo(media: Path) -> Path:
    return write_png(media / "photo.png", blobs(48, 64, seed=1))


@pytest.fixture(scope="session")
def style(media: Path) -> Path:
    return write_png(media / "style.png", blobs(64, 64, seed=2))


@pytest.fixture(scope="session")
def clip(media: Path) -> Path:
    """12 numbered frames of 64×48 at 24000/1001, with AAC sound."""
    return write_clip(media / "clip.mp4", stepped(12, 48, 64))


@pytest.fixture(scope="session")
def panning(media: Path) -> Path:
    """6 frames of 64×48, a camera panning."""
    return write_clip(media / "panning.mp4", sliding(6, 48, 64), sound=None)


@pytest.fixture(scope="session")
def silent(media: Path) -> Path:
    """8 numbered frames of 64×48 without a sound stream."""
    return write_clip(media / "silent.mp4", stepped(8, 48, 64), sound=None)


@pytest.fixture(scope="session")
def odd(media: Path) -> Path:
    """4 frames of 65×47."""
    return write_clip(media / "odd.mp4", sliding(4, 47, 65, seed=3), sound=None)


@pytest.fixture(scope="session")
def rotated(media: Path, panning: Path) -> Path:
    """`panning` as a phone stores it: on its side, with a tag that turns it 90° against the clock."""
    path = media / "rotated.mp4"
    ffmpeg("-display_rotation", 90, "-i", panning, "-c", "copy", path)
    return path


@pytest.fixture(scope="session")
def anamorphic(media: Path) -> Path:
    """4 stored frames of 64×48 whose pixels are 4:3, shown at 85×48."""
    frames = sliding(4, 48, 64, seed=4)
    return write_clip(media / "anamorphic.mp4", frames, sound=None, extra=("-aspect", "16:9"))


@pytest.fixture(scope="session")
def pcm(media: Path) -> Path:
    """A Matroska clip whose sound is PCM, which MP4 files here do not carry."""
    return write_clip(media / "pcm.mkv", stepped(8, 48, 64), sound="pcm_s16le")


@pytest.fixture(scope="session")
def vorbis(media: Path) -> Path:
    return write_clip(media / "vorbis.mkv", stepped(8, 48, 64), sound="libvorbis")


@pytest.fixture(scope="session")
def uneven(media: Path) -> Path:
    """10 numbered frames of variable timing: five at 25 a second, five at a fifth of that."""
    path = media / "uneven.mkv"
    steady = write_clip(media / "uneven-source.mkv", stepped(10, 48, 64), rate=Fraction(25), sound=None)
    times = "setpts='if(lt(N,5),N,5+5*(N-5))/(25*TB)'"
    ffmpeg("-i", steady, "-vf", times, "-fps_mode", "passthrough", "-c:v", "libx264", "-qp", 4, "-bf", 0, path)
    return path


@pytest.fixture(scope="session")
def truncated(media: Path) -> Path:
    """The first 60 % of the bytes of a clip of 24 frames whose index stands in front."""
    whole = write_clip(media / "whole.mp4", sliding(24, 96, 128, seed=5), sound=None, extra=("-movflags", "+faststart"))
    data = whole.read_bytes()
    path = media / "truncated.mp4"
    path.write_bytes(data[: len(data) * 6 // 10])
    return path


@pytest.fixture(scope="session")
def text_as_video(media: Path) -> Path:
    path = media / "text.mp4"
    path.write_text("This is no video.\n" * 100)
    return path


@pytest.fixture
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever happens in a test, no stage goes on working and no ffmpeg stays behind."""
    started = list[subprocess.Popen[bytes]]()
    real = subprocess.Popen

    def noted(*given: Any, **named: Any) -> subprocess.Popen[bytes]:
        started.append(real(*given, **named))
        return started[-1]

    monkeypatch.setattr("nst_video.ffmpeg.subprocess.Popen", noted)
    before = set(threading.enumerate())
    yield
    assert [process.args for process in started if process.poll() is None] == []
    new = [thread for thread in threading.enumerate() if thread not in before]
    for thread in new:
        thread.join(timeout=10)  # a listener ends with its process
    assert [thread.name for thread in new if thread.is_alive()] == []


@pytest.fixture
def film(style: Path, tmp_path: Path) -> Callable[..., VideoConfig]:
    def config(clip: Path, name: str = "out.mp4", **given: Any) -> VideoConfig:
        quick = {"size": 32, "iterations": 1, "first_iterations": 1, "crf": 10, "device": "cpu", **given}
        return VideoConfig(clip=clip, style=(style,), output=tmp_path / name, **quick)

    return config


@pytest.fixture
def picture(photo: Path, style: Path, tmp_path: Path) -> ImageConfig:
    return ImageConfig(content=photo, style=(style,), output=tmp_path / "out.png", size=64, iterations=12, device="cpu")
