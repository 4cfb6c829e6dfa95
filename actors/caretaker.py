"""Caretaker: what Node does while the mesh runs: starts topic logs, gathers reports, says when the node ends.
hears TopicOpened, TopicRevised, TopicClosed, StatusAsked, Reported, ViewsKnown, ViewInstalled, LearnFrom, Left
hears IdentityDropped
announces StatusReady, LeaveCluster; tells Replica and ClientGateway TopicWired, the transports IdentityChanged"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loguru import logger

from actors.host import Mesh
from actors.mesh import Seat
from actors.status import Facts, state_in_words, status_object
from actors.topic_log import TopicLog
from actors.wiring import TopicUnwired, TopicWired
from logstream.core.events import Due
from logstream.core.gateway.vocabulary import StatusAsked, StatusReady
from logstream.core.replica.vocabulary import IdentityDropped, LearnFrom, ViewInstalled, ViewsKnown
from logstream.core.topics import RegistryCurrent, Topic, TopicClosed, TopicOpened, TopicRevised
from logstream.core.view_vocabulary import LeaveCluster, Left
from logstream.protocol.identity import Member
from logstream.runtime import NodeActor, Report, Reported, SafeRef, Scheduler
from transport.identity import ForgetMember, IdentityChanged

REPORT_S = 0.2  # how long a round of reports waits


@dataclass(frozen=True, slots=True)
class Ping:
    """Every actor must answer, or the node does not start: a failing on_start is silent otherwise."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Stop cleanly."""


@dataclass(frozen=True, slots=True)
class Dump:
    """Write what every actor is doing to the log."""


@dataclass(frozen=True, slots=True)
class RoundOver:
    """Timer: whoever has not reported by now is shown as "no answer"."""

    request: int


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the node hears from its caretaker."""

    pinged: Callable[[list[str]], None]  # the actors that did not answer
    view_installed: Callable[[ViewInstalled], None]
    left: Callable[[Left], None]
    identity_dropped: Callable[[], None]


@dataclass(slots=True)
class Round:
    """One round of reports."""

    purpose: StatusAsked | Ping | Dump
    waiting: set[str]
    facts: Facts = field(default_factory=dict)


class Caretaker(NodeActor):
    """Looks after the actors of one node."""

    def __init__(self, scheduler: Scheduler, mesh: Mesh, cluster: str, hooks: Hooks) -> None:
        super().__init__(scheduler)
        self._mesh = mesh
        self._cluster = cluster
        self._hooks = hooks
        self._logs: dict[int, tuple[SafeRef[Any], ...]] = {}  # by topic id
        self._rounds: dict[int, Round] = {}
        self._last_round = 0
        self._members: tuple[Member, ...] = ()
        self._cluster_id = ""  # as the transports know it
        self._log = logger.bind(node=mesh.me.node_id, actor=Seat.CARETAKER)

    @property
    def name(self) -> str:
        """What `status` and the log call this actor."""
        return Seat.CARETAKER

    def on_receive(self, message: Any) -> None:
        """One message."""
        match message:
            case TopicOpened(topic=topic):
                self._open(topic)
            case TopicClosed(topic=topic):
                self._close(topic)
            case RegistryCurrent() | TopicRevised():  # behind the topics themselves, so that it overtakes none
                self._mesh.refs[Seat.CLIENT_GATEWAY].tell(message)
            case StatusAsked() | Ping() | Dump():
                self._begin_round(message)
            case Reported():
                self._reported(message)
            case Due(timer=RoundOver(request=request)):
                self._end_round(request)
            case ViewInstalled(view=view):
                self._change_identity(view.cluster_id)
                self._forget_all_but(view.members)
                self._hooks.view_installed(message)
            case LearnFrom(cluster_id=cluster_id):
                self._change_identity(cluster_id)
            case ViewsKnown(views=(*_, newest)):  # a candidate may make a member of whoever has not chosen a cluster
                self._change_identity(newest.cluster_id)
            case Leave():
                self._mesh.announce(LeaveCluster())
            case Left():
                self._hooks.left(message)
            case IdentityDropped():
                self._hooks.identity_dropped()

    def _change_identity(self, cluster_id: str) -> None:
        if cluster_id == self._cluster_id:
            return
        self._cluster_id = cluster_id
        for seat in (Seat.TCP, Seat.MULTICAST, Seat.BROADCAST):
            self._mesh.refs[seat].tell(IdentityChanged(self._mesh.me, cluster_id))

    def _forget_all_but(self, members: tuple[Member, ...]) -> None:
        """Whoever was a member and is none any more is not expected back; a learner dials us itself."""
        for member in self._members:
            if member not in members:
                self._mesh.refs[Seat.TCP].tell(ForgetMember(member))
        self._members = members

    # --- topic logs ---

    def _open(self, topic: Topic) -> None:
        logs = tuple(
            SafeRef[Any](TopicLog.start(self.scheduler, self._mesh, topic.topic_id, partition))
            for partition in range(topic.partitions)
        )
        self._logs[topic.topic_id] = logs
        for seat in (Seat.REPLICA, Seat.CLIENT_GATEWAY):
            self._mesh.refs[seat].tell(TopicWired(topic, logs))

    def _close(self, topic: Topic) -> None:
        logs = self._logs.pop(topic.topic_id, ())
        for seat in (Seat.REPLICA, Seat.CLIENT_GATEWAY):
            self._mesh.refs[seat].tell(TopicUnwired(topic, logs))

    # --- reports ---

    def _begin_round(self, purpose: StatusAsked | Ping | Dump) -> None:
        self._last_round += 1
        actors = [actor for actor in self.scheduler.actors if actor is not self]
        self._rounds[self._last_round] = Round(purpose, {actor.name for actor in actors})
        report = Report(self._to_self, self._last_round)
        for actor in actors:
            SafeRef[Any](actor.actor_ref).tell(report)
        self.set_timer(RoundOver(self._last_round), REPORT_S if not isinstance(purpose, Ping) else 10 * REPORT_S)

    def _reported(self, reported: Reported) -> None:
        round_ = self._rounds.get(reported.request)
        if round_ is None:
            return
        round_.facts[reported.actor] = reported.facts
        round_.waiting.discard(reported.actor)
        if not round_.waiting:
            self.cancel_timer(RoundOver(reported.request))
            self._end_round(reported.request)

    def _end_round(self, request: int) -> None:
        round_ = self._rounds.pop(request)
        silent = sorted(round_.waiting)
        match round_.purpose:
            case Ping():
                self._hooks.pinged(silent)
            case Dump():
                self._dump(round_.facts, silent)
            case StatusAsked(request=asked):
                status = status_object(
                    self._mesh.me,
                    self._cluster,
                    round_.facts,
                    silent,
                    (self.scheduler.longest_turn_s, self.scheduler.longest_turn_of),
                )
                self._mesh.announce(StatusReady(asked, json.dumps(status)))

    def _dump(self, facts: Facts, silent: list[str]) -> None:
        self._log.bind(state=state_in_words(facts)).info("dump")
        for actor, fact in facts.items():
            self._log.bind(of=actor, facts=fact).info("dump")
        for actor in silent:
            self._log.bind(of=actor).info("dump: no answer")
