"""A log together with everything that follows from it: next offsets, known producers, topics.

These tables change only when an entry is appended, so equal logs mean equal tables. Each append above
the commit keeps what is needed to take it back; installing a view truncates to the common prefix and
replays only what lies above it. What is committed is never taken back (I17).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from logstream.core.replica.chain import next_chain
from logstream.core.replica.dedup import Change, Dedup
from logstream.core.replica.log import Log
from logstream.protocol import codec
from logstream.protocol.batches import (
    NO_PRODUCER,
    Batch,
    BatchHeader,
    base_offset_in,
    crc_in,
    crc_of,
    header_of,
    make_front,
)
from logstream.protocol.errors import LocalProtocolError, RemoteProtocolError
from logstream.protocol.identity import Epoch
from logstream.protocol.messages import Decision, Entry, EntryKind, TopicCreated, TopicDeleted

Slot = tuple[int, int]  # topic id, partition

_KINDS: dict[type, EntryKind] = {TopicCreated: EntryKind.CREATE_TOPIC, TopicDeleted: EntryKind.DELETE_TOPIC}


class _Undo(NamedTuple):
    """How to take back what one entry did."""

    offset: tuple[Slot, int | None] | None = None  # the next offset before it
    producer: Change | None = None
    created: str | None = None  # a topic that it made
    deleted: tuple[str, int] | None = None  # a topic that it removed


class History:
    """The log of one member with its tables; `commit` is the highest gseq that is never taken back."""

    def __init__(self) -> None:
        self.log = Log()
        self.dedup = Dedup()
        self.topics: dict[str, int] = {}  # name -> topic id
        self.topic_ids: set[int] = set()  # the same topics
        self.commit = 0
        self._next_offset: dict[Slot, int] = {}
        self._undo: deque[_Undo] = deque()  # of the entries commit + 1 to log.end

    @property
    def end(self) -> int:
        """The last gseq held."""
        return self.log.end

    def next_offset(self, slot: Slot) -> int:
        """The offset that the next record of this partition gets."""
        return self._next_offset.get(slot, 0)

    # --- sequencing: by the leader alone ---

    def sequence_batch(self, epoch: Epoch, slot: Slot, batch: Batch, header: BatchHeader) -> Entry:
        """Give a batch its offset and its place in the log, and append it."""
        front = make_front(self.next_offset(slot), epoch.n, batch.body, crc_in(batch.front))
        return self._sequence(epoch, EntryKind.BATCH, slot, front, batch.body, header)

    def sequence_decision(self, epoch: Epoch, decision: Decision) -> Entry:
        """Give a decision its place in the log, and append it."""
        return self._sequence(epoch, _KINDS[type(decision)], (0, 0), b"", codec.encode_decision(decision), None)

    def _sequence(
        self, epoch: Epoch, kind: EntryKind, slot: Slot, front: bytes, body: bytes, header: BatchHeader | None
    ) -> Entry:
        gseq = self.log.end + 1
        chain = next_chain(self.log.chain, gseq, epoch, kind, *slot, front, body)
        entry = Entry(gseq, epoch, kind, *slot, front, body, chain)
        self._append(entry, header)
        return entry

    # --- following ---

    def follow(self, entry: Entry) -> None:
        """Append an entry that another member sequenced.

        Raises RemoteProtocolError if its chain or its CRC does not fit, or if its offset is not the next one.
        """
        slot = (entry.topic_id, entry.partition)
        chain = next_chain(self.log.chain, entry.gseq, entry.epoch, entry.kind, *slot, entry.front, entry.body)
        if chain != entry.chain:
            raise RemoteProtocolError(f"entry {entry.gseq} of epoch {entry.epoch} does not continue this log's chain")
        header = None
        if entry.kind is EntryKind.BATCH:
            header = header_of(entry.body)
            if crc_in(entry.front) != crc_of(entry.body):
                raise RemoteProtocolError(f"entry {entry.gseq} does not match its CRC")
            if base_offset_in(entry.front) != self.next_offset(slot):
                raise RemoteProtocolError(f"entry {entry.gseq} leaves a gap in the offsets of its partition")  # I9
        self._append(entry, header)

    def _append(self, entry: Entry, header: BatchHeader | None) -> None:
        decision = codec.decode_decision(entry.body) if header is None else None  # may raise: before anything changes
        self.log.append(entry)
        if header is not None:
            self._undo.append(self._apply_batch(entry, header))
        elif decision is not None:
            self._undo.append(self._apply_decision(entry.gseq, decision))

    def _apply_batch(self, entry: Entry, header: BatchHeader) -> _Undo:
        slot = (entry.topic_id, entry.partition)
        offset = base_offset_in(entry.front)
        before = self._next_offset.get(slot)
        self._next_offset[slot] = offset + header.records
        change = None
        if header.producer_id != NO_PRODUCER:
            change = self.dedup.apply((header.producer_id, *slot), header, offset, entry.gseq)
        return _Undo(offset=(slot, before), producer=change)

    def _apply_decision(self, gseq: int, decision: Decision) -> _Undo:
        if isinstance(decision, TopicCreated):
            self.topics[decision.name] = gseq
            self.topic_ids.add(gseq)
            return _Undo(created=decision.name)
        del self.topics[decision.name]
        self.topic_ids.discard(decision.topic_id)
        return _Undo(deleted=(decision.name, decision.topic_id))

    # --- commit, truncation, forks ---

    def commit_to(self, gseq: int) -> None:
        """Everything up to gseq is committed; commit never decreases (I2)."""
        while self.commit < min(gseq, self.log.end):
            self.commit += 1
            self._undo.popleft()

    def truncate(self, after: int) -> None:
        """Take back every entry above gseq `after`. Raises LocalProtocolError below the commit (I17)."""
        if after < self.commit:
            raise LocalProtocolError(f"entries up to {self.commit} are committed and cannot be cut at {after}")
        producers: list[Change] = []
        for _ in range(self.log.end - after):
            undo = self._undo.pop()
            if undo.producer is not None:
                producers.append(undo.producer)
            self._take_back(undo)
        self.dedup.take_back(producers[::-1])
        self.log.truncate(after)

    def _take_back(self, undo: _Undo) -> None:
        if undo.offset is not None:
            slot, before = undo.offset
            if before is None:
                del self._next_offset[slot]
            else:
                self._next_offset[slot] = before
        if undo.created is not None:
            self.topic_ids.discard(self.topics.pop(undo.created))
        if undo.deleted is not None:
            name, topic_id = undo.deleted
            self.topics[name] = topic_id
            self.topic_ids.add(topic_id)

    def fork(self, after: int) -> History:
        """Another history that is equal up to gseq `after` and may then differ (a learner's stage).

        Below the commit nothing can be taken back, so there the fork starts empty.
        """
        other = History()
        if after < self.commit:
            return other
        other.log, other.dedup, other.topics = self.log.fork(), self.dedup.fork(), dict(self.topics)
        other.topic_ids = set(self.topic_ids)
        other.commit, other._next_offset, other._undo = self.commit, dict(self._next_offset), self._undo.copy()
        other.truncate(after)
        return other
