"""Films and pictures: whole or not there at all."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from media import (
    NTSC,
    PATIENCE_S,
    blobs,
    decode,
    look_at,
    numbers,
    read_png,
    soon,
    stepped,
    wait_until,
)
from PIL import Image

from nst_video.container import RECORDING_SUFFIXES
from nst_video.errors import SinkError, WorkError
from nst_video.frame import Pixels
from nst_video.pictures import PICTURE_SUFFIXES
from nst_video.sinks import (
    Album,
    Recorder,
    VideoWriter,
    VirtualCamera,
    check_output,
    write_picture,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def writer(output: Path, **given: Any) -> VideoWriter:
    return VideoWriter(output, 64, 48, NTSC, **{"crf": 12, "preset": "medium", **given})


def feed(sink: VideoWriter, frames: Pixels) -> None:
    for pixels in frames:
        sink.write(pixels)


# what can be written


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    for name in ("out", "out.txt", "out.gif"):
        with pytest.raises(SinkError, match=r"must end in \.mp4, \.m4v, \.mov, \.mkv"):
            check_output(tmp_path / name, RECORDING_SUFFIXES)
    check_output(tmp_path / "OUT.MP4", RECORDING_SUFFIXES)
    check_output(tmp_path / "out.png", PICTURE_SUFFIXES)
    assert names(tmp_path) == []


def test_a_missing_folder_and_a_folder_of_that_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"there is no folder .*gone"):
        check_output(tmp_path / "gone" / "out.mp4", RECORDING_SUFFIXES)
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(SinkError, match="it is a folder"):
        check_output(tmp_path / "out.mp4", RECORDING_SUFFIXES)


def test_an_input_is_not_overwritten_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.touch()
    (tmp_path / "link.mp4").symlink_to(path)
    for output in (path, tmp_path / "link.mp4", tmp_path / "." / "clip.mp4"):
        with pytest.raises(SinkError, match="it is the input"):
            check_output(output, RECORDING_SUFFIXES, (tmp_path / "other.mp4", path))
    check_output(tmp_path / "out.mp4", RECORDING_SUFFIXES, (path,))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="everything is writable for root")
def test_what_is_write_protected_is_refused(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    (locked / "old.mp4").touch()
    (locked / "old.mp4").chmod(0o400)
    with pytest.raises(SinkError, match="write-protected"):
        check_output(locked / "old.mp4", RECORDING_SUFFIXES)
    locked.chmod(0o500)
    with pytest.raises(SinkError, match="cannot write"):
        check_output(locked / "out.mp4", RECORDING_SUFFIXES)
    locked.chmod(0o700)


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(SinkError, match=r"cannot write .*out\.mp4: Permission denied"):
        check_output(tmp_path / "out.mp4", RECORDING_SUFFIXES)


# films


@pytest.mark.parametrize("suffix", RECORDING_SUFFIXES)
def test_a_film_appears_when_it_is_whole(tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"out{suffix}"
    sink = writer(output)
    feed(sink, stepped(5, 48, 64))
    assert not output.exists()
    sink.close()
    assert numbers(decode(output)) == list(range(5))
    assert names(tmp_path) == [output.name]


def test_an_older_film_is_replaced_at_the_end_only(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"old")
    sink = writer(output)
    feed(sink, stepped(2, 48, 64))
    assert output.read_bytes() == b"old"
    sink.close()
    assert len(look_at(output).times) == 2


def test_giving_up_leaves_nothing_and_an_older_film_as_it_was(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"old")
    sink = writer(output)
    feed(sink, stepped(2, 48, 64))
    sink._partial.touch()  # in case that the encoder has not got so far yet
    sink.discard()
    sink.discard()
    assert names(tmp_path) == ["out.mp4"]
    assert output.read_bytes() == b"old"


def test_discarding_a_closed_film_keeps_it(tmp_path: Path) -> None:
    sink = writer(tmp_path / "out.mp4")
    feed(sink, stepped(2, 48, 64))
    sink.close()
    sink.discard()
    assert names(tmp_path) == ["out.mp4"]


def test_a_killed_encoder_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    sink = writer(tmp_path / "out.mp4")
    feed(sink, stepped(3, 48, 64))
    sink._encoder._process.kill()
    with pytest.raises(WorkError, match=r"cannot write .*out\.mp4"):
        sink.close()
    assert names(tmp_path) == []


def test_an_encoder_that_fails_at_the_end_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a full disk: everything was taken, only the exit code tells."""
    sink = writer(tmp_path / "out.mp4")
    feed(sink, stepped(3, 48, 64))
    finish = sink._encoder.finish

    def failing() -> int:
        finish()
        return 228

    monkeypatch.setattr(sink._encoder, "finish", failing)
    with pytest.raises(WorkError, match=r"cannot write .*out\.mp4"):
        sink.close()
    assert names(tmp_path) == []


