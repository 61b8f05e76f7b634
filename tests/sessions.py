"""What the tests of pictures, films and live pictures share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nst_video.glance import glance
from nst_video.report import Progress, Summary
from nst_video.scene import Seen
from nst_video.settings import StyleSettings, VideoConfig
from nst_video.video_session import run_video

UNPAINTED = StyleSettings(strength=0)
"""What comes out then is what went in, so that frames, colours and shapes can be compared."""


def quietly(_: Progress) -> None:
    pass


def convert(config: VideoConfig, settings: StyleSettings = UNPAINTED) -> Summary:
    return run_video(config, settings, quietly)


def searched_whole(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether frames are searched for flow at their own size, to be filled as they are seen."""
    answers = list[bool]()

    def noted(*given: Any, whole: bool) -> Seen:
        answers.append(whole)
        return glance(*given, whole=whole)

    monkeypatch.setattr("nst_video.stylizer.glance", noted)
    return answers


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def interrupt_at(frame: int, *, times: int = 1) -> Callable[[Progress], None]:
    left = times

    def on_progress(progress: Progress) -> None:
        nonlocal left
        if progress.done >= frame and left:
            left -= 1
            raise KeyboardInterrupt

    return on_progress
