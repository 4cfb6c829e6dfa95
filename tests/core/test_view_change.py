"""ViewChange: when an attempt starts, when it is judged, what it installs, and how members come and go."""

from __future__ import annotations

import random

import pytest

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
from logstream.core.view_change import (
    AttemptTimedOut,
    ChangeSettings,
    CollectTimedOut,
    FoundCluster,
    InstallRepeatDue,
    LeaveCluster,
    LeaveTimedOut,
    Left,
    RetryDue,
    ShrinkToSelf,
    ViewChange,
)
from logstream.protocol.identity import EMPTY_LOG, NO_EPOCH, CommitRule, Digest, Epoch, Member, View
from logstream.protocol.messages import (
    Handover,
    Hello,
    Leave,
    Message,
    Refuse,
    State,
    StateExchange,
    ViewInstall,
    ViewInstallAck,
)
from tests.core.builders import A, B, C, D, announced, epoch, history_of, sent, view

NEW_B = Member("b", "s2", B.address)


class Candidate:
    """A's view changes, its clock, and helpers that answer for the others."""

    def __init__(self, commit: CommitRule = "all", expected: int = 1) -> None:
        settings = ChangeSettings(commit, lambda: expected)
        self.core = ViewChange(A, settings, random.Random(1))
        self.now = 10.0

    def hears(self, sender: Member, message: Message) -> list[Effect]:
        return self.core.handle(Received(message, sender, self.now))

    def due(self, timer: object) -> list[Effect]:
        return self.core.handle(Due(timer, self.now))

    def told(self, event: object) -> list[Effect]:
        return self.core.handle(event)

    def state(
        self,
        member: Member,
        installed: View | None,
        digest: Digest = EMPTY_LOG,
        attempted: tuple[View, ...] = (),
        last_view: Epoch | None = None,
    ) -> list[Effect]:
        """This member promises, and says what it holds."""
        attempt = self.core.attempt
        assert attempt is not None
        last = last_view if last_view is not None else installed.epoch if installed else NO_EPOCH
        return self.hears(member, State(attempt.epoch, installed, attempted, last, digest))

    def caught_up(self, learner: Member) -> list[Effect]:
        return self.told(LearnerCaughtUp(learner, self.now))

    def installs(self) -> View:
        """Everybody who was asked answers and acks."""
        attempt = self.core.attempt
        assert attempt is not None
        for member in sorted(attempt.asked):
            self.state(member, self.core.view if member not in attempt.joiners else None)
        self.told(Gathered(attempt.epoch))
        for member in sorted(attempt.asked):
            self.hears(member, ViewInstallAck(attempt.epoch))
        assert attempt.installed and attempt.install is not None
        return attempt.install.view

    def grows_by(self, learner: Member) -> None:
        """A view with this learner is installed."""
        self.caught_up(learner)
        self.told(ViewInstalled(self.installs(), leads=True))

    def leads(self, current: View) -> None:
        """A leads this view."""
        self.told(ViewInstalled(current, leads=True))
        self.now += 10.0  # growth is allowed again


@pytest.fixture
def leader() -> Candidate:
    """A leads A, B and C in view 1."""
    candidate = Candidate()
    candidate.leads(view(1, A, B, C))
    return candidate


def installs(effects: list[Effect]) -> dict[Member, ViewInstall]:
    return {one.to: one.message for one in sent(effects, ViewInstall) if isinstance(one.message, ViewInstall)}


def asked(effects: list[Effect]) -> list[Member]:
    return [one.to for one in sent(effects, StateExchange)]


# --- founding ---


def test_a_founder_asks_itself_and_installs_a_view_of_itself() -> None:
    a = Candidate()
    effects = a.told(FoundCluster())
    assert asked(effects) == [A]
    assert SetTimer(CollectTimedOut(epoch(1)), 0.4) in effects
    effects = a.state(A, None)
    assert announced(effects, Gather) == [Gather(epoch(1), A, EMPTY_LOG)]
    [(to, install)] = installs(a.told(Gathered(epoch(1)))).items()
    assert (to, install.view.members, install.view.leader, install.after) == (A, (A,), A, ())
    assert len(install.view.cluster_id) == 16
    assert a.hears(A, ViewInstallAck(epoch(1))) == [
        CancelTimer(AttemptTimedOut(epoch(1))),
        Announce(Resume(epoch(1), (A,))),
    ]


