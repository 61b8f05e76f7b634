"""Where the frames of a film come from: a video file, pictures in a row; a file as it plays."""

from __future__ import annotations

import glob
import math
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from nst_video import ffmpeg
from nst_video.clip import Clip, count_between, look
from nst_video.errors import SettingsError, SourceError, WorkError
from nst_video.frame import Frame, Pixels, StreamInfo
from nst_video.pictures import PICTURE_SUFFIXES, in_order, is_numbered, numbered, picture_size, read_picture
from nst_video.settings import MAX_PIXELS

PICTURES_FPS = Fraction(25)
"""Of pictures in a row, if nobody says."""


class Source(Protocol):
    """What a film is made from. It may be iterated again, and closed from another thread."""

    info: StreamInfo
    harm: str | None
    """What is known so far of damage to it."""

    @property
    def sound(self) -> Clip | None:
        """The file that has what belongs to the pictures: sound, subtitles, chapters, a title."""
        ...

    def frames(self, skip: int = 0) -> Iterator[Frame]:
        """All frames but the first `skip`; their numbers and times are the same as without."""
        ...

    def close(self) -> None: ...


class VideoFile:
    """The first video stream of a file, from `start` to `end` seconds, upright and with square pixels, every frame at
    its own time; with `fps`, at that rate instead.

    Raises:
        SourceError: there is no such file, or ffmpeg finds no video in it.
        SettingsError: `start` lies behind the clip's end.
    """

    def __init__(
        self,
        path: Path,
        *,
        start: float = 0.0,
        end: float | None = None,
        fps: Fraction | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.clip = look(path, max_pixels=max_pixels)
        if self.clip.hdr is not None and not (ffmpeg.has_filter("zscale") and ffmpeg.has_filter("tonemap")):
            raise SourceError(
                f"{path} is HDR ({self.clip.hdr}), which this ffmpeg cannot tone down (it lacks the filter zscale); "
                "convert it to SDR first"
            )
        self.harm = self.clip.harm
        self._fps, self._max_pixels = fps, max_pixels
        self._start, self._stop = exactly(start), None if end is None else exactly(end)
        self.info = _info(self.clip, self._start, self._stop, fps)
        self._decoder: ffmpeg.Ffmpeg | None = None

    @property
    def sound(self) -> Clip | None:
        return self.clip

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, skip: int = 0) -> Iterator[Frame]:
        """All frames but the first `skip`; these are decoded, as nothing else finds the same frame in every file."""
        try:
            waiting: Frame | None = None
            for frame in self._wanted(skip):
                if waiting is not None:
                    yield _until(waiting, frame.pts)
                waiting = frame
            if waiting is None and not skip:
                raise WorkError(f"cannot decode {self.clip.path}: there is not a single frame in it")
            if waiting is not None:
                yield _until(waiting, self._end(waiting))
        finally:
            self.close()

    def close(self) -> None:
        if self._decoder is not None:
            self._decoder.kill()

    def _wanted(self, skip: int) -> Iterator[Frame]:
        """From near the first one on, if the file has an index; else, or if that leads astray, from the start."""
        for origin in (self._start, Fraction(0)) if self._start and self.clip.indexed else (Fraction(0),):
            self._decoder = decoder = self._decode(skip, origin)
            first = True
            for frame, late in self._timed(decoder, skip, origin):
                if first and origin and late:
                    break
                first = False
                yield frame
            else:
                self.harm = self.harm or decoder.harm
                return
            self.close()

    def _decode(self, skip: int, origin: Fraction) -> ffmpeg.Ffmpeg:
        """Times are told relative to `origin`."""
        # Not to the very frame: what is wanted is chosen by its time.
        seek = ["-noaccurate_seek", "-ss", f"{float(origin):.6f}"] if origin else []
        before, after = _filters(self.clip, self.info)
        chosen = [*before, f"settb={self.clip.time_base}", *self._trim(origin)]
        if self._fps is not None:
            little = self.info.frame_count == 1  # less than a frame: it is one all the same
            chosen += [f"fps={self._fps}:eof_action={'pass' if little else 'round'}", f"settb={1 / self._fps}"]
            if self._stop is not None:
                chosen += [f"trim=end_pts={math.ceil((self._stop - origin) * self._fps)}"]
        fewer = [rf"select=gte(n\,{skip})"] if skip else []
        arguments = [
            *seek, "-max_pixels", str(self._max_pixels), "-i", ffmpeg.plain(self.clip.path), "-map", "0:V:0",
            "-fps_mode", "passthrough", "-vf", ",".join([*chosen, ffmpeg.TELL_TIMES, *fewer, *after]),
            "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1",
            *_beside(self.clip),
        ]  # fmt: skip
        return ffmpeg.Ffmpeg(arguments, what=f"cannot decode {self.clip.path}", reads=True)

    def _trim(self, origin: Fraction) -> list[str]:
        """A filter that lets the wanted frames pass: its limits lie half-way to those that are not."""
        times, base = self.clip.times, self.clip.time_base
        bounds = list[str]()
        for name, bound in (("start_pts", self._start), ("end_pts", self._stop)):
            at = len(times) if bound is None else bisect_left(times, bound)
            if 0 < at < len(times):
                bounds.append(f"{name}={math.ceil(((times[at - 1] + times[at]) / 2 - origin) / base)}")
        return ["trim=" + ":".join(bounds)] if bounds else []

    def _timed(self, decoder: ffmpeg.Ffmpeg, skip: int, origin: Fraction) -> Iterator[tuple[Frame, bool]]:
        """Each frame when its file says; a file may say the same time twice, but a film cannot. And whether there may
        be others before it that were wanted, of the first ones."""
        last, base = -1, 1 / self._fps if self._fps else self.clip.time_base
        begins = self._start + self.info.offset - origin
        late = False
        for pixels in decoder.frames(self.info.width, self.info.height):
            while True:
                index, told = decoder.next_time()
                at = round((told * base - begins) / self.info.time_base)
                late = late or (index == 0 and at * self.info.time_base > 1 / self.info.frame_rate / 2)
                last = max(last + 1, at)
                if index >= skip:
                    break
            yield Frame(pixels, index, last, self.info.time_base), late

    def _end(self, frame: Frame) -> int:
        """When the last frame ends: as long as the file's last one is shown, if it is that one."""
        if self.info.even:
            return frame.pts + 1
        stop = self.clip.end if self._stop is None else min(self.clip.end, self._stop)
        end = round((stop - self._start - self.info.offset) / self.info.time_base)
        usual = round(1 / self.info.frame_rate / self.info.time_base)
        return end if end > frame.pts else frame.pts + max(1, usual)


