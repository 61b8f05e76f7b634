"""Cameras and streams that come, fall silent, break and come back. All on this machine, and no real camera."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from media import PATIENCE_S, MjpegServer, numbers, run_ffmpeg, soon, stepped, wait_until

from nst_video import feeds, ffmpeg
from nst_video.errors import SourceError, WorkError
from nst_video.feeds import Camera, Stream, cameras, open_source
from nst_video.frame import Frame, LiveSource, Pixels
from nst_video.sources import PlayedFile

RED, BLUE = (210, 60, 30), (30, 70, 220)


def two_colours(height: int = 48, width: int = 64) -> Pixels:
    """One frame, its left half red, its right half blue: neither sides nor channels can be mistaken."""
    frames = np.empty((1, height, width, 3), np.uint8)
    frames[:, :, : width // 2], frames[:, :, width // 2 :] = RED, BLUE
    return frames


def looks_like_two_colours(pixels: Pixels) -> bool:
    width = pixels.shape[1]
    left, right = pixels[:, : width // 4].astype(np.int32), pixels[:, -width // 4 :].astype(np.int32)
    return bool(np.abs(left - RED).max() <= 12 and np.abs(right - BLUE).max() <= 12)


@pytest.fixture(autouse=True)
def receivers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ffmpeg.Ffmpeg]]:
    """Every ffmpeg that receives something; none of them, and no thread, may outlive its test."""
    threads, begun, stream = set(threading.enumerate()), list[ffmpeg.Ffmpeg](), ffmpeg.stream

    def noted(url: str) -> ffmpeg.Ffmpeg:
        begun.append(stream(url))
        return begun[-1]

    monkeypatch.setattr(ffmpeg, "stream", noted)
    yield begun
    wait_until(lambda: set(threading.enumerate()) <= threads)
    # not by asking the system: who does not wait for a process leaves it behind as a zombie
    assert all(receiver._process.returncode is not None for receiver in begun)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become tenths."""
    monkeypatch.setattr(feeds, "QUIET_S", 0.2)
    monkeypatch.setattr(feeds, "RETRY_S", 0.02)


class Viewer:
    """Takes all frames of a source in a thread of its own, as the pipeline does; leaving it closes the source."""

    def __init__(self, source: LiveSource) -> None:
        self.source, self.frames = source, list[Frame]()
        self._thread = threading.Thread(target=self._watch, name="viewer", daemon=True)

    def __enter__(self) -> Viewer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self.wait_for_the_end()

    def wait_for(self, count: int) -> list[Frame]:
        """So many more frames."""
        before = len(self.frames)
        wait_until(lambda: len(self.frames) >= before + count)
        return self.frames[before:]

    def wait_for_the_end(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the iteration goes on though the source was closed"

    def _watch(self) -> None:
        self.frames.extend(self.source)


def viewer_of(url: str | Path) -> Viewer:
    return Viewer(open_source(None, str(url)))


# streams


def test_a_streams_pictures_come_as_rgb_at_their_own_size() -> None:
    with MjpegServer(two_colours()) as server, viewer_of(server.url) as viewer:
        source = viewer.source
        assert isinstance(source, Stream)
        assert (source.info.width, source.info.height, source.info.frame_count) == (64, 48, 0)
        assert source.mirrored
        assert source.description == f"{server.url}, 64x48"
        for frame in viewer.wait_for(3):
            assert frame.pixels.shape == (48, 64, 3)
            assert frame.pixels.dtype == np.uint8
            assert looks_like_two_colours(frame.pixels)


def test_every_picture_of_a_stream_comes_once_with_its_number_and_time() -> None:
    begun = time.monotonic()
    with MjpegServer(stepped(20, 48, 64)) as server, viewer_of(server.url) as viewer:
        viewer.wait_for(15)
        frames = viewer.frames[:15]
        passed = time.monotonic() - begun
    shown = numbers(np.stack([frame.pixels for frame in frames]))
    assert shown == [(shown[0] + number) % 20 for number in range(15)]
    assert [frame.index for frame in frames] == list(range(15))
    times = [frame.seconds for frame in frames]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= passed


def test_a_server_that_refuses_is_told_at_once_by_its_url() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/video"
        begun = time.monotonic()
        with pytest.raises(SourceError, match=f"cannot receive {url}: .*refused"):
            open_source(None, url)
        assert time.monotonic() - begun < PATIENCE_S


def test_what_the_server_says_is_told() -> None:
    with MjpegServer(two_colours()) as server:
        url = server.url.replace("video", "nothing")
        with pytest.raises(SourceError, match=f"cannot receive {url}: .*404 Not Found"):
            open_source(None, url)


def test_a_password_is_used_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "QUIET_S", -1.0)  # there is something to notice all the time
    with MjpegServer(two_colours(), login="anna:secret") as server:
        shown = server.url
        with viewer_of(shown.replace("//", "//anna:secret@")) as viewer:
            viewer.wait_for(1)
            source = viewer.source
            assert isinstance(source, Stream)
            assert source.name == shown
            assert source.description == f"{shown}, 64x48"
            assert source.notice is not None
            assert source.notice.startswith(f"{shown} sends nothing")
        with pytest.raises(SourceError) as failure:
            open_source(None, shown.replace("//", "//anna:secrets@"))
        assert shown in str(failure.value)
        assert "anna" not in str(failure.value)
        assert "secrets" not in str(failure.value)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_comes_back_is_taken_up_by_the_same_iteration_at_any_size() -> None:
    with MjpegServer(two_colours(48, 64)) as server, viewer_of(server.url) as viewer:
        viewer.wait_for(3)
        wait_until(lambda: viewer.source.notice is None)
        server.stop()
        wait_until(lambda: viewer.source.notice is not None)
        assert str(viewer.source.notice).startswith(f"{server.url} sends nothing: trying again … ")
        before = len(viewer.frames)
        server.show(two_colours(24, 40))
        server.start()
        viewer.wait_for(3)
        wait_until(lambda: viewer.source.notice is None)
        after = viewer.frames[before : before + 3]
    assert [frame.pixels.shape for frame in after] == [(24, 40, 3)] * 3
    assert all(looks_like_two_colours(frame.pixels) for frame in after)
    assert [frame.index for frame in viewer.frames] == list(range(len(viewer.frames)))
    times = [frame.seconds for frame in viewer.frames]
    assert times == sorted(times)
    assert times[before] - times[before - 1] > feeds.QUIET_S


