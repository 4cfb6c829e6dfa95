"""Elections (R4): who probes when, who takes part, and who stands; the ring is test_election_ring.py."""

from __future__ import annotations

import random

import pytest

from logstream.core.effects import Announce, CancelTimer, Effect, Note, Send, SetTimer
from logstream.core.election import Elections, ElectionSettings, Phase, ProbeDue, ProbeTimedOut, QuietOver
from logstream.core.events import Due, LinkDown, LinkUp, Received
from logstream.core.failure_detector import LeaderFound, LeaderLost, Suspected
from logstream.core.replica.vocabulary import CandidateHeard, LeaderHeard, ViewInstalled, ViewsKnown
from logstream.core.view_vocabulary import CandidateElected, ChangeFailed, LeaveCluster
from logstream.protocol.identity import Member, View
from logstream.protocol.messages import Election, Message, Probe, ProbeAck
from tests.core.builders import A, B, C, D, E, announced, epoch, sent, view

EVERYBODY = (A, B, C, D, E)
LED_BY_C = view(1, C, A, B)


class Node:
    """B's elections; its leader was C, its fellow member is A."""

    def __init__(self, known: View = LED_BY_C, attempted: tuple[View, ...] = ()) -> None:
        self.core = Elections(B, ElectionSettings(), random.Random(1))
        self.core.handle(ViewsKnown(known, attempted))

    def told(self, event: object) -> list[Effect]:
        return self.core.handle(event)

    def hears(self, sender: Member, message: Message) -> list[Effect]:
        return self.core.handle(Received(message, sender, 10.0))

    def due(self, timer: object) -> list[Effect]:
        return self.core.handle(Due(timer, 10.0))

    def loses_leader(self) -> list[Effect]:
        return self.told(LeaderLost(10.0))


@pytest.fixture
def b() -> Node:
    """B has a leader."""
    return Node()


@pytest.fixture
def lost() -> Node:
    """B is leaderless and has sent its first probe."""
    node = Node()
    node.loses_leader()
    return node


def waits(effects: list[Effect], timer: object) -> list[float]:
    return [one.after_s for one in effects if isinstance(one, SetTimer) and one.timer == timer]


# --- probe ---


def test_a_leaderless_member_probes_all_members_of_every_view_it_knows() -> None:
    node = Node(attempted=(view(2, A, B, D),))
    effects = node.loses_leader()
    assert sent(effects, Probe) == [Send(A, Probe(1)), Send(C, Probe(1)), Send(D, Probe(1))]
    assert waits(effects, ProbeTimedOut(1)) == [0.15]


def test_suspicion_alone_starts_nothing(b: Node) -> None:
    """R4; between the two thresholds the peer is asked over TCP."""
    assert b.told(Suspected(C)) == [Send(C, Probe(0))]
    assert b.core.phase is Phase.IDLE
    assert b.hears(A, ProbeAck(0, leaderless=True, leads=False)) == []


def test_a_suspected_leader_that_says_that_it_leads_is_heard(b: Node) -> None:
    b.told(Suspected(C))
    assert b.hears(C, ProbeAck(0, leaderless=False, leads=True)) == [Announce(LeaderHeard(C, 10.0))]


def test_whoever_says_that_it_leads_without_being_a_leader_of_a_known_view_is_not_believed(b: Node) -> None:
    assert b.hears(D, ProbeAck(0, leaderless=False, leads=True)) == []


def test_a_probe_ends_as_soon_as_all_have_answered(lost: Node) -> None:
    assert lost.hears(A, ProbeAck(1, leaderless=True, leads=False)) == []
    effects = lost.hears(C, ProbeAck(1, leaderless=False, leads=False))
    assert CancelTimer(ProbeTimedOut(1)) in effects
    assert sent(effects, Election) == [Send(A, Election((A, B), B))]


def test_a_probe_ends_when_the_rest_cannot_be_reached(lost: Node) -> None:
    lost.hears(A, ProbeAck(1, leaderless=True, leads=False))
    assert sent(lost.told(LinkDown(C, True, 10.0)), Election) == [Send(A, Election((A, B), B))]


def test_a_probe_ends_when_the_rest_is_silent(lost: Node) -> None:
    lost.hears(A, ProbeAck(1, leaderless=True, leads=False))
    assert sent(lost.due(ProbeTimedOut(1)), Election) == [Send(A, Election((A, B), B))]


def test_a_host_that_refuses_is_asked_but_not_waited_for(b: Node) -> None:
    b.told(LinkDown(C, True, 10.0))
    effects = b.loses_leader()
    assert [one.to for one in sent(effects, Probe)] == [A, C]
    assert sent(b.hears(A, ProbeAck(1, leaderless=True, leads=False)), Election) != []


