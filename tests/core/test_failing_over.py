"""ViewChange where somebody failed: candidates, lost and stalled members, hand-over by name, forced views (R3, R18)."""

from __future__ import annotations

import pytest

from logstream.core.effects import CancelTimer, Note, SetTimer
from logstream.core.events import LinkDown, LinkUp
from logstream.core.failure_detector import MemberLost, ServingJudged
from logstream.core.replica.vocabulary import (
    Gather,
    MemberStalled,
    Promised,
    RangeMoved,
    ViewInstalled,
    ViewsKnown,
)
from logstream.core.view_vocabulary import (
    AttemptTimedOut,
    CandidateElected,
    ChangeFailed,
    CollectTimedOut,
    ExchangeRepeatDue,
    InstallRepeatDue,
)
from logstream.protocol.identity import Member
from logstream.protocol.messages import Hello, Leave, Refuse, StateExchange
from tests.core.builders import A, B, C, D, E, announced, epoch, sent, view
from tests.core.candidate import Candidate, asked, installs, proposal


@pytest.fixture
def leader() -> Candidate:
    """A leads A, B and C in view 1."""
    candidate = Candidate()
    candidate.leads(view(1, A, B, C))
    return candidate


@pytest.fixture
def follower() -> Candidate:
    """A follows C in a view with B."""
    candidate = Candidate()
    candidate.is_in(view(1, C, A, B))
    return candidate


# --- the election's winner ---


def test_the_winner_asks_the_members_of_every_view_that_it_knows(follower: Candidate) -> None:
    follower.told(ViewsKnown(view(1, C, A, B), (view(2, C, A, B, D),)))
    effects = follower.told(CandidateElected())
    assert follower.asks(effects) == [A, B, C, D]


def test_a_cluster_whose_first_view_was_only_attempted_keeps_its_id() -> None:
    a, attempted = Candidate(), view(1, C, A, B)
    a.told(ViewsKnown(None, (attempted,)))
    a.told(CandidateElected())
    for member in (A, B, C):
        a.state(member, None, attempted=(attempted,), last_view=attempted.epoch)
    assert proposal(a.gathered()).view.cluster_id == "c1"


def test_the_winner_asks_the_ring_too_because_one_of_it_may_know_more(follower: Candidate) -> None:
    """A knows the view of C and A; B was admitted later, and C has died since. B would find the same ring again and
    again, and A, the highest of it, would miss C for ever."""
    follower.is_in(view(1, C, A))
    effects = follower.told(CandidateElected((A, B)))
    assert follower.asks(effects) == [A, B, C]
    follower.told(LinkDown(C, True, follower.now))
    follower.answers(A)
    later = view(2, C, A, B)
    assert announced(follower.state(B, later, attempted=()), Gather)
    assert proposal(follower.gathered()).after == (later,)


def test_a_refusal_asks_the_ring_again(follower: Candidate) -> None:
    follower.is_in(view(1, C, A))
    follower.told(CandidateElected((A, B)))
    assert follower.asks(follower.hears(B, Refuse(epoch(2), epoch(5, B)))) == [A, B, C]


def test_the_winner_installs_a_view_of_its_responders(follower: Candidate) -> None:
    """Q9a: every view with commit = all consists of its responders."""
    follower.told(CandidateElected())
    follower.answers(A, B)
    assert announced(follower.told(LinkDown(C, True, follower.now)), Gather)
    assert proposal(follower.gathered()).view.members == (A, B)


def test_with_majority_the_dead_leader_stays_a_member() -> None:
    """Q9a: failure takes nobody out of M."""
    a = Candidate("majority")
    a.is_in(view(1, C, A, B, commit="majority"))
    a.told(CandidateElected())
    a.answers(A, B)
    a.told(LinkDown(C, True, a.now))
    assert proposal(a.gathered()).view.members == (A, B, C)


def test_with_majority_a_responder_that_an_attempted_view_has_admitted_stays_admitted() -> None:
    """A is in the attempt only, and the highest of the ring: as no member it could never install anything."""
    a, installed = Candidate("majority"), view(1, C, B, D, commit="majority")
    attempted = view(2, C, A, B, D, commit="majority")
    a.told(ViewsKnown(installed, (attempted,)))
    a.told(CandidateElected())
    for member in (A, B, D):
        a.state(member, installed, attempted=(attempted,))
    a.due(CollectTimedOut(epoch(1)))
    assert proposal(a.gathered()).view.members == (A, B, C, D)