@pytest.mark.usefixtures("impatient")
def test_a_server_that_stalls_is_given_up_and_taken_up_again(
    receivers: list[ffmpeg.Ffmpeg], monkeypatch: pytest.MonkeyPatch
) -> None:
    with MjpegServer(two_colours()) as server, viewer_of(server.url) as viewer:
        viewer.wait_for(3)
        monkeypatch.setattr(feeds, "PATIENCE_S", 0.7)
        server.stall()
        wait_until(lambda: server.clients > 1)
        assert receivers[0]._process.returncode is not None
        assert viewer.source.notice is not None
        server.go_on()
        viewer.wait_for(3)
        wait_until(lambda: viewer.source.notice is None)


def test_a_stream_that_flows_is_not_given_up(receivers: list[ffmpeg.Ffmpeg], monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience is for the time since the last picture, not since the first."""
    with MjpegServer(two_colours()) as server, viewer_of(server.url) as viewer:
        viewer.wait_for(1)
        monkeypatch.setattr(feeds, "PATIENCE_S", 0.8)
        wait_until(lambda: viewer.frames[-1].seconds > 1.3)
        assert len(receivers) == 1


def test_a_server_that_never_sends_is_an_error_when_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "PATIENCE_S", 0.4)
    with MjpegServer(two_colours()) as server:
        server.stall()
        begun = time.monotonic()
        with pytest.raises(SourceError, match=rf"cannot receive {server.url}: nothing came within 0\.4 s"):
            open_source(None, server.url)
        assert 0.3 < time.monotonic() - begun < PATIENCE_S
        assert server.clients == 1


@pytest.mark.parametrize("state", ["flowing", "stalled", "gone"])
def test_closing_ends_the_iteration_wherever_it_waits(
    state: str, receivers: list[ffmpeg.Ffmpeg], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the next picture, for a server that says nothing, for the next attempt."""
    with MjpegServer(two_colours()) as server, viewer_of(server.url) as viewer:
        viewer.wait_for(2)
        monkeypatch.setattr(feeds, "PATIENCE_S", 1000.0)
        monkeypatch.setattr(feeds, "RETRY_S", 1000.0)
        if state == "stalled":
            server.stall()
        elif state == "gone":
            server.stop()
            wait_until(lambda: receivers[-1]._process.returncode is not None)
        viewer.source.close()
        viewer.wait_for_the_end()
        assert receivers[-1]._process.returncode is not None
        viewer.source.close()


@pytest.mark.usefixtures("impatient")
def test_closing_ends_a_receiver_that_is_just_being_started(
    receivers: list[ffmpeg.Ffmpeg], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`close` cannot see it yet; it would wait for a silent server for ever."""
    with MjpegServer(two_colours()) as server, viewer_of(server.url) as viewer:
        viewer.wait_for(1)
        server.stall()
        stream = ffmpeg.stream

        def closing(url: str) -> ffmpeg.Ffmpeg:
            viewer.source.close()
            return stream(url)

        monkeypatch.setattr(ffmpeg, "stream", closing)
        receivers[0].end()
        viewer.wait_for_the_end()
        assert len(receivers) == 2


def test_leaving_the_iteration_ends_the_receiver(receivers: list[ffmpeg.Ffmpeg]) -> None:
    with MjpegServer(two_colours()) as server:
        source = open_source(None, server.url)
        frames = iter(source)
        next(frames)
        del frames
        assert receivers[0]._process.returncode is not None
        source.close()


def test_rtsp_is_asked_for_by_tcp_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """By UDP, pictures come torn; what is no RTSP does not know the option."""
    given = list[list[str]]()

    def refuse(arguments: list[str], **_: object) -> None:
        given.append(arguments)
        raise WorkError("not now")

    monkeypatch.setattr(ffmpeg, "Ffmpeg", refuse)
    for url in ("rtsp://127.0.0.1/a", "http://127.0.0.1/a"):
        with pytest.raises(WorkError, match="not now"):
            open_source(None, url)
        assert url in given[-1]
    assert ["-rtsp_transport" in arguments for arguments in given] == [True, False]
    assert given[0][given[0].index("-rtsp_transport") + 1] == "tcp"


# named pipes


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes among files on this system")
def test_a_named_pipe_takes_one_writer_after_the_other(
    tmp_path: Path, clip: Path, receivers: list[ffmpeg.Ffmpeg], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PATIENCE_S", PATIENCE_S)  # it waits for the second writer
    monkeypatch.setattr(feeds, "RETRY_S", 0.02)
    film = run_ffmpeg("-i", clip, "-an", "-c:v", "mjpeg", "-q:v", 2, "-f", "nut", "-", check=True)
    monkeypatch.chdir(tmp_path)
    pipe = Path("a:pipe")  # to ffmpeg, a protocol's name unless it is told better
    os.mkfifo(pipe)

    def begin_to_write() -> None:
        threading.Thread(target=pipe.write_bytes, args=(film.stdout,), daemon=True).start()

    begin_to_write()
    with viewer_of(pipe) as viewer:
        assert isinstance(viewer.source, Stream)
        assert viewer.source.name == "a:pipe"
        wait_until(lambda: len(receivers) == 2)  # the first one is gone, and holds the pipe no more
        first = len(viewer.frames)
        begin_to_write()
        wait_until(lambda: len(receivers) == 3)
        shown = numbers(np.stack([frame.pixels for frame in viewer.frames]))
    for part in (shown[:first], shown[first:]):  # the first few may be lost while ffmpeg finds out what it is
        assert len(part) > 6
        assert part == list(range(12 - len(part), 12))


# which kind it is


def test_a_file_is_played(clip: Path) -> None:
    source = open_source(None, str(clip))
    assert isinstance(source, PlayedFile)
    assert not source.mirrored
    source.close()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no video file .*gone\.mp4"):
        open_source(None, str(tmp_path / "gone.mp4"))


@pytest.mark.parametrize(("given", "number"), [(None, 0), (0, 0), (3, 3)])
def test_without_a_source_it_is_the_first_camera_or_the_one_that_was_given(
    given: int | None, number: int, webcam: Webcam
) -> None:
    webcam.number = number
    source = open_source(given, None, size=(320, 200), frame_rate=12)
    assert isinstance(source, Camera)
    assert source.name == f"camera {number}"
    assert webcam.opened[0].asked[cv2.CAP_PROP_FRAME_WIDTH] == 320
    assert webcam.opened[0].asked[cv2.CAP_PROP_FRAME_HEIGHT] == 200
    assert webcam.opened[0].asked[cv2.CAP_PROP_FPS] == 12
    with Viewer(source):
        pass


# cameras


class Webcam:
    """One camera, which `cv2.VideoCapture` finds under its number."""

    def __init__(self) -> None:
        self.number, self.rate, self.picture = 0, 30.0, two_colours()[0, ..., ::-1]
        self.there, self.sends = True, True
        self.opened = list[Capture]()

    def __call__(self, number: int, backend: int) -> Capture:
        self.opened.append(Capture(self, number, backend))
        return self.opened[-1]

    @property
    def all_released(self) -> bool:
        return all(capture.released for capture in self.opened)


class Capture:
    """Of `cv2.VideoCapture` what a camera needs. It sends BGR, as that does, one picture a millisecond."""

    def __init__(self, webcam: Webcam, number: int, backend: int) -> None:
        self._webcam, self.number, self.backend = webcam, number, backend
        self.asked = dict[int, float]()
        self.released = False

    def isOpened(self) -> bool:  # the name that cv2 gives it
        return self._webcam.there and self.number == self._webcam.number

    def set(self, key: int, value: float) -> bool:
        self.asked[key] = value
        return False

    def get(self, key: int) -> float:
        return self._webcam.rate if key == cv2.CAP_PROP_FPS else -1.0

    def read(self) -> tuple[bool, Pixels | None]:
        assert not self.released
        time.sleep(0.001)
        return (True, self._webcam.picture) if self._webcam.there and self._webcam.sends else (False, None)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def webcam(monkeypatch: pytest.MonkeyPatch) -> Webcam:
    found = Webcam()
    monkeypatch.setattr(cv2, "VideoCapture", found)
    monkeypatch.setattr(feeds, "cameras", dict[int, str])
    return found


def on(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this module only: the others shall know where they are."""
    monkeypatch.setattr(feeds, "sys", SimpleNamespace(platform=platform))


def camera(size: tuple[int, int] = (64, 48), frame_rate: float = 30.0) -> Camera:
    return Camera(0, size=size, frame_rate=frame_rate)


def test_a_cameras_pictures_come_as_rgb(webcam: Webcam) -> None:
    with Viewer(camera()) as viewer:
        assert viewer.source.mirrored
        assert (viewer.source.info.width, viewer.source.info.height) == (64, 48)
        frames = viewer.wait_for(3)
        assert all(looks_like_two_colours(frame.pixels) for frame in frames)
        assert viewer.source.notice is None
    assert webcam.all_released
    assert [frame.index for frame in viewer.frames] == list(range(len(viewer.frames)))


@pytest.mark.parametrize(
    ("platform", "backend", "compressed"),
    [
        ("linux", cv2.CAP_V4L2, True),
        ("darwin", cv2.CAP_AVFOUNDATION, False),
        ("win32", cv2.CAP_DSHOW, False),
        ("freebsd14", cv2.CAP_ANY, False),
    ],
)
def test_a_camera_is_opened_by_the_systems_own_means(
    platform: str, backend: int, compressed: bool, webcam: Webcam, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(platform, monkeypatch)
    with Viewer(camera()):
        assert webcam.opened[0].backend == backend
        asked = list(webcam.opened[0].asked)
        assert (cv2.CAP_PROP_FOURCC in asked) is compressed
        if compressed:  # and first: the sizes that it has depend on it
            assert asked[0] == cv2.CAP_PROP_FOURCC
            assert webcam.opened[0].asked[asked[0]] == cv2.VideoWriter.fourcc(*"MJPG")


@pytest.mark.parametrize(
    ("size", "rate", "real_rate", "wanted"),
    [
        ((64, 48), 30.0, 30.0, "camera 0, 64x48 at 30"),
        ((64, 48), 30.0, 29.97, "camera 0, 64x48 at 30"),
        ((1280, 720), 30.0, 30.0, "camera 0, 64x48 at 30 (asked for 1280x720 at 30)"),
        ((64, 48), 60.0, 7.5, "camera 0, 64x48 at 7.5 (asked for 64x48 at 60)"),
    ],
)
def test_a_camera_tells_what_it_was_asked_for_if_it_does_something_else(
    size: tuple[int, int], rate: float, real_rate: float, wanted: str, webcam: Webcam
) -> None:
    webcam.rate = real_rate
    with Viewer(camera(size, rate)) as viewer:
        assert viewer.source.description == wanted


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (15.0, Fraction(15)),
        (29.97002997, Fraction(30000, 1001)),
        (0.0, Fraction(24)),
        (-1.0, Fraction(24)),
        (1e6, Fraction(24)),
    ],
)
def test_a_rate_that_makes_no_sense_is_taken_to_be_the_one_asked_for(
    told: float, wanted: Fraction, webcam: Webcam
) -> None:
    webcam.rate = told
    with Viewer(camera(frame_rate=24)) as viewer:
        assert viewer.source.info.frame_rate == wanted


def test_silence_is_told_when_it_has_lasted(webcam: Webcam, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(feeds, "time", SimpleNamespace(monotonic=lambda: now))
    with Viewer(camera()) as viewer:
        viewer.wait_for(2)
    assert viewer.source.notice is None
    now += feeds.QUIET_S
    assert viewer.source.notice is None
    now += 2
    assert viewer.source.notice == "camera 0 sends nothing: trying again … 3 s"


@pytest.mark.usefixtures("impatient")
def test_a_camera_that_was_unplugged_is_opened_again_at_any_size(webcam: Webcam) -> None:
    with Viewer(camera()) as viewer:
        viewer.wait_for(2)
        webcam.there = False
        wait_until(lambda: viewer.source.notice is not None)
        assert str(viewer.source.notice).startswith("camera 0 sends nothing")
        wait_until(lambda: len(webcam.opened) > 3)  # it is tried again and again
        before = len(viewer.frames)
        webcam.picture = two_colours(24, 32)[0, ..., ::-1]
        webcam.there = True
        viewer.wait_for(3)
        wait_until(lambda: viewer.source.notice is None)
    assert viewer.frames[before].pixels.shape == (24, 32, 3)
    assert [frame.index for frame in viewer.frames] == list(range(len(viewer.frames)))
    assert webcam.all_released


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ({}, "there is no camera 0; nor any other: give a URL or a file by --source"),
        (
            {1: "Integrated", 4: "USB"},
            r"there is no camera 0; there is 1 \(Integrated\), 4 \(USB\): choose one with --camera",
        ),
        ({0: "Integrated"}, r"camera 0 \(Integrated\) cannot be opened; does another program use it"),
    ],
)
def test_a_camera_that_cannot_be_opened_is_an_error_that_says_what_there_is(
    there: dict[int, str], wanted: str, webcam: Webcam, monkeypatch: pytest.MonkeyPatch
) -> None:
    webcam.there = False
    monkeypatch.setattr(feeds, "cameras", lambda: there)
    with pytest.raises(SourceError, match=wanted):
        camera()
    assert webcam.all_released


