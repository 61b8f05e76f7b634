"""Photographs the window of `live` for the README: the sample clip, sent round and round through a named pipe.

    xvfb-run -s "-screen 0 1366x768x24" python -m docs.make_window

Needs an X display, xdotool and, for `xvfb-run`, xvfb.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import ImageGrab

from docs.make_figures import hang
from nst_video import ffmpeg
from nst_video.frame import Pixels
from nst_video.resources import shipped
from nst_video.sinks import write_picture

HERE = Path(__file__).parent
STYLES = ("starlight", "mosaic", "woodcut")
SCENES = (("", 1.5), ("", 8.0), ("n", 6.0), ("c c", 1.0), ("c o", 1.0), ("o h", 1.0))
"""Keys that are pressed, and how many seconds later the photograph is taken."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        pipe = Path(folder, "camera")
        os.mkfifo(pipe)
        clip = ["-stream_loop", "-1", "-re", "-i", str(shipped("samples", "portrait.mp4"))]
        sender = [ffmpeg.executable(), "-loglevel", "error", "-y", *clip, "-c:v", "mjpeg", "-q:v", "3"]
        styles = [word for name in STYLES for word in ("--style", str(shipped("samples", f"{name}.jpg")))]
        live = [sys.executable, str(HERE.parent / "cli.py"), "live", "--source", str(pipe), *styles]
        with (
            subprocess.Popen([*sender, "-f", "mjpeg", str(pipe)]) as camera,
            subprocess.Popen([*live, "--snapshot-dir", folder]) as session,
        ):
            photographs = [photograph(keys, seconds) for keys, seconds in SCENES]
            subprocess.run(["xdotool", "key", "q"], check=True)
            session.wait(20)
            camera.kill()
    write_picture(HERE / "live.jpg", hang([[small(one) for one in photographs[i : i + 2]] for i in (0, 2, 4)]))


def photograph(keys: str, seconds: float) -> Pixels:
    """The window alone, a while after these keys were pressed; the first time, after it has opened."""
    found: list[str] = []
    while not found:
        search = ["xdotool", "search", "--onlyvisible", "--name", "^nst_video$"]
        found = subprocess.run(search, capture_output=True, text=True, check=False).stdout.split()
    for key in keys.split():
        subprocess.run(["xdotool", "windowfocus", found[-1], "key", key], check=True)
        time.sleep(0.3)
    time.sleep(seconds)
    told = subprocess.run(
        ["xdotool", "getwindowgeometry", "--shell", found[-1]], capture_output=True, text=True, check=True
    )
    place = dict(line.split("=") for line in told.stdout.split())
    x, y, width, height = (int(place[name]) for name in ("X", "Y", "WIDTH", "HEIGHT"))
    return np.asarray(
        ImageGrab.grab((x, y, x + width, y + height), xdisplay=os.environ["DISPLAY"]).convert("RGB"), np.uint8
    )


def small(pixels: Pixels) -> Pixels:
    size = 460, round(460 * pixels.shape[0] / pixels.shape[1])
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


if __name__ == "__main__":
    main()