class PlayedFile(VideoFile):
    """The same, each frame when it is due, as if a camera saw it."""

    mirrored = False

    def __init__(self, path: Path, *, max_pixels: int = MAX_PIXELS) -> None:
        super().__init__(path, max_pixels=max_pixels)
        self.description = f"{path.name}, {self.info.width}x{self.info.height} at {float(self.info.frame_rate):.3g}"
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        begun = time.monotonic()
        for frame in super().__iter__():
            if not self._closed.wait(max(0.0, begun + frame.seconds - time.monotonic())):
                yield frame
            if self._closed.is_set():
                return

    @property
    def notice(self) -> None:
        """A file does not fall silent."""

    def close(self) -> None:
        self._closed.set()
        super().close()


class Pictures:
    """Pictures of one size in a row.

    Raises:
        SourceError: one of them cannot be read, or has another size than the first.
        SettingsError: `start` lies behind the last one.
    """

    sound: Clip | None = None
    harm: str | None = None

    def __init__(
        self,
        paths: list[Path],
        *,
        start: float = 0.0,
        end: float | None = None,
        fps: Fraction | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        rate = fps or PICTURES_FPS
        length = Fraction(len(paths)) / rate
        self.paths = [
            path
            for index, path in enumerate(paths)
            if exactly(start) <= index / rate and (end is None or index / rate < exactly(end))
        ]
        if not self.paths:
            raise SettingsError(f"--start must lie within the {float(length):.2f} s of pictures, not at {start:g} s")
        self._max_pixels = max_pixels
        width, height = picture_size(self.paths[0], max_pixels=max_pixels)
        for path in self.paths[1:]:
            if (size := picture_size(path, max_pixels=max_pixels)) != (width, height):
                raise SourceError(
                    f"{path} has {size[0]}x{size[1]} pixels and {self.paths[0].name} {width}x{height}: "
                    "the pictures of a film must be of one size"
                )
        self.info = StreamInfo(width, height, rate, len(self.paths), time_base=1 / rate)

    def frames(self, skip: int = 0) -> Iterator[Frame]:
        for index, path in enumerate(self.paths[skip:], skip):
            try:
                pixels = self._read(path)
            except SourceError as error:
                raise WorkError(str(error)) from None
            yield Frame(pixels, index, index, self.info.time_base, 1)

    def _read(self, path: Path) -> Pixels:
        return read_picture(path, max_pixels=self._max_pixels)

    def close(self) -> None:
        """There is nothing that is open between two pictures."""


def open_clip(
    name: str | Path,
    *,
    start: float = 0.0,
    end: float | None = None,
    fps: Fraction | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Source:
    """What `name` stands for: a video file; a folder of pictures, names like `%05d.png`, a glob.

    Raises:
        SourceError: there is nothing of that name, or it cannot be read.
        SettingsError: `start` lies behind its end.
    """
    found = files(name)
    if found == [Path(name)]:
        return VideoFile(Path(name), start=start, end=end, fps=fps, max_pixels=max_pixels)
    return Pictures(found, start=start, end=end, fps=fps, max_pixels=max_pixels)


def files(name: str | Path) -> list[Path]:
    """The files that `name` stands for: a video, or pictures in a row.

    Raises:
        SourceError: there are none.
    """
    path = Path(name)
    if path.is_file():
        return [path]
    pictures = _row(path)
    if pictures is None:
        raise SourceError(f"no video file {path}")
    if not pictures:
        raise SourceError(f"there are no pictures in {path}" if path.is_dir() else f"there are no pictures {path}")
    return pictures


def _row(path: Path) -> list[Path] | None:
    """Pictures in a row; None if the name does not stand for any."""
    if path.is_dir():
        return in_order([one for one in path.iterdir() if one.suffix.lower() in PICTURE_SUFFIXES])
    if is_numbered(path.name):
        return numbered(path) if path.parent.is_dir() else []
    if any(character in path.name for character in "*?["):
        return in_order([Path(one) for one in glob.glob(str(path)) if Path(one).is_file()])
    return None


def _info(clip: Clip, start: Fraction, end: Fraction | None, fps: Fraction | None) -> StreamInfo:
    stop = clip.end if end is None else min(end, clip.end)
    count = count_between(clip, start, stop)
    if not count and end is not None and end <= clip.times[-1]:
        raise SettingsError(f"there is no picture of {clip.path} between --start and --end")
    if not count:
        raise SettingsError(f"--start must lie within the clip's {float(clip.end):.2f} s, not at {float(start):g} s")
    first = next(time for time in clip.times if time >= start)
    missing = clip.missing if start == 0 and end is None else 0
    if fps is not None:
        count = max(1, round((stop - first) * fps))
        return StreamInfo(clip.width, clip.height, fps, count, 1 / fps, first - start)
    base = 1 / clip.rate if clip.even else clip.time_base
    return StreamInfo(clip.width, clip.height, clip.rate, count + missing, base, first - start)


def exactly(seconds: float) -> Fraction:
    """What was meant: 0.2 is a fifth, not the binary number next to it."""
    return Fraction(round(seconds * 1_000_000), 1_000_000)


def _filters(clip: Clip, info: StreamInfo) -> tuple[list[str], list[str]]:
    """What comes before frames are chosen and counted, and after."""
    before = ["bwdif=mode=send_frame:parity=auto:deint=interlaced"] if clip.interlaced else []
    # Where nothing is resized, each colour is spread over the pixels it was taken from: the encoder's mean over the
    # same pixels finds it again.
    how = "neighbor" if (info.width, info.height) == clip.stored else "bicubic"
    scale = f"scale={info.width}:{info.height}:flags={how}+accurate_rnd+full_chroma_int"
    after = [scale + (f":in_color_matrix={clip.matrix}" if clip.matrix else "")]
    if clip.hdr is not None:
        matrix, primaries, levels = clip.hdr_tags
        tags = {"m": _told(matrix, "bt2020nc"), "p": _told(primaries, "bt2020"), "r": _told(levels, "tv")}
        curve = {"PQ": "smpte2084", "HLG": "arib-std-b67"}[clip.hdr]
        given = "".join(f":{key}in={value}" for key, value in tags.items())
        after = [
            f"zscale=t=linear:npl=203:tin={curve}{given}",  # 203 cd/m²: white of SDR within HDR (ITU-R BT.2408)
            "format=gbrpf32le,zscale=p=bt709,tonemap=tonemap=mobius:desat=0",
            "zscale=t=bt709:m=gbr:r=pc,format=gbrp",
            scale,
        ]
    return before, after


def _told(tag: str, otherwise: str) -> str:
    return otherwise if tag in ("", "unknown", "reserved") else {"tv": "limited", "pc": "full"}.get(tag, tag)


def _beside(clip: Clip) -> list[str]:
    """As in `clip.look`: the sound is wanted, too, where ffmpeg counts from the first stream that is."""
    return ["-map", "0:a?", "-c:a", "copy", "-f", "null", "-"] if clip.shifts else []


def _until(frame: Frame, pts: int) -> Frame:
    return Frame(frame.pixels, frame.index, frame.pts, frame.time_base, pts - frame.pts)
