"""Codec: every message comes out as it went in, and whatever else comes in is refused in one way."""

from __future__ import annotations

import struct
from dataclasses import fields, is_dataclass
from enum import IntEnum
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logstream.protocol import logstream_pb2 as wire
from logstream.protocol.batches import FRONT_SIZE, Batch
from logstream.protocol.codec import decode, decode_decision, encode, encode_decision
from logstream.protocol.envelope import PROTOCOL_VERSION, Envelope
from logstream.protocol.errors import ErrorCode, LocalProtocolError, RemoteProtocolError
from logstream.protocol.identity import NO_EPOCH, Digest, Epoch, Member, Run, View
from logstream.protocol.messages import (
    CatchUp,
    CreateTopic,
    Decision,
    Entry,
    EntryKind,
    Fetched,
    FetchFrom,
    FetchResponse,
    Heartbeat,
    Join,
    Learn,
    Leave,
    Message,
    Nack,
    OffsetAt,
    OffsetFound,
    PartitionRow,
    Produce,
    ProduceResponse,
    ProducerRow,
    Replicate,
    ReplicateAck,
    Snapshot,
    StateExchange,
    TopicAltered,
    TopicCreated,
    TopicDeleted,
    TopicMetadata,
    TopicRow,
    Trimmed,
)
from logstream.protocol.retention import TopicRetention

COUNT = st.integers(0, 2**63 - 1)
SIGNED = st.integers(-(2**63), 2**63 - 1)
PARTITION = st.integers(0, 2**31 - 1)
CHAIN = st.integers(0, 2**64 - 1)
EPOCH = st.one_of(st.just(NO_EPOCH), st.builds(Epoch, st.integers(1, 9), st.text(max_size=5), st.text(max_size=5)))
FRONT = st.binary(min_size=FRONT_SIZE, max_size=FRONT_SIZE)
BODY = st.binary(max_size=40)

NOT_A_COUNT: dict[tuple[type[Any], str], st.SearchStrategy[Any]] = {
    (Digest, "chain"): CHAIN,
    (ReplicateAck, "chain"): CHAIN,
    (TopicMetadata, "starts"): st.lists(SIGNED, max_size=3).map(tuple),
    (TopicMetadata, "ends"): st.lists(SIGNED, max_size=3).map(tuple),
    (CreateTopic, "partitions"): SIGNED,
    (TopicCreated, "partitions"): PARTITION,
    (Trimmed, "partition"): PARTITION,
    (TopicRow, "partitions"): PARTITION,
    (PartitionRow, "partition"): PARTITION,
    (ProducerRow, "partition"): PARTITION,
    (Snapshot, "chain"): CHAIN,
    (Produce, "partition"): PARTITION,
    (ProduceResponse, "offset"): SIGNED,
    (FetchFrom, "partition"): PARTITION,
    (FetchFrom, "offset"): SIGNED,
    (OffsetAt, "partition"): PARTITION,
    (OffsetAt, "timestamp_ms"): SIGNED,
    (OffsetFound, "partition"): PARTITION,
    (OffsetFound, "offset"): SIGNED,
    (Fetched, "partition"): PARTITION,
    (Fetched, "start"): SIGNED,
    (Fetched, "end"): SIGNED,
}


@st.composite
def some_entries(draw: st.DrawFn) -> tuple[Entry, ...]:
    first = draw(st.integers(1, 2**62))
    slots = st.tuples(EPOCH, st.sampled_from(EntryKind), COUNT, PARTITION, st.one_of(st.just(b""), FRONT), BODY, CHAIN)
    return tuple(Entry(first + place, *slot) for place, slot in enumerate(draw(st.lists(slots, max_size=4))))


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this type may have."""
    basic = {int: COUNT, str: st.text(max_size=8), bool: st.booleans(), Epoch: EPOCH}
    if hint in basic:
        return basic[hint]
    if hint is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if hint is Batch:
        return st.builds(Batch, FRONT, BODY)
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is UnionType:
        return st.one_of(*[st.none() if one is NoneType else values_of(one) for one in get_args(hint)])
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        return some_entries() if inner is Entry else st.lists(values_of(inner), max_size=3).map(tuple)
    return st.sampled_from(hint) if issubclass(hint, IntEnum) else instances_of(hint)


def instances_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Any instance of a dataclass or NamedTuple of the protocol."""
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else list(kind._fields)
    return st.builds(kind, **{name: NOT_A_COUNT.get((kind, name), values_of(hints[name])) for name in names})


