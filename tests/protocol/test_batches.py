"""Batches: a front belongs to its body, and whoever changes a byte of either is found out."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.protocol import batches
from logstream.protocol.batches import FRONT_SIZE, NO_PRODUCER, Batch
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.records import RecordBuilder

CRC_32C_OF_DIGITS = 0xE3069283  # the check value of the CRC's definition, for b"123456789"


def body_of(*values: bytes) -> bytes:
    builder = RecordBuilder()
    for number, value in enumerate(values):
        assert builder.append(None, value, (), 1_000 + number)
    return builder.build()


BODY = body_of(b"one", b"two", b"three")
BATCH = batches.stamp_producer(BODY, 77, 3, 1234)


def test_a_stamped_batch_is_whole_and_says_who_made_it() -> None:
    header = batches.check(BATCH)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (77, 3, 1234)
    assert (header.records, header.last_offset_delta) == (3, 2)
    assert (header.base_timestamp, header.max_timestamp) == (1_000, 1_002)


@given(st.integers(-1, 2**63 - 1), st.integers(-1, 2**15 - 1), st.integers(-1, 2**31 - 1))
@settings(max_examples=50, deadline=None)
def test_a_stamp_changes_the_producer_and_nothing_else(producer_id: int, epoch: int, sequence: int) -> None:
    stamped = batches.stamp_producer(BODY, producer_id, epoch, sequence)
    header = batches.check(stamped)
    assert header[4:7] == (producer_id, epoch, sequence)
    assert batches.stamp_producer(stamped.body, NO_PRODUCER, -1, -1).body == BODY


def test_the_crc_is_crc_32c() -> None:
    assert batches.crc_of(b"123456789") == CRC_32C_OF_DIGITS


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**31 - 1))
@settings(max_examples=50, deadline=None)
def test_a_leader_gives_offset_and_epoch_without_touching_the_body(offset: int, epoch_n: int) -> None:
    front = batches.make_front(offset, epoch_n, BATCH.body, batches.crc_in(BATCH.front))
    batch = Batch(front, BATCH.body)
    assert batches.check(batch) == batches.check(BATCH)
    assert batches.base_offset_in(front) == offset
    assert struct.unpack_from(">i", front, 12) == (epoch_n,)


def test_an_epoch_number_beyond_kafkas_field_is_cut_and_not_an_error() -> None:
    front = batches.make_front(0, 2**31 + 5, BATCH.body, 0)
    assert struct.unpack_from(">i", front, 12) == (5,)


@given(st.integers(0, len(BATCH.body) * 8 - 1))
@settings(max_examples=200, deadline=None)
def test_one_flipped_bit_of_the_body_is_found(bit: int) -> None:
    body = bytearray(BATCH.body)
    body[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RemoteProtocolError):
        batches.check(Batch(BATCH.front, bytes(body)))


@pytest.mark.parametrize("place", [*range(8, 12), 16, *range(17, 21)])
def test_one_wrong_byte_of_length_magic_or_crc_is_found(place: int) -> None:
    front = bytearray(BATCH.front)
    front[place] ^= 0x40
    with pytest.raises(RemoteProtocolError):
        batches.check(Batch(bytes(front), BATCH.body))


@given(st.integers(0, len(BATCH.body) - 1))
@settings(max_examples=50, deadline=None)
def test_a_body_that_was_cut_short_is_found(length: int) -> None:
    with pytest.raises(RemoteProtocolError):
        batches.check(Batch(BATCH.front, BATCH.body[:length]))


@pytest.mark.parametrize("front", [b"", BATCH.front[:-1], BATCH.front + b"x"])
def test_a_front_of_another_size_is_found(front: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="front"):
        batches.check(Batch(front, BATCH.body))


@pytest.mark.parametrize(("delta", "records"), [(0, 0), (-1, 0), (-2, -1), (2, 2), (2**31 - 1, 1)])
def test_a_count_of_records_that_cannot_be_is_found(delta: int, records: int) -> None:
    body = bytearray(BODY)
    struct.pack_into(">i", body, 2, delta)
    struct.pack_into(">i", body, 36, records)
    with pytest.raises(RemoteProtocolError, match="records"):
        batches.header_of(bytes(body))


def test_a_split_batch_is_the_batch() -> None:
    assert batches.split(BATCH.front + BATCH.body) == BATCH
    assert BATCH.size == FRONT_SIZE + len(BATCH.body)


def test_what_is_left_of_a_trimmed_batch_is_known_as_such_and_refused_from_a_producer() -> None:
    left = batches.trimmed(BATCH.body)
    assert (batches.is_trimmed(left), batches.is_trimmed(BATCH.body)) == (True, False)
    assert batches.header_of(left) == batches.header_of(BATCH.body)
    assert batches.end_offset_of(batches.make_front(7, 1, left, 0), left) == 10
    with pytest.raises(RemoteProtocolError, match="says 3 records and holds none"):
        batches.check(Batch(batches.make_front(0, 0, left, batches.crc_of(left)), left))
