"""The rooms and who may know whom. A room that is new or that needs another one has to be entered here."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "nst_video"

ROOMS: dict[str, str] = {
    "__init__": "",
    "errors": "",
    "resources": "",
    "frame": "",
    "losses": "",
    "color": "",
    "settings": "errors",
    "pipeline": "errors frame",
    "budget": "",
    "networks": "errors losses",
    "packed": "losses networks",
    "tiles": "losses networks",
    "device": "errors losses networks packed tiles",
    "image": "frame",
    "pictures": "errors frame settings",
    "fields": "",
    "shutter": "fields frame",
    "spline": "",
    "crop": "",
    "focus": "crop",
    "flow": "crop fields frame spline",
    "revealed": "fields",
    "change": "fields revealed",
    "scene": "change crop fields flow frame revealed",
    "glance": "crop flow frame image scene settings",
    "sheet": "crop flow spline",
    "adam": "crop",
    "sgd": "",
    "lbfgs": "sgd",
    "optimizer": "adam lbfgs sgd",
    "views": "",
    "weights": "errors image networks pictures resources",
    "ffmpeg": "errors frame settings",
    "matroska": "",
    "clip": "errors ffmpeg",
    "container": "clip errors ffmpeg pictures",
    "sources": "clip errors ffmpeg frame pictures settings",
    "fetch": "errors ffmpeg",
    "feeds": "errors ffmpeg fetch frame settings sources",
    "sinks": "container errors frame matroska pictures",
    "parts": "errors",
    "film": "clip container errors ffmpeg frame matroska parts pictures",
    "fingerprint": "__init__ settings",
    "controls": "settings",
    "canvas": "controls frame",
    "window": "canvas controls errors",
    "objective": "losses networks optimizer settings",
    "painting": "adam crop flow focus frame revealed scene settings sheet",
    "masks": "frame",
    "warm_start": "adam crop flow image masks objective painting revealed settings sheet",
    "easel": "crop device focus losses networks objective optimizer settings views",
    "stylizer": "adam color crop device easel flow focus frame glance image losses masks networks objective optimizer "
    "painting scene settings sheet shutter views warm_start",
    "checkpoint": "adam crop focus painting revealed scene settings sheet spline",
    "recipe": "__init__ errors pictures settings",
    "plot": "errors",
    "still": "errors image optimizer pictures settings",
    "darkroom": "device frame image pipeline settings stylizer",
    "show": "canvas controls darkroom errors frame painting settings sinks window",
    "studio": "budget controls device errors flow frame glance networks optimizer painting pictures pipeline settings "
    "sinks stylizer weights",
    "report": "controls",
    "image_session": "device errors frame image painting pictures plot recipe report settings sinks still studio "
    "stylizer",
    "video_session": "checkpoint container controls errors fetch film fingerprint frame optimizer parts pipeline "
    "report settings sinks sources still studio",
    "live_session": "budget container darkroom device errors feeds frame pictures pipeline report settings show "
    "sinks studio stylizer window",
    "presets": "errors settings",
    "progress": "report",
    "cli": "__init__ errors image_session live_session presets progress recipe resources settings video_session "
    "weights",
}
"""Each room and the rooms that it may import, from the ground up: imports only run downwards."""

PACKAGES: dict[str, str] = {
    "__init__": "",
    "errors": "",
    "resources": "",
    "settings": "",
    "frame": "numpy",
    "pipeline": "",
    "budget": "",
    "losses": "torch",
    "color": "torch",
    "networks": "torch",
    "adam": "torch",
    "sgd": "torch",
    "lbfgs": "torch",
    "optimizer": "torch",
    "tiles": "torch",
    "still": "torch",
    "painting": "torch",
    "masks": "torch",
    "warm_start": "torch",
    "recipe": "",
    "plot": "matplotlib",
    "objective": "torch",
    "packed": "torch",
    "device": "torch",
    "weights": "torch torchvision safetensors",
    "ffmpeg": "numpy imageio_ffmpeg",
    "matroska": "",
    "clip": "",
    "container": "",
    "sources": "",
    "fetch": "",
    "parts": "",
    "film": "",
    "fingerprint": "",
    "pictures": "numpy PIL",
    "checkpoint": "numpy torch safetensors",
    "controls": "",
    "show": "cv2 numpy",
    "cli": "",
    "presets": "",
    "progress": "tqdm",
}
"""Rooms that may not import any other package than these."""

FILES = {path.stem: path for path in sorted(PACKAGE.glob("*.py"))}
STANDARD = sys.stdlib_module_names


def tree(room: str) -> ast.Module:
    return ast.parse(FILES[room].read_text(encoding="utf-8"))


def imported(room: str) -> set[str]:
    """Full names of everything that a room imports, wherever in the file."""
    names = set[str]()
    for node in ast.walk(tree(room)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{room} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms_of(room: str) -> set[str]:
    found = set[str]()
    for name in imported(room):
        if name.split(".")[0] == "nst_video":
            part = name.split(".")[1]
            found.add(part if part in FILES else "__init__")
    return found


def packages_of(room: str) -> set[str]:
    return {name.split(".")[0] for name in imported(room)} - STANDARD - {"nst_video"}


def test_every_room_is_in_the_table_and_the_table_runs_downwards() -> None:
    assert FILES.keys() <= ROOMS.keys()
    order = list(ROOMS)
    for room, below in ROOMS.items():
        assert all(order.index(other) < order.index(room) for other in below.split()), room


@pytest.mark.parametrize("room", FILES)
def test_a_room_imports_only_what_the_table_allows(room: str) -> None:
    assert rooms_of(room) <= set(ROOMS[room].split())
    if room in PACKAGES:
        assert packages_of(room) <= set(PACKAGES[room].split())


def test_the_reader_of_imports_sees_them() -> None:
    """So that the tests above cannot pass by looking at nothing."""
    assert {"ffmpeg", "errors", "fetch", "frame", "settings", "sources"} == rooms_of("feeds")
    assert packages_of("feeds") == {"cv2", "numpy"}
    assert "video_session" in rooms_of("cli")  # imported inside a function
    assert len(FILES) > 15


@pytest.mark.parametrize("room", [room for room in FILES if room != "device"])
def test_only_device_says_cuda(room: str) -> None:
    """Names, attributes and strings; the settings may offer the choice, and comments and docstrings may explain."""
    words = set[str]()
    for node in ast.walk(tree(room)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.add(node.value)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.Name):
            words.add(node.id)
    assert "cuda" not in words or room == "settings"
    assert not {word for word in words if "cuda:" in word}


@pytest.mark.parametrize("room", [room for room in FILES if room not in ("cli", "progress")])
def test_the_core_prints_nothing(room: str) -> None:
    for node in ast.walk(tree(room)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys":
            assert node.attr not in ("stdout", "stderr")


def test_usage_errors_come_before_torch_is_loaded() -> None:
    """The command line imports the heavy rooms inside its commands only: --help has to be instant."""
    for node in tree("cli").body:
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").endswith(("_session", ".weights", ".progress"))


def test_the_script_at_the_top_only_calls_the_command_line() -> None:
    source = ast.parse((PACKAGE.parent / "cli.py").read_text(encoding="utf-8"))
    modules = [node.module for node in ast.walk(source) if isinstance(node, ast.ImportFrom)]
    assert modules == ["nst_video.cli"]
