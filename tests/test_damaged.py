"""Hundreds of damaged files: no traceback, no hang, and nothing that pretends to be whole."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from media import blobs, read_png, run_ffmpeg, soon, write_clip
from PIL import Image

from nst_video import studio
from nst_video.cli import main
from nst_video.frame import Pixels
from nst_video.networks import FeatureNetwork
from nst_video.weights import load_network

CLIPS = int(os.environ.get("NST_VIDEO_FUZZ", "180"))
PICTURES = CLIPS
BATCHES = 12
QUICK = ["--size", "32", "--iterations", "1", "--device", "cpu", "--quiet"]


@pytest.fixture(autouse=True)
def _one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaded once: it is not what is damaged."""
    kept = dict[str, FeatureNetwork]()

    def load(name: str, **_: object) -> FeatureNetwork:
        if name not in kept:
            kept[name] = load_network("lite")
        return kept[name]

    monkeypatch.setattr(studio, "load_network", load)


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Bytes flipped, cut out, doubled, zeroed; or the end missing."""
    changed = bytearray(data)
    match dice.randrange(4):
        case 0:
            for _ in range(dice.choice((1, 5, 50))):
                changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
        case 1:
            del changed[dice.randrange(1, len(changed)) :]
        case 2:
            at = dice.randrange(len(changed))
            changed[at : at + dice.randrange(1, 400)] = bytes(dice.randrange(400))
        case _:
            at = dice.randrange(len(changed))
            changed[at:at] = changed[at : at + 200]
    return bytes(changed)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Small files of many kinds."""
    folder = tmp_path_factory.mktemp("whole")
    frames: Pixels = np.stack([blobs(48, 64, seed) for seed in range(6)])
    plain = write_clip(folder / "a.mp4", frames)
    made = [plain, write_clip(folder / "b.mp4", frames, sound=None, extra=("-movflags", "+faststart"))]
    commands: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("c.mkv", ("-c", "copy")),
        ("d.avi", ("-c:v", "mpeg4")),
        ("e.webm", ("-c:v", "libvpx", "-c:a", "libopus")),
        ("f.ts", ("-c", "copy")),
        ("g.gif", ("-an",)),
        ("h.mov", ("-c:v", "mjpeg")),
        ("i.png", ("-an", "-frames:v", "1")),
        ("j.jpg", ("-an", "-frames:v", "1")),
    )
    for name, codec in commands:
        assert run_ffmpeg("-i", plain, *codec, folder / name).returncode == 0
        made.append(folder / name)
    return made


def batches(seed: str, count: int) -> Iterator[tuple[int, random.Random]]:
    for number in range(count):
        yield number, random.Random(f"{os.environ.get('NST_VIDEO_SEED', '1')} {seed} {number}")


def decodable(path: Path) -> tuple[int, bool]:
    """How many pictures ffmpeg's own command line gets out of it, and whether it says that they are damaged."""
    done = run_ffmpeg("-i", path, "-map", "0:V:0", "-fps_mode", "passthrough", "-f", "framecrc", "-")
    count = sum(not line.startswith(b"#") for line in done.stdout.splitlines())
    return count, re.search(rb"corrupt decoded frame|partial file|ended prematurely", done.stderr) is not None


@pytest.mark.parametrize("batch", range(BATCHES))
def test_damaged_clips(
    whole: list[Path], style: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], batch: int
) -> None:
    outcomes = set[int]()
    for number, dice in batches(f"clip {batch}", CLIPS // BATCHES):
        source = dice.choice(whole)
        clip, output = tmp_path / f"{number}{source.suffix}", tmp_path / f"{number}-film.mp4"
        clip.write_bytes(mutated(source.read_bytes(), dice))
        given = ["video", str(clip), "--style", str(style), "-o", str(output), *QUICK, "--first-iterations", "1"]
        code = soon(lambda given=given: main(given))  # type: ignore[misc]
        out, err = capsys.readouterr()
        told = f"{clip} gave {code}: {err}"
        outcomes.add(code)
        assert out == "", told
        assert "Traceback" not in err, told
        assert "Error:" not in err, told  # of what nobody foresaw
        assert err.count("\n") == (code != 0), told
        count, damaged = decodable(clip)
        if code == 0:
            made = decodable(output)
            assert made == (count, False), told
            assert not damaged, told
        elif code == 1:
            assert f"nst-video: {clip} is damaged: " in err or f"cannot decode {clip}" in err, told
        else:
            assert code == 2, told
            assert str(clip) in err, told
            assert not output.exists(), told
        assert not output.with_name(output.name + ".parts").exists(), told
    assert 0 in outcomes or 1 in outcomes, "nothing at all could be read"


@pytest.mark.parametrize("batch", range(BATCHES))
def test_damaged_pictures(
    whole: list[Path], style: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], batch: int
) -> None:
    """As content and as style."""
    for number, dice in batches(f"picture {batch}", PICTURES // BATCHES):
        source = dice.choice([path for path in whole if path.suffix in (".png", ".jpg", ".gif")] + [style])
        picture, output = tmp_path / f"{number}{source.suffix}", tmp_path / f"{number}-out.png"
        picture.write_bytes(mutated(source.read_bytes(), dice))
        content, painter = (picture, style) if number % 2 else (style, picture)
        given = ["image", str(content), "--style", str(painter), "-o", str(output), *QUICK]
        code = soon(lambda given=given: main(given))  # type: ignore[misc]
        out, err = capsys.readouterr()
        told = f"{picture} gave {code}: {err}"
        assert code in (0, 2), told
        assert out == "", told
        assert "Traceback" not in err, told
        assert err.count("\n") == (code == 2), told
        if code == 2:
            assert str(picture) in err, told
            assert not output.exists(), told
        else:
            with Image.open(content) as announced:
                assert read_png(output).shape == (announced.height, announced.width, 3), told
