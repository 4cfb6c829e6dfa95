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
from collections.abc import Callable
from dataclasses import dataclass

from logstream.core import quorum, union
from logstream.core.attempt import Attempt
from logstream.core.effects import Announce, CancelTimer, Effect, Note, Send, SetTimer
from logstream.core.events import Due, LinkDown, Received
from logstream.core.replica.vocabulary import (
    Gather,
    Gathered,
    LearnerCaughtUp,
    Promised,
    Resume,
    StepAside,
    SteppedAside,
    ViewInstalled,
    ViewLeft,
)
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import NO_EPOCH, CommitRule, Epoch, Member, View
from logstream.protocol.messages import (
    Handover,
    Hello,
    Leave,
    Refuse,
    State,
    StateExchange,
    ViewInstall,
    ViewInstallAck,
)

BACK_OFF_S = 0.2  # doubling to BACK_OFF_MAX_S, random
BACK_OFF_MAX_S = 1.0
JOIN_BACK_OFF_S = 3.0  # after a joiner that did not answer COLLECT, doubling
LEFT_MAX = 1000  # members
GROWTH_S = 1.0  # growth at most so often, once the cluster has its expected size


# --- commands and events of this core ---


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """Nobody is there: form the first view, of this member alone (R20)."""


@dataclass(frozen=True, slots=True)
class LeaveCluster:
    """A clean stop: leave the view first (R18)."""


@dataclass(frozen=True, slots=True)
class ShrinkToSelf:
    """Install a view of this member alone, before an empty cluster dissolves into another (R20)."""


@dataclass(frozen=True, slots=True)
class Left:
    """This member is out of the view, or has waited long enough to be: it may go."""

    handed_over: bool


# --- timers ---