# --- R3: collect ---


def test_a_change_is_never_judged_at_the_first_quorum(leader: Candidate) -> None:
    """R3: it judges when all asked have answered, refused or lost their link, or at the collect time."""
    leader.hears(C, Leave())
    assert not announced(leader.state(A, view(1, A, B, C)), Gather)
    assert not announced(leader.state(B, view(1, A, B, C)), Gather)
    assert announced(leader.state(C, view(1, A, B, C)), Gather)


def test_a_lost_link_counts_as_an_answer(leader: Candidate) -> None:
    leader.hears(C, Leave())
    leader.state(A, view(1, A, B, C))
    leader.state(B, view(1, A, B, C))
    assert announced(leader.told(LinkDown(C, True, leader.now)), Gather)


def test_at_the_collect_time_those_who_answered_are_judged(leader: Candidate) -> None:
    leader.hears(C, Leave())
    leader.state(A, view(1, A, B, C))
    leader.state(B, view(1, A, B, C))
    assert announced(leader.due(CollectTimedOut(epoch(2))), Gather)


def test_a_collect_timer_of_an_earlier_attempt_is_ignored(leader: Candidate) -> None:
    leader.hears(C, Leave())
    assert leader.due(CollectTimedOut(epoch(1))) == []


def test_too_few_answers_are_no_quorum_and_time_never_changes_that(leader: Candidate) -> None:
    """R3: time never weakens this rule; the back-off doubles to one second."""
    leader.hears(C, Leave())
    waits = []
    for _ in range(5):
        leader.state(A, view(1, A, B, C))
        attempt = leader.core.attempt
        assert attempt is not None
        effects = leader.due(CollectTimedOut(attempt.epoch))
        [wait_s] = [one.after_s for one in effects if isinstance(one, SetTimer) and one.timer == RetryDue()]
        waits.append(wait_s)
        assert not announced(effects, Gather)
        assert [one.text for one in effects if isinstance(one, Note)] == ["NO_QUORUM"]
        assert asked(leader.due(RetryDue())) == [A, B, C]
    assert 0.1 <= waits[0] <= 0.2 and 0.2 <= waits[1] <= 0.4
    assert all(0.5 <= wait_s <= 1.0 for wait_s in waits[3:])


def test_the_answers_must_be_enough_for_every_attempted_view_too(leader: Candidate) -> None:
    """R3: remembering only the newest attempt is not enough, two primaries can arise."""
    leader.hears(C, Leave())
    attempted = view(2, C, D)
    leader.state(A, view(1, A, B, C))
    leader.state(B, view(1, A, B, C), attempted=(attempted,))
    leader.state(C, view(1, A, B, C))
    effects = leader.due(CollectTimedOut(epoch(2)))
    assert not announced(effects, Gather)  # C alone is half of {C, D} and not the highest of them


def test_members_of_a_revealed_view_are_asked_too(leader: Candidate) -> None:
    leader.hears(C, Leave())
    effects = leader.state(B, view(1, A, B, C), attempted=(view(2, C, D),))
    assert asked(effects) == [D]
    assert SetTimer(CollectTimedOut(epoch(2)), 0.4) in effects


def test_a_refusal_starts_once_more_above_it(leader: Candidate) -> None:
    leader.hears(C, Leave())
    effects = leader.hears(B, Refuse(epoch(2), epoch(7, D)))
    assert asked(effects) == [A, B, C]
    assert leader.core.attempt is not None and leader.core.attempt.epoch == epoch(8)


def test_a_refusal_by_somebody_who_was_not_asked_changes_nothing(leader: Candidate) -> None:
    leader.hears(C, Leave())
    assert leader.hears(D, Refuse(epoch(2), epoch(7, D))) == []


