"""One ffmpeg process: started, fed or drained, waited for; its stderr and exit code turned into errors.

imageio's own reader and writer never check the exit code, resample variable frame rates and rescale odd sizes, so
only the binary it brings is used.
"""

from __future__ import annotations

import contextlib
import queue
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import imageio_ffmpeg
import numpy as np

from nst_video.errors import WorkError
from nst_video.frame import Pixels
from nst_video.settings import MAX_PIXELS

FINISH_TIMEOUT_S = 600.0
"""How long an encoder may take to finish a film after its last frame (it rewrites the file once)."""
PATIENCE_S = 60.0
"""How long a read or a write may take nothing or give nothing, before the process is given up."""

TELL_TIMES = r"metadata=add:key=n:value=0,metadata=print:file=pipe\\:2:direct=1"
"""A filter that makes ffmpeg write each frame's number and time to its stderr, for `Ffmpeg.times`."""
_TIME = re.compile(rb"frame:(\d+) +pts:(-?\d+) ")
_PREFIX = re.compile(r"^(\[[^\]]* @ 0x[0-9a-f]+\] )*(\[\w+\] )?")
_HARM = re.compile(
    rb"corrupt decoded frame|corrupt input packet|[Ee]rror submitting packet|error while decoding|partial file"
    rb"|ended prematurely|Error during demuxing|CRC mismatch|\[in#\d[^\]]*\] \[error\]"
)
"""What ffmpeg says of files that are damaged."""

_OUT_OF_REACH: dict[str, Any] = {
    "start_new_session": True,
    "creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
}
"""Of Ctrl-C, which is for us to handle: an encoder that dies of it leaves a film without an index."""


def executable() -> str:
    """The path of ffmpeg: the one that imageio-ffmpeg brings, or the user's own by IMAGEIO_FFMPEG_EXE."""
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        raise WorkError("no ffmpeg found; `pip install imageio-ffmpeg` brings one") from None


class Ffmpeg:
    """A running ffmpeg with a pipe for raw RGB frames or text; `what` names the work in errors.

    One that neither gives nor takes anything for `patience` seconds while somebody waits for it is ended.
    """

    def __init__(
        self, arguments: Sequence[str], *, what: str, reads: bool, patience: float = PATIENCE_S, level: str = "warning"
    ) -> None:
        self.harm: str | None = None
        """What it first said of damage to its input."""
        self.gave_up = False
        self._what, self._patience = what, patience
        self._complaints: deque[str] = deque(maxlen=20)
        self._times: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        self._waiting_since: float | None = None
        self._over = threading.Event()
        self._process = subprocess.Popen(
            [executable(), "-hide_banner", "-nostats", "-loglevel", f"level+{level}", *arguments],
            stdin=subprocess.DEVNULL if reads else subprocess.PIPE,
            stdout=subprocess.PIPE if reads else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            bufsize=0,
            **_OUT_OF_REACH,
        )
        self._listener = threading.Thread(target=self._listen, name="ffmpeg-stderr", daemon=True)
        self._listener.start()
        threading.Thread(target=self._watch, name="ffmpeg-watch", daemon=True).start()

    def frames(self, width: int, height: int) -> Iterator[Pixels]:
        """Raw RGB frames until the end of the stream, or until damage ends it (`harm`).

        Raises:
            WorkError: ffmpeg died, hung or failed without a single frame; its output ended in the middle of a frame.
        """
        out = _pipe(self._process.stdout)
        some = False
        while True:
            frame = np.empty((height, width, 3), np.uint8)
            got = self._read_into(out, frame.data.cast("B"))
            if got < frame.nbytes:
                break
            some = True
            yield frame
        code = self.finish(timeout=30)
        if code < 0 or self.gave_up or got or (code and not some):
            raise WorkError(f"{self._what}: {self.complaint()}")
        if code:
            self.harm = self.harm or self.complaint()

    def next_time(self) -> tuple[int, int]:
        """Number and time, in units of the stream's time base, of the next frame that has passed `TELL_TIMES`."""
        try:
            return self._times.get(timeout=self._patience)
        except queue.Empty:
            raise WorkError(f"{self._what}: ffmpeg did not tell when a frame is shown") from None

    def pictures(self) -> Iterator[Pixels]:
        """PPM pictures, each of a size of its own, until it ends or is ended."""
        out = _pipe(self._process.stdout)
        while size := self._ppm_size(out):
            picture = np.empty((size[1], size[0], 3), np.uint8)
            if self._read_into(out, picture.data.cast("B")) < picture.nbytes:
                return
            yield picture

    def drain(self) -> None:
        """Read whatever it writes, until it ends."""
        out, buffer = _pipe(self._process.stdout), memoryview(bytearray(65536))
        while self._read_into(out, buffer[:1]):
            pass

    def end(self) -> None:
        """Tell it to end at once, from any thread; the one that reads from it sees the end of the stream."""
        self._process.kill()

    def feed(self, *parts: bytes | Pixels) -> None:
        """Write bytes or the pixels of frames.

        Raises:
            WorkError: ffmpeg is gone; its own words say why.
        """
        pipe = _pipe(self._process.stdin)
        try:
            for part in parts:
                data = memoryview(part) if isinstance(part, bytes) else np.ascontiguousarray(part).data.cast("B")
                while data:
                    self._waiting_since = time.monotonic()
                    data = data[pipe.write(data) :]
                    self._waiting_since = None
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
        self._over.set()
        self._listener.join(timeout=5)
        self._close_pipes()
        return code

    def kill(self) -> None:
        """End it at once; harmless when it has ended."""
        self._over.set()
        self._process.kill()
        self._process.wait()
        self._close_pipes()

    def complaint(self) -> str:
        """The last thing ffmpeg said on stderr."""
        if self.gave_up:
            return f"ffmpeg did nothing for {self._patience:g} s"
        return self._complaints[-1] if self._complaints else "ffmpeg stopped without a word"

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _listen(self) -> None:
        with _pipe(self._process.stderr) as lines:
            for line in lines:
                if told := _TIME.search(line):  # anywhere: a decoder's thread may be in the middle of a line
                    self._times.put((int(told[1]), int(told[2])))
                    if self._waiting_since is not None:  # it gives nothing, but is getting on
                        self._waiting_since = time.monotonic()
                    continue
                text = _PREFIX.sub("", line.decode(errors="replace").strip())
                if self.harm is None and _HARM.search(line):
                    self.harm = text
                if text and not text.startswith("n=") and "Conversion failed" not in text and b"[warning]" not in line:
                    self._complaints.append(text)

    def _watch(self) -> None:
        while not self._over.wait(min(1.0, self._patience / 20)):
            since = self._waiting_since
            if since is not None and time.monotonic() - since > self._patience:
                self.gave_up = True
                self._process.kill()
                return

    def _read_into(self, pipe: IO[bytes], buffer: memoryview) -> int:
        got = 0
        self._waiting_since = time.monotonic()
        while got < len(buffer):
            count = pipe.readinto(buffer[got:])  # type: ignore[attr-defined]
            if not count:
                break
            got += count
        self._waiting_since = None
        return got

    def _ppm_size(self, pipe: IO[bytes]) -> tuple[int, int] | None:
        """Width and height from a PPM's header; None at the end of the stream. Reads not a byte more."""
        header, byte = b"", bytearray(1)
        while header.count(b"\n") < 3:
            if not self._read_into(pipe, memoryview(byte)):
                return None
            header += byte
        width, height = header.split()[1:3]
        return int(width), int(height)


