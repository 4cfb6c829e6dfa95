"""A segment: up to 1,024 consecutive entries of a log, in columns.

    columns  epoch, kind, topic id, partition, chain, bytes so far, front, body

Arrays of integers and lists of bytes cost a fraction of what as many entry objects would, and the
garbage collector looks at the two lists only. An Entry is made when somebody asks for one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from logstream.protocol.batches import is_trimmed, trimmed
from logstream.protocol.identity import Epoch
from logstream.protocol.messages import Entry, EntryKind


class Segment:
    """Up to so many consecutive entries in columns."""

    __slots__ = ("bodies", "bytes_so_far", "chains", "epochs", "first", "fronts", "kinds", "partitions", "topic_ids")

    def __init__(self, first: int) -> None:
        self.first = first
        self.epochs: list[Epoch] = []
        self.kinds = array("B")
        self.topic_ids = array("Q")
        self.partitions = array("I")
        self.chains = array("Q")
        self.bytes_so_far = array("Q")  # of the whole log up to and including the entry, as they came in
        self.fronts: list[bytes] = []
        self.bodies: list[bytes] = []

    def __len__(self) -> int:
        return len(self.chains)

    def head(self, length: int) -> Segment:
        """A copy of the first `length` entries."""
        copy = Segment(self.first)
        for column in self.__slots__:
            if column != "first":
                setattr(copy, column, getattr(self, column)[:length])
        return copy

    def without_bodies(self, places: Iterable[int]) -> tuple[Segment, int]:
        """A segment that shares all columns but the bodies, some of which are trimmed; and the bytes that frees."""
        other = Segment(self.first)
        for column in self.__slots__:
            setattr(other, column, getattr(self, column))
        other.bodies = list(self.bodies)
        freed = 0
        for at in places:
            left = trimmed(other.bodies[at])
            freed += len(other.bodies[at]) - len(left)
            other.bodies[at] = left
        return other, freed

    def append(self, entry: Entry, bytes_so_far: int) -> None:
        """Add an entry to every column."""
        self.epochs.append(entry.epoch)
        self.kinds.append(entry.kind)
        self.topic_ids.append(entry.topic_id)
        self.partitions.append(entry.partition)
        self.chains.append(entry.chain)
        self.bytes_so_far.append(bytes_so_far)
        self.fronts.append(entry.front)
        self.bodies.append(entry.body)

    def has_body(self, at: int) -> bool:
        """Is the entry at this place a batch with its records?"""
        return self.kinds[at] == EntryKind.BATCH and not is_trimmed(self.bodies[at])

    def size(self, at: int) -> int:
        """Bytes of the entry at this place, as it is now."""
        return len(self.fronts[at]) + len(self.bodies[at])

    def entry(self, at: int) -> Entry:
        """The entry at this place of the segment."""
        return Entry(
            self.first + at,
            self.epochs[at],
            EntryKind(self.kinds[at]),
            self.topic_ids[at],
            self.partitions[at],
            self.fronts[at],
            self.bodies[at],
            self.chains[at],
        )
