"""Stages in threads: order, bounds, one way to fail, one way to stop. Events instead of clocks."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator

import pytest
from media import PATIENCE_S, soon, wait_until

from nst_video.pipeline import CAPACITY, Channel, Pipeline


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in threading.enumerate() if thread not in before and thread.is_alive()]
    assert left == []


def identity(number: int) -> int:
    return number


def run(source: Iterable[int], *, stages: int = 2) -> list[int]:
    with Pipeline() as pipeline:
        channel = pipeline.read(source)
        for index in range(stages):
            channel = pipeline.stage(f"stage {index}", identity, channel)
        return list(pipeline.results(channel))


@pytest.mark.parametrize("count", [0, 1, CAPACITY, 10 * CAPACITY + 1])
def test_everything_comes_out_once_and_in_order(count: int) -> None:
    assert run(range(count)) == list(range(count))


def test_each_stage_works_in_one_thread_of_its_name() -> None:
    seen = set[tuple[str, str]]()

    def note(stage: str) -> Callable[[int], int]:
        def work(number: int) -> int:
            seen.add((stage, threading.current_thread().name))
            return number

        return work

    with Pipeline() as pipeline:
        first = pipeline.stage("first", note("first"), pipeline.read(range(20)))
        second = pipeline.stage("second", note("second"), first)
        assert list(pipeline.results(second)) == list(range(20))
    assert seen == {("first", "first"), ("second", "second")}


def test_a_slow_consumer_keeps_the_reader_at_most_a_channel_ahead() -> None:
    ahead, taken = list[int](), 0
    full = threading.Event()

    def source() -> Iterator[int]:
        for number in range(50):
            ahead.append(number - taken)
            if len(ahead) == CAPACITY:
                full.set()
            yield number

    with Pipeline() as pipeline:
        channel = pipeline.read(source())
        assert full.wait(PATIENCE_S)  # nothing has been taken yet
        for number in pipeline.results(channel):
            taken = number + 1
    # the channel's own, and the one that was just taken and not counted yet
    assert max(ahead) <= CAPACITY
    assert len(ahead) == 50


def test_the_channel_blocks_its_writer_when_full() -> None:
    channel = Channel[int](capacity=2)
    channel.put(0)
    channel.put(1)
    done = threading.Event()

    def third() -> None:
        channel.put(2)
        done.set()

    writer = threading.Thread(target=third)
    writer.start()
    items = iter(channel)
    assert not done.is_set()
    assert next(items) == 0
    assert done.wait(PATIENCE_S)
    writer.join(PATIENCE_S)
    channel.close()
    assert list(items) == [1, 2]


def test_a_closed_channel_still_gives_what_is_in_it() -> None:
    channel = Channel[int]()
    channel.put(1)
    channel.close()
    assert list(channel) == [1]


def failing(at: int, error: BaseException) -> Callable[[int], int]:
    def work(number: int) -> int:
        if number == at:
            raise error
        return number

    return work


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), SystemExit(3)])
def test_the_error_of_a_stage_is_raised_in_the_caller(error: BaseException) -> None:
    seen = list[int]()

    def fail() -> None:
        with Pipeline() as pipeline:
            broken = pipeline.stage("broken", failing(5, error), pipeline.read(range(10**9)))
            seen.extend(pipeline.results(pipeline.stage("last", identity, broken)))

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error
    assert seen == list(range(len(seen)))
    assert len(seen) <= 5


def test_the_error_of_a_source_is_raised_in_the_caller() -> None:
    with pytest.raises(OSError, match="torn"):
        run(broken_source())


def test_a_source_that_fails_before_the_stages_are_there_stops_them_too() -> None:
    with Pipeline() as pipeline:
        channel = pipeline.read(broken_source())
        pipeline._threads[0].join(PATIENCE_S)
        late = pipeline.stage("late", identity, channel)
        with pytest.raises(OSError, match="torn"):
            list(pipeline.results(late))


def broken_source() -> Iterator[int]:
    yield 1
    raise OSError("torn")


def test_the_first_error_wins() -> None:
    """The second stage fails while it is being stopped for the first one's error."""
    entered, failed = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        yield 0
        assert entered.wait(PATIENCE_S)
        failed.set()
        raise ValueError("first")

    def late(number: int) -> int:
        entered.set()
        assert failed.wait(PATIENCE_S)
        pipeline._threads[0].join(PATIENCE_S)
        raise RuntimeError("second")

    with pytest.raises(ValueError, match="first"), Pipeline() as pipeline:
        list(pipeline.results(pipeline.stage("late", late, pipeline.read(source()))))


