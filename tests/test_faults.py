"""Whatever happens to a run, no film with frames missing is called whole, and another run makes it the film that an
undisturbed one makes, bit for bit."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from media import PATIENCE_S, blobs, decode, look_at, sound_md5, write_clip

ROOT = Path(__file__).resolve().parents[1]
KILLS = int(os.environ.get("NST_VIDEO_KILLS", "5"))
"""At so many random points the process is killed; set it higher for a thorough run."""
FRAMES = 170  # three segments and some

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera that pans to and fro, and a cut; with sound."""
    wide = [blobs(48, 160, seed) for seed in (1, 2)]
    at = [round(48 + 40 * np.sin(index / 9)) for index in range(FRAMES)]
    frames = np.stack([wide[index > 100][:, x : x + 64] for index, x in enumerate(at)])
    return write_clip(tmp_path_factory.mktemp("lively") / "lively.mp4", frames)


@pytest.fixture(scope="module")
def command(lively: Path, style: Path) -> Callable[..., list[str]]:
    def arguments(output: Path, *more: object) -> list[str]:
        settings = ["--size", "48", "--iterations", "1", "--first-iterations", "5", "--device", "cpu", "--threads", "1"]
        given = [str(lively), "--style", str(style), "-o", str(output), *settings, *map(str, more)]
        return [sys.executable, str(ROOT / "cli.py"), "video", *given]

    return arguments


