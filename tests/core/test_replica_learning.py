"""Replica: learners and teachers, peers that break the rules, leaving and introducing."""

from __future__ import annotations

import pytest

from logstream.core.effects import Announce, Multicast, Send, Unicast
from logstream.core.events import LinkDown, LinkUp
from logstream.core.replica.vocabulary import (
    Beat,
    DecisionCommitted,
    DropIdentity,
    Gather,
    Gathered,
    IdentityDropped,
    IdentityKept,
    Introduce,
    LearnFrom,
    Promised,
    RangeMoved,
    Resume,
    StepAside,
    SteppedAside,
)
from logstream.protocol.batches import base_offset_in
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.identity import EMPTY_LOG, NO_EPOCH, Member
from logstream.protocol.messages import (
    CatchUp,
    Entry,
    Heartbeat,
    JoinResponse,
    Learn,
    Nack,
    Replicate,
    StateExchange,
    ViewInstall,
)
from tests.core.builders import A, B, C, announced, append, batch, entries_of, epoch, history_of, sent, view
from tests.core.replica_node import ReplicaNode


@pytest.fixture
def leader() -> ReplicaNode:
    """A leads A and B, with commit = all."""
    node = ReplicaNode(A)
    node.leads(view(1, A, B), B)
    return node


@pytest.fixture
def follower() -> ReplicaNode:
    """B follows A."""
    node = ReplicaNode(B)
    node.follows(view(1, A, B))
    return node


@pytest.fixture
def source() -> list[Entry]:
    """What A sequenced in view 1: a topic and nine batches."""
    return list(entries_of(history_of(10)))


# --- learners ---


def test_a_learner_stages_the_leaders_log_and_leaves_its_own_alone(source: list[Entry]) -> None:
    node = ReplicaNode(B)
    assert node.told(LearnFrom("c1", A)) == [Send(A, Learn(NO_EPOCH, EMPTY_LOG))]
    effects = node.hears(A, CatchUp(epoch(1), 0, tuple(source), history_of(10).log.digest()))
    assert effects == [Send(A, Learn(NO_EPOCH, history_of(10).log.digest()))]
    assert node.core.history.end == 0


def test_a_slice_that_brings_nothing_new_is_not_answered_by_another_question(source: list[Entry]) -> None:
    """Every heartbeat asks again: without this each of them would start another chain of slices."""
    node = ReplicaNode(B)
    node.told(LearnFrom("c1", A))
    slice_ = CatchUp(epoch(1), 0, tuple(source), history_of(10).log.digest())
    node.hears(A, slice_)
    assert node.hears(A, slice_) == []


def test_a_learner_hands_on_what_is_committed_as_soon_as_a_view_admits_it(source: list[Entry]) -> None:
    """The leader's heartbeats told the learner of the commit; in a quiet cluster nothing raises it again."""
    node, base = ReplicaNode(B), history_of(10).log.digest()
    node.told(LearnFrom("c1", A))
    node.hears(A, CatchUp(epoch(1), 0, tuple(source), base))
    node.now += 1.0
    node.hears(A, Heartbeat(epoch(1), 10, 10, (A,)))
    node.accepts(view(2, A, B, base=10), base)
    effects = node.hears(A, Heartbeat(epoch(2), 10, 10, (A, B)))
    assert len(announced(effects, DecisionCommitted)) == 1
    assert node.core.applying.applied == 10


def test_a_member_that_learned_beyond_the_base_keeps_what_the_view_has_committed_since(source: list[Entry]) -> None:
    """A member that missed VIEW_INSTALL learns from the installed leader; then the repeated one arrives."""
    node = ReplicaNode(B)
    node.hears(A, Heartbeat(epoch(2), 10, 10, (A, B)))
    node.hears(A, CatchUp(epoch(2), 0, tuple(source), history_of(10).log.digest()))
    node.now += 1.0
    node.hears(A, Heartbeat(epoch(2), 10, 10, (A, B)))
    node.accepts(view(2, A, B, base=8), history_of(8).log.digest())
    assert (node.core.promise.last_view, node.core.history.end) == (epoch(2), 10)


def test_a_commit_of_another_leader_does_not_seal_what_was_staged_from_an_older_one(source: list[Entry]) -> None:
    """The stage may hold a tail that the next view does not have: it must stay possible to cut it."""
    node = ReplicaNode(B)
    node.told(LearnFrom("c1", A))
    node.hears(A, CatchUp(epoch(1), 0, tuple(source), history_of(10).log.digest()))
    other = history_of(8)
    for _ in range(4):
        append(other, epoch(2, C), batch(payload=b"other"))
    node.now += 1.0
    node.hears(C, Heartbeat(epoch(2, C), 12, 12, (C,)))
    effects = node.hears(C, CatchUp(epoch(2, C), 8, entries_of(other, 9), other.log.digest()))
    assert [one.message.digest for one in sent(effects, Learn)] == [other.log.digest()]  # type: ignore[union-attr]


