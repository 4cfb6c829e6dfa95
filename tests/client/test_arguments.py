"""What a program gives to `send`: what is no record is refused where it is given, and harms no other record."""

from __future__ import annotations

from typing import Any

import pytest

from logstream import Consumer, Producer, aio
from logstream.protocol.records import read
from tests.client.fake_broker import FakeBrokers
from tests.client.loops import on_loop

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"topic": b"t"}, "the topic is a str, not bytes"),
    ({"topic": ["t"]}, "the topic is a str, not list"),
    ({"key": "customer-1"}, "the key of a record is bytes, not str: encode it first"),
    ({"partition": "1"}, "the partition is an int or None, not str"),
    ({"partition": 1.0}, "the partition is an int or None, not float"),
    ({"headers": None}, r"headers are \(str, bytes\) pairs in a list, not NoneType"),
    ({"headers": {"name": b"v"}}, r"a header is a \(str, bytes\) pair, not 'name'"),
    ({"headers": [("name", "no bytes")]}, r"a header is a \(str, bytes\) pair, not \('name', 'no bytes'\)"),
    ({"headers": [("name", b"v"), ("name",)]}, r"a header is a \(str, bytes\) pair, not \('name',\)"),
]

each_wrong = pytest.mark.parametrize(("wrong", "text"), WRONG)


@each_wrong
def test_what_no_record_can_hold_is_refused_where_it_is_sent(
    brokers: FakeBrokers, wrong: dict[str, Any], text: str
) -> None:
    with Producer(brokers.addresses) as producer:
        with pytest.raises(TypeError, match=text):
            producer.send(**{"topic": "t", "value": b"v"} | wrong)
        with pytest.raises(TypeError, match=text):
            producer.send_many(**{"topic": "t", "values": [b"v"]} | wrong)
        assert producer.send("t", b"good").result(5) == 0


@each_wrong
@on_loop
async def test_so_it_is_on_an_event_loop(brokers: FakeBrokers, wrong: dict[str, Any], text: str) -> None:
    async with aio.Producer(brokers.addresses) as producer:
        with pytest.raises(TypeError, match=text):
            producer.send(**{"topic": "t", "value": b"v"} | wrong)
        with pytest.raises(TypeError, match=text):
            producer.send_many(**{"topic": "t", "values": [b"v"]} | wrong)
        assert await producer.send("t", b"good") == 0


@on_loop
async def test_text_as_a_value_is_refused(brokers: FakeBrokers) -> None:
    text = "the value of a record is bytes, not str: encode it first"
    with Producer(brokers.addresses) as producer:
        with pytest.raises(TypeError, match=text):
            producer.send("t", "text")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=text):
            producer.send_many("t", ["text"])  # type: ignore[list-item]
    async with aio.Producer(brokers.addresses) as other:
        with pytest.raises(TypeError, match=text):
            other.send("t", "text")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_whatever_holds_bytes_is_taken_for_them(brokers: FakeBrokers, kind: type[Any]) -> None:
    with Producer(brokers.addresses) as producer:
        producer.send("t", kind(b"value"), key=kind(b"key"), headers=iter([["name", kind(b"h")]]), partition=False)  # type: ignore[arg-type]
    (record,) = read(brokers.model.topics["t"].partitions[0].batches[0])
    assert (record.key, record.value, list(record.headers)) == (b"key", b"value", [("name", b"h")])


@pytest.mark.parametrize(
    ("topics", "text"), [(["t", 1], "the topic is a str, not int"), (b"t", "topics are a str or several, not bytes")]
)
def test_a_consumer_of_what_is_no_topic_is_refused(brokers: FakeBrokers, topics: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        Consumer(topics, bootstrap=brokers.addresses)
    with pytest.raises(TypeError, match=text):
        aio.Consumer(topics, bootstrap=brokers.addresses)
