"""Fragments: a message comes out whole or not at all, and a receiver keeps no more than it was allowed to."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.protocol.batches import FRONT_SIZE
from logstream.protocol.codec import encode
from logstream.protocol.envelope import Envelope
from logstream.protocol.errors import LocalProtocolError, RemoteProtocolError
from logstream.protocol.fragments import KEEPING_COSTS, Fragmenter, Reassembler
from logstream.protocol.identity import Epoch
from logstream.protocol.messages import Entry, EntryKind, Leave, Replicate, StatusResponse

SOURCE = ("127.0.0.1", 9999)
EPOCH = Epoch(7, "n1", "s1")
MIB = 1024 * 1024


def frame(size: int, cluster: str = "c") -> tuple[Envelope, list[bytes]]:
    envelope = Envelope(StatusResponse("x" * size), cluster)
    return envelope, encode(envelope)


def reassembler(bytes_max: int = MIB, hold_s: float = 1.0) -> Reassembler:
    return Reassembler("c", bytes_max, hold_s)


@given(st.integers(0, 3000), st.integers(20, 1500))
@settings(max_examples=150, deadline=None)
def test_a_message_of_any_size_fits_into_datagrams_of_any_size(size: int, datagram_max: int) -> None:
    envelope, parts = frame(size)
    datagrams = Fragmenter("c", 1, datagram_max).split(parts)
    assert max(map(len, datagrams)) <= datagram_max
    receiver = reassembler(bytes_max=4 * MIB)
    assert [receiver.add(SOURCE, datagram, 0.0) for datagram in datagrams] == [None] * (len(datagrams) - 1) + [envelope]
    assert receiver.pending == 0


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_under_loss_duplication_and_reorder_whatever_came_whole_comes_out_right(
    sizes: list[int], dice: random.Random
) -> None:
    sender, receiver = Fragmenter("c", 1, 500), reassembler()
    sent = [frame(size) for size in sizes]
    marked = [(number, piece) for number, (_, parts) in enumerate(sent) for piece in sender.split(parts)]
    arriving = [one for one in marked for _ in range(dice.choice([0, 1, 1, 1, 1, 2]))]
    dice.shuffle(arriving)
    heard = [receiver.add(SOURCE, piece, 0.0) for _, piece in arriving]
    came = {piece for _, piece in arriving}
    whole = [number for number in range(len(sent)) if all(piece in came for at, piece in marked if at == number)]
    assert [number for number in whole if sent[number][0] not in heard] == []
    assert [envelope for envelope in heard if envelope and envelope not in [sent[number][0] for number in whole]] == []


def test_batches_in_a_frame_survive_the_journey() -> None:
    entry = Entry(4, EPOCH, EntryKind.BATCH, 1, 0, bytes(FRONT_SIZE), random.Random(1).randbytes(200_000), 5)
    envelope = Envelope(Replicate(EPOCH, (entry,), 4, 3), "c")
    receiver = reassembler()
    heard = [receiver.add(SOURCE, piece, 0.0) for piece in reversed(Fragmenter("c", 1, 1472).split(encode(envelope)))]
    assert heard[-1] == envelope


def test_messages_of_two_sources_two_tokens_and_two_counters_are_never_mixed() -> None:
    receiver, (envelope, parts) = reassembler(), frame(1500)
    first = Fragmenter("c", 1, 1000)
    (head, _), (_, tail_of_next), (_, tail_of_restarted) = (
        first.split(parts),
        first.split(parts),
        Fragmenter("c", 2, 1000).split(parts),
    )
    assert receiver.add(SOURCE, head, 0.0) is None
    assert receiver.add(SOURCE, tail_of_next, 0.0) is None
    assert receiver.add(SOURCE, tail_of_restarted, 0.0) is None
    _, tail = Fragmenter("c", 1, 1000).split(parts)
    assert receiver.add(("127.0.0.1", 1), tail, 0.0) is None
    assert receiver.add(SOURCE, tail, 0.0) == envelope


def test_a_stranger_is_counted_and_nothing_of_it_is_kept() -> None:
    receiver = reassembler()
    for datagram in Fragmenter("another", 1, 500).split(frame(2000, "another")[1]):
        assert receiver.add(SOURCE, datagram, 0.0) is None
    assert (receiver.strangers, receiver.pending) == (5, 0)


def test_a_stranger_whose_name_has_the_same_hash_is_still_a_stranger() -> None:
    receiver = reassembler()
    (datagram,) = Fragmenter("c", 1, 500).split(encode(Envelope(Leave(), "another")))
    assert receiver.add(SOURCE, datagram, 0.0) is None
    assert receiver.strangers == 1


def test_a_stranger_of_a_later_version_is_a_stranger_and_no_error() -> None:
    receiver = reassembler()
    (datagram,) = Fragmenter("another", 1, 500).split(encode(Envelope(Leave(), "another")))
    assert receiver.add(SOURCE, datagram[:6] + b"\x63" + datagram[7:], 0.0) is None
    assert receiver.strangers == 1


def test_at_the_bound_the_oldest_incomplete_message_is_dropped() -> None:
    sender, (envelope, parts) = Fragmenter("c", 1, 1000), frame(1500)
    receiver = reassembler(bytes_max=3 * (1000 + 2 * KEEPING_COSTS))
    split = [sender.split(parts) for _ in range(4)]
    for head, _ in split:
        assert receiver.add(SOURCE, head, 0.0) is None
    assert receiver.dropped == 1
    assert [receiver.add(SOURCE, tail, 0.0) for _, tail in split[1:]] == [envelope] * 3
    assert receiver.add(SOURCE, split[0][1], 0.0) is None


def test_what_stays_incomplete_for_the_hold_time_is_dropped() -> None:
    sender, (envelope, parts) = Fragmenter("c", 1, 1000), frame(1500)
    receiver = reassembler(hold_s=0.5)
    (head, tail), (next_head, next_tail) = sender.split(parts), sender.split(parts)
    assert receiver.add(SOURCE, head, 10.0) is None
    assert receiver.add(SOURCE, next_head, 10.4) is None
    assert receiver.add(SOURCE, tail, 10.6) is None
    assert receiver.dropped == 1
    assert receiver.add(SOURCE, next_tail, 10.7) == envelope


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30), st.floats(0, 0.2)), max_size=120))
@settings(max_examples=100, deadline=None)
def test_it_never_keeps_more_than_its_bound(arrivals: list[tuple[int, int, float]]) -> None:
    bound, at = 6000, 0.0
    receiver = reassembler(bytes_max=bound)
    datagrams = [piece for size in range(0, 12_000, 300) for piece in Fragmenter("c", size, 400).split(frame(size)[1])]
    for message, index, later in arrivals:
        at += later
        receiver.add(SOURCE, datagrams[(message * 30 + index) % len(datagrams)], at)
        assert 0 <= receiver.pending <= bound


def test_pieces_of_nothing_cost_something_too() -> None:
    """Otherwise a million empty fragments, each of another message, would be free."""
    receiver = reassembler(bytes_max=10 * KEEPING_COSTS)
    header = Fragmenter("c", 1, 1000).split(frame(1500)[1])[0][:19]
    for message in range(100):
        receiver.add(SOURCE, header[:11] + message.to_bytes(4, "big") + header[15:], 0.0)
    assert receiver.pending <= 10 * KEEPING_COSTS
    assert receiver.dropped == 95


def test_a_fragment_that_comes_again_is_kept_once() -> None:
    receiver = reassembler()
    head, _ = Fragmenter("c", 1, 1000).split(frame(1500)[1])
    receiver.add(SOURCE, head, 0.0)
    kept = receiver.pending
    receiver.add(SOURCE, head, 0.0)
    assert receiver.pending == kept


def _spoilt() -> list[bytes]:
    head, tail = Fragmenter("c", 1, 1000).split(frame(1500)[1])
    (whole,) = Fragmenter("c", 1, 1000).split(frame(10)[1])
    return [
        b"",
        b"LS",
        b"XX" + whole[2:],
        whole[:6] + b"\x63" + whole[7:],  # another version
        head[:15] + b"\0\2\0\2" + head[19:],  # fragment 2 of 2
        head[:15] + b"\0\0\0\0" + head[19:],  # of none
        whole[:-1],
        whole + b"x",
        whole[:19],
        whole[:22] + bytes([whole[22] ^ 1]) + whole[23:],  # the length in front of the frame
        tail[:15] + b"\0\0\0\1" + tail[19:],  # says that it is a whole message
    ]


@pytest.mark.parametrize("datagram", _spoilt(), ids=lambda datagram: datagram[:20].hex())
def test_a_datagram_that_no_node_sends_is_refused(datagram: bytes) -> None:
    receiver = reassembler()
    with pytest.raises(RemoteProtocolError):
        receiver.add(SOURCE, datagram, 0.0)
    assert receiver.pending == 0


def test_fragments_that_disagree_about_their_count_are_refused() -> None:
    receiver, (envelope, parts) = reassembler(), frame(1500)
    head, tail = Fragmenter("c", 1, 1000).split(parts)
    receiver.add(SOURCE, head, 0.0)
    with pytest.raises(RemoteProtocolError):
        receiver.add(SOURCE, tail[:17] + b"\0\3" + tail[19:], 0.0)
    assert receiver.add(SOURCE, tail, 0.0) == envelope


@given(st.binary(max_size=100), st.lists(st.tuples(st.integers(0, 18), st.integers(0, 255)), max_size=3))
@settings(max_examples=300, deadline=None)
def test_random_datagrams_never_raise_anything_else(data: bytes, changes: list[tuple[int, int]]) -> None:
    header = bytearray(Fragmenter("c", 1, 1000).split(frame(10)[1])[0][:19])
    for place, byte in changes:
        header[place] = byte
    for datagram in (data, bytes(header) + data):
        try:
            reassembler().add(SOURCE, datagram, 0.0)
        except RemoteProtocolError as error:
            assert str(error)


def test_a_frame_that_would_take_too_many_datagrams_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        Fragmenter("c", 1, 20).split(frame(70_000)[1])
    with pytest.raises(LocalProtocolError):
        Fragmenter("c", 1, 19)