def test_a_camera_without_a_picture_is_an_error(webcam: Webcam) -> None:
    webcam.sends = False
    with pytest.raises(SourceError, match="camera 0 sends no picture"):
        camera()
    assert webcam.all_released


def system_tree(folder: Path, entries: dict[str, tuple[str, str]]) -> Callable[[str], Path]:
    """What /sys shows there: index and name of each entry. Answers what is to stand for `Path`."""
    for entry, (index, name) in entries.items():
        (folder / "sys/class/video4linux" / entry).mkdir(parents=True)
        (folder / "sys/class/video4linux" / entry / "index").write_text(f"{index}\n")
        (folder / "sys/class/video4linux" / entry / "name").write_text(f"{name}\n")
    return lambda path: folder / path.removeprefix("/")


def test_on_linux_the_system_lists_the_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on("linux", monkeypatch)
    entries = {
        "video10": ("0", "USB: Camera"),
        "video0": ("0", "Integrated"),
        "video1": ("1", "Integrated"),  # tells of the first one's pictures, and has none
        "video2": ("0", "Capture card"),
    }
    monkeypatch.setattr(feeds, "Path", system_tree(tmp_path, entries))
    found = cameras()
    assert list(found.items()) == [(0, "Integrated"), (2, "Capture card"), (10, "USB: Camera")]