def test_an_answer_to_an_earlier_probe_counts_for_nothing(lost: Node) -> None:
    lost.due(ProbeDue())
    assert lost.hears(A, ProbeAck(1, leaderless=True, leads=False)) == []
    assert lost.hears(C, ProbeAck(1, leaderless=True, leads=False)) == []
    assert lost.core.phase is Phase.PROBING


def test_the_timer_of_an_earlier_probe_ends_nothing(lost: Node) -> None:
    lost.due(ProbeDue())
    assert lost.due(ProbeTimedOut(1)) == []


def test_a_ring_that_is_not_enough_is_probed_again_soon_and_after_a_second_less_often(lost: Node) -> None:
    """Reference section 4: again after 0.05 in the first second, then every 0.6 to 1.2."""
    between = []
    for number in range(1, 31):
        between += waits(lost.due(ProbeTimedOut(number)), ProbeDue())
        lost.due(ProbeDue())
    assert between[:19] == [0.05] * 19
    assert all(0.6 <= wait_s <= 1.2 for wait_s in between[20:])
    assert len(set(between[20:])) > 5
    assert lost.core.missing == (A, C)


def test_the_ring_must_be_enough_for_an_attempted_view_too() -> None:
    """R4, Q3: A and B are most of the installed view, and half without the highest of the attempted one."""
    node = Node(attempted=(view(2, A, B, C, D),))
    node.loses_leader()
    node.hears(A, ProbeAck(1, leaderless=True, leads=False))
    effects = node.due(ProbeTimedOut(1))
    assert not sent(effects, Election)
    assert node.core.missing == (C, D)


def test_a_lost_round_is_replaced_by_the_next_probe(lost: Node) -> None:
    """R4: ring messages are not repeated."""
    lost.hears(A, ProbeAck(1, leaderless=True, leads=False))
    effects = lost.due(ProbeTimedOut(1))
    [wait_s] = waits(effects, ProbeDue())
    assert 0.6 <= wait_s <= 1.2
    assert [one.to for one in sent(lost.due(ProbeDue()), Probe)] == [A, C]


def test_a_ring_of_one_is_won_at_once() -> None:
    alone = Node(known=view(1, B))
    effects = alone.loses_leader()
    assert announced(effects, CandidateElected) == [CandidateElected((B,))]
    assert [one.text for one in effects if isinstance(one, Note)] == ["ELECTION", "I WIN"]


# --- who takes part ---


def test_a_node_says_leaderless_only_while_it_is(b: Node) -> None:
    assert b.hears(A, Probe(7)) == [Send(A, ProbeAck(7, leaderless=False, leads=False))]
    b.loses_leader()
    assert b.hears(A, Probe(8)) == [Send(A, ProbeAck(8, leaderless=True, leads=False))]
    b.told(LeaderFound(C))
    assert b.hears(A, Probe(9)) == [Send(A, ProbeAck(9, leaderless=False, leads=False))]


def test_a_learner_does_not_stand_and_passes_on() -> None:
    """It knows only views without it. Others may know a newer one that has it, and need its promise (seed 604647)."""
    learner = Node(known=view(1, C, A, D))
    assert learner.loses_leader() == []
    assert learner.hears(A, Probe(1)) == [Send(A, ProbeAck(1, leaderless=True, leads=False))]
    assert learner.hears(A, Election((A, B), A)) == [Send(A, Election((A, B), A))]


def test_who_has_just_found_too_few_lets_others_try() -> None:
    """A candidate that cannot go on, because its disk hangs for instance, must not win every ring."""
    b = Node(known=view(1, C, A, B))
    b.loses_leader()
    b.told(ChangeFailed(epoch(2)))
    assert b.hears(A, Election((A, B), A)) == [Send(A, Election((A, B), A))]
    b.due(ProbeDue())
    assert b.hears(A, Election((A, B), A)) == [Send(A, Election((A, B), B))]


def test_a_member_of_an_attempted_view_takes_part() -> None:
    newcomer = Node(known=view(1, C, A), attempted=(view(2, C, A, B),))
    assert [one.to for one in sent(newcomer.loses_leader(), Probe)] == [A, C]