def test_stop_reads_no_more_and_finishes_what_was_begun() -> None:
    read = list[int]()

    def source() -> Iterator[int]:
        for number in range(10**9):
            read.append(number)
            yield number

    seen = list[int]()
    with Pipeline() as pipeline:
        for number in pipeline.results(pipeline.stage("work", identity, pipeline.read(source()))):
            seen.append(number)
            if number == 3:
                pipeline.stop()
    assert seen == list(range(len(seen)))
    assert len(seen) >= 4
    # what waited for its first stage is dropped; everything before it came through, without a gap
    assert len(read) - len(seen) <= CAPACITY + 1


def test_results_can_be_taken_up_again_after_an_interrupt() -> None:
    seen = list[int]()
    with Pipeline() as pipeline:
        channel = pipeline.stage("work", identity, pipeline.read(range(10)))

        def interrupted() -> None:
            for number in pipeline.results(channel):
                seen.append(number)
                if number == 4:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        seen.extend(pipeline.results(channel))
    assert seen == list(range(10))


def test_long_work_can_ask_whether_it_is_still_wanted() -> None:
    """`check` leaves the work of an aborted pipeline, quietly, and does nothing before."""
    entered, left, unwanted = threading.Event(), threading.Event(), threading.Event()

    def long(number: int) -> int:
        pipeline.check()
        entered.set()
        try:
            assert pipeline._aborting.wait(PATIENCE_S)
            pipeline.check()
            unwanted.set()
        finally:
            left.set()
        return number

    with Pipeline() as pipeline:
        outbox = pipeline.stage("long", long, pipeline.read(range(3)))
        assert entered.wait(PATIENCE_S)
    assert left.is_set()
    assert not unwanted.is_set()
    assert list(pipeline.results(outbox)) == []


def test_leaving_in_the_middle_ends_all_stages() -> None:
    """All are blocked on full channels then."""
    with Pipeline() as pipeline:
        channel = pipeline.stage("two", identity, pipeline.stage("one", identity, pipeline.read(range(10**9))))
        assert next(iter(pipeline.results(channel))) == 0


def test_an_error_of_the_caller_ends_all_stages_and_goes_on() -> None:
    def fail() -> None:
        with Pipeline() as pipeline:
            for _ in pipeline.results(pipeline.stage("one", identity, pipeline.read(range(10**9)))):
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_aborting_waits_for_the_item_in_hand() -> None:
    entered, leave, finished = threading.Event(), threading.Event(), threading.Event()

    def slow(number: int) -> int:
        entered.set()
        assert leave.wait(PATIENCE_S)
        finished.set()
        return number

    with Pipeline() as pipeline:
        pipeline.stage("slow", slow, pipeline.read(range(3)))
        assert entered.wait(PATIENCE_S)
        leave.set()
    assert finished.is_set()


def test_a_source_is_closed_with_the_pipeline_in_the_thread_that_reads_it() -> None:
    closed_in = list[str]()

    def source() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed_in.append(threading.current_thread().name)

    numbers = source()
    with Pipeline() as pipeline:
        next(iter(pipeline.results(pipeline.read(numbers))))
    assert closed_in == ["read"]


def test_of_what_only_the_newest_counts_the_rest_is_dropped_and_counted() -> None:
    read = threading.Event()

    def source() -> Iterator[int]:
        yield from range(50)
        read.set()

    with Pipeline() as pipeline:
        channel = pipeline.read(source(), newest=True)
        assert read.wait(PATIENCE_S)  # though nobody took any
        assert list(pipeline.results(channel)) == [49]
        assert channel.dropped == 49


