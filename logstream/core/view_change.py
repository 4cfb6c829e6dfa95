"""View changes, from the side of whoever runs one: collect promises, find the base, install (R3, R5, R6, R18).

    IDLE --reason--> COLLECT --enough answered--> GATHER --base held here--> INSTALL --enough acks--> IDLE
                       | refused: once more, with a higher n                    | repeated until acked
                       | not enough: NO_QUORUM, back off                        |
                       +--------- a higher epoch is promised here: give up <----+

One path serves every change: the first view of a cluster, learners that have caught up, members that
leave, a leader that hands over. One change runs at a time; wishes that come meanwhile are taken up by
the next one. A change is judged when all who were asked have answered, refused or lost their link, at
the latest after the collect time, never at the first quorum: a slow member is not left out for being slow.

What is installed here is only ever a proposal to the Replicas, this node's own included, which hears
the same messages as all others. Elsewhere: what they do with it (replica), who wins the right to try
(election, handover), what is enough (quorum), which log is the base (union).
"""

from __future__ import annotations

import random
from collections.abc import Collection

from logstream.core import quorum
from logstream.core.attempt import Attempt, names_of
from logstream.core.effects import Announce, CancelTimer, Effect, Note, Send, SetTimer
from logstream.core.events import Due, LinkDown, LinkUp, Received
from logstream.core.failure_detector import MemberLost, ServingJudged
from logstream.core.replica.vocabulary import (
    Gathered,
    LearnerCaughtUp,
    MemberStalled,
    Promised,
    RangeMoved,
    StepAside,
    SteppedAside,
    ViewInstalled,
    ViewLeft,
    ViewsKnown,
)
from logstream.core.view_vocabulary import (
    AttemptTimedOut,
    CandidateElected,
    ChangeFailed,
    ChangeSettings,
    CollectTimedOut,
    ExchangeRepeatDue,
    ForceView,
    FoundCluster,
    GrowthDue,
    InstallRepeatDue,
    LeaveCluster,
    LeaveTimedOut,
    Left,
    ShrinkToSelf,
    TransferLeadership,
)
from logstream.core.wishes import Wishes
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import NO_EPOCH, Epoch, Member, View
from logstream.protocol.messages import (
    Handover,
    Hello,
    Leave,
    Refuse,
    State,
    ViewInstallAck,
)

FORCED_N = 1000  # a forced view's number leaves room for what a dead branch may have used