def test_a_higher_promise_of_the_own_replica_ends_the_attempt(leader: Candidate) -> None:
    leader.hears(C, Leave())
    effects = leader.told(Promised(epoch(5, D)))
    assert CancelTimer(CollectTimedOut(epoch(2))) in effects
    assert (leader.core.attempt, leader.core.leads) == (None, False)


# --- R5, R6: base and install ---


def test_the_longest_log_of_the_highest_last_view_is_the_base(leader: Candidate) -> None:
    leader.hears(C, Leave())
    leader.state(A, view(1, A, B, C), history_of(3).log.digest())
    leader.state(B, view(1, A, B, C), history_of(5).log.digest())
    effects = leader.state(C, view(1, A, B, C), history_of(4).log.digest())
    assert announced(effects, Gather) == [Gather(epoch(2), B, history_of(5).log.digest())]


def test_view_install_goes_to_responders_and_members_and_is_repeated_until_acked(leader: Candidate) -> None:
    leader.hears(C, Leave())
    for member in (A, B, C):
        leader.state(member, view(1, A, B, C))
    effects = leader.told(Gathered(epoch(2)))
    assert list(installs(effects)) == [A, B, C]
    assert SetTimer(InstallRepeatDue(epoch(2)), 0.15) in effects
    leader.hears(A, ViewInstallAck(epoch(2)))
    assert list(installs(leader.due(InstallRepeatDue(epoch(2))))) == [B, C]


def test_a_view_is_installed_by_enough_of_the_old_and_most_of_the_new_members(leader: Candidate) -> None:
    leader.hears(C, Leave())
    for member in (A, B, C):
        leader.state(member, view(1, A, B, C))
    leader.told(Gathered(epoch(2)))
    assert not announced(leader.hears(A, ViewInstallAck(epoch(2))), Resume)
    # C's ack counts for the old view, not for the majority of the new one
    assert not announced(leader.hears(C, ViewInstallAck(epoch(2))), Resume)
    assert announced(leader.hears(B, ViewInstallAck(epoch(2))), Resume) == [Resume(epoch(2), (A, B))]


def test_an_ack_of_an_earlier_attempt_counts_for_nothing(leader: Candidate) -> None:
    leader.hears(C, Leave())
    for member in (A, B, C):
        leader.state(member, view(1, A, B, C))
    leader.told(Gathered(epoch(2)))
    assert leader.hears(B, ViewInstallAck(epoch(1))) == []


def test_an_attempt_that_nobody_answers_for_the_promise_time_is_given_up(leader: Candidate) -> None:
    leader.hears(C, Leave())
    for member in (A, B, C):
        leader.state(member, view(1, A, B, C))
    assert leader.due(AttemptTimedOut(epoch(2))) == [SetTimer(AttemptTimedOut(epoch(2)), 1.0)]
    effects = leader.due(AttemptTimedOut(epoch(2)))
    assert [one.text for one in effects if isinstance(one, Note)] == ["NO_QUORUM"]


# --- R18: joining ---


def test_a_learner_that_has_caught_up_is_admitted(leader: Candidate) -> None:
    effects = leader.caught_up(D)
    assert asked(effects) == [A, B, C, D]
    for member in (A, B, C):
        leader.state(member, view(1, A, B, C))
    leader.state(D, None)
    assert installs(leader.told(Gathered(epoch(2))))[D].view.members == (A, B, C, D)


def test_a_follower_admits_nobody() -> None:
    a = Candidate()
    a.told(ViewInstalled(view(1, B, A), leads=False))
    assert a.caught_up(D) == []


