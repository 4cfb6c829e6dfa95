"""A log together with everything that follows from it: next offsets, known producers, topics.

    checkpoint (tables at start - 1) | entries start ... commit ... end | tables at end

The tables change only when an entry is appended, so equal logs mean equal tables. Each append above the
commit keeps what is needed to take it back; installing a view truncates to the common prefix and replays
only what lies above it. What is committed is never taken back (I17). When the head of the log is cut,
what was cut is applied to the tables of the checkpoint, so that they stand for it exactly (R22).
"""

from __future__ import annotations

from collections import deque
from collections.abc import KeysView
from typing import NamedTuple

from logstream.core.replica.chain import next_chain
from logstream.core.replica.dedup import Dedup
from logstream.core.replica.log import Log
from logstream.core.replica.tables import Slot, Tables, Undo, kind_of
from logstream.protocol import codec
from logstream.protocol.batches import (
    Batch,
    BatchHeader,
    base_offset_in,
    crc_in,
    crc_of,
    header_of,
    is_trimmed,
    make_front,
)
from logstream.protocol.errors import LocalProtocolError, RemoteProtocolError
from logstream.protocol.identity import Epoch
from logstream.protocol.messages import Decision, Entry, EntryKind
from logstream.protocol.retention import AS_CLUSTER, TopicRetention


class Checkpoint(NamedTuple):
    """What stands for the entries up to a gseq, none of which holds records any more."""

    gseq: int
    chain: int  # chain(gseq)
    epoch: Epoch  # of entry gseq
    tables: Tables


class History:
    """The log of one member with its tables; `commit` is the highest gseq that is never taken back."""

    def __init__(self, after: Checkpoint | None = None) -> None:
        """An empty history, or one that starts from a checkpoint, whose tables are now its own."""
        self.log = Log() if after is None else Log(after.gseq, after.chain, after.epoch)
        self.commit = self.log.end
        self.stored: int | None = None  # the last gseq on this member's disk; None: it has none, memory is its store
        self._head = Tables() if after is None else after.tables
        self._tables = self._head.fork()
        self._head_is_shared = False  # with a fork: copied before it changes
        self._undo: deque[Undo] = deque()  # of the entries commit + 1 to log.end

    @property
    def end(self) -> int:
        """The last gseq held."""
        return self.log.end

    @property
    def stored_end(self) -> int:
        """The last gseq that this member may acknowledge, and count for itself (R9)."""
        return self.end if self.stored is None else min(self.stored, self.end)

    @property
    def dedup(self) -> Dedup:
        """The known producers, as of the end."""
        return self._tables.dedup

    @property
    def topics(self) -> dict[str, int]:
        """Topic ids by name, as of the end."""
        return self._tables.topics

    @property
    def topic_ids(self) -> KeysView[int]:
        """The ids of the same topics."""
        return self._tables.registry.keys()

    def retention_of(self, topic_id: int) -> TopicRetention:
        """What this topic keeps, as of the end; as the cluster says if there is no such topic."""
        created = self._tables.registry.get(topic_id)
        return created.retention if created is not None else AS_CLUSTER

    @property
    def checkpoint(self) -> Checkpoint:
        """What stands for the entries that are cut; not to be changed."""
        return Checkpoint(self.log.start - 1, self.log.chain_at(self.log.start - 1), self.log.epoch_before, self._head)

    def next_offset(self, slot: Slot) -> int:
        """The offset that the next record of this partition gets."""
        return self._tables.next_offset(slot)

    # --- sequencing: by the leader alone ---

    def sequence_batch(self, epoch: Epoch, slot: Slot, batch: Batch, header: BatchHeader) -> Entry:
        """Give a batch its offset and its place in the log, and append it."""
        front = make_front(self.next_offset(slot), epoch.n, batch.body, crc_in(batch.front))
        return self._sequence(epoch, EntryKind.BATCH, slot, front, batch.body, header)

    def sequence_decision(self, epoch: Epoch, decision: Decision) -> Entry:
        """Give a decision its place in the log, and append it."""
        return self._sequence(epoch, kind_of(decision), (0, 0), b"", codec.encode_decision(decision), None)

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
        """Append an entry that another member sequenced; a batch may be trimmed.

        Raises RemoteProtocolError if its chain or its CRC does not fit, or if its offset is not the next one.
        """
        slot = (entry.topic_id, entry.partition)
        chain = next_chain(self.log.chain, entry.gseq, entry.epoch, entry.kind, *slot, entry.front, entry.body)
        if chain != entry.chain:
            raise RemoteProtocolError(f"entry {entry.gseq} of epoch {entry.epoch} does not continue this log's chain")
        header = None
        if entry.kind is EntryKind.BATCH:
            header = header_of(entry.body)
            if not is_trimmed(entry.body) and crc_in(entry.front) != crc_of(entry.body):
                raise RemoteProtocolError(f"entry {entry.gseq} does not match its CRC")
            if base_offset_in(entry.front) != self.next_offset(slot):
                raise RemoteProtocolError(f"entry {entry.gseq} leaves a gap in the offsets of its partition")  # I9
        self._append(entry, header)

    def _append(self, entry: Entry, header: BatchHeader | None) -> None:
        if header is not None:
            self.log.append(entry)
            self._undo.append(self._tables.apply_batch(entry, header))
            return
        decision = codec.decode_decision(entry.body)  # may raise: before anything changes
        self._tables.check(decision)
        self.log.append(entry)
        self._undo.append(self._tables.apply_decision(entry.gseq, decision))

    # --- commit, truncation, forks, the head ---

    def commit_to(self, gseq: int) -> None:
        """Everything up to gseq is committed; commit never decreases (I2)."""
        while self.commit < min(gseq, self.log.end):
            self.commit += 1
            self._undo.popleft()

    def truncate(self, after: int) -> None:
        """Take back every entry above gseq `after`. Raises LocalProtocolError below the commit (I17)."""
        if after < self.commit:
            raise LocalProtocolError(f"entries up to {self.commit} are committed and cannot be cut at {after}")
        self._tables.take_back([self._undo.pop() for _ in range(self.log.end - after)])
        self.log.truncate(after)

    def fork(self, after: int) -> History:
        """Another history that is equal up to gseq `after` and may then differ (a learner's stage).

        Below the commit nothing can be taken back, so there the fork starts empty.
        """
        other = History()
        if after < self.commit:
            return other
        other.log, other._tables, other.commit = self.log.fork(), self._tables.fork(), self.commit
        other._head, other._undo = self._head, self._undo.copy()
        other._head_is_shared = self._head_is_shared = True
        other.truncate(after)
        return other

    def cut_head(self, to: int) -> None:
        """Let the checkpoint stand for the entries up to `to`.

        Raises LocalProtocolError if one of them is not committed, or is a batch that is not trimmed.
        """
        if to > self.commit:
            raise LocalProtocolError(f"entry {to} is not committed, its log cannot be cut there")
        cut = [self.log.entry(gseq) for gseq in range(self.log.start, to + 1)]
        self.log.cut_head(to)
        if self._head_is_shared:
            self._head, self._head_is_shared = self._head.fork(), False
        for entry in cut:
            self._head.apply(entry, header_of(entry.body) if entry.kind is EntryKind.BATCH else None)