def test_a_film_without_frames_is_an_error_and_leaves_nothing_or_is_empty(tmp_path: Path) -> None:
    sink = writer(tmp_path / "out.mp4")
    try:
        sink.close()
    except WorkError:
        assert names(tmp_path) == []
    else:
        assert names(tmp_path) == ["out.mp4"]


# pictures


@pytest.mark.parametrize("suffix", [*PICTURE_SUFFIXES, ".PNG", ".JPG"])
def test_every_picture_format_keeps_its_colours(tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"out{suffix}"
    write_picture(output, blobs(31, 45))
    shown = read_png(output)
    assert shown.shape == (31, 45, 3)
    assert np.abs(shown.astype(np.int32) - blobs(31, 45)).mean() < 5
    assert names(tmp_path) == [output.name]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_formats_without_loss_have_none(tmp_path: Path, suffix: str) -> None:
    write_picture(tmp_path / f"out{suffix}", blobs(31, 45))
    assert np.array_equal(read_png(tmp_path / f"out{suffix}"), blobs(31, 45))


def test_a_picture_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"cannot write .*out\.png"):
        write_picture(tmp_path / "gone" / "out.png", blobs(8, 8))
    with pytest.raises(WorkError, match=r"cannot write .*wide\.webp"):  # WebP ends at 16383 pixels
        write_picture(tmp_path / "wide.webp", np.zeros((2, 17000, 3), np.uint8))
    assert names(tmp_path) == []


def test_a_result_that_cannot_take_its_name_is_kept_and_named(tmp_path: Path) -> None:
    """On Windows a player that shows the old film keeps it from being replaced: hours of work must not go with it."""
    for name, write in (("out.png", lambda output: write_picture(output, blobs(8, 8))), ("out.mp4", film_of_two)):
        (tmp_path / name).mkdir()
        with pytest.raises(WorkError, match=rf"cannot replace .*{name}.*; the result is in ") as failure:
            write(tmp_path / name)
        kept = Path(str(failure.value).rpartition(" is in ")[2])
        assert kept.stat().st_size > 0
        kept.unlink()


def film_of_two(output: Path) -> None:
    sink = writer(output)
    feed(sink, stepped(2, 48, 64))
    try:
        sink.close()
    finally:
        sink.discard()


# recordings


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    """Of 64×48 at 30 a second, into film.mp4; its thread is ended."""
    made = Recorder(tmp_path / "film.mp4", 64, 48)
    yield made
    made.finish()
    wait_until(lambda: made.finished)
    assert made._writer._encoder._process.returncode is not None


def add_all(recorder: Recorder, pictures: Pixels, times: list[float]) -> None:
    """None is to be dropped here, however slow the encoder is: what was, is added again."""
    coming = deque(zip(pictures, times, strict=True))

    def one_more() -> bool:
        dropped = recorder.dropped
        recorder.add(*coming[0])
        if recorder.dropped == dropped:
            coming.popleft()
        return not coming

    wait_until(one_more)


def film_of(recorder: Recorder) -> Pixels:
    assert recorder.result() == recorder.output
    return decode(recorder.output)


def test_a_recording_plays_as_fast_as_things_happened(tmp_path: Path, recorder: Recorder) -> None:
    """Ten pictures at odd times within two seconds, by a clock that had run for long: each is shown until the next."""
    times = [0.0, 0.1, 0.15, 0.52, 0.9, 1.0, 1.21, 1.3, 1.77, 2.0]
    add_all(recorder, stepped(10, 48, 64), [5000 + seconds for seconds in times])
    assert recorder.result() == tmp_path / "film.mp4"
    film = look_at(recorder.output)
    assert film.rate == 30
    assert (film.width, film.height) == (64, 48)
    assert len(film.times) / 30 == pytest.approx(2, abs=1.01 / 30)
    for index, shown in enumerate(numbers(decode(recorder.output))):
        # the one of that time, give or take the half frame that it is rounded by
        near = [sum(seconds <= (index + off) / 30 for seconds in times) - 1 for off in (-0.51, 0.51)]
        assert max(near[0], 0) <= shown <= near[1]
    assert names(tmp_path) == ["film.mp4"]


