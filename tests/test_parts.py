"""The folder of an unfinished film: what is in it can be gone on from, whatever ended the run before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from media import NTSC

from nst_video import parts
from nst_video.errors import SettingsError, SinkError, WorkError
from nst_video.parts import Parts, Segment

WORK = {"--size": 320, "--style": [[7, 9]], "--end": None}
OTHER = {**WORK, "--size": 64}


BEGUN = list[Parts]()


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "film.mp4"
    for folder in BEGUN:
        folder._lock.close()
    BEGUN.clear()


def begin(output: Path, work: Mapping[str, Any] = WORK, *, resume: bool | None = None) -> Parts:
    """A run; its lock is let go of when the test ends, if not before."""
    BEGUN.append(Parts(output, work, resume=resume))
    return BEGUN[-1]


def segment(number: int, *, last: bool = False, frames: int = 48) -> Segment:
    return Segment(frames, number * frames / NTSC, (number + 1) * frames / NTSC, last)


def film(number: int) -> bytes:
    return f"film {number} ".encode() * 50


def state(number: int) -> bytes:
    return f"state {number} ".encode() * 50


def keep(folder: Parts, number: int, *, last: bool = False) -> None:
    draft = folder.draft(f"{number}.mp4")
    draft.write_bytes(film(number))
    folder.keep(draft, segment(number, last=last), None if last else state(number))


def made(output: Path, count: int, *, last: bool = False, work: Mapping[str, Any] = WORK) -> Path:
    """The folder of a run that was interrupted after so many segments; `last`: one more and the film was done."""
    folder = begin(output, work)
    for number in range(count):
        keep(folder, number)
    if last:
        keep(folder, count, last=True)
    folder.close()
    return folder.folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


def flip(path: Path, at: int = -5) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


# going on


@pytest.mark.parametrize("resume", [True, None])
def test_the_same_work_is_gone_on_with_where_it_stopped(output: Path, resume: bool | None) -> None:
    made(output, 3)
    again = begin(output, resume=resume)
    assert again.segments == [segment(0), segment(1), segment(2)]
    assert (again.frames, again.complete, again.replaced) == (144, False, ())
    assert [again.film(number).read_bytes() for number in range(3)] == [film(0), film(1), film(2)]
    assert again.state(2).read_bytes() == state(2)
    keep(again, 3)
    again.close()
    assert begin(output, resume=resume).segments == [segment(number) for number in range(4)]


def test_a_folder_that_is_not_there_yet_is_begun_even_if_it_should_be_resumed(output: Path) -> None:
    folder = begin(output, resume=True)
    assert (folder.segments, folder.frames, folder.complete) == ([], 0, False)
    assert folder.folder == output.with_name("film.mp4.parts")


def test_a_film_that_only_has_to_be_joined_is_complete(output: Path) -> None:
    made(output, 2, last=True)
    again = begin(output)
    assert again.complete
    assert again.segments[-1] == segment(2, last=True)


def test_times_stay_exact(output: Path) -> None:
    folder = begin(output)
    exact = Segment(7, Fraction(1, 3), Fraction(10**30 + 1, 7 * 10**15), False)
    folder.draft("a").write_bytes(b"film")
    folder.keep(folder.draft("a"), exact, b"state")
    folder.close()
    assert begin(output).segments == [exact]


def test_work_is_compared_as_json_has_it(output: Path) -> None:
    """A tuple that was written down comes back as a list."""
    made(output, 1, work={"--size": 1, "--layers": ("a", "b"), "--blend": (0.1, 1 / 3)})
    same = begin(output, {"--size": 1, "--layers": ("a", "b"), "--blend": (0.1, 1 / 3)}, resume=True)
    assert same.frames == 48


def test_only_the_last_two_states_are_kept(output: Path) -> None:
    folder = made(output, 5)
    assert sorted(path.name for path in folder.glob("state-*")) == [
        "state-00003.safetensors",
        "state-00004.safetensors",
    ]


# what does not survive


def test_drafts_are_thrown_away(output: Path) -> None:
    folder = made(output, 1)
    (folder / "draft-00001.mp4").write_bytes(b"half a segment")
    (folder / "draft-pictures").mkdir()
    (folder / "draft-pictures" / "00001.png").write_bytes(b"")
    again = begin(output)
    assert list(folder.glob("draft-*")) == []
    again.draft("more").write_bytes(b"")
    again.close()
    assert list(folder.glob("draft-*")) == []
    assert begin(output).frames == 48


@pytest.mark.parametrize("torn", ["", "{", '{"frames": 48, "begins": "0", "en', "\x00" * 30, "[1]", "{}", "5"])
def test_a_journal_whose_last_line_is_torn_holds_what_stands_before_it(output: Path, torn: str) -> None:
    folder = made(output, 3)
    lines = (folder / "journal.jsonl").read_text().splitlines()
    (folder / "journal.jsonl").write_text("\n".join([*lines[:3], torn]))
    again = begin(output, resume=True)
    assert again.segments == [segment(0), segment(1)]
    keep(again, 2)
    again.close()
    assert begin(output).segments == [segment(0), segment(1), segment(2)]


@pytest.mark.parametrize("content", [b"", b"no journal", b"\xff\xfe\x00", b"{\n"])
def test_a_folder_without_a_readable_journal_is_begun_anew(output: Path, content: bytes) -> None:
    folder = made(output, 2)
    (folder / "journal.jsonl").write_bytes(content)
    again = begin(output)
    assert again.segments == []
    assert sorted(contents(folder)) == ["journal.jsonl"]


@pytest.mark.parametrize("harm", [flip, lambda path: path.write_bytes(path.read_bytes()[:-1]), Path.unlink])
def test_a_damaged_segment_and_all_behind_it_are_thrown_away(output: Path, harm: Any) -> None:
    folder = made(output, 3)
    harm(folder / "segment-00002.mp4")
    again = begin(output)
    assert again.segments == [segment(0), segment(1)]
    assert sorted(path.name for path in folder.glob("segment-*")) == ["segment-00000.mp4", "segment-00001.mp4"]
    assert again.state(1).read_bytes() == state(1)


def test_a_damaged_state_falls_back_to_the_one_before(output: Path) -> None:
    folder = made(output, 3)
    flip(folder / "state-00002.safetensors")
    again = begin(output)
    assert again.segments == [segment(0), segment(1)]
    assert again.state(1).read_bytes() == state(1)
    keep(again, 2)
    again.close()
    assert begin(output).frames == 144


def test_a_segment_whose_states_are_gone_for_long_is_of_no_use(output: Path) -> None:
    """The states of all but the last two are: painting goes on from the beginning."""
    folder = made(output, 4)
    flip(folder / "segment-00001.mp4")
    again = begin(output)
    assert again.segments == []
    assert again.frames == 0


def test_a_film_that_was_done_falls_back_too(output: Path) -> None:
    folder = made(output, 2, last=True)
    flip(folder / "segment-00002.mp4")
    again = begin(output)
    assert again.segments == [segment(0), segment(1)]
    assert not again.complete


@pytest.mark.parametrize("dies_at", ["flush", "_sum"])
def test_a_run_that_dies_while_it_keeps_a_segment_leaves_the_ones_before(
    output: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    class Died(BaseException):
        pass

    def die(path: Path) -> int:
        raise Died

    folder = begin(output)
    keep(folder, 0)
    with monkeypatch.context() as patch:
        patch.setattr(parts, dies_at, die)
        with pytest.raises(Died):
            keep(folder, 1)
    folder._lock.close()  # as the system does
    again = begin(output)
    assert again.segments == [segment(0)]
    assert sorted(path.name for path in folder.folder.glob("segment-*")) == ["segment-00000.mp4"]
    keep(again, 1)
    again.close()
    assert begin(output).segments == [segment(0), segment(1)]


# other work


def test_other_work_is_not_resumed_and_stays_as_it_was(output: Path) -> None:
    folder = made(output, 2)
    before = contents(folder)
    with pytest.raises(SettingsError, match=r"--resume: .*film\.mp4\.parts was begun with another --size; give the"):
        begin(output, OTHER, resume=True)
    assert contents(folder) == before
    assert begin(output, resume=True).frames == 96


def test_all_differences_are_named_also_what_only_one_of_them_has(output: Path) -> None:
    made(output, 1)
    with pytest.raises(SettingsError) as refused:
        begin(output, {"--size": 1, "--style": [[7, 9]], "--fps": 3}, resume=True)
    assert "--size" in str(refused.value)
    assert "--fps" in str(refused.value)
    assert "--style" not in str(refused.value)


def test_other_work_is_begun_anew_if_nobody_says_otherwise_and_that_is_told(output: Path) -> None:
    folder = made(output, 2)
    again = begin(output, OTHER)
    assert again.segments == []
    assert again.replaced == ("--size",)
    assert sorted(contents(folder)) == ["journal.jsonl"]
    keep(again, 0)
    again.close()
    assert begin(output, OTHER, resume=True).frames == 48


def test_other_work_without_a_segment_is_no_loss_and_not_told(output: Path) -> None:
    folder = begin(output)
    folder._lock.close()  # it was killed
    assert begin(output, OTHER).replaced == ()


def test_other_work_without_a_segment_can_be_resumed(output: Path) -> None:
    begin(output)._lock.close()
    assert begin(output, OTHER, resume=True).segments == []


def test_work_is_begun_anew_if_that_is_wanted_and_nothing_told(output: Path) -> None:
    folder = made(output, 2)
    again = begin(output, resume=False)
    assert (again.segments, again.replaced) == ([], ())
    assert sorted(contents(folder)) == ["journal.jsonl"]


# one run at a time


def test_a_second_run_on_the_same_film_is_refused_and_the_first_goes_on(output: Path) -> None:
    first = begin(output)
    keep(first, 0)
    first.draft("00001.mp4").write_bytes(b"in work")
    for resume in (None, True, False):
        with pytest.raises(SinkError, match=r"cannot write .*film\.mp4: another run is at it \(.*film\.mp4\.parts"):
            begin(output, resume=resume)
    assert first.draft("00001.mp4").read_bytes() == b"in work"
    keep(first, 1)
    first.close()
    assert begin(output).frames == 96


def test_another_film_in_the_same_folder_is_not_locked(output: Path) -> None:
    first = begin(output)
    second = begin(output.with_suffix(".mkv"))
    assert first.folder != second.folder


def test_a_process_that_was_killed_holds_no_lock(output: Path) -> None:
    made(output, 1)
    code = (
        "import os, sys; from pathlib import Path; from nst_video.parts import Parts\n"
        f"folder = Parts(Path(sys.argv[1]), {WORK!r}, resume=True)\n"
        "print(folder.frames, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(output)], capture_output=True, timeout=60, check=False)
    assert done.stdout.split() == [b"48"]
    assert begin(output).frames == 48


# the end


def test_a_run_without_a_segment_leaves_no_folder(output: Path) -> None:
    folder = begin(output)
    folder.draft("00000.mp4").write_bytes(b"")
    folder.close()
    assert list(output.parent.iterdir()) == []
    folder.close()


def test_closing_keeps_segments_and_may_be_done_twice(output: Path) -> None:
    folder = begin(output)
    keep(folder, 0)
    folder.close()
    folder.close()
    assert begin(output).frames == 48


def test_a_film_that_is_done_leaves_no_folder(output: Path) -> None:
    folder = begin(output)
    keep(folder, 0, last=True)
    folder.forget()
    assert list(output.parent.iterdir()) == []
    folder.close()
    assert list(output.parent.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told_by_name(output: Path, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cannot write .*gone.film\.mp4\.parts: No such file"):
        begin(tmp_path / "gone" / "film.mp4")
    output.with_name("film.mp4.parts").write_text("a file")
    with pytest.raises(SinkError, match=r"cannot write .*film\.mp4\.parts: "):
        begin(output)


def test_a_full_disk_is_told_and_what_was_kept_stays(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = begin(output)
    keep(folder, 0)

    def full(_: Path) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(parts, "flush", full)
        with pytest.raises(WorkError, match=r"cannot write .*film\.mp4\.parts: No space left on device"):
            keep(folder, 1)
    assert folder.segments == [segment(0)]
    folder.close()
    assert begin(output).frames == 48


# the list of segments


def durations(listing: Path) -> list[int]:
    """In microseconds, as ffmpeg is told."""
    lines = [line for line in listing.read_text().splitlines() if line.startswith("duration ")]
    return [int(line.removeprefix("duration ").removesuffix("us")) for line in lines]


def test_the_list_names_all_segments_in_order(output: Path) -> None:
    folder = begin(output)
    keep(folder, 0)
    keep(folder, 1)
    tail = folder.draft("00002.mp4")
    names = [line for line in folder.listing((tail, segment(2))).read_text().splitlines() if line.startswith("file ")]
    assert names == ["file segment-00000.mp4", "file segment-00001.mp4", "file draft-00002.mp4"]
    assert folder.listing().read_text().count("file ") == 2


def test_lengths_add_up_however_many_segments_there_are(output: Path) -> None:
    """24000/1001 has no whole number of microseconds in a segment: a third of one would be lost in each."""
    folder = begin(output)
    folder.segments = [segment(number, frames=1) for number in range(10_000)]
    given = durations(folder.listing())
    for count in (1, 7, 100, 9_999, 10_000):
        assert abs(sum(given[:count]) - count / NTSC * 1_000_000) <= Fraction(1, 2)


def test_a_gap_between_two_segments_belongs_to_the_first(output: Path) -> None:
    """The last frame of a segment may say that it is shown for less time than passes until the next one."""
    folder = begin(output)
    folder.segments = [
        Segment(1, Fraction(0), Fraction(1, 25), False),
        Segment(1, Fraction(3), Fraction(4), False),
        Segment(1, Fraction(4), Fraction(5), True),
    ]
    assert durations(folder.listing()) == [3_000_000, 1_000_000, 1_000_000]


@given(st.lists(st.fractions(Fraction(1, 1000), 10, max_denominator=90_000), min_size=1, max_size=20))
def test_every_segment_begins_within_half_a_microsecond(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[Fraction]
) -> None:
    folder = begin(tmp_path_factory.mktemp("parts") / "film.mp4")
    ends = [sum(lengths[: index + 1], Fraction(0)) for index in range(len(lengths))]
    folder.segments = [
        Segment(1, end - length, end, False) for end, length in zip(ends, lengths, strict=True)
    ]  # fmt: skip
    told = durations(folder.listing())
    folder.forget()
    for index, end in enumerate(ends):
        assert abs(sum(told[: index + 1]) - end * 1_000_000) <= Fraction(1, 2)


def test_the_journal_is_whole_lines_of_json(output: Path) -> None:
    folder = made(output, 2)
    first, *others = (folder / "journal.jsonl").read_text().splitlines()
    assert json.loads(first) == WORK
    assert [json.loads(line)["frames"] for line in others] == [48, 48]
    assert (folder / "journal.jsonl").read_bytes().endswith(os.linesep.encode())
