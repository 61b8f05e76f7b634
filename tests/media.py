"""Small pictures and clips that the tests make for themselves, and independent ways to look at a film."""

from __future__ import annotations

import base64
import contextlib
import itertools
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

import cv2
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from nst_video.frame import Pixels

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Reference data that lies beside a developer's checkout; tests that need it are skipped where it is missing."""

T = TypeVar("T")

NTSC = Fraction(24000, 1001)
PATIENCE_S = 20.0
"""For what happens soon if the code is right."""


def soon(work: Callable[[], T]) -> T:
    """What `work` answers; a TimeoutError, and no test that hangs, if it never does."""
    answer = Future[T]()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, name="soon", daemon=True).start()
    return answer.result(PATIENCE_S)


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.001)


def ffmpeg(*arguments: object) -> bytes:
    """Run ffmpeg, which must succeed, and answer its stdout."""
    return run_ffmpeg(*arguments, check=True).stdout


def run_ffmpeg(*arguments: object, check: bool = False) -> subprocess.CompletedProcess[bytes]:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-y", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=check, timeout=60)


def blobs(height: int, width: int, seed: int = 0) -> Pixels:
    """Soft colour blobs with a grey grain: texture on every scale, but none that subsampled chroma would lose."""
    dice = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    for cells, strength, channels in ((3, 90.0, 3), (5, 50.0, 3), (17, 50.0, 1)):
        coarse = dice.uniform(-1, 1, (cells, cells, channels))
        fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        picture += strength * fine.reshape(height, width, channels)
    return np.asarray(np.clip(picture + 128, 0, 255), dtype=np.uint8)


def stepped(count: int, height: int, width: int) -> Pixels:
    """Frames (count, H, W, 3) that tell their own number by their brightness; see `numbers`."""
    frames = np.empty((count, height, width, 3), np.uint8)
    for index in range(count):
        frames[index] = 40 + 10 * index
    return frames


def numbers(frames: Pixels) -> list[int]:
    """Which of `stepped` each frame is."""
    means = frames.reshape(len(frames), -1).mean(1)
    return [round((float(mean) - 40) / 10) for mean in means]


def sliding(count: int, height: int, width: int, seed: int = 0) -> Pixels:
    """Frames (count, H, W, 3) of a camera that pans two pixels a frame over `blobs`."""
    wide = blobs(height, width + 2 * count, seed)
    return np.stack([wide[:, 2 * index : 2 * index + width] for index in range(count)])


def write_png(path: Path, pixels: Pixels) -> Path:
    assert cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return path


def read_png(path: Path) -> Pixels:
    found = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert found is not None
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def write_clip(
    path: Path, frames: Pixels, *, rate: Fraction = NTSC, sound: str | None = "aac", extra: tuple[object, ...] = ()
) -> Path:
    """A nearly lossless H.264 clip, its colours tagged, with a sine of its length encoded by `sound`."""
    _, height, width, _ = frames.shape
    seconds = float(len(frames) / rate)
    # odd sizes only exist in 4:4:4
    pixel_format = "yuv420p" if height % 2 == width % 2 == 0 else "yuv444p"
    tone = ("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=44100:duration={seconds:.6f}")
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-y",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate), "-i", "pipe:0",
        *(tone if sound else ()),
        "-vf", f"scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int,format={pixel_format},"
        "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv",
        "-c:v", "libx264", "-preset", "ultrafast", "-qp", "4", "-g", "6", "-bf", "0",
        *(("-c:a", sound) if sound else ()),
        *map(str, extra), str(path),
    ]  # fmt: skip
    subprocess.run(command, input=frames.tobytes(), capture_output=True, check=True, timeout=60)
    return path


@dataclass(frozen=True)
class Film:
    """What ffmpeg itself finds in a film, as a player would show it."""

    width: int
    height: int
    times: tuple[Fraction, ...]
    """When each frame is shown, in seconds."""
    description: str
    """What ffmpeg prints about its streams."""

    @property
    def rate(self) -> Fraction:
        """Frames per second, exactly, of a film of even spacing."""
        (spacing,) = {b - a for a, b in zip(self.times, self.times[1:], strict=False)}
        return 1 / spacing