def test_more_pictures_than_a_film_has_do_not_slow_it_down(recorder: Recorder) -> None:
    add_all(recorder, stepped(20, 48, 64), [index / 120 for index in range(20)])
    shown = numbers(film_of(recorder))
    assert len(shown) / 30 == pytest.approx(20 / 120, abs=1.01 / 30)
    assert shown == sorted(set(shown))
    assert shown[0] == 0
    assert shown[-1] == 19


def test_a_recording_of_one_picture_is_a_film_of_one(recorder: Recorder) -> None:
    recorder.add(stepped(1, 48, 64)[0], 77.0)
    assert numbers(film_of(recorder)) == [0]


def test_a_picture_of_another_size_is_fitted_into_the_film(recorder: Recorder) -> None:
    pictures = stepped(3, 48, 64)
    for index, pixels in enumerate((pictures[0], pictures[1, :24, :20], np.tile(pictures[2], (3, 2, 1)))):
        recorder.add(pixels, index / 30)
    shown = film_of(recorder)
    assert shown.shape == (3, 48, 64, 3)
    assert numbers(shown) == [0, 1, 2]


def test_a_recording_ends_by_itself_once_it_is_told_to(tmp_path: Path, recorder: Recorder) -> None:
    recorder.add(blobs(48, 64), 0.0)
    assert not recorder.finished
    recorder.finish()
    wait_until(lambda: recorder.finished)
    assert names(tmp_path) == ["film.mp4"]