def test_what_is_live_is_taken_when_there_is_room_for_it_and_not_before() -> None:
    """A stage that had taken its next one early would hand on an old one."""
    told, taken = threading.Event(), list[int]()

    def source() -> Iterator[int]:
        yield 1
        assert told.wait(PATIENCE_S)
        yield from (2, 3)

    def work(number: int) -> int:
        taken.append(number)
        return number

    with Pipeline() as pipeline:
        results = pipeline.results(pipeline.stage("work", work, pipeline.read(source(), newest=True), ahead=1))
        channel = pipeline._channels[-1]
        wait_until(lambda: bool(channel._items))
        told.set()
        wait_until(lambda: pipeline._channels[0]._closed)
        assert taken == [1]
        assert list(results) == [1, 3]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
def test_a_modest_stage_steps_back_and_no_other() -> None:
    def priority(_: int) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    here = os.getpriority(os.PRIO_PROCESS, 0)
    with Pipeline() as pipeline:
        modest = pipeline.stage("modest", priority, pipeline.read(range(1)), modest=True)
        assert list(pipeline.results(modest)) == [min(19, here + 10)]
    with Pipeline() as pipeline:
        assert list(pipeline.results(pipeline.stage("plain", priority, pipeline.read(range(1))))) == [here]


def test_who_waits_for_so_long_only_is_told_that_nothing_has_come() -> None:
    channel = Channel[int]()
    items = channel.within(0.01)
    assert soon(lambda: [next(items), next(items)]) == [None, None]
    channel.put(1)
    channel.put(2)
    assert soon(lambda: [next(items), next(items), next(items)]) == [1, 2, None]
    channel.put(3)
    channel.close()
    assert soon(lambda: list(items)) == [3]


def test_waiting_with_a_limit_ends_with_what_it_waits_for() -> None:
    """An item, or the end; neither is waited out."""
    channel = Channel[int]()
    items = channel.within(3600)
    late = threading.Timer(0.02, channel.put, (1,))
    late.start()
    assert soon(lambda: next(items)) == 1
    late.join()
    late = threading.Timer(0.02, channel.close)
    late.start()
    assert soon(lambda: list(items)) == []
    late.join()


def test_an_item_that_is_taken_makes_room_within_a_limit_too() -> None:
    channel = Channel[int](capacity=1)
    channel.put(0)
    writer = threading.Thread(target=channel.put, args=(1,), daemon=True)
    writer.start()
    items = channel.within(PATIENCE_S)
    assert next(items) == 0
    writer.join(PATIENCE_S)
    assert not writer.is_alive()
    assert next(items) == 1


def test_results_within_a_limit_are_all_of_them_in_order() -> None:
    told = threading.Event()

    def source() -> Iterator[int]:
        yield from range(5)
        assert told.wait(PATIENCE_S)
        yield from range(5, 3 * CAPACITY)

    seen, idle = list[int](), 0
    with Pipeline() as pipeline:
        for number in pipeline.results_within(pipeline.stage("work", identity, pipeline.read(source())), 0.01):
            if number is None:
                idle += len(seen) == 5
                if idle == 3:  # it tells it again and again
                    told.set()
            else:
                seen.append(number)
    assert seen == list(range(3 * CAPACITY))
    assert idle >= 3


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_the_error_of_a_stage_is_raised_to_one_who_waits_with_a_limit(error: BaseException) -> None:
    seen = list[int | None]()

    def fail() -> None:
        with Pipeline() as pipeline:
            broken = pipeline.stage("broken", failing(3, error), pipeline.read(range(10**9)))
            for number in pipeline.results_within(broken, PATIENCE_S):
                seen.append(number)

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error
    assert seen == list(range(len(seen)))
    assert len(seen) <= 3


def test_results_within_a_limit_end_quietly_when_the_pipeline_is_aborted() -> None:
    with Pipeline() as pipeline:
        results = pipeline.results_within(pipeline.stage("work", identity, pipeline.read(range(10**9))), PATIENCE_S)
        assert next(results) == 0
    assert list(results) == []
