"""Finds the files that ship with the program, in a checkout as well as in an installed package."""

from __future__ import annotations

from pathlib import Path


def shipped(*parts: str) -> Path:
    """The path of a shipped file, for example shipped("models", "lite.safetensors"). It need not exist."""
    package = Path(__file__).parent
    inside = package.joinpath(*parts)
    return inside if inside.exists() else package.parent.joinpath(*parts)
