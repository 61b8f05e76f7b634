"""What a clip is: its streams, its shape, when each of its pictures is shown; told by ffmpeg, without decoding more
than one of them."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from nst_video import ffmpeg
from nst_video.errors import SourceError

DISCARD = 4  # AV_PKT_FLAG_DISCARD: what an edit list cuts away
MOST_FPS = 1000
HDR = {"smpte2084": "PQ", "arib-std-b67": "HLG"}
SLOWEST_DISK = 10e6
"""Bytes a second, at least, that a clip is read with."""
ODDEST = 16
"""No real pixel is so many times as wide as high, or as high as wide."""
HD = 720
"""Untagged clips whose shorter side has so many pixels are bt709, smaller ones bt601, as players take them."""

_STREAM = re.compile(
    r"^\[info\] +Stream #0:(?P<index>\d+)(?:\[0x[0-9a-f]+\])?(?:\((?P<language>[^()]*)\))?: "
    r"(?P<kind>Video|Audio|Subtitle|Data|Attachment): (?P<codec>\w+)(?P<more>.*)$",
    re.MULTILINE,
)
_LENGTH = re.compile(r"^\[info\] +Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", re.MULTILINE)
_INPUT = re.compile(r"^\[info\] Input #0, ([\w,]+), from", re.MULTILINE)
_SHOWN = re.compile(r"\bpts:\s*(?P<pts>-?\d+|NOPTS)\b.* fmt:(?P<format>\w+) .*sar:(?P<sar>\d+/\d+) "
                    r"s:(?P<width>\d+)x(?P<height>\d+) i:(?P<field>\w)")  # fmt: skip
_COLOUR = re.compile(
    r"color_range:(?P<range>\S+) color_space:(?P<matrix>\S+) color_primaries:(?P<primaries>\S+) color_trc:(?P<trc>\S+)"
)
_SIZE = re.compile(r", (\d+)x(\d+)\b")
_RATE = re.compile(r", ([\d.]+)(k?) fps")


@dataclass(frozen=True)
class Stream:
    """A stream beside the pictures; `index` as ffmpeg counts all streams of the file."""

    index: int
    kind: str
    """Audio, Subtitle, Attachment …"""
    codec: str
    language: str | None


@dataclass(frozen=True)
class Clip:
    """The first video stream of a file and what lies beside it. Times are in seconds after the file's own beginning,
    sound included; width and height are of the displayed picture: upright, with square pixels."""

    path: Path
    width: int
    height: int
    stored: tuple[int, int]
    """Width and height in stored pixels, upright."""
    rate: Fraction
    """Pictures a second: exact if `even`, else their mean."""
    even: bool
    time_base: Fraction
    times: tuple[Fraction, ...]
    """When each packet's picture is shown, in order."""
    end: Fraction
    """When the last one ends."""
    missing: int
    """How many more there should be, as far as a file that was cut short tells."""
    harm: str | None
    """What ffmpeg says of damage to the file."""
    language: str | None
    others: tuple[Stream, ...]
    interlaced: bool
    matrix: str | None
    """The colour matrix that has to be assumed, as it tells none."""
    hdr: str | None
    hdr_tags: tuple[str, str, str] = ("", "", "")
    """Its matrix, primaries and range."""
    container: str = ""

    @property
    def indexed(self) -> bool:
        """Whether it can be entered in the middle."""
        return self.container.startswith(("mov", "matroska"))

    @property
    def shifts(self) -> bool:
        """Whether for ffmpeg it begins with the first of those streams that are wanted, not with the first of all."""
        return self.container.startswith("mpeg")


