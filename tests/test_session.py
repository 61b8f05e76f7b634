"""Pictures and films from file to file: what comes out, what is told on the way, what is left when it goes wrong."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from media import NTSC, blobs, decode, ffmpeg, look_at, loudness, numbers, read_png, sound_md5, stepped, write_clip
from media import write_png as save
from torch import Tensor

from nst_video import ffmpeg as room
from nst_video import session, studio
from nst_video.adam import Moments
from nst_video.budget import Budget
from nst_video.container import Encoder
from nst_video.device import Compute
from nst_video.errors import NstVideoError, SettingsError, SinkError, SourceError, WeightsError, WorkError
from nst_video.film import Film
from nst_video.frame import Frame, Pixels
from nst_video.networks import FeatureNetwork
from nst_video.optimizer import Losses
from nst_video.pipeline import Pipeline
from nst_video.session import Progress, Summary, run_image, run_live, run_video
from nst_video.settings import ImageConfig, LiveConfig, StyleSettings, VideoConfig
from nst_video.sources import PlayedFile, VideoFile
from nst_video.still import Watch
from nst_video.stylizer import Painting, State, Stylizer
from nst_video.weights import load_network

UNPAINTED = StyleSettings(strength=0)
"""What comes out then is what went in, so that frames, colours and shapes can be compared."""


@pytest.fixture(autouse=True)
def _no_thread_and_no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
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


def quietly(_: Progress) -> None:
    pass


def convert(config: VideoConfig, settings: StyleSettings = UNPAINTED) -> Summary:
    return run_video(config, settings, quietly)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# pictures


def test_a_picture_is_painted_at_its_own_size(picture: ImageConfig, tmp_path: Path) -> None:
    told = list[Progress]()
    summary = run_image(replace(picture, size=40), StyleSettings(), told.append)
    painted = read_png(tmp_path / "out.png")
    assert painted.shape == (48, 64, 3)
    assert np.abs(painted.astype(np.int32) - read_png(picture.content)).mean() > 2
    assert summary == replace(summary, output=picture.output, done=12, expected=12, device=Compute.choose().name)
    assert not summary.incomplete
    assert [(p.done, p.total) for p in told] == [(10, 12), (12, 12)]
    assert names(tmp_path) == ["out.png"]


def test_a_picture_is_the_same_for_the_same_seed(picture: ImageConfig, tmp_path: Path) -> None:
    def painted(**changed: Any) -> Pixels:
        run_image(replace(picture, iterations=3, **changed), StyleSettings(), quietly)
        return read_png(tmp_path / "out.png")

    noise = painted(init="noise", seed=1)
    assert np.array_equal(painted(init="noise", seed=1), noise)
    assert not np.array_equal(painted(init="noise", seed=2), noise)
    assert np.array_equal(painted(seed=1), painted(seed=2))
    assert np.array_equal(painted(init_noise=1.0, seed=1), noise)
    half = painted(init_noise=0.5, seed=1).astype(np.float64)
    assert np.abs(half - painted()).mean() < np.abs(noise.astype(np.float64) - painted()).mean()


def test_a_picture_can_begin_as_its_style(picture: ImageConfig, tmp_path: Path) -> None:
    run_image(replace(picture, iterations=1, init="style"), StyleSettings(learning_rate=1e-5), quietly)
    begun = read_png(tmp_path / "out.png").astype(np.float64)
    squeezed = cv2.resize(read_png(picture.style[0]), (64, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(begun - squeezed).mean() < 8
    assert np.abs(begun - read_png(picture.content)).mean() > 20


def test_several_styles_are_blended(picture: ImageConfig, photo: Path, tmp_path: Path) -> None:
    both = replace(picture, style=(*picture.style, photo))
    run_image(both, StyleSettings(style_blend=(1.0, 0.0)), quietly)
    blended = read_png(tmp_path / "out.png")
    run_image(picture, StyleSettings(), quietly)
    assert np.array_equal(blended, read_png(tmp_path / "out.png"))
    with pytest.raises(SettingsError, match="--style-blend"):
        run_image(both, StyleSettings(style_blend=(1.0,)), quietly)


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the networks that were loaded; VGG-19 is not at hand everywhere, so `lite` stands in for it."""
    asked = list[str]()

    def load(name: str, *, weights: Path | None, **others: Any) -> FeatureNetwork:
        asked.append(f"{name} {weights.name} {others['pooling']}" if weights else name)
        return load_network("lite", **{**others, "pooling": "max"})

    monkeypatch.setattr(studio, "load_network", load)
    return asked