def envelopes_of(kind: type[Any]) -> st.SearchStrategy[Envelope]:
    member = st.one_of(st.none(), values_of(Member))
    return st.builds(Envelope, instances_of(kind), st.text(max_size=8), st.text(max_size=8), member, COUNT)


ENVELOPES = st.one_of([envelopes_of(kind) for kind in get_args(Message)])


def frame_of(envelope: Envelope) -> bytes:
    """A frame as decode() takes it: without its first four bytes."""
    return b"".join(encode(envelope))[4:]


def addresses_in(value: Any) -> list[str]:
    """Members compare without their address, so addresses are compared apart."""
    if isinstance(value, Member):
        return [value.address]
    parts = [getattr(value, field.name) for field in fields(value)] if is_dataclass(value) else value
    if isinstance(parts, list | tuple):
        return [address for part in parts for address in addresses_in(part)]
    return []


# --- round trips ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", get_args(Message), ids=lambda kind: kind.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_message_comes_out_as_it_went_in(kind: type[Any], data: st.DataObject) -> None:
    envelope = data.draw(envelopes_of(kind))
    frame = frame_of(envelope)
    for decoded in (decode(frame), decode(memoryview(frame))):
        assert decoded == envelope
        assert addresses_in(decoded) == addresses_in(envelope)


@given(ENVELOPES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_frame_starts_with_both_lengths(envelope: Envelope) -> None:
    frame = b"".join(encode(envelope))
    follows, header = struct.unpack_from("!II", frame)
    assert follows == len(frame) - 4
    assert wire.Envelope.FromString(frame[8 : 8 + header]).protocol_version == PROTOCOL_VERSION


EPOCH_7 = Epoch(7, "n1", "s1")
BATCH = Batch(bytes(range(FRONT_SIZE)), b"body of the batch")


def entry(gseq: int, body: bytes = BATCH.body) -> Entry:
    return Entry(gseq, EPOCH_7, EntryKind.BATCH, 1, 0, BATCH.front, body, 5)


def test_fronts_and_bodies_are_sent_as_the_objects_that_they_are() -> None:
    parts = encode(Envelope(Replicate(EPOCH_7, (entry(4), entry(5)), 5, 3), "c"))
    assert [id(part) for part in parts[1:]] == [id(part) for part in (BATCH.front, BATCH.body) * 2]
    assert encode(Envelope(Produce("t", 1, 0, BATCH, 1.0), "c"))[2] is BATCH.body


def test_what_is_decoded_does_not_change_with_the_buffer_that_it_came_in() -> None:
    buffer = bytearray(frame_of(Envelope(Produce("t", 1, 0, BATCH, 1.0), "c")))
    decoded = decode(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert isinstance(decoded.message, Produce)
    assert decoded.message.batch == BATCH
    assert [type(part) for part in decoded.message.batch] == [bytes, bytes]


def test_the_epoch_of_a_message_travels_in_the_envelope() -> None:
    frame = frame_of(Envelope(Nack(EPOCH_7, 3, 4), "c"))
    header = wire.Envelope.FromString(frame[4:])
    assert (header.epoch.n, header.epoch.node_id, header.epoch.store_id) == EPOCH_7
    assert not wire.Envelope.FromString(frame_of(Envelope(Learn(NO_EPOCH, Digest()), "c"))[4:]).HasField("epoch")


def test_a_view_and_no_view_are_told_apart() -> None:
    leader = Member("n1", "s1", "127.0.0.1:8001")
    view = View(EPOCH_7, leader, (leader,), (), 0, "id", "majority")
    for installed in (view, None):
        decoded = decode(frame_of(Envelope(StateExchange(EPOCH_7, installed), "c"))).message
        assert decoded == StateExchange(EPOCH_7, installed)


# --- what we must not send -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        Replicate(EPOCH_7, (entry(4), entry(6)), 6, 3),
        Produce("t", 1, 0, Batch(b"short", b""), 1.0),
        Produce("t", 1, 0, BATCH, float("inf")),
        Nack(EPOCH_7, -1, 3),
        CreateTopic("\udc80", 1),
        CreateTopic("t", "three"),  # type: ignore[arg-type]
        "no message",
    ],
)
def test_what_has_no_form_on_the_wire_is_our_own_mistake(message: Any) -> None:
    with pytest.raises(LocalProtocolError):
        encode(Envelope(message, "c"))


# --- what nobody may send ------------------------------------------------------------------------


