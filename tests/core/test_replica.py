"""Replica: what it promises, accepts, appends, acknowledges, commits and hands on, rule by rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from logstream.core.effects import Announce, Halt, Send, SetTimer
from logstream.core.events import Due
from logstream.core.replica.applying import ApplyDue
from logstream.core.replica.vocabulary import (
    Beat,
    CandidateHeard,
    Committed,
    DecisionCommitted,
    IdentityDropped,
    Produced,
    Promised,
    Rejected,
    StepAside,
    SteppedAside,
    SteppedDown,
    ViewInstalled,
    ViewLeft,
    ViewsKnown,
)
from logstream.protocol.errors import ErrorCode, RemoteProtocolError
from logstream.protocol.identity import EMPTY_LOG, NO_EPOCH
from logstream.protocol.messages import (
    CatchUp,
    Entry,
    Heartbeat,
    Hello,
    Learn,
    Refuse,
    Replicate,
    ReplicateAck,
    State,
    StateExchange,
    ViewInstall,
    ViewInstallAck,
)
from tests.core.builders import A, B, C, announced, batch, entries_of, epoch, history_of, sent, view
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


# --- R2: promise ---


def test_a_higher_epoch_is_promised_and_freezes(follower: ReplicaNode) -> None:
    effects = follower.hears(C, StateExchange(epoch(2, C), None))
    state = State(epoch(2, C), view(1, A, B), (), epoch(1), EMPTY_LOG)
    assert announced(effects, Promised) == [Promised(epoch(2, C))]
    assert effects[-1] == Send(C, state)
    assert follower.core.promise.active is None


def test_the_same_epoch_is_answered_again_and_changes_nothing(follower: ReplicaNode) -> None:
    first = follower.hears(C, StateExchange(epoch(2, C), None))
    assert follower.hears(C, StateExchange(epoch(2, C), None)) == [Announce(CandidateHeard(epoch(2, C))), first[-1]]


def test_a_lower_epoch_is_refused_with_what_is_promised(follower: ReplicaNode) -> None:
    follower.hears(C, StateExchange(epoch(3, C), None))
    assert follower.hears(A, StateExchange(epoch(2), None)) == [Send(A, Refuse(epoch(2), epoch(3, C)))]


def test_a_frozen_member_neither_appends_nor_acknowledges(follower: ReplicaNode, source: list[Entry]) -> None:
    follower.hears(C, StateExchange(epoch(2, C), None))
    effects = follower.hears(A, Replicate(epoch(1), tuple(source), 10, 0))
    assert follower.core.history.end == 0
    assert not sent(effects + follower.flushed(), ReplicateAck)


# --- R6: install ---


def test_accepted_before_means_answer_again_and_touch_nothing(follower: ReplicaNode, source: list[Entry]) -> None:
    follower.hears(A, Replicate(epoch(1), tuple(source), 10, 0))
    assert follower.accepts(view(1, A, B)) == [Send(A, ViewInstallAck(epoch(1)))]
    assert follower.core.history.end == 10
    assert follower.core.promise.active is not None


def test_a_view_below_the_promise_is_refused(follower: ReplicaNode) -> None:
    follower.hears(C, StateExchange(epoch(3, C), None))
    assert follower.accepts(view(2, A, B)) == [Send(A, Refuse(epoch(2), epoch(3, C)))]


def test_what_is_missing_of_the_base_is_fetched_before_the_view_is_accepted(source: list[Entry]) -> None:
    node, base = ReplicaNode(B), history_of(10).log.digest()
    install = ViewInstall(view(1, A, B, base=10), (), None, base)
    assert node.hears(A, install) == [Announce(CandidateHeard(epoch(1))), Send(A, Learn(epoch(1), EMPTY_LOG))]
    half = node.hears(A, CatchUp(epoch(1), 0, tuple(source[:5]), base))
    assert [one.message.digest.end for one in sent(half, Learn)] == [5]  # type: ignore[union-attr]
    assert node.core.promise.last_view == NO_EPOCH
    rest = node.hears(A, CatchUp(epoch(1), 5, tuple(source[5:]), base))
    assert rest[-1] == Send(A, ViewInstallAck(epoch(1)))
    assert node.core.history.log.digest() == base


def test_a_promise_given_while_a_base_is_fetched_ends_the_fetch(source: list[Entry]) -> None:
    """R6: a node accepts iff the view's epoch >= promised; the promise may rise while ranges move."""
    node, base = ReplicaNode(B), history_of(10).log.digest()
    node.hears(A, ViewInstall(view(1, A, B, base=10), (), None, base))
    node.hears(C, StateExchange(epoch(2, C), None))
    effects = node.hears(A, CatchUp(epoch(1), 0, tuple(source), base))
    assert not sent(effects, ViewInstallAck)
    assert node.core.promise.last_view == NO_EPOCH


