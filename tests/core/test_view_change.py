"""ViewChange: when an attempt starts, when it is judged, what it installs, and who cannot follow."""

from __future__ import annotations

import pytest

from logstream.core.effects import Announce, CancelTimer, Note, SetTimer
from logstream.core.events import LinkDown
from logstream.core.replica.vocabulary import (
    Gather,
    Promised,
    Resume,
)
from logstream.core.view_vocabulary import (
    AttemptTimedOut,
    CandidateElected,
    ChangeFailed,
    CollectTimedOut,
    FoundCluster,
    InstallRepeatDue,
)
from logstream.protocol.identity import EMPTY_LOG
from logstream.protocol.messages import (
    Hello,
    Leave,
    Refuse,
    ViewInstallAck,
)
from tests.core.builders import A, B, C, D, E, announced, epoch, history_of, view
from tests.core.candidate import Candidate, asked, installs


@pytest.fixture
def leader() -> Candidate:
    """A leads A, B and C in view 1."""
    candidate = Candidate()
    candidate.leads(view(1, A, B, C))
    return candidate


# --- founding ---


def test_a_founder_asks_itself_and_installs_a_view_of_itself() -> None:
    a = Candidate()
    effects = a.told(FoundCluster())
    assert asked(effects) == [A]
    effects = a.state(A, None)
    assert announced(effects, Gather) == [Gather(epoch(1), A, EMPTY_LOG)]
    [(to, install)] = installs(a.gathered()).items()
    assert (to, install.view.members, install.view.leader, install.after) == (A, (A,), A, ())
    assert len(install.view.cluster_id) == 16
    assert a.hears(A, ViewInstallAck(epoch(1))) == [
        CancelTimer(AttemptTimedOut(epoch(1))),
        Announce(Resume(epoch(1), (A,))),
    ]


# --- R3: collect ---


def test_nobody_hears_of_an_epoch_before_the_candidate_has_promised_it_itself(leader: Candidate) -> None:
    """R2: its promise may have to reach a disk first."""
    effects = leader.hears(C, Leave())
    assert asked(effects) == [A]
    assert SetTimer(CollectTimedOut(epoch(2)), 1.0) in effects
    effects = leader.state(A, leader.core.view)
    assert asked(effects) == [B, C]
    assert SetTimer(CollectTimedOut(epoch(2)), 0.4) in effects


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
    """R3: time never weakens this rule; after NO_QUORUM the candidate is a leaderless follower again."""
    leader.hears(C, Leave())
    for n in range(2, 7):
        leader.state(A, view(1, A, B, C))
        effects = leader.due(CollectTimedOut(epoch(n)))
        assert not announced(effects, Gather)
        assert [one.text for one in effects if isinstance(one, Note)] == ["NO_QUORUM"]
        assert announced(effects, ChangeFailed) == [ChangeFailed(epoch(n))]
        assert (leader.core.attempt, leader.core.leads, leader.core.missing) == (None, False, (B, C))
        assert leader.asks(leader.told(CandidateElected())) == [A, B, C]


def test_the_answers_must_be_enough_for_every_attempted_view_too(leader: Candidate) -> None:
    """R3: remembering only the newest attempt is not enough, two primaries can arise."""
    leader.hears(C, Leave())
    attempted = view(2, C, D)
    leader.state(A, view(1, A, B, C))
    leader.state(B, view(1, A, B, C), attempted=(attempted,))
    leader.state(C, view(1, A, B, C))
    effects = leader.due(CollectTimedOut(epoch(2)))
    assert not announced(effects, Gather)  # C alone is half of {C, D} and not the highest of them


def test_remembering_only_the_newest_attempt_is_not_enough(leader: Candidate) -> None:
    """R3: enough for every view in Q. All who answer are most of the newest attempt, but not of the one before it."""
    leader.hears(C, Leave())
    attempts = (view(2, C, D, E), view(3, A, B, C))
    for member in (A, B, C):
        leader.state(member, view(1, A, B, C), attempted=attempts)
    effects = leader.due(CollectTimedOut(epoch(2)))
    assert announced(effects, ChangeFailed) and not announced(effects, Gather)
    assert leader.core.missing == (D, E)


def test_members_of_a_revealed_view_are_asked_too(leader: Candidate) -> None:
    leader.hears(C, Leave())
    effects = leader.state(B, view(1, A, B, C), attempted=(view(2, C, D),))
    assert asked(effects) == [D]
    assert SetTimer(CollectTimedOut(epoch(2)), 0.4) in effects


def test_a_refusal_starts_once_more_above_it(leader: Candidate) -> None:
    leader.hears(C, Leave())
    effects = leader.hears(B, Refuse(epoch(2), epoch(7, D)))
    assert leader.asks(effects) == [A, B, C]
    assert leader.core.attempt is not None and leader.core.attempt.epoch == epoch(8)