def test_a_newcomer_without_any_view_may_be_counted_on_and_passes_on_what_is_not_its_own() -> None:
    """Others may know a view that admits it, before it does: they need its promise, but it cannot be a candidate."""
    newcomer = Node()
    newcomer.told(ViewsKnown(None, ()))
    assert newcomer.hears(A, Probe(1)) == [Send(A, ProbeAck(1, leaderless=True, leads=False))]
    assert newcomer.hears(A, Election((A, B, C), A)) == [Send(C, Election((A, B, C), A))]
    assert newcomer.loses_leader() == []
    newcomer.told(LeaderFound(C))
    assert newcomer.hears(A, Probe(2)) == [Send(A, ProbeAck(2, leaderless=False, leads=False))]
    assert newcomer.hears(A, Election((A, B, C), A)) == []


def test_a_leaver_never_stands(lost: Node) -> None:
    lost.told(LeaveCluster())
    assert lost.hears(A, Probe(7)) == [Send(A, ProbeAck(7, leaderless=False, leads=False))]
    assert lost.hears(A, Election((A, B), B)) == []
    assert lost.due(ProbeDue()) == []


def test_a_ring_message_without_this_node_is_dropped(lost: Node) -> None:
    assert lost.hears(A, Election((A, C), A)) == []


def test_a_lower_id_is_replaced_and_a_higher_one_passed_on(lost: Node) -> None:
    """A node passes on the higher of the received id and its own; it never swallows."""
    assert lost.hears(A, Election((A, B, C), A)) == [Send(C, Election((A, B, C), B))]
    assert lost.hears(A, Election((A, B, C), C)) == [Send(C, Election((A, B, C), C))]


def test_a_node_that_has_found_a_leader_drops_the_ring(lost: Node) -> None:
    effects = lost.told(LeaderFound(C))
    assert CancelTimer(ProbeDue()) in effects
    assert lost.hears(A, Election((A, B), B)) == []


# --- the leader's own answer ---


def test_a_leader_says_that_it_leads() -> None:
    node = Node()
    node.told(ViewInstalled(view(2, B, A), leads=True))
    assert node.hears(A, Probe(7)) == [Send(A, ProbeAck(7, leaderless=False, leads=True))]
    assert node.hears(C, Probe(8)) == [Send(C, ProbeAck(8, leaderless=False, leads=False))]  # it was left out


@pytest.mark.parametrize(
    "event",
    [CandidateHeard(epoch(3, C)), LeaderFound(C), ViewInstalled(view(3, C, B), leads=False), LeaderLost(10.0)],
    ids=["promised to a candidate", "follows another", "is in another's view", "stepped down"],
)
def test_a_leader_that_leads_no_more_does_not_say_that_it_does(event: object) -> None:
    """Its followers would take it for heard for ever, and never look for another one."""
    node = Node()
    node.told(ViewInstalled(view(2, B, A), leads=True))
    node.told(event)
    [answer] = sent(node.hears(A, Probe(7)), ProbeAck)
    assert isinstance(answer.message, ProbeAck) and not answer.message.leads


# --- leaving a candidate its time (R3) ---


def test_a_node_that_has_promised_does_not_probe_for_the_promise_time(b: Node) -> None:
    assert waits(b.told(CandidateHeard(epoch(2, A))), QuietOver()) == [1.0]
    assert b.loses_leader() == []
    assert b.due(ProbeDue()) == []
    assert [one.to for one in sent(b.due(QuietOver()), Probe)] == [A, C]


def test_a_candidate_that_is_heard_ends_a_probe(lost: Node) -> None:
    effects = lost.told(CandidateHeard(epoch(2, A)))
    assert CancelTimer(ProbeTimedOut(1)) in effects
    assert CancelTimer(ProbeDue()) in effects
    assert lost.hears(A, ProbeAck(1, leaderless=True, leads=False)) == []


def test_every_word_of_the_candidate_starts_the_promise_time_anew(lost: Node) -> None:
    for _ in range(3):
        assert waits(lost.told(CandidateHeard(epoch(2, A))), QuietOver()) == [1.0]


def test_who_has_found_its_leader_again_does_nothing_when_the_promise_time_is_over(lost: Node) -> None:
    lost.told(CandidateHeard(epoch(2, A)))
    lost.told(LeaderFound(A))
    assert lost.due(QuietOver()) == []


# --- after NO_QUORUM (R3) ---


def test_the_back_off_is_random_and_doubles_to_one_second(lost: Node) -> None:
    found = [waits(lost.told(ChangeFailed(epoch(n))), ProbeDue())[0] for n in range(2, 9)]
    ceilings = [0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0]
    assert all(ceiling / 2 <= wait_s <= ceiling for wait_s, ceiling in zip(found, ceilings, strict=True))
    assert len(set(found)) == len(found)


