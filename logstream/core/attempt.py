"""One try to install one view: who was asked, what they answered, what was proposed, who stored it (R3, R6).

    asked -> states ... judge -> gather: the base is put together -> propose -> acked ... -> installed

It knows what to say next and whether what was heard is enough. When an attempt begins, what it is for
and what follows when it fails is view_change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from logstream.core import quorum, union
from logstream.core.effects import Announce, CancelTimer, Effect, Note, Send, SetTimer
from logstream.core.replica.vocabulary import Gather, Resume
from logstream.core.view_vocabulary import (
    AttemptTimedOut,
    ChangeSettings,
    CollectTimedOut,
    ExchangeRepeatDue,
    InstallRepeatDue,
)
from logstream.protocol.identity import NO_EPOCH, Digest, Epoch, Member, View
from logstream.protocol.messages import State, StateExchange, ViewInstall

REPEATS_MAX = 20  # of VIEW_INSTALL after the view is installed, to those outside it
PER_PROMISE = 4  # repetitions in one promise time


@dataclass(slots=True)
class Attempt:
    """One try to install one view."""

    me: Member
    epoch: Epoch
    before: View | None  # one that is known here, of the highest lineage
    settings: ChangeSettings
    asked: set[Member]
    leavers: set[Member]
    joiners: set[Member]
    forced: bool = False  # the operator's word replaces the quorum
    again: bool = False  # a refusal has made it start once more already
    stalled: set[Member] = field(default_factory=set)  # leavers who stay if the rest is not enough
    states: dict[Member, State] = field(default_factory=dict)
    gone: set[Member] = field(default_factory=set)  # refused, or lost their link
    asked_again: bool = False
    gathering: bool = False  # judged: the base is being put together, or is there
    members: set[Member] = field(default_factory=set)  # of the new view
    install: ViewInstall | None = None
    targets: set[Member] = field(default_factory=set)  # who is sent VIEW_INSTALL
    acked: set[Member] = field(default_factory=set)
    installed: bool = False
    moved: bool = True  # a range, a fetch or an ack was seen since the last look
    repeats: int = 0  # of VIEW_INSTALL since the view is installed

    # --- collect ---

    def begin(self) -> list[Effect]:
        """Ask for promises, first for one's own: it must be kept before any other message bears the epoch (R2).

        A disk has the promise time for that, then others should try.
        """
        note = Note("collecting", {"epoch": str(self.epoch), "asked": names_of(self.asked)})
        return [note, *self._ask((self.me,)), SetTimer(CollectTimedOut(self.epoch), self.settings.promise_s)]

    def end(self) -> list[Effect]:
        """Nothing is to come of it any more."""
        timers = (CollectTimedOut, InstallRepeatDue, ExchangeRepeatDue, AttemptTimedOut)
        return [CancelTimer(timer(self.epoch)) for timer in timers]

    def hear(self, state: State, sender: Member) -> list[Effect]:
        """Somebody has promised, and says what it holds."""
        if self.gathering:
            return self._too_late(sender)
        begins = sender == self.me and sender not in self.states
        self.states.setdefault(sender, state)
        return (self._ask_others() if begins else []) + self._ask_revealed()

    def _ask_others(self) -> list[Effect]:
        return [*self._ask(self.asked - {self.me}), SetTimer(CollectTimedOut(self.epoch), self.settings.collect_s)]

    def _too_late(self, sender: Member) -> list[Effect]:
        """Who promised after the judgement has no part in it, but must hear what came of it; others answer again."""
        if sender in self.states or sender in self.targets:
            return []
        self.targets.add(sender)
        return [Send(sender, self.install)] if self.install is not None else []

    def _ask_revealed(self) -> list[Effect]:
        """Members of views that an answer revealed are asked too, once (R3)."""
        revealed = quorum.members_of(self.known_views) - self.asked
        if not revealed:
            return []
        self.asked |= revealed
        effects = self._ask(revealed)
        if not self.asked_again:
            self.asked_again = True
            effects.append(SetTimer(CollectTimedOut(self.epoch), self.settings.collect_s))
        return effects

    def _ask(self, members: Iterable[Member]) -> list[Effect]:
        exchange = StateExchange(self.epoch, self.before)
        return [Send(member, exchange) for member in sorted(members)]

    def ask_for_time(self) -> list[Effect]:
        """Until the view is installed nobody who promised should look for another candidate (R3)."""
        if self.installed:
            return []
        return [*self._ask(self.states), SetTimer(ExchangeRepeatDue(self.epoch), self.settings.promise_s / PER_PROMISE)]

    @property
    def answered(self) -> bool:
        """Have all who were asked answered, refused or lost their link?"""
        return self.asked <= self.gone | set(self.states)

    def judge(self) -> bool:
        """Decide who belongs to the new view; are those who answered enough for it (R3)?"""
        responders = set(self.states)
        if not quorum.enough_for_all(responders - self.stalled, self.known_views):
            self.leavers -= self.stalled
        self.members = self.new_members()
        enough = self.forced or quorum.enough_for_all(responders, self.known_views)
        return enough and self.me in responders and self.me in self.members

    def gather(self) -> list[Effect]:
        """The answers are enough: have the base put together."""
        source, base, orphans = union.plan(self.states, self.me)
        self.gathering = True
        promise_s = self.settings.promise_s
        return [
            CancelTimer(CollectTimedOut(self.epoch)),
            SetTimer(AttemptTimedOut(self.epoch), promise_s),
            SetTimer(ExchangeRepeatDue(self.epoch), promise_s / PER_PROMISE),
            Announce(Gather(self.epoch, source, base, orphans)),
        ]

    # --- install ---

    def propose(self, cluster_id: str, base: Digest) -> list[Effect]:
        """The base is held here: propose the view (R6). A first view founds `cluster_id`."""
        known, newest = self.known_views, self.newest_installed
        lineage = self.epoch if self.forced else max((view.lineage for view in known), default=NO_EPOCH)
        members, after = tuple(sorted(self.members)), tuple(view.epoch for view in known)
        cluster_id = known[-1].cluster_id if known else cluster_id  # also of a first view that was only attempted
        view = View(self.epoch, self.me, members, after, base.end, cluster_id, self.settings.commit, lineage)
        self.install, self.moved = ViewInstall(view, known, newest, base), True
        self.targets |= set(self.states) | self.members
        return self.repeat()

    def repeat(self) -> list[Effect]:
        """VIEW_INSTALL to all who have not acked, until they have.

        Once the view is installed its members say HELLO when they lack it (R7). Whoever is outside hears it
        a while longer; after that it is a learner that has yet to find its leader.
        """
        if self.install is None:
            return []
        lacking, wait_s = self._lacking(), self.settings.install_repeat_s
        if self.installed:
            wait_s = self.settings.promise_s / PER_PROMISE
            self.repeats += 1
        if not lacking or self.repeats > REPEATS_MAX:
            return []
        effects: list[Effect] = [Send(member, self.install) for member in sorted(lacking)]
        return [*effects, SetTimer(InstallRepeatDue(self.epoch), wait_s)]

    def _lacking(self) -> set[Member]:
        """Who is to be sent VIEW_INSTALL: all who have not acked it, the candidate itself last.

        A view that nobody has accepted binds nobody: where the others die first, the next attempt need not account
        for them.
        """
        lacking = self.targets - self.acked
        if self.installed:
            return lacking - self.members
        return lacking if self._stored_by(self.acked | {self.me}) else lacking - {self.me}

    def acked_by(self, sender: Member) -> list[Effect]:
        """Somebody has accepted the view; with enough of them, and this candidate, it is installed."""
        if self.install is None:
            return []
        self.moved = True
        self.acked.add(sender)
        if self.installed:
            return []
        if self.me not in self.acked:
            return [Send(self.me, self.install)] if self.me in self._lacking() else []
        if not self._stored_by(self.acked):
            return []
        self.installed = True
        acked = tuple(sorted(self.acked & self.members))
        return [CancelTimer(AttemptTimedOut(self.epoch)), Announce(Resume(self.epoch, acked))]

    def _stored_by(self, acked: set[Member]) -> bool:
        """Would these acks install the view (Q3)?"""
        if self.install is None or not (self.forced or quorum.enough_for_all(acked, self.install.after)):
            return False
        return quorum.more_than_half(acked, self.install.view.members)

    # --- what was answered ---

    @property
    def known_views(self) -> tuple[View, ...]:
        """Q: the newest installed view that was reported, and every attempted one above it (R3)."""
        newest = self.newest_installed
        floor = newest.epoch if newest else NO_EPOCH
        views = {view.epoch: view for state in self.states.values() for view in state.attempted if view.epoch > floor}
        if newest is not None:
            views[newest.epoch] = newest
        return tuple(views[epoch] for epoch in sorted(views))

    @property
    def newest_installed(self) -> View | None:
        """inst*: the newest view that a responder knows to be installed."""
        known = [state.installed for state in self.states.values() if state.installed is not None]
        return max(known, key=lambda view: view.epoch, default=None)

    def new_members(self) -> set[Member]:
        """Who belongs to the new view (Q9a): with commit = majority failure takes nobody out.

        Responders that an attempted view has admitted stay admitted: one of them may be the candidate.
        """
        responders = set(self.states)
        newest = self.newest_installed
        old = quorum.members_of(self.known_views)
        admitted = (self.joiners if old else {self.me}) & responders
        keep = responders & old
        majority = self.settings.commit == "majority" and not self.forced
        if majority and newest is not None and quorum.more_than_half(responders, newest.members):
            keep |= set(newest.members)
        present = admitted | (keep & responders)
        replaced = {member for member in keep - present if any(_same_node(member, other) for other in present)}
        replaced |= {member for member in keep if any(_same_node(member, joiner) for joiner in admitted)}
        return (keep | admitted) - self.leavers - replaced


def _same_node(member: Member, other: Member) -> bool:
    """Is the other another incarnation of this member (R15)? Of two, the one that answers is the newer."""
    return other.node_id == member.node_id and other.store_id != member.store_id


def names_of(members: Iterable[Member]) -> str:
    """For notes, in order."""
    return ", ".join(member.node_id for member in sorted(members))
