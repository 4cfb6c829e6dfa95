"""ViewChange: how members come and go (R15, R18, Q9a)."""

from __future__ import annotations

import pytest

from logstream.core.effects import Announce, CancelTimer, Send, SetTimer
from logstream.core.events import LinkDown
from logstream.core.failure_detector import MemberLost
from logstream.core.replica.vocabulary import (
    Gather,
    Promised,
    StepAside,
    SteppedAside,
    ViewLeft,
)
from logstream.core.view_vocabulary import (
    CandidateElected,
    CollectTimedOut,
    GrowthDue,
    LeaveCluster,
    LeaveTimedOut,
    Left,
    ShrinkToSelf,
)
from logstream.protocol.identity import Member
from logstream.protocol.messages import (
    Handover,
    Leave,
    ViewInstallAck,
)
from tests.core.builders import A, B, C, D, announced, epoch, sent, view
from tests.core.candidate import Candidate, asked, installs, proposal

NEW_B = Member("b", "s2", B.address)


@pytest.fixture
def leader() -> Candidate:
    """A leads A, B and C in view 1."""
    candidate = Candidate()
    candidate.leads(view(1, A, B, C))
    return candidate


# --- R18: joining ---


def test_a_learner_that_has_caught_up_is_admitted(leader: Candidate) -> None:
    effects = leader.caught_up(D)
    assert leader.asks(effects) == [A, B, C, D]
    for member in (A, B, C):
        leader.state(member, view(1, A, B, C))
    leader.state(D, None)
    assert installs(leader.gathered())[D].view.members == (A, B, C, D)


def test_a_follower_admits_nobody() -> None:
    a = Candidate()
    a.is_in(view(1, B, A))
    assert a.caught_up(D) == []


def test_a_joiner_that_does_not_answer_is_not_tried_again_for_three_seconds_then_six(leader: Candidate) -> None:
    for waited, refused_s in ((0.0, 3.0), (3.0, 6.0)):
        leader.now += waited
        current = leader.core.view
        assert leader.asks(leader.caught_up(D)) == [A, B, C, D]
        for member in (A, B, C):
            leader.state(member, current)
        attempt = leader.core.attempt
        assert attempt is not None
        leader.due(CollectTimedOut(attempt.epoch))
        leader.gathered()
        assert attempt.install is not None and attempt.install.view.members == (A, B, C)
        for member in (A, B, C):
            leader.hears(member, ViewInstallAck(attempt.epoch))
        leader.is_in(attempt.install.view)
        leader.now += refused_s - 0.01
        assert leader.caught_up(D) == []
        leader.now += 0.01 - waited


def test_one_change_runs_at_a_time_and_the_next_takes_up_what_came_meanwhile(leader: Candidate) -> None:
    leader.caught_up(D)
    assert leader.hears(C, Leave()) == []
    leader.installs()
    effects = leader.is_in(view(2, A, B, C, D))
    assert leader.asks(effects) == [A, B, C, D]
    assert leader.core.attempt is not None and leader.core.attempt.leavers == {C}


def test_growth_beyond_the_expected_size_waits_for_a_second(leader: Candidate) -> None:
    leader.grows_by(D)
    leader.now += 0.25
    effects = leader.caught_up(NEW_B)
    assert effects == [SetTimer(GrowthDue(), 0.75)]
    leader.now += 0.75
    assert leader.asks(leader.due(GrowthDue())) == [A, B, NEW_B, C, D]


def test_growth_below_the_expected_size_does_not_wait() -> None:
    a = Candidate(expected=4)
    a.is_in(view(1, A))
    a.is_in(view(2, A, B))
    assert a.asks(a.caught_up(C)) == [A, B, C]


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
    assert proposal(leader.gathered()).view.members == (A, NEW_B, C)


def test_with_majority_a_silent_member_stays_a_member() -> None:
    """Q9a: with commit = majority failure takes nobody out of M."""
    a = Candidate(commit="majority")
    a.leads(view(1, A, B, C, commit="majority"))
    a.caught_up(D)
    for member in (A, B):
        a.state(member, view(1, A, B, C))
    a.state(D, None)
    a.due(CollectTimedOut(epoch(2)))
    assert proposal(a.gathered()).view.members == (A, B, C, D)


def test_with_all_the_view_consists_of_its_responders(leader: Candidate) -> None:
    leader.caught_up(D)
    for member in (A, B):
        leader.state(member, view(1, A, B, C))
    leader.state(D, None)
    leader.due(CollectTimedOut(epoch(2)))
    assert proposal(leader.gathered()).view.members == (A, B, D)


# --- R18: leaving ---


def test_a_follower_leaves_by_a_word_to_its_leader() -> None:
    a = Candidate()
    a.is_in(view(1, B, A))
    assert a.told(LeaveCluster()) == [SetTimer(LeaveTimedOut(), 1.0), Send(B, Leave())]


def test_the_leader_installs_a_view_without_the_leaver(leader: Candidate) -> None:
    leader.hears(C, Leave())
    assert leader.installs().members == (A, B)


def test_a_leaver_goes_when_it_has_accepted_the_view_without_itself() -> None:
    a = Candidate()
    a.is_in(view(1, B, A))
    a.told(LeaveCluster())
    effects = a.told(ViewLeft(view(2, B)))
    assert effects == [CancelTimer(LeaveTimedOut()), Send(B, Leave(final=True)), Announce(Left(handed_over=True))]


