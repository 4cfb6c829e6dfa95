"""Election (R4): LCR over the ring of those who can be reached and have no leader either.

    leaderless -> PROBE all members of every view that is known -> ring of those that said "leaderless"
               -> ELECTION once around the ring, carrying the highest id -> whoever sees its own id wins

After Le Lann 1977 and Chang and Roberts 1979, with one change: a node passes on the higher of the id
that it received and its own, and never swallows a message, because its successor may not have started.
The ring is sorted and travels in the message; a node that is not in it, or that hears a leader, drops
it. Nothing is repeated: the next probe replaces a lost round.

The probe is a pre-vote. A node that cannot reach enough members for every view that it knows starts
nothing, and members that hear a leader do not say "leaderless", so a leader that a quorum hears cannot
be dethroned. The winner is a candidate and not yet a leader: only collect and install make it one
(view_change), so several winners at once are harmless.

Silence after a promise is respected: whoever has just promised, or has just heard a candidate move a
base, does not probe for the promise time (R3).
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from logstream.core import quorum
from logstream.core.effects import Announce, CancelTimer, Effect, Note, Send, SetTimer
from logstream.core.events import Due, LinkDown, LinkUp, Received
from logstream.core.failure_detector import LeaderFound, LeaderLost, Suspected
from logstream.core.replica.vocabulary import CandidateHeard, LeaderHeard, ViewInstalled, ViewsKnown
from logstream.core.view_vocabulary import CandidateElected, ChangeFailed, LeaveCluster
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Epoch, Member, View
from logstream.protocol.messages import Election, Probe, ProbeAck

SOON_S = 0.05  # between probes in the first second without a leader
SOON_FOR = 20  # probes
LATER_S = (0.6, 1.2)  # between probes after that, random
BACK_OFF_S = 0.2  # after NO_QUORUM, random, doubling to BACK_OFF_MAX_S
BACK_OFF_MAX_S = 1.0


class Phase(Enum):
    """What this node is doing about having no leader."""

    IDLE = "idle"
    PROBING = "probing"
    RING = "waiting for the ring"


@dataclass(frozen=True, slots=True)
class ProbeDue:
    """Time to probe."""


@dataclass(frozen=True, slots=True)
class ProbeTimedOut:
    """Whoever has not answered this probe is not in the ring."""

    number: int


@dataclass(frozen=True, slots=True)
class QuietOver:
    """The candidate that was promised to has had its time."""


@dataclass(frozen=True, slots=True)
class ElectionSettings:
    """Times in seconds."""

    probe_s: float = 0.15
    promise_s: float = 1.0


@dataclass(slots=True)
class Round:
    """One probe of all members."""

    number: int
    waiting: set[Member]
    leaderless: set[Member] = field(default_factory=set)


class Elections:
    """One node's part in elections."""

    def __init__(self, me: Member, settings: ElectionSettings, dice: random.Random) -> None:
        self.me = me
        self.phase = Phase.IDLE
        self.leaderless = False
        self._hears_leader = False
        self.missing: tuple[Member, ...] = ()  # without whom the last probe was not enough
        self._settings = settings
        self._dice = dice
        self._views: tuple[View, ...] = ()  # installed and attempted
        self._round = Round(0, set())
        self._gone: set[Member] = set()  # their hosts say that nobody listens: no probe waits for them
        self._probes = 0  # since the leader was lost
        self._quiet = False
        self._back_off_s = BACK_OFF_S
        self._backing_off = False
        self._leads: View | None = None  # active, as far as this node has not promised more
        self._took_part = False  # in a ring, and no view has come of it yet
        self._outside = False  # of a newer view than this node knows: a candidate of it would only be in the way
        self._leaving = False

    def handle(self, event: object) -> list[Effect]:
        """One event."""
        match event:
            case Received(sender=Member() as sender):
                return self._hear(event, sender)
            case Due(timer=timer):
                return self._due(timer)
            case LeaderLost():
                return self._lost()
            case LeaderFound(leader=leader):
                return self._found(leader)
            case Suspected(member=member):
                return [Send(member, Probe(self._round.number))]
            case ViewsKnown(views=views):
                self._views, self._outside = views, False
                self._gone &= quorum.members_of(views)
                return []
            case CandidateHeard(epoch=epoch):
                return self._be_quiet(epoch)
            case ChangeFailed(outside=outside):
                self._outside |= outside
                return self._back_off()
            case ViewInstalled(view=view, leads=leads):
                return self._view_installed(view, leads)
            case LinkDown(member=member, refused=refused):
                if refused and member in quorum.members_of(self._views):
                    self._gone.add(member)
                return self._absent(member)
            case LinkUp(member=member):
                self._gone.discard(member)
                return self._back(member)
            case LeaveCluster():
                self._leaving = True
                return []
            case _:
                raise LocalProtocolError(f"elections cannot handle {event!r}")

    def _hear(self, received: Received, sender: Member) -> list[Effect]:
        match received.message:
            case Probe(number=number):
                return [Send(sender, ProbeAck(number, self._takes_part, self._leads_for(sender)))]
            case ProbeAck() as ack:
                return self._answered(ack, sender, received.at)
            case Election() as election:
                return self._pass_on(election)
            case _:
                raise LocalProtocolError(f"elections cannot handle {received.message!r}")

    def _due(self, timer: object) -> list[Effect]:
        match timer:
            case ProbeDue():
                return self._probe()
            case ProbeTimedOut(number=number):
                return self._close(number)
            case QuietOver():
                self._quiet = False
                return self._probe()
            case _:
                raise LocalProtocolError(f"elections cannot handle the timer {timer!r}")

    @property
    def _stands(self) -> bool:
        """Does this node take part: leaderless, and a member of a view that it knows? A leaver never stands."""
        counts = self.me in quorum.members_of(self._views) and not self._outside
        return self.leaderless and not self._leaving and counts

    @property
    def _takes_part(self) -> bool:
        """May others count on this node? Who is in no view that it knows may be in a newer one: it passes on."""
        learns = self.me not in quorum.members_of(self._views) or self._outside
        return self._stands or (learns and not self._hears_leader and not self._leaving)

    def _leads_for(self, member: Member) -> bool:
        """Does this node lead it? Whoever was left out must not take an answer for a heartbeat: none will come."""
        return self._leads is not None and member in self._leads.members

    # --- having a leader or not ---

    def _lost(self) -> list[Effect]:
        self.leaderless, self._leads, self._probes = True, None, 0
        self._hears_leader = False
        return [] if self._backing_off else self._probe()

    def _view_installed(self, view: View, leads: bool) -> list[Effect]:
        self._leads, self._back_off_s, self._quiet = view if leads else None, BACK_OFF_S, False
        over: list[Effect] = [CancelTimer(QuietOver())]  # the candidate that was promised to has succeeded
        if not self._took_part:
            return over
        self._took_part = False
        return [*over, Note("COORDINATOR", {"leader": view.leader.node_id, "view": view.epoch.n})]

    def _found(self, leader: Member) -> list[Effect]:
        self.leaderless, self.phase, self._backing_off, self.missing = False, Phase.IDLE, False, ()
        self._took_part, self._hears_leader = False, True
        if leader != self.me:
            self._leads = None
        return [CancelTimer(ProbeDue()), CancelTimer(ProbeTimedOut(self._round.number))]

    def _be_quiet(self, epoch: Epoch) -> list[Effect]:
        self._quiet, self.phase = True, Phase.IDLE
        if self._leads is not None and epoch > self._leads.epoch:  # promised to a candidate: it leads no more
            self._leads = None
        return [
            CancelTimer(ProbeDue()),
            CancelTimer(ProbeTimedOut(self._round.number)),
            SetTimer(QuietOver(), self._settings.promise_s),
        ]

    def _back_off(self) -> list[Effect]:
        """A candidate found too few: try again later, or when a link comes up."""
        wait_s = self._dice.uniform(self._back_off_s / 2, self._back_off_s)
        self._back_off_s = min(2 * self._back_off_s, BACK_OFF_MAX_S)
        self._quiet, self._backing_off, self.phase = False, True, Phase.IDLE
        return [CancelTimer(QuietOver()), SetTimer(ProbeDue(), wait_s)]

    def _back(self, member: Member) -> list[Effect]:
        if self._backing_off and member in quorum.members_of(self._views):
            return self._probe()
        return []

    # --- probe ---

    def _probe(self) -> list[Effect]:
        if not self._stands or self._quiet:
            return []
        self._backing_off = False
        self._probes += 1
        peers = quorum.members_of(self._views) - {self.me}
        self._round = Round(self._round.number + 1, peers - self._gone)
        self.phase = Phase.PROBING
        effects: list[Effect] = [Send(peer, Probe(self._round.number)) for peer in sorted(peers)]
        if not self._round.waiting:
            return effects + self._close(self._round.number)
        return [*effects, SetTimer(ProbeTimedOut(self._round.number), self._settings.probe_s)]

    def _answered(self, ack: ProbeAck, sender: Member, at: float) -> list[Effect]:
        if ack.leads and not self.leaderless and any(view.leader == sender for view in self._views):
            return [Announce(LeaderHeard(sender, at))]
        if self.phase is not Phase.PROBING or ack.number != self._round.number:
            return []
        if ack.leaderless and sender in self._round.waiting:
            self._round.leaderless.add(sender)
        return self._absent(sender)

    def _absent(self, member: Member) -> list[Effect]:
        """Answered, refused or gone: nobody waits for it any more."""
        self._round.waiting.discard(member)
        if self.phase is Phase.PROBING and not self._round.waiting:
            return self._close(self._round.number)
        return []

    def _close(self, number: int) -> list[Effect]:
        """The probe is over: go around the ring, if it is enough for every view that this node knows."""
        if self.phase is not Phase.PROBING or number != self._round.number:
            return []
        ring = tuple(sorted(self._round.leaderless | {self.me}))
        effects: list[Effect] = [CancelTimer(ProbeTimedOut(number))]
        self.missing = ()
        if not quorum.enough_for_all(ring, self._views):
            self.phase = Phase.IDLE
            self.missing = tuple(sorted(quorum.members_of(self._views).difference(ring)))
            return [*effects, SetTimer(ProbeDue(), self._wait())]
        self.phase, self._took_part = Phase.RING, True
        effects += [
            Note("ELECTION", {"ring": _names(ring), "probe": self._probes}),
            SetTimer(ProbeDue(), self._later()),
        ]
        if len(ring) == 1:
            return effects + self._win(ring)
        return [*effects, Send(_after(ring, self.me), Election(ring, self.me))]

    def _wait(self) -> float:
        return SOON_S if self._probes < SOON_FOR else self._later()

    def _later(self) -> float:
        return self._dice.uniform(*LATER_S)

    # --- ring ---

    def _pass_on(self, election: Election) -> list[Effect]:
        if self.me not in election.ring or not self._takes_part:
            return []
        self._took_part = True
        if election.best == self.me:
            return self._win(election.ring)
        tries = self._stands and not self._backing_off  # who has just found too few lets others try
        best = max(election.best, self.me) if tries else election.best
        return [Send(_after(election.ring, self.me), Election(election.ring, best))]

    def _win(self, ring: tuple[Member, ...]) -> list[Effect]:
        """Say so, and probe again later: a candidate is heard by its own Replica, which stops that (R3)."""
        self.phase = Phase.IDLE
        return [
            Note("I WIN", {"ring": _names(ring)}),
            SetTimer(ProbeDue(), self._later()),
            Announce(CandidateElected(ring)),
        ]


def _after(ring: tuple[Member, ...], member: Member) -> Member:
    """Who comes next in the ring."""
    return ring[(ring.index(member) + 1) % len(ring)]


def _names(members: Iterable[Member]) -> str:
    return ", ".join(member.node_id for member in members)