def stream(url: str) -> Ffmpeg:
    """Receive a URL or a named pipe as `Ffmpeg.pictures`, each as soon as it comes.

    Whatever is meant to smooth a film's playing is turned off: it would make a live picture late. Not by "nobuffer",
    which throws away what is read while the stream is being analysed: a key frame may not come again for seconds.
    """
    transport = ["-rtsp_transport", "tcp"] if url.startswith("rtsp") else []
    arguments = [
        "-flags", "low_delay", "-threads", "1", "-fpsprobesize", "0", "-analyzeduration", "1000000",
        "-max_pixels", str(MAX_PIXELS), *transport, "-i", url, "-map", "0:V:0", "-fps_mode", "passthrough",
        "-vf", "scale=iw*sar:ih:flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24",
        "-f", "image2pipe", "-c:v", "ppm", "-flush_packets", "1", "pipe:1",
    ]  # fmt: skip
    return Ffmpeg(arguments, what=f"cannot receive {url}", reads=True)


def run(
    arguments: Sequence[str], *, level: str = "warning", timeout: float = FINISH_TIMEOUT_S
) -> subprocess.CompletedProcess[bytes]:
    """Run ffmpeg to its end, without a pipe to it.

    Raises:
        WorkError: it took more than `timeout` seconds.
    """
    command = [executable(), "-hide_banner", "-nostdin", "-nostats", "-loglevel", f"level+{level}", "-y", *arguments]
    try:
        return subprocess.run(command, capture_output=True, timeout=timeout, check=False, **_OUT_OF_REACH)
    except subprocess.TimeoutExpired:
        raise WorkError(f"ffmpeg did not finish within {timeout:g} s: {' '.join(arguments)}") from None


def has_filter(name: str) -> bool:
    """Whether this ffmpeg was built with a filter."""
    return b"Unknown filter" not in run(["-h", f"filter={name}"]).stdout


def last_words(stderr: bytes) -> str:
    """The last thing that a process which has failed said, without ffmpeg's own marks."""
    texts = [_PREFIX.sub("", line.strip()) for line in stderr.decode(errors="replace").splitlines()]
    said = [text for text in texts if text and "Conversion failed" not in text]
    return said[-1] if said else "ffmpeg stopped without a word"


def plain(path: Path) -> str:
    """A path as ffmpeg takes it: it must not read a protocol or an option into names like "a:b.mp4" or "-x.mp4"."""
    return f"file:{path}"


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def harm(stderr: bytes) -> str | None:
    """What ffmpeg first said of damage to its input."""
    found = next((line for line in stderr.splitlines() if _HARM.search(line)), None)
    return None if found is None else last_words(found)
