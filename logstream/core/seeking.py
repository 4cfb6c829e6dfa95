"""Seeking: where a topic's partitions reach a time. A part of ConsumerCore.

    METADATA, the leader's word -> LIST_OFFSETS to the leader -> positions
                                   lost, silent or refused    -> METADATA again

A broker knows times by the batch, so the position is that of a batch, and what is older in it is passed over
by whoever decodes it (Deliver.since_ms).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from logstream.core.client_effects import Request
from logstream.protocol.errors import ErrorCode
from logstream.protocol.messages import ListOffsets, ListOffsetsResponse, OffsetAt, TopicMetadata


class Sought(NamedTuple):
    """A topic whose positions are asked for."""

    topic: TopicMetadata
    address: str  # of the broker that was asked
    since: float  # when

    def positions(self, response: ListOffsetsResponse) -> list[int] | None:
        """Where each partition begins to be read; None if the answer does not say."""
        found = {one.partition: one.offset for one in response.partitions if one.error is ErrorCode.NONE}
        starts = dict(enumerate(self.topic.starts))
        if response.error is not ErrorCode.NONE or found.keys() != starts.keys():
            return None
        return [max(start, found[partition]) for partition, start in starts.items()]


class Seeking:
    """The questions under way, by correlation."""

    def __init__(self, number: Callable[[], int]) -> None:
        self._number = number
        self._asked: dict[int, Sought] = {}

    def ask(self, topic: TopicMetadata, address: str, timestamp_ms: int, at: float) -> list[Request]:
        """Ask where this topic reaches that time, unless that is asked already."""
        if any(sought.topic.name == topic.name for sought in self._asked.values()):
            return []
        wanted = (
            OffsetAt(topic.name, topic.topic_id, partition, timestamp_ms) for partition in range(len(topic.partitions))
        )
        correlation = self._number()
        self._asked[correlation] = Sought(topic, address, at)
        return [Request(address, correlation, ListOffsets(tuple(wanted)))]

    def claim(self, correlation: int) -> Sought | None:
        """Whose answer this is; None if it is none, or came too late."""
        return self._asked.pop(correlation, None)

    def lost(self, correlations: Collection[int]) -> list[Sought]:
        """These will not be answered."""
        return [self._asked.pop(one) for one in correlations if one in self._asked]

    def silent_since(self, before: float) -> list[Sought]:
        """Those that were asked before that time and are not answered; they are given up."""
        return self.lost([one for one, sought in self._asked.items() if sought.since < before])
