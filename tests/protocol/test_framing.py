"""Framing: where the socket cuts does not matter, and nobody can make a reader collect more than a frame."""

from __future__ import annotations

import struct
import time
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.protocol.batches import FRONT_SIZE, Batch
from logstream.protocol.codec import encode
from logstream.protocol.envelope import Envelope
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.framing import FrameReader
from logstream.protocol.identity import Epoch
from logstream.protocol.messages import Leave, Message, Nack, Produce, StatusResponse

FRAME_MAX = 64 * 1024 * 1024
EPOCH = Epoch(7, "n1", "s1")


def produce(body: bytes) -> Produce:
    return Produce("t", 1, 0, Batch(bytes(FRONT_SIZE), body), 1.0)


MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Leave, st.booleans()),
    st.builds(Nack, st.just(EPOCH), st.integers(0, 99), st.integers(0, 99)),
    st.builds(StatusResponse, st.text(max_size=300)),
    st.builds(produce, st.binary(max_size=300)),
)


def bytes_of(*messages: Message) -> bytes:
    return b"".join(b"".join(encode(Envelope(message, "c"))) for message in messages)


def pieces_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in pairwise(places)]


@given(st.lists(MESSAGES, max_size=8), st.lists(st.integers(0, 4000), max_size=12))
@settings(max_examples=200, deadline=None)
def test_the_same_envelopes_come_out_wherever_the_stream_is_cut(messages: list[Message], cuts: list[int]) -> None:
    reader = FrameReader(FRAME_MAX)
    heard = [envelope for piece in pieces_of(bytes_of(*messages), cuts) for envelope in reader.feed(piece)]
    assert [envelope.message for envelope in heard] == messages
    assert reader.pending == 0


def test_byte_by_byte_each_envelope_comes_with_its_last_byte() -> None:
    stream = bytes_of(Leave(), Nack(EPOCH, 1, 2))
    reader = FrameReader(FRAME_MAX)
    came_at = [place for place in range(len(stream)) if reader.feed(stream[place : place + 1])]
    assert came_at == [len(bytes_of(Leave())) - 1, len(stream) - 1]


def test_pending_counts_what_is_kept_of_an_unfinished_frame() -> None:
    stream = bytes_of(produce(bytes(1000)))
    reader = FrameReader(FRAME_MAX)
    assert reader.feed(bytes_of(Leave()) + stream[:500])[0].message == Leave()
    assert reader.pending == 500
    assert reader.feed(stream[500:-1]) == []
    assert reader.pending == len(stream) - 1


def test_a_frame_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    stream = bytes_of(produce(bytes(1000)))
    assert len(FrameReader(len(stream) - 4).feed(stream)) == 1
    with pytest.raises(RemoteProtocolError, match="frame_max"):
        FrameReader(len(stream) - 5).feed(stream)


def test_a_huge_length_is_refused_with_its_fourth_byte_and_nothing_is_allocated() -> None:
    reader = FrameReader(FRAME_MAX)
    tracemalloc.start()
    try:
        assert reader.feed(struct.pack("!I", FRAME_MAX + 1)[:3]) == []
        with pytest.raises(RemoteProtocolError, match="frame_max"):
            reader.feed(struct.pack("!I", FRAME_MAX + 1)[3:])
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_long_length_that_is_allowed_allocates_nothing_before_the_bytes_come() -> None:
    reader = FrameReader(FRAME_MAX)
    tracemalloc.start()
    try:
        assert reader.feed(struct.pack("!II", FRAME_MAX, 100)) == []
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "stream", [b"\0\0\0\0", b"\0\0\0\3abc", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x08\0\0\0\4\xff\xff\xff\xff"]
)
def test_a_stream_that_is_none_of_ours_is_refused(stream: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        FrameReader(FRAME_MAX).feed(stream)


@given(st.lists(st.binary(max_size=60), max_size=6))
@settings(max_examples=200, deadline=None)
def test_random_bytes_never_raise_anything_else(pieces: list[bytes]) -> None:
    reader = FrameReader(1000)
    try:
        for piece in pieces:
            reader.feed(piece)
            assert reader.pending <= 1004
    except RemoteProtocolError as error:
        assert str(error)


def read_time_s(stream: bytes, piece: int) -> float:
    reader, started, heard = FrameReader(FRAME_MAX), time.perf_counter(), 0
    for start in range(0, len(stream), piece):
        heard += len(reader.feed(stream[start : start + piece]))
    assert heard > 0
    return time.perf_counter() - started


def test_a_record_of_16_MiB_in_pieces_takes_linear_time() -> None:
    """Joining what has come with each piece would copy 16 GiB and take seconds; appending takes 0.03 s."""
    assert min(read_time_s(bytes_of(produce(bytes(16 * 1024 * 1024))), 8_192) for _ in range(3)) < 0.5


def test_many_small_frames_in_one_piece_take_linear_time() -> None:
    """Moving the rest of the piece after each frame would copy 30 GB."""
    few, many = bytes_of(Leave()) * 2_000, bytes_of(Leave()) * 40_000
    assert min(read_time_s(many, len(many)) for _ in range(3)) < 60 * read_time_s(few, len(few))
