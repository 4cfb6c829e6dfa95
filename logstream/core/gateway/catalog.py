"""The topics that a broker's clients can see, and the questions under way about their offsets."""

from __future__ import annotations

from dataclasses import dataclass, field

from logstream.core.effects import Announce, Effect
from logstream.core.ring import Ring
from logstream.core.topic_log import Read, ReadDone, ReadId
from logstream.core.topics import Topic
from logstream.protocol.errors import ErrorCode
from logstream.protocol.messages import TopicMetadata
from logstream.protocol.retention import AS_CLUSTER, TopicRetention

NO_OFFSET = (1 << 63) - 1  # beyond every log: a read there only says start and end


@dataclass(slots=True)
class _Question:
    """Which offsets one metadata request waits for."""

    waiting: set[ReadId] = field(default_factory=set)
    bounds: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)  # (topic id, partition) -> start, end


class Catalog:
    """Topics by name, the ring that assigns their partitions, and their offsets on request."""

    def __init__(self, retention: TopicRetention = AS_CLUSTER) -> None:
        self.by_name: dict[str, Topic] = {}
        self._retention = retention  # of topics that have none of their own
        self.ring = Ring(())
        self._questions: dict[int, _Question] = {}
        self._reads: dict[ReadId, tuple[int, int, int]] = {}  # request, topic id, partition

    def topic(self, name: str, topic_id: int) -> Topic | None:
        """The topic of this name, if it is still the one with this id."""
        topic = self.by_name.get(name)
        return topic if topic is not None and topic.topic_id == topic_id else None

    def opened(self, topic: Topic) -> None:
        """A topic is there."""
        self.by_name[topic.name] = topic

    def revised(self, topic: Topic) -> None:
        """A topic was altered, unless its name belongs to another one by now."""
        if self.topic(topic.name, topic.topic_id) is not None:
            self.by_name[topic.name] = topic

    def closed(self, topic: Topic) -> None:
        """A topic is gone, unless its name belongs to another one by now."""
        if self.topic(topic.name, topic.topic_id) is not None:
            del self.by_name[topic.name]

    # --- offsets ---

    def measure(self, request: int, names: tuple[str, ...]) -> tuple[list[Effect], int | None]:
        """Ask the logs of these topics for start and end; the request is returned if there is nothing to ask."""
        question = _Question()
        self._questions[request] = question
        effects: list[Effect] = []
        for topic in (self.by_name[name] for name in dict.fromkeys(names) if name in self.by_name):
            for partition in range(topic.partitions):
                read: ReadId = (-request, len(question.waiting))
                question.waiting.add(read)
                self._reads[read] = (request, topic.topic_id, partition)
                effects.append(Announce(Read(read, topic.topic_id, partition, NO_OFFSET, 0, wait=False)))
        return effects, None if question.waiting else request

    def measures(self, read: ReadId) -> bool:
        """Does this read belong to a metadata request?"""
        return read[0] < 0

    def measured(self, read: ReadDone) -> list[int]:
        """A log said its start and end; the request whose last answer this was, if it was."""
        known = self._reads.pop(read.read, None)
        if known is None:
            return []
        request, topic_id, partition = known
        question = self._questions[request]
        question.waiting.discard(read.read)
        question.bounds[topic_id, partition] = (read.start, read.end)
        return [] if question.waiting else [request]

    def forget(self, request: int) -> None:
        """The request is answered."""
        question = self._questions.pop(request, None)
        for read in question.waiting if question is not None else ():
            self._reads.pop(read, None)

    def describe(self, name: str, request: int | None, doubt: str = "") -> TopicMetadata:
        """A topic with its assigned brokers, and with its offsets if this request asked for them.

        `doubt` is why a missing one could not be made just now, or may be there all the same.
        """
        topic = self.by_name.get(name)
        if topic is None and doubt:
            return TopicMetadata(name, 0, ErrorCode.RETRY, (), text=doubt)
        if topic is None:
            return TopicMetadata(name, 0, ErrorCode.UNKNOWN_TOPIC, ())
        owners = [self.ring.owner(name, partition) for partition in range(topic.partitions)]
        question = self._questions.get(request) if request is not None else None
        bounds = (
            [question.bounds.get((topic.topic_id, one), (0, 0)) for one in range(topic.partitions)] if question else []
        )
        return TopicMetadata(
            name,
            topic.topic_id,
            ErrorCode.NONE,
            tuple(owner for owner in owners if owner is not None),
            tuple(start for start, _ in bounds),
            tuple(end for _, end in bounds),
            retention=topic.retention,
            in_force=topic.retention.over(self._retention),
        )
