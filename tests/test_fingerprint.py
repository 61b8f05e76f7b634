"""What makes two films the same work, and what does not."""

from __future__ import annotations

import dataclasses
import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from nst_video import fingerprint as room
from nst_video.fingerprint import INDIFFERENT, fingerprint
from nst_video.settings import StyleSettings, VideoConfig, option_name


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A clip, two styles and weights."""
    found = {name: tmp_path / name for name in ("clip.mp4", "one.png", "two.png", "weights.pt")}
    for name, path in found.items():
        path.write_bytes(name.encode() * 100)
    return found


def facts(files: dict[str, Path], settings: StyleSettings | None = None, **given: Any) -> dict[str, Any]:
    clip = files["clip.mp4"]
    options: dict[str, Any] = {"clip": clip, "style": (files["one.png"],), "output": Path("film.mp4"), **given}
    return fingerprint(VideoConfig(**options), settings or StyleSettings(), [clip])


def differing(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_the_same_is_the_same_also_through_json(files: dict[str, Path]) -> None:
    given: dict[str, Any] = {"fps": Fraction(30000, 1001), "long_term": (10, 20), "weights": files["weights.pt"]}
    found = facts(files, StyleSettings(style_blend=(0.1,)), **given)
    assert found == facts(files, StyleSettings(style_blend=(0.1,)), **given)
    assert json.loads(json.dumps(found)) == found


CHANGES: dict[str, Any] = {
    "size": 321,
    "iterations": 11,
    "network": "vgg19",
    "pooling": "avg",
    "precision": "bf16",
    "seed": 1,
    "first_iterations": 151,
    "flow": "none",
    "long_term": (10,),
    "start": 0.5,
    "end": 2.0,
    "fps": Fraction(30),
    "codec": "h265",
    "hardware": True,
    "crf": 19,
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_whatever_changes_the_film_is_found_by_the_name_of_its_option(files: dict[str, Path], name: str) -> None:
    assert differing(facts(files), facts(files, **{name: CHANGES[name]})) == {option_name(name)}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(StyleSettings)])
def test_every_setting_of_the_style_counts(files: dict[str, Path], field: str) -> None:
    words = {"loss": "paper", "original_colors": "luminance", "content_layers": ("relu3_1",), "style_blend": (2.0,)}
    words["style_layers"] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2")
    words["content_layer_weights"] = (2.0,)
    words["style_layer_weights"] = (1.0, 2.0, 3.0, 4.0, 5.0)
    changed = StyleSettings(**{field: words.get(field, 0.5 + (getattr(StyleSettings(), field) == 0.5) / 4)})
    assert differing(facts(files), facts(files, changed)) == {option_name(field)}


def test_every_option_is_either_looked_at_or_named_as_indifferent(files: dict[str, Path]) -> None:
    """One that is new changes the film, until somebody says that it does not."""
    options = {field.name for field in dataclasses.fields(VideoConfig)}
    assert set(INDIFFERENT) <= options
    looked_at = {option_name(name) for name in options - set(INDIFFERENT)}
    assert looked_at <= set(facts(files))
    assert set(CHANGES) | {"style", "weights", "mask"} | set(INDIFFERENT) == options


def test_where_and_how_it_is_computed_and_told_makes_no_difference(files: dict[str, Path], tmp_path: Path) -> None:
    other = facts(
        files, output=tmp_path / "other.mp4", quiet=True, log_json=tmp_path / "log", resume=True, device="cpu",
        threads=3, audio=False, max_pixels=99, memory=1.0,
    )  # fmt: skip
    assert other == facts(files)


def test_files_count_by_what_is_in_them_and_not_by_name_or_time(files: dict[str, Path], tmp_path: Path) -> None:
    before = facts(files, weights=files["weights.pt"])
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    copies = {name: moved / f"renamed-{name}" for name in files}
    for name, path in copies.items():
        path.write_bytes(files[name].read_bytes())
        os.utime(path, (1, 1))
    assert facts(copies, weights=copies["weights.pt"]) == before


@pytest.mark.parametrize(
    ("name", "option"), [("clip.mp4", "clip"), ("one.png", "--style"), ("weights.pt", "--weights")]
)
@pytest.mark.parametrize(
    "change", [lambda data: data + b"x", lambda data: b"x" + data[1:], lambda data: data[:-1] + b"x"]
)
def test_other_contents_are_found(files: dict[str, Path], name: str, option: str, change: Any) -> None:
    before = facts(files, weights=files["weights.pt"])
    files[name].write_bytes(change(files[name].read_bytes()))
    assert differing(before, facts(files, weights=files["weights.pt"])) == {option}


def test_the_order_of_styles_counts(files: dict[str, Path]) -> None:
    both = (files["one.png"], files["two.png"])
    assert differing(facts(files, style=both), facts(files, style=both[::-1])) == {"--style"}


def test_of_pictures_in_a_row_each_counts(files: dict[str, Path]) -> None:
    config = VideoConfig(clip="pictures", style=(files["one.png"],), output=Path("film.mp4"))
    row = [files["one.png"], files["two.png"]]
    before = fingerprint(config, StyleSettings(), row)
    assert differing(before, fingerprint(config, StyleSettings(), row[::-1])) == {"clip"}
    assert differing(before, fingerprint(config, StyleSettings(), row[:1])) == {"clip"}


def test_a_url_counts_as_it_is_written(files: dict[str, Path]) -> None:
    found = [
        fingerprint(VideoConfig(clip=url, style=(files["one.png"],), output=Path("f.mp4")), StyleSettings(), [])
        for url in ("http://camera/1", "http://camera/2")
    ]
    assert differing(*found) == {"clip"}
    assert "camera" not in str(found[0])  # it may hold a password


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 15, 16, 17, 40, 100])
def test_of_a_large_file_pieces_from_end_to_end_and_the_length_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(room, "PIECE", 8)
    monkeypatch.setattr(room, "PIECES", 3)
    data = bytes(range(size))
    path = tmp_path / "some"

    def found(content: bytes) -> Any:
        path.write_bytes(content)
        return room._pieces(path)

    middle = max(0, size - 8) // 2
    for at in range(size):
        changed = data[:at] + b"\xff" + data[at + 1 :]
        seen = at < 8 or at >= size - 8 or middle <= at < middle + 8
        assert (found(changed) != found(data)) is seen
    assert found(data) != found(data + b"\x00")
