"""Reading: one partition's position in a consumer, and the rule that it is contiguous. A part of ConsumerCore."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from logstream.protocol.batches import Batch, base_offset_in, check, header_of
from logstream.protocol.errors import CorruptBatch, DataLost, OffsetOutOfRange, RemoteProtocolError
from logstream.protocol.messages import TopicMetadata


@dataclass(frozen=True, slots=True)
class Since:
    """A position: the first record of this time, in ms since 1970 by the producers' clocks, or later."""

    timestamp_ms: int


Start = Literal["start", "end"] | int | Since


class Reading:
    """Where one partition is read, how far that has come, and where it shall end."""

    __slots__ = ("address", "limit", "moves", "partition", "position", "since_ms", "topic", "topic_id")

    def __init__(
        self, topic: str, topic_id: int, partition: int, address: str, position: int, limit: int | None
    ) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self.partition = partition
        self.address = address  # of the assigned broker
        self.position = position  # the offset that is wanted next; only `advance` moves it
        self.limit = limit  # read offsets below this one only; None: for ever
        self.moves = 0  # NOT_ASSIGNED in a row
        self.since_ms: int | None = None  # records before the first one of this time are passed over

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"

    @property
    def finished(self) -> bool:
        """Has everything been read that shall be?"""
        return self.limit is not None and self.position >= self.limit

    def advance(self, batch: Batch) -> tuple[int, int]:
        """Move over a batch. Returns which of its offsets are wanted: from the first to below the second.

        Raises CorruptBatch, or DataLost if offsets between the position and the batch are missing (I14).
        """
        try:
            records = check(batch).records
        except RemoteProtocolError as error:
            raise CorruptBatch(f"{self} at offset {self.position}: {error}") from error
        base = base_offset_in(batch.front)
        if base > self.position and not self.finished:
            raise DataLost(f"{self}: offsets {self.position} to {base - 1} are missing")
        first, end = self.position, base + records
        limit = end if self.limit is None else min(end, self.limit)
        self.position = max(first, limit)
        self.moves = 0
        return first, limit

    def passes_over(self, batch: Batch) -> bool:
        """Is every record of this batch older than what is wanted? Once one is not, nothing is passed over any more."""
        if self.since_ms is None:
            return False
        if header_of(batch.body).max_timestamp < self.since_ms:
            return True
        self.since_ms = None
        return False

    def trimmed_to(self, start: int) -> bool:
        """The log begins at `start` now. False if a record that is wanted is gone: that is an error (R13)."""
        if self.since_ms is None:
            return False
        self.position = start
        self.limit = None if self.limit is None else max(self.limit, start)
        return True


def start_of(start: Literal["start", "end"] | int, found: TopicMetadata, partition: int) -> int:
    """The first position of a partition. Raises OffsetOutOfRange with the numbers."""
    first, end = found.starts[partition], found.ends[partition]
    if start == "start":
        return first
    if start == "end":
        return end
    if not first <= start <= end:
        raise OffsetOutOfRange(
            f"{found.name}[{partition}]: offset {start} is out of range: the log starts at {first} and ends at {end}"
        )
    return start