@pytest.mark.parametrize(
    ("share", "networks", "iterations"),
    [
        (0.1, ["lite", "vgg19"], [11, 1]),
        (0.5, ["lite", "vgg19"], [6, 6]),
        (0, ["lite"], [12]),
        (0.01, ["lite", "vgg19"], [11, 1]),
        (1, ["vgg19"], [12]),
    ],
)
def test_another_network_does_the_last_iterations(
    picture: ImageConfig,
    asked_for: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    share: float,
    networks: list[str],
    iterations: list[int],
) -> None:
    paint, counts, told = Stylizer.paint, list[int](), list[Progress]()

    def counted(*given: Any, **named: Any) -> Any:
        painting, state = paint(*given, **named)
        counts.append(painting.iterations)
        return painting, state

    monkeypatch.setattr(Stylizer, "paint", counted)
    config = replace(picture, refine="vgg19", refine_share=share, log_json=tmp_path / "log.json")
    summary = run_image(config, StyleSettings(), told.append)
    assert asked_for == networks
    assert counts == iterations
    assert (summary.done, summary.expected) == (12, 12)
    assert [p.done for p in told] == [10, 12]
    assert lines(tmp_path / "log.json")[0]["iterations"] == 12


def test_each_network_has_its_own_weights_and_only_vgg19_the_pooling(
    picture: ImageConfig, asked_for: list[str], tmp_path: Path
) -> None:
    config = replace(
        picture, weights=tmp_path / "a", refine="vgg19", refine_weights=tmp_path / "b", pooling="avg", iterations=2
    )
    run_image(config, StyleSettings(), quietly)
    assert asked_for == ["lite a max", "vgg19 b avg"]


def test_missing_weights_of_the_last_network_are_told_before_the_first_one_paints(picture: ImageConfig) -> None:
    config, told = replace(picture, refine="vgg19", refine_weights=Path("gone.pth")), list[Progress]()
    with pytest.raises(WeightsError, match=r"gone\.pth"):
        run_image(config, StyleSettings(), told.append)
    assert told == []


