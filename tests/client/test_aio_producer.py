"""Producer on an event loop, on real sockets, against the fake brokers of test_producer.py."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from logstream import (
    BufferFull,
    InvalidRequest,
    LogStreamError,
    NoClusterFound,
    RecordTooLarge,
    RequestTimedOut,
    UnknownTopic,
)
from logstream.aio import Handle, Placed, Producer
from logstream.core.producer import ProducerCore
from logstream.protocol.errors import ErrorCode
from logstream.protocol.messages import ClientRequest, Produce, ProduceResponse
from logstream.protocol.records import read
from tests.client.fake_broker import FakeBrokers
from tests.client.loops import on_loop

ROOT = Path(__file__).parents[2]


def values(brokers: FakeBrokers, topic: str = "t") -> list[bytes | None]:
    """What the log of a topic of one partition holds."""
    batches = brokers.model.topics[topic].partitions[0].batches
    return [record.value for batch in batches for record in read(batch)]


def numbers(count: int) -> list[bytes]:
    """Values that tell which is missing."""
    return [b"%d" % number for number in range(count)]


@on_loop
async def test_awaiting_a_send_gives_the_offset(brokers: FakeBrokers) -> None:
    async with Producer(brokers.addresses) as producer:
        assert [await producer.send("t", b"a"), await producer.send("t", b"b", key=b"k")] == [0, 1]
    assert values(brokers) == [b"a", b"b"]


@on_loop
async def test_everything_runs_without_a_thread(brokers: FakeBrokers) -> None:
    others = set(threading.enumerate())  # of threaded clients that other tests of this process have not let go yet
    async with Producer(brokers.addresses) as producer:
        await producer.send("t", b"a")
        names = {thread.name for thread in set(threading.enumerate()) - others}
    assert not {name for name in names if name.startswith("logstream")}


@on_loop
async def test_sends_without_await_arrive_in_order_and_close_waits_for_all(brokers: FakeBrokers) -> None:
    async with Producer(brokers.addresses) as producer:
        handles = [producer.send("t", value) for value in numbers(20_000)]
    assert values(brokers) == numbers(20_000)
    assert [handle.result() for handle in handles] == list(range(20_000))


@on_loop
async def test_many_tasks_can_await_their_sends_at_once(brokers: FakeBrokers) -> None:
    async with Producer(brokers.addresses) as producer:
        offsets = await asyncio.gather(*(producer.send("t", value) for value in numbers(500)))
    assert offsets == list(range(500))


@on_loop
async def test_an_outcome_that_is_not_known_yet_is_not_waited_for(brokers: FakeBrokers) -> None:
    async with Producer(brokers.addresses) as producer:
        handle = producer.send("t", b"a")
        assert not handle.done()
        with pytest.raises(asyncio.InvalidStateError, match="await the handle"):
            handle.result()
        await handle
        assert (handle.done(), handle.result(), handle.exception(), handle.partition) == (True, 0, None, 0)


@on_loop
async def test_whoever_is_cancelled_while_awaiting_only_stops_waiting(brokers: FakeBrokers) -> None:
    brokers.hold = True
    async with Producer(brokers.addresses) as producer:
        handle = producer.send("t", b"a")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(handle, 0.01)
        brokers.release()
        assert await handle == 0
    assert values(brokers) == [b"a"]


@on_loop
async def test_a_callback_hears_of_the_delivery_and_may_send(brokers: FakeBrokers) -> None:
    heard: list[int] = []

    def again(handle: Handle) -> None:
        heard.append(handle.result())
        if len(heard) < 3:
            producer.send("t", b"again", on_delivery=again)

    async with Producer(brokers.addresses) as producer:
        producer.send("t", b"first", on_delivery=again)
        while len(heard) < 3:
            await producer.flush(5)
    assert heard == [0, 1, 2]


@on_loop
async def test_a_callback_that_raises_harms_nobody(brokers: FakeBrokers) -> None:
    async with Producer(brokers.addresses) as producer:
        producer.send("t", b"a").add_done_callback(lambda handle: 1 / 0)
        await producer.flush(5)
        assert await producer.send("t", b"b") == 1


def test_a_callback_that_exits_ends_the_loop_once_everything_has_its_outcome(brokers: FakeBrokers) -> None:
    flushed: list[bool] = []

    async def produce() -> None:
        async with Producer(brokers.addresses) as producer:
            producer.send("t", b"a", on_delivery=lambda handle: sys.exit(3))
            producer.send("t", b"b")
            try:
                await asyncio.Event().wait()
            finally:
                await producer.flush(1)
                flushed.append(True)

    with pytest.raises(SystemExit, match="3"):
        asyncio.run(produce())
    assert flushed and values(brokers) == [b"a", b"b"]


def test_values_that_exit_end_the_loop_and_what_was_sent_beside_them_arrives(brokers: FakeBrokers) -> None:
    def given() -> Iterator[bytes]:
        yield b"taken, and not sent"
        sys.exit(3)

    async def produce() -> None:
        async with Producer(brokers.addresses) as producer:
            producer.send("t", b"before")
            producer.send_many("t", given())
            producer.send("t", b"behind")
            await asyncio.Event().wait()

    with pytest.raises(SystemExit, match="3"):
        asyncio.run(produce())
    assert values(brokers) == [b"before", b"behind"]


@on_loop
async def test_a_bulk_larger_than_the_buffer_is_taken_as_there_is_room(brokers: FakeBrokers) -> None:
    taken: list[int] = []

    def given() -> Iterator[bytes]:
        for number, value in enumerate(numbers(30_000)):
            taken.append(number)
            yield value

    async with Producer(brokers.addresses, buffer_max=300_000) as producer:
        bulk = producer.send_many("t", given())
        behind = producer.send("t", b"behind")
        assert taken == []
        runs = await bulk
        assert await behind == 30_000
    assert sum(run.records for run in runs) == bulk.total == bulk.acknowledged == 30_000
    assert values(brokers) == [*numbers(30_000), b"behind"]


@on_loop
async def test_sends_that_fill_the_buffer_behind_a_bulk_do_not_block_it(brokers: FakeBrokers) -> None:
    async with Producer(brokers.addresses, buffer_max=10_000) as producer:
        bulk = producer.send_many("t", [b"x" * 100] * 200)
        sent = 0
        with pytest.raises(BufferFull):
            while True:
                producer.send("t", b"y" * 1000)
                sent += 1
        assert await bulk == [Placed(0, 200, 0, 0)] or bulk.acknowledged == 200
    assert values(brokers) == [b"x" * 100] * 200 + [b"y" * 1000] * sent


@on_loop
async def test_an_empty_bulk_is_done_and_a_broken_one_says_what_broke_it(brokers: FakeBrokers) -> None:
    def broken() -> Iterator[bytes]:
        yield from numbers(1_000)
        raise OSError("the disk is gone")

    async with Producer(brokers.addresses) as producer:
        assert await producer.send_many("t", []) == []
        bulk = producer.send_many("t", broken())
        with pytest.raises(InvalidRequest, match=r"took 1000 records.*the disk is gone"):
            await bulk
        assert bulk.acknowledged == 1_000
        assert await producer.send("t", b"after") == 1_000


@on_loop
async def test_a_full_buffer_says_so_and_drain_makes_room(brokers: FakeBrokers) -> None:
    brokers.hold = True
    async with Producer(brokers.addresses, buffer_max=10_000) as producer:
        sent = 0
        with pytest.raises(BufferFull, match=r"buffer_max.*await producer\.drain"):
            while True:
                producer.send("t", b"x" * 100)
                sent += 1
        drained = asyncio.create_task(producer.drain())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(drained), 0.01)
        assert sent == 60
        brokers.release()
        await drained
        producer.send("t", b"room")
    assert values(brokers) == [b"x" * 100] * 60 + [b"room"]


@on_loop
async def test_with_drain_a_small_buffer_only_slows_down_and_others_have_their_turn(brokers: FakeBrokers) -> None:
    loop, turns = asyncio.get_running_loop(), [0]

    def count() -> None:
        turns[0] += 1
        if producing:
            loop.call_soon(count)

    producing = True
    async with Producer(brokers.addresses, buffer_max=100_000) as producer:
        loop.call_soon(count)
        for value in numbers(20_000):
            await producer.drain()
            producer.send("t", value)
        producing = False
    assert turns[0] > 20
    assert values(brokers) == numbers(20_000)


@on_loop
async def test_connections_that_break_lose_repeat_and_reorder_nothing(brokers: FakeBrokers) -> None:
    async with Producer(brokers.addresses) as producer:
        for number, value in enumerate(numbers(3_000)):
            producer.send("t", value)
            if number % 500 == 250:
                await producer.send("t2", b"")
                brokers.break_connections()
    assert values(brokers) == numbers(3_000)


@on_loop
async def test_flush_in_a_time_that_is_too_short_says_so_and_goes_on(brokers: FakeBrokers) -> None:
    brokers.hold = True
    async with Producer(brokers.addresses) as producer:
        producer.send("t", b"a")
        with pytest.raises(RequestTimedOut, match="1 records are not acknowledged"):
            await producer.flush(0.01)
        brokers.release()
        await producer.flush(5)
    assert values(brokers) == [b"a"]


@on_loop
async def test_close_raises_what_nobody_was_told_of(brokers: FakeBrokers) -> None:
    brokers.model.create = False
    producer = Producer(brokers.addresses)
    await producer.start()
    told = producer.send("nowhere", b"a")
    producer.send("nowhere", b"b")
    producer.send("nowhere", b"c")
    with pytest.raises(UnknownTopic):
        await told
    with pytest.raises(UnknownTopic, match=r"nowhere \(and 1 more.*topics create"):
        await producer.close()


@on_loop
async def test_close_gives_up_in_time_and_every_handle_is_done(brokers: FakeBrokers) -> None:
    brokers.hold = True
    producer = Producer(brokers.addresses)
    await producer.start()
    handle, bulk = producer.send("t", b"a"), producer.send_many("t", numbers(5_000))
    with pytest.raises(RequestTimedOut):
        await producer.close(timeout=0.05)
    assert handle.done() and bulk.done()
    assert isinstance(bulk.exception(), RequestTimedOut)
    with pytest.raises(LogStreamError, match="closed"):
        producer.send("t", b"b")
    await producer.close()


@on_loop
async def test_a_close_that_is_cancelled_still_hangs_up_and_settles_every_handle(brokers: FakeBrokers) -> None:
    brokers.hold = True
    producer = Producer(brokers.addresses)
    await producer.start()
    handle = producer.send("t", b"a")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(producer.close(), 0.05)
    assert isinstance(handle.exception(), RequestTimedOut)
    with pytest.raises(LogStreamError, match="closed"):
        await producer.drain()


@on_loop
async def test_an_error_in_the_block_is_raised_after_what_was_sent_is_there(brokers: FakeBrokers) -> None:
    with pytest.raises(ZeroDivisionError):
        async with Producer(brokers.addresses) as producer:
            producer.send("t", b"a")
            1 / 0  # noqa: B018
    assert values(brokers) == [b"a"]


@on_loop
async def test_the_deadline_raises_the_brokers_last_reason(brokers: FakeBrokers) -> None:
    text = "no commit for 3 s: member n2 does not answer"
    brokers.spoil = lambda request: ProduceResponse(ErrorCode.RETRY, text) if isinstance(request, Produce) else None
    async with Producer(brokers.addresses, timeout_s=0.5) as producer:
        with pytest.raises(RequestTimedOut, match=f"{text}.*logstream status"):
            await producer.send("t", b"a")


@on_loop
async def test_a_record_over_the_limit_fails_alone(brokers: FakeBrokers) -> None:
    brokers.model.record_max = 10
    async with Producer(brokers.addresses) as producer:
        with pytest.raises(RecordTooLarge, match="record_max"):
            await producer.send("t", b"x" * 11)
        assert await producer.send("t", b"fits") == 0


@on_loop
async def test_a_producer_that_was_not_started_says_how(brokers: FakeBrokers) -> None:
    producer = Producer(brokers.addresses)
    with pytest.raises(LogStreamError, match="async with"):
        producer.send("t", b"a")
    await producer.close()
    with pytest.raises(LogStreamError, match="closed"):
        await producer.start()


@on_loop
async def test_nobody_there_says_what_was_tried_and_what_to_do() -> None:
    with pytest.raises(NoClusterFound, match=r"127.0.0.1:1 \(connection refused\).*logstream up"):
        await Producer("127.0.0.1:1").start()


@on_loop
async def test_looking_for_the_cluster_can_be_cancelled_and_does_not_stop_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searching = threading.Event()

    def search(bootstrap: object, cluster: str) -> list[str]:
        searching.wait(10)
        return []

    monkeypatch.setattr("logstream.aio.producer.find", search)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(Producer().start(), 0.05)
    searching.set()


def test_another_loop_is_refused(brokers: FakeBrokers) -> None:
    producer = Producer(brokers.addresses)

    async def send() -> int:
        await producer.start()
        return await producer.send("t", b"a")

    assert asyncio.run(send()) == 0
    with pytest.raises(LogStreamError, match="another event loop"):
        asyncio.run(send())
    with pytest.raises(LogStreamError, match="another event loop"):
        producer.send("t", b"from no loop at all")


def test_a_program_that_leaves_records_under_way_is_told(brokers: FakeBrokers) -> None:
    brokers.hold = True
    program = (
        "import asyncio\n"
        "from logstream.aio import Producer\n"
        "async def send():\n"
        f"    producer = Producer({brokers.addresses[0]!r})\n"
        "    await producer.start()\n"
        "    producer.send('t', b'lost')\n"
        "asyncio.run(send())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert "1 records were not acknowledged when the event loop ended; close the producer" in done.stderr


def test_a_lost_answer_does_not_repeat_the_record(brokers: FakeBrokers) -> None:
    lost: list[object] = []

    def lose_the_first_answer(request: ClientRequest) -> ProduceResponse | None:
        if isinstance(request, Produce) and not lost:
            lost.append(brokers.model.answer(brokers.addresses[0], request))
            return ProduceResponse(ErrorCode.RETRY, "the answer is lost")
        return None

    async def send() -> int:
        async with Producer(brokers.addresses) as producer:
            return await producer.send("t", b"once")

    brokers.spoil = lose_the_first_answer
    assert asyncio.run(send()) == 0
    assert values(brokers) == [b"once"]


@on_loop
async def test_after_a_fault_of_ours_every_handle_has_an_error_and_close_raises_it(
    brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(core: ProducerCore, event: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(ProducerCore, "handle", fault)
    producer = Producer(brokers.addresses)
    await producer.start()
    handle, bulk, single = producer.send("t", b"a"), producer.send_many("t", [b"b"]), producer.send("t", b"c")
    for failed in (handle, bulk):
        with pytest.raises(LogStreamError, match="a bug"):
            await failed
    with pytest.raises(LogStreamError, match="a bug"):
        await producer.close()
    assert single.done()