def test_a_second_refusal_is_an_answer_like_another(leader: Candidate) -> None:
    """R3: once more at once. Where two candidates refuse each other one of them must not go on for ever."""
    leader.hears(C, Leave())
    leader.hears(B, Refuse(epoch(2), epoch(7, D)))
    leader.answers(A, C)
    effects = leader.hears(B, Refuse(epoch(8), epoch(12, D)))
    assert asked(effects) == []
    assert announced(effects, Gather)


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
    effects = leader.gathered()
    assert list(installs(effects)) == [B, C]
    assert SetTimer(InstallRepeatDue(epoch(2)), 0.15) in effects
    assert list(installs(leader.due(InstallRepeatDue(epoch(2))))) == [B, C]
    assert list(installs(leader.acked_by(B))) == [A]
    leader.acked_by(A)
    assert list(installs(leader.due(InstallRepeatDue(epoch(2))))) == [C]


def test_a_view_is_not_installed_before_its_leader_has_accepted_it(leader: Candidate) -> None:
    """The others are enough without it, but it is the one who is to lead."""
    leader.caught_up(D)
    leader.answers(A, B, C, D)
    leader.gathered()
    effects = leader.acked_by(B, C, D)
    assert A in installs(effects)
    assert not announced(effects, Resume)
    assert announced(leader.acked_by(A), Resume) == [Resume(epoch(2), (A, B, C, D))]


def test_a_candidate_accepts_its_own_view_last_so_that_nobody_is_bound_when_the_others_die(leader: Candidate) -> None:
    """With its own acceptance A would have to account for a view of A and B, which it cannot without B."""
    leader.hears(C, Leave())
    leader.answers(A, B, C)
    assert A not in installs(leader.gathered())
    leader.acked_by(C)
    assert A not in installs(leader.due(InstallRepeatDue(epoch(2))))


def test_a_view_is_installed_by_enough_of_the_old_and_most_of_the_new_members(leader: Candidate) -> None:
    leader.hears(C, Leave())
    for member in (A, B, C):
        leader.state(member, view(1, A, B, C))
    leader.gathered()
    assert not announced(leader.hears(A, ViewInstallAck(epoch(2))), Resume)
    # C's ack counts for the old view, not for the majority of the new one
    assert not announced(leader.hears(C, ViewInstallAck(epoch(2))), Resume)
    assert announced(leader.hears(B, ViewInstallAck(epoch(2))), Resume) == [Resume(epoch(2), (A, B))]


def test_an_ack_of_an_earlier_attempt_counts_for_nothing(leader: Candidate) -> None:
    leader.hears(C, Leave())
    for member in (A, B, C):
        leader.state(member, view(1, A, B, C))
    leader.gathered()
    assert leader.hears(B, ViewInstallAck(epoch(1))) == []


def test_an_attempt_that_nobody_answers_for_the_promise_time_is_given_up(leader: Candidate) -> None:
    leader.hears(C, Leave())
    for member in (A, B, C):
        leader.state(member, view(1, A, B, C))
    assert leader.due(AttemptTimedOut(epoch(2))) == [SetTimer(AttemptTimedOut(epoch(2)), 1.0)]
    effects = leader.due(AttemptTimedOut(epoch(2)))
    assert [one.text for one in effects if isinstance(one, Note)] == ["NO_QUORUM"]


# --- R7: who cannot follow ---


def test_a_member_with_a_higher_promise_makes_the_leader_change_the_view(leader: Candidate) -> None:
    effects = leader.hears(B, Hello(epoch(6, C), epoch(1)))
    assert leader.asks(effects) == [A, B, C]
    assert leader.core.attempt is not None and leader.core.attempt.epoch == epoch(7)


def test_a_hello_that_answers_a_late_heartbeat_during_a_change_starts_no_second_one(leader: Candidate) -> None:
    """A multicast may arrive after STATE_EXCHANGE overtook it: the promise in that HELLO is our own epoch."""
    leader.hears(C, Leave())
    leader.hears(B, Hello(epoch(2), epoch(1)))
    leader.installs()
    assert asked(leader.is_in(view(2, A, B))) == []


def test_a_member_that_missed_the_installation_gets_it_again(leader: Candidate) -> None:
    leader.hears(C, Leave())
    leader.installs()
    leader.is_in(view(2, A, B))
    assert list(installs(leader.hears(B, Hello(epoch(2), epoch(1))))) == [B]


def test_a_hello_from_outside_the_view_starts_nothing(leader: Candidate) -> None:
    assert leader.hears(D, Hello(epoch(6, C), epoch(1))) == []
