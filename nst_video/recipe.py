"""What a picture was painted with, as plain facts inside it, and back again."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from nst_video import __version__
from nst_video.errors import SettingsError
from nst_video.pictures import read_note
from nst_video.settings import ImageConfig, StyleSettings, option_name

DEPENDENT: Mapping[str, tuple[str, ...]] = {
    "style": ("style_blend",),
    "init": ("init_noise",),
    "style_layers": ("style_layer_weights",),
    "content_layers": ("content_layer_weights",),
    "network": ("weights", "jitter"),
    "refine": ("refine_share", "refine_weights"),
    "optimizer": ("learning_rate", "learning_rate_decay", "scales", "jitter"),
    "size": ("scales",),
}
"""What has no meaning any more when another value of an option is given."""
INDIFFERENT = ("output", "quiet", "log_json", "plot", "save_every", "max_pixels")
"""What has no part in how a picture looks."""


def facts(config: ImageConfig, settings: StyleSettings) -> dict[str, Any]:
    """By the names of the fields; files by their names, as they were given."""
    found: dict[str, Any] = {"version": __version__}
    for given in (config, settings):
        for field in dataclasses.fields(given):
            if field.name not in INDIFFERENT and "image" in field.metadata["commands"]:
                found[field.name] = _plain(getattr(given, field.name))
    return found


def read(path: Path) -> dict[str, Any]:
    """The options that the picture in `path` was painted with, by the names of their fields. Those of a snapshot of
    `live` are without the content, and without what `image` has no option for.

    Raises:
        SourceError: there is no such picture, or it is damaged.
        SettingsError: it says nothing of how it was painted, or nothing that makes sense.
    """
    note = read_note(path)
    try:
        told = json.loads(note or "")
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        told = {}
    snapshot = told.get("settings")
    if isinstance(snapshot, dict):
        told = {**told, **snapshot}
    options = dict[str, Any]()
    for kind in (ImageConfig, StyleSettings):
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            if field.name in told and field.name not in INDIFFERENT and "image" in field.metadata["commands"]:
                value, words = told[field.name], field.metadata["words"].values()
                word = isinstance(value, str) and value in words
                options[field.name] = value if word else _restored(value, hints[field.name], field.name, path)
    if not options:
        raise SettingsError(f"--from {path}: nothing in it says how it was painted; it must be a PNG of this program's")
    if "version" in told or isinstance(snapshot, dict):
        options.setdefault("jitter", 0)  # a whole note without it is of before there was any
    if isinstance(snapshot, dict):
        options.pop("style_blend", None)  # of all styles of the session; a snapshot shows one
    return options


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _restored(value: Any, hint: Any, name: str, picture: Path) -> Any:
    """A value as the field of this name has it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in inner:
            return None
        return _restored(value, inner[0], name, picture)
    if origin is tuple:
        values = value if isinstance(value, list) else [value]
        return tuple(_restored(one, inner[0], name, picture) for one in values)
    if hint is Path and isinstance(value, str) and value.isprintable():
        return _found(value, picture)
    if origin is Literal and value in inner:
        return value
    kinds: dict[Any, tuple[type, ...]] = {bool: (bool,), int: (int,), str: (str,), float: (int, float)}
    fits = isinstance(value, kinds.get(hint, ())) and isinstance(value, bool) == (hint is bool)
    odd = isinstance(value, str) and not value.isprintable()
    most = 2**63 - 1 if hint is int else sys.float_info.max
    if not fits or odd or (hint in (int, float) and not -most <= value <= most):
        raise SettingsError(f"--from {picture}: {value!r} is no value for {option_name(name)}")
    return value


def _found(name: str, picture: Path) -> Path:
    """Where a file is now: where it was, or else beside the picture."""
    there, beside = Path(name), picture.parent / Path(name).name
    return beside if not os.path.exists(there) and os.path.exists(beside) else there  # of any name, however long
