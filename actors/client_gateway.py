"""ClientGateway: what clients of this broker see.
hears client requests, Produced, Rejected, ReadDone, Located, RingChanged, ViewInstalled   says their answers
announces Propose, ProposeDecision, StatusAsked; tells topic logs Read, CancelRead, Locate"""

from __future__ import annotations

from typing import Any

from actors.host import CoreActor, Mesh
from actors.mesh import Seat
from actors.wiring import TopicRefs, TopicUnwired, TopicWired
from logstream.core.gateway.gateway import Gateway
from logstream.core.topic_log import CancelRead, Locate, Located, Read, ReadDone
from logstream.core.topics import TopicClosed, TopicOpened
from logstream.runtime import Scheduler


class ClientGateway(CoreActor):
    """Runs core.gateway; reads go straight to their topic's log."""

    seat = Seat.CLIENT_GATEWAY
    core: Gateway

    def __init__(self, scheduler: Scheduler, mesh: Mesh, core: Gateway) -> None:
        super().__init__(scheduler, mesh, core)
        self._logs = TopicRefs()

    def on_receive(self, message: Any) -> None:
        """A topic is there for clients while its logs are wired."""
        match message:
            case TopicWired(topic=topic):
                self._logs.wired(message)
                super().on_receive(TopicOpened(topic))
            case TopicUnwired(topic=topic, logs=logs):
                self._logs.unwired(message)
                for log in logs:
                    log.stop()  # behind the questions that it was told before
                super().on_receive(TopicClosed(topic))
            case _:
                super().on_receive(message)

    def announce(self, event: object) -> None:
        """Reads have one listener each; a topic that has just gone has nothing."""
        if not isinstance(event, Read | CancelRead | Locate):
            self.mesh.announce(event)
        elif self._logs.knows(event.topic_id, event.partition):
            self._logs.tell(event)
        elif isinstance(event, Read):
            self.actor_ref.tell(ReadDone(event.read, 0, 0, ()))
        elif isinstance(event, Locate):
            self.actor_ref.tell(Located(event.read, 0))

    def report(self) -> dict[str, Any]:
        """Sessions and waiting fetches."""
        core = self.core
        return {
            "refused": self.refused + core.producing.refused,
            "sessions": len(core.sessions),
            "polls": len(core.fetching.polls),
            "ready": core.standing.ready,
            "assigned": {
                f"{topic.name}/{partition}": owner.node_id
                for topic in core.catalog.by_name.values()
                for partition in range(topic.partitions)
                if (owner := core.catalog.ring.owner(topic.name, partition)) is not None
            },
        }