@dataclass(frozen=True, slots=True)
class CollectTimedOut:
    """Whoever has not answered by now is judged as absent."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class InstallRepeatDue:
    """VIEW_INSTALL goes again to those who have not acked."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class AttemptTimedOut:
    """Nothing has moved for the promise time."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class RetryDue:
    """The back-off is over, or growth is allowed again."""


@dataclass(frozen=True, slots=True)
class LeaveTimedOut:
    """Leaving has taken long enough."""


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """Values that view changes need; times in seconds."""

    commit: CommitRule
    expected_nodes: Callable[[], int]
    collect_s: float = 0.4
    install_repeat_s: float = 0.15
    promise_s: float = 1.0
    leave_s: float = 1.0


class ViewChange:
    """Runs one attempt at a time, with the wishes that have gathered."""

    def __init__(self, me: Member, settings: ChangeSettings, dice: random.Random) -> None:
        self.me = me
        self.view: View | None = None  # the last one that was active here
        self.leads = False
        self.attempt: Attempt | None = None
        self._settings = settings
        self._dice = dice
        self._highest_n = 0  # promised or seen
        self._joiners: dict[Member, None] = {}  # caught up, not admitted yet
        self._leavers: dict[Member, None] = {}
        self._left: dict[Member, None] = {}  # who said LEAVE or HANDOVER is never a joiner again, the last LEFT_MAX
        self._refused_joiners: dict[Member, tuple[float, float]] = {}  # until, next back-off
        self._cluster_id = ""
        self._back_off_s = BACK_OFF_S
        self._waiting = False  # RetryDue is set
        self._grown_at = float("-inf")
        self._now = 0.0
        self._leaving = self._shrinking = self._change_due = False
        self._admitting = False  # promised to somebody's attempt, which may make this learner a member
        self._standing = False  # a candidate without a view that it leads: the founder, or after HANDOVER

    def handle(self, event: object) -> list[Effect]:
        """One event."""
        match event:
            case Received(sender=Member() as sender, at=at):
                self._now = max(self._now, at)
                return self._hear(event, sender)
            case Due(at=at):
                self._now = max(self._now, at)
                return self._due(event.timer)
            case Gathered(epoch=epoch):
                return self._install(epoch)
            case Promised(epoch=epoch):
                return self._promised(epoch)
            case ViewInstalled():
                return self._view_installed(event)
            case ViewLeft():
                return self._view_left()
            case LearnerCaughtUp(learner=learner, at=at):
                self._now = max(self._now, at)
                return self._wish_join(learner)
            case LinkDown(member=member):
                return self._absent(member)
            case FoundCluster():
                self._cluster_id = f"{self._dice.getrandbits(64):016x}"
                self._standing = True
                return self._start()
            case LeaveCluster():
                return self._leave()
            case SteppedAside():
                return self._hand_over(event)
            case ShrinkToSelf():
                self._shrinking = True
                return self._start_if_due()
            case _:
                raise LocalProtocolError(f"a view change cannot handle {event!r}")

    def _hear(self, received: Received, sender: Member) -> list[Effect]:
        match received.message:
            case State() as state:
                return self._state(state, sender)
            case Refuse(epoch=epoch, promised=promised):
                return self._refused(epoch, promised, sender)
            case ViewInstallAck(epoch=epoch):
                return self._acked(epoch, sender)
            case Leave(final=final):
                return self._wish_leave(sender, final)
            case Handover(epoch=epoch):
                return self._stand(epoch, sender)
            case Hello() as hello:
                return self._hello(hello, sender)
            case _:
                raise LocalProtocolError(f"a view change cannot handle {received.message!r}")

    def _due(self, timer: object) -> list[Effect]:
        match timer:
            case CollectTimedOut(epoch=epoch):
                return self._judge() if self._collecting(epoch) else []
            case InstallRepeatDue(epoch=epoch):
                return self._repeat(epoch)
            case AttemptTimedOut(epoch=epoch):
                return self._attempt_timed_out(epoch)
            case RetryDue():
                self._waiting = False
                return self._start_if_due()
            case LeaveTimedOut():
                return self._gone(handed_over=False)
            case _:
                raise LocalProtocolError(f"a view change cannot handle the timer {timer!r}")

    # --- wishes ---

    def _wish_join(self, learner: Member) -> list[Effect]:
        until, _ = self._refused_joiners.get(learner, (0.0, 0.0))
        if learner in self._left:  # it hears the first heartbeat without itself and asks what it missed
            return []
        if self.leads and self._now >= until and (self.view is None or learner not in self.view.members):
            self._joiners[learner] = None
        return self._start_if_due()

    def _wish_leave(self, member: Member, final: bool) -> list[Effect]:
        self._joiners.pop(member, None)
        self._note_left(member)
        effects = self._absent(member) if final else []
        if self.leads and self.view is not None and member in self.view.members:
            self._leavers[member] = None
        return effects + self._start_if_due()

    def _note_left(self, member: Member) -> None:
        self._left[member] = None
        if len(self._left) > LEFT_MAX:
            del self._left[next(iter(self._left))]

    def _hello(self, hello: Hello, sender: Member) -> list[Effect]:
        """A member cannot follow: install again where that helps, else change the view above its promise (R7)."""
        self._highest_n = max(self._highest_n, hello.promised.n)
        if not self.leads or self.view is None or sender not in self.view.members:
            return []
        attempt = self.attempt
        # A late heartbeat may be answered after our own STATE_EXCHANGE overtook it: that promise needs no other change.
        if hello.promised > max(self.view.epoch, attempt.epoch if attempt is not None else NO_EPOCH):
            self._change_due = True
            return self._start_if_due()
        if attempt is not None and attempt.install is not None and hello.last_view < attempt.epoch:
            return [Send(sender, attempt.install)]
        return []

    def _start_if_due(self) -> list[Effect]:
        """Start a change if there is a reason, none is running, and growth is not too soon (R18)."""
        busy = self.attempt is not None and not self.attempt.installed
        if not (self.leads or self._standing) or busy or self._waiting or self._leaving:
            return []
        if not (self._joiners or self._leavers or self._shrinking or self._change_due):
            return []
        wait_s = self._growth_wait()
        if wait_s > 0:  # `_waiting` stays false: a leaver does not wait for growth
            return [SetTimer(RetryDue(), wait_s)]
        return self._start()

    def _growth_wait(self) -> float:
        if self._leavers or self._shrinking:
            return 0.0
        if self.view is not None and len(self.view.members) < self._settings.expected_nodes():
            return 0.0
        return self._grown_at + GROWTH_S - self._now

    # --- collect ---

    def _start(self) -> list[Effect]:
        effects = self._end_attempt()
        self._highest_n += 1
        epoch = Epoch.of(self._highest_n, self.me)
        joiners = set() if self._shrinking else set(self._joiners)
        asked = {self.me} | joiners | (set(self.view.members) if self.view else set())
        leavers = set(self._leavers) | (asked - {self.me} if self._shrinking else set())
        self.attempt = Attempt(epoch, asked, leavers, joiners)
        self._change_due = False
        effects.append(Note("collecting", {"epoch": str(epoch), "asked": _names(asked)}))
        effects += [Send(member, StateExchange(epoch, self.view)) for member in sorted(asked)]
        return [*effects, SetTimer(CollectTimedOut(epoch), self._settings.collect_s)]

    def _collecting(self, epoch: Epoch) -> bool:
        return self.attempt is not None and self.attempt.epoch == epoch and self.attempt.install is None

    def _state(self, state: State, sender: Member) -> list[Effect]:
        attempt = self.attempt
        if attempt is None or state.epoch != attempt.epoch:
            return []
        attempt.moved = True
        attempt.states.setdefault(sender, state)
        effects = self._ask_revealed(attempt)
        return effects + self._judge_if_all_answered(attempt)

    def _ask_revealed(self, attempt: Attempt) -> list[Effect]:
        """Members of views that an answer revealed are asked too, once (R3)."""
        revealed = quorum.members_of(attempt.known_views) - attempt.asked
        if not revealed:
            return []
        attempt.asked |= revealed
        effects: list[Effect] = [Send(member, StateExchange(attempt.epoch, self.view)) for member in sorted(revealed)]
        if not attempt.asked_again:
            attempt.asked_again = True
            effects.append(SetTimer(CollectTimedOut(attempt.epoch), self._settings.collect_s))
        return effects

    def _absent(self, member: Member) -> list[Effect]:
        attempt = self.attempt
        if attempt is None or attempt.install is not None or member not in attempt.asked:
            return []
        attempt.gone.add(member)
        return self._judge_if_all_answered(attempt)

    def _refused(self, epoch: Epoch, promised: Epoch, sender: Member) -> list[Effect]:
        """Somebody has promised more: once more at once, above it."""
        attempt = self.attempt
        if attempt is not None and attempt.epoch == epoch and sender in attempt.asked:
            self._highest_n = max(self._highest_n, promised.n)
        if attempt is None or attempt.epoch != epoch or attempt.install is not None:
            return []
        return self._start() if sender in attempt.asked - attempt.gone else []

    def _judge_if_all_answered(self, attempt: Attempt) -> list[Effect]:
        if attempt.install is None and attempt.asked <= attempt.gone | set(attempt.states):
            return self._judge()
        return []

    def _judge(self) -> list[Effect]:
        attempt = self.attempt
        assert attempt is not None
        self._note_silent_joiners(attempt)
        responders = set(attempt.states)
        if self.me not in responders or not quorum.enough_for_all(responders, attempt.known_views):
            return self._no_quorum(attempt)
        members = self._new_members(attempt)
        if self.me not in members:
            return self._no_quorum(attempt)
        source, base = union.plan(attempt.states, self.me)
        newest = attempt.newest_installed
        view = View(
            attempt.epoch,
            self.me,
            tuple(sorted(members)),
            tuple(view.epoch for view in attempt.known_views),
            base.end,
            newest.cluster_id if newest else self._cluster_id,
            self._settings.commit,
        )
        attempt.install = ViewInstall(view, attempt.known_views, newest, base)
        attempt.targets = responders | members
        return [
            CancelTimer(CollectTimedOut(attempt.epoch)),
            SetTimer(AttemptTimedOut(attempt.epoch), self._settings.promise_s),
            Announce(Gather(attempt.epoch, source, base)),
        ]

    def _new_members(self, attempt: Attempt) -> set[Member]:
        """Who belongs to the new view (Q9a)."""
        responders = set(attempt.states)
        newest = attempt.newest_installed
        old = quorum.members_of(attempt.known_views)
        admitted = (attempt.joiners if old else {self.me}) & responders
        keep = responders & old
        majority = self._settings.commit == "majority"
        if majority and newest is not None and quorum.more_than_half(responders, newest.members):
            keep = set(newest.members)
        replaced = {member for member in keep if any(_newer(joiner, member) for joiner in admitted)}
        return (keep | admitted) - attempt.leavers - replaced

    def _note_silent_joiners(self, attempt: Attempt) -> None:
        """A joiner that did not answer COLLECT is not tried again for a while."""
        for joiner in attempt.joiners - set(attempt.states):
            _, back_off_s = self._refused_joiners.get(joiner, (0.0, JOIN_BACK_OFF_S))
            self._refused_joiners[joiner] = (self._now + back_off_s, 2 * back_off_s)
            self._joiners.pop(joiner, None)

    def _no_quorum(self, attempt: Attempt) -> list[Effect]:
        """Not enough answered: this rule is never weakened by time (R3). Try again after a back-off."""
        missing = quorum.members_of(attempt.known_views) - set(attempt.states)
        effects = self._end_attempt()
        wait_s = self._dice.uniform(self._back_off_s / 2, self._back_off_s)
        self._back_off_s = min(2 * self._back_off_s, BACK_OFF_MAX_S)
        self._waiting, self._change_due = True, True
        effects.append(Note("NO_QUORUM", {"epoch": str(attempt.epoch), "missing": _names(missing)}, warning=True))
        return [*effects, SetTimer(RetryDue(), wait_s)]

    # --- install ---

    def _install(self, epoch: Epoch) -> list[Effect]:
        attempt = self.attempt
        if attempt is None or attempt.epoch != epoch or attempt.install is None:
            return []
        return self._repeat(epoch)

    def _repeat(self, epoch: Epoch) -> list[Effect]:
        """VIEW_INSTALL to all who have not acked, until they have."""
        attempt = self.attempt
        if attempt is None or attempt.epoch != epoch or attempt.install is None:
            return []
        waiting = attempt.targets - attempt.acked
        effects: list[Effect] = [Send(member, attempt.install) for member in sorted(waiting)]
        return [*effects, SetTimer(InstallRepeatDue(epoch), self._settings.install_repeat_s)] if waiting else []

    def _acked(self, epoch: Epoch, sender: Member) -> list[Effect]:
        attempt = self.attempt
        if attempt is None or attempt.epoch != epoch or attempt.install is None:
            return []
        attempt.moved = True
        attempt.acked.add(sender)
        install = attempt.install
        if attempt.installed or not quorum.enough_for_all(attempt.acked, install.after):
            return []
        if not quorum.more_than_half(attempt.acked, install.view.members):
            return []
        attempt.installed = True
        acked = tuple(sorted(attempt.acked & set(install.view.members)))
        return [CancelTimer(AttemptTimedOut(epoch)), Announce(Resume(epoch, acked))]

    def _attempt_timed_out(self, epoch: Epoch) -> list[Effect]:
        attempt = self.attempt
        if attempt is None or attempt.epoch != epoch or attempt.installed:
            return []
        if not attempt.moved:
            return self._no_quorum(attempt)
        attempt.moved = False
        return [SetTimer(AttemptTimedOut(epoch), self._settings.promise_s)]

    def _promised(self, epoch: Epoch) -> list[Effect]:
        """This node's Replica is frozen; by somebody else's higher epoch, an own attempt is over."""
        self._highest_n = max(self._highest_n, epoch.n)
        if self.attempt is not None and epoch <= self.attempt.epoch:
            return []
        self._admitting = True
        self.leads = self._standing = False
        self._joiners.clear()
        return self._end_attempt()

    def _end_attempt(self) -> list[Effect]:
        if self.attempt is None:
            return []
        epoch, self.attempt = self.attempt.epoch, None
        return [
            CancelTimer(CollectTimedOut(epoch)),
            CancelTimer(InstallRepeatDue(epoch)),
            CancelTimer(AttemptTimedOut(epoch)),
        ]

    def _view_installed(self, event: ViewInstalled) -> list[Effect]:
        members = event.view.members
        if self.view is not None and len(members) > len(self.view.members):
            self._grown_at = self._now
        self.view, self.leads, self._standing = event.view, event.leads, False
        self._cluster_id = event.view.cluster_id
        self._back_off_s = BACK_OFF_S
        self._highest_n = max(self._highest_n, event.view.epoch.n)
        self._joiners = {joiner: None for joiner in self._joiners if joiner not in members}
        self._leavers = {member: None for member in members if member in self._leavers or member in self._left}
        for member in members:
            self._refused_joiners.pop(member, None)
        if self._shrinking and members == (self.me,):
            self._shrinking = False
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
            return [*effects, Announce(StepAside())]
        return [*effects, Send(self.view.leader, Leave())]

    def _hand_over(self, event: SteppedAside) -> list[Effect]:
        if event.successor is None:
            return []
        self.leads = False
        note = Note("handing over", {"epoch": str(event.epoch), "to": event.successor.node_id})
        return [note, Send(event.successor, Handover(event.epoch))]

    def _stand(self, epoch: Epoch, leaver: Member) -> list[Effect]:
        """The leaving leader's best follower stands at once, without a ring (R18)."""
        if self.view is None or self.view.epoch != epoch or self.view.leader != leaver:
            return []
        self._leavers[leaver] = None
        self._note_left(leaver)
        self._standing = True
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


def _newer(joiner: Member, member: Member) -> bool:
    """Is the joiner a newer incarnation of this member (R15)?"""
    return joiner.node_id == member.node_id and joiner.store_id != member.store_id


def _names(members: set[Member]) -> str:
    return ", ".join(member.node_id for member in sorted(members))
