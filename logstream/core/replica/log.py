"""The replicated log of one member: entries by dense gseq, kept in columns.

A million entry objects would cost half a kilobyte each and keep the garbage collector busy for longer
than a heartbeat, so a log is a list of segments and a segment is a row of arrays (segment.py):

    gseq     1 ....... start - 1 | start ......................................... end
             cut: a checkpoint   | [segment of 1,024][segment of 1,024][ tail ... ]

Only the tail segment ever grows; full segments are never changed, so a fork of the log (a learner
staging another history beside its own) shares them. Truncating and dropping bodies replace the segments
that they touch.

A log gets shorter at both ends. Truncation takes back the tail at a view change. At the head a trim
first drops the bodies: the entries stay, with all that the chain covers (R22). When none of the entries
up to some gseq has a body any more, they are cut, and the chain and epoch of the last one are kept.
Sizes: `bytes` is what the log takes now; what windows and slices are measured by counts every entry as
it came in, so that a trim never changes what is under way.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from logstream.core.replica.chain import EMPTY_CHAIN
from logstream.core.replica.segment import Segment
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import NO_EPOCH, Digest, Epoch, Run
from logstream.protocol.messages import Entry, EntryKind

SEGMENT = 1024  # entries
ENTRY_OVERHEAD = 300  # bytes that an entry costs beside its body


class Log:
    """Entries `start` to `end`, both included; empty when end = start - 1."""

    def __init__(self, after: int = 0, chain: int = EMPTY_CHAIN, epoch: Epoch = NO_EPOCH) -> None:
        """A log that is cut up to gseq `after`, whose entry had this chain and this epoch."""
        self.start = after + 1
        self.end = after
        self.chain = chain  # chain(end)
        self.bytes = 0  # of all entries as they are now, with their overhead
        self.trimmed_to = after  # the last gseq whose body was dropped here; it cannot be taken back
        self._segments: list[Segment] = []
        self._runs: list[Run] = [Run(epoch, after)] if after else []
        self._base_chain = chain  # chain(start - 1)
        self._base_bytes = 0  # of all that was cut, as it came in
        self._bytes_in = 0  # of all that was ever appended and not truncated

    def digest(self) -> Digest:
        """This log in a few numbers."""
        return Digest(self.start, self.end, self.chain, tuple(self._runs))

    def append(self, entry: Entry) -> None:
        """Add the next entry. Raises LocalProtocolError if it is not the next."""
        if entry.gseq != self.end + 1:
            raise LocalProtocolError(f"entry {entry.gseq} cannot follow {self.end}")  # I9
        if not self._segments or len(self._segments[-1]) == SEGMENT:
            self._segments.append(Segment(entry.gseq))
        cost = entry.size + ENTRY_OVERHEAD
        self.bytes += cost
        self._bytes_in += cost
        self._segments[-1].append(entry, self._bytes_in)
        self.end, self.chain = entry.gseq, entry.chain
        self._extend_runs(entry.epoch)

    def _extend_runs(self, epoch: Epoch) -> None:
        if self._runs and self._runs[-1].epoch == epoch:
            self._runs[-1] = Run(epoch, self.end)
        else:
            self._runs.append(Run(epoch, self.end))

    def truncate(self, after: int) -> None:
        """Drop every entry above gseq `after`. Raises LocalProtocolError where something is trimmed or cut."""
        if after >= self.end:
            return
        if after < max(self.start - 1, self.trimmed_to):
            raise LocalProtocolError(f"the log is trimmed up to {self.trimmed_to}, it cannot be truncated to {after}")
        bytes_in = self._bytes_at(after)
        self.bytes -= self._bytes_in - bytes_in
        index, at = self._place(after + 1)
        kept = self._segments[:index]
        if at:
            kept.append(self._segments[index].head(at))
        self.chain, self._bytes_in = self.chain_at(after), bytes_in
        self._segments, self.end = kept, after
        self._runs = [Run(run.epoch, min(run.last, after)) for run in self._runs_up_to(after)]

    def _runs_up_to(self, last: int) -> Iterator[Run]:
        first = max(self.start - 1, 1)  # the first run reaches back to the last entry that was cut
        for run in self._runs:
            if first <= last:
                yield run
            first = run.last + 1

    def fork(self) -> Log:
        """Another log with the same entries, which may then differ."""
        other = Log()
        for name, value in vars(self).items():
            setattr(other, name, value)
        other._segments = self._segments[:-1] + [segment.head(len(segment)) for segment in self._segments[-1:]]
        other._runs = list(self._runs)
        return other

    # --- trimming ---

    def drop_bodies(self, gseqs: Iterable[int]) -> None:
        """Drop the bodies of these batches, given in ascending order, but for what the chain covers (R22)."""
        by_segment: dict[int, list[int]] = {}
        for gseq in gseqs:
            index, at = self._place(gseq)
            by_segment.setdefault(index, []).append(at)
            self.trimmed_to = max(self.trimmed_to, gseq)
        for index, places in by_segment.items():
            segment, freed = self._segments[index].without_bodies(places)
            self._segments[index] = segment
            self.bytes -= freed

    def has_body(self, gseq: int) -> bool:
        """Is this a batch that holds its records?"""
        index, at = self._place(gseq)
        return self._segments[index].has_body(at)

    def cut_head(self, to: int) -> None:
        """Forget the entries up to `to`. Raises LocalProtocolError if one of them is a batch that is not trimmed."""
        for gseq in range(self.start, to + 1):
            index, at = self._place(gseq)
            segment = self._segments[index]
            if segment.has_body(at):
                raise LocalProtocolError(f"entry {gseq} is not trimmed and cannot be cut")
            self.bytes -= segment.size(at) + ENTRY_OVERHEAD
        chain, bytes_in = self.chain_at(to), self._bytes_at(to)
        self._base_chain, self._base_bytes = chain, bytes_in
        self._runs = [run for run in self._runs if run.last >= to]
        del self._segments[: self._index(to + 1)]
        self.start, self.trimmed_to = to + 1, max(self.trimmed_to, to)

    @property
    def epoch_before(self) -> Epoch:
        """The epoch of entry start - 1; none if nothing is cut."""
        return self._runs[0].epoch if self.start > 1 else NO_EPOCH

    # --- reading ---

    def entry(self, gseq: int) -> Entry:
        """One entry. Raises LocalProtocolError if the log does not hold it."""
        index, at = self._place(gseq)
        return self._segments[index].entry(at)

    def kind(self, gseq: int) -> EntryKind:
        """What an entry is, without making an object of it."""
        index, at = self._place(gseq)
        return EntryKind(self._segments[index].kinds[at])

    def slot(self, gseq: int) -> tuple[int, int]:
        """Topic id and partition of an entry, without making an object of it."""
        index, at = self._place(gseq)
        segment = self._segments[index]
        return segment.topic_ids[at], segment.partitions[at]

    def parts(self, gseq: int) -> tuple[bytes, bytes]:
        """Front and body of an entry, without making an object of it."""
        index, at = self._place(gseq)
        segment = self._segments[index]
        return segment.fronts[at], segment.bodies[at]

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
        """Bytes of the entries after + 1 to last as they came in, with their overhead; what is cut counts nothing."""
        return self._bytes_at(last) - self._bytes_at(after) if last > after else 0

    def chain_at(self, gseq: int) -> int:
        """chain(gseq). Raises LocalProtocolError if the log does not reach it."""
        if gseq == self.end:
            return self.chain
        if gseq == self.start - 1:
            return self._base_chain
        index, at = self._place(gseq)
        return self._segments[index].chains[at]

    def _bytes_at(self, gseq: int) -> int:
        if gseq < self.start:
            return self._base_bytes
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
    there (the log matching property of Raft, for epochs instead of terms). A log whose head is cut still
    says which epoch the last entry that was cut was of; of what is below that it cannot tell.
    """
    lasts = dict(other.runs)
    shared = [min(run.last, lasts[run.epoch]) for run in one.runs if run.epoch in lasts]
    return max(shared, default=0)


def is_prefix(one: Digest, other: Digest) -> bool:
    """Is the first log a prefix of the second, as far as the second can tell (I5)?"""
    return one.end < other.start - 1 or common_prefix(one, other) == one.end