def test_a_repeated_view_install_does_not_fetch_the_base_twice(source: list[Entry]) -> None:
    """VIEW_INSTALL is repeated every 0.15 s: each repetition may ask again, but only one chain of slices goes on."""
    node, base = ReplicaNode(B), history_of(10).log.digest()
    install = ViewInstall(view(1, A, B, base=10), (), None, base)
    node.hears(A, install)
    node.hears(A, install)
    slice_ = CatchUp(epoch(1), 0, tuple(source[:5]), base)
    assert len(sent(node.hears(A, slice_), Learn)) == 1
    assert node.hears(A, slice_) == []


def test_a_view_that_would_take_back_what_is_committed_halts_the_node(
    follower: ReplicaNode, source: list[Entry]
) -> None:
    follower.hears(A, Replicate(epoch(1), tuple(source), 10, 10))
    effects = follower.accepts(view(2, C, B, base=0))
    assert effects[1:] == [Halt("view 2 led by c with b, c would take back committed entries 1 to 10")]
    assert follower.core.history.end == 10


def test_an_uncommitted_tail_that_the_base_lacks_is_cut(follower: ReplicaNode, source: list[Entry]) -> None:
    follower.hears(A, Replicate(epoch(1), tuple(source), 10, 4))
    base = history_of(6).log.digest()
    effects = follower.accepts(view(2, C, B, base=6), base)
    assert effects[-1] == Send(C, ViewInstallAck(epoch(2, C)))
    assert (follower.core.history.end, follower.core.commit) == (6, 4)


def test_a_member_left_out_accepts_and_is_a_learner(follower: ReplicaNode) -> None:
    effects = follower.accepts(view(2, A))
    assert sent(effects, ViewInstallAck)
    assert announced(effects, ViewLeft) == [ViewLeft(view(2, A))]


# --- R7: resume, R8: fence ---


def test_accepting_a_view_does_not_unfreeze(source: list[Entry]) -> None:
    node = ReplicaNode(B)
    node.accepts(view(1, A, B))
    assert node.core.promise.active is None
    assert node.core.promise.attempted == (view(1, A, B),)


def test_the_leaders_heartbeat_unfreezes_and_tells_everybody_once() -> None:
    node = ReplicaNode(B)
    node.accepts(view(1, A, B))
    beat = Heartbeat(epoch(1), 0, 0, (A, B))
    assert announced(node.hears(A, beat), ViewInstalled) == [ViewInstalled(view(1, A, B), leads=False)]
    assert announced(node.hears(A, beat), ViewInstalled) == []
    assert (node.core.promise.installed, node.core.promise.attempted) == (view(1, A, B), ())


def test_somebody_who_is_not_the_leader_cannot_unfreeze() -> None:
    node = ReplicaNode(B)
    node.accepts(view(1, A, B))
    node.hears(C, Heartbeat(epoch(1), 0, 0, (A, B)))
    assert node.core.promise.active is None


def test_replicate_of_an_older_epoch_is_answered_with_hello_and_changes_nothing(
    follower: ReplicaNode, source: list[Entry]
) -> None:
    follower.follows(view(2, C, B))
    effects = follower.hears(A, Replicate(epoch(1), tuple(source), 10, 10))
    assert [one.message for one in sent(effects, Hello)] == [Hello(epoch(2, C), epoch(2, C))]
    assert follower.core.history.end == 0
    assert follower.core.promise.active == view(2, C, B)


def test_hello_is_said_at_most_once_per_heartbeat_to_each_leader(follower: ReplicaNode) -> None:
    follower.hears(C, StateExchange(epoch(3, C), None))
    said = []
    for _ in range(5):
        follower.now += 0.01
        said += sent(follower.hears(A, Heartbeat(epoch(1), 0, 0, ())), Hello)
        said += sent(follower.hears(C, Heartbeat(epoch(2, C), 0, 0, ())), Hello)
    assert [one.to for one in said] == [A, C]


def test_a_higher_epoch_that_is_heard_freezes(follower: ReplicaNode) -> None:
    follower.hears(C, Heartbeat(epoch(2, C), 0, 0, (C,)))
    assert follower.core.promise.active is None


# --- R9: acks ---


