"""Tables: what follows from a log, entry by entry: the registry of topics, next offsets, known producers.

A pure function of the entries in their order, so equal logs mean equal tables. A history keeps two of
them, one as of its end and one as of the place where its head is cut: the second one, with the chain
and the epoch at that place, is the checkpoint that a learner gets instead of the head (R22).

A trim changes nothing here. What it drops are bodies, and at the place where a head is cut everything
below the next offset of every partition is dropped, so that offset is where the partition starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from logstream.core.replica.dedup import Change, Dedup
from logstream.protocol import codec
from logstream.protocol.batches import NO_PRODUCER, BatchHeader, base_offset_in
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.messages import Decision, Entry, EntryKind, TopicAltered, TopicCreated, TopicDeleted

Slot = tuple[int, int]  # topic id, partition


class Undo(NamedTuple):
    """How to take back what one entry did."""

    offset: tuple[Slot, int | None] | None = None  # the next offset before it
    producer: Change | None = None
    created: int | None = None  # the id of a topic that it made
    altered: tuple[int, TopicCreated] | None = None  # a topic as it was before
    deleted: tuple[int, TopicCreated, dict[Slot, int]] | None = None  # a topic that it removed, with its offsets


class Tables:
    """What follows from the entries so far."""

    def __init__(self) -> None:
        self.topics: dict[str, int] = {}  # name -> topic id
        self.registry: dict[int, TopicCreated] = {}  # the same topics by id, as they are since they were altered
        self.offsets: dict[Slot, int] = {}  # the next offset of every partition that ever had a batch
        self.dedup = Dedup()

    def next_offset(self, slot: Slot) -> int:
        """The offset that the next record of this partition gets."""
        return self.offsets.get(slot, 0)

    def check(self, decision: Decision) -> None:
        """Raise RemoteProtocolError for a decision that no leader makes."""
        match decision:
            case TopicCreated(name=name) if name in self.topics:
                raise RemoteProtocolError(f"topic {name!r} is created twice")
            case TopicAltered(topic_id=topic_id, name=name) if self.topics.get(name) != topic_id:
                raise RemoteProtocolError(f"topic {name!r} is altered and does not exist")
            case TopicDeleted(topic_id=topic_id, name=name) if self.topics.get(name) != topic_id:
                raise RemoteProtocolError(f"topic {name!r} is deleted and does not exist")
            case _:
                return

    def apply_batch(self, entry: Entry, header: BatchHeader) -> Undo:
        """A batch was appended."""
        slot = (entry.topic_id, entry.partition)
        offset = base_offset_in(entry.front)
        before = self.offsets.get(slot)
        self.offsets[slot] = offset + header.records
        change = None
        if header.producer_id != NO_PRODUCER:
            change = self.dedup.apply((header.producer_id, *slot), header, offset, entry.gseq)
        return Undo(offset=(slot, before), producer=change)

    def apply_decision(self, gseq: int, decision: Decision) -> Undo:
        """A decision was appended."""
        match decision:
            case TopicCreated(name=name):
                self.topics[name], self.registry[gseq] = gseq, decision
                return Undo(created=gseq)
            case TopicAltered(topic_id=topic_id, retention=retention):
                before = self.registry[topic_id]
                self.registry[topic_id] = replace(before, retention=retention)
                return Undo(altered=(topic_id, before))
            case TopicDeleted(topic_id=topic_id, name=name):
                del self.topics[name]
                created = self.registry.pop(topic_id)
                slots = [(topic_id, partition) for partition in range(created.partitions)]
                gone = {slot: self.offsets.pop(slot) for slot in slots if slot in self.offsets}
                return Undo(deleted=(topic_id, created, gone))
            case _:
                return Undo()

    def apply(self, entry: Entry, header: BatchHeader | None) -> Undo:
        """Any entry was appended; `header` is that of a batch."""
        if header is not None:
            return self.apply_batch(entry, header)
        return self.apply_decision(entry.gseq, codec.decode_decision(entry.body))

    def take_back(self, undos: Iterable[Undo]) -> None:
        """Undo these changes, given the newest first."""
        producers: list[Change] = []
        for undo in undos:
            if undo.producer is not None:
                producers.append(undo.producer)
            self._take_back(undo)
        self.dedup.take_back(producers[::-1])

    def _take_back(self, undo: Undo) -> None:
        if undo.offset is not None:
            slot, before = undo.offset
            if before is None:
                del self.offsets[slot]
            else:
                self.offsets[slot] = before
        if undo.created is not None:
            del self.topics[self.registry.pop(undo.created).name]
        if undo.altered is not None:
            self.registry[undo.altered[0]] = undo.altered[1]
        if undo.deleted is not None:
            topic_id, created, offsets = undo.deleted
            self.topics[created.name], self.registry[topic_id] = topic_id, created
            self.offsets |= offsets

    def fork(self) -> Tables:
        """A copy that may then differ."""
        other = Tables()
        other.topics, other.registry, other.offsets = dict(self.topics), dict(self.registry), dict(self.offsets)
        other.dedup = self.dedup.fork()
        return other


def kind_of(decision: Decision) -> EntryKind:
    """The kind of the entry that says so."""
    match decision:
        case TopicCreated():
            return EntryKind.CREATE_TOPIC
        case TopicAltered():
            return EntryKind.ALTER_TOPIC
        case TopicDeleted():
            return EntryKind.DELETE_TOPIC
        case _:
            return EntryKind.TRIM
