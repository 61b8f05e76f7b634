"""A film as it is made: segments, each an encoder's own short film, that can be gone on from, joined at the end.

Every segment begins where the one before ended, in the painting as in the encoder, so that a film that was interrupted
and resumed is the same, bit for bit, as one that was made in one go.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from nst_video import container, ffmpeg, matroska
from nst_video.clip import Clip, count_frames
from nst_video.container import Companions, Encoder
from nst_video.errors import WorkError
from nst_video.frame import Frame, StreamInfo
from nst_video.parts import Parts, Segment, flush
from nst_video.pictures import name_of

SEGMENT = 48
"""Frames of a segment: two seconds of a film. More would be lost by a power cut; fewer cost encoders and key frames."""
SLOWEST_FRAME_S = 2.0
"""For joining, where frames may have to be encoded again: a large picture."""

_NOT_ITS_FAULT = re.compile(rb"No space left|Input/output error|No such file|Permission denied|Cannot allocate|quota")


class Film:
    """Frames on their way into a film, in `parts` until `close` joins them to `output`.

    sound: the clip whose sound, subtitles, chapters and metadata go along, from `start` on, for `duration` seconds.
    """

    def __init__(
        self,
        output: Path,
        parts: Parts,
        info: StreamInfo,
        encoder: Encoder,
        *,
        sound: Clip | None = None,
        start: float = 0.0,
        duration: float | None = None,
    ) -> None:
        self.notes: tuple[str, ...] = ()
        """What had to be done otherwise than by copying; known when it is closed."""
        self.count = 0
        """Frames that are in it, once it is closed."""
        self.lost: str | None = None
        """What of the clip is not in it, though it should be."""
        self._output, self._parts, self._info, self._encoder = output, parts, info, encoder
        self._sound, self._start, self._duration = sound, start, duration
        self._container = container.container_of(output)
        self._per_second = container.units(info.frame_rate, info.time_base)
        self._open: _Segment | None = None
        self._begun = len(parts.segments)
        self._begins = self._ends = Fraction(0)
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix="segment")
        self._finishing: Future[None] | None = None
        self._changing, self._given_up = threading.Lock(), False

    def write(self, frame: Frame, state: Callable[[], bytes] | None = None) -> None:
        """Append a frame; one that comes with a `state`, which the next frame begins with, ends a segment.

        Raises:
            WorkError: the encoder has died, of this segment or the one before.
        """
        with self._changing:
            if self._given_up:
                raise WorkError(f"cannot write {self._output}: it was given up")
            segment = self._open = self._open or self._begin()
        segment.write(frame)
        if state is not None:
            self._end(state)

    def close(self, *, interrupted: bool = False) -> bool:
        """Join what is done and give it its name; an interrupted film's sound ends with its picture, its parts stay.

        Answers whether it is whole, which it may be though it was interrupted.

        Raises:
            WorkError: it cannot be written; the parts stay.
        """
        try:
            self._settle()
            whole = not interrupted or self._parts.complete
            self._close(not whole)
        except OSError as error:  # the disk is full, or the folder gone
            raise WorkError(f"cannot write {self._output}: {error.strerror}") from None
        if whole:
            self._parts.forget()
        return whole

    def _close(self, interrupted: bool) -> None:
        tail = None
        if self._open is not None and interrupted:
            draft, segment = self._open.finish(last=False)
            tail, self._open = (draft, segment), None
        elif self._open is not None:
            self._end(None)
        self._settle()
        self.count = count = self._parts.frames + (tail[1].frames if tail else 0)
        films = [*self._parts.segments, *([tail[1]] if tail else [])]
        if not films:
            raise WorkError(f"cannot write {self._output}: there is not a single frame for it")
        self._begins, self._ends = films[0].begins, films[-1].ends
        self._join(self._parts.listing(tail), count, interrupted=interrupted)

    def discard(self) -> None:
        """Give up what is not a whole segment yet, from any thread. Harmless once it is closed."""
        with self._changing:
            self._given_up = True
            if self._open is not None:
                self._open.discard()
                self._open = None
        self._finisher.shutdown(wait=True)
        self._parts.close()

    def _begin(self) -> _Segment:
        draft = self._parts.draft(f"{self._begun:05}.mp4")
        self._begun += 1
        return _Segment(draft, self._info, self._encoder, self._per_second)

    def _end(self, state: Callable[[], bytes] | None) -> None:
        """Finish the open segment beside the painting of the next one."""
        self._settle()

        def finish(segment: _Segment) -> None:
            draft, facts = segment.finish(last=state is None)
            self._parts.keep(draft, facts, None if state is None else state())

        with self._changing:
            if self._open is not None:  # else it was given up
                self._finishing = self._finisher.submit(finish, self._open)
                self._open = None

    def _settle(self) -> None:
        """Wait until the last segment is finished."""
        if self._finishing is not None:
            self._finishing.result()
            self._finishing = None  # not before: Ctrl-C may come while it is waited for

    def _join(self, listing: Path, count: int, *, interrupted: bool) -> None:
        if self._container is container.PICTURES:
            self._write_row(listing, count)
            return
        suffix = self._output.suffix.lower()
        draft = self._parts.draft(f"film{suffix}")
        if suffix == ".gif":
            colours = self._parts.draft("colours.png")
            self._run(container.palette(listing, colours), count)
            self._run(container.gif(listing, colours, draft), count)
        else:
            self._mux(listing, draft, suffix, count, interrupted=interrupted)
        if (found := count_frames(draft)) != count:
            raise WorkError(f"cannot write {self._output}: {found} of {count} frames got into it")
        flush(draft)
        try:
            os.replace(draft, self._output)
        except OSError as error:
            raise WorkError(f"cannot replace {self._output}: {error.strerror}") from None
        flush(self._output.parent)

    def _mux(self, listing: Path, draft: Path, suffix: str, count: int, *, interrupted: bool) -> None:
        """With all that lies beside the pictures, or with what is left of it when ffmpeg refuses."""
        ways: list[tuple[Companions, Clip | None]] = [(Companions(), None)]
        if self._sound is not None:
            ways = [
                (container.companions(self._container, self._sound, suffix), self._sound),
                (container.companions(self._container, self._sound, suffix, copy=False), self._sound),
                (Companions(), None),
            ]
        for number, (beside, clip) in enumerate(ways):
            arguments = container.join(
                listing,
                draft,
                offset=self._info.offset + self._begins,
                per_second=self._per_second,
                container=self._container,
                beside=beside,
                clip=clip,
                start=self._start,
                duration=self._duration,
                step=self._step(count),
                length=self._info.offset + self._ends if interrupted else None,
            )
            try:
                self._run(arguments, count)
            except _Refused:
                if number == len(ways) - 1:
                    raise
            else:
                self.notes = beside.notes
                self.lost = "its sound could not be read and was left out" if clip is not self._sound else None
                return

    def _step(self, count: int) -> int | None:
        """From one of `count` frames to the next, if it is the same between all of them, as far as can be told."""
        step = self._per_second / self._info.frame_rate
        whole = step.denominator == 1 and self._info.even
        return int(step) if whole and self._ends - self._begins == count / self._info.frame_rate else None

    def _write_row(self, listing: Path, count: int) -> None:
        drafts = self._parts.draft("pictures")
        drafts.mkdir(exist_ok=True)
        self._run(container.row(listing, drafts / f"%08d{self._output.suffix}"), count)
        made = sorted(drafts.iterdir())
        if len(made) != count:
            raise WorkError(f"cannot write {self._output}: only {len(made)} of {count} pictures could be written")
        for number, path in enumerate(made, 1):
            os.replace(path, self._output.with_name(name_of(self._output.name, number)))
        shutil.rmtree(drafts, ignore_errors=True)

    def _run(self, arguments: list[str], count: int) -> None:
        done = ffmpeg.run(arguments, timeout=ffmpeg.FINISH_TIMEOUT_S + count * SLOWEST_FRAME_S)
        if done.returncode:
            # Killed, or no room: then another way would only lose something.
            kind = WorkError if done.returncode < 0 or _NOT_ITS_FAULT.search(done.stderr) else _Refused
            raise kind(f"cannot write {self._output}: {ffmpeg.last_words(done.stderr)}")


class _Refused(WorkError):
    """ffmpeg does not take what lies beside the pictures."""


class _Segment:
    """One that is being encoded."""

    def __init__(self, draft: Path, info: StreamInfo, encoder: Encoder, per_second: int) -> None:
        self._draft, self._rate = draft, info.frame_rate
        self._first: Frame | None = None
        self._last: Frame | None = None
        self._frames = 0
        self._encoding = container.encode(
            draft, info.width, info.height, encoder, per_second=per_second, uneven=not info.even
        )
        self._encoding.feed(matroska.head(info.width, info.height, info.frame_rate))

    def write(self, frame: Frame) -> None:
        self._first = self._first or replace(frame, pixels=frame.pixels[:0])
        self._last = replace(frame, pixels=frame.pixels[:0])
        self._frames += 1
        begins = frame.time - self._first.time
        self._encoding.feed(matroska.block(begins, self._shown(frame), frame.pixels.nbytes), frame.pixels)

    def _shown(self, frame: Frame) -> Fraction:
        return frame.duration * frame.time_base or 1 / self._rate

    def finish(self, *, last: bool) -> tuple[Path, Segment]:
        """Raises WorkError if it did not get whole."""
        assert self._first is not None
        assert self._last is not None
        if self._encoding.finish():
            self._draft.unlink(missing_ok=True)
            raise WorkError(f"cannot write {self._draft}: {self._encoding.complaint()}")
        if (found := count_frames(self._draft)) != self._frames:
            self._draft.unlink(missing_ok=True)
            raise WorkError(f"cannot write {self._draft}: {found} of {self._frames} frames got into it")
        ends = self._last.time + self._shown(self._last)
        return self._draft, Segment(self._frames, self._first.time, ends, last)

    def discard(self) -> None:
        self._encoding.kill()
        self._draft.unlink(missing_ok=True)
