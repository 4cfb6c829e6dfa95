"""Consumer on real sockets, against fake brokers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from logstream import Consumer, DataLost, OffsetOutOfRange, Producer, Record, RequestTimedOut, UnknownTopic
from logstream.protocol.errors import ErrorCode
from logstream.protocol.messages import (
    ClientRequest,
    Fetch,
    Fetched,
    FetchResponse,
    Metadata,
    MetadataResponse,
    TopicMetadata,
)
from tests.client.fake_broker import FakeBrokers


@pytest.fixture
def wide() -> Iterator[FakeBrokers]:
    """Two fake brokers; topics have four partitions."""
    found = FakeBrokers(2, partitions=4)
    yield found
    found.stop()


def fill(brokers: FakeBrokers, *values: bytes, topic: str = "t") -> None:
    """Produce these records."""
    with Producer(brokers.addresses) as producer:
        producer.send_many(topic, values).result(10)


def test_records_come_as_they_were_sent(brokers: FakeBrokers) -> None:
    with Producer(brokers.addresses) as producer:
        producer.send("t", b"value", key=b"key", headers=[("eol", b"0")])
    with Consumer("t", follow=False, bootstrap=brokers.addresses) as consumer:
        (record,) = consumer
    assert record == Record("t", 0, 0, record.timestamp_ms, b"key", b"value", record.headers)
    assert list(record.headers) == [("eol", b"0")]


def test_without_follow_it_ends_at_the_end_and_loses_nothing(brokers: FakeBrokers) -> None:
    fill(brokers, *[b"%d" % number for number in range(10_000)])
    records = list(Consumer("t", follow=False, bootstrap=brokers.addresses))
    assert [record.value for record in records] == [b"%d" % number for number in range(10_000)]
    assert [record.offset for record in records] == list(range(10_000))


def test_every_partition_is_read_in_order(wide: FakeBrokers) -> None:
    with Producer(wide.addresses) as producer:
        for number in range(4_000):
            producer.send("t", b"%d" % number, partition=number % 4)
    records = list(Consumer("t", follow=False, bootstrap=wide.addresses))
    for partition in range(4):
        values = [record.value for record in records if record.partition == partition]
        assert values == [b"%d" % number for number in range(4_000) if number % 4 == partition]


@pytest.mark.parametrize(("start", "first"), [("start", 0), (3, 3), (5, None)])
def test_it_starts_where_it_is_told(brokers: FakeBrokers, start: str | int, first: int | None) -> None:
    fill(brokers, *[b"%d" % number for number in range(5)])
    records = list(Consumer("t", start, follow=False, bootstrap=brokers.addresses))  # type: ignore[arg-type]
    assert [record.offset for record in records] == ([] if first is None else list(range(first, 5)))


def test_a_follower_from_the_end_gets_what_is_produced_later_and_nothing_older(brokers: FakeBrokers) -> None:
    fill(brokers, b"old")
    fetching = threading.Event()
    brokers.spoil = lambda request: fetching.set() if isinstance(request, Fetch) else None
    with Consumer("t", "end", bootstrap=brokers.addresses) as consumer:
        assert fetching.wait(5.0)
        fill(brokers, b"new")
        assert [record.value for record in consumer.poll(5.0)] == [b"new"]


def test_poll_returns_at_most_what_is_asked_and_position_follows(brokers: FakeBrokers) -> None:
    fill(brokers, *[b"%d" % number for number in range(10)])
    with Consumer("t", bootstrap=brokers.addresses) as consumer:
        assert consumer.position(0) is None
        assert [record.offset for record in consumer.poll(5.0, max_records=4)] == [0, 1, 2, 3]
        assert consumer.position(0) == 4
        assert [record.offset for record in consumer.poll(5.0)] == [4, 5, 6, 7, 8, 9]
        assert consumer.position(0) == 10


def test_ended_says_that_there_is_no_more(brokers: FakeBrokers) -> None:
    fill(brokers, b"a")
    with Consumer("t", follow=False, bootstrap=brokers.addresses) as consumer:
        records = consumer.poll(5.0)
        while not consumer.ended:
            records += consumer.poll(1.0)
    assert [record.value for record in records] == [b"a"]


def test_breaking_off_and_going_on_skips_nothing(brokers: FakeBrokers) -> None:
    fill(brokers, *[b"%d" % number for number in range(100)])
    with Consumer("t", follow=False, bootstrap=brokers.addresses) as consumer:
        offsets = []
        for record in consumer:
            offsets.append(record.offset)
            if record.offset == 30:
                break
        offsets += [record.offset for record in consumer]
    assert offsets == list(range(100))


def test_a_topic_that_is_not_there_is_an_error(brokers: FakeBrokers) -> None:
    with pytest.raises(UnknownTopic, match="nowhere"):
        list(Consumer("nowhere", follow=False, bootstrap=brokers.addresses))


def test_an_offset_beyond_the_end_is_an_error_with_the_numbers(brokers: FakeBrokers) -> None:
    fill(brokers, b"a", b"b")
    with pytest.raises(OffsetOutOfRange, match="starts at 0 and ends at 2"):
        list(Consumer("t", 9, bootstrap=brokers.addresses))


def test_brokers_that_do_not_answer_are_an_error_in_time(brokers: FakeBrokers) -> None:
    brokers.hold = True
    with pytest.raises(RequestTimedOut, match="does not answer"):
        list(Consumer("t", follow=False, bootstrap=brokers.addresses, timeout_s=0.6))


def test_connections_that_break_and_partitions_that_move_lose_repeat_and_reorder_nothing(brokers: FakeBrokers) -> None:
    fill(brokers, *[b"%d" % number for number in range(20_000)])
    offsets = []
    with Consumer("t", follow=False, bootstrap=brokers.addresses, credit_max=30_000) as consumer:
        for record in consumer:
            offsets.append(record.offset)
            if record.offset % 5_000 == 2_500:
                brokers.break_connections()
                brokers.model.move("t", 0, brokers.addresses[record.offset // 5_000 % 2])
    assert offsets == list(range(20_000))


def test_a_broker_without_a_leader_is_left_for_another(brokers: FakeBrokers) -> None:
    fill(brokers, b"a", b"b")
    brokers.model.leaderless.add(brokers.addresses[1])
    brokers.model.move("t", 0, brokers.addresses[0])
    addresses = [brokers.addresses[1], brokers.addresses[0]]
    assert [record.value for record in Consumer("t", follow=False, bootstrap=addresses)] == [b"a", b"b"]


def test_closing_wakes_a_thread_that_waits_for_records(brokers: FakeBrokers) -> None:
    fill(brokers, b"a")
    consumer = Consumer("t", bootstrap=brokers.addresses)
    taken: list[bytes | None] = []
    thread = threading.Thread(target=lambda: taken.extend(record.value for record in consumer))
    thread.start()
    while not taken and thread.is_alive():
        thread.join(0.002)
    consumer.close()
    thread.join(5.0)
    assert not thread.is_alive()


def test_what_came_before_an_error_is_delivered_first(brokers: FakeBrokers) -> None:
    fill(brokers, b"a")
    lost = Fetched("t", 0, ErrorCode.DATA_LOST, "the disk is gone", 0, 0, ())

    def lose_data(request: ClientRequest) -> FetchResponse | None:
        if isinstance(request, Fetch) and request.partitions[0].offset > 0:
            return FetchResponse((lost,), True, "c1")
        return None

    brokers.spoil = lose_data
    with Consumer("t", bootstrap=brokers.addresses) as consumer:
        assert consumer.poll(5.0)[0].value == b"a"
        with pytest.raises(DataLost, match="the disk is gone"):
            consumer.poll(5.0)


def test_a_leader_that_cannot_serve_the_topic_yet_is_asked_again(brokers: FakeBrokers) -> None:
    fill(brokers, b"a")
    spoiled: list[object] = []

    def retry_first(request: ClientRequest) -> MetadataResponse | None:
        if not isinstance(request, Metadata) or spoiled:
            return None
        spoiled.append(request)
        answer = brokers.model.answer(brokers.addresses[0], request)
        assert isinstance(answer, MetadataResponse)
        return replace(answer, topics=(TopicMetadata("t", 0, ErrorCode.RETRY, ()),))

    brokers.spoil = retry_first
    assert [record.value for record in Consumer("t", follow=False, bootstrap=brokers.addresses)] == [b"a"]
    assert len(spoiled) == 1
