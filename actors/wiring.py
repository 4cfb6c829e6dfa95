"""The late wiring: TopicLogs come and go while the mesh runs, and two actors tell them things.

Node starts a topic's logs and tells their refs to Replica (which hands them committed batches) and to
ClientGateway (which reads). What is meant for a log that is not wired yet waits here; what is meant for
a topic that is gone is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from logstream.core.replica.vocabulary import Committed, PartitionTrimmed
from logstream.core.topic_log import CancelRead, Locate, Read
from logstream.core.topics import Topic
from logstream.runtime import SafeRef, To

ForTopicLog = Committed | PartitionTrimmed | Read | CancelRead | Locate


@dataclass(frozen=True, slots=True)
class TopicWired:
    """The logs of this topic's partitions run."""

    topic: Topic
    logs: tuple[To[Any], ...]  # by partition


@dataclass(frozen=True, slots=True)
class TopicUnwired:
    """The topic is gone; ClientGateway, the last one to ask its logs anything, stops them."""

    topic: Topic
    logs: tuple[SafeRef[Any], ...]


class TopicRefs:
    """Refs of the topic logs, as one actor knows them."""

    def __init__(self) -> None:
        self._logs: dict[tuple[int, int], To[Any]] = {}
        self._early: dict[int, list[ForTopicLog]] = {}  # by topic id
        self._gone: set[int] = set()

    def wired(self, event: TopicWired) -> None:
        """Learn the refs, and tell them what came before."""
        topic_id = event.topic.topic_id
        self._logs |= {(topic_id, partition): log for partition, log in enumerate(event.logs)}
        for message in self._early.pop(topic_id, []):
            self.tell(message)

    def unwired(self, event: TopicUnwired) -> None:
        """Forget the refs."""
        topic_id = event.topic.topic_id
        self._gone.add(topic_id)
        self._early.pop(topic_id, None)
        for partition in range(event.topic.partitions):
            self._logs.pop((topic_id, partition), None)

    def tell(self, message: ForTopicLog) -> None:
        """Tell a partition's log, now or as soon as it is wired."""
        log = self._logs.get((message.topic_id, message.partition))
        if log is not None:
            log.tell(message)
        elif message.topic_id not in self._gone:
            self._early.setdefault(message.topic_id, []).append(message)

    def knows(self, topic_id: int, partition: int) -> bool:
        """Is there a log for this partition?"""
        return (topic_id, partition) in self._logs
