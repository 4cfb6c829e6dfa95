"""The replicated log of one member: entries by dense gseq, kept in columns.

A million entry objects would cost half a kilobyte each and keep the garbage collector busy for longer
than a heartbeat, so a log is a list of segments and a segment is a row of arrays:

    gseq     start ......................................... end
             [segment of 1,024][segment of 1,024][ tail ... ]
    columns  epoch, kind, topic id, partition, chain, bytes so far, front, body

Only the tail segment ever grows; full segments are never changed, so a fork of the log (a learner
staging another history beside its own) shares them. Truncating replaces the segment it cuts.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator

from logstream.core.replica.chain import EMPTY_CHAIN
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Digest, Epoch, Run
from logstream.protocol.messages import Entry, EntryKind

SEGMENT = 1024  # entries
ENTRY_OVERHEAD = 300  # bytes that an entry costs beside its body


class Segment:
    """Up to SEGMENT consecutive entries in columns."""

    __slots__ = ("bodies", "bytes_so_far", "chains", "epochs", "first", "fronts", "kinds", "partitions", "topic_ids")

    def __init__(self, first: int) -> None:
        self.first = first
        self.epochs: list[Epoch] = []
        self.kinds = array("B")
        self.topic_ids = array("Q")
        self.partitions = array("I")
        self.chains = array("Q")
        self.bytes_so_far = array("Q")  # of the whole log up to and including the entry
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


class Log:
    """Entries `start` to `end`, both included; empty when end = start - 1."""

    def __init__(self) -> None:
        self.start = 1
        self.end = 0
        self.chain = EMPTY_CHAIN  # chain(end)
        self.bytes = 0  # of all entries, with their overhead
        self._segments: list[Segment] = []
        self._runs: list[Run] = []

    def digest(self) -> Digest:
        """This log in a few numbers."""
        return Digest(self.start, self.end, self.chain, tuple(self._runs))

    def append(self, entry: Entry) -> None:
        """Add the next entry. Raises LocalProtocolError if it is not the next."""
        if entry.gseq != self.end + 1:
            raise LocalProtocolError(f"entry {entry.gseq} cannot follow {self.end}")  # I9
        if not self._segments or len(self._segments[-1]) == SEGMENT:
            self._segments.append(Segment(entry.gseq))
        self.bytes += entry.size + ENTRY_OVERHEAD
        self._segments[-1].append(entry, self.bytes)
        self.end, self.chain = entry.gseq, entry.chain
        self._extend_runs(entry.epoch)

    def _extend_runs(self, epoch: Epoch) -> None:
        if self._runs and self._runs[-1].epoch == epoch:
            self._runs[-1] = Run(epoch, self.end)
        else:
            self._runs.append(Run(epoch, self.end))

    def truncate(self, after: int) -> None:
        """Drop every entry above gseq `after`."""
        if after >= self.end:
            return
        index, at = self._place(after + 1)
        kept = self._segments[:index]
        if at:
            kept.append(self._segments[index].head(at))
        self.chain, self.bytes = self.chain_at(after), self._bytes_at(after)
        self._segments, self.end = kept, after
        self._runs = [Run(run.epoch, min(run.last, after)) for run in self._runs_up_to(after)]

    def _runs_up_to(self, last: int) -> Iterator[Run]:
        first = self.start
        for run in self._runs:
            if first <= last:
                yield run
            first = run.last + 1

    def fork(self) -> Log:
        """Another log with the same entries, which may then differ."""
        other = Log()
        other.start, other.end, other.chain, other.bytes = self.start, self.end, self.chain, self.bytes
        other._segments = self._segments[:-1] + [segment.head(len(segment)) for segment in self._segments[-1:]]
        other._runs = list(self._runs)
        return other

    def entry(self, gseq: int) -> Entry:
        """One entry. Raises LocalProtocolError if the log does not hold it."""
        index, at = self._place(gseq)
        return self._segments[index].entry(at)

    def entries(self, first: int, last: int, bytes_max: int, count_max: int) -> tuple[Entry, ...]:
        """A slice from `first`: at most to `last`, at most so many bytes and entries, but at least one."""
        last = min(last, self.end, first + count_max - 1)
        if first > last:
            return ()
        last = min(last, max(first, self.last_within(first, bytes_max)))
        return tuple(self.entry(gseq) for gseq in range(first, last + 1))

    def last_within(self, first: int, bytes_max: int) -> int:
        """The last gseq such that the entries from `first` to it fit into `bytes_max`; first - 1 if none does."""
        limit = self._bytes_at(first - 1) + bytes_max
        for segment in self._segments[self._index(first) :]:
            if segment.bytes_so_far[-1] > limit:
                return max(first - 1, segment.first + bisect_left(segment.bytes_so_far, limit + 1) - 1)
        return self.end

    def bytes_between(self, after: int, last: int) -> int:
        """Bytes of the entries after + 1 to last, with their overhead."""
        return self._bytes_at(last) - self._bytes_at(after) if last > after else 0

    def chain_at(self, gseq: int) -> int:
        """chain(gseq). Raises LocalProtocolError if the log does not reach it."""
        if gseq == self.end:
            return self.chain
        if gseq == self.start - 1:
            return EMPTY_CHAIN
        index, at = self._place(gseq)
        return self._segments[index].chains[at]

    def _bytes_at(self, gseq: int) -> int:
        if gseq < self.start:
            return 0
        index, at = self._place(gseq)
        return self._segments[index].bytes_so_far[at]

    def _index(self, gseq: int) -> int:
        return (gseq - self._segments[0].first) // SEGMENT if self._segments else 0

    def _place(self, gseq: int) -> tuple[int, int]:
        if not self.start <= gseq <= self.end:
            raise LocalProtocolError(f"entry {gseq} is not in the log, which holds {self.start} to {self.end}")
        index = self._index(gseq)
        return index, gseq - self._segments[index].first


def common_prefix(one: Digest, other: Digest) -> int:
    """The last gseq up to which two logs are certainly equal.

    One epoch sequences one history, so two logs that hold the same epoch at the same gseq agree up to
    there (the log matching property of Raft, for epochs instead of terms).
    """
    lasts = dict(other.runs)
    shared = [min(run.last, lasts[run.epoch]) for run in one.runs if run.epoch in lasts]
    return max(shared, default=0)
