"""Named sets of options for `live`: three that come with the program, and those that people save."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nst_video.errors import SettingsError, SinkError
from nst_video.settings import LiveConfig, StyleSettings

SHIPPED: Mapping[str, Mapping[str, Any]] = {
    "fast": {"size": 224, "target_fps": 30.0},
    "balanced": {},
    "fine": {"size": 512, "target_fps": 8.0},
}
"""Options by the names of their fields; what is not named keeps its default."""
LAST = "last"
"""The name under which every session with a window leaves its settings."""


def saved_file() -> Path:
    """Where saved presets lie: in the folder that the system has for settings."""
    home = Path.home()
    if sys.platform == "win32":
        folder = Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or home / "Library" / "Application Support")
    else:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    return folder / "nst_video" / "presets.json"


def load(name: str) -> dict[str, Any]:
    """The options of a preset, by the names of their fields.

    Raises:
        SettingsError: there is none of this name, or the file of the saved ones is damaged.
    """
    if name in SHIPPED:
        return dict(SHIPPED[name])
    saved = _saved()
    if name not in saved:
        raise SettingsError(f"there is no preset {name}; there is {', '.join([*SHIPPED, *saved])}")
    known = {field.name for kind in (LiveConfig, StyleSettings) for field in dataclasses.fields(kind)}
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in saved[name].items() if key in known
    }


def check_name(name: str) -> None:
    """Find out early whether settings can be saved under this name.

    Raises:
        SettingsError: the name is one of the program's own, or the file of the saved presets is damaged.
    """
    if name in SHIPPED or name == LAST:
        raise SettingsError(f"--save-preset {name}: this name is the program's own; choose another one")
    _saved()


def save(name: str, settings: StyleSettings, *, size: int, **others: float) -> Path:
    """Keep what differs from the defaults under this name, and `others` of `LiveConfig`; answer the file that it is in.

    Raises:
        SettingsError: the name is one of the program's own.
        SinkError: it cannot be written.
    """
    if name != LAST:
        check_name(name)
    options: dict[str, Any] = {"size": size, **others}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value != field.default and "live" in field.metadata["commands"]:
            options[field.name] = value
    path = saved_file()
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps({**_saved(), name: options}, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise SinkError(f"cannot write {path}: {error.strerror}") from None
    return path


def _saved() -> dict[str, dict[str, Any]]:
    path = saved_file()
    try:
        presets = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read the presets in {path}: {error}; mend or remove it") from None
    if not isinstance(presets, dict) or not all(isinstance(preset, dict) for preset in presets.values()):
        raise SettingsError(f"cannot read the presets in {path}: not a table of tables; mend or remove it")
    return presets