@pytest.mark.usefixtures("asked_for")
def test_the_log_has_the_seconds_of_both_networks(
    picture: ImageConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paint = Stylizer.paint

    def slow(*given: Any, **named: Any) -> Any:
        painting, state = paint(*given, **named)
        return replace(painting, seconds={"optimize": 100.0}), state

    monkeypatch.setattr(Stylizer, "paint", slow)
    run_image(replace(picture, refine="vgg19", log_json=tmp_path / "log.json"), StyleSettings(), quietly)
    assert lines(tmp_path / "log.json")[0]["seconds"]["optimize"] == 200


@pytest.mark.usefixtures("asked_for")
def test_refining_goes_on_from_what_was_painted(picture: ImageConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    paint, starts, ends = Stylizer.paint, list[Tensor](), list[Tensor]()

    def noted(*given: Any, start: Tensor, **named: Any) -> Any:
        starts.append(start.clone())
        painting, state = paint(*given, start=start, **named)
        ends.append(state.image)
        return painting, state

    monkeypatch.setattr(Stylizer, "paint", noted)
    run_image(replace(picture, refine="vgg19", refine_share=0.5), StyleSettings(), quietly)
    assert torch.equal(starts[1], ends[0])
    assert not torch.equal(starts[1], starts[0])


def test_the_log_of_a_picture_is_one_line(picture: ImageConfig, tmp_path: Path) -> None:
    run_image(replace(picture, log_json=tmp_path / "log.jsonl"), StyleSettings(), quietly)
    (line,) = lines(tmp_path / "log.jsonl")
    assert (line["index"], line["pts"], line["iterations"]) == (0, 0, 12)
    assert line["losses"].keys() == {"total", "content", "style", "tv", "temporal"}
    assert line["seconds"].keys() == {"prepare", "flow", "upload", "carry", "look", "optimize", "color", "write"}


def test_a_picture_that_cannot_be_stored_is_an_error(
    picture: ImageConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nst_video.sinks.imageio.imwrite", full)
    monkeypatch.setattr("nst_video.sinks.Image.Image.save", full)
    for name in ("out.png", "out.jpg"):
        with pytest.raises(WorkError, match=rf"cannot write .*{name}: No space left"):
            run_image(replace(picture, output=tmp_path / name, iterations=1), StyleSettings(), quietly)
    assert names(tmp_path) == []


# a picture on its way


@pytest.mark.parametrize(
    ("name", "every", "wanted"),
    [
        ("out.png", 5, ["out-01.png", "out-05.png", "out-10.png", "out.png"]),
        ("out.jpg", 12, ["out-01.jpg", "out-12.jpg", "out.jpg"]),
        ("out.png", 100, ["out-01.png", "out.png"]),
    ],
)
def test_pictures_on_the_way_are_kept_at_the_size_of_the_content(
    picture: ImageConfig, tmp_path: Path, name: str, every: int, wanted: list[str]
) -> None:
    config = replace(picture, output=tmp_path / name, size=64, scales=2, save_every=every)
    run_image(config, StyleSettings(), quietly)
    assert names(tmp_path) == wanted
    pictures = [read_png(tmp_path / one) for one in wanted]
    assert {one.shape for one in pictures} == {(48, 64, 3)}
    assert len({one.tobytes() for one in pictures}) == len(wanted) - (every == 12)  # the last one is the result


def test_a_picture_on_the_way_is_what_so_many_iterations_make(picture: ImageConfig, tmp_path: Path) -> None:
    settings = StyleSettings(hue=30, original_colors="luminance")
    run_image(replace(picture, iterations=4, save_every=3), settings, quietly)
    kept = read_png(tmp_path / "out-3.png")
    run_image(replace(picture, iterations=3), settings, quietly)
    assert np.array_equal(read_png(tmp_path / "out.png"), kept)


def test_pictures_on_the_way_do_not_change_the_result(picture: ImageConfig, tmp_path: Path) -> None:
    config = replace(picture, iterations=5, optimizer="lbfgs", init="blend")
    run_image(config, StyleSettings(), quietly)
    alone = read_png(tmp_path / "out.png")
    run_image(replace(config, save_every=1), StyleSettings(), quietly)
    assert np.array_equal(read_png(tmp_path / "out.png"), alone)


def test_a_plot_is_drawn_of_all_sizes_and_networks(
    picture: ImageConfig, asked_for: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plotted = list[Any]()

    def note(*given: Any) -> bytes:
        plotted.append(given)
        return b"drawn"

    monkeypatch.setattr(session, "plot_losses", note)
    config = replace(picture, plot=tmp_path / "plot.svg", scales=2, refine="vgg19", refine_share=0.25)
    run_image(config, StyleSettings(tv_weight=0.5), quietly)
    ((suffix, curves, changes),) = plotted
    assert suffix == ".svg"
    assert changes == [(0, "lite, 32 px"), (3, "lite, 64 px"), (9, "vgg19, 64 px")]
    assert asked_for == ["lite", "vgg19"]
    assert list(curves) == ["total", "content", "style", "tv"]
    for total, *terms in zip(*curves.values(), strict=True):
        assert sum(terms) == pytest.approx(total, rel=0.02)
    assert len(curves["total"]) == 12
    run_image(replace(config, scales=1, refine="none", refine_share=0.1), StyleSettings(), quietly)
    assert plotted[1][2] == []  # where nothing changes there is nothing to mark


@pytest.mark.parametrize("name", ["out-02.png", "../films/out-02.png", "link-to-out-02.png"])
def test_no_picture_on_the_way_is_written_over_an_input(picture: ImageConfig, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    content = folder / "out-02.png"
    content.write_bytes(picture.content.read_bytes())
    (folder / "link-to-out-02.png").symlink_to(content)
    config = replace(picture, content=folder / name, output=folder / "out.png", save_every=2)
    with pytest.raises(SinkError, match=r"--save-every would write over .*out-02\.png"):
        run_image(config, StyleSettings(), quietly)
    (folder / "out-06.png").mkdir()
    with pytest.raises(SinkError, match=r"--save-every would write over .*out-06\.png"):
        run_image(replace(config, content=picture.content), StyleSettings(), quietly)


@pytest.mark.parametrize("name", ["typo", "gone/start.png", "Content", "."])
def test_an_unknown_start_is_told_with_the_choices_before_anything_is_loaded(
    picture: ImageConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(studio, "load_network", None)
    wanted = rf"^--init must be content, style, noise, blend or a picture, and there is no picture {re.escape(name)}$"
    with pytest.raises(SourceError, match=wanted):
        run_image(replace(picture, init=Path(name), log_json=tmp_path / "log"), StyleSettings(), quietly)
    assert names(tmp_path) == []


@pytest.mark.parametrize("given", [
    {"plot": "log.svg", "log_json": "log.svg"},
    {"save_every": 3, "log_json": "out-03.png"},
    {"save_every": 3, "plot": "out-01.png"},
])  # fmt: skip
def test_no_two_results_have_one_name(picture: ImageConfig, tmp_path: Path, given: dict[str, Any]) -> None:
    given = {name: tmp_path / value if isinstance(value, str) else value for name, value in given.items()}
    with pytest.raises(SinkError, match="cannot write"):
        run_image(replace(picture, **given), StyleSettings(), quietly)
    assert names(tmp_path) == []


@pytest.mark.parametrize("size", [(8, 100), (100, 8)])
def test_a_strip_is_painted_at_several_sizes(picture: ImageConfig, tmp_path: Path, size: tuple[int, int]) -> None:
    """The smaller ones have another shape: no side is under 16 pixels."""
    strip = tmp_path / "strip.png"
    save(strip, np.full((*size, 3), 90, np.uint8))
    run_image(replace(picture, content=strip, scales=2, iterations=3), StyleSettings(), quietly)
    assert read_png(tmp_path / "out.png").shape == (*size, 3)


def test_gradient_descent_keeps_to_one_size_and_to_one_network(picture: ImageConfig) -> None:
    """Its rate is found at the first step; at the first of another size there is little gradient left."""
    told = list[Progress]()
    config = replace(picture, size=512, iterations=2, optimizer="sgd")
    run_image(config, StyleSettings(), told.append)
    for more in ({"scales": 2}, {"refine": "vgg19", "refine_share": 0.5}):
        with pytest.raises(
            SettingsError, match=r"^--optimizer sgd keeps one rate, found at its first step: no --scales"
        ):
            run_image(replace(config, **more), StyleSettings(), quietly)


def test_what_is_missing_is_told_though_a_picture_on_the_way_is_there_already(
    picture: ImageConfig, tmp_path: Path
) -> None:
    save(tmp_path / "out-01.png", blobs(8, 8))
    with pytest.raises(SourceError, match=r"no picture .*gone\.png"):
        run_image(replace(picture, content=tmp_path / "gone.png", save_every=2), StyleSettings(), quietly)


def test_ctrl_c_while_a_picture_is_written_leaves_no_half_of_it(
    picture: ImageConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(self: object, partial: Path, **_: object) -> None:
        partial.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("nst_video.sinks.Image.Image.save", pressed)
    with pytest.raises(KeyboardInterrupt):
        run_image(replace(picture, iterations=2), StyleSettings(), quietly)
    assert names(tmp_path) == []


def test_a_plot_lies_beside_the_picture(picture: ImageConfig, tmp_path: Path) -> None:
    run_image(replace(picture, iterations=1, plot=tmp_path / "loss.png"), StyleSettings(), quietly)
    assert names(tmp_path) == ["loss.png", "out.png"]
    assert read_png(tmp_path / "loss.png").shape == (450, 800, 3)


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ({"scales": 2}, [(32, 4), (64, 8)]),
        ({"scales": 1}, [(64, 12)]),
        ({}, [(64, 12)]),
        ({"size": 512, "iterations": 11}, [(128, 1), (256, 2), (512, 8)]),
        ({"scales": 2, "refine": "vgg19", "refine_share": 0.5}, [(32, 2), (64, 4), (64, 6)]),
        ({"scales": 2, "refine": "vgg19", "refine_share": 1}, [(32, 4), (64, 8)]),
    ],
)
@pytest.mark.usefixtures("asked_for")
def test_iterations_are_counted_over_all_sizes(
    picture: ImageConfig, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], sizes: list[tuple[int, int]]
) -> None:
    found, told, starts = list[tuple[int, int]](), list[Progress](), list[bool]()

    def paint(self: Stylizer, prepared: Any, settings: Any, state: Any, **named: Any) -> Any:
        iterations, content = named["iterations"], prepared.content
        found.append((max(content.shape[2:]), iterations))
        starts.append(state is None)
        zero = torch.tensor(1.0)
        for done in range(iterations):
            named["on_iteration"](done + 1, content, Losses(zero, zero, zero, zero, zero))
        return Painting(prepared.pixels, prepared.pixels, iterations, {}), State(
            prepared, content, Moments.zero(content), settings, {}
        )

    monkeypatch.setattr(Stylizer, "paint", paint)
    config = replace(picture, **given)
    summary = run_image(config, StyleSettings(), told.append)
    assert found == sizes
    assert all(starts)  # nothing but the picture goes on from size to size
    assert [(p.done, p.total) for p in told] == [(10, config.iterations), (config.iterations, config.iterations)]
    assert (summary.done, summary.expected) == (config.iterations, config.iterations)


def test_the_learning_rate_decays_over_all_sizes(picture: ImageConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    paint, rates = Stylizer.paint, list[float]()

    def noted(self: Stylizer, prepared: Any, settings: StyleSettings, *given: Any, **named: Any) -> Any:
        rates.append(settings.learning_rate)
        return paint(self, prepared, settings, *given, **named)

    monkeypatch.setattr(Stylizer, "paint", noted)
    settings = StyleSettings(learning_rate=0.04, learning_rate_decay=0.001)
    run_image(replace(picture, iterations=10, scales=2), settings, quietly)
    assert rates == pytest.approx([0.04, 0.04 * 0.001**0.03])


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_an_optimiser_paints_from_coarse_to_fine(picture: ImageConfig, tmp_path: Path, optimizer: Any) -> None:
    told = list[Progress]()
    config = replace(picture, optimizer=optimizer, scales=2, init="blend", iterations=20)
    assert run_image(config, StyleSettings(), told.append).done == 20
    assert told[-1].losses["style"] < told[0].losses["style"] * 1.5
    assert np.ptp(read_png(tmp_path / "out.png")) > 50


def test_an_interrupt_keeps_the_picture_as_it_stands(picture: ImageConfig, tmp_path: Path) -> None:
    log, plot = tmp_path / "log", tmp_path / "plot.svg"
    config = replace(picture, iterations=20, save_every=10)
    summary = run_image(replace(config, plot=plot, log_json=log), StyleSettings(), interrupt_at(10))
    assert (summary.interrupted, summary.done, summary.expected, summary.incomplete) == (True, 10, 20, False)
    assert names(tmp_path) == ["log", "out-01.png", "out-10.png", "out.png", "plot.svg"]
    assert np.array_equal(read_png(tmp_path / "out.png"), read_png(tmp_path / "out-10.png"))
    assert lines(log)[0]["iterations"] == 10
    run_image(replace(config, iterations=10, save_every=None), StyleSettings(), quietly)
    assert np.array_equal(read_png(tmp_path / "out.png"), read_png(tmp_path / "out-10.png"))


@pytest.mark.usefixtures("asked_for")
def test_an_interrupt_at_a_small_size_or_in_the_last_network_has_the_size_of_the_content(
    picture: ImageConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(picture, iterations=12, scales=2, refine="vgg19", refine_share=0.5)
    for after in (1, 7):

        def press(self: Watch, *given: Any, call: Any = Watch.__call__, after: int = after) -> None:
            call(self, *given)
            if self.done == after:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Watch, "__call__", press)
            summary = run_image(config, StyleSettings(), quietly)
        assert (summary.interrupted, summary.done) == (True, after)
        assert read_png(tmp_path / "out.png").shape == (48, 64, 3)


def test_an_interrupt_before_the_first_iteration_leaves_nothing(
    picture: ImageConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    config = replace(picture, save_every=1, plot=tmp_path / "plot.svg")
    for place in ("prepare", "paint", "_style_grams"):
        with monkeypatch.context() as patch:
            patch.setattr(Stylizer, place, pressed)
            with pytest.raises(KeyboardInterrupt):
                run_image(config, StyleSettings(), quietly)
        assert names(tmp_path) == []


def test_a_mask_leaves_the_rest_as_it_was(picture: ImageConfig, tmp_path: Path, media: Path) -> None:
    left = np.zeros((24, 32, 3), np.uint8)
    left[:, :16] = 255
    config = replace(picture, mask=(save(media / "left.png", left),), scales=2, init="noise", save_every=12)
    run_image(config, StyleSettings(), quietly)
    for name in ("out-01.png", "out.png"):
        change = np.abs(read_png(tmp_path / name).astype(np.int32) - read_png(picture.content)).mean(2)
        assert change[:, 36:].max() <= 1
        assert change[:, :28].mean() > 10


def test_a_film_takes_a_mask_of_its_own_shape_only(
    film: Callable[..., VideoConfig], silent: Path, media: Path, tmp_path: Path
) -> None:
    mask = save(media / "square.png", blobs(32, 32))
    with pytest.raises(
        SettingsError, match=r"^--mask .*square\.png has 32x32 pixels; it must have the shape .* 64x48$"
    ):
        convert(film(silent, mask=(mask,)))
    assert names(tmp_path) == []


@pytest.mark.parametrize("as_what", ["content", "style", "mask", "init", "weights"])
def test_pictures_on_the_way_do_not_take_the_place_of_what_is_read(
    picture: ImageConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_what: str
) -> None:
    for number in ("01", "10"):
        path = save(tmp_path / f"out-{number}.png", blobs(48, 64, seed=9))
        before = path.read_bytes()
        given: dict[str, Any] = {as_what: (path,) if as_what in ("style", "mask") else path}
        monkeypatch.setattr(Stylizer, "paint", None)
        with pytest.raises(SinkError, match=rf"out-{number}\.png.*input"):
            run_image(replace(picture, save_every=5, **given), StyleSettings(), quietly)
        assert path.read_bytes() == before
        path.unlink()


# films


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

    monkeypatch.setattr("nst_video.session.FlowEstimator", none)
    convert(film(silent, flow="none"))
    with pytest.raises(RuntimeError, match="not wanted"):
        convert(film(silent, flow="dis"))


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


# what goes wrong


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


def interrupt_at(frame: int, *, times: int = 1) -> Callable[[Progress], None]:
    left = times

    def on_progress(progress: Progress) -> None:
        nonlocal left
        if progress.done >= frame and left:
            left -= 1
            raise KeyboardInterrupt

    return on_progress


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
    monkeypatch.setattr(session, "choose_encoder", lambda *_, **__: broken)
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


def test_a_layer_that_the_network_lacks_is_told(picture: ImageConfig, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--content-layers: this network has no relu9_9"):
        run_image(picture, StyleSettings(content_layers=("relu9_9",)), quietly)
    with pytest.raises(SettingsError, match="--style-layers: this network has no relu3_3"):
        run_image(picture, StyleSettings(style_layers=("relu3_3",)), quietly)
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


# live


@pytest.fixture
def live(style: Path, silent: Path) -> Callable[..., LiveConfig]:
    def config(**given: Any) -> LiveConfig:
        quick = {"size": 32, "iterations": 1, "device": "cpu", "headless": True, **given}
        return LiveConfig(**{"source": str(silent), "style": (style,), **quick})

    return config


def test_live_paints_what_the_source_shows_until_it_ends(live: Callable[..., LiveConfig], tmp_path: Path) -> None:
    told = list[Progress]()
    summary = run_live(live(log_json=tmp_path / "log.jsonl"), StyleSettings(), told.append)
    log = lines(tmp_path / "log.jsonl")
    assert summary.painted == len(log) == len(told) > 0
    assert summary.painted + summary.dropped == 8
    assert summary.iterations == summary.painted
    assert [line["index"] for line in log] == sorted({line["index"] for line in log})
    assert 0 < summary.delay < 10
    assert summary.fps > 0
    assert log[0]["seconds"].keys() == {"read", "prepare", "flow", "upload", "carry", "look", "optimize", "color"}
    assert all(line["delay"] > 0 for line in log)


def test_live_leaves_out_what_comes_while_another_frame_is_painted(
    live: Callable[..., LiveConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read, paint = threading.Event(), Stylizer.paint

    def at_once(self: VideoFile) -> Iterator[Frame]:
        yield from VideoFile.__iter__(self)
        read.set()

    def slowly(*given: Any, **named: Any) -> Any:
        assert read.wait(20)  # the whole clip goes by
        return paint(*given, **named)

    monkeypatch.setattr(PlayedFile, "__iter__", at_once)
    monkeypatch.setattr(Stylizer, "paint", slowly)
    summary = run_live(live(log_json=tmp_path / "log"), StyleSettings(), quietly)
    indices = [line["index"] for line in lines(tmp_path / "log")]
    assert indices[-1] == 7  # the newest
    assert summary.painted == len(indices) <= 3
    assert summary.dropped == 8 - summary.painted


def test_live_stops_after_so_many_frames(live: Callable[..., LiveConfig]) -> None:
    assert run_live(live(frames=2), StyleSettings(), quietly).painted == 2


def test_live_ends_with_ctrl_c(live: Callable[..., LiveConfig]) -> None:
    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    summary = run_live(live(), StyleSettings(), interrupt)
    assert summary.interrupted
    assert summary.painted == 1


def test_live_takes_what_the_budget_allows(
    live: Callable[..., LiveConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spent = list[tuple[int, float, float]]()

    class Two:
        def __init__(self, target_fps: float) -> None:
            assert target_fps == pytest.approx(24000 / 1001)  # the clip has no more
            self.iterations = 2

        def spent(self, *given: Any) -> None:
            spent.append(given)
            self.iterations = 3

    monkeypatch.setattr(session, "Budget", Two)
    run_live(live(iterations=0, target_fps=30.0, frames=3, log_json=tmp_path / "log"), StyleSettings(), quietly)
    assert [line["iterations"] for line in lines(tmp_path / "log")] == [2, 2, 3]
    assert all(count in (2, 3) and iterating > 0 and around > 0 for count, iterating, around in spent)


def test_an_error_while_painting_live_is_raised(
    live: Callable[..., LiveConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Stylizer, "finish", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        run_live(live(), StyleSettings(), quietly)


def test_the_log_of_live_takes_no_place_of_what_is_read(live: Callable[..., LiveConfig], tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"precious")
    config = live()
    for path in (weights, Path(config.source or ""), *config.style):
        before = path.read_bytes()
        with pytest.raises(SinkError, match="it is the input"):
            run_live(replace(config, weights=weights, log_json=path), StyleSettings(), quietly)
        assert path.read_bytes() == before


def test_the_budget_does_not_count_the_first_frame_which_waits_for_much(
    live: Callable[..., LiveConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = list[int]()
    monkeypatch.setattr(Budget, "spent", lambda self, iterations, *_: spent.append(iterations))
    assert run_live(live(iterations=0, frames=3), StyleSettings(), quietly).painted == 3
    assert len(spent) >= 2
    assert len(spent) <= 4  # one more may be on its way when the third is done


def test_live_needs_a_source_that_is_there(live: Callable[..., LiveConfig]) -> None:
    with pytest.raises(SourceError, match=r"no video file gone\.mp4"):
        run_live(replace(live(), source="gone.mp4"), StyleSettings(), quietly)


# going on


def test_a_film_that_could_not_be_joined_is_joined_by_the_next_run(
    film: Callable[..., VideoConfig], silent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise WorkError("cannot write out.mp4: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Film, "_run", full)
        with pytest.raises(WorkError, match="No space left on device; 8 frames are kept, --resume goes on from there"):
            convert(film(silent))
    assert names(tmp_path) == ["out.mp4.parts"]
    summary = convert(film(silent))
    assert (summary.done, summary.resumed, summary.incomplete) == (8, 8, False)
    assert numbers(decode(tmp_path / "out.mp4")) == list(range(8))
    assert names(tmp_path) == ["out.mp4"]


def test_other_settings_begin_anew_unless_resuming_is_insisted_on(
    film: Callable[..., VideoConfig], silent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise WorkError("full")

    with monkeypatch.context() as patch:
        patch.setattr(Film, "_run", full)
        with pytest.raises(WorkError, match="full"):
            convert(film(silent))
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
    def full(*_: object) -> None:
        raise WorkError("full")

    with monkeypatch.context() as patch:
        patch.setattr(Film, "_run", full)
        with pytest.raises(WorkError, match="full"):
            convert(film(silent, "out.gif"))
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