def test_with_majority_a_responder_takes_the_place_of_its_older_incarnation() -> None:
    """R15, I18: no quorum counts two identities of one node."""
    older = Member("b", "older", B.address)
    a, installed = Candidate("majority"), view(1, C, A, older, commit="majority")
    attempted = view(2, C, A, B, commit="majority")
    a.is_in(installed, (attempted,))
    a.told(CandidateElected())
    for member in (A, B, C):
        a.state(member, installed, attempted=(attempted,))
    a.due(CollectTimedOut(epoch(2)))
    assert proposal(a.gathered()).view.members == (A, B, C)


def test_a_host_that_refuses_is_asked_but_not_waited_for(follower: Candidate) -> None:
    follower.told(LinkDown(C, True, follower.now))
    assert follower.asks(follower.told(CandidateElected())) == [A, B, C]
    assert announced(follower.answers(A, B), Gather)


def test_a_host_that_can_be_reached_again_is_waited_for(follower: Candidate) -> None:
    follower.told(LinkDown(C, True, follower.now))
    follower.told(LinkUp(C, follower.now))
    follower.told(CandidateElected())
    assert not announced(follower.answers(A, B), Gather)
    assert announced(follower.answers(C), Gather)


@pytest.mark.parametrize(("other", "goes_on"), [(Member("0", "s"), True), (B, False)], ids=["lower", "higher"])
def test_one_of_two_goes_on_alone_if_it_has_the_higher_identity(other: Member, goes_on: bool) -> None:
    """Q3 (b): exactly half, and among them the highest identity of the old view's list."""
    a = Candidate()
    a.is_in(view(1, other, A))
    a.told(CandidateElected())
    a.answers(A)
    effects = a.told(LinkDown(other, True, a.now))
    assert (bool(announced(effects, Gather)), bool(announced(effects, ChangeFailed))) == (goes_on, not goes_on)


def test_a_node_that_leads_or_collects_or_leaves_is_no_candidate(leader: Candidate, follower: Candidate) -> None:
    assert leader.told(CandidateElected()) == []
    follower.told(CandidateElected())
    assert follower.told(CandidateElected()) == []


@pytest.mark.parametrize("n", [1, 2, 9])
def test_a_leader_whose_replica_stepped_down_can_win_an_election(leader: Candidate, n: int) -> None:
    """It is frozen, whatever epoch it has promised: that of the view that it led, or another candidate's."""
    leader.hears(C, Leave())
    leader.is_in(leader.installs())
    leader.told(Promised(epoch(2) if n <= 2 else epoch(n, B)))
    assert not leader.core.leads
    assert asked(leader.told(CandidateElected())) != []


def test_a_leader_that_stepped_down_starts_nothing_of_its_own_accord(leader: Candidate) -> None:
    leader.hears(C, Leave())
    leader.is_in(leader.installs())
    leader.told(Promised(epoch(2)))
    assert leader.told(MemberLost(B)) == []
    assert leader.caught_up(D) == []
    assert leader.hears(B, Hello(epoch(7, B), epoch(2))) == []


def test_a_winner_whose_own_replica_has_promised_more_starts_once_more_above_it(follower: Candidate) -> None:
    """The promise may be announced after the ring came back: then the Replica refuses its own candidate."""
    follower.told(CandidateElected())
    effects = follower.hears(A, Refuse(epoch(2), epoch(5, B)))
    assert follower.asks(effects) == [A, B, C]
    assert follower.core.attempt is not None and follower.core.attempt.epoch == epoch(6)


def test_a_winner_that_knows_of_a_higher_promise_goes_above_it_at_once(follower: Candidate) -> None:
    follower.told(Promised(epoch(5, B)))
    follower.told(CandidateElected())
    assert follower.core.attempt is not None and follower.core.attempt.epoch == epoch(6)


def test_what_was_seen_while_leading_is_no_reason_to_leave_anybody_out_later(leader: Candidate) -> None:
    leader.told(MemberStalled(B))
    leader.told(Promised(epoch(7, C)))
    leader.is_in(view(7, C, A, B))
    leader.told(CandidateElected())
    leader.answers(A, B, C)
    assert proposal(leader.gathered()).view.members == (A, B, C)


# --- judged is judged ---


def test_an_answer_that_comes_after_the_judgement_changes_nothing_of_it(follower: Candidate) -> None:
    """R3: R and Q are what was judged. Who answered late is told of the view, as everybody who promised."""
    follower.told(CandidateElected())
    follower.answers(A, B)
    follower.due(CollectTimedOut(epoch(2)))
    late = view(1, C, A, B)
    assert follower.state(C, late, attempted=(view(2, C, D),)) == []
    effects = follower.gathered()
    assert sorted(installs(effects)) == [B, C]
    assert (proposal(effects).view.members, proposal(effects).after) == ((A, B), (late,))


