"""Who is alive, judged by silence: the leader by its followers, the followers by their leader.

What counts as hearing somebody is decided where the message is judged (the Replica); here it is only
timed. A member that was silent for the fail time does not serve clients any more; a leader that was
silent for so long leaves its followers leaderless. A view is not changed here.

A check that comes more than one heartbeat late means that this process was paused: everybody gets a
full period anew, because it was we who did not listen (R14).
"""

from __future__ import annotations

from dataclasses import dataclass

from logstream.core.effects import Announce, Effect, Note, SetTimer
from logstream.core.events import Due
from logstream.core.replica.vocabulary import FollowerHeard, LeaderHeard, Promised, ViewInstalled
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Member, View


@dataclass(frozen=True, slots=True)
class CheckDue:
    """Time to look who was silent."""


@dataclass(frozen=True, slots=True)
class LeaderLost:
    """No leader was heard for the fail time."""

    leader: Member
    at: float


@dataclass(frozen=True, slots=True)
class LeaderFound:
    """A leader is heard, for the first time or again."""

    leader: Member


@dataclass(frozen=True, slots=True)
class ServingJudged:
    """The members that this leader hears, itself included."""

    serving: tuple[Member, ...]


class FailureDetector:
    """Times the silence of the members of one view."""

    def __init__(self, me: Member, heartbeat_s: float, fail_s: float) -> None:
        self._me = me
        self._heartbeat_s = heartbeat_s
        self._fail_s = fail_s
        self._view: View | None = None
        self._leads = False
        self._leader: Member | None = None  # heard; None: leaderless
        self._leader_at = 0.0
        self._heard: dict[Member, float] = {}  # followers, on the leader
        self._serving: tuple[Member, ...] = ()
        self._now = 0.0

    @property
    def leader(self) -> Member | None:
        """The leader that is heard, if one is."""
        return self._leader

    def start(self) -> list[Effect]:
        """Begin to check."""
        return [SetTimer(CheckDue(), self._heartbeat_s)]

    def handle(self, event: object) -> list[Effect]:
        """One event."""
        match event:
            case FollowerHeard(member=member, at=at):
                self._heard[member] = self._now = at
                return self._judge_serving() if member not in self._serving else []
            case LeaderHeard(leader=leader, at=at):
                self._leader_at = self._now = at
                return self._found(leader)
            case Due(timer=CheckDue(), at=at, due=due):
                return [*self._check(at, late=at - due > self._heartbeat_s), SetTimer(CheckDue(), self._heartbeat_s)]
            case ViewInstalled(view=view, leads=leads):
                return self._view_installed(view, leads)
            case Promised():
                self._leads = False
                return []
            case _:
                raise LocalProtocolError(f"a failure detector cannot handle {event!r}")

    def facts(self, now: float) -> dict[str, float]:
        """Seconds since each peer was last heard, by node_id."""
        peers = self._heard if self._leads else {self._leader: self._leader_at} if self._leader else {}
        return {peer.node_id: round(now - at, 3) for peer, at in sorted(peers.items())}

    def _view_installed(self, view: View, leads: bool) -> list[Effect]:
        self._view, self._leads, self._serving = view, leads, ()
        if not leads:
            return []
        self._heard = {member: max(self._heard.get(member, 0.0), self._now) for member in view.members}
        self._leader_at = self._now
        return self._found(self._me) + self._judge_serving()

    def _check(self, at: float, late: bool) -> list[Effect]:
        self._now = at
        if self._leads:
            self._leader_at = at
            if late:
                self._heard = dict.fromkeys(self._heard, at)
            return self._judge_serving()
        if late:
            self._leader_at = at
        if self._leader is not None and at - self._leader_at > self._fail_s:
            lost, self._leader = self._leader, None
            return [Note("leader lost", {"leader": lost.node_id}, warning=True), Announce(LeaderLost(lost, at))]
        return []

    def _found(self, leader: Member) -> list[Effect]:
        if leader == self._leader:
            return []
        self._leader = leader
        return [Announce(LeaderFound(leader))]

    def _judge_serving(self) -> list[Effect]:
        if not self._leads or self._view is None:
            return []
        alive = {member for member, at in self._heard.items() if self._now - at <= self._fail_s} | {self._me}
        serving = tuple(member for member in self._view.members if member in alive)
        if serving == self._serving:
            return []
        silent = [member.node_id for member in self._view.members if member not in serving]
        effects: list[Effect] = [Note("members silent", {"members": ", ".join(silent)}, warning=True)] if silent else []
        self._serving = serving
        return [*effects, Announce(ServingJudged(serving))]