def test_what_a_candidate_reads_is_not_committed_at_the_word_of_another_leader(source: list[Entry]) -> None:
    """The old leader's tail, say; it would be kept when the view of the other one is accepted."""
    node, base = ReplicaNode(B), history_of(20).log.digest()
    node.follows(view(1, A, B, C))
    node.hears(B, StateExchange(epoch(2, B), None))
    node.told(Gather(epoch(2, B), A, base, ()))
    node.hears(C, Heartbeat(epoch(3, C), 12, 12, (A, C)))
    node.hears(A, CatchUp(epoch(2, B), 0, tuple(source), base))
    node.now += 1.0
    node.hears(C, Heartbeat(epoch(3, C), 12, 12, (A, C)))
    staged = node.core.learning.stage.history
    assert staged is not None and (staged.end, staged.commit) == (10, 0)


@pytest.mark.parametrize(("members", "asks_as_learner"), [((A, C), True), ((A, B, C), False)])
def test_who_is_left_out_of_a_view_that_is_installed_waits_for_its_base_no_longer(
    members: tuple[Member, ...], asks_as_learner: bool
) -> None:
    """VIEW_INSTALL is not repeated to it any more, and the log may begin above the base by now (R6, R22)."""
    node = ReplicaNode(B)
    node.follows(view(1, A, B))
    node.hears(A, ViewInstall(view(2, *members, base=10), (), None, history_of(10).log.digest()))
    asked = sent(node.hears(A, Heartbeat(epoch(2), 12, 12, members)), Learn)
    assert [learn.message for learn in asked] == [Learn(NO_EPOCH, EMPTY_LOG)] * asks_as_learner


def test_a_slice_of_an_earlier_reign_of_the_teacher_is_late(source: list[Entry]) -> None:
    """What it had not committed when it sent this may have been taken back before it led again."""
    node = ReplicaNode(B)
    node.hears(A, Heartbeat(epoch(3), 12, 12, (A,)))
    assert node.hears(A, CatchUp(epoch(1), 0, tuple(source), history_of(10).log.digest())) == []
    assert node.core.learning.stage.history is None


def test_an_older_leader_does_not_take_a_learner_over() -> None:
    node = ReplicaNode(B)
    node.hears(C, Heartbeat(epoch(2, C), 0, 0, (C,)))
    node.now += 1.0
    assert not sent(node.hears(A, Heartbeat(epoch(1), 0, 0, (A,))), Learn)


def test_a_learner_that_comes_while_the_view_changes_is_taught_by_the_next_leadership(leader: ReplicaNode) -> None:
    leader.hears(A, StateExchange(epoch(2), None))
    leader.hears(C, Learn(NO_EPOCH, EMPTY_LOG))
    leader.accepts(view(2, A, B))
    leader.told(Resume(epoch(2), (A, B)))
    beats = sent(leader.told(Beat((A, B), leader.now)), Heartbeat)
    assert C in [beat.to for beat in beats]


def test_a_base_is_served_from_the_stage_while_it_is_longer_than_the_own_log(source: list[Entry]) -> None:
    node, base = ReplicaNode(A), history_of(10).log.digest()
    node.told(Gather(epoch(2), B, base))
    gathered = node.hears(B, CatchUp(epoch(2), 0, tuple(source), base))
    assert announced(gathered, Gathered) == [Gathered(epoch(2), base)]
    effects = node.hears(C, Learn(epoch(2), EMPTY_LOG))
    assert effects == [Announce(RangeMoved(epoch(2))), Send(C, CatchUp(epoch(2), 0, tuple(source), base))]


def test_a_base_is_not_served_from_the_log_of_a_later_view(source: list[Entry]) -> None:
    """That one may be cut above the base, by decisions of which the view that is asked about knows nothing."""
    node, base = ReplicaNode(A), history_of(10).log.digest()
    node.told(Gather(epoch(2), B, base))
    node.hears(B, CatchUp(epoch(2), 0, tuple(source), base))
    node.accepts(view(2, A, B, base=10), base)
    node.hears(B, StateExchange(epoch(3, B), None))
    assert sent(node.hears(B, Learn(epoch(2), EMPTY_LOG)), CatchUp)  # a promise alone changes nothing
    node.accepts(view(3, A, B, leader=B, base=10), base)
    assert node.hears(B, Learn(epoch(2), EMPTY_LOG)) == []