@pytest.fixture(scope="module")
def undisturbed(command: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "film.mp4"
    subprocess.run(command(output), check=True, capture_output=True, timeout=120)
    assert len(look_at(output).times) == FRAMES
    return output


@pytest.fixture
def start() -> Iterator[Callable[[list[str]], subprocess.Popen[str]]]:
    begun = list[subprocess.Popen[str]]()

    def run(arguments: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        begun.append(process)
        return process

    yield run
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def resumed(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*arguments, "--resume"], capture_output=True, text=True, timeout=120, check=False)


def assert_same(found: Path, wanted: Path) -> None:
    assert np.array_equal(decode(found), decode(wanted))
    assert look_at(found).times == look_at(wanted).times
    assert sound_md5(found) == sound_md5(wanted) is not None


def lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def wait_for_frames(process: subprocess.Popen[str], log: Path, count: int) -> None:
    """Until so many frames are logged, or the process has ended."""
    deadline = time.monotonic() + 5 * PATIENCE_S
    while process.poll() is None and len(lines(log)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_process_that_is_killed_again_and_again_comes_to_the_same_film(
    command: Callable[..., list[str]], undisturbed: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """At random points, with and without its ffmpegs; from before the first frame to the joining."""
    dice = random.Random(os.environ.get("NST_VIDEO_SEED", "7"))
    output, log = tmp_path / "film.mp4", tmp_path / "log"
    began_with, killed = list[int](), 0
    while killed < KILLS:
        log.unlink(missing_ok=True)
        process = start(command(output, "--resume", "--log-json", log))
        wait_for_frames(process, log, dice.randrange(0, 90))
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        process.kill()
        if dice.random() < 0.5:
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
        if process.wait(timeout=PATIENCE_S) == 0:  # it was quicker: the next one begins anew
            assert_same(output, undisturbed)
            output.unlink()
            continue
        killed += 1
        found = lines(log)
        began_with.append(json.loads(found[0])["index"] if found and found[0].endswith("}") else 0)
        assert not output.exists()
    log.unlink(missing_ok=True)
    done = resumed(command(output, "--log-json", log))
    assert done.returncode == 0, done.stderr
    assert_same(output, undisturbed)
    print(f"killed {killed} times; the runs began with frames {began_with}")
    assert sum(first >= 48 for first in began_with) >= KILLS // 4, "hardly a run has gone on with another's work"
    log.unlink(missing_ok=True)
    assert names(tmp_path) == ["film.mp4"]


def test_ctrl_c_leaves_what_is_done_and_resuming_comes_to_the_same_film(
    command: Callable[..., list[str]], undisturbed: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    output, log = tmp_path / "film.mp4", tmp_path / "log"
    process = start(command(output, "--log-json", log))
    wait_for_frames(process, log, 60)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    some = look_at(output).times
    assert 60 <= len(some) < FRAMES
    assert some == look_at(undisturbed).times[: len(some)]
    assert f"holds the first {len(some)} of {FRAMES} frames; --resume goes on from frame 48" in err
    assert np.array_equal(decode(output)[:48], decode(undisturbed)[:48])
    done = resumed(command(output, "--log-json", log))
    assert done.returncode == 0, done.stderr
    assert f"{FRAMES} frames (48 were there before)" in done.stdout
    assert [json.loads(line)["index"] for line in lines(log)] == list(range(FRAMES))
    assert_same(output, undisturbed)
    assert names(tmp_path) == ["film.mp4", "log"]


@pytest.mark.parametrize("victim", ["rawvideo", "enc_time_base"], ids=["decoder", "encoder"])
def test_a_killed_ffmpeg_is_told_and_resuming_comes_to_the_same_film(
    command: Callable[..., list[str]],
    undisturbed: Path,
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[str]],
    victim: str,
) -> None:
    output, log = tmp_path / "film.mp4", tmp_path / "log"
    process = start(command(output, "--log-json", log))
    wait_for_frames(process, log, 55)
    listing = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout
    for line in listing.splitlines():
        if victim in line:
            os.kill(int(line.split()[0]), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    if process.returncode != 0:  # the decoder may have been done
        assert process.returncode == 1, err
        assert not output.exists()
        assert "Traceback" not in err
        assert "--resume goes on from there" in err
        done = resumed(command(output))
        assert done.returncode == 0, done.stderr
    assert_same(output, undisturbed)


def small_disk(folder: Path, size: str) -> bool:
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True, check=False
    )
    return mounted.returncode == 0


@pytest.mark.parametrize(("states", "films"), [(0, 0.4), (2, 0.6), (2, 1.1)], ids=["first", "middle", "joining"])
def test_a_full_disk_is_told_and_with_more_room_the_film_is_the_same(
    command: Callable[..., list[str]], undisturbed: Path, tmp_path: Path, states: int, films: float
) -> None:
    """It holds so many of the states that segments end with, and so many of the finished film."""
    disk = tmp_path / "disk"
    state = 48 * 36 * 4 * 15  # three images' worth of floats and moments, more or less
    if not small_disk(disk, f"{round((states * state + films * undisturbed.stat().st_size) / 1024)}k"):
        pytest.skip("a disk of its own can be made by root only")
    try:
        output = disk / "film.mp4"
        failed = subprocess.run(command(output), capture_output=True, text=True, timeout=120, check=False)
        assert failed.returncode == 1, failed.stderr
        assert "No space left on device" in failed.stderr or "cannot write" in failed.stderr
        assert "Traceback" not in failed.stderr
        assert not output.exists()
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        done = resumed(command(output))
        assert done.returncode == 0, done.stderr
        assert_same(output, undisturbed)
        assert names(disk) == ["film.mp4"]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_a_folder_that_is_removed_is_told_and_the_film_can_be_made_again(
    command: Callable[..., list[str]], undisturbed: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    folder, log = tmp_path / "films", tmp_path / "log"
    folder.mkdir()
    process = start(command(folder / "film.mp4", "--log-json", log))
    wait_for_frames(process, log, 60)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)  # what was written in between
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "cannot write" in err
    assert "Traceback" not in err
    folder.mkdir(exist_ok=True)
    done = resumed(command(folder / "film.mp4"))
    assert done.returncode == 0, done.stderr
    assert_same(folder / "film.mp4", undisturbed)


def test_a_film_whose_segment_was_damaged_on_disk_is_mended(
    command: Callable[..., list[str]], undisturbed: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    output, log = tmp_path / "film.mp4", tmp_path / "log"
    process = start(command(output, "--log-json", log))
    wait_for_frames(process, log, 130)
    process.kill()
    process.wait(timeout=PATIENCE_S)
    parts = output.with_name("film.mp4.parts")
    last = max(parts.glob("segment-*.mp4"))
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    done = resumed(command(output))
    assert done.returncode == 0, done.stderr
    assert_same(output, undisturbed)