def test_a_leaver_goes_after_a_second_at_the_latest() -> None:
    a = Candidate()
    a.is_in(view(1, B, A))
    a.told(LeaveCluster())
    effects = a.due(LeaveTimedOut())
    assert announced(effects, Left) == [Left(handed_over=False)]
    assert sent(effects, Leave) == [Send(B, Leave(final=True))]


def test_a_learner_that_nobody_asked_just_goes() -> None:
    assert announced(Candidate().told(LeaveCluster()), Left) == [Left(handed_over=True)]


def test_a_learner_that_is_being_admitted_leaves_as_the_member_that_it_becomes() -> None:
    """It has promised, and perhaps acked the view: to go without a word would leave a dead member behind."""
    a = Candidate()
    a.told(Promised(epoch(2, B)))
    assert a.told(LeaveCluster()) == [SetTimer(LeaveTimedOut(), 1.0)]
    assert a.is_in(view(2, B, A)) == [Send(B, Leave())]


def test_the_last_member_just_goes() -> None:
    a = Candidate()
    a.is_in(view(1, A))
    assert announced(a.told(LeaveCluster()), Left) == [Left(handed_over=True)]


def test_a_leader_steps_aside_and_hands_over(leader: Candidate) -> None:
    effects = leader.told(LeaveCluster())
    assert effects == [SetTimer(LeaveTimedOut(), 1.0), Announce(StepAside(heard=(A, B, C)))]
    assert sent(leader.told(SteppedAside(epoch(1), B)), Handover) == [Send(B, Handover(epoch(1), leaving=True))]
    assert not leader.core.leads


def test_a_leader_hands_over_to_somebody_that_it_hears() -> None:
    """Q9a: a dead member stays in the view, and its last ack may be as high as anybody's."""
    a = Candidate(commit="majority")
    a.leads(view(1, A, B, C, commit="majority"))
    a.told(MemberLost(C))
    assert Announce(StepAside(heard=(A, B))) in a.told(LeaveCluster())


def test_a_leaver_never_stands(leader: Candidate) -> None:
    leader.told(LeaveCluster())
    leader.told(SteppedAside(epoch(1), B))
    assert leader.caught_up(D) == []
    assert leader.due(GrowthDue()) == []


def test_the_successor_stands_at_once_and_leaves_the_leaver_out() -> None:
    a = Candidate()
    a.is_in(view(1, B, A, C))
    assert a.asks(a.hears(B, Handover(epoch(1, B), leaving=True))) == [A, B, C]
    for member in (A, B, C):
        a.state(member, view(1, B, A, C))
    assert proposal(a.gathered()).view.members == (A, C)


def test_a_handover_is_bound_to_its_view_and_its_leader() -> None:
    a = Candidate()
    a.is_in(view(2, B, A, C))
    assert a.hears(B, Handover(epoch(1, B), leaving=True)) == []
    assert a.hears(C, Handover(epoch(2, B), leaving=True)) == []


def test_a_member_whose_last_word_came_is_not_waited_for(leader: Candidate) -> None:
    leader.caught_up(D)
    for member in (A, B):
        leader.state(member, view(1, A, B, C))
    leader.state(D, None)
    assert announced(leader.hears(C, Leave(final=True)), Gather)


def test_a_durable_follower_goes_and_stays_a_member() -> None:
    """R18: it comes back as what it was, and is counted meanwhile."""
    a = Candidate(durable=True)
    a.is_in(view(1, B, A))
    effects = a.told(LeaveCluster())
    assert announced(effects, Left) == [Left(handed_over=False)]
    assert sent(effects, Leave) == [Send(B, Leave(final=True))]


def test_a_durable_leader_hands_over_and_goes_as_a_member() -> None:
    a = Candidate(durable=True)
    a.leads(view(1, A, B, C))
    assert announced(a.told(LeaveCluster()), StepAside)
    assert sent(a.told(SteppedAside(epoch(1), B)), Handover) == [Send(B, Handover(epoch(1), leaving=False))]
    assert announced(a.is_in(view(2, B, A, C)), Left)


def test_the_last_word_of_a_durable_member_takes_nobody_out() -> None:
    a = Candidate(durable=True)
    a.leads(view(1, A, B, C))
    assert a.hears(C, Leave(final=True)) == []
    a.caught_up(D)
    for member in (A, B, C):
        a.state(member, view(1, A, B, C))
    a.state(D, None)
    assert proposal(a.gathered()).view.members == (A, B, C, D)


def test_an_empty_cluster_shrinks_to_its_leader(leader: Candidate) -> None:
    assert leader.asks(leader.told(ShrinkToSelf())) == [A, B, C]
    assert leader.installs().members == (A,)


def test_who_leads_no_more_does_not_take_the_wish_to_shrink_along(leader: Candidate) -> None:
    """Discovery may not have heard yet that another one has asked for promises; by the next time there are topics."""
    leader.told(Promised(epoch(2, B)))
    assert leader.told(ShrinkToSelf()) == []
    leader.is_in(view(2, B, A, C))
    leader.told(CandidateElected())
    for member in (A, B, C):
        leader.state(member, view(2, B, A, C))
    assert proposal(leader.gathered()).view.members == (A, B, C)