def test_an_answer_that_comes_after_the_installation_began_is_answered_by_it(follower: Candidate) -> None:
    follower.told(CandidateElected())
    follower.answers(A, B)
    follower.due(CollectTimedOut(epoch(2)))
    follower.gathered()
    effects = follower.answers(C)
    assert list(installs(effects)) == [C]
    assert follower.answers(C) == []


# --- leaving a candidate its time ---


def test_while_ranges_move_everybody_who_promised_is_asked_again(follower: Candidate) -> None:
    """R3: the candidate repeats STATE_EXCHANGE each heartbeat; without it they elect another one after a second."""
    follower.told(CandidateElected())
    effects = follower.answers(A, B, C)
    assert SetTimer(ExchangeRepeatDue(epoch(2)), 0.25) in effects
    for _ in range(3):
        effects = follower.due(ExchangeRepeatDue(epoch(2)))
        assert [(one.to, one.message) for one in sent(effects, StateExchange)] == [
            (member, StateExchange(epoch(2), view(1, C, A, B))) for member in (A, B, C)
        ]
        assert SetTimer(ExchangeRepeatDue(epoch(2)), 0.25) in effects
        assert follower.answers(A, B, C) == []


def test_once_the_view_is_installed_nobody_is_asked_for_time_any_more(follower: Candidate) -> None:
    follower.told(CandidateElected())
    follower.answers(A, B, C)
    follower.gathered()
    follower.acked_by(A, B)
    assert follower.due(ExchangeRepeatDue(epoch(2))) == []


def test_an_attempt_that_is_over_asks_for_nothing(follower: Candidate) -> None:
    follower.told(CandidateElected())
    follower.answers(A, B, C)
    assert CancelTimer(ExchangeRepeatDue(epoch(2))) in follower.told(Promised(epoch(3, B)))
    assert follower.due(ExchangeRepeatDue(epoch(2))) == []


def test_an_attempt_goes_on_while_ranges_move_and_not_because_promises_are_repeated(follower: Candidate) -> None:
    """R3: a candidate that for the promise time has seen no range, fetch or ack gives up."""
    follower.told(CandidateElected())
    follower.answers(A, B, C)
    for _ in range(5):
        follower.told(RangeMoved(epoch(2)))
        assert follower.due(AttemptTimedOut(epoch(2))) == [SetTimer(AttemptTimedOut(epoch(2)), 1.0)]
    follower.told(RangeMoved(epoch(1)))
    follower.answers(A, B, C)
    effects = follower.due(AttemptTimedOut(epoch(2)))
    assert announced(effects, ChangeFailed) == [ChangeFailed(epoch(2))]


# --- repetitions of VIEW_INSTALL ---


def test_repetitions_end_when_everybody_has_acked(leader: Candidate) -> None:
    leader.hears(C, Leave())
    leader.installs()
    assert leader.due(InstallRepeatDue(epoch(2))) == []


def test_once_installed_a_member_that_lacks_the_view_asks_for_it_itself() -> None:
    """R7: it hears a heartbeat and says HELLO. A dead member of a majority would be sent it for ever."""
    a = Candidate("majority")
    a.is_in(view(1, C, A, B, commit="majority"))
    a.told(CandidateElected())
    a.answers(A, B)
    a.due(CollectTimedOut(epoch(2)))
    a.gathered()
    a.acked_by(A, B)
    assert a.due(InstallRepeatDue(epoch(2))) == []
    a.is_in(view(2, A, B, C, commit="majority"))
    assert list(installs(a.hears(C, Hello(epoch(1, C), epoch(1, C))))) == [C]


def test_who_is_outside_the_view_hears_of_it_for_a_while(leader: Candidate) -> None:
    """A leaver, or a member that was left out, hears no heartbeat that would tell it."""
    leader.hears(C, Leave())
    leader.answers(A, B, C)
    leader.gathered()
    leader.acked_by(A, B)
    repeats = [leader.due(InstallRepeatDue(epoch(2))) for _ in range(25)]
    assert [list(installs(effects)) for effects in repeats[:20]] == [[C]] * 20
    assert repeats[20:] == [[]] * 5
    assert SetTimer(InstallRepeatDue(epoch(2)), 0.25) in repeats[0]


# --- lost members ---


def test_with_all_a_lost_member_makes_the_leader_change_the_view(leader: Candidate) -> None:
    """Q9a: only a view change takes a member out of the denominator."""
    assert leader.asks(leader.told(MemberLost(C))) == [A, B, C]
    leader.answers(A, B)
    leader.due(CollectTimedOut(epoch(2)))
    assert proposal(leader.gathered()).view.members == (A, B)