def test_a_joiner_that_does_not_answer_is_not_tried_again_for_three_seconds_then_six(leader: Candidate) -> None:
    for waited, refused_s in ((0.0, 3.0), (3.0, 6.0)):
        leader.now += waited
        current = leader.core.view
        assert asked(leader.caught_up(D)) == [A, B, C, D]
        for member in (A, B, C):
            leader.state(member, current)
        attempt = leader.core.attempt
        assert attempt is not None
        leader.due(CollectTimedOut(attempt.epoch))
        assert attempt.install is not None and attempt.install.view.members == (A, B, C)
        for member in (A, B, C):
            leader.hears(member, ViewInstallAck(attempt.epoch))
        leader.told(ViewInstalled(attempt.install.view, leads=True))
        leader.now += refused_s - 0.01
        assert leader.caught_up(D) == []
        leader.now += 0.01 - waited


def test_one_change_runs_at_a_time_and_the_next_takes_up_what_came_meanwhile(leader: Candidate) -> None:
    leader.caught_up(D)
    assert leader.hears(C, Leave()) == []
    leader.installs()
    effects = leader.told(ViewInstalled(view(2, A, B, C, D), leads=True))
    assert asked(effects) == [A, B, C, D]
    assert leader.core.attempt is not None and leader.core.attempt.leavers == {C}


def test_growth_beyond_the_expected_size_waits_for_a_second(leader: Candidate) -> None:
    leader.grows_by(D)
    leader.now += 0.25
    effects = leader.caught_up(NEW_B)
    assert effects == [SetTimer(RetryDue(), 0.75)]
    leader.now += 0.75
    assert asked(leader.due(RetryDue())) == [A, B, NEW_B, C, D]


def test_growth_below_the_expected_size_does_not_wait() -> None:
    a = Candidate(expected=4)
    a.told(ViewInstalled(view(1, A), leads=True))
    a.told(ViewInstalled(view(2, A, B), leads=True))
    assert asked(a.caught_up(C)) == [A, B, C]


def test_a_leaver_does_not_wait_for_growth(leader: Candidate) -> None:
    """A leaver goes after one second at the latest: a joiner that waits its turn must not keep it in the view."""
    leader.grows_by(D)
    leader.caught_up(NEW_B)
    assert asked(leader.hears(C, Leave())) != []


def test_a_newer_incarnation_replaces_the_older_one(leader: Candidate) -> None:
    """R15: same node_id and same address: the newer process is the newer incarnation and the older is dead."""
    leader.caught_up(NEW_B)
    leader.told(LinkDown(B, True, leader.now))
    for member in (A, C):
        leader.state(member, view(1, A, B, C))
    leader.state(NEW_B, None)
    assert installs(leader.told(Gathered(epoch(2))))[A].view.members == (A, NEW_B, C)


def test_with_majority_a_silent_member_stays_a_member() -> None:
    """Q9a: with commit = majority failure takes nobody out of M."""
    a = Candidate(commit="majority")
    a.leads(view(1, A, B, C, commit="majority"))
    a.caught_up(D)
    for member in (A, B):
        a.state(member, view(1, A, B, C))
    a.state(D, None)
    a.due(CollectTimedOut(epoch(2)))
    assert installs(a.told(Gathered(epoch(2))))[A].view.members == (A, B, C, D)


def test_with_all_the_view_consists_of_its_responders(leader: Candidate) -> None:
    leader.caught_up(D)
    for member in (A, B):
        leader.state(member, view(1, A, B, C))
    leader.state(D, None)
    leader.due(CollectTimedOut(epoch(2)))
    assert installs(leader.told(Gathered(epoch(2))))[A].view.members == (A, B, D)


# --- R7: who cannot follow ---


def test_a_member_with_a_higher_promise_makes_the_leader_change_the_view(leader: Candidate) -> None:
    effects = leader.hears(B, Hello(epoch(6, C), epoch(1)))
    assert asked(effects) == [A, B, C]
    assert leader.core.attempt is not None and leader.core.attempt.epoch == epoch(7)


def test_a_hello_that_answers_a_late_heartbeat_during_a_change_starts_no_second_one(leader: Candidate) -> None:
    """A multicast may arrive after STATE_EXCHANGE overtook it: the promise in that HELLO is our own epoch."""
    leader.hears(C, Leave())
    leader.hears(B, Hello(epoch(2), epoch(1)))
    leader.installs()
    assert asked(leader.told(ViewInstalled(view(2, A, B), leads=True))) == []


