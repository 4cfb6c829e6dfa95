"""Ctrl-C may come anywhere in the program's thread: whoever goes on after it has lost nothing and waits for nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from logstream import Consumer, Producer, UnknownTopic
from logstream.client import inbox
from logstream.client.host import ThreadHost
from logstream.protocol.messages import ClientRequest, Fetch
from tests.client.fake_broker import FakeBrokers

Send = Callable[[Producer], object]

each_send = pytest.mark.parametrize(
    "send", [lambda producer: producer.send("t", b"a"), lambda producer: producer.send_many("t", [b"a"])]
)


def interrupt(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, at: int = 1) -> None:
    """Ctrl-C comes when this function is called for the time `at`, and before it does anything."""
    function, calls = getattr(owner, name), [0]

    def interrupted(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == at:
            raise KeyboardInterrupt
        return function(*arguments)

    monkeypatch.setattr(owner, name, interrupted)


def send_interrupted(monkeypatch: pytest.MonkeyPatch, producer: Producer, send: Send) -> None:
    """Ctrl-C comes between the record and the wake-up of the producer's thread."""
    interrupt(monkeypatch, ThreadHost, "call")
    with pytest.raises(KeyboardInterrupt):
        send(producer)


@each_send
def test_a_send_that_is_interrupted_leaves_a_producer_that_works(
    brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch, send: Send
) -> None:
    with Producer(brokers.addresses) as producer:
        send_interrupted(monkeypatch, producer, send)
        assert producer.send("t", b"b").result(5) == 1


@each_send
def test_what_an_interrupted_send_took_is_flushed(
    brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch, send: Send
) -> None:
    with Producer(brokers.addresses) as producer:
        send_interrupted(monkeypatch, producer, send)
        producer.flush(5)
    assert brokers.model.topics["t"].partitions[0].end == 1


def test_a_close_that_is_interrupted_can_be_repeated(brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch) -> None:
    brokers.model.create = False
    producer = Producer(brokers.addresses)
    producer.send("nowhere", b"a")
    interrupt(monkeypatch, ThreadHost, "stop")
    with pytest.raises(KeyboardInterrupt):
        producer.close()
    with pytest.raises(UnknownTopic):
        producer.close()
    producer.close()


def test_a_consumer_whose_close_is_interrupted_can_be_closed_again(
    brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = Consumer("t", wait=True, bootstrap=brokers.addresses)
    interrupt(monkeypatch, ThreadHost, "stop")
    with pytest.raises(KeyboardInterrupt):
        consumer.close()
    assert consumer._host._thread.is_alive()
    consumer.close()
    assert not consumer._host._thread.is_alive()


# --- reading ---


def consumer_of_five(brokers: FakeBrokers) -> Consumer:
    """It has five batches of two records, all of them fetched."""
    for number in range(5):
        with Producer(brokers.addresses) as producer:
            producer.send_many("t", [b"%d" % number] * 2).result(5)
    fetched = threading.Event()

    def notice(request: ClientRequest) -> None:
        if isinstance(request, Fetch) and request.partitions[0].offset == 10:
            fetched.set()

    brokers.spoil = notice
    consumer = Consumer("t", bootstrap=brokers.addresses)
    assert fetched.wait(5)
    return consumer


@pytest.mark.parametrize("at", [1, 2, 5])
def test_an_iteration_that_is_interrupted_while_decoding_skips_nothing(
    brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    offsets: list[int] = []
    with consumer_of_five(brokers) as consumer:
        interrupt(monkeypatch, inbox, "read", at)
        with pytest.raises(KeyboardInterrupt):
            for record in consumer:
                offsets.append(record.offset)
        assert consumer.position(0) == (len(offsets) or None)
        offsets += [record.offset for record in consumer.poll(5)]
    assert offsets == list(range(10))


@pytest.mark.parametrize("at", [1, 2, 5])
def test_a_poll_that_is_interrupted_keeps_what_it_gathered(
    brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    with consumer_of_five(brokers) as consumer:
        interrupt(monkeypatch, inbox, "read", at)
        with pytest.raises(KeyboardInterrupt):
            consumer.poll(5)
        assert not consumer.position(0)
        assert [record.offset for record in consumer.poll(5, max_records=1)] == [0]
        assert consumer.position(0) == 1
        assert [record.offset for record in consumer.poll(5)] == list(range(1, 10))


def test_an_iteration_goes_on_with_what_an_interrupted_poll_gathered(
    brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with consumer_of_five(brokers) as consumer:
        records = iter(consumer)
        assert next(records).offset == 0
        interrupt(monkeypatch, inbox, "read", at=2)
        with pytest.raises(KeyboardInterrupt):
            consumer.poll(5)
        assert [next(records).offset for _ in range(9)] == list(range(1, 10))


def test_an_interruption_between_two_batches_costs_no_credit(
    brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = brokers.addresses
    with Producer(there) as producer, Consumer("t", wait=True, bootstrap=there, credit_max=1) as consumer:
        producer.send("t", b"a").result(5)
        assert len(consumer.poll(5)) == 1
        interrupt(monkeypatch, ThreadHost, "call")
        with pytest.raises(KeyboardInterrupt):
            consumer.poll(5)
        producer.send("t", b"b").result(5)
        assert len(consumer.poll(5)) == 1


def test_closing_in_the_midst_of_a_batch_keeps_the_position(brokers: FakeBrokers) -> None:
    with consumer_of_five(brokers) as consumer:
        assert consumer.poll(5, max_records=3)[-1].offset == 2
    assert (consumer.position(0), consumer.poll()) == (3, [])
