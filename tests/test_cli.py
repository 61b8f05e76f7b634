"""The command line from end to end: what it makes, what it says, what it answers."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media import decode, numbers, read_png, stepped, write_clip

from nst_video import presets, session
from nst_video.cli import main
from nst_video.device import Compute
from nst_video.resources import shipped
from nst_video.stylizer import Stylizer

ROOT = Path(__file__).resolve().parents[1]
QUICK = ("--device", "cpu", "--iterations", "1", "--size", "32")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line here; the exit code, stdout and stderr, that of other processes included."""

    def command(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return command


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def is_one_line(text: str) -> bool:
    return text.startswith("nst-video: ") and text.count("\n") == 1 and text.endswith("\n")


# what works


def test_image(run: Run, photo: Path, style: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.png"
    code, out, err = run("image", photo, "--style", style, "-o", output, *QUICK)
    assert code == 0
    assert read_png(output).shape == (48, 64, 3)
    assert out.startswith(f"{output}: 1 iterations in ")
    assert out.endswith(f"({Compute.choose().name})\n")
    assert "1 of 1 iterations" in err
    assert names(tmp_path) == ["out.png"]


def test_video(run: Run, clip: Path, style: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    code, out, err = run(
        "video", clip, "--style", style, "--output", output, *QUICK, "--first-iterations", 1, "--strength", 0
    )
    assert code == 0
    assert numbers(decode(output)) == list(range(12))
    assert out.startswith(f"{output}: 12 frames in ")
    assert "12 of 12 frames" in err


def test_live(run: Run, clip: Path, style: Path, tmp_path: Path) -> None:
    code, out, err = run(
        "live", "--source", clip, "--style", style, *QUICK, "--headless", "--frames", 3, "--log-json", tmp_path / "log"
    )
    assert code == 0
    assert out.startswith("3 frames in ")
    assert out.endswith(f"ms behind ({Compute.choose().name})\n")
    assert "1.0 iterations each" in out
    assert len((tmp_path / "log").read_text().splitlines()) == 3
    assert "3 of 3 frames" in err


def test_live_takes_as_many_iterations_as_there_is_time_for(run: Run, clip: Path, style: Path) -> None:
    given = ("live", "--source", clip, "--style", style, "--size", 32, "--device", "cpu", "--headless", "--frames", 4)
    code, out, _ = run(*given, "--target-fps", 1, "--iterations", "auto")
    assert code == 0
    assert float(out.split(" iterations each")[0].split()[-1]) > 1.2
    code, _, err = run(*given, "--iterations", "many")
    assert code == 2
    assert "must be auto or a whole number, not 'many'" in err
    assert is_one_line(err)


def test_quiet_says_nothing(run: Run, photo: Path, clip: Path, style: Path, tmp_path: Path) -> None:
    given = ("--style", style, *QUICK, "--quiet")
    assert run("image", photo, "-o", tmp_path / "out.png", *given) == (0, "", "")
    assert run("video", clip, "-o", tmp_path / "out.mp4", *given, "--first-iterations", 1) == (0, "", "")


def test_every_option_reaches_its_setting(
    run: Run, photo: Path, clip: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = dict[str, Any]()

    def note(config: Any, settings: Any, on_progress: object) -> session.Summary:
        got.update(config=config, settings=settings)
        return session.Summary(config.output, 1, 1, 1.0, "CPU")

    monkeypatch.setattr(session, "run_image", note)
    monkeypatch.setattr(session, "run_video", note)
    common = (
        "--style a.png --style b.png --style-blend 0.7 0.3 --network vgg19 --weights w.pth --size 100 --iterations 7 "
        "--loss paper --content-weight 2 --style-weight 3 --tv-weight 4 --style-scale 0.5 "
        "--content-layers relu1_1 relu2_1 --style-layers relu3_1 relu4_1 --style-layer-weights 1 2 --pooling avg "
        "--original-colors luminance --strength 0.5 --hue 10 --saturation 0.6 --brightness 1.2 --learning-rate 0.1 "
        "--seed 5 --device cpu --precision bf16 --threads 2 --quiet --log-json log.jsonl "
        "--max-pixels 5000 --mask m.png --mask n.png --memory 2 --photorealistic --content-layer-weights 3 1"
    )
    settings = {
        "style_blend": (0.7, 0.3), "loss": "paper", "content_weight": 2, "style_weight": 3, "tv_weight": 4,
        "style_scale": 0.5, "content_layers": ("relu1_1", "relu2_1"), "style_layers": ("relu3_1", "relu4_1"),
        "style_layer_weights": (1, 2), "original_colors": "luminance", "strength": 0.5, "hue": 10, "saturation": 0.6,
        "brightness": 1.2, "learning_rate": 0.1, "photorealistic": True, "content_layer_weights": (3, 1),
    }  # fmt: skip
    config = {
        "style": (Path("a.png"), Path("b.png")), "network": "vgg19", "weights": Path("w.pth"), "size": 100,
        "iterations": 7, "pooling": "avg", "seed": 5, "device": "cpu", "precision": "bf16", "threads": 2,
        "quiet": True, "log_json": Path("log.jsonl"), "max_pixels": 5000,
        "mask": (Path("m.png"), Path("n.png")), "memory": 2,
    }  # fmt: skip
    own: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
        "image": (
            "--init start.png --init-noise 0.5 --refine vgg19-caffe --refine-share 0.3 --refine-weights r.pth -o o.png "
            "--optimizer sgd --learning-rate-decay 0.9 --scales 2 --save-every 3 --plot loss.svg",
            {
                "init": Path("start.png"), "init_noise": 0.5, "refine": "vgg19-caffe", "refine_share": 0.3,
                "refine_weights": Path("r.pth"), "optimizer": "sgd", "scales": 2, "save_every": 3,
                "plot": Path("loss.svg"),
            },
            {"learning_rate_decay": 0.9},
        ),
        "video": (
            "--first-iterations 9 --temporal-weight 6 --stability 0.7 --long-term 4 9 --flow none --start 1 --end 2.5 "
            "--codec h265 --crf 30 --no-audio --hardware --fps 29.97 --resume -o o.mp4",
            {
                "first_iterations": 9, "long_term": (4, 9), "flow": "none", "start": 1, "end": 2.5,
                "codec": "h265", "crf": 30, "audio": False, "hardware": True, "fps": Fraction(30000, 1001),
                "resume": True,
            },
            {"temporal_weight": 6, "stability": 0.7},
        ),
    }  # fmt: skip
    for command, (text, own_config, own_settings) in own.items():
        assert run(command, "input", *common.split(), *text.split())[0] == 0
        for wanted, made in (({**config, **own_config}, "config"), ({**settings, **own_settings}, "settings")):
            assert {name: getattr(got[made], name) for name in wanted} == wanted
            others = {"output", "content", "clip"}
            others |= {"temporal_weight", "stability"} if command == "image" else {"learning_rate_decay"}
            assert {field.name for field in dataclasses.fields(got[made])} - others <= wanted.keys()


def test_networks_lists_them(run: Run) -> None:
    code, out, err = run("networks")
    assert (code, err) == (0, "")
    for name in ("lite", "vgg19 ", "vgg19-caffe"):
        assert name in out
    assert f"{shipped('models', 'lite.safetensors')} (" in out


def test_demo(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is shipped, into the current folder; the work itself is tested elsewhere."""
    monkeypatch.chdir(tmp_path)

    def note(config: Any, settings: Any, on_progress: object) -> session.Summary:
        assert config.clip.is_file()
        assert all(style.is_file() for style in config.style)
        return session.Summary(config.output, 1, 1, 1.0, "CPU")

    monkeypatch.setattr(session, "run_video", note)
    code, out, _ = run("demo")
    assert code == 0
    assert out.startswith("demo.mp4: ")


def test_log_json_is_valid(run: Run, clip: Path, style: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    code, *_ = run(
        "video", clip, "--style", style, "-o", tmp_path / "o.mp4", *QUICK, "--first-iterations", 1, "--log-json", log
    )
    found = [json.loads(line) for line in log.read_text().splitlines()]
    assert code == 0
    assert [line["index"] for line in found] == list(range(12))
    assert found[0].keys() == {"index", "pts", "iterations", "losses", "seconds"}


@pytest.mark.parametrize("arguments", [["--help"], ["image", "--help"], ["video", "--help"], ["--version"]])
def test_help_and_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    out, err = capsys.readouterr()
    assert "nst-video" in out
    assert err == ""


# what does not


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("", "COMMAND"),
        ("paint", "paint"),
        ("image", "CONTENT"),
        ("image PHOTO -o OUT.png", "--style"),
        ("image PHOTO --style STYLE", "-o/--output"),
        ("image PHOTO --style STYLE -o OUT.png --nonsense", "--nonsense"),
        ("image PHOTO --style STYLE -o OUT.png --iter 5", "--iter"),
        ("image PHOTO --style STYLE -o OUT.png --size big", "--size"),
        ("image PHOTO --style STYLE -o OUT.png --size 1", "--size must be from 32 to 8192, not 1"),
        ("image PHOTO --style STYLE -o OUT.png --strength nan", "--strength must be from 0 to 1, not nan"),
        ("image PHOTO --style STYLE -o OUT.png --network vgg16", "--network"),
        ("image PHOTO --style STYLE -o OUT.png --style-layers relu9_9", "--style-layers: this network has no relu9_9"),
        ("image PHOTO --style STYLE -o OUT.png --style-blend 1 2", "--style-blend must be 1 numbers"),
        ("image PHOTO --style STYLE -o OUT.png --precision fp16 --device cpu", "--precision fp16"),
        ("image PHOTO --style STYLE -o OUT.png --weights GONE", "GONE"),
        ("image PHOTO --style STYLE -o OUT.png --weights TEXT", "text.mp4 is no weight file"),
        ("image GONE --style STYLE -o OUT.png", "GONE"),
        ("image PHOTO --style GONE -o OUT.png", "GONE"),
        ("image TEXT --style STYLE -o OUT.png", "text.mp4 is not a picture"),
        ("image PHOTO --style STYLE -o OUT.txt", "OUT.txt: its name must end in .png"),
        ("image PHOTO --style STYLE -o GONE/OUT.png", "there is no folder"),
        ("image PHOTO --style STYLE -o PHOTO", "it is the input"),
        ("image PHOTO --style STYLE -o STYLE", "it is the input"),
        ("image PHOTO --style STYLE -o OUT.png --log-json GONE/log", "there is no folder"),
        ("image PHOTO --style STYLE -o OUT.png --crf 3", "--crf"),
        ("video CLIP --style STYLE -o OUT.mp4 --crf 0", "--crf must be from 1 to 51, not 0"),
        ("video CLIP --style STYLE -o OUT.mp4 --start 3 --end 2", "--end must lie behind --start"),
        ("video CLIP --style STYLE -o OUT.mp4 --start 3", "--start must lie within"),
        ("video CLIP --style STYLE -o OUT.avi", "OUT.avi: its name must end in .mp4"),
        (
            "video CLIP --style STYLE -o OUT.mp4 --codec vp9",
            "--codec for OUT.mp4 must be auto or h264 or h265, not vp9",
        ),
        ("video CLIP --style STYLE -o OUT.mp4 --fps x", "--fps: must be a rate like 25, 29.97 or 30000/1001, not 'x'"),
        ("video CLIP --style STYLE -o OUT.mp4 --fps 0", "--fps must be from 0.01 to 1000, not 0"),
        ("video CLIP --style STYLE -o OUT.mp4 --max-pixels 3000", "has pictures of 64x48 pixels; --max-pixels allows"),
        ("image PHOTO --style STYLE -o OUT.png --max-pixels 3000", "has 64x48 pixels; --max-pixels allows 3000"),
        ("video %05d.png --style STYLE -o OUT.mp4", "there are no pictures %05d.png"),
        ("video http://127.0.0.1:9/a.mp4 --style STYLE -o OUT.mp4", "cannot fetch http://127.0.0.1:9/a.mp4"),
        ("video CLIP --style STYLE -o CLIP", "it is the input"),
        ("video TEXT --style STYLE -o OUT.mp4", "text.mp4 is not a video"),
        ("video GONE --style STYLE -o OUT.mp4", "no video file"),
        ("video CLIP --style CLIP -o OUT.mp4", "clip.mp4 is not a picture"),
        ("video CLIP --style STYLE -o OUT.mp4 --init noise", "--init"),
    ],
)
def test_wrong_usage_is_one_line_that_names_what_is_wrong(
    run: Run, photo: Path, clip: Path, style: Path, text_as_video: Path, tmp_path: Path, arguments: str, says: str
) -> None:
    known = {"PHOTO": photo, "CLIP": clip, "STYLE": style, "TEXT": text_as_video}
    given = [
        known.get(word) or (tmp_path / word if word.startswith(("OUT", "GONE")) else word) for word in arguments.split()
    ]
    code, out, err = run(*given)
    assert code == 2
    assert out == ""
    assert is_one_line(err)
    assert says in err
    assert names(tmp_path) == []


def test_a_truncated_clip_is_kept_and_told(run: Run, truncated: Path, style: Path, tmp_path: Path) -> None:
    code, _, err = run(
        "video", truncated, "--style", style, "-o", tmp_path / "o.mp4", *QUICK, "--first-iterations", 1, "--quiet"
    )
    assert code == 1
    assert is_one_line(err)
    assert f"{truncated} is damaged: only {len(decode(tmp_path / 'o.mp4'))} of 24 frames" in err


def broken(*_: object, **__: object) -> None:
    raise ValueError("something\nunforeseen")


def test_what_nobody_foresaw_is_told_without_a_traceback(
    run: Run, photo: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stylizer, "paint", broken)
    code, out, err = run("image", photo, "--style", style, "-o", tmp_path / "o.png")
    assert (code, out) == (1, "")
    assert "ValueError: something" in err
    assert "--debug" in err
    assert "Traceback" not in err
    assert names(tmp_path) == []


def test_debug_shows_where(run: Run, photo: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stylizer, "paint", broken)
    with pytest.raises(ValueError, match="unforeseen"):
        run("image", photo, "--style", style, "-o", tmp_path / "o.png", "--debug")


def test_an_interrupt_while_a_picture_is_painted(
    run: Run, photo: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Stylizer, "paint", interrupted)
    code, _, err = run("image", photo, "--style", style, "-o", tmp_path / "o.png")
    assert code == 130
    assert is_one_line(err)
    assert names(tmp_path) == []


def test_an_interrupt_in_the_middle_of_a_film_keeps_what_is_finished(
    run: Run, clip: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nst_video.progress import ProgressBar

    def press(self: ProgressBar, progress: session.Progress) -> None:
        if progress.done == 3 and not progress.detail:
            raise KeyboardInterrupt

    monkeypatch.setattr(ProgressBar, "__call__", press)
    output = tmp_path / "o.mp4"
    code, _, err = run(
        "video", clip, "--style", style, "-o", output, *QUICK, "--first-iterations", 1, "--strength", 0, "--quiet"
    )
    assert code == 130
    assert is_one_line(err)
    found = numbers(decode(output))
    assert f"interrupted; {output} holds the first {len(found)} of 12 frames; too few to go on from" in err
    assert len(found) >= 3
    assert found == list(range(len(found)))


# as a process


def test_the_script_runs_from_anywhere_and_answers_by_its_exit_code(photo: Path, style: Path, tmp_path: Path) -> None:
    def script(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=120)

    done = script("image", photo, "--style", style, "-o", "out.png", *QUICK, "--threads", 1)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert np.ptp(read_png(tmp_path / "out.png")) > 0
    failed = script("image", "gone.png", "--style", style, "-o", "other.png")
    assert failed.returncode == 2
    assert failed.stderr == "nst-video: no picture gone.png\n"
    assert names(tmp_path) == ["out.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_ctrl_c_ends_a_film_that_plays(media: Path, style: Path, tmp_path: Path) -> None:
    """A real signal to the whole process group, as a terminal sends it, once the log tells of a third frame."""
    clip = media / "long-enough.mp4"
    if not clip.exists():
        write_clip(clip, np.concatenate([stepped(20, 32, 32)] * 20))
    log, output = tmp_path / "log", tmp_path / "out.mp4"
    os.mkfifo(log)
    options = [*QUICK, "--first-iterations", "1", "--threads", "1", "--strength", "0", "--log-json", str(log)]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), "video", str(clip), "--style", str(style), "-o", str(output), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    with log.open() as reader:
        for _ in range(3):
            assert json.loads(reader.readline())["losses"]
        os.killpg(process.pid, signal.SIGINT)
        drained = threading.Thread(target=reader.read)
        drained.start()
        _, err = process.communicate(timeout=120)
        drained.join(timeout=10)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    found = numbers(decode(output))
    assert f"nst-video: interrupted; {output} holds the first {len(found)} of 400 frames; " in err.splitlines()[-1]
    assert 3 <= len(found) < 400
    assert found == [index % 20 for index in range(len(found))]
    assert names(tmp_path)[:2] == ["log", "out.mp4"]


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [
        ("libGL.so.1: cannot open shared object file: No such file", "apt-get install libgl1 libglib2.0-0"),
        ("No module named 'tqdm'", "pip install -r requirements.txt"),
    ],
)
def test_what_is_not_installed_is_told_with_its_remedy(
    run: Run, monkeypatch: pytest.MonkeyPatch, missing: str, remedy: str
) -> None:
    def fail(_: object) -> int:
        raise ImportError(missing)

    monkeypatch.setattr("nst_video.cli._networks", fail)
    code, out, err = run("networks")
    assert (code, out) == (2, "")
    assert is_one_line(err)
    assert missing in err
    assert remedy in err


def test_settings_of_live_are_saved_under_a_name_and_used_again(run: Run, clip: Path, style: Path) -> None:
    given = ("live", "--source", clip, "--style", style, "--headless", "--frames", 1, "--device", "cpu")
    code, out, _ = run(*given, "--preset", "fast", "--hue", 30, "--size", 48, "--save-preset", "mine")
    assert code == 0
    assert "preset mine saved in" in out
    assert presets.load("mine") == {"size": 48, "target_fps": 30.0, "iterations": 0, "hue": 30.0}
    code, _, err = run(*given, "--preset", "mine", "--hue", 200)  # what is given counts more, and is checked
    assert code == 2
    assert "--hue must be from -180 to 180" in err
    assert run(*given, "--preset", "mine", "--quiet")[0] == 0
    code, _, err = run(*given, "--preset", "yours")
    assert code == 2
    assert "there is no preset yours; there is fast, balanced, fine, mine" in err
