"""Compression in the client library, on real sockets: what was sent comes back, and fewer bytes are stored."""

from __future__ import annotations

import pytest

import logstream.aio
from logstream import Consumer, InvalidRequest, Producer
from logstream.protocol.batches import CODECS, Compression, header_of
from logstream.protocol.errors import ErrorCode
from logstream.protocol.messages import ClientRequest, Produce, ProduceResponse
from tests.client.fake_broker import FakeBrokers
from tests.client.loops import on_loop

VALUES = [b"2026-11-23 10:00:00 INFO worker %d took a job from the queue" % number for number in range(5000)]


def stored(brokers: FakeBrokers) -> tuple[set[int], int]:
    """The codecs of the batches in the log, and their bytes."""
    batches = brokers.model.topics["t"].partitions[0].batches
    return {header_of(batch.body).codec for batch in batches}, sum(batch.size for batch in batches)


@pytest.mark.parametrize("compression", CODECS)
def test_records_come_back_whatever_the_compression(brokers: FakeBrokers, compression: Compression) -> None:
    with Producer(brokers.addresses, compression=compression) as producer:
        producer.send_many("t", VALUES, key=b"k", headers=[("h", b"v")]).result(10)
    records = list(Consumer("t", follow=False, bootstrap=brokers.addresses))
    assert [(record.offset, record.value) for record in records] == list(enumerate(VALUES))
    assert {(record.key, tuple(record.headers)) for record in records} == {(b"k", (("h", b"v"),))}
    codecs, size = stored(brokers)
    assert codecs == {CODECS.index(compression)}
    assert compression == "none" or size < sum(map(len, VALUES)) / 3


@pytest.mark.parametrize("compression", CODECS)
@on_loop
async def test_the_same_on_an_event_loop(brokers: FakeBrokers, compression: Compression) -> None:
    async with logstream.aio.Producer(brokers.addresses, compression=compression) as producer:
        await producer.send_many("t", VALUES)
    consumer = logstream.aio.Consumer("t", follow=False, bootstrap=brokers.addresses)
    assert [record.value async for record in consumer] == VALUES
    assert stored(brokers)[0] == {CODECS.index(compression)}


def test_one_topic_holds_batches_of_every_compression(brokers: FakeBrokers) -> None:
    for compression in CODECS:
        with Producer(brokers.addresses, compression=compression) as producer:
            producer.send("t", compression.encode())
    values = [record.value for record in Consumer("t", follow=False, bootstrap=brokers.addresses)]
    assert values == [compression.encode() for compression in CODECS]
    assert stored(brokers)[0] == set(range(len(CODECS)))


@pytest.mark.parametrize("kind", [Producer, logstream.aio.Producer])
def test_a_compression_that_there_is_not_is_refused_before_anybody_is_asked(kind: type) -> None:
    with pytest.raises(ValueError, match="no compression 'brotli', there are none, gzip, snappy, lz4, zstd"):
        kind("127.0.0.1:1", compression="brotli")


def test_what_a_broker_refuses_for_its_compression_the_handle_says(brokers: FakeBrokers) -> None:
    def refuse(request: ClientRequest) -> ProduceResponse | None:
        refusal = ProduceResponse(ErrorCode.INVALID_REQUEST, "a batch says compression 7")
        return refusal if isinstance(request, Produce) else None

    brokers.spoil = refuse
    with Producer(brokers.addresses) as producer:
        assert isinstance(producer.send("t", b"v").exception(10), InvalidRequest)
