"""Replica: the one owner of promise, log, append, ack and commit (R21).
hears Heartbeat, Replicate, ReplicateAck, Nack, Learn, CatchUp, Snapshot, StateExchange, ViewInstall, Propose, Beat
says all of these and State, ViewInstallAck   announces Committed, Produced, ViewInstalled, Promised"""

from __future__ import annotations

from typing import Any

from actors.host import CoreActor, Mesh
from actors.mesh import Seat
from actors.wiring import TopicRefs, TopicUnwired, TopicWired
from logstream.core.replica.replica import Replica as Core
from logstream.core.replica.vocabulary import Committed, PartitionTrimmed
from logstream.runtime import Scheduler


class Replica(CoreActor):
    """Runs core.replica; committed batches go straight to their topic's log."""

    seat = Seat.REPLICA
    core: Core

    def __init__(self, scheduler: Scheduler, mesh: Mesh, core: Core) -> None:
        super().__init__(scheduler, mesh, core)
        self._logs = TopicRefs()

    def on_receive(self, message: Any) -> None:
        """Wiring is for the host, everything else for the core."""
        match message:
            case TopicWired():
                self._logs.wired(message)
            case TopicUnwired():
                self._logs.unwired(message)
            case _:
                super().on_receive(message)

    def announce(self, event: object) -> None:
        """What concerns one partition has one listener."""
        if isinstance(event, Committed | PartitionTrimmed):
            self._logs.tell(event)
        else:
            self.mesh.announce(event)

    def report(self) -> dict[str, Any]:
        """View, log and commit."""
        core, promise = self.core, self.core.promise
        view = promise.active or promise.installed
        learners = core.leadership.learners if core.leadership else {}
        return {
            **super().report(),
            "view": view,
            "active": promise.active is not None,
            "leads": promise.leads,
            "promised": str(promise.promised),
            "last": core.history.end,
            "commit": core.commit,
            "first": core.history.log.start,
            "bytes": core.history.log.bytes,
            "producers": len(core.history.dedup),
            "quarantined": core.quarantined,
            "waiting": core.leadership.held_up(self.mesh.now()) if core.leadership else None,
            "learners": [learner.node_id for learner in learners],
            "by_tcp": core.leadership.outflow.by_tcp() if core.leadership else [],
        }