def test_with_majority_the_leader_starts_no_change_for_a_dead_follower() -> None:
    a = Candidate("majority")
    a.leads(view(1, A, B, C, commit="majority"))
    assert a.told(MemberLost(C)) == []


def test_a_leader_that_hears_too_few_changes_nothing() -> None:
    """R3: the sitting leader starts a change only if those it still hears are enough."""
    a = Candidate()
    a.leads(view(1, A, B))
    assert a.told(MemberLost(B)) == []
    assert a.caught_up(D) == []
    assert a.asks(a.told(ServingJudged((A, B)))) == [A, B, D]


def test_the_wish_stays_until_enough_are_heard_again() -> None:
    a = Candidate()
    a.leads(view(1, A, B, C, D, E))
    a.told(ServingJudged((A, B)))
    assert a.told(MemberLost(C)) == []
    assert a.asks(a.told(ServingJudged((A, B, D)))) == [A, B, C, D, E]


def test_a_lost_member_that_is_heard_again_before_anything_was_started_is_no_reason() -> None:
    a = Candidate()
    a.leads(view(1, A, B, C, D, E))
    a.told(ServingJudged((A, B)))
    a.told(MemberLost(C))
    assert a.told(ServingJudged((A, B, C))) == []


def test_a_member_that_dies_during_the_change_that_leaves_it_out_causes_no_second_one(leader: Candidate) -> None:
    """Its link breaks, and the failure detector says so a moment later: one death, one view."""
    leader.caught_up(D)
    leader.answers(A, B)
    leader.state(D, None)
    leader.told(LinkDown(C, True, leader.now))
    assert leader.told(MemberLost(C)) == []
    leader.gathered()
    leader.acked_by(A, B, D)
    assert asked(leader.is_in(view(2, A, B, D))) == []


def test_a_member_that_dies_after_its_answer_is_left_out_by_the_next_change(leader: Candidate) -> None:
    leader.caught_up(D)
    leader.answers(A, B, C)
    leader.state(D, None)
    leader.told(MemberLost(C))
    leader.gathered()
    leader.acked_by(A, B, D)
    assert leader.asks(leader.is_in(view(2, A, B, C, D))) == [A, B, C, D]


# --- stalled members ---


def test_a_stalled_member_is_left_out_by_name_though_it_answers(leader: Candidate) -> None:
    assert leader.asks(leader.told(MemberStalled(C))) == [A, B, C]
    leader.answers(A, B, C)
    effects = leader.gathered()
    assert proposal(effects).view.members == (A, B)
    assert C in installs(effects)  # it promised, and must learn that it is a learner


def test_a_stalled_member_is_kept_if_the_rest_is_not_enough_after_all(leader: Candidate) -> None:
    """R18: only if the rest is enough, and that is judged when the answers are there: B has died meanwhile."""
    leader.told(MemberStalled(C))
    leader.answers(A, C)
    leader.told(LinkDown(B, True, leader.now))
    leader.told(MemberLost(B))
    assert proposal(leader.gathered()).view.members == (A, C)


def test_a_stalled_member_comes_back_after_three_seconds(leader: Candidate) -> None:
    leader.told(MemberStalled(C))
    leader.answers(A, B, C)
    leader.gathered()
    leader.acked_by(A, B, C)
    leader.is_in(view(2, A, B))
    leader.now += 2.9
    assert leader.caught_up(C) == []
    leader.now += 0.2
    assert leader.asks(leader.caught_up(C)) == [A, B, C]


def test_a_member_that_stalls_while_somebody_else_leads_is_not_ours_to_judge(follower: Candidate) -> None:
    assert follower.told(MemberStalled(B)) == []
    follower.told(CandidateElected())
    follower.answers(A, B, C)
    assert proposal(follower.gathered()).view.members == (A, B, C)


# --- NO_QUORUM ---


def test_no_quorum_says_in_words_who_is_missing(follower: Candidate) -> None:
    follower.told(CandidateElected())
    follower.answers(A)
    effects = follower.due(CollectTimedOut(epoch(2)))
    assert Note("NO_QUORUM", {"epoch": "2/a", "missing": "b, c"}, warning=True) in effects
    assert follower.core.missing == (B, C)
    follower.is_in(view(3, B, A, C))
    assert not follower.core.missing


def test_a_sitting_leader_whose_change_fails_leads_no_more(leader: Candidate) -> None:
    leader.told(MemberLost(C))
    leader.answers(A)
    leader.told(LinkDown(B, True, leader.now))
    effects = leader.told(LinkDown(C, True, leader.now))
    assert announced(effects, ChangeFailed) == [ChangeFailed(epoch(2))]
    assert not leader.core.leads
    assert not announced(effects, ViewInstalled)