def look_at(path: Path) -> Film:
    done = run_ffmpeg("-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-", check=True)
    listing = done.stdout.decode()
    base = re.search(r"#tb 0: (\d+)/(\d+)", listing)
    size = re.search(r"#dimensions 0: (\d+)x(\d+)", listing)
    assert base is not None
    assert size is not None
    unit = Fraction(int(base[1]), int(base[2]))
    times = tuple(int(line.split(",")[2]) * unit for line in listing.splitlines() if line and not line.startswith("#"))
    return Film(int(size[1]), int(size[2]), times, done.stderr.decode())


def decode(path: Path) -> Pixels:
    """All frames (N, H, W, 3) of a film, as a player would show them."""
    film = look_at(path)
    scale = "scale=flags=bicubic+accurate_rnd+full_chroma_int"
    raw = ffmpeg("-i", path, "-map", "0:v:0", "-vf", scale, "-fps_mode", "passthrough", "-f", "rawvideo",
                 "-pix_fmt", "rgb24", "-")  # fmt: skip
    return np.frombuffer(raw, np.uint8).reshape(-1, film.height, film.width, 3)


def sound_md5(path: Path) -> str | None:
    """A fingerprint of the compressed sound, bit for bit; None if there is none."""
    done = run_ffmpeg("-i", path, "-map", "0:a", "-c", "copy", "-f", "md5", "-")
    return done.stdout.decode().strip() if done.returncode == 0 else None


def loudness(path: Path) -> NDArray[np.int32]:
    """The sound as absolute 16 bit samples, mono, 8000 a second."""
    raw = ffmpeg("-i", path, "-map", "0:a", "-ac", "1", "-ar", "8000", "-f", "s16le", "-")
    return np.abs(np.frombuffer(raw, np.int16).astype(np.int32))


class MjpegServer:
    """A network camera: MJPEG over HTTP on this machine. A context manager; every client gets `frames` over and over.

    `login`, as "user:password", is what it asks its clients for.
    """

    def __init__(self, frames: Pixels, *, rate: float = 50.0, login: str | None = None) -> None:
        self.port, self.clients = 0, 0
        self._wait, self._login = 1 / rate, login
        self._changed = threading.Condition()
        self._stalled = self._stopped = False
        self._connections = list[socket.socket]()
        self.show(frames)

    def __enter__(self) -> MjpegServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/video"

    def show(self, frames: Pixels) -> None:
        """To those who connect from now on."""
        self._pictures = [cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes() for frame in frames]

    def start(self) -> None:
        """On any free port; on the same one again after `stop`."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(OSError):  # the client has gone
                    owner._serve(self)

            def log_message(self, *_: object) -> None:
                pass

        self._stopped = False
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = False  # `server_close` waits for them then
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="mjpeg")
        self._thread.start()

    def stop(self) -> None:
        """As if its plug were pulled: nobody listens, and all connections are closed. Harmless when it has stopped."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._server.shutdown()
        self._thread.join()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # it may wait for a client that takes nothing
        self._connections.clear()
        self._server.server_close()

    def stall(self) -> None:
        """Keep all connections and take new ones, but send nothing."""
        with self._changed:
            self._stalled = True

    def go_on(self) -> None:
        with self._changed:
            self._stalled = False
            self._changed.notify_all()

    def _serve(self, client: BaseHTTPRequestHandler) -> None:
        self._connections.append(client.connection)
        self.clients += 1
        if self._login is not None:
            wanted = "Basic " + base64.b64encode(self._login.encode()).decode()
            if client.headers["Authorization"] != wanted:
                client.send_response(401)
                client.send_header("WWW-Authenticate", 'Basic realm="camera"')
                client.end_headers()
                return
        if client.path != "/video":
            client.send_error(404)
            return
        pictures = self._pictures
        if not self._may_send():
            return
        client.send_response(200)
        client.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        client.end_headers()
        for picture in itertools.cycle(pictures):
            head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            client.wfile.write(head.encode() + picture + b"\r\n")
            if not self._may_send(after=self._wait):
                return

    def _may_send(self, *, after: float = 0.0) -> bool:
        """Wait while it is stalled; whether it is still running then."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, timeout=after)
            self._changed.wait_for(lambda: self._stopped or not self._stalled)
        return not self._stopped