def test_a_candidate_reads_the_log_and_not_what_an_earlier_attempt_has_staged(source: list[Entry]) -> None:
    """R5: it asks for the log that STATE described; a longer stage that is left over would never end the fetch."""
    node = ReplicaNode(B)
    node.hears(A, ViewInstall(view(1, A, B, base=20), (), None, history_of(20).log.digest()))
    node.hears(A, CatchUp(epoch(1), 0, tuple(source), history_of(20).log.digest()))
    node.hears(C, StateExchange(epoch(2, C), None))
    [answer] = sent(node.hears(C, Learn(epoch(2, C), EMPTY_LOG)), CatchUp)
    assert answer.message == CatchUp(epoch(2, C), 0, (), EMPTY_LOG)


def test_a_promise_by_view_install_alone_is_announced_too() -> None:
    """An attempt of one's own ends by it: without the announcement it would go on at a lower epoch."""
    node = ReplicaNode(B)
    node.hears(B, StateExchange(epoch(2, B), None))
    assert announced(node.accepts(view(3, A, B)), Promised) == [Promised(epoch(3))]


# --- peers that break the rules ---


def test_a_nack_for_entries_that_no_log_has_is_refused(leader: ReplicaNode) -> None:
    """A peer's bad message is counted and dropped; it never ends the node."""
    leader.creates_topic(1)
    leader.flushed()
    with pytest.raises(RemoteProtocolError):
        leader.hears(B, Nack(epoch(1), 0, 5))


def test_a_nack_is_answered_by_tcp_with_what_is_missing(leader: ReplicaNode) -> None:
    leader.creates_topic(1)
    leader.flushed()
    repair = sent(leader.hears(B, Nack(epoch(1), 1, 3)), Replicate)
    assert [(one.to, [entry.gseq for entry in one.message.entries]) for one in repair] == [(B, [1])]  # type: ignore[union-attr]


def test_a_nack_of_another_epoch_is_not_answered(leader: ReplicaNode) -> None:
    assert leader.hears(B, Nack(epoch(5, C), 1, 3)) == []


# --- leaving, introducing, dissolving ---


def test_a_leader_that_steps_aside_is_frozen_and_names_its_best_follower(leader: ReplicaNode) -> None:
    effects = leader.told(StepAside(heard=(A, B)))
    assert announced(effects, SteppedAside) == [SteppedAside(epoch(1), B)]
    assert leader.core.promise.active is None
    assert leader.core.leadership is None


def test_a_member_introduces_its_leader_to_who_asks(follower: ReplicaNode) -> None:
    effects = follower.told(Introduce("127.0.0.1:5", leader_heard=True))
    answer = JoinResponse(B, "c1", A, (A, B), epoch(1), 0, True)
    assert effects == [Unicast("127.0.0.1:5", answer)]


def test_a_node_without_a_view_says_nothing() -> None:
    assert ReplicaNode(B).told(Introduce("127.0.0.1:5", leader_heard=False)) == []


def test_an_empty_member_drops_its_identity_and_one_that_holds_a_topic_does_not(leader: ReplicaNode) -> None:
    empty = ReplicaNode(B)
    assert announced(empty.told(DropIdentity()), IdentityDropped) == [IdentityDropped()]
    leader.creates_topic(1)
    assert leader.told(DropIdentity()) == [Announce(IdentityKept())]


def test_what_was_under_way_on_a_lost_link_is_sent_again(leader: ReplicaNode) -> None:
    leader.creates_topic(1)
    assert len(sent(leader.flushed(), Replicate)) == 1
    leader.told(LinkDown(B, False, leader.now))
    assert not sent(leader.flushed(), Replicate)
    leader.told(LinkUp(B, leader.now))
    again = sent(leader.flushed(), Replicate)
    assert [len(one.message.entries) for one in again] == [1]  # type: ignore[union-attr]


def test_the_first_heartbeat_of_a_view_goes_both_ways() -> None:
    node = ReplicaNode(A)
    node.accepts(view(1, A, B))
    node.told(Resume(epoch(1), (A, B)))
    effects = node.told(Beat((A, B), node.now))
    beat = Heartbeat(epoch(1), 0, 0, (A, B))
    assert effects[:2] == [Multicast(beat), Send(B, beat)]


def test_a_follower_keeps_the_offsets_that_the_leader_gave(follower: ReplicaNode, source: list[Entry]) -> None:
    follower.hears(A, Replicate(epoch(1), tuple(source), 10, 10))
    assert [base_offset_in(entry.front) for entry in entries_of(follower.core.history, 2)] == list(range(9))
