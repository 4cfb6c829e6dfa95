"""TopicLog: one partition of one topic, an index over its committed batches.
hears Committed, PartitionTrimmed, Read, CancelRead, Locate   announces ReadDone, Located"""

from __future__ import annotations

from typing import Any

from actors.host import CoreActor, Mesh
from actors.mesh import Seat
from logstream.core.topic_log import TopicLog as Core
from logstream.runtime import Scheduler


class TopicLog(CoreActor):
    """Runs core.topic_log."""

    seat = Seat.TOPICS
    core: Core

    def __init__(self, scheduler: Scheduler, mesh: Mesh, topic_id: int, partition: int) -> None:
        super().__init__(scheduler, mesh, Core(topic_id, partition))

    @property
    def name(self) -> str:
        """Topic logs are told apart by topic id and partition."""
        return f"topic_log/{self.core.topic_id}/{self.core.partition}"

    def report(self) -> dict[str, Any]:
        """The offsets that this broker can serve."""
        return {**super().report(), "start": self.core.start, "end": self.core.end}