def test_an_installed_view_ends_the_doubling(lost: Node) -> None:
    for n in range(2, 6):
        lost.told(ChangeFailed(epoch(n)))
    lost.told(ViewInstalled(view(7, A, B), leads=False))
    assert waits(lost.told(ChangeFailed(epoch(8))), ProbeDue())[0] <= 0.2


def test_a_link_that_comes_up_ends_the_back_off(lost: Node) -> None:
    lost.told(ChangeFailed(epoch(2)))
    assert lost.told(LinkUp(D, 10.0)) == []
    assert [one.to for one in sent(lost.told(LinkUp(C, 10.0)), Probe)] == [A, C]
    assert lost.told(LinkUp(A, 10.0)) == []


def test_a_sitting_leader_whose_change_failed_backs_off_too() -> None:
    """It hears of the failure first and of being leaderless after that."""
    node = Node()
    node.told(ViewInstalled(view(2, B, A), leads=True))
    node.told(ChangeFailed(epoch(3)))
    assert node.loses_leader() == []
    assert sent(node.due(ProbeDue()), Probe) != []


# --- the winner ---


def test_the_winner_is_a_candidate_and_probes_again_if_nothing_comes_of_it(lost: Node) -> None:
    """Whoever is told may be busy; what is announced once must not be waited for for ever."""
    effects = lost.hears(A, Election((A, B), B))
    assert announced(effects, CandidateElected) == [CandidateElected((A, B))]
    [wait_s] = waits(effects, ProbeDue())
    assert 0.6 <= wait_s <= 1.2
    assert CancelTimer(ProbeDue()) in lost.told(CandidateHeard(epoch(2, B)))  # it collects: its own Replica heard it


def test_the_log_shows_an_elections_progress(lost: Node) -> None:
    """Reference section 5: grep -E "ELECTION|I WIN|COORDINATOR"."""
    lost.hears(A, ProbeAck(1, leaderless=True, leads=False))
    effects = lost.due(ProbeTimedOut(1))
    effects += lost.hears(A, Election((A, B), B))
    effects += lost.told(ViewInstalled(view(2, B, A), leads=True))
    notes = [(one.text, one.fields) for one in effects if isinstance(one, Note)]
    assert notes == [
        ("ELECTION", {"ring": "a, b", "probe": 1}),
        ("I WIN", {"ring": "a, b"}),
        ("COORDINATOR", {"leader": "b", "view": 2}),
    ]


def test_a_node_that_was_in_the_ring_names_the_coordinator_too(lost: Node) -> None:
    lost.hears(A, Election((A, B, C), A))
    effects = lost.told(ViewInstalled(view(2, C, A, B), leads=False))
    assert effects == [CancelTimer(QuietOver()), Note("COORDINATOR", {"leader": "c", "view": 2})]


def test_a_view_that_no_election_made_has_no_coordinator(b: Node) -> None:
    assert b.told(ViewInstalled(view(2, C, A, B, D), leads=False)) == [CancelTimer(QuietOver())]


def test_a_leader_that_is_found_again_ends_the_election_without_a_coordinator(lost: Node) -> None:
    lost.hears(A, Election((A, B, C), A))
    lost.told(LeaderFound(C))
    assert lost.told(ViewInstalled(view(2, C, A, B, D), leads=False)) == [CancelTimer(QuietOver())]


def test_a_leader_that_dies_right_after_its_view_is_not_waited_for_as_a_candidate_is(b: Node) -> None:
    b.told(CandidateHeard(view(2, C, A, B, D).epoch))
    b.told(ViewInstalled(view(2, C, A, B, D), leads=False))
    assert Send(A, Probe(1)) in b.told(LeaderLost(1.0))


def test_who_learns_that_it_is_a_member_no_more_passes_on_and_does_not_stand(b: Node) -> None:
    """B was left out by a view that it has not heard of. As the highest of each ring it would try for ever, and those
    who promise to it would never try themselves."""
    b.told(ViewsKnown(view(1, C, A, B), ()))
    b.told(LeaderLost(10.0))
    b.told(ChangeFailed(epoch(2, B), outside=True))
    assert b.due(ProbeDue()) == []
    assert b.hears(A, Election((A, B), A)) == [Send(A, Election((A, B), A))]
    b.told(ViewsKnown(view(3, C, A, B), ()))
    assert b.due(ProbeDue()) != []


def test_hosts_of_strangers_that_refuse_are_not_kept(b: Node) -> None:
    """A learner that crashes again and again has another identity each time."""
    for number in range(1000):
        b.told(LinkDown(Member(f"n{number}", "s"), True, 10.0))
    assert not b.core._gone