def test_a_recording_goes_on_though_nothing_comes(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    idle, get = 0, recorder._waiting.get

    def counting(timeout: float) -> tuple[Pixels, float]:
        nonlocal idle
        try:
            return get(timeout=timeout)
        except queue.Empty:
            idle += 1
            raise

    monkeypatch.setattr(recorder._waiting, "get", counting)
    pictures = stepped(2, 48, 64)
    recorder.add(pictures[0], 0.0)
    wait_until(lambda: idle == 2 or recorder.finished)
    recorder.add(pictures[1], 0.1)
    assert numbers(film_of(recorder)) == [0, 0, 0, 1]


def test_a_recording_without_a_picture_leaves_no_file(tmp_path: Path, recorder: Recorder) -> None:
    assert recorder.result() is None
    assert names(tmp_path) == []


def test_an_encoder_that_dies_ends_the_recording_with_an_error(tmp_path: Path, recorder: Recorder) -> None:
    recorder.add(blobs(48, 64), 0.0)
    recorder._writer._partial.touch()  # in case that the encoder has not got so far yet
    recorder._writer._encoder._process.kill()
    recorder.add(blobs(48, 64), 9.0)  # and so it has something to write
    wait_until(lambda: recorder.finished)

    def add() -> None:
        while not recorder.dropped:
            recorder.add(blobs(48, 64), 10.0)

    soon(add)  # as one does whom nobody has told yet
    with pytest.raises(WorkError, match=r"cannot write .*film"):
        recorder.result()
    assert names(tmp_path) == []


def test_a_recording_that_fails_at_its_end_is_an_error_and_leaves_nothing(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a full disk."""
    finish = recorder._writer._encoder.finish

    def failing() -> int:
        finish()
        return 228

    monkeypatch.setattr(recorder._writer._encoder, "finish", failing)
    recorder.add(blobs(48, 64), 0.0)
    with pytest.raises(WorkError, match=r"cannot write .*film\.mp4"):
        recorder.result()
    assert names(tmp_path) == []


def test_adding_never_waits_and_what_is_too_much_is_counted(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, go_on, write = threading.Event(), threading.Event(), recorder._writer.write

    def slow(pixels: Pixels) -> None:
        stuck.set()
        assert go_on.wait(PATIENCE_S)
        write(pixels)

    monkeypatch.setattr(recorder._writer, "write", slow)

    def add() -> None:
        recorder.add(pictures[0], 0.0)
        recorder.add(pictures[1], 1 / 30)
        assert stuck.wait(PATIENCE_S)  # on the first one, with the second in hand
        for index in range(20):
            recorder.add(pictures[2], (2 + index) / 30)

    pictures = stepped(3, 48, 64)
    try:
        soon(add)
        kept = 20 - recorder.dropped
    finally:
        go_on.set()
    assert 0 < kept < 20
    assert numbers(film_of(recorder)) == [0, 1, *[2] * kept]


# snapshots


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still."""

    class Frozen(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Frozen:
            return cls(2026, 3, 4, 12, 0, 59)

    monkeypatch.setattr("nst_video.sinks.datetime", Frozen)


def facts_in(path: Path) -> Any:
    with Image.open(path) as picture:
        return json.loads(picture.info["nst_video"])


@pytest.mark.usefixtures("noon")
def test_a_snapshot_is_named_by_the_time_and_has_its_source_beside_it(tmp_path: Path) -> None:
    album = Album(tmp_path)
    painted, source = blobs(20, 30, seed=1), blobs(20, 30, seed=2)
    path = album.keep(painted, source, {})
    assert path == tmp_path / "2026-03-04_12-00-59.png"
    assert names(tmp_path) == ["2026-03-04_12-00-59-source.png", "2026-03-04_12-00-59.png"]
    assert np.array_equal(read_png(path), painted)
    assert np.array_equal(read_png(tmp_path / "2026-03-04_12-00-59-source.png"), source)


def test_the_time_is_that_of_the_clock(tmp_path: Path) -> None:
    begun = datetime.now().replace(microsecond=0)
    path = Album(tmp_path).keep(blobs(8, 8), blobs(8, 8), {})
    assert begun <= datetime.strptime(path.stem, "%Y-%m-%d_%H-%M-%S") <= datetime.now()


@pytest.mark.usefixtures("noon")
def test_no_name_is_taken_twice(tmp_path: Path) -> None:
    album = Album(tmp_path)
    pictures = [blobs(8, 8, seed=seed) for seed in range(4)]
    kept = [album.keep(picture, picture, {}) for picture in pictures[:3]]
    kept.append(album.keep(pictures[3], pictures[3], {}, kind="_developed"))
    name = "2026-03-04_12-00-59"
    assert [path.name for path in kept] == [f"{name}.png", f"{name}_2.png", f"{name}_3.png", f"{name}_developed.png"]
    assert len(names(tmp_path)) == 8
    for path, picture in zip(kept, pictures, strict=True):
        assert np.array_equal(read_png(path), picture)
        assert np.array_equal(read_png(path.with_stem(f"{path.stem}-source")), picture)


@pytest.mark.usefixtures("noon")
def test_a_new_name_is_one_that_no_file_has(tmp_path: Path) -> None:
    album = Album(tmp_path)
    for number in ("", "_2", "_3"):
        path = album.new_name(".mp4")
        assert path == tmp_path / f"2026-03-04_12-00-59{number}.mp4"
        path.touch()
    assert album.new_name(".png").name == "2026-03-04_12-00-59.png"


def test_a_snapshot_carries_its_facts(tmp_path: Path) -> None:
    facts = {"style": "Größe/starlight.jpg", "size": 320, "settings": {"hue": -12.5, "style_layers": ["relu1_1"]}}
    path = Album(tmp_path).keep(blobs(8, 8), blobs(8, 8), facts)
    assert facts_in(path) == facts
    assert facts_in(path.with_stem(f"{path.stem}-source")) == {"source_of": path.name}


def test_a_picture_that_is_a_view_is_kept_as_it_looks(tmp_path: Path) -> None:
    picture = blobs(20, 30)[:, ::-1]
    assert np.array_equal(read_png(Album(tmp_path).keep(picture, picture, {})), picture)


def test_the_albums_folder_is_made_when_it_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "of" / "mine"
    assert Album(folder).keep(blobs(8, 8), blobs(8, 8), {}).parent == folder
    assert len(names(folder)) == 2


def test_an_album_that_cannot_be_is_refused_early(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(SinkError, match=r"cannot keep snapshots in .*file.*: .*file is no folder"):
            Album.check(folder)
        with pytest.raises(WorkError, match="cannot make the folder"):
            Album(folder).keep(blobs(8, 8), blobs(8, 8), {})
    Album.check(tmp_path)
    Album.check(tmp_path / "new" / "one")
    assert names(tmp_path) == ["file"]  # to look is not to make


def test_an_album_in_a_write_protected_folder_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[Path]()

    def refuse(path: Path, _: int) -> bool:
        asked.append(path)
        return False

    monkeypatch.setattr(os, "access", refuse)  # the root that tests may run as can write everywhere
    with pytest.raises(SinkError, match=rf"cannot keep snapshots in .*new: .*{tmp_path.name} is write-protected"):
        Album.check(tmp_path / "new")
    assert asked == [tmp_path]


@pytest.mark.parametrize(
    ("error", "told"),
    [(OSError(28, "No space left on device"), "No space left on device"), (OSError("encoder error"), "encoder error")],
)
def test_a_snapshot_that_cannot_be_written_is_an_error_and_leaves_nothing(
    error: OSError, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Image.Image, path: Path, **__: object) -> None:
        path.write_bytes(b"half a pict")
        raise error

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(WorkError, match=rf"cannot write .*\.png: {told}$"):
        Album(tmp_path).keep(blobs(8, 8), blobs(8, 8), {})
    assert names(tmp_path) == []


# virtual cameras


class FakeCamera:
    """Of pyvirtualcam's what we use; it takes RGB of its own size only, as that does."""

    device = "/dev/video9"

    def __init__(self, *, width: int, height: int, fps: float) -> None:
        self.width, self.height, self.fps = width, height, fps
        self.sent = list[Pixels]()
        self.closed = False

    def send(self, pixels: Pixels) -> None:
        assert pixels.shape == (self.height, self.width, 3)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        self.sent.append(pixels.copy())

    def close(self) -> None:
        self.closed = True


class NoCamera:
    def __init__(self, **_: object) -> None:
        raise RuntimeError("'v4l2loopback' backend: no device.\n  Is the module\n  loaded?")


def install(camera: type, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pyvirtualcam")
    module.Camera = camera  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)


def test_a_virtual_camera_shows_what_it_is_sent_as_rgb(monkeypatch: pytest.MonkeyPatch) -> None:
    install(FakeCamera, monkeypatch)
    camera = VirtualCamera(32, 24, 30.0)
    assert camera.name == "/dev/video9"
    device = camera._camera
    assert isinstance(device, FakeCamera)
    assert (device.width, device.height, device.fps) == (32, 24, 30.0)
    picture = blobs(24, 32)
    camera.send(picture)
    camera.send(picture[:, ::-1])
    assert np.array_equal(device.sent[0], picture)
    assert np.array_equal(device.sent[1], picture[:, ::-1])
    assert not device.closed
    camera.close()
    assert device.closed


def test_a_virtual_camera_fits_pictures_of_another_size(monkeypatch: pytest.MonkeyPatch) -> None:
    install(FakeCamera, monkeypatch)
    camera = VirtualCamera(32, 24, 30.0)
    for height, width in ((48, 64), (10, 10), (24, 33)):
        camera.send(np.full((height, width, 3), (200, 100, 50), np.uint8))
    device = camera._camera
    assert isinstance(device, FakeCamera)
    assert len(device.sent) == 3
    assert all((pixels == (200, 100, 50)).all() for pixels in device.sent)


def test_no_virtual_camera_on_this_machine_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    install(NoCamera, monkeypatch)
    with pytest.raises(SinkError) as failure:
        VirtualCamera(32, 24, 30.0)
    assert str(failure.value) == "--virtual-camera: 'v4l2loopback' backend: no device. Is the module loaded?"


def test_without_pyvirtualcam_what_to_install_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(SinkError, match="--virtual-camera needs pyvirtualcam: pip install pyvirtualcam"):
        VirtualCamera(32, 24, 30.0)


def test_two_recordings_within_a_second_have_two_names(tmp_path: Path) -> None:
    album, picture = Album(tmp_path), np.full((48, 64, 3), 100, np.uint8)
    recorders = list[Recorder]()
    for _ in range(2):
        recorders.append(Recorder(album.new_name(".mp4"), 64, 48))
        recorders[-1].add(picture, 0.0)
        recorders[-1].finish()
    assert len({recorder.result() for recorder in recorders}) == 2
