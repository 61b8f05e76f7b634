"""What a film that was converted with a strength of 0 must have in common with its clip; looked at through ffmpeg's
own command line, none of the program's code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from media import run_ffmpeg
from numpy.typing import NDArray

PSNR_DB = 38.0
SHIFT = 1.0
"""Of the mean of any colour channel, in grey levels."""


@dataclass(frozen=True)
class Packets:
    """What a player would get of one stream: times and durations in seconds, and the bytes' checksums, in order of
    presentation."""

    times: list[Fraction]
    durations: list[Fraction]
    checksums: list[str]

    @property
    def end(self) -> Fraction:
        return self.times[-1] + self.durations[-1]


def packets(path: Path, stream: str = "0:V:0", *beside: object) -> Packets:
    """Times are counted from where the file begins; `beside`: more arguments for the input."""
    done = run_ffmpeg(*beside, "-i", path, "-map", stream, "-c", "copy", "-f", "framecrc", "-")
    listing = done.stdout.decode()
    base = Fraction(1)
    found = []
    for line in listing.splitlines():
        if line.startswith("#tb"):
            base = Fraction(line.split(":")[1].strip())
        elif not line.startswith("#"):
            _, dts, pts, duration, _, crc, *more = (part.strip() for part in line.split(","))
            shown = int(dts) if int(pts) < -(2**62) else int(pts)  # AVI has times of decoding only
            if not any(part.startswith("F=") and int(part[2:], 16) & 4 for part in more):
                found.append((shown * base, int(duration) * base, crc))
    found.sort()
    return Packets([one[0] for one in found], [one[1] for one in found], [one[2] for one in found])


def tracks(path: Path) -> list[str]:
    """The kinds and codecs of all streams, like "Audio: aac"."""
    told = run_ffmpeg("-i", path).stderr.decode(errors="replace")
    return re.findall(r"Stream #0:\d+[^:]*: (\w+: \w+)", told)


def pixels(
    path: Path, width: int, height: int, *, crop: tuple[int, int] | None = None, filters: str = ""
) -> NDArray[np.uint8]:
    """All frames, at width×height, after what `filters` do, then cut to `crop`."""
    chain = [*([filters] if filters else []), f"scale={width}:{height}:flags=bicubic+accurate_rnd+full_chroma_int"]
    chain += [] if crop is None else [f"format=gbrp,crop={crop[0]}:{crop[1]}:0:0"]
    done = run_ffmpeg("-i", path, "-map", "0:V:0", "-fps_mode", "passthrough", "-vf", ",".join(chain),
                      "-f", "rawvideo", "-pix_fmt", "rgb24", "-")  # fmt: skip
    shape = (-1, height, width, 3) if crop is None else (-1, crop[1], crop[0], 3)
    return np.frombuffer(done.stdout, np.uint8).reshape(shape)


def psnr(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    error = np.mean([np.square(a.astype(np.float64) - b).mean() for a, b in zip(found, wanted, strict=True)])
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def shift(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    """Of the mean over the whole film, in the channel where it is most."""
    mean = [np.mean([frame.reshape(-1, 3).mean(0) for frame in frames], axis=0) for frames in (found, wanted)]
    return float(np.abs(mean[0] - mean[1]).max())
