"""Members, views, batches and histories for the tests of the cores, each built in one line."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from logstream.core.effects import Announce, Effect, Send
from logstream.core.replica.history import History
from logstream.protocol.batches import NO_PRODUCER, Batch, crc_of, header_of, make_front
from logstream.protocol.identity import NO_EPOCH, CommitRule, Epoch, Member, View
from logstream.protocol.messages import Entry, TopicCreated

A, B, C, D, E = (Member(name, "s", f"127.0.0.1:{8001 + at}") for at, name in enumerate("abcde"))
_BODY_HEADER = struct.Struct(">hiqqqhii")


def epoch(n: int, leader: Member = A) -> Epoch:
    """The epoch number n of this leader."""
    return Epoch.of(n, leader)


def view(n: int, *members: Member, leader: Member | None = None, base: int = 0, commit: CommitRule = "all") -> View:
    """View n of these members, led by the first one unless said otherwise."""
    first = leader or members[0]
    return View(Epoch.of(n, first), first, tuple(sorted(members)), (), base, "c1", commit)


def batch(
    records: int = 1,
    producer: int = NO_PRODUCER,
    sequence: int = 0,
    producer_epoch: int = 0,
    payload: bytes = b"x",
    newest_ms: int = 0,
    attributes: int = 0,
) -> Batch:
    """A record batch as brokers see it: a true header and a CRC that fits; the records are any bytes."""
    times = (min(newest_ms, 0), newest_ms)
    body = _BODY_HEADER.pack(attributes, records - 1, *times, producer, producer_epoch, sequence, records) + payload
    return Batch(make_front(0, 0, body, crc_of(body)), body)


def append(history: History, made_in: Epoch, one: Batch, slot: tuple[int, int] = (1, 0)) -> Entry:
    """Sequence a batch as a leader does."""
    return history.sequence_batch(made_in, slot, one, header_of(one.body))


def history_of(entries: int, made_in: Epoch = NO_EPOCH, topic: str = "t", payload: bytes = b"x") -> History:
    """A history with one topic (entry 1) and batches of one record up to gseq `entries`."""
    history = History()
    made_in = made_in if made_in != NO_EPOCH else epoch(1)
    if entries:
        history.sequence_decision(made_in, TopicCreated(topic, 4))
    for number in range(2, entries + 1):
        append(history, made_in, batch(payload=payload + str(number).encode()))
    return history


def entries_of(history: History, first: int = 1, last: int | None = None) -> tuple[Entry, ...]:
    """Entries of a history, both ends included."""
    return tuple(history.log.entry(gseq) for gseq in range(first, (last or history.end) + 1))


def following(history: History, last: int | None = None) -> History:
    """Another history that followed the same entries."""
    other = History()
    for entry in entries_of(history, 1, last) if history.end else ():
        other.follow(entry)
    return other


def sent(effects: Iterable[Effect], kind: type) -> list[Send]:
    """The sends of messages of this type."""
    return [effect for effect in effects if isinstance(effect, Send) and isinstance(effect.message, kind)]


def announced(effects: Iterable[Effect], kind: type) -> list[object]:
    """The announced events of this type."""
    return [effect.event for effect in effects if isinstance(effect, Announce) and isinstance(effect.event, kind)]
