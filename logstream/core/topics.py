"""The registry of topics, applied from committed decisions: equal logs make equal registries.

Whether a topic may be created is judged once, when the leader sequences the decision; what arrives
here is a fact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from logstream.core.effects import Announce, Effect, Note
from logstream.core.replica.vocabulary import BaseApplied, DecisionCommitted
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Epoch
from logstream.protocol.messages import TopicAltered, TopicCreated, TopicDeleted
from logstream.protocol.retention import AS_CLUSTER, TopicRetention

PARTITIONS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the registry."""

    topic_id: int  # gseq of its creation
    name: str
    partitions: int
    retention: TopicRetention = AS_CLUSTER  # of its own


@dataclass(frozen=True, slots=True)
class TopicOpened:
    """A topic exists from here on."""

    topic: Topic


@dataclass(frozen=True, slots=True)
class TopicRevised:
    """A topic keeps something else from here on."""

    topic: Topic


@dataclass(frozen=True, slots=True)
class RegistryCurrent:
    """The leader of this epoch has heard of every topic that earlier views created."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class TopicClosed:
    """A topic was deleted."""

    topic: Topic


class Topics:
    """The registry of one node."""

    def __init__(self) -> None:
        self.by_id: dict[int, Topic] = {}

    def handle(self, event: object) -> list[Effect]:
        """One event."""
        match event:
            case DecisionCommitted(gseq=gseq, decision=TopicCreated() as created):
                topic = Topic(gseq, created.name, created.partitions, created.retention)
                self.by_id[gseq] = topic
                return [
                    Note("topic created", {"topic": topic.name, "partitions": topic.partitions}),
                    Announce(TopicOpened(topic)),
                ]
            case DecisionCommitted(decision=TopicAltered() as altered):
                topic = self.by_id[altered.topic_id] = replace(
                    self.by_id[altered.topic_id], retention=altered.retention
                )
                return [
                    Note("topic altered", {"topic": topic.name, **topic.retention.own}),
                    Announce(TopicRevised(topic)),
                ]
            case DecisionCommitted(decision=TopicDeleted() as deleted):
                topic = self.by_id.pop(deleted.topic_id)
                return [Note("topic deleted", {"topic": topic.name}), Announce(TopicClosed(topic))]
            case BaseApplied(epoch=epoch):  # passed on behind the topics themselves, so that it overtakes none
                return [Announce(RegistryCurrent(epoch))]
            case _:
                raise LocalProtocolError(f"the topics cannot handle {event!r}")