def look(path: Path, *, max_pixels: int) -> Clip:
    """Find out what a video file holds. Its packets are all read, one picture is decoded.

    Raises:
        SourceError: there is no such file, no video in it, or no picture that can be decoded; its pictures have more
            than `max_pixels` pixels.
    """
    if not path.is_file():
        raise SourceError(f"no video file {path}")
    done = ffmpeg.run(
        [
            *("-max_pixels", str(max_pixels), "-i", ffmpeg.plain(path)),
            *("-map", "0:V:0", "-c", "copy", "-f", "framecrc", "-"),
            *("-map", "0:V:0", "-vf", "showinfo=checksum=0", "-frames:v", "1", "-f", "null", "-"),
            # Of some formats ffmpeg takes the first stream that is wanted for the beginning: sound is wanted, too.
            *("-map", "0:a?", "-c", "copy", "-f", "null", "-"),
        ],
        level="info",
        timeout=ffmpeg.FINISH_TIMEOUT_S + path.stat().st_size / SLOWEST_DISK,
    )
    told = done.stderr.decode(errors="replace")
    streams = [match.groupdict() for match in _STREAM.finditer(told.split("Stream mapping:")[0])]
    video = next((s for s in streams if s["kind"] == "Video" and "attached pic" not in s["more"]), None)
    if video is None:
        raise SourceError(f"{path} is not a video that ffmpeg can read: {_why(told, 'there are no pictures in it')}")
    if (size := _SIZE.search(video["more"])) and int(size[1]) * int(size[2]) > max_pixels:
        raise _too_large(path, int(size[1]), int(size[2]), max_pixels)
    base, packets = _packets(done.stdout)
    shown, colour = _SHOWN.search(told), _COLOUR.search(told)
    if not packets or shown is None or colour is None:
        why = _why(told, "there is not a single picture in it")
        raise SourceError(f"{path} is not a video that ffmpeg can read: {why}")
    times = tuple(Fraction(pts) * base for pts, _ in packets)
    last = packets[-1][1] * base
    declared = _declared_rate(video["more"])
    rate = even_rate(times, base, declared)
    mean = Fraction(len(times) - 1) / (times[-1] - times[0]) if times[-1] > times[0] else Fraction(declared or 25)
    container = (_INPUT.search(told) or ["", ""])[1]
    harm = ffmpeg.harm(done.stderr) or (_gif_harm(path) if container == "gif" else None)
    length = _seconds(told)
    missing = 0
    if harm is not None and length is not None:
        usual = _usual(declared)[0] if declared else rate or mean  # what is left may look uneven
        missing = max(0, round((length - times[0]) * usual) - len(times))
    width, height = int(shown["width"]), int(shown["height"])
    across, down = map(int, shown["sar"].split("/"))
    aspect = Fraction(across, down) if across > 0 and down > 0 else Fraction(1)
    if not 1 / ODDEST <= aspect <= ODDEST:  # a damaged file
        aspect = Fraction(1)
    if width * aspect * height > max_pixels:
        raise _too_large(path, round(width * aspect), height, max_pixels)
    rgb = re.match(r"(rgb|bgr|gbr|argb|abgr|0rgb|0bgr|pal8|gray|mono|ya)", shown["format"]) is not None
    untold = colour["matrix"] in ("unknown", "reserved") and not rgb
    return Clip(
        path=path,
        width=max(1, round(width * aspect)),
        height=height,
        stored=(width, height),
        rate=rate or mean.limit_denominator(1001),
        even=rate is not None,
        time_base=base,
        times=times,
        end=times[-1] + (last or 1 / (rate or mean)),
        missing=missing,
        harm=harm,
        language=video["language"],
        others=tuple(
            Stream(int(s["index"]), s["kind"], s["codec"], s["language"]) for s in streams if s["kind"] != "Video"
        ),
        interlaced=shown["field"] in "TB",
        matrix=("bt709" if min(width, height) >= HD else "bt601") if untold else None,
        hdr=HDR.get(colour["trc"]),
        hdr_tags=(colour["matrix"], colour["primaries"], colour["range"]),
        container=container,
    )


def _too_large(path: Path, width: int, height: int, max_pixels: int) -> SourceError:
    return SourceError(
        f"{path} has pictures of {width}x{height} pixels; --max-pixels allows {max_pixels} "
        "(raise it if there is memory for them)"
    )


