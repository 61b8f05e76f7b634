"""The folder of a film that is being made: its finished segments, a journal of them, and what the next one begins with.

All of it survives `kill -9` and a power cut: a line of the journal is written once the segment and the state that it
tells of are on the disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

from nst_video.errors import SettingsError, SinkError, WorkError

SUFFIX = ".parts"
CHUNK = 1 << 20


@dataclass(frozen=True)
class Segment:
    """`frames` frames in a row, shown from `begins` to `ends` (seconds after the film's first frame, exactly)."""

    frames: int
    begins: Fraction
    ends: Fraction
    last: bool
    """Whether the clip ends with it."""


class Parts:
    """Locked for one run. `work` is all that decides what the film looks like: only the same work can be resumed.

    resume: True: go on, and refuse to if it is other work; False: begin anew; None: go on if it is the same work.

    Raises:
        SettingsError: `resume` is True and the folder holds other work.
        SinkError: another run is at it, or it cannot be written to.
    """

    def __init__(self, output: Path, work: Mapping[str, Any], *, resume: bool | None) -> None:
        self.folder = self.of(output)
        self.segments = list[Segment]()
        self.replaced: tuple[str, ...] = ()
        """The options in which the work that was thrown away differed."""
        self._output, self._work = output, json.loads(json.dumps(work))
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = _lock(self.folder / "lock", output)
        except OSError as error:
            raise SinkError(f"cannot write {self.folder}: {error.strerror}") from None
        try:
            self._tidy()
            found, segments = self._read()
            different = _differing(found, self._work)
            if resume and different and segments:
                raise SettingsError(
                    f"--resume: {self.folder} was begun with another {', '.join(different)}; "
                    "give the same, or --no-resume to begin anew"
                )
            if resume is False or different:
                self.replaced = different if segments and resume is None else ()
                self._begin()
            else:
                self.segments = segments
                self._rewrite()
        except OSError as error:
            self._lock.close()
            raise SinkError(f"cannot write {self.folder}: {error.strerror}") from None
        except SettingsError:
            self.close()
            raise

    @staticmethod
    def of(output: Path) -> Path:
        """The folder of this film's parts."""
        return output.with_name(output.name + SUFFIX)

    @property
    def frames(self) -> int:
        """How many are done."""
        return sum(segment.frames for segment in self.segments)

    @property
    def complete(self) -> bool:
        return bool(self.segments) and self.segments[-1].last

    def film(self, number: int) -> Path:
        return self.folder / f"segment-{number:05}.mp4"

    def state(self, number: int) -> Path:
        """What follows segment `number` begins with."""
        return self.folder / f"state-{number:05}.safetensors"

    def draft(self, name: str) -> Path:
        """For what is not finished; thrown away by the next run."""
        return self.folder / f"draft-{name}"

    def keep(self, draft: Path, segment: Segment, state: bytes | None) -> None:
        """Take over a finished segment, and what the next one begins with.

        Raises:
            WorkError: the disk is full, or gone.
        """
        number = len(self.segments)
        try:
            if state is not None:
                _write(self.state(number), state)
            flush(draft)
            os.replace(draft, self.film(number))
            flush(self.folder)
            record = {**asdict(segment), "film": _sum(self.film(number))}
            record |= {"begins": str(segment.begins), "ends": str(segment.ends)}
            record["state"] = None if state is None else zlib.crc32(state)
            with (self.folder / "journal.jsonl").open("a", encoding="utf-8") as journal:
                journal.write(json.dumps(record) + "\n")
                journal.flush()
                os.fsync(journal.fileno())
        except OSError as error:
            raise WorkError(f"cannot write {self.folder}: {error.strerror}") from None
        self.segments.append(segment)
        if number > 1:
            with contextlib.suppress(OSError):  # the last two are kept, in case that one is unreadable
                self.state(number - 2).unlink(missing_ok=True)

    def listing(self, also: tuple[Path, Segment] | None = None) -> Path:
        """A list of all segments for ffmpeg's concat demuxer, and of another one behind them.

        Each is given its length, rounded so that the errors do not add up: ffmpeg's own guess would.
        """
        films = [(self.film(number), segment) for number, segment in enumerate(self.segments)]
        films += [also] if also else []
        lines = ["ffconcat version 1.0"]
        for (path, segment), after in zip(films, [*(segment.begins for _, segment in films[1:]), None], strict=True):
            ends = segment.ends if after is None else after
            lines += [f"file {path.name}", f"duration {round(ends * 1_000_000) - round(segment.begins * 1_000_000)}us"]
        listing = self.draft("list.txt")
        listing.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return listing

    def forget(self) -> None:
        """The film is done: nothing of this is needed any more."""
        for path in self.folder.iterdir():
            if path.name != "lock":  # held until nothing is left that another run could lose
                with contextlib.suppress(OSError):
                    path.unlink()
        self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Let go of it; what is worth nothing to the next run goes."""
        if self._lock.closed:
            return
        if self.segments or self._holds_a_film():
            self._tidy()
            self._lock.close()
        else:
            self.forget()

    def _holds_a_film(self) -> bool:
        """Also of work that this run was not allowed to go on with."""
        return any(self.folder.glob("segment-*"))

    def _read(self) -> tuple[dict[str, Any] | None, list[Segment]]:
        """The work that it was begun for, and the segments that are whole, with a state to go on from."""
        try:
            lines = (self.folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
            work = json.loads(lines[0])
            if not isinstance(work, dict):
                raise ValueError
        except (OSError, ValueError, IndexError):
            return None, []
        segments, usable = list[Segment](), 0
        for number, line in enumerate(lines[1:]):
            try:
                record = json.loads(line)
                segment = Segment(
                    record["frames"], Fraction(record["begins"]), Fraction(record["ends"]), record["last"]
                )
                if _sum(self.film(number)) != record["film"]:
                    break
            except (OSError, ValueError, KeyError, TypeError):
                break  # the power went while it was written
            segments.append(segment)
            if segment.last or self._state_is_whole(number, record["state"]):
                usable = len(segments)
        return work, segments[:usable]

    def _state_is_whole(self, number: int, checksum: int) -> bool:
        try:
            return zlib.crc32(self.state(number).read_bytes()) == checksum
        except OSError:
            return False

    def _begin(self) -> None:
        for path in self.folder.iterdir():
            if path.name != "lock":
                path.unlink()
        _write(self.folder / "journal.jsonl", json.dumps(self._work).encode() + b"\n")

    def _rewrite(self) -> None:
        """Without what came after the last usable segment."""
        lines = (self.folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
        kept = lines[: 1 + len(self.segments)]
        _write(self.folder / "journal.jsonl", ("\n".join(kept) + "\n").encode())
        mine = {self.film(number) for number in range(len(self.segments))}
        for path in self.folder.glob("segment-*"):
            if path not in mine:
                path.unlink()

    def _tidy(self) -> None:
        for path in self.folder.glob("draft-*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):  # Windows: an encoder that was left behind may still hold it
                    path.unlink()


def _differing(found: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> tuple[str, ...]:
    if found is None:
        return ("beginning",)
    return tuple(name for name in sorted(wanted.keys() | found.keys()) if found.get(name) != wanted.get(name))


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, whatever happens."""
    partial = path.with_name(f"draft-{path.name}")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def flush(path: Path) -> None:
    """Wait until it is on the disk; Windows cannot wait for a folder."""
    if sys.platform == "win32" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _lock(path: Path, output: Path) -> IO[bytes]:
    """Held until it is closed, or the process ends, however that happens."""
    file = path.open("ab")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise SinkError(f"cannot write {output}: another run is at it ({path.parent} is in use)") from None
    return file
