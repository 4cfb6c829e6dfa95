"""Replica: the one owner of promise, log, append, ack and commit (R21).
hears Heartbeat, Replicate, ReplicateAck, Nack, Learn, CatchUp, Snapshot, StateExchange, ViewInstall, Propose, Beat
says all of these and State, ViewInstallAck   announces Committed, Produced, ViewInstalled, Promised"""

from __future__ import annotations

from typing import Any

from actors.host import CoreActor, Mesh
from actors.mesh import Seat
from actors.wiring import TopicRefs, TopicUnwired, TopicWired
from logstream.core.effects import Effect
from logstream.core.replica.replica import Replica as Core
from logstream.core.replica.storing import Disk, Store, Stored, Storing
from logstream.core.replica.vocabulary import Committed, IdentityDropped, PartitionTrimmed
from logstream.runtime import Scheduler


class Replica(CoreActor):
    """Runs core.replica; committed batches go straight to their topic's log."""

    seat = Seat.REPLICA
    core: Core

    def __init__(self, scheduler: Scheduler, mesh: Mesh, core: Core, disk: Disk | None = None) -> None:
        super().__init__(scheduler, mesh, core)
        self._logs = TopicRefs()
        self._disk = disk
        self._storing = Storing(core) if disk is not None else None

    def on_start(self) -> None:
        """A member with a store says what it knows."""
        if self._storing is not None:
            self.perform(self._storing.start(self.mesh.now()))

    @property
    def _is_no_more(self) -> bool:
        """Is its identity dropped, so that nothing that it says would be stored?"""
        return self._disk is not None and self._storing is None

    def on_receive(self, message: Any) -> None:
        """Wiring is for the host, everything else for the core."""
        match message:
            case TopicWired():
                self._logs.wired(message)
            case TopicUnwired():
                self._logs.unwired(message)
            case _ if self._is_no_more:
                return
            case Stored(number=number) if self._storing is not None:
                super().perform(self._storing.stored(number))
            case _:
                super().on_receive(message)
                if self._storing is not None:
                    self.perform([])  # a change may have no effects

    def perform(self, effects: list[Effect]) -> None:
        """With a disk: first what must be written, and of the effects those that need not wait for it."""
        super().perform(effects if self._storing is None else self._storing.after(effects))

    def announce(self, event: object) -> None:
        """What concerns one partition has one listener, what is to be stored is the disk's."""
        if isinstance(event, Committed | PartitionTrimmed):
            self._logs.tell(event)
        elif isinstance(event, Store):
            self._store(event)
        else:
            if isinstance(event, IdentityDropped):
                self._storing = None  # the next one has another store
            self.mesh.announce(event)

    def _store(self, store: Store) -> None:
        if self._disk is not None:
            stored = Stored(store.number)
            self._disk.write(store.change, lambda: self._to_self.tell(stored))

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
            "quarantined": core.gatherer.quarantined,
            "waiting": core.leadership.held_up(self.mesh.now()) if core.leadership else None,
            "learners": [learner.node_id for learner in learners],
            "by_tcp": core.leadership.outflow.by_tcp() if core.leadership else [],
        }