def refused(frame: bytes) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(frame)
    return str(caught.value)


def framed(header: wire.Envelope, raw: bytes = b"") -> bytes:
    data = header.SerializeToString()
    return struct.pack("!I", len(data)) + data + raw


def header_for(**message: Any) -> wire.Envelope:
    return wire.Envelope(**{"protocol_version": PROTOCOL_VERSION, "cluster": "c", **message})


@given(ENVELOPES, st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_frame_that_was_cut_short_is_refused(envelope: Envelope, data: st.DataObject) -> None:
    frame = frame_of(envelope)
    refused(frame[: data.draw(st.integers(0, len(frame) - 1))])


@given(ENVELOPES, st.binary(min_size=1, max_size=30))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_bytes_that_the_envelope_does_not_name_are_refused(envelope: Envelope, more: bytes) -> None:
    assert "does not name" in refused(frame_of(envelope) + more)


def decodes_or_refuses(frame: bytes) -> None:
    try:
        assert isinstance(decode(frame), Envelope)
    except RemoteProtocolError as error:
        assert str(error)


@given(ENVELOPES, st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_frame_with_wrong_bytes_in_it_never_raises_anything_else(
    envelope: Envelope, changes: list[tuple[int, int]]
) -> None:
    frame = bytearray(frame_of(envelope))
    for place, byte in changes:
        frame[place % len(frame)] = byte
    decodes_or_refuses(bytes(frame))


@given(st.binary(max_size=200), st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_random_bytes_never_raise_anything_else(header: bytes, raw: bytes) -> None:
    decodes_or_refuses(header + raw)
    decodes_or_refuses(struct.pack("!I", len(header)) + header + raw)


def test_another_protocol_version_is_refused_by_its_number() -> None:
    assert "99" in refused(framed(header_for(protocol_version=99, leave=wire.Leave())))
    refused(framed(wire.Envelope(cluster="c", leave=wire.Leave())))


def test_a_message_of_a_later_version_is_refused() -> None:
    assert "that this version knows" in refused(framed(header_for()))
    later = header_for().SerializeToString() + bytes([0xE2, 0x02, 0x00])  # field 44
    assert "that this version knows" in refused(struct.pack("!I", len(later)) + later)


def test_unknown_fields_of_a_known_message_are_passed_over() -> None:
    later = header_for().SerializeToString() + bytes([0xAA, 0x01, 0x02, 0x50, 0x01])  # Leave with a field 10
    assert decode(struct.pack("!I", len(later)) + later).message == Leave()


def test_an_absurd_header_length_is_refused_before_anything_is_read() -> None:
    assert "at most" in refused(struct.pack("!I", 2**32 - 1) + b"x")


def entries_like(**changes: Any) -> bytes:
    columns: dict[str, Any] = {
        "first": 4,
        "epochs": [wire.Epoch(n=7, node_id="n1", store_id="s1")],
        "epoch": [0],
        "kind": [0],
        "topic_id": [1],
        "partition": [0],
        "front_size": [FRONT_SIZE],
        "body_size": [3],
        "chain": [5],
    }
    return framed(header_for(replicate=wire.Replicate(entries=wire.Entries(**columns | changes))), bytes(24))


def test_a_message_of_entries_made_by_hand_is_accepted_as_it_stands() -> None:
    message = decode(entries_like()).message
    assert message == Replicate(NO_EPOCH, (Entry(4, EPOCH_7, EntryKind.BATCH, 1, 0, bytes(21), bytes(3), 5),), 0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": [1]},
        {"epochs": []},
        {"epochs": [wire.Epoch(n=2**63)]},
        {"kind": [99]},
        {"kind": [0, 0]},
        {"chain": []},
        {"epoch": [], "kind": [], "topic_id": [], "partition": [], "front_size": [], "body_size": [], "chain": []},
        {"front_size": [20], "body_size": [4]},
        {"body_size": [2]},
        {"body_size": [4]},
        {"body_size": [2**32 - 1]},
        {"first": 2**63 - 1},
        {"topic_id": [2**63]},
        {"partition": [2**31]},
    ],
    ids=str,
)
def test_entries_whose_columns_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    refused(entries_like(**changes))


@pytest.mark.parametrize(
    "message",
    [
        {"produce": wire.Produce(topic="t")},
        {"link": wire.Link()},
        {"view_install": wire.ViewInstall(base=wire.Digest())},
        {"learn": wire.Learn()},
        {"topic_response": wire.TopicResponse(error=99)},
        {"state_exchange": wire.StateExchange(installed=wire.View(leader=wire.Member()))},
        {"fetch": wire.Fetch(max_wait_s=float("nan"))},
        {"fetch": wire.Fetch(max_wait_s=float("-inf"))},
        {"nack": wire.Nack(first=2**63)},
        {"nack": wire.Nack(), "epoch": wire.Epoch(n=2**64 - 1)},
        {"leave": wire.Leave(), "correlation": 2**63},
        {"fetch": wire.Fetch(partitions=[wire.FetchFrom(partition=2**31)])},
    ],
    ids=str,
)
def test_a_message_with_a_field_that_cannot_be_is_refused(message: dict[str, Any]) -> None:
    refused(framed(header_for(**message)))


def test_text_that_is_not_utf8_is_refused() -> None:
    frame = frame_of(Envelope(CreateTopic("topic", 1), "c"))
    assert "no Envelope" in refused(frame.replace(b"topic", b"\xff\xfe\xfd\xfc\xfb"))


# --- decisions -----------------------------------------------------------------------------------


@given(st.one_of([instances_of(kind) for kind in get_args(Decision)]))
@settings(max_examples=100, deadline=None)
def test_a_decision_comes_out_as_it_went_in(decision: Decision) -> None:
    assert decode_decision(encode_decision(decision)) == decision
    assert encode_decision(decision) == encode_decision(decision)


def test_a_decision_has_the_same_bytes_for_ever() -> None:
    assert encode_decision(TopicCreated("logs", 3)).hex() == "0a080a046c6f67731003"
    assert encode_decision(TopicDeleted(300, "logs")).hex() == "120908ac0212046c6f6773"
    assert (
        encode_decision(TopicCreated("logs", 3, TopicRetention(0, 300))).hex() == "0a0f0a046c6f677310031a05080010d804"
    )
    altered = TopicAltered(300, "logs", TopicRetention(retention_s=1.5))
    assert encode_decision(altered).hex() == "221408ac0212046c6f67731a0919000000000000f83f"


def test_a_limit_of_nothing_and_no_limit_are_kept_apart() -> None:
    """0 is a limit, or rather the lack of one, that a topic has for itself."""
    bodies = [encode_decision(TopicCreated("t", 1, TopicRetention(size))) for size in (None, 0, 1)]
    decided = [decode_decision(body) for body in bodies]
    assert [one.retention.retention_bytes for one in decided if isinstance(one, TopicCreated)] == [None, 0, 1]
    assert bodies[0] == encode_decision(TopicCreated("t", 1)), "topics without limits are what they were"


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_a_body_without_a_decision_is_refused(body: bytes) -> None:
    try:
        assert isinstance(decode_decision(body), TopicAltered | TopicCreated | TopicDeleted | Trimmed)
    except RemoteProtocolError as error:
        assert str(error)


@pytest.mark.parametrize("body", [b"", b"\xff", b"\x2a\x00"])
def test_nothing_noise_and_later_decisions_are_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_decision(body)


def test_a_decision_that_cannot_be_kept_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        encode_decision(TopicCreated("t", -1))


# --- examples that a colleague can read ----------------------------------------------------------

MEMBER = Member("n1", "s1", "127.0.0.1:8001")


@pytest.mark.parametrize(
    "message",
    [
        Join(None),
        Heartbeat(EPOCH_7, 0, 0, ()),
        ProduceResponse(ErrorCode.RETRY, "moved", -1),
        CatchUp(EPOCH_7, 0, (entry(1, b""),), Digest(1, 1, 2**64 - 1, (Run(EPOCH_7, 1),))),
        FetchResponse((Fetched("t", 0, ErrorCode.NONE, "", -1, -1, (BATCH, BATCH)),) * 2, True),
    ],
    ids=lambda message: type(message).__name__,
)
def test_absent_empty_and_negative_are_kept_apart(message: Message) -> None:
    envelope = Envelope(message, "c", "id", MEMBER, 9)
    assert decode(frame_of(envelope)) == envelope


def test_an_entry_among_many_costs_at_most_16_bytes_of_header() -> None:
    def header_bytes(count: int) -> int:
        entries = tuple(entry(gseq) for gseq in range(1, count + 1))
        return len(encode(Envelope(Replicate(EPOCH_7, entries, 1, 1), "c"))[0])

    assert (header_bytes(101) - header_bytes(1)) / 100 <= 16
