"""Consumer on an event loop, on real sockets, against fake brokers."""

from __future__ import annotations

import asyncio
import threading

import pytest

from logstream import (
    CorruptBatch,
    LogStreamError,
    NoClusterFound,
    OffsetOutOfRange,
    Producer,
    RequestTimedOut,
    UnknownTopic,
)
from logstream.aio import Consumer, Record
from logstream.client import inbox, lifetime
from logstream.protocol.batches import Batch
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.messages import ClientRequest, Fetch
from logstream.protocol.records import read
from tests.client.fake_broker import FakeBrokers
from tests.client.loops import on_loop


def fill(brokers: FakeBrokers, count: int, topic: str = "t") -> list[bytes]:
    """Produce so many records; their values."""
    values = [b"%d" % number for number in range(count)]
    with Producer(brokers.addresses) as producer:
        producer.send_many(topic, values).result(10)
    return values


@on_loop
async def test_without_follow_it_ends_at_the_end_and_loses_nothing(brokers: FakeBrokers) -> None:
    values = fill(brokers, 10_000)
    records = [record async for record in Consumer("t", follow=False, bootstrap=brokers.addresses)]
    assert [record.value for record in records] == values
    assert [record.offset for record in records] == list(range(10_000))
    assert type(records[0]) is Record


@on_loop
async def test_everything_runs_without_a_thread(brokers: FakeBrokers) -> None:
    fill(brokers, 1)
    others = set(threading.enumerate())  # of threaded clients that other tests of this process have not let go yet
    async with Consumer("t", bootstrap=brokers.addresses) as consumer:
        assert len(await consumer.poll(5)) == 1
        ours = set(threading.enumerate()) - others
        assert not {thread.name for thread in ours if thread.name.startswith("logstream")}


@on_loop
async def test_breaking_off_and_going_on_skips_nothing(brokers: FakeBrokers) -> None:
    fill(brokers, 100)
    async with Consumer("t", follow=False, bootstrap=brokers.addresses) as consumer:
        offsets = []
        async for record in consumer:
            offsets.append(record.offset)
            if record.offset == 30:
                break
        assert consumer.position(0) == 31
        offsets += [record.offset async for record in consumer]
        assert consumer.ended
    assert offsets == list(range(100))


@on_loop
async def test_whoever_is_cancelled_while_waiting_has_lost_nothing(brokers: FakeBrokers) -> None:
    fill(brokers, 3)
    offsets: list[int] = []
    async with Consumer("t", bootstrap=brokers.addresses) as consumer:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    async for record in consumer:
                        offsets.append(record.offset)
            fill(brokers, 2)
        offsets += [record.offset for record in await consumer.poll(5)]
    assert offsets == list(range(9))


@on_loop
async def test_poll_returns_at_most_what_is_asked_for_and_waits_no_longer_than_told(brokers: FakeBrokers) -> None:
    fill(brokers, 10)
    async with Consumer("t", bootstrap=brokers.addresses) as consumer:
        assert consumer.position(0) is None
        assert [record.offset for record in await consumer.poll(5, max_records=4)] == [0, 1, 2, 3]
        assert [record.offset for record in await consumer.poll(5)] == [4, 5, 6, 7, 8, 9]
        assert await consumer.poll(0.01) == []
        assert (consumer.position(0), consumer.ended) == (10, False)


@on_loop
async def test_one_poll_takes_several_batches(brokers: FakeBrokers) -> None:
    for _ in range(5):
        fill(brokers, 2)
    async with Consumer("t", bootstrap=brokers.addresses) as consumer:
        assert len(await consumer.poll(5, max_records=100)) == 10


@on_loop
async def test_a_follower_from_the_end_gets_what_is_produced_later(brokers: FakeBrokers) -> None:
    fill(brokers, 1)
    fetching, loop = asyncio.Event(), asyncio.get_running_loop()

    def notice(request: ClientRequest) -> None:
        if isinstance(request, Fetch):
            loop.call_soon_threadsafe(fetching.set)

    brokers.spoil = notice
    async with Consumer("t", "end", bootstrap=brokers.addresses) as consumer:
        await fetching.wait()
        await asyncio.to_thread(fill, brokers, 2)
        assert (await anext(consumer)).offset == 1


