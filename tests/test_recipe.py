"""What a picture was painted with, inside it and back again; what is foreign or damaged is told in one line."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import shutil
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from media import blobs
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nst_video import __version__, recipe
from nst_video.errors import SettingsError, SourceError
from nst_video.pictures import NOTE
from nst_video.settings import ImageConfig, StyleSettings, option_name
from nst_video.sinks import Album, write_picture

CHANGED: dict[str, Any] = {
    "style": (Path("a.png"), Path("Größe ★/b.png")), "size": 200, "iterations": 33, "network": "vgg19",
    "weights": Path("w.pth"), "pooling": "avg", "device": "cpu", "precision": "bf16", "seed": 5,
    "mask": (Path("m.png"), Path("n.png")), "memory": 2.5, "threads": 3, "content": Path("content.jpg"),
    "optimizer": "sgd",
    "scales": 2, "init": Path("start.png"), "init_noise": 0.25, "refine": "vgg19-caffe", "refine_share": 0.3,
    "refine_weights": Path("r.pth"), "content_weight": 2.0, "style_weight": 3, "tv_weight": 0, "loss": "paper",
    "content_layers": ("relu1_1", "relu2_1"), "content_layer_weights": (3.0, 1), "style_layers": ("relu3_1",),
    "style_layer_weights": (2.0,), "style_blend": (0.7, 0.3), "style_scale": 0.5, "jitter": 3, "learning_rate": 0.1,
    "learning_rate_decay": 0.9, "original_colors": "luminance", "photorealistic": True, "strength": 0.5, "hue": -10.5,
    "saturation": 0.6, "brightness": 1.2,
}  # fmt: skip
"""A value that is not its default for each field that a picture remembers."""
REMEMBERED = [
    field
    for kind in (ImageConfig, StyleSettings)
    for field in dataclasses.fields(kind)
    if "image" in field.metadata["commands"] and field.name not in recipe.INDIFFERENT
]
NAMES = [field.name for field in REMEMBERED]

Noted = Callable[[str], Path]


@pytest.fixture
def noted(tmp_path: Path) -> Noted:
    """Writes a PNG with this text as its note."""

    def write(text: str) -> Path:
        notes = PngInfo()
        notes.add_text(NOTE, text)
        Image.fromarray(blobs(8, 8)).save(tmp_path / "noted.png", pnginfo=notes)
        return tmp_path / "noted.png"

    return write


def made(options: dict[str, Any], output: Path) -> tuple[ImageConfig, StyleSettings]:
    """What the command line makes of options."""
    in_config = {field.name for field in dataclasses.fields(ImageConfig)}
    config = {"content": Path("c.png"), "style": (Path("s.png"),), **options}
    return (
        ImageConfig(output=output, **{name: value for name, value in config.items() if name in in_config}),
        StyleSettings(**{name: value for name, value in options.items() if name not in in_config}),
    )


def repeated(config: ImageConfig, settings: StyleSettings, folder: Path) -> tuple[ImageConfig, StyleSettings]:
    """What the picture says that was painted with these."""
    write_picture(folder / "painted.png", blobs(8, 8), recipe.facts(config, settings))
    return made(recipe.read(folder / "painted.png"), config.output)


# there and back


def test_every_setting_comes_back_as_it_was(tmp_path: Path) -> None:
    config, settings = made(CHANGED, tmp_path / "o.png")
    for field in REMEMBERED:  # a new one needs an entry in the table
        value = getattr(config if hasattr(config, field.name) else settings, field.name)
        assert value != field.default
    assert repeated(config, settings, tmp_path) == (config, settings)


def test_defaults_come_back(tmp_path: Path) -> None:
    config, settings = made({}, tmp_path / "o.png")
    assert repeated(config, settings, tmp_path) == (config, settings)


@pytest.mark.parametrize("init", ["content", "style", "noise", "blend"])
def test_a_word_for_the_start_comes_back_as_a_word_and_a_file_as_a_file(init: str, tmp_path: Path) -> None:
    for wanted in (init, Path("some.png"), tmp_path / init):
        found, _ = repeated(*made({"init": wanted}, tmp_path / "o.png"), tmp_path)
        assert found.init == wanted
        assert isinstance(found.init, Path) is isinstance(wanted, Path)


def within(field: dataclasses.Field[Any]) -> Any:
    high = field.metadata["high"]
    return st.floats(max(field.metadata["low"], -1e300), high if math.isfinite(high) else 1e300)


@given(
    st.fixed_dictionaries({}, optional={field.name: within(field) for field in REMEMBERED if field.type == "float"}),
    st.integers(0, 2**63 - 1),
    st.lists(st.floats(0.001, 1e9), min_size=5, max_size=5),
)
def test_numbers_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, numbers: dict[str, float], seed: int, weights: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    options = {**numbers, "seed": seed, "refine": "vgg19", "style_layer_weights": tuple(weights)}
    config, settings = made(options, folder / "o.png")
    assert repeated(config, settings, folder) == (config, settings)


def test_what_has_no_part_in_the_looks_is_not_in_it(tmp_path: Path) -> None:
    config, settings = made({}, tmp_path / "o.png")
    others: dict[str, Any] = {
        "quiet": True,
        "log_json": Path("l"),
        "plot": Path("p.svg"),
        "save_every": 3,
    }
    facts = recipe.facts(dataclasses.replace(config, max_pixels=9, **others), settings)
    assert facts == recipe.facts(config, settings)
    assert facts.keys() == {*NAMES, "version"}
    assert facts["version"] == __version__
    assert not facts.keys() & {*recipe.INDIFFERENT, "temporal_weight", "stability"}


def test_what_has_no_part_in_the_looks_is_not_read_either(noted: Noted) -> None:
    told = {"output": "/etc/passwd", "quiet": True, "log_json": "l", "plot": 7, "save_every": 3}
    assert recipe.read(noted(json.dumps({**told, "max_pixels": 1, "stability": 1.0, "nonsense": [], "hue": 3}))) == {
        "hue": 3
    }


# what is read


def test_a_picture_that_was_kept_on_the_way_is_as_good(tmp_path: Path) -> None:
    config, settings = made(CHANGED, tmp_path / "o.png")
    write_picture(tmp_path / "o-05.png", blobs(8, 8), {**recipe.facts(config, settings), "saved_after": 5})
    assert made(recipe.read(tmp_path / "o-05.png"), config.output) == (config, settings)


def test_a_snapshot_of_live_is_read_but_for_the_content_and_what_image_has_not(tmp_path: Path) -> None:
    settings = StyleSettings(hue=20, stability=0.9, temporal_weight=4, style_layers=("relu1_1", "relu3_1"))
    facts = {
        "time": "2026-03-04T12:00:59+01:00", "source": "camera 0", "frame": 77, "mirrored": True, "style": "s.png",
        "network": "lite", "size": 320, "settings": dataclasses.asdict(settings),
    }  # fmt: skip
    options = recipe.read(Album(tmp_path).keep(blobs(8, 8), blobs(8, 8), facts))
    assert {name: options[name] for name in ("style", "network", "size", "hue", "style_layers")} == {
        "style": (Path("s.png"),), "network": "lite", "size": 320, "hue": 20, "style_layers": ("relu1_1", "relu3_1")
    }  # fmt: skip
    assert not options.keys() & {"content", "source", "stability", "temporal_weight", "frame", "time"}
    _, found = made(options, tmp_path / "o.png")
    assert found == dataclasses.replace(settings, stability=StyleSettings().stability, temporal_weight=None)


def test_of_the_styles_of_a_session_a_snapshot_shows_one(tmp_path: Path) -> None:
    facts = {"style": "s.png", "settings": dataclasses.asdict(StyleSettings(style_blend=(0.0, 1.0)))}
    options = recipe.read(Album(tmp_path).keep(blobs(8, 8), blobs(8, 8), facts))
    made(options, tmp_path / "o.png")
    assert "style_blend" not in options


@pytest.mark.parametrize(("name", "value"), [
    ("content_weight", 10**400), ("seed", 10**40), ("style", "a\nb.png"), ("style", "a\0.png"),
    ("content", "\ud800.png"),
    ("style_layers", ["relu1_1\nrelu2_1"]), ("hue", math.nan), ("tv_weight", math.inf),
])  # fmt: skip
def test_a_value_beyond_all_bounds_is_told(noted: Noted, name: str, value: object) -> None:
    with pytest.raises(SettingsError, match="is no value for --") as told:
        recipe.read(noted(json.dumps({"style": "s.png", name: value})))
    assert "\n" not in str(told.value)


def test_a_name_too_long_for_any_file_is_only_a_name(noted: Noted) -> None:
    assert recipe.read(noted(json.dumps({"style": "s" * 5000})))["style"] == (Path("s" * 5000),)


def test_a_picture_of_an_older_version_lacks_some_settings(noted: Noted) -> None:
    assert recipe.read(noted('{"version": "0.0.1", "style": ["s.png"], "hue": 1.5}')) == {
        "style": (Path("s.png"),),
        "hue": 1.5,
        "jitter": 0,  # which there was none of
    }


def test_whole_numbers_are_numbers(noted: Noted) -> None:
    options = recipe.read(noted('{"hue": 7, "style_blend": [1, 0.5], "init_noise": 1, "seed": 9223372036854775807}'))
    assert options == {"hue": 7, "style_blend": (1, 0.5), "init_noise": 1, "seed": 2**63 - 1}


# files that have moved


def test_files_are_found_beside_the_picture_when_they_are_not_where_they_were(
    tmp_path: Path, photo: Path, style: Path
) -> None:
    here = tmp_path / "moved"
    here.mkdir()
    gone = tmp_path / "gone"
    names = {"content": "c.png", "weights": "w.pth", "refine_weights": "r.pth", "init": "i.png"}
    options: dict[str, Any] = {name: gone / file for name, file in names.items()}
    options |= {"refine": "vgg19", "style": (gone / "s.png", style), "mask": (gone / "m.png",)}
    config, settings = made(options, tmp_path / "o.png")
    write_picture(here / "o.png", blobs(8, 8), recipe.facts(config, settings))
    found = recipe.read(here / "o.png")
    assert {name: found[name] for name in options} == options  # as they were given, to be missed by their names
    for name in (*names.values(), "s.png", "m.png"):
        shutil.copy(photo, here / name)
    found = recipe.read(here / "o.png")
    assert {name: found[name] for name in names} == {name: here / file for name, file in names.items()}
    assert found["style"] == (here / "s.png", style)
    assert found["mask"] == (here / "m.png",)


def test_a_file_that_is_where_it_was_is_preferred(tmp_path: Path, photo: Path) -> None:
    config, settings = made({"content": photo}, tmp_path / "o.png")
    shutil.copy(photo, tmp_path / photo.name)
    assert repeated(config, settings, tmp_path)[0].content == photo


# what is none of ours


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".bmp"])
def test_other_kinds_of_pictures_say_nothing_and_that_is_told(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"o{suffix}"
    write_picture(path, blobs(8, 8), recipe.facts(*made({}, path)))
    with pytest.raises(SettingsError, match=rf"^--from .*o\{suffix}: nothing in it says how .* must be a PNG"):
        recipe.read(path)


def test_a_png_of_somebody_elses_says_nothing(photo: Path) -> None:
    with pytest.raises(SettingsError, match=r"^--from .*photo\.png: nothing in it says how it was painted"):
        recipe.read(photo)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "painted by hand",
        "{",
        '{"hue": 1',
        "[]",
        '["hue"]',
        "1",
        "null",
        "true",
        '"hue"',
        "NaN",
        '{"hue": 1}}',
        "{}",
        "[" * 100_000,
    ],
)
def test_a_note_that_is_none_of_ours_is_told_in_one_line(noted: Noted, text: str) -> None:
    with pytest.raises(SettingsError, match=r"^--from .*noted\.png: nothing in it says .*") as told:
        recipe.read(noted(text))
    assert "\n" not in str(told.value)


def test_a_note_that_was_cut_short_anywhere_is_told(noted: Noted, tmp_path: Path) -> None:
    text = json.dumps(recipe.facts(*made(CHANGED, tmp_path / "o.png")))
    for end in range(0, len(text), 101):
        with pytest.raises(SettingsError, match="--from"):
            recipe.read(noted(text[:end]))


def test_what_is_no_picture_or_not_there_is_told(tmp_path: Path, text_as_video: Path) -> None:
    for path, says in ((text_as_video, "is not a picture"), (tmp_path / "gone.png", "no picture"), (tmp_path, "no")):
        with pytest.raises(SourceError, match=says):
            recipe.read(path)


ODD: list[Any] = [True, 1, 2.5, "nonsense", None, [], {}, [[1]], [None], [{}], {"hue": 1}]


def fits(hint: Any, value: Any) -> bool:
    """Whether JSON's `value` is one for a field of this type, as far as types go."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in inner
    if origin is tuple:
        return all(fits(inner[0], one) for one in (value if isinstance(value, list) else [value]))
    if inner:
        return any(fits(one, value) for one in inner)
    if hint in (Path, str):
        return isinstance(value, str)
    kinds: Any = (int, float) if hint is float else hint
    return isinstance(value, kinds) and (hint is bool or not isinstance(value, bool))


