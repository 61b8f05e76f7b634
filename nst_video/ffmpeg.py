"""One ffmpeg process: started, fed or drained, waited for; its stderr and exit code turned into errors.

imageio's own reader and writer never check the exit code, resample variable frame rates and rescale odd sizes, so
only the binary it brings is used.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np

from nst_video.errors import WorkError
from nst_video.frame import Pixels

FINISH_TIMEOUT_S = 600.0
"""How long an encoder may take to finish a film after its last frame (it rewrites the file once)."""


def executable() -> str:
    """The path of ffmpeg: the one that imageio-ffmpeg brings, or the user's own by IMAGEIO_FFMPEG_EXE."""
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        raise WorkError("no ffmpeg found; `pip install imageio-ffmpeg` brings one") from None


class Ffmpeg:
    """A running ffmpeg with a pipe for raw RGB frames; `what` names the work in errors."""

    def __init__(self, arguments: Sequence[str], *, what: str, reads: bool) -> None:
        self._what = what
        self._complaints: deque[str] = deque(maxlen=20)
        self._process = subprocess.Popen(
            [executable(), "-hide_banner", "-loglevel", "error", *arguments],
            stdin=subprocess.DEVNULL if reads else subprocess.PIPE,
            stdout=subprocess.PIPE if reads else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            bufsize=0,
            # Ctrl-C is for us to handle: an encoder that dies of it leaves a film without an index.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._listener = threading.Thread(target=self._listen, name="ffmpeg-stderr", daemon=True)
        self._listener.start()

    def frames(self, width: int, height: int) -> Iterator[Pixels]:
        """Raw RGB frames until the end of the stream.

        Raises:
            WorkError: ffmpeg failed, or its output ended in the middle of a frame.
        """
        out = _pipe(self._process.stdout)
        while True:
            frame = np.empty((height, width, 3), np.uint8)
            got = _read_into(out, frame.data.cast("B"))
            if got == frame.nbytes:
                yield frame
            else:
                break
        if self.finish(timeout=30) or got:
            raise WorkError(f"{self._what}: {self.complaint()}")

    def pictures(self) -> Iterator[Pixels]:
        """The PPM pictures that `stream` sends, each of a size of its own, until it ends or is ended."""
        out = _pipe(self._process.stdout)
        while size := _ppm_size(out):
            picture = np.empty((size[1], size[0], 3), np.uint8)
            if _read_into(out, picture.data.cast("B")) < picture.nbytes:
                return
            yield picture

    def end(self) -> None:
        """Tell it to end at once, from any thread; the one that reads from it sees the end of the stream."""
        self._process.kill()

    def feed(self, frame: Pixels) -> None:
        """Write one frame.

        Raises:
            WorkError: ffmpeg is gone; its own words say why.
        """
        try:
            data = np.ascontiguousarray(frame).data.cast("B")
            pipe = _pipe(self._process.stdin)
            while data:
                data = data[pipe.write(data) :]
        except (BrokenPipeError, OSError):
            self.finish(timeout=30)
            raise WorkError(f"{self._what}: {self.complaint()}") from None

    def finish(self, *, timeout: float = FINISH_TIMEOUT_S) -> int:
        """Close the pipe, wait for ffmpeg to end and answer its exit code; after `timeout` seconds it is killed."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it is gone already, and its exit code says so
                self._process.stdin.close()
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            self._complaints.append(f"ffmpeg did not finish within {timeout:g} s")
            return -signal.SIGTERM
        self._listener.join(timeout=5)
        self._close_pipes()
        return code

    def kill(self) -> None:
        """End it at once; harmless when it has ended."""
        self._process.kill()
        self._process.wait()
        self._close_pipes()

    def complaint(self) -> str:
        """The last thing ffmpeg said on stderr."""
        return self._complaints[-1] if self._complaints else "ffmpeg stopped without a word"

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _listen(self) -> None:
        with _pipe(self._process.stderr) as lines:
            for line in lines:
                text = line.decode(errors="replace").strip()
                if text and "Conversion failed" not in text:
                    self._complaints.append(text)


def decode(clip: Path, width: int, height: int, *, start: float = 0.0, duration: float | None = None) -> Ffmpeg:
    """Decode the first video stream, upright, to RGB at width×height: each frame once, whatever its timing."""
    window = (["-ss", f"{start:.6f}"] if start else []) + (["-t", f"{duration:.6f}"] if duration is not None else [])
    arguments = [
        *window, "-i", plain(clip), "-map", "0:V:0", "-fps_mode", "passthrough",
        "-vf", f"scale={width}:{height}:flags=bicubic+accurate_rnd+full_chroma_int",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1",
    ]  # fmt: skip
    return Ffmpeg(arguments, what=f"cannot decode {clip}", reads=True)


def stream(url: str) -> Ffmpeg:
    """Receive a URL or a named pipe as `Ffmpeg.pictures`, each as soon as it comes.

    Whatever is meant to smooth a film's playing is turned off: it would make a live picture late. Not by "nobuffer",
    which throws away what is read while the stream is being analysed: a key frame may not come again for seconds.
    """
    transport = ["-rtsp_transport", "tcp"] if url.startswith("rtsp") else []
    arguments = [
        "-flags", "low_delay", "-threads", "1", "-fpsprobesize", "0", "-analyzeduration", "1000000",
        *transport, "-i", url, "-map", "0:V:0", "-fps_mode", "passthrough",
        "-vf", "scale=iw*sar:ih:flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24",
        "-f", "image2pipe", "-c:v", "ppm", "-flush_packets", "1", "pipe:1",
    ]  # fmt: skip
    return Ffmpeg(arguments, what=f"cannot receive {url}", reads=True)


_DISCARD = 4  # AV_PKT_FLAG_DISCARD: what an edit list cuts away
_CUT_SHORT = re.compile(rb"partial file|ended prematurely")


@dataclass(frozen=True)
class Packets:
    """The pictures of a video stream as they lie in the file: when each comes, in seconds from the first, in order."""

    times: list[float]
    end: float
    damaged: bool
    """The file ends before its stream does."""


def packets(clip: Path) -> Packets:
    """Read the times of all packets of the first video stream, without decoding any.

    A container's own word on lengths and rates is often an estimate. By dts, which every file has; the order of
    pictures within a group does not matter here. No times when there is no video or no file.
    """
    done = _run(["-i", plain(clip), "-map", "0:V:0", "-c", "copy", "-copyts", "-f", "framecrc", "-"])
    base, found = 0.0, []
    for line in done.stdout.decode().splitlines():
        if line.startswith("#tb 0:"):
            numerator, denominator = line.removeprefix("#tb 0:").split("/")
            base = int(numerator) / int(denominator)
        elif not line.startswith("#"):
            _, dts, _, length, _, _, *more = map(str.strip, line.split(","))
            if not any(part.startswith("F=") and int(part[2:], 16) & _DISCARD for part in more):
                found.append((int(dts), int(length)))
    found.sort()
    times = [(dts - found[0][0]) * base for dts, _ in found]
    end = times[-1] + found[-1][1] * base if found else 0.0
    return Packets(times, end, bool(_CUT_SHORT.search(done.stderr)))


def encode(
    output: Path,
    width: int,
    height: int,
    frame_rate: tuple[int, int],
    *,
    codec: str,
    crf: int,
    preset: str = "medium",
    audio_from: Path | None = None,
    copy_audio: bool = True,
    start: float = 0.0,
    duration: float | None = None,
) -> Ffmpeg:
    """Encode RGB frames of width×height; with the sound of `audio_from` from `start` on, for `duration` seconds.

    4:2:0 has no odd sizes: an odd last column or row is dropped, nothing is rescaled. Colours are converted to and
    tagged as bt709 limited range, which all players agree on.
    """
    library = {"h264": "libx264", "h265": "libx265"}[codec]
    window = (["-ss", f"{start:.6f}"] if start else []) + (["-t", f"{duration:.6f}"] if duration is not None else [])
    sound = ["-map", "1:a?", "-c:a", "copy" if copy_audio else "aac"]
    filters = (
        f"crop={width // 2 * 2}:{height // 2 * 2}:0:0,"
        "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int,format=yuv420p,"
        "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    )
    arguments = [
        "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
        "-r", "{}/{}".format(*frame_rate), "-i", "pipe:0",
        *([*window, "-i", plain(audio_from)] if audio_from else []),
        "-map", "0:v", *(sound if audio_from else []),
        "-vf", filters, "-c:v", library, "-crf", str(crf), "-preset", preset,
        *(["-x265-params", "log-level=error", "-tag:v", "hvc1"] if codec == "h265" else []),
        *(["-movflags", "+faststart"] if output.suffix.lower() != ".mkv" else []),
        plain(output),
    ]  # fmt: skip
    return Ffmpeg(arguments, what=f"cannot write {output}", reads=False)


def audio_fits(clip: Path, output: Path) -> bool:
    """Whether the clip's sound can be copied into a file like `output` as it is; tried on its first moments.

    Writes and removes a small file beside `output`.
    """
    trial = output.with_name(f"{output.stem}.sound{output.suffix}")
    try:
        done = _run(["-t", "0.5", "-i", plain(clip), "-map", "0:a", "-c", "copy", plain(trial)])
    finally:
        trial.unlink(missing_ok=True)
    unplayable = _UNPLAYABLE.get(output.suffix.lower())
    return done.returncode == 0 and (unplayable is None or not re.search(unplayable, done.stderr))


# What ffmpeg does put into such files, and hardly a player finds there.
_UNPLAYABLE = {".mp4": rb"Audio: (pcm|vorbis)", ".m4v": rb"Audio: (pcm|vorbis)", ".mov": rb"Audio: vorbis"}


def cut(film: Path, seconds: float) -> None:
    """Shorten a film to `seconds` in place, without encoding it again; left as it is if that fails."""
    shorter = film.with_name(f"{film.stem}.cut{film.suffix}")
    try:
        done = _run(["-i", plain(film), "-t", f"{seconds:.6f}", "-map", "0", "-c", "copy", plain(shorter)])
        if done.returncode == 0:
            os.replace(shorter, film)
    finally:
        shorter.unlink(missing_ok=True)


def _run(arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Run ffmpeg to its end without a pipe."""
    command = [executable(), "-nostdin", "-y", *arguments]
    try:
        return subprocess.run(command, capture_output=True, timeout=FINISH_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise WorkError(f"ffmpeg did not finish within {FINISH_TIMEOUT_S:g} s: {' '.join(arguments)}") from None


def plain(path: Path) -> str:
    """A path as ffmpeg takes it: it must not read a protocol or an option into names like "a:b.mp4" or "-x.mp4"."""
    return f"file:{path}"


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _ppm_size(pipe: IO[bytes]) -> tuple[int, int] | None:
    """Width and height from a PPM's header; None at the end of the stream. Reads not a byte more."""
    header = b""
    while header.count(b"\n") < 3:
        byte = pipe.read(1)
        if not byte:
            return None
        header += byte
    width, height = header.split()[1:3]
    return int(width), int(height)


def _read_into(pipe: IO[bytes], buffer: memoryview) -> int:
    got = 0
    while got < len(buffer):
        count = pipe.readinto(buffer[got:])  # type: ignore[attr-defined]
        if not count:
            break
        got += count
    return got
