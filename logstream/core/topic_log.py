"""One partition of one topic, as consumers read it: an index over its committed batches.

The batches are the very objects of the replicated log; nothing is copied. What is not committed is not
here, so it cannot leak (R13), and no view change ever takes anything away. What is trimmed goes at the
front, and a read below the start is answered with the start (R22). A read at the end waits until
something is committed; the one who asked says when it has waited long enough. Times are those of the batches'
headers: which record of a batch is meant only who decodes it can say.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from logstream.core.effects import Announce, Effect
from logstream.core.replica.vocabulary import Committed, PartitionTrimmed
from logstream.core.time_index import TimeIndex
from logstream.protocol.batches import Batch, base_offset_in, header_of, is_trimmed
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.messages import Entry

ReadId = tuple[int, int]  # a poll of the gateway, and the place of the partition in it


@dataclass(frozen=True, slots=True)
class Read:
    """Batches from this offset on, at most so many bytes but at least one. Wait: for the first, if need be."""

    read: ReadId
    topic_id: int
    partition: int
    offset: int
    bytes_max: int
    wait: bool


@dataclass(frozen=True, slots=True)
class CancelRead:
    """Whoever asked does not wait any more."""

    read: ReadId
    topic_id: int
    partition: int


@dataclass(frozen=True, slots=True)
class ReadDone:
    """What is there: nothing yet, if the log ends before the offset, and nothing any more, if it starts above it.
    `start` and `end` are offsets."""

    read: ReadId
    start: int
    end: int
    batches: tuple[Batch, ...]


@dataclass(frozen=True, slots=True)
class Locate:
    """Where is the first record of this time, in ms since 1970, or later?"""

    read: ReadId
    topic_id: int
    partition: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Located:
    """In the batch that begins at this offset, or behind all that is here."""

    read: ReadId
    offset: int


class TopicLog:
    """The committed batches of one partition."""

    def __init__(self, topic_id: int, partition: int) -> None:
        self.topic_id = topic_id
        self.partition = partition
        self.start = 0  # the first offset held
        self.end = 0  # the offset after the last committed record
        self._base_offsets = array("Q")
        self._batches: list[Batch] = []
        self._times = TimeIndex()
        self._waiting: dict[ReadId, Read] = {}

    @property
    def batches(self) -> tuple[Batch, ...]:
        """All that are held, in order; for checkers."""
        return tuple(self._batches)

    def handle(self, event: object) -> list[Effect]:
        """One event."""
        match event:
            case Committed(entries=entries):
                return self._append(entries)
            case PartitionTrimmed(start=start):
                self._trim(start)
                return self._answer_ready()
            case Read():
                return self._read(event)
            case Locate():
                return [Announce(Located(event.read, self._first_since(event.timestamp_ms)))]
            case CancelRead(read=read):
                self._waiting.pop(read, None)
                return []
            case _:
                raise LocalProtocolError(f"a topic log cannot handle {event!r}")

    def _append(self, entries: tuple[Entry, ...]) -> list[Effect]:
        for entry in entries:
            base_offset = base_offset_in(entry.front)
            if base_offset != self.end:
                raise LocalProtocolError(f"offset {base_offset} is committed after {self.end}")  # I9
            header = header_of(entry.body)
            self.end = base_offset + header.records
            if is_trimmed(entry.body):  # learned from somebody who had trimmed it, and so all before it
                self._trim(self.end)
            else:
                self._base_offsets.append(base_offset)
                self._batches.append(Batch(entry.front, entry.body))
                self._times.append(header.max_timestamp)
        return self._answer_ready()

    def _trim(self, start: int) -> None:
        """Drop the batches below an offset; where nothing was read up to it the log goes on from there."""
        if start >= self.end:
            self._base_offsets, self._batches, self._times = array("Q"), [], TimeIndex()
            self.end = start
        else:
            gone = bisect_left(self._base_offsets, start)
            del self._base_offsets[:gone], self._batches[:gone]
            self._times.trim(gone)
        self.start = max(self.start, start)

    def _answer_ready(self) -> list[Effect]:
        ready = [read for read in self._waiting.values() if read.offset < self.end]
        for read in ready:
            del self._waiting[read.read]
        return [self._answer(read) for read in ready]

    def _read(self, read: Read) -> list[Effect]:
        if read.wait and read.offset >= self.end:
            self._waiting[read.read] = read
        return [self._answer(read)]

    def _answer(self, read: Read) -> Effect:
        return Announce(ReadDone(read.read, self.start, self.end, self._batches_from(read.offset, read.bytes_max)))

    def _first_since(self, timestamp_ms: int) -> int:
        place = self._times.first_since(timestamp_ms)
        return self.end if place is None else self._base_offsets[place]

    def _batches_from(self, offset: int, bytes_max: int) -> tuple[Batch, ...]:
        if not self.start <= offset < self.end:
            return ()
        first = last = bisect_right(self._base_offsets, offset) - 1
        size = self._batches[first].size
        while last + 1 < len(self._batches) and size + self._batches[last + 1].size <= bytes_max:
            last += 1
            size += self._batches[last].size
        return tuple(self._batches[first : last + 1])