@pytest.mark.parametrize("field", REMEMBERED, ids=NAMES)
@pytest.mark.parametrize("nested", [False, True])
def test_a_value_of_another_type_is_told_by_the_name_of_its_option(
    noted: Noted, field: dataclasses.Field[Any], nested: bool
) -> None:
    """Directly, and as in a snapshot of `live`."""
    (kind,) = (kind for kind in (ImageConfig, StyleSettings) if field in dataclasses.fields(kind))
    hint, refused = typing.get_type_hints(kind)[field.name], 0
    for value in ODD:
        path = noted(json.dumps({"settings": {field.name: value}} if nested else {field.name: value}))
        if fits(hint, value):
            found = {field.name, "jitter"} - {"style_blend"} if nested else {field.name}
            assert recipe.read(path).keys() == found
            continue
        refused += 1
        with pytest.raises(SettingsError, match=rf"^--from .* is no value for {option_name(field.name)}$") as told:
            recipe.read(path)
        assert "\n" not in str(told.value)
    assert refused >= 6


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from(["", "lite", "none", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "settings"]), inner, max_size=2),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*NAMES, "settings", "version", "output"]), json_values, max_size=5))
def test_whatever_a_note_says_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, told: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("odd") / "odd.png"
    notes = PngInfo()
    notes.add_text(NOTE, json.dumps(told))
    Image.new("RGB", (1, 1)).save(path, pnginfo=notes)
    with contextlib.suppress(SettingsError):  # and nothing else
        assert recipe.read(path).keys() <= set(NAMES)