def test_entries_that_continue_the_log_are_acknowledged_once_per_turn(
    follower: ReplicaNode, source: list[Entry]
) -> None:
    follower.hears(A, Replicate(epoch(1), tuple(source[:5]), 10, 0))
    follower.hears(A, Replicate(epoch(1), tuple(source[5:]), 10, 0))
    acks = [one.message for one in sent(follower.flushed(), ReplicateAck)]
    assert [(ack.epoch, ack.gseq, ack.chain) for ack in acks] == [(epoch(1), 10, source[-1].chain)]  # type: ignore[union-attr]


def test_what_is_not_contiguous_is_not_acknowledged(follower: ReplicaNode, source: list[Entry]) -> None:
    follower.hears(A, Replicate(epoch(1), tuple(source[:2]), 10, 0))
    follower.hears(A, Replicate(epoch(1), tuple(source[3:]), 10, 0))
    assert [one.message.gseq for one in sent(follower.flushed(), ReplicateAck)] == [2]  # type: ignore[union-attr]


def test_an_ack_whose_chain_is_not_the_leaders_is_never_counted(leader: ReplicaNode) -> None:
    leader.creates_topic(1)
    leader.flushed()
    with pytest.raises(RemoteProtocolError, match="differs"):
        leader.hears(B, ReplicateAck(epoch(1), 1, 12345, 1 << 20, False))
    leader.flushed()
    assert leader.core.commit == 0


# --- R10: commit, R11 and R12: answers ---


def test_a_batch_is_answered_only_when_every_member_has_acked_it(leader: ReplicaNode) -> None:
    """R11: a produce is acknowledged with its offset only after commit; commit = all."""
    leader.creates_topic(1)
    leader.proposes(2, batch(records=3))
    leader.proposes(3, batch())
    assert not announced(leader.flushed(), Produced)
    leader.acked_by(B)
    effects = leader.flushed()
    assert announced(effects, Produced) == [Produced(1, 1), Produced(2, 0), Produced(3, 3)]
    assert [type(event) for event in announced(effects, object)][:2] == [DecisionCommitted, Committed]


def test_topics_hear_of_a_commit_before_the_producers_do(leader: ReplicaNode) -> None:
    leader.creates_topic(1)
    leader.proposes(2, batch())
    leader.flushed()
    leader.acked_by(B)
    kinds = [type(event) for event in announced(leader.flushed(), object)]
    assert kinds == [DecisionCommitted, Committed, Produced, Produced]


def test_acks_of_another_epoch_commit_nothing(leader: ReplicaNode) -> None:
    leader.creates_topic(1)
    leader.flushed()
    leader.hears(B, ReplicateAck(epoch(9, C), 1, leader.core.history.log.chain, 1 << 20, False))
    leader.flushed()
    assert leader.core.commit == 0


def test_a_repeated_batch_that_is_committed_gets_its_old_offset_at_once(leader: ReplicaNode) -> None:
    """R12: a known sequence gets the same offset again. Nothing else moves commit in a quiet cluster."""
    leader.creates_topic(1)
    leader.proposes(2, batch(producer=7))
    leader.flushed()
    leader.acked_by(B)
    leader.flushed()
    effects = leader.proposes(3, batch(producer=7))
    assert announced(effects + leader.flushed(), Produced) == [Produced(3, 0)]
    leader.now += 5.0
    assert not announced(leader.told(Beat((A, B), leader.now)), Rejected)


def test_who_does_not_lead_answers_retry(follower: ReplicaNode) -> None:
    effects = follower.proposes(5, batch())
    assert effects == [Announce(Rejected(5, ErrorCode.RETRY, "this broker does not lead"))]


def test_committed_entries_are_handed_on_in_slices(follower: ReplicaNode) -> None:
    entries = entries_of(history_of(2500))
    follower.hears(A, Replicate(epoch(1), entries, 2500, 0))
    effects = follower.hears(A, Heartbeat(epoch(1), 2500, 2500, (A, B)))
    assert SetTimer(ApplyDue(), 0.0) in effects
    assert (follower.core.commit, follower.core.applying.applied) == (2500, 1000)
    follower.told(Due(ApplyDue(), follower.now))
    follower.told(Due(ApplyDue(), follower.now))
    assert follower.core.applying.applied == 2500


def test_waiting_producers_whose_entries_are_cut_hear_retry(leader: ReplicaNode) -> None:
    leader.creates_topic(1)
    leader.hears(B, StateExchange(epoch(2, B), None))
    effects = leader.accepts(view(2, B, A))
    assert announced(effects, Rejected) == [Rejected(1, ErrorCode.RETRY, "a new view began without this batch")]