def test_a_member_that_missed_the_installation_gets_it_again(leader: Candidate) -> None:
    leader.hears(C, Leave())
    leader.installs()
    leader.told(ViewInstalled(view(2, A, B), leads=True))
    assert list(installs(leader.hears(B, Hello(epoch(2), epoch(1))))) == [B]


def test_a_hello_from_outside_the_view_starts_nothing(leader: Candidate) -> None:
    assert leader.hears(D, Hello(epoch(6, C), epoch(1))) == []


# --- R18: leaving ---


def test_a_follower_leaves_by_a_word_to_its_leader() -> None:
    a = Candidate()
    a.told(ViewInstalled(view(1, B, A), leads=False))
    assert a.told(LeaveCluster()) == [SetTimer(LeaveTimedOut(), 1.0), Send(B, Leave())]


def test_the_leader_installs_a_view_without_the_leaver(leader: Candidate) -> None:
    leader.hears(C, Leave())
    assert leader.installs().members == (A, B)


def test_a_leaver_goes_when_it_has_accepted_the_view_without_itself() -> None:
    a = Candidate()
    a.told(ViewInstalled(view(1, B, A), leads=False))
    a.told(LeaveCluster())
    effects = a.told(ViewLeft(view(2, B)))
    assert effects == [CancelTimer(LeaveTimedOut()), Send(B, Leave(final=True)), Announce(Left(handed_over=True))]


def test_a_leaver_goes_after_a_second_at_the_latest() -> None:
    a = Candidate()
    a.told(ViewInstalled(view(1, B, A), leads=False))
    a.told(LeaveCluster())
    effects = a.due(LeaveTimedOut())
    assert announced(effects, Left) == [Left(handed_over=False)]
    assert sent(effects, Leave) == [Send(B, Leave(final=True))]


def test_the_last_member_just_goes() -> None:
    a = Candidate()
    a.told(ViewInstalled(view(1, A), leads=True))
    assert announced(a.told(LeaveCluster()), Left) == [Left(handed_over=True)]


def test_a_leader_steps_aside_and_hands_over(leader: Candidate) -> None:
    effects = leader.told(LeaveCluster())
    assert effects == [SetTimer(LeaveTimedOut(), 1.0), Announce(StepAside())]
    assert sent(leader.told(SteppedAside(epoch(1), B)), Handover) == [Send(B, Handover(epoch(1)))]
    assert not leader.core.leads


def test_a_leaver_never_stands(leader: Candidate) -> None:
    leader.told(LeaveCluster())
    leader.told(SteppedAside(epoch(1), B))
    assert leader.caught_up(D) == []
    assert leader.due(RetryDue()) == []


def test_the_successor_stands_at_once_and_leaves_the_leaver_out() -> None:
    a = Candidate()
    a.told(ViewInstalled(view(1, B, A, C), leads=False))
    assert asked(a.hears(B, Handover(epoch(1, B)))) == [A, B, C]
    for member in (A, B, C):
        a.state(member, view(1, B, A, C))
    assert installs(a.told(Gathered(epoch(2))))[A].view.members == (A, C)


def test_a_handover_is_bound_to_its_view_and_its_leader() -> None:
    a = Candidate()
    a.told(ViewInstalled(view(2, B, A, C), leads=False))
    assert a.hears(B, Handover(epoch(1, B))) == []
    assert a.hears(C, Handover(epoch(2, B))) == []


def test_a_member_whose_last_word_came_is_not_waited_for(leader: Candidate) -> None:
    leader.caught_up(D)
    for member in (A, B):
        leader.state(member, view(1, A, B, C))
    leader.state(D, None)
    assert announced(leader.hears(C, Leave(final=True)), Gather)


def test_an_empty_cluster_shrinks_to_its_leader(leader: Candidate) -> None:
    assert asked(leader.told(ShrinkToSelf())) == [A, B, C]
    assert leader.installs().members == (A,)