def test_on_linux_without_any_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on("linux", monkeypatch)
    monkeypatch.setattr(feeds, "Path", system_tree(tmp_path, {}))
    assert cameras() == {}


def test_elsewhere_cameras_are_tried(webcam: Webcam, monkeypatch: pytest.MonkeyPatch) -> None:
    on("darwin", monkeypatch)
    webcam.number = 2
    assert cameras() == {2: "camera 2"}
    assert {capture.number for capture in webcam.opened} == set(range(feeds.MOST_CAMERAS))
    assert {capture.backend for capture in webcam.opened} == {cv2.CAP_AVFOUNDATION}
    assert webcam.all_released


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes among files on this system")
def test_a_stream_begins_with_its_first_picture(tmp_path: Path, clip: Path) -> None:
    """H.264 has one whole picture in ten seconds, often: who throws the first away, waits for the next."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    film = run_ffmpeg("-i", clip, "-an", "-c:v", "libx264", "-qp", 4, "-g", 250, "-bf", 0, "-f", "nut", "-", check=True)
    threading.Thread(target=pipe.write_bytes, args=(film.stdout,), daemon=True).start()
    receiver = ffmpeg.stream(ffmpeg.plain(pipe))
    try:
        pictures = soon(lambda: list(receiver.pictures()))
    finally:
        receiver.kill()
    assert len(pictures) == 12
    assert numbers(np.stack(pictures)) == list(range(12))


@pytest.mark.parametrize("login", ["anna:se@cret", "anna:se/cret", "anna:s@e@cret"])
def test_no_password_is_shown_whatever_is_in_it(login: str) -> None:
    with pytest.raises(SourceError) as failure:
        feeds.open_source(None, f"http://{login}@127.0.0.1:1/video")
    assert "cret" not in str(failure.value)
