"""ViewChange at an operator's word: another leader by name (R18), and a view forced without a quorum."""

from __future__ import annotations

import pytest

from logstream.core.effects import Announce
from logstream.core.failure_detector import ServingJudged
from logstream.core.replica.vocabulary import (
    Gather,
    Promised,
    Resume,
    StepAside,
    SteppedAside,
    ViewsKnown,
)
from logstream.core.view_vocabulary import (
    CandidateElected,
    ChangeFailed,
    CollectTimedOut,
    ForceView,
    TransferLeadership,
)
from logstream.protocol.messages import Handover, Refuse, StateExchange, ViewInstall
from tests.core.builders import A, B, C, D, E, announced, epoch, sent, view
from tests.core.candidate import Candidate, installs, proposal


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


# --- election NAME ---


def test_an_operator_names_the_successor(leader: Candidate) -> None:
    assert leader.told(TransferLeadership("b")) == [Announce(StepAside(B))]
    effects = leader.told(SteppedAside(epoch(1), B))
    assert [(one.to, one.message) for one in sent(effects, Handover)] == [(B, Handover(epoch(1), leaving=False))]


def test_the_named_successor_keeps_the_old_leader_as_a_member() -> None:
    a = Candidate()
    a.is_in(view(1, B, A, C))
    assert a.asks(a.hears(B, Handover(epoch(1, B), leaving=False))) == [A, B, C]
    a.answers(A, B, C)
    assert proposal(a.gathered()).view.members == (A, B, C)


@pytest.mark.parametrize("name", ["a", "z", "c"], ids=["leads already", "is no member", "is not heard"])
def test_nobody_steps_aside_for_somebody_who_cannot_lead(leader: Candidate, name: str) -> None:
    leader.told(ServingJudged((A, B)))
    assert leader.told(TransferLeadership(name)) == []
    assert leader.core.leads


def test_nobody_steps_aside_during_a_change(leader: Candidate) -> None:
    leader.caught_up(D)
    assert leader.told(TransferLeadership("b")) == []


def test_a_follower_hands_nothing_over(follower: Candidate) -> None:
    assert follower.told(TransferLeadership("b")) == []


# --- force-view ---


def test_a_forced_view_consists_of_its_responders_in_a_new_lineage(follower: Candidate) -> None:
    """The operator's word replaces Q3 for one COLLECT and its INSTALL: n + 1,000, new lineage, M = responders."""
    effects = follower.told(ForceView())
    assert follower.asks(effects) == [A, B, C]
    follower.answers(A)
    assert announced(follower.due(CollectTimedOut(epoch(1002))), Gather)
    [(to, install)] = installs(follower.gathered()).items()
    assert (to, install.view.members, install.view.lineage) == (A, (A,), epoch(1002))
    assert announced(follower.acked_by(A), Resume) == [Resume(epoch(1002), (A,))]


def test_a_forced_view_with_majority_consists_of_its_responders_too() -> None:
    a = Candidate("majority")
    a.is_in(view(1, C, A, B, D, E, commit="majority"))
    for n, responders in ((1002, (A, B)), (2003, (A, B, D))):  # few of the members, and most of them
        a.told(ForceView())
        a.answers(*responders)
        a.due(CollectTimedOut(epoch(n)))
        assert proposal(a.gathered()).view.members == responders


def test_a_forced_view_is_still_installed_by_most_of_its_own_members(follower: Candidate) -> None:
    follower.told(ForceView())
    follower.answers(A, B)
    follower.due(CollectTimedOut(epoch(1002)))
    follower.gathered()
    assert not announced(follower.acked_by(A), Resume)
    assert announced(follower.acked_by(B), Resume)


def test_a_refusal_of_a_forced_view_starts_it_once_more(follower: Candidate) -> None:
    follower.told(ForceView())
    follower.hears(B, Refuse(epoch(1002), epoch(2000, B)))
    attempt = follower.core.attempt
    assert attempt is not None and (attempt.epoch, attempt.forced) == (epoch(2001), True)


def test_the_operators_word_counts_for_one_change_only(follower: Candidate) -> None:
    follower.told(ForceView())
    follower.told(Promised(epoch(1500, B)))
    follower.told(CandidateElected())
    follower.answers(A)
    assert announced(follower.due(CollectTimedOut(epoch(1501))), ChangeFailed)


def test_the_lineage_is_inherited_even_from_a_view_that_was_only_attempted(follower: Candidate) -> None:
    """The base may be its log: who has committed more must hear that the operator accepted the loss."""
    forced = view(1002, A, B)
    attempted = type(forced)(forced.epoch, A, forced.members, (), 0, "c1", "all", lineage=forced.epoch)
    follower.told(CandidateElected())
    follower.state(A, view(1, C, A, B), attempted=(attempted,))
    follower.answers(B, C)
    install = proposal(follower.gathered())
    assert isinstance(install, ViewInstall)
    assert install.view.lineage == epoch(1002)


def test_a_candidate_names_the_view_that_it_knows_to_be_installed_also_when_it_has_just_come_back() -> None:
    """Whoever is of a higher lineage ignores it then."""
    a = Candidate()
    a.told(Promised(epoch(1)))
    a.told(ViewsKnown(old := view(1, A, B, C), ()))
    asked = sent(a.told(CandidateElected((A, B))) + a.state(A, None), StateExchange)
    assert {one.message for one in asked} == {StateExchange(epoch(2), old)}