class ViewChange:
    """Runs one attempt at a time, with the wishes that have gathered."""

    def __init__(self, me: Member, settings: ChangeSettings, dice: random.Random) -> None:
        self.me = me
        self.view: View | None = None  # the last one that was active here
        self.leads = False
        self.attempt: Attempt | None = None
        self.missing: tuple[Member, ...] = ()  # without whom the last attempt was not enough
        self._settings = settings
        self._dice = dice
        self._highest_n = 0  # promised or seen
        self._known: tuple[View, ...] = ()  # installed and attempted, as this node's Replica knows them
        self._heard: set[Member] = set()  # the members that this leader hears
        self._unreachable: set[Member] = set()  # their hosts say that nobody listens: no collect waits for them
        self._wishes = Wishes(settings.expected_nodes)
        self._cluster_id = ""
        self._now = 0.0
        self._leaving = False
        self._admitting = False  # promised to somebody's attempt, which may make this learner a member

    def handle(self, event: object) -> list[Effect]:
        """One event."""
        match event:
            case Received(sender=Member() as sender, at=at):
                self._now = max(self._now, at)
                return self._hear(event, sender)
            case Due(at=at):
                self._now = max(self._now, at)
                return self._due(event.timer)
            case Gathered():
                return self._install(event)
            case Promised(epoch=epoch):
                return self._promised(epoch)
            case ViewInstalled():
                return self._view_installed(event)
            case ViewLeft():
                return self._view_left()
            case LearnerCaughtUp(learner=learner, at=at):
                self._now = max(self._now, at)
                return self._wish_join(learner)
            case LinkDown(member=member, refused=refused):
                if refused and member in self._concerned:
                    self._unreachable.add(member)
                return self._absent(member)
            case LinkUp(member=member):
                self._unreachable.discard(member)
                return []
            case FoundCluster():
                self._cluster_id = f"{self._dice.getrandbits(64):016x}"
                return self._start()
            case LeaveCluster():
                return self._leave()
            case SteppedAside():
                return self._hand_over(event)
            case ShrinkToSelf():
                self._wishes.shrinking = self.leads  # else Discovery has not heard yet that another one may lead
                return self._start_if_due()
            case _:
                return self._learn_of(event)

    def _learn_of(self, event: object) -> list[Effect]:
        """Events that may be a reason for a change."""
        match event:
            case RangeMoved(epoch=epoch):
                attempt = self._own(epoch)
                if attempt is not None:
                    attempt.moved = True
                return []
            case ViewsKnown():
                self._known = event.views
                return []
            case ServingJudged(serving=serving):
                self._heard = set(serving)
                self._wishes.hear(serving)
                return self._start_if_due()
            case MemberLost(member=member):
                return self._lost(member)
            case MemberStalled(member=member):
                if self.leads and self.view is not None:
                    self._wishes.leave_out(member, self.view, self._heard)
                return self._start_if_due()
            case CandidateElected(ring=ring):
                return self._elected(ring)
            case TransferLeadership(node_id=node_id):
                return self._transfer(node_id)
            case ForceView():
                return self._force()
            case _:
                raise LocalProtocolError(f"a view change cannot handle {event!r}")

    def _hear(self, received: Received, sender: Member) -> list[Effect]:
        match received.message:
            case State() as state:
                return self._state(state, sender)
            case Refuse(epoch=epoch, promised=promised):
                return self._refused(epoch, promised, sender)
            case ViewInstallAck(epoch=epoch):
                attempt = self._own(epoch)
                return attempt.acked_by(sender) if attempt is not None else []
            case Leave(final=final):
                return self._wish_leave(sender, final)
            case Handover() as handover:
                return self._stand(handover, sender)
            case Hello() as hello:
                return self._hello(hello, sender)
            case _:
                raise LocalProtocolError(f"a view change cannot handle {received.message!r}")

    def _due(self, timer: object) -> list[Effect]:
        match timer:
            case CollectTimedOut(epoch=epoch):
                attempt = self._own(epoch)
                return self._judge(attempt) if attempt is not None and not attempt.gathering else []
            case InstallRepeatDue(epoch=epoch):
                attempt = self._own(epoch)
                return attempt.repeat() if attempt is not None else []
            case ExchangeRepeatDue(epoch=epoch):
                attempt = self._own(epoch)
                return attempt.ask_for_time() if attempt is not None else []
            case AttemptTimedOut(epoch=epoch):
                return self._attempt_timed_out(epoch)
            case GrowthDue():
                return self._start_if_due()
            case LeaveTimedOut():
                return self._gone(handed_over=False)
            case _:
                raise LocalProtocolError(f"a view change cannot handle the timer {timer!r}")

    def _own(self, epoch: Epoch) -> Attempt | None:
        """The attempt under way, if it is the one of this epoch."""
        return self.attempt if self.attempt is not None and self.attempt.epoch == epoch else None

    @property
    def _concerned(self) -> set[Member]:
        """Who a collect of now would ask, or has asked."""
        asked = self.attempt.asked if self.attempt is not None else set()
        return quorum.members_of(self._known) | asked | set(self._wishes.joiners)

    # --- wishes ---

    def _wish_join(self, learner: Member) -> list[Effect]:
        if self.leads:
            self._wishes.join(learner, self.view, self._now)
        return self._start_if_due()

    def _wish_leave(self, member: Member, final: bool) -> list[Effect]:
        if self._settings.durable:
            return self._absent(member) if final else []
        led = self.leads and self.view is not None and member in self.view.members
        self._wishes.leave(member, led)
        effects = self._absent(member) if final else []
        return effects + self._start_if_due()

    def _lost(self, member: Member) -> list[Effect]:
        """A member is dead or silent: with commit = all nothing commits until a view leaves it out (Q9a)."""
        self._heard.discard(member)
        if self.leads and self.view is not None and member in self.view.members and self.view.commit == "all":
            self._wishes.lose(member)
        return self._start_if_due()

    def _hello(self, hello: Hello, sender: Member) -> list[Effect]:
        """A member cannot follow: install again where that helps, else change the view above its promise (R7)."""
        self._highest_n = max(self._highest_n, hello.promised.n)
        if not self.leads or self.view is None or sender not in self.view.members:
            return []
        attempt = self.attempt
        # A late heartbeat may be answered after our own STATE_EXCHANGE overtook it: that promise needs no other change.
        if hello.promised > max(self.view.epoch, attempt.epoch if attempt is not None else NO_EPOCH):
            self._wishes.rise_above(hello.promised)
            return self._start_if_due()
        if attempt is not None and attempt.install is not None and hello.last_view < attempt.epoch:
            return [Send(sender, attempt.install)]
        return []

    def _start_if_due(self) -> list[Effect]:
        """The sitting leader starts a change if there is a reason, none runs, and those it hears are enough (R3)."""
        busy = self.attempt is not None and not self.attempt.installed
        if not self.leads or self.view is None or busy or self._leaving:
            return []
        wait_s = self._wishes.wait(self.view, self._now)
        if wait_s is None or not quorum.enough(self._heard | {self.me}, self.view):
            return []
        if wait_s > 0:
            return [SetTimer(GrowthDue(), wait_s)]
        return self._start()

    def _elected(self, ring: tuple[Member, ...]) -> list[Effect]:
        if self._leaving or self.leads or not self._known or (self.attempt is not None and not self.attempt.installed):
            return []
        return self._start(ring)

    def _force(self) -> list[Effect]:
        """The operator's word replaces the quorum for one collect and its install."""
        self._highest_n += FORCED_N
        return self._start(forced=True)

    # --- collect ---

    def _start(self, reachable: Collection[Member] = (), forced: bool = False, again: bool = False) -> list[Effect]:
        """Ask all members of all known views, the joiners, and whoever else is `reachable` for their promises."""
        effects = self._end_attempt()
        self._wishes.begin()
        self._highest_n += 1
        epoch = Epoch.of(self._highest_n, self.me)
        joiners = set() if self._wishes.shrinking else set(self._wishes.joiners)
        asked = {self.me, *reachable} | joiners | quorum.members_of(self._known)
        leavers = self._wishes.outgoing | (asked - {self.me} if self._wishes.shrinking else set())
        stalled, gone = set(self._wishes.stalled), asked & self._unreachable
        before = max(self._known, key=lambda view: view.lineage, default=None)
        self.attempt = Attempt(
            self.me, epoch, before, self._settings, asked, leavers, joiners, forced, again, stalled, gone=gone
        )
        return effects + self.attempt.begin()

    def _state(self, state: State, sender: Member) -> list[Effect]:
        attempt = self._own(state.epoch)
        if attempt is None:
            return []
        return attempt.hear(state, sender) + self._judge_if_all_answered(attempt)

    def _absent(self, member: Member) -> list[Effect]:
        attempt = self.attempt
        if attempt is None or attempt.gathering or member not in attempt.asked:
            return []
        attempt.gone.add(member)
        return self._judge_if_all_answered(attempt)

    def _refused(self, epoch: Epoch, promised: Epoch, sender: Member) -> list[Effect]:
        """Somebody has promised more: once more at once, above it; after that its refusal is its answer (R3)."""
        attempt = self._own(epoch)
        if attempt is None or sender not in attempt.asked:
            return []
        self._highest_n = max(self._highest_n, promised.n)
        if attempt.gathering or sender in attempt.gone:
            return []
        if not attempt.again:
            return self._start(attempt.asked, attempt.forced, again=True)
        return self._absent(sender) if sender != self.me else self._no_quorum(attempt)

    def _judge_if_all_answered(self, attempt: Attempt) -> list[Effect]:
        return self._judge(attempt) if attempt.answered and not attempt.gathering else []

    def _judge(self, attempt: Attempt) -> list[Effect]:
        for joiner in attempt.joiners - set(attempt.states) if self.me in attempt.states else ():
            self._wishes.put_off(joiner, self._now)
        if not attempt.judge():
            return self._no_quorum(attempt)
        return attempt.gather()

    def _no_quorum(self, attempt: Attempt) -> list[Effect]:
        """Not enough answered, or nothing moved: time never weakens this rule (R3). There is no leader now."""
        missing = quorum.members_of(attempt.known_views) - set(attempt.states)
        if self.me not in attempt.states:  # its own promise is not stored in time, so nobody else was asked
            missing.add(self.me)
        self.missing = tuple(sorted(missing))
        effects = self._end_attempt()
        self._stop_leading()
        effects.append(Note("NO_QUORUM", {"epoch": str(attempt.epoch), "missing": names_of(missing)}, warning=True))
        outside = bool(attempt.known_views) and self.me not in quorum.members_of(attempt.known_views)
        return [*effects, Announce(ChangeFailed(attempt.epoch, outside))]

    # --- install ---

    def _install(self, gathered: Gathered) -> list[Effect]:
        """The base is here: propose the view (R6)."""
        attempt = self._own(gathered.epoch)
        if attempt is None or not attempt.gathering:
            return []
        return attempt.propose(self._cluster_id, gathered.base)

    def _attempt_timed_out(self, epoch: Epoch) -> list[Effect]:
        attempt = self._own(epoch)
        if attempt is None or attempt.installed:
            return []
        if not attempt.moved:
            return self._no_quorum(attempt)
        attempt.moved = False
        return [SetTimer(AttemptTimedOut(epoch), self._settings.promise_s)]

    def _promised(self, epoch: Epoch) -> list[Effect]:
        """This node's Replica is frozen; by somebody else's higher epoch, an own attempt is over."""
        self._highest_n = max(self._highest_n, epoch.n)
        if self.attempt is not None and epoch <= self.attempt.epoch:
            if self.attempt.installed:  # not for an attempt of our own: this leader stepped down
                self._stop_leading()
            return []
        self._admitting = True
        self._stop_leading()
        return self._end_attempt()

    def _stop_leading(self) -> None:
        self.leads = False
        self._wishes.stop_leading()

    def _end_attempt(self) -> list[Effect]:
        if self.attempt is None:
            return []
        over, self.attempt = self.attempt, None
        return over.end()

    def _view_installed(self, event: ViewInstalled) -> list[Effect]:
        view = event.view
        self._wishes.granted(view, self.view, self.me, self._now)
        self.view, self.leads, self.missing = view, event.leads, ()
        self._heard = set(view.members)
        self._unreachable &= self._heard
        self._cluster_id = view.cluster_id
        self._highest_n = max(self._highest_n, view.epoch.n)
        if self._leaving:
            return self._leave()
        return self._start_if_due()

    # --- leaving ---

    def _leave(self) -> list[Effect]:
        first = not self._leaving
        self._leaving = True
        effects: list[Effect] = [SetTimer(LeaveTimedOut(), self._settings.leave_s)] if first else []
        if self.view is None and self._admitting:  # whoever is a member by now must not go without a word
            return effects
        if self.view is None or self.view.members == (self.me,):
            return effects + self._gone(handed_over=True)
        if self.leads:
            return [*effects, Announce(StepAside(heard=tuple(sorted(self._heard))))]
        if self._settings.durable:
            return effects + self._gone(handed_over=False)
        return [*effects, Send(self.view.leader, Leave())]

    def _transfer(self, node_id: str) -> list[Effect]:
        """An operator wants another leader: the same hand-over, but nobody leaves."""
        target = self.view.member(node_id) if self.leads and self.view is not None else None
        busy = self.attempt is not None and not self.attempt.installed
        if target is None or target == self.me or target not in self._heard or self._leaving or busy:
            return []
        self.leads = False
        return [Announce(StepAside(target))]

    def _hand_over(self, event: SteppedAside) -> list[Effect]:
        if event.successor is None:
            return []
        self.leads = False
        note = Note("handing over", {"epoch": str(event.epoch), "to": event.successor.node_id})
        return [note, Send(event.successor, Handover(event.epoch, self._leaving and not self._settings.durable))]

    def _stand(self, handover: Handover, leader: Member) -> list[Effect]:
        """The successor that the leader names stands at once, without a ring (R18)."""
        if self.view is None or self.view.epoch != handover.epoch or self.view.leader != leader:
            return []
        if handover.leaving:
            self._wishes.leave(leader, counts=True)
        return self._start()

    def _view_left(self) -> list[Effect]:
        self.leads = False
        return self._gone(handed_over=True) if self._leaving else []

    def _gone(self, handed_over: bool) -> list[Effect]:
        """The last word goes to everybody."""
        others = [member for member in self.view.members if member != self.me] if self.view else []
        effects: list[Effect] = [CancelTimer(LeaveTimedOut()), *self._end_attempt()]
        effects += [Send(member, Leave(final=True)) for member in others]
        return [*effects, Announce(Left(handed_over))]
