"""Named sets of options: those that come with the program, and those that people save and find again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nst_video import presets
from nst_video.errors import SettingsError, SinkError
from nst_video.settings import LiveConfig, StyleSettings

FIELDS = {field.name for field in dataclasses.fields(StyleSettings)}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """macOS has its folder for settings there, whatever the environment says."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    return tmp_path / "home"


def write(presets_file: object) -> Path:
    path = presets.saved_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(presets_file), encoding="utf-8")
    return path


# what comes with the program


@pytest.mark.parametrize("name", presets.SHIPPED)
def test_every_preset_of_the_programs_own_is_valid(name: str) -> None:
    options = presets.load(name)
    config = {key: value for key, value in options.items() if key not in FIELDS}
    style = {key: value for key, value in options.items() if key in FIELDS}
    made = LiveConfig(style=(Path("style.jpg"),), **config)
    assert {key: getattr(made, key) for key in config} == config
    StyleSettings(**style)


def test_the_programs_own_can_be_loaded_but_not_changed_through_it() -> None:
    presets.load("fast")["size"] = 32
    assert presets.load("fast")["size"] != 32


@pytest.mark.parametrize("name", [*presets.SHIPPED, presets.LAST])
def test_a_name_of_the_programs_own_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"--save-preset {name}: this name is the program's own"):
        presets.check_name(name)
    if name != presets.LAST:  # which every session saves
        with pytest.raises(SettingsError, match="the program's own"):
            presets.save(name, StyleSettings(), size=320)
        assert not presets.saved_file().exists()
    presets.check_name("mine")


def test_a_damaged_file_is_found_before_the_session() -> None:
    write({}).write_text("{damaged")
    with pytest.raises(SettingsError, match="mend or remove"):
        presets.check_name("mine")


def test_the_programs_own_do_not_depend_on_the_saved_ones() -> None:
    write({"fast": {"size": 32}}).write_text("{damaged")
    assert presets.load("fast") == presets.SHIPPED["fast"]


# what people save


@given(
    chosen=st.fixed_dictionaries(
        {},
        optional={
            "content_weight": st.floats(0, 1e6),
            "hue": st.floats(-180, 180),
            "strength": st.floats(0, 1),
            "temporal_weight": st.floats(0, 1e5),
            "original_colors": st.sampled_from(["none", "luminance", "histogram"]),
            "style_layers": st.sampled_from([("relu1_1",), ("relu2_1", "relu3_1")]),
            "content_layers": st.just(()),
        },
    ),
    size=st.integers(32, 8192),
)
def test_what_was_saved_is_loaded_and_nothing_else(chosen: dict[str, Any], size: int) -> None:
    settings = StyleSettings(**chosen)
    presets.save("mine", settings, size=size)
    defaults = StyleSettings()
    changed = {key: value for key, value in chosen.items() if value != getattr(defaults, key)}
    loaded = presets.load("mine")
    assert loaded == {"size": size, **changed}
    loaded.pop("size")
    assert StyleSettings(**loaded) == settings


def test_what_live_does_not_offer_is_not_saved() -> None:
    presets.save("mine", StyleSettings(style_blend=(1.0, 2.0), hue=20.0), size=320)
    assert presets.load("mine") == {"size": 320, "hue": 20.0}


def test_each_name_keeps_its_own_and_the_last_word_counts() -> None:
    path = presets.save("one", StyleSettings(hue=10.0), size=100)
    assert path == presets.saved_file()
    presets.save("two words/und Größe", StyleSettings(hue=20.0), size=200)
    presets.save("one", StyleSettings(), size=300)
    assert presets.load("one") == {"size": 300}
    assert presets.load("two words/und Größe") == {"size": 200, "hue": 20.0}
    assert [entry.name for entry in path.parent.iterdir()] == ["presets.json"]


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"there is no preset nice; there is fast, balanced, fine$"):
        presets.load("nice")
    presets.save("mine", StyleSettings(), size=320)
    with pytest.raises(SettingsError, match=r"there is no preset nice; there is fast, balanced, fine, mine$"):
        presets.load("nice")


def test_what_another_version_knows_is_ignored_and_kept() -> None:
    write({"mine": {"size": 64, "hue": 5.0, "sparkle": 3}, "newer": {"glitter": [1, 2]}})
    assert presets.load("mine") == {"size": 64, "hue": 5.0}
    assert presets.load("newer") == {}
    path = presets.save("other", StyleSettings(), size=100)
    saved = json.loads(path.read_text(encoding="utf-8"))
    assert saved["newer"] == {"glitter": [1, 2]}
    assert saved["mine"]["sparkle"] == 3


@pytest.mark.parametrize("damaged", [b"{", b"", b"[]", b'"mine"', b'{"mine": 3}', b'{"mine": [1]}', b"\xff\xfe{}"])
def test_a_damaged_file_is_told_by_its_name_and_left_as_it_is(damaged: bytes) -> None:
    path = write({})
    path.write_bytes(damaged)
    with pytest.raises(SettingsError, match=r"cannot read the presets in .*presets\.json: .*mend or remove it"):
        presets.load("mine")
    with pytest.raises(SettingsError, match=r"presets\.json"):
        presets.save("mine", StyleSettings(), size=320)
    assert path.read_bytes() == damaged


def test_a_folder_that_cannot_be_made_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("APPDATA", str(home))
    with pytest.raises(SinkError, match=r"cannot write .*presets\.json"):
        presets.save("mine", StyleSettings(), size=320)


# where they are


@pytest.mark.parametrize(
    ("platform", "variables", "wanted"),
    [
        ("linux", {}, "/home/anna/.config"),
        ("linux", {"XDG_CONFIG_HOME": ""}, "/home/anna/.config"),
        ("linux", {"XDG_CONFIG_HOME": "/elsewhere", "APPDATA": "/wrong"}, "/elsewhere"),
        ("freebsd14", {}, "/home/anna/.config"),
        ("darwin", {"XDG_CONFIG_HOME": "/mine"}, "/mine"),
        ("win32", {"XDG_CONFIG_HOME": "/wrong"}, "/home/anna/AppData/Roaming"),
        ("win32", {"APPDATA": "/roaming"}, "/roaming"),
    ],
)
def test_saved_presets_lie_where_the_system_keeps_settings(
    platform: str, variables: dict[str, str], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(presets, "sys", SimpleNamespace(platform=platform))
    monkeypatch.setattr(Path, "home", lambda: Path("/home/anna"))
    assert presets.saved_file() == Path(wanted) / "nst_video" / "presets.json"


def test_presets_that_cannot_be_written_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(SinkError):
        presets.save("mine", StyleSettings(), size=320)
    assert list(presets.saved_file().parent.iterdir()) == []
