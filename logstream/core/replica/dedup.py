"""Deduplication by (producer id, topic partition): what a producer sent last, and the offsets it got (R12).

A sequence counts a producer's records within one partition, as in Kafka, and wraps at 2^31. The next
sequence is new, one of the last five batches is a repetition and gets its old offset again, anything
else is a gap. The table is part of the log's state: it changes only with an entry, so that every
member that holds the same log holds the same table, and a change can be taken back while its entry is
not committed.

The table keeps the KEYS_MAX keys used last in log order; whoever is forgotten hears UNKNOWN_PRODUCER.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from logstream.protocol.batches import BatchHeader

KEYS_MAX = 100_000
BATCHES_KEPT = 5
SEQUENCES = 1 << 31

Key = tuple[int, int, int]  # producer id, topic id, partition


class Appended(NamedTuple):
    """A batch that is in the log."""

    sequence: int  # of its first record
    records: int
    offset: int
    gseq: int


class Known(NamedTuple):
    """What the log holds of one producer in one partition."""

    epoch: int
    next_sequence: int
    last: tuple[Appended, ...]  # up to BATCHES_KEPT, oldest first


class Verdict(Enum):
    """What a batch is, as its producer's sequence says."""

    NEW = "new"
    REPEATED = "repeated"
    GAP = "out of order"
    UNKNOWN = "unknown producer"
    FENCED = "fenced"


@dataclass(frozen=True, slots=True)
class Change:
    """How to take one change of the table back."""

    key: Key
    before: Known | None
    evicted: tuple[Key, Known] | None


class Dedup:
    """The table, as of the end of the log."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._known: dict[Key, Known] = {}  # least recently used first; a plain dict copies 15 times as fast
        self._order: list[Key] | None = None  # the keys of a table that does not change, while it is being sent

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, key: Key) -> bool:
        """Is this producer in the table?"""
        return key in self._known

    def judge(self, key: Key, header: BatchHeader) -> tuple[Verdict, Appended | None]:
        """What this batch is; for a repetition also what it repeats."""
        known = self._known.get(key)
        if known is None:
            return (Verdict.NEW if header.base_sequence == 0 else Verdict.UNKNOWN), None
        if header.producer_epoch < known.epoch:
            return Verdict.FENCED, None
        if header.producer_epoch > known.epoch:
            return (Verdict.NEW if header.base_sequence == 0 else Verdict.GAP), None
        if header.base_sequence == known.next_sequence:
            return Verdict.NEW, None
        for batch in known.last:
            if (batch.sequence, batch.records) == (header.base_sequence, header.records):
                return Verdict.REPEATED, batch
        return Verdict.GAP, None

    def has_passed(self, key: Key, header: BatchHeader) -> bool:
        """Is this batch below its producer's next sequence? All of them are in the log (I12), however long ago."""
        known = self._known.get(key)
        if known is None or header.producer_epoch != known.epoch:
            return False
        return 0 < (known.next_sequence - header.base_sequence) % SEQUENCES <= SEQUENCES // 2

    def apply(self, key: Key, header: BatchHeader, offset: int, gseq: int) -> Change:
        """Note a batch that was appended."""
        self._order = None
        before = self._known.pop(key, None)
        batch = Appended(header.base_sequence, header.records, offset, gseq)
        earlier = before.last if before is not None and before.epoch == header.producer_epoch else ()
        following = (header.base_sequence + header.records) % SEQUENCES
        self._known[key] = Known(header.producer_epoch, following, (*earlier, batch)[-BATCHES_KEPT:])
        return Change(key, before, self._evict() if len(self._known) > self._keys_max else None)

    def _evict(self) -> tuple[Key, Known]:
        oldest = next(iter(self._known))
        return oldest, self._known.pop(oldest)

    def rows(self, first: int, count: int) -> Iterator[tuple[Key, Known]]:
        """So many keys from the `first` on, least recently used first."""
        if self._order is None:  # once for all slices: stepping over 100,000 keys for each takes milliseconds
            self._order = list(self._known)
        return ((key, self._known[key]) for key in self._order[first : first + count])

    def restore(self, key: Key, known: Known) -> None:
        """Add the next row of another member's table."""
        self._known[key], self._order = known, None

    def take_back(self, changes: list[Change]) -> None:
        """Undo these changes, the last one first."""
        self._order = None
        for change in reversed(changes):
            if change.before is None:
                del self._known[change.key]
            else:
                self._known[change.key] = change.before
            if change.evicted is not None:
                self._known[change.evicted[0]] = change.evicted[1]
        if changes:
            self._known = dict(sorted(self._known.items(), key=lambda item: item[1].last[-1].gseq))

    def fork(self) -> Dedup:
        """A copy that may then differ."""
        other = Dedup(self._keys_max)
        other._known = self._known.copy()
        return other
