"""One Replica, the clock of its node, and the usual things that are said to it."""

from __future__ import annotations

from logstream.core.effects import Effect
from logstream.core.events import Due, Received, Via
from logstream.core.replica.leadership import Limits, ReplicaSettings
from logstream.core.replica.replica import FlushDue, Replica
from logstream.core.replica.vocabulary import (
    Beat,
    Propose,
    ProposeDecision,
    Resume,
)
from logstream.protocol.batches import Batch, header_of
from logstream.protocol.identity import EMPTY_LOG, Digest, Member, View
from logstream.protocol.messages import (
    Heartbeat,
    Message,
    ReplicateAck,
    TopicCreated,
    ViewInstall,
)

LIMITS = Limits(memory_max=1 << 30, lease_s=2.5, slow_s=1.0, expected_nodes=lambda: 1)


class ReplicaNode:
    """One Replica, the clock of its node, and what it has done."""

    def __init__(self, me: Member, limits: Limits = LIMITS) -> None:
        self.core = Replica(me, ReplicaSettings(limits))
        self.now = 10.0

    def hears(self, sender: Member, message: Message, via: Via = Via.TCP) -> list[Effect]:
        effects = self.core.handle(Received(message, sender, self.now, via))
        self.core.check_invariants()
        return effects

    def told(self, event: object) -> list[Effect]:
        effects = self.core.handle(event)
        self.core.check_invariants()
        return effects

    def flushed(self) -> list[Effect]:
        return self.told(Due(FlushDue(), self.now))

    def accepts(self, new: View, base: Digest = EMPTY_LOG) -> list[Effect]:
        """Hear VIEW_INSTALL of a view whose base is held here."""
        return self.hears(new.leader, ViewInstall(new, (), None, base))

    def follows(self, new: View, base: Digest = EMPTY_LOG) -> None:
        """Be a follower in this view."""
        self.accepts(new, base)
        self.hears(new.leader, Heartbeat(new.epoch, base.end, 0, new.members))
        self.flushed()

    def leads(self, new: View, *acked: Member) -> None:
        """Lead this view, two heartbeats after its installation."""
        self.accepts(new, self.core.history.log.digest())
        self.told(Resume(new.epoch, (self.core.me, *acked)))
        self.told(Beat(new.members, self.now))
        self.flushed()

    def proposes(self, request: int, one: Batch, topic_id: int = 1) -> list[Effect]:
        return self.told(Propose(request, topic_id, 0, one, header_of(one.body), self.now))

    def creates_topic(self, request: int = 0) -> list[Effect]:
        return self.told(ProposeDecision(request, TopicCreated("t", 4), self.now))

    def acked_by(self, member: Member) -> list[Effect]:
        history = self.core.history
        view_epoch = self.core.promise.last_view
        return self.hears(member, ReplicateAck(view_epoch, history.end, history.log.chain, 1 << 20, False))
