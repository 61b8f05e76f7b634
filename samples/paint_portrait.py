"""The portrait: a still, and a short clip of it under a moving camera and a passing warm light, with soft chords."""

from __future__ import annotations

import math
import subprocess
import tempfile
import wave
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from paint_tools import Pixels
from skimage import data

FPS, SECONDS, SIZE, RATE = 24, 3, (320, 240), 44_100


def still(rng: np.random.Generator) -> Pixels:
    """Head and shoulders, 480 x 480."""
    photo = data.astronaut()[8:348, 58:398]
    return cv2.resize(photo, (480, 480), interpolation=cv2.INTER_CUBIC)


def clip(path: Path, rng: np.random.Generator) -> None:
    """Write the clip: frames straight into ffmpeg, sound by way of a temporary WAV file."""
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "chords.wav"
        with wave.open(str(sound), "wb") as file:
            file.setparams((2, 2, RATE, 0, "NONE", ""))
            file.writeframes(_chords(rng).tobytes())
        subprocess.run(
            [
                imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error",
                "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIZE[0]}x{SIZE[1]}", "-r", str(FPS), "-i", "-",
                "-i", str(sound), "-c:v", "libx264", "-preset", "slow", "-crf", "19", "-pix_fmt", "yuv420p",
                "-vf", "scale=out_color_matrix=bt709", "-colorspace", "bt709", "-color_primaries", "bt709",
                "-color_trc", "bt709", "-c:a", "aac", "-b:a", "96k", "-t", str(SECONDS), "-movflags", "+faststart",
                "-bitexact", str(path),
            ],
            input=b"".join(frame.tobytes() for frame in _frames()),
            check=True,
        )  # fmt: skip


def _frames() -> list[Pixels]:
    """The photograph seen by a camera that drifts round it: the sitter moves more than the wall behind her."""
    photo = data.astronaut()
    near = _nearness(photo.shape[:2])
    # Twice the photograph's resolution, so that the resampling below never softens what the clip can show.
    photo, near = (cv2.resize(p, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for p in (photo, near))
    column, row = np.meshgrid(*(np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in SIZE))
    frames = []
    for k in range(FPS * SECONDS):
        t = k / (FPS * SECONDS - 1)
        ease = 0.5 - 0.5 * math.cos(math.pi * t)
        zoom = 1.27 - 0.21 * ease  # photograph pixels per clip pixel
        turn = math.radians(-2.2 + 4.0 * ease)
        centre = (236 - 12 * math.cos(math.pi * t), 145 - 15 * ease)
        x = centre[0] + zoom * (column * math.cos(turn) - row * math.sin(turn))
        y = centre[1] + zoom * (column * math.sin(turn) + row * math.cos(turn))
        depth = cv2.remap(near, 2 * x, 2 * y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        x += depth * 9 * math.cos(math.pi * t)
        y += depth * 1.5 * math.sin(math.pi * t)
        # Averaging 2 x 2 photograph samples per clip pixel needs a map twice as fine.
        fine = [cv2.resize(m, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR) for m in (2 * x + 0.5, 2 * y + 0.5)]
        seen = cv2.remap(photo, *fine, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT)
        seen = cv2.resize(seen, SIZE, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        frames.append(_lit(seen, column, row, depth, t))
    return frames


def _nearness(shape: tuple[int, int]) -> NDArray[np.float32]:
    """How near every part of the photograph is, 0 the wall to 1 the helmet in her lap: soft shapes, drawn by hand."""
    near = np.zeros(shape, np.float32)
    body = [(18, 512), (38, 270), (110, 205), (165, 170), (158, 60), (225, 12), (298, 60), (285, 160), (345, 270),
            (368, 512)]  # fmt: skip
    cv2.fillPoly(near, [np.int32(body)], 0.55)
    cv2.ellipse(near, (227, 95), (76, 84), 0, 0, 360, 0.75, -1)
    cv2.ellipse(near, (390, 440), (112, 98), 0, 0, 360, 1.0, -1)
    # Wide blurring turns the cut-outs into one supple sheet, which bends but never tears.
    return cv2.GaussianBlur(near, (0, 0), 26)


def _lit(
    seen: NDArray[np.float32],
    column: NDArray[np.float32],
    row: NDArray[np.float32],
    depth: NDArray[np.float32],
    t: float,
) -> Pixels:
    """One frame in evening light: dim and a little blue, with a warm beam that sweeps across from left to right."""
    across = (column + 0.45 * row) / SIZE[0]
    beam = np.exp(-(((across - (-0.85 + 1.7 * t) - 0.08 * depth) / 0.24) ** 2))[..., None]
    ambient = np.array((0.74, 0.77, 0.85), np.float32)
    warm = np.array((0.52, 0.32, 0.06), np.float32)
    light = seen * (ambient + beam * warm) + beam * np.array((0.035, 0.018, 0.0), np.float32)
    light *= 1 - 0.5 * ((column / SIZE[0]) ** 2 + (row / SIZE[1]) ** 2)[..., None]
    # A soft shoulder above 0.7, so that the beam never clips her face.
    over = np.maximum(light - 0.7, 0)
    shown = np.minimum(light, 0.7) + 0.3 * np.tanh(over / 0.3)
    return np.uint8(np.rint(np.clip(shown, 0, 1) * 255))


def _chords(rng: np.random.Generator) -> NDArray[np.int16]:
    """Three seconds of plucked chords over a quiet drone, stereo 16 bit, faded in and out."""
    t = np.arange(RATE * SECONDS) / RATE
    sound = np.zeros((len(t), 2))
    chords = ((220.00, 261.63, 329.63, 493.88), (174.61, 261.63, 329.63, 440.00), (196.00, 246.94, 293.66, 440.00))
    for bar, chord in enumerate(chords):
        for string, pitch in enumerate(chord):
            since = t - 0.05 - bar * 0.95 - string * 0.085
            pan = 0.3 + 0.4 * string / 3 + rng.uniform(-0.05, 0.05)
            for partial in range(1, 6):
                # Higher partials are weaker and die sooner: this is what makes a sine sound plucked.
                ring = np.exp(-np.maximum(since, 0) * (1.6 + 1.5 * partial)) * np.clip(since / 0.004, 0, 1)
                tone = ring * np.sin(2 * np.pi * pitch * partial * since) / partial**1.7
                sound += tone[:, None] * (1 - pan, pan)
    sound += (0.12 * np.sin(2 * np.pi * 110 * t) * (0.8 + 0.2 * np.sin(2 * np.pi * 0.7 * t)))[:, None]
    sound *= np.minimum(np.clip(t / 0.12, 0, 1), np.clip((SECONDS - t) / 0.7, 0, 1))[:, None]
    return np.int16(np.rint(sound / np.abs(sound).max() * 0.6 * 32767))
