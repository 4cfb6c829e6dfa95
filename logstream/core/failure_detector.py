"""Who is alive: the leader as its followers hear it, the followers as their leader hears them.

Silence is slow evidence, judged by phi accrual (phi.py): at `suspect` the peer is asked over TCP, at
`fail` it counts as dead. A closed link whose host refuses a new one is fast evidence: the process is
gone, and nobody waits for phi. What counts as hearing somebody is decided where the message is judged
(the Replica); here it is only timed. A view is not changed here.

    hears -> [phi < suspect] -> suspected: probe -> failed: LeaderLost, or MemberLost on the leader
    link closed and refused, stepped down, view change failed ------^ at once
    promised to a candidate, and nobody resumes us ------> leaderless after the fail time

One check per heartbeat is enough until somebody is silent. A check that comes more than one heartbeat
late means that this process was paused: everybody gets a full period anew, because it was we who did
not listen (R14).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from logstream.core.effects import Announce, Effect, Note, SetTimer
from logstream.core.events import Due, LinkDown
from logstream.core.phi import PhiAccrual, PhiSettings
from logstream.core.replica.vocabulary import FollowerHeard, LeaderHeard, Promised, SteppedDown, ViewInstalled
from logstream.core.view_vocabulary import ChangeFailed
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Member, View

CHECKS = 5  # per heartbeat, when somebody is silent


@dataclass(frozen=True, slots=True)
class CheckDue:
    """Time to look who was silent."""


@dataclass(frozen=True, slots=True)
class LeaderLost:
    """This node is leaderless (R4)."""

    at: float


@dataclass(frozen=True, slots=True)
class LeaderFound:
    """A leader is heard, for the first time or again."""

    leader: Member


@dataclass(frozen=True, slots=True)
class Suspected:
    """A peer was silent for so long that it should be asked."""

    member: Member


@dataclass(frozen=True, slots=True)
class MemberLost:
    """A member of the view that is led here is dead, or as good as dead."""

    member: Member


@dataclass(frozen=True, slots=True)
class ServingJudged:
    """The members that this leader hears, itself included."""

    serving: tuple[Member, ...]


class FailureDetector:
    """Times the silence of the members of one view."""

    def __init__(self, me: Member, settings: PhiSettings) -> None:
        self._me = me
        self._settings = settings
        self._calm_s = settings.patience_s - 2 * settings.heartbeat_s  # silence that the next check will not suspect
        self._fail_s = settings.fail_s
        self._view: View | None = None
        self._leads = False
        self._leader: Member | None = None  # heard; None: leaderless, or none was heard yet
        self._leaderless = False  # and has said so
        self._frozen_at: float | None = None  # promised since then, with no other leader to listen to; inf: just now
        self._peers: dict[Member, PhiAccrual] = {}
        self._suspected: set[Member] = set()
        self._lost: set[Member] = set()
        self._serving: tuple[Member, ...] = ()
        self._now = 0.0

    @property
    def leader(self) -> Member | None:
        """The leader that is heard, if one is."""
        return self._leader

    def start(self) -> list[Effect]:
        """Begin to check."""
        return [self._check_soon()]

    def handle(self, event: object) -> list[Effect]:
        """One event."""
        match event:
            case FollowerHeard(member=member, at=at):
                if self._view is None or member not in self._view.members:
                    return []
                self._hear(member, at)
                return self._judge_serving() if member not in self._serving else []
            case LeaderHeard(leader=leader, at=at):
                self._hear(leader, at)
                return self._found(leader)
            case Due(timer=CheckDue(), at=at, due=due):
                late = at - due > self._settings.heartbeat_s
                return [*self._check(at, late), self._check_again()]
            case ViewInstalled(view=view, leads=leads):
                return self._view_installed(view, leads)
            case Promised():
                return self._frozen()
            case LinkDown(member=member, refused=True, at=at):
                self._now = max(self._now, at)
                return self._refused(member)
            case LinkDown():
                return []
            case SteppedDown(at=at):
                self._now = max(self._now, at)
                return self._step_down()
            case ChangeFailed():
                return self._step_down()
            case _:
                raise LocalProtocolError(f"a failure detector cannot handle {event!r}")

    def facts(self, now: float) -> dict[str, dict[str, Any]]:
        """Phi and seconds of silence of each watched peer, by node_id."""
        return {
            peer.node_id: {"phi": _shown(accrual.phi(now)), "silent_s": round(now - accrual.heard_at, 3)}
            for peer, accrual in sorted(self._peers.items())
            if peer in self._watched()
        }

    def _watched(self) -> list[Member]:
        if self._leads and self._view is not None:
            return [member for member in self._view.members if member != self._me]
        return [self._leader] if self._leader is not None and self._leader != self._me else []

    def _hear(self, member: Member, at: float) -> None:
        self._now = max(self._now, at)
        self._peer(member, at).heard(at)
        self._suspected.discard(member)
        self._lost.discard(member)

    def _peer(self, member: Member, at: float) -> PhiAccrual:
        peer = self._peers.get(member)
        if peer is None:
            peer = self._peers[member] = PhiAccrual(self._settings, at)
        return peer

    def _view_installed(self, view: View, leads: bool) -> list[Effect]:
        self._view, self._leads, self._serving, self._frozen_at = view, leads, (), None
        self._peers = {
            member: self._peers.get(member) or PhiAccrual(self._settings, self._now) for member in view.members
        }
        if not leads:
            return []
        for accrual in self._peers.values():  # until now it was not this node that they answered
            accrual.restart(self._now)
        self._suspected.clear()
        self._lost.clear()
        return self._found(self._me) + self._judge_serving()

    def _frozen(self) -> list[Effect]:
        """A leader that promised, or a node that has heard none yet, has no silence that could be timed (R4)."""
        self._leads = False
        if self._frozen_at is not None or self._leader not in (None, self._me):
            return []
        self._frozen_at = inf
        return [self._check_soon()]

    def _check(self, at: float, late: bool) -> list[Effect]:
        self._now = at
        if late:
            self._restart(at)
        effects: list[Effect] = []
        if self._frozen_at is not None:
            self._frozen_at = min(self._frozen_at, at)
            silent = at - self._frozen_at > self._fail_s
            effects += self._lose_leader("nobody resumed this node") if silent else []
        for member in self._watched():
            effects += self._judge(member, self._peer(member, at).phi(at))
        return effects

    def _check_again(self) -> Effect:
        """Seldom, while nobody can become suspect before the check after this, even if that is late by a heartbeat."""
        calm = self._frozen_at is None and all(
            self._now - self._peers[member].heard_at < self._calm_s or member in self._lost
            for member in self._watched()
        )
        return SetTimer(CheckDue(), self._settings.heartbeat_s) if calm else self._check_soon()

    def _check_soon(self) -> Effect:
        return SetTimer(CheckDue(), self._settings.heartbeat_s / CHECKS)

    def _restart(self, at: float) -> None:
        """Everybody gets a full period anew."""
        self._suspected.clear()
        for accrual in self._peers.values():
            accrual.restart(at)
        if self._frozen_at is not None:
            self._frozen_at = at

    def _judge(self, member: Member, phi: float) -> list[Effect]:
        if phi > self._settings.fail:
            return self._failed(member, "silent")
        if phi > self._settings.suspect and member not in self._suspected:
            self._suspected.add(member)
            return [Note("suspected", {"member": member.node_id, "phi": round(phi, 1)}), Announce(Suspected(member))]
        return []

    def _refused(self, member: Member) -> list[Effect]:
        """Its link is closed and its host says that nobody listens: the process is gone."""
        return self._failed(member, "gone") if member in self._watched() else []

    def _failed(self, member: Member, why: str) -> list[Effect]:
        if not self._leads:
            return self._lose_leader(f"{member.node_id} is {why}")
        if member in self._lost:
            return []
        self._lost.add(member)
        note = Note("member lost", {"member": member.node_id, "why": why}, warning=True)
        return [note, *self._judge_serving(), Announce(MemberLost(member))]

    def _step_down(self) -> list[Effect]:
        self._leads = False
        return self._lose_leader("stepped down")

    def _lose_leader(self, why: str) -> list[Effect]:
        if self._leaderless:
            return []
        self._leader, self._leaderless, self._frozen_at = None, True, None
        return [Note("leader lost", {"why": why}, warning=True), Announce(LeaderLost(self._now))]

    def _found(self, leader: Member) -> list[Effect]:
        self._frozen_at = None
        if leader == self._leader:
            return []
        self._leader, self._leaderless = leader, False
        return [Announce(LeaderFound(leader))]

    def _judge_serving(self) -> list[Effect]:
        if not self._leads or self._view is None:
            return []
        serving = tuple(member for member in self._view.members if member not in self._lost)
        if serving == self._serving:
            return []
        self._serving = serving
        return [Announce(ServingJudged(serving))]


def _shown(phi: float) -> float:
    """JSON knows no infinity."""
    return round(min(phi, 999.0), 2) + 0.0  # and no -0.0