def test_a_new_leader_commits_the_base_at_once_when_all_have_acked_it(source: list[Entry]) -> None:
    """R6, Q9: only when installed, and at once, does the leader commit the base."""
    node = ReplicaNode(A)
    node.follows(view(1, C, A, B))
    node.hears(C, Replicate(epoch(1, C), entries_of(history_of(10, epoch(1, C))), 10, 0))
    node.leads(view(2, A, B, base=10), B)
    assert node.core.commit == 10


# --- R14: the lease, election NAME, force-view ---


def test_a_leader_whose_lease_is_over_freezes_and_tells_its_producers(leader: ReplicaNode) -> None:
    """R14: no more heartbeats, waiting producers get RETRY, it is leaderless."""
    leader.creates_topic(1)
    leader.told(Beat((A, B), leader.now))
    leader.now += 2.6
    effects = leader.told(Beat((A, B), leader.now))
    assert announced(effects, object) == [
        Promised(epoch(1)),
        Rejected(1, ErrorCode.RETRY, "the leader lost its majority"),
        SteppedDown(leader.now),
    ]
    assert not sent(effects, Heartbeat)
    assert (leader.core.leadership, leader.core.promise.active) == (None, None)


def test_a_leader_that_was_paused_checks_its_lease_with_the_first_beat(leader: ReplicaNode) -> None:
    leader.told(Beat((A, B), leader.now))
    leader.now += 600.0
    assert announced(leader.told(Beat((A, B), leader.now)), SteppedDown)


def test_a_leader_that_is_heard_keeps_its_lease(leader: ReplicaNode) -> None:
    for _ in range(20):
        leader.now += 1.0
        leader.acked_by(B)
        assert not announced(leader.told(Beat((A, B), leader.now)), SteppedDown)


def test_a_leader_that_stepped_down_resumes_by_a_new_view_only(leader: ReplicaNode) -> None:
    """No timer, and no ack that comes late, ever unfreezes."""
    leader.told(Beat((A, B), leader.now))
    leader.now += 2.6
    leader.told(Beat((A, B), leader.now))
    leader.acked_by(B)
    assert leader.told(Beat((A, B), leader.now)) == []
    assert leader.core.promise.active is None
    leader.hears(A, StateExchange(epoch(2), None))
    leader.leads(view(2, A, B), B)
    assert leader.core.promise.active == view(2, A, B)


def test_a_leader_steps_aside_for_the_member_that_was_named() -> None:
    node = ReplicaNode(A)
    node.leads(view(1, A, B, C), B, C)
    effects = node.told(StepAside(B))
    assert announced(effects, object) == [Promised(epoch(1)), SteppedAside(epoch(1), B)]


def test_a_forced_view_that_takes_back_committed_entries_ends_the_identity_and_not_the_node(
    follower: ReplicaNode, source: list[Entry]
) -> None:
    """Force-view: whoever has committed more drops its identity and joins anew."""
    follower.hears(A, Replicate(epoch(1), tuple(source), 10, 10))
    forced = replace(view(1002, C, B), lineage=epoch(1002, C))
    effects = follower.accepts(forced)
    assert announced(effects, IdentityDropped) == [IdentityDropped()]
    assert not [effect for effect in effects if isinstance(effect, Halt)]


def test_a_promise_tells_the_elector_whom_to_leave_its_time(follower: ReplicaNode) -> None:
    """R3: the promise, a VIEW_INSTALL and a repeated STATE_EXCHANGE of that epoch."""
    for said in (
        follower.hears(C, StateExchange(epoch(2, C), None)),
        follower.hears(C, StateExchange(epoch(2, C), None)),
        follower.hears(C, ViewInstall(view(2, C, B, base=5), (), None, history_of(5).log.digest())),
    ):
        assert announced(said, CandidateHeard) == [CandidateHeard(epoch(2, C))]
    assert not announced(follower.hears(A, StateExchange(epoch(1), None)), CandidateHeard)


def test_what_a_replica_knows_of_views_is_announced_whenever_it_changes() -> None:
    node = ReplicaNode(B)
    first = view(1, A, B)
    assert announced(node.accepts(first), ViewsKnown) == [ViewsKnown(None, (first,))]
    beat = Heartbeat(epoch(1), 0, 0, (A, B))
    assert announced(node.hears(A, beat), ViewsKnown) == [ViewsKnown(first, ())]
    later = ViewInstall(view(3, C, B), (view(2, A, C),), first, EMPTY_LOG)
    assert announced(node.hears(C, later), ViewsKnown) == [ViewsKnown(first, (view(2, A, C), view(3, C, B)))]
