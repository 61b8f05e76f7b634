"""Pictures from file to file: what comes out, what is told on the way, what is left when it goes wrong."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from media import blobs, read_png
from media import write_png as save
from sessions import interrupt_at, lines, names, quietly
from torch import Tensor

from nst_video import image_session, studio
from nst_video.adam import Moments
from nst_video.device import Compute
from nst_video.errors import SettingsError, SinkError, SourceError, WeightsError, WorkError
from nst_video.frame import Pixels
from nst_video.image_session import run_image
from nst_video.networks import FeatureNetwork
from nst_video.optimizer import Losses, Method
from nst_video.painting import Behind, Painting, State
from nst_video.report import Progress
from nst_video.settings import ImageConfig, StyleSettings
from nst_video.sheet import Sheet
from nst_video.still import Watch
from nst_video.stylizer import Stylizer
from nst_video.weights import load_network

pytestmark = pytest.mark.usefixtures("nothing_is_left")


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
        (0.1, ["lite", "vgg19"], [10, 2]),
        (0.5, ["lite", "vgg19"], [6, 6]),
        (0, ["lite"], [12]),
        (0.01, ["lite", "vgg19"], [10, 2]),
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
        picture, weights=tmp_path / "a", refine="vgg19", refine_weights=tmp_path / "b", pooling="avg", iterations=3
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
    make, methods = studio.make_stylizer, list[str]()

    def made(*given: Any, method: Method, **named: Any) -> Any:
        methods.append(method)
        return make(*given, method=method, **named)

    monkeypatch.setattr(image_session, "make_stylizer", made)
    run_image(replace(picture, refine="vgg19", refine_share=0.5), StyleSettings(), quietly)
    assert torch.equal(starts[1], ends[0])
    assert methods == ["adam", "lbfgs"]
    assert not torch.equal(starts[1], starts[0])
    methods.clear()
    run_image(replace(picture, refine="vgg19", refine_share=1), StyleSettings(), quietly)
    assert methods == ["adam"]  # it does not go on with anything


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

    monkeypatch.setattr(image_session, "plot_losses", note)
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
        behind = Behind(content, torch.zeros_like(content[:, :1]))
        state = State(prepared, content, Moments.zero(content), settings, {}, behind, Sheet.of(content))
        return Painting(prepared.pixels, prepared.pixels, iterations, {}), state

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


def test_a_layer_that_the_network_lacks_is_told(picture: ImageConfig, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--content-layers: this network has no relu9_9"):
        run_image(picture, StyleSettings(content_layers=("relu9_9",)), quietly)
    with pytest.raises(SettingsError, match="--style-layers: this network has no relu3_3"):
        run_image(picture, StyleSettings(style_layers=("relu3_3",)), quietly)
    assert names(tmp_path) == []
