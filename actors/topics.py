"""Topics: the registry, applied from committed decisions.
hears DecisionCommitted   announces TopicOpened, TopicRevised, TopicClosed"""

from __future__ import annotations

from typing import Any

from actors.host import CoreActor
from actors.mesh import Seat
from logstream.core.topics import Topics as Core


class Topics(CoreActor):
    """Runs core.topics."""

    seat = Seat.TOPICS
    core: Core

    def report(self) -> dict[str, Any]:
        """The topics that exist."""
        topics = [
            {"topic": topic.name, "topic_id": topic.topic_id, "partitions": topic.partitions}
            for topic in self.core.by_id.values()
        ]
        return {**super().report(), "topics": topics}
