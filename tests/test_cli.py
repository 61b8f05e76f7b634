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
from media import decode, numbers, read_png, stepped, wait_until, write_clip, write_png

from nst_video import presets, recipe
from nst_video.cli import main
from nst_video.device import Compute
from nst_video.report import Progress, Summary
from nst_video.resources import shipped
from nst_video.sinks import Album
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

    def note(config: Any, settings: Any, on_progress: object) -> Summary:
        got.update(config=config, settings=settings)
        return Summary(config.output, 1, 1, 1.0, "CPU")

    monkeypatch.setattr("nst_video.image_session.run_image", note)
    monkeypatch.setattr("nst_video.video_session.run_video", note)
    common = (
        "--style a.png --style b.png --style-blend 0.7 0.3 --network vgg19 --weights w.pth --size 100 --iterations 7 "
        "--loss paper --content-weight 2 --style-weight 3 --tv-weight 4 --style-scale 0.5 "
        "--content-layers relu1_1 relu2_1 --style-layers relu3_1 relu4_1 --style-layer-weights 1 2 --pooling avg "
        "--original-colors luminance --strength 0.5 --hue 10 --saturation 0.6 --brightness 1.2 --learning-rate 0.1 "
        "--seed 5 --device cpu --precision bf16 --threads 2 --quiet --log-json log.jsonl "
        "--max-pixels 5000 --mask m.png --mask n.png --memory 2 --photorealistic --content-layer-weights 3 1 "
        "--jitter 0"
    )
    settings = {
        "style_blend": (0.7, 0.3), "loss": "paper", "content_weight": 2, "style_weight": 3, "tv_weight": 4,
        "style_scale": 0.5, "content_layers": ("relu1_1", "relu2_1"), "style_layers": ("relu3_1", "relu4_1"),
        "style_layer_weights": (1, 2), "original_colors": "luminance", "strength": 0.5, "hue": 10, "saturation": 0.6,
        "brightness": 1.2, "learning_rate": 0.1, "photorealistic": True, "content_layer_weights": (3, 1),
        "jitter": 0,
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

    def note(config: Any, settings: Any, on_progress: object) -> Summary:
        assert config.clip.is_file()
        assert all(style.is_file() for style in config.style)
        return Summary(config.output, 1, 1, 1.0, "CPU")

    monkeypatch.setattr("nst_video.video_session.run_video", note)
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
        (
            "image PHOTO --style STYLE -o OUT.png --style-blend 1 2",
            "--style-blend must be one number for each --style, 1 in all",
        ),
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

    def press(self: ProgressBar, progress: Progress) -> None:
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


# a picture, its start, its masks, its optimiser


@pytest.fixture
def noted_image(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `image` would paint, instead of painting it."""
    got = dict[str, Any]()

    def note(config: Any, settings: Any, on_progress: object) -> Summary:
        got.update(config=config, settings=settings)
        return Summary(config.output, 1, 1, 1.0, "CPU")

    monkeypatch.setattr("nst_video.image_session.run_image", note)
    return got


@pytest.fixture
def masks(media: Path) -> dict[str, Path]:
    """For pictures of 64×48: LEFT and RIGHT, a BLACK one, a SQUARE one."""
    left = np.zeros((48, 64, 3), np.uint8)
    left[:, :32] = 255
    square = np.full((48, 48, 3), 255, np.uint8)
    found = {"LEFT": left, "RIGHT": 255 - left, "BLACK": 0 * left, "SQUARE": square}
    return {name: write_png(media / f"mask-{name.lower()}.png", pixels) for name, pixels in found.items()}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--mask SQUARE", "mask-square.png has 48x48 pixels; it must have the shape of what is painted, 64x48"),
        ("--mask BLACK", "mask-black.png is black all over"),
        ("--mask GONE", "GONE"),
        ("--mask TEXT", "text.mp4 is not a picture"),
        ("--mask LEFT --mask RIGHT", "--mask must be given once, or once for each of the 1 --style, not 2 times"),
        (
            "--style STYLE --mask LEFT --mask RIGHT --mask LEFT",
            "--mask must be given once, or once for each of the 2 --style, not 3 times",
        ),
        (
            "--style STYLE --mask LEFT --mask RIGHT --style-blend 1 2",
            "--style-blend is of no use with a --mask for each --style",
        ),
        ("--init typo", "--init must be content, style, noise, blend or a picture, and there is no picture typo"),
        ("--init TEXT", "text.mp4 is not a picture"),
        ("--init-noise 1.5", "--init-noise must be from 0 to 1, not 1.5"),
        ("--save-every 0", "--save-every must be from 1 to 100000, not 0"),
        ("--save-every -1", "--save-every must be from 1 to 100000, not -1"),
        ("--save-every often", "--save-every"),
        ("--learning-rate-decay 0", "--learning-rate-decay must be from 0.001 to 1, not 0.0"),
        ("--learning-rate-decay 2", "--learning-rate-decay must be from 0.001 to 1, not 2.0"),
        ("--learning-rate 0", "--learning-rate must be from 1e-05 to 1, not 0.0"),
        ("--optimizer lbfgs --learning-rate-decay 0.5", "--learning-rate-decay is of no use with --optimizer lbfgs"),
        ("--jitter -1", "--jitter must be from 0 to 256, not -1"),
        ("--jitter some", "--jitter"),
        ("--optimizer lbfgs --jitter 4", "--jitter is of no use with --optimizer lbfgs, which needs a steady goal"),
        ("--optimizer sgd --jitter 4", "--jitter is of no use with --optimizer sgd, which needs a steady goal"),
        ("--optimizer newton", "--optimizer"),
        ("--size 64 --scales 3", "--scales 3 is too many for --size 64: the first is under 32"),
        ("--scales 9", "--scales must be from 0 to 8, not 9"),
        ("--scales some", "--scales: must be auto or a whole number, not 'some'"),
        ("--plot OUT.txt", "OUT.txt: its name must end in .png, .svg, .pdf"),
        ("--plot OUT.jpg", "OUT.jpg: its name must end in .png, .svg, .pdf"),
        ("--plot OUT.png", "OUT.png: it is the input"),
        ("--plot GONE/OUT.svg", "there is no folder"),
        ("--plot PHOTO", "photo.png: it is the input"),
        ("--plot OUT-020.png --save-every 10", "OUT-020.png: it is the input"),
        ("--memory 0", "--memory must be from 0.05 to 10000, not 0.0"),
        ("--memory lots", "--memory"),
        ("--content-layers relu9_9", "--content-layers: this network has no relu9_9"),
        (
            "--content-layer-weights 1 2",
            "--content-layer-weights must be one number for each content layer, 1 in all, not 2",
        ),
        ("--content-layer-weights 0", "--content-layer-weights must not all be 0"),
        ("--style-layer-weights 1", "--style-layer-weights must be one number for each style layer, 5 in all, not 1"),
        ("--style-scale 21", "--style-scale must be from 0.05 to 20, not 21.0"),
        ("--from PHOTO", "photo.png: nothing in it says how it was painted; it must be a PNG of this program's"),
        ("--from GONE", "GONE"),
        ("--from TEXT", "text.mp4 is not a picture"),
        ("--from", "--from: expected one argument"),
    ],
)
def test_what_a_picture_cannot_be_painted_with_is_one_line_and_nothing_is_painted(
    run: Run, photo: Path, style: Path, text_as_video: Path, masks: dict[str, Path], tmp_path: Path, arguments: str,
    says: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(Stylizer, "paint", broken)
    known = {"PHOTO": photo, "STYLE": style, "TEXT": text_as_video, **masks}
    given = [
        known.get(word) or (tmp_path / word if word.startswith(("OUT", "GONE")) else word) for word in arguments.split()
    ]
    code, out, err = run("image", photo, "--style", style, "-o", tmp_path / "OUT.png", "--device", "cpu", *given)
    assert (code, out) == (2, "")
    assert is_one_line(err)
    assert says in err
    assert names(tmp_path) == []


def test_pictures_on_the_way_that_would_take_an_inputs_place_are_refused(
    run: Run, photo: Path, style: Path, tmp_path: Path
) -> None:
    for number in ("001", "020"):
        content = tmp_path / f"out-{number}.png"
        content.write_bytes(photo.read_bytes())
        code, out, err = run("image", content, "--style", style, "-o", tmp_path / "out.png", "--save-every", 10)
        assert (code, out) == (2, "")
        assert is_one_line(err)
        assert content.name in err
        assert content.read_bytes() == photo.read_bytes()
        content.unlink()


def test_a_mask_of_another_shape_is_refused_for_a_film(
    run: Run, clip: Path, style: Path, masks: dict[str, Path], tmp_path: Path
) -> None:
    code, _, err = run("video", clip, "--style", style, "-o", tmp_path / "o.mp4", "--mask", masks["SQUARE"])
    assert code == 2
    assert is_one_line(err)
    assert "mask-square.png has 48x48 pixels; it must have the shape of what is painted, 64x48" in err
    assert names(tmp_path) == []


def test_help_tells_every_option_of_a_picture_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["image", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for option, words in {
        "--optimizer {adam,lbfgs,sgd}": "(default: adam)",
        "--learning-rate-decay RATIO": "every 100 iterations (default: 1.0)",
        "--scales auto|INT": "auto: 1 below 512 pixels and for sgd, else from 128 pixels on (default: auto)",
        "--init content|style|noise|blend|PICTURE": "(default: content)",
        "--init-noise RATIO": "(default: 0.5 in blend, 1 in noise, else 0)",
        "--save-every N": "after iteration 1, N, 2N, … beside the result (default: never)",
        "--plot FILE": "(.png, .svg, .pdf)",
        "--mask PICTURE": "white yes, black no",
        "--memory GB": "(default: 4.0)",
        "--photorealistic": "for a photograph as style",
        "--content-layer-weights W": "(default: equal)",
        "--from RESULT": "a PNG",
    }.items():
        assert option in text, option
        assert words in text.split(option)[-1][:200], option


def press_after(iterations: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from nst_video.still import Watch

    call = Watch.__call__

    def press(self: Watch, *given: Any) -> None:
        call(self, *given)
        if self.done == iterations:
            raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "__call__", press)


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_an_interrupt_after_some_iterations_keeps_the_picture_as_it_stands(
    run: Run, photo: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet: list[str]
) -> None:
    output, given = tmp_path / "o.png", ("image", photo, "--style", style, *QUICK, *quiet)
    press_after(3, monkeypatch)
    code, out, err = run(*given, "-o", output, "--iterations", 50)
    assert code == 130
    assert is_one_line(err)
    assert err == f"nst-video: interrupted after 3 of 50 iterations; {output} shows it\n"
    assert out.startswith("" if quiet else f"{output}: 3 iterations in ")
    monkeypatch.undo()
    assert run(*given, "-o", tmp_path / "whole.png", "--iterations", 3)[0] == 0
    assert np.array_equal(read_png(output), read_png(tmp_path / "whole.png"))


@pytest.mark.skipif(os.name == "nt", reason="a signal that Windows has not")
def test_ctrl_c_ends_a_picture_that_is_painted(photo: Path, style: Path, tmp_path: Path) -> None:
    """A real signal, once a picture on the way lies there."""
    options = [*QUICK, "--iterations", "100000", "--threads", "1", "--save-every", "100000", "--scales", "1"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), "image", str(photo), "--style", str(style), "-o", "out.png", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=tmp_path,
    )  # fmt: skip
    try:
        wait_until(lambda: (tmp_path / "out-000001.png").exists(), 60)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "of 100000 iterations; out.png shows it" in err.splitlines()[-1]
    assert read_png(tmp_path / "out.png").shape == (48, 64, 3)
    assert names(tmp_path) == ["out-000001.png", "out.png"]


# again


def test_a_picture_is_repeated_bit_for_bit_from_itself(
    run: Run, photo: Path, style: Path, masks: dict[str, Path], tmp_path: Path
) -> None:
    given = (
        "--style", style, "--style", photo, "--mask", masks["LEFT"], "--mask", masks["RIGHT"], "--init", "blend",
        "--seed", 7, "--scales", 2, "--size", 64, "--iterations", 4, "--optimizer", "lbfgs", "--hue", 40,
        "--photorealistic", "--style-layers", "relu1_1", "relu3_1", "--style-layer-weights", 1, 2.5, "--device", "cpu",
        "--content-layer-weights", 3, "--style-scale", 0.7, "--original-colors", "histogram",
    )  # fmt: skip
    first, second, third = (tmp_path / name for name in ("first.png", "Größe ★.png", "third.png"))
    assert run("image", photo, *given, "-o", first, "--save-every", 3)[0] == 0
    assert run("image", "--from", first, "-o", second)[0] == 0
    assert np.array_equal(read_png(first), read_png_of(second))
    assert run("image", "--from", second, "-o", third)[0] == 0  # what is repeated can be repeated
    assert third.read_bytes() == second.read_bytes() == first.read_bytes()
    on_the_way = tmp_path / "first-3.png"
    assert run("image", "-o", second, f"--from={on_the_way}")[0] == 0
    assert second.read_bytes() == first.read_bytes()
    assert run("image", "--from", first, "-o", first)[0] == 0  # in its own place
    assert first.read_bytes() == second.read_bytes()


def read_png_of(path: Path) -> Any:
    """Of any name."""
    from nst_video.pictures import read_picture

    return read_picture(path)


@pytest.fixture
def earlier(tmp_path: Path, photo: Path, style: Path, masks: dict[str, Path]) -> Path:
    """A picture that was painted with much that is not the default."""
    from nst_video.settings import ImageConfig, StyleSettings
    from nst_video.sinks import write_picture

    config = ImageConfig(
        content=photo, style=(style, photo), output=Path("o.png"), mask=(masks["LEFT"], masks["RIGHT"]), iterations=77,
        init="noise", optimizer="lbfgs", scales=2, init_noise=0.5, seed=9, device="cpu",
    )  # fmt: skip
    settings = StyleSettings(hue=40, photorealistic=True, style_layers=("relu1_1",), style_layer_weights=(2,))
    write_picture(tmp_path / "earlier.png", stepped(1, 8, 8)[0], recipe.facts(config, settings))
    return tmp_path / "earlier.png"


def test_what_is_given_besides_counts_more(
    run: Run, earlier: Path, photo: Path, style: Path, masks: dict[str, Path], noted_image: dict[str, Any]
) -> None:
    given = ("image", "--from", earlier, "-o", "new.png")
    assert run(*given)[0] == 0
    config, settings = noted_image["config"], noted_image["settings"]
    assert (config.content, config.output, config.style) == (photo, Path("new.png"), (style, photo))
    assert (config.mask, config.iterations, config.init) == ((masks["LEFT"], masks["RIGHT"]), 77, "noise")
    assert (settings.hue, settings.photorealistic, settings.style_layers) == (40, True, ("relu1_1",))
    besides: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("--style a.png", {"style": (Path("a.png"),), "mask": ()}, {}),  # which were for the other styles
        ("--style=a.png --style b.png", {"style": (Path("a.png"), Path("b.png")), "mask": ()}, {}),
        ("--init blend", {"init": "blend", "init_noise": None}, {}),
        ("--style a.png --mask m.png", {"style": (Path("a.png"),), "mask": (Path("m.png"),)}, {}),
        ("--size 32", {"size": 32, "scales": 0}, {}),
        ("--style-layers relu1_1 relu2_1", {}, {"style_layers": ("relu1_1", "relu2_1"), "style_layer_weights": ()}),
        ("--mask m.png", {"mask": (Path("m.png"),)}, {}),
        ("--init content --scales auto", {"init": "content", "init_noise": None, "scales": 0}, {}),
        (
            "--init a.png --iterations 5 --seed 0",
            {"init": Path("a.png"), "init_noise": None, "iterations": 5, "seed": 0},
            {},
        ),
        ("--optimizer sgd --quiet", {"optimizer": "sgd", "scales": 0, "quiet": True}, {}),
        ("--save-every 4 --plot p.svg", {"save_every": 4, "plot": Path("p.svg")}, {}),
        ("--hue 0", {}, {"hue": 0}),
        ("--no-photorealistic", {}, {"photorealistic": False}),
        (
            "--style-layers relu2_1 relu3_1 --style-layer-weights 1 2",
            {},
            {"style_layers": ("relu2_1", "relu3_1"), "style_layer_weights": (1, 2)},
        ),
    ]
    for arguments, in_config, in_settings in besides:
        assert run(*given, *arguments.split())[0] == 0
        assert noted_image["config"] == dataclasses.replace(config, **in_config)
        assert noted_image["settings"] == dataclasses.replace(settings, **in_settings)


def test_the_content_is_the_earlier_one_or_another_wherever_it_stands(
    run: Run, earlier: Path, photo: Path, noted_image: dict[str, Any]
) -> None:
    for arguments, wanted in (
        (["--from", earlier, "-o", "new.png"], photo),
        (["another.png", "--from", earlier, "-o", "new.png"], Path("another.png")),
        (["--from", earlier, "another.png", "-o", "new.png"], Path("another.png")),
        (["-o", "new.png", "--from", earlier, "another.png"], Path("another.png")),
        (["-o", "new.png", "another.png", "--quiet", "--from", earlier], Path("another.png")),
    ):
        assert run("image", *arguments)[0] == 0
        assert noted_image["config"].content == wanted


def test_what_is_given_besides_is_checked(run: Run, earlier: Path, tmp_path: Path) -> None:
    for arguments, says in (
        (["--hue", 200], "--hue must be from -180 to 180"),
        (["--learning-rate-decay", 0.5], "--learning-rate-decay is of no use with --optimizer lbfgs"),
        (["gone.png"], "no picture gone.png"),
    ):
        code, out, err = run("image", "--from", earlier, "-o", tmp_path / "new.png", *arguments)
        assert (code, out) == (2, "")
        assert is_one_line(err)
        assert says in err
    assert names(tmp_path) == ["earlier.png"]


def test_the_result_has_to_be_named_anew(run: Run, earlier: Path, tmp_path: Path) -> None:
    code, _, err = run("image", "--from", earlier)
    assert code == 2
    assert is_one_line(err)
    assert "-o/--output" in err
    assert names(tmp_path) == ["earlier.png"]


def test_a_snapshot_of_live_is_painted_of_a_content_that_is_asked_for(
    run: Run, style: Path, photo: Path, tmp_path: Path, noted_image: dict[str, Any]
) -> None:
    facts = {"style": str(style), "network": "lite", "size": 48, "frame": 3, "settings": {"hue": 20.0}}
    snapshot = Album(tmp_path).keep(stepped(1, 8, 8)[0], stepped(1, 8, 8)[0], facts)
    code, _, err = run("image", "--from", snapshot, "-o", "new.png")
    assert code == 2
    assert is_one_line(err)
    assert "CONTENT" in err
    assert "--style" not in err
    assert run("image", photo, "--from", snapshot, "-o", "new.png")[0] == 0
    config = noted_image["config"]
    assert (config.content, config.style, config.size) == (photo, (style,), 48)
    assert noted_image["settings"].hue == 20


def test_what_a_picture_says_is_checked_like_anything_else(run: Run, photo: Path, style: Path, tmp_path: Path) -> None:
    from nst_video.sinks import write_picture

    odd: list[tuple[dict[str, Any], str]] = [
        ({"hue": 1000}, "--hue must be from -180 to 180, not 1000"),
        ({"content_weight": float("nan")}, "nan is no value for --content-weight"),
        ({"size": "big"}, "'big' is no value for --size"),
        ({"optimizer": "newton"}, "'newton' is no value for --optimizer"),
        ({"style": "gone.png"}, "no picture gone.png"),
    ]
    for number, (facts, says) in enumerate(odd):
        path = tmp_path / f"{number}.png"
        write_picture(path, stepped(1, 8, 8)[0], {"content": str(photo), "style": [str(style)], **facts})
        code, out, err = run("image", "--from", path, "-o", tmp_path / "new.png", "--device", "cpu")
        assert (code, out) == (2, "")
        assert is_one_line(err)
        assert says in err
    assert "new.png" not in names(tmp_path)


def test_help_is_there_whatever_it_should_repeat(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["image", "--from", "gone.png", "--help"])
    assert caught.value.code == 0
    assert "--from RESULT" in capsys.readouterr().out


def test_only_a_picture_can_be_repeated(run: Run, clip: Path, style: Path, earlier: Path, tmp_path: Path) -> None:
    code, _, err = run("video", clip, "--style", style, "-o", tmp_path / "o.mp4", "--from", earlier)
    assert code == 2
    assert is_one_line(err)
    assert "--from" in err


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
