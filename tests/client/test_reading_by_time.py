"""A consumer that starts at a time, on real sockets: exact to the record, with threads and on an event loop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

import logstream.aio
from logstream import Consumer, Producer
from logstream.client.beginning import beginning
from logstream.core.reading import Since
from logstream.protocol.batches import Compression
from tests.client.fake_broker import FakeBrokers
from tests.client.loops import on_loop

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
STAMPS = [100, 110, 105, 130, 120, 140, 90, 150, 150, 160]  # ms: the clocks of producers do not agree


def at(milliseconds: float) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)


@pytest.fixture(params=[1, 3, 100], ids=["one in a batch", "three in a batch", "all in one batch"])
def filled(
    request: pytest.FixtureRequest, brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeBrokers]:
    """Records with these time stamps, their numbers as values."""
    stamps = iter(STAMPS)
    monkeypatch.setattr("logstream.client.producer.time_ns", lambda: next(stamps) * 1_000_000)
    compression: Compression = "zstd" if request.param == 3 else "none"
    with Producer(brokers.addresses, linger_s=60.0, compression=compression) as producer:
        for number in range(len(STAMPS)):
            producer.send("t", b"%d" % number)
            if (number + 1) % request.param == 0:
                producer.flush(10)
    yield brokers


def expected(milliseconds: float) -> list[int]:
    """From the first record of that time on, whatever the later ones say."""
    first = next((number for number, stamp in enumerate(STAMPS) if stamp >= milliseconds), len(STAMPS))
    return list(range(first, len(STAMPS)))


@pytest.mark.parametrize("milliseconds", [0, 100, 100.5, 106, 110, 115, 135, 150, 150.001, 160, 161])
def test_the_first_record_is_the_first_one_of_that_time_or_later(filled: FakeBrokers, milliseconds: float) -> None:
    records = list(Consumer("t", at(milliseconds), follow=False, bootstrap=filled.addresses))
    assert [record.offset for record in records] == expected(milliseconds)
    assert [int(record.value or b"") for record in records] == expected(milliseconds)


@on_loop
async def test_the_same_on_an_event_loop(filled: FakeBrokers) -> None:
    for milliseconds in (0, 106, 135, 161):
        consumer = logstream.aio.Consumer("t", at(milliseconds), follow=False, bootstrap=filled.addresses)
        assert [record.offset async for record in consumer] == expected(milliseconds)


def test_with_follow_what_is_too_old_is_never_seen(brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = iter([100, 199, 200, 50])
    monkeypatch.setattr("logstream.client.producer.time_ns", lambda: next(stamps) * 1_000_000)
    with Producer(brokers.addresses) as producer:
        producer.send("t", b"old").result(10)
        with Consumer("t", at(200), bootstrap=brokers.addresses, timeout_s=10) as consumer:
            assert consumer.poll(0.0) == []
            for value in (b"older", b"first", b"next"):
                producer.send("t", value).result(10)
            values: list[bytes | None] = []
            while len(values) < 2:
                values += [record.value for record in consumer.poll(10)]
            assert (values, consumer.position(0)) == ([b"first", b"next"], 4)


def test_so_long_ago_is_counted_from_now(brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ms = int(time.time() * 1000)
    stamps = iter([now_ms - 3_600_000, now_ms - 60_000, now_ms])
    monkeypatch.setattr("logstream.client.producer.time_ns", lambda: next(stamps) * 1_000_000)
    with Producer(brokers.addresses) as producer:
        for value in (b"an hour", b"a minute", b"now"):
            producer.send("t", value).result(10)
    consumer = Consumer("t", timedelta(minutes=10), follow=False, bootstrap=brokers.addresses)
    assert [record.value for record in consumer] == [b"a minute", b"now"]


# --- what a program may say ---


@pytest.mark.parametrize("said", ["start", "end", 0, 7])
def test_positions_stay_what_they_are(said: Any) -> None:
    assert beginning(said, NOW) == said


@pytest.mark.parametrize(
    ("said", "milliseconds"),
    [
        (EPOCH, 0),
        (EPOCH + timedelta(microseconds=1), 1),
        (EPOCH + timedelta(milliseconds=1), 1),
        (EPOCH - timedelta(microseconds=1), 0),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0),
        (timedelta(0), 1_795_428_000_000),
        (timedelta(minutes=10), 1_795_427_400_000),
        (timedelta.max, 0),
    ],
)
def test_a_time_is_the_first_millisecond_that_is_not_before_it(said: Any, milliseconds: int) -> None:
    assert beginning(said, NOW) == Since(milliseconds)


@pytest.fixture
def zone() -> Iterator[Callable[[str], None]]:
    """Moves this machine to another time zone."""
    before = os.environ.get("TZ")

    def move(name: str) -> None:
        os.environ["TZ"] = name
        time.tzset()

    yield move
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(("name", "hours"), [("UTC0", 0), ("XXX-2", 2), ("YYY8", -8)])
def test_a_time_without_a_zone_is_local_time(zone: Callable[[str], None], name: str, hours: int) -> None:
    zone(name)
    assert beginning(datetime(2026, 11, 23, 10, 0), NOW) == Since(1_795_428_000_000 - hours * 3_600_000)


@pytest.mark.parametrize(
    "said", ["10m", "", None, 1.5, True, timedelta(seconds=-1), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))]
)
def test_anything_else_is_refused_before_anybody_is_asked(said: Any) -> None:
    for kind in (Consumer, logstream.aio.Consumer):
        with pytest.raises(ValueError, match="start="):
            kind("t", said, bootstrap="127.0.0.1:1")