def even_rate(times: Sequence[Fraction], base: Fraction, declared: float = 0.0) -> Fraction | None:
    """The frame rate, exactly, of pictures that come evenly, give or take the rounding to units of `base`; else None.

    Matroska rounds to milliseconds, so that 24 and 24000/1001 may both fit a short clip: what is nearest to the
    `declared` rate is taken first, then what is usual.
    """
    span = times[-1] - times[0]
    if len(times) < 2 or span <= 0:
        return _usual(declared)[0] if 0 < declared <= MOST_FPS else None
    mean = (len(times) - 1) / span
    if mean > MOST_FPS:
        return None
    candidates = [*_usual(float(mean)), *_usual(declared)]
    candidates.sort(key=lambda rate: abs(float(rate) - declared))  # stable: the usual ones first
    for rate in (*candidates, mean.limit_denominator(1001), mean):
        if rate > 0 and all(abs(time - times[0] - index / rate) <= base for index, time in enumerate(times)):
            return rate
    return None


def _usual(rate: float) -> list[Fraction]:
    """Whole rates and those of NTSC near this one."""
    near = [Fraction(round(rate)), Fraction(round(rate * 1.001) * 1000, 1001)]
    return sorted((one for one in near if one > 0), key=lambda one: abs(float(one) - rate)) or [Fraction(25)]


def _declared_rate(more: str) -> float:
    """What the container says; two decimals."""
    found = _RATE.search(more)
    return float(found[1]) * (1000 if found[2] else 1) if found else 0.0


def _packets(listing: bytes) -> tuple[Fraction, list[tuple[int, int]]]:
    """The time base, and time and duration of each packet that is to be shown, by time."""
    base, found = Fraction(0), []
    for line in listing.decode().splitlines():
        if line.startswith("#tb 0:"):
            base = Fraction(line.removeprefix("#tb 0:").strip())
        elif not line.startswith("#"):
            _, dts, pts, length, _, _, *more = map(str.strip, line.split(","))
            if not any(part.startswith("F=") and int(part[2:], 16) & DISCARD for part in more):
                found.append((int(dts), int(pts), int(length)))
    # AVI knows no presentation times: there the order of decoding has to do.
    if any(pts < -(2**62) for _, pts, _ in found):
        found = [(dts, dts, length) for dts, _, length in found]
    return base, sorted((pts, length) for _, pts, length in found)


def _gif_harm(path: Path) -> str | None:
    """What is wrong with the order of a GIF's blocks, of which ffmpeg says nothing: it just ends early."""
    with path.open("rb") as file:

        def skip_table(flags: int) -> None:
            if flags & 0x80:
                file.seek(3 * 2 ** ((flags & 7) + 1), 1)

        def skip_blocks() -> None:
            while size := (file.read(1) or b"\0")[0]:
                file.seek(size, 1)

        skip_table((file.read(13) + bytes(13))[10])
        while True:
            match file.read(1):
                case b"\x3b":
                    return None
                case b"\x21":  # an extension and its label
                    file.seek(1, 1)
                    skip_blocks()
                case b"\x2c":  # a picture, its place, and the size of its codes
                    skip_table((file.read(9) + bytes(9))[8])
                    file.seek(1, 1)
                    skip_blocks()
                case b"":
                    return "the GIF ends in the middle"
                case _:
                    return "the GIF's blocks are damaged"


def _seconds(told: str) -> Fraction | None:
    found = _LENGTH.search(told)
    return None if found is None else int(found[1]) * 3600 + int(found[2]) * 60 + Fraction(found[3])


def _why(told: str, otherwise: str) -> str:
    """ffmpeg's own reason, if it gave one."""
    errors = [line for line in told.splitlines() if "[error]" in line or "[fatal]" in line]
    if not errors or any("matches no streams" in line for line in errors):
        return otherwise
    return ffmpeg.last_words(errors[0].encode())


def count_frames(path: Path) -> int:
    """How many pictures a player would show of a film."""
    done = ffmpeg.run(["-i", ffmpeg.plain(path), "-map", "0:V:0", "-c", "copy", "-f", "framecrc", "-"])
    return len(_packets(done.stdout)[1])


def count_between(clip: Clip, start: Fraction, stop: Fraction) -> int:
    """How many pictures are shown from `start` on, before `stop`."""
    return bisect_left(clip.times, stop) - bisect_left(clip.times, start)