@on_loop
async def test_with_much_to_take_other_tasks_have_their_turn(brokers: FakeBrokers) -> None:
    loop, turns = asyncio.get_running_loop(), [0]
    fill(brokers, 20_000)

    def count() -> None:
        turns[0] += 1
        if reading:
            loop.call_soon(count)

    reading, before = True, 0
    async with Consumer("t", follow=False, bootstrap=brokers.addresses) as consumer:
        await consumer.poll(5, max_records=1)
        loop.call_soon(count)
        async for record in consumer:
            before = turns[0] if record.offset == 19_000 else before
        reading = False
    assert before > 10


@on_loop
async def test_connections_that_break_lose_repeat_and_reorder_nothing(brokers: FakeBrokers) -> None:
    fill(brokers, 20_000)
    offsets = []
    async with Consumer("t", follow=False, bootstrap=brokers.addresses, credit_max=30_000) as consumer:
        async for record in consumer:
            offsets.append(record.offset)
            if record.offset % 5_000 == 2_500:
                brokers.break_connections()
                brokers.model.move("t", 0, brokers.addresses[record.offset // 5_000 % 2])
    assert offsets == list(range(20_000))


@on_loop
async def test_closing_wakes_a_task_that_waits_for_records(brokers: FakeBrokers) -> None:
    fill(brokers, 1)
    consumer = Consumer("t", bootstrap=brokers.addresses)
    assert (await anext(consumer)).offset == 0
    waiting = asyncio.ensure_future(consumer.poll(None))
    await consumer.close()
    assert await waiting == []
    await consumer.close()
    assert [record async for record in consumer] == []


@on_loop
async def test_a_consumer_that_is_closed_while_it_looks_for_the_cluster_opens_nothing(
    brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching, closed, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()
    asked: list[ClientRequest] = []

    def search(bootstrap: object, cluster: str) -> list[str]:
        loop.call_soon_threadsafe(searching.set)
        closed.wait(10)
        return brokers.addresses

    monkeypatch.setattr("logstream.aio.consumer.find", search)
    brokers.spoil = asked.append
    consumer = Consumer("t")
    starting = asyncio.ensure_future(consumer.start())
    await searching.wait()
    await consumer.close()
    closed.set()
    await starting
    assert await consumer.poll(None) == []
    assert consumer not in lifetime._open and asked == []


@on_loop
async def test_errors_are_raised_where_records_are_taken(brokers: FakeBrokers) -> None:
    fill(brokers, 2)
    with pytest.raises(UnknownTopic, match=r"nowhere; .*topics create"):
        await anext(Consumer("nowhere", bootstrap=brokers.addresses))
    with pytest.raises(OffsetOutOfRange, match=r'starts at 0 and ends at 2; .*start="start"'):
        await anext(Consumer("t", 9, bootstrap=brokers.addresses))
    with pytest.raises(NoClusterFound, match="logstream up"):
        await anext(Consumer("t", bootstrap="127.0.0.1:1"))
    brokers.hold = True
    with pytest.raises(RequestTimedOut, match="does not answer"):
        await anext(Consumer("t", follow=False, bootstrap=brokers.addresses, timeout_s=0.6))


@on_loop
async def test_a_batch_that_cannot_be_read_is_an_error_after_what_came_before(
    brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        fill(brokers, 1)
    batches = brokers.model.topics["t"].partitions[0].batches

    def spoiled(batch: Batch) -> object:
        if batch.body == batches[1].body:
            raise RemoteProtocolError("no such compression")
        return read(batch)

    monkeypatch.setattr(inbox, "read", spoiled)
    async with Consumer("t", bootstrap=brokers.addresses) as consumer:
        assert [record.offset for record in await consumer.poll(5)] == [0]
        for _ in range(2):
            with pytest.raises(CorruptBatch, match=r"t\[0\] at offset 1: no such compression"):
                await consumer.poll(5)
        assert consumer.position(0) == 1


def test_a_consumer_that_lost_its_loop_says_so(brokers: FakeBrokers) -> None:
    fill(brokers, 1)
    consumer = Consumer("t", bootstrap=brokers.addresses)

    async def first() -> int:
        return (await anext(consumer)).offset

    assert asyncio.run(first()) == 0
    with pytest.raises(LogStreamError, match="another event loop"):
        asyncio.run(first())
