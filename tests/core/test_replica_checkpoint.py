"""Replica: trimmed heads (R16, R22). Who lags behind one goes on from a checkpoint, inside and outside of views."""

from __future__ import annotations

import pytest

from logstream.core.effects import Announce, Effect, Halt, Send, SetTimer
from logstream.core.events import Due
from logstream.core.replica import snapshot as snapshot_module
from logstream.core.replica.applying import ApplyDue
from logstream.core.replica.history import History
from logstream.core.replica.leadership import Limits
from logstream.core.replica.learning import answer_from
from logstream.core.replica.retention import Keep
from logstream.core.replica.trimming import TrimDue, Trimming
from logstream.core.replica.vocabulary import Beat, Committed, DecisionCommitted, LearnFrom, PartitionTrimmed, Rejected
from logstream.protocol.errors import ErrorCode
from logstream.protocol.identity import EMPTY_LOG, NO_EPOCH, Digest, Run
from logstream.protocol.messages import (
    CatchUp,
    EntryKind,
    Heartbeat,
    Learn,
    Nack,
    Replicate,
    ReplicateAck,
    Snapshot,
    TopicCreated,
    TopicDeleted,
    Trimmed,
    ViewInstall,
    ViewInstallAck,
)
from tests.core.builders import A, B, C, announced, append, batch, entries_of, epoch, following, history_of, sent, view
from tests.core.replica_node import ReplicaNode

PAYLOAD = bytes(100)


def cut_history(batches: int = 20, start: int = 12, producers: int = 0) -> History:
    """A topic whose partition 0 is trimmed to an offset, committed and cut; its checkpoint is at gseq start + 1."""
    history = history_of(1)
    for number in range(batches):
        producer = 100 + number if number < producers else -1
        append(history, epoch(1), batch(producer=producer, payload=PAYLOAD))
    history.sequence_decision(epoch(1), Trimmed(1, 0, start))
    history.commit_to(history.end)
    trimming = Trimming(history, 1 << 30)
    while trimming.due(history.end, 0.0):
        pass
    assert history.log.start == start + 2
    return history


def answers(source: History, learner: ReplicaNode, teacher_epoch_asks: list[Effect]) -> list[Effect]:
    """Answer each LEARN that the learner sends, until it sends none."""
    effects, last = teacher_epoch_asks, teacher_epoch_asks
    while asked := sent(effects, Learn):
        [ask] = asked
        assert isinstance(ask.message, Learn)
        last = effects = learner.hears(ask.to, answer_from(source, ask.message))
    return last


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows of a checkpoint in one message, so that every one takes several."""
    monkeypatch.setattr(snapshot_module, "ROWS", 3)


@pytest.fixture
def follower() -> ReplicaNode:
    """B follows A in view 1, with an empty log."""
    node = ReplicaNode(B)
    node.follows(view(1, A, B, C, commit="majority"))
    return node


# --- outside a view change ---


def test_a_follower_that_lags_takes_the_checkpoint_acks_it_and_goes_on(follower: ReplicaNode) -> None:
    source = cut_history(producers=10)
    first = answer_from(source, Learn(epoch(1), EMPTY_LOG))
    assert isinstance(first, Snapshot) and first.total == 12
    asked = follower.hears(A, first)
    assert sent(asked, Learn) == [Send(A, Learn(epoch(1), EMPTY_LOG, 13, 3))]
    effects = answers(source, follower, asked)
    assert (follower.core.history.log.start, follower.core.history.end, follower.core.commit) == (14, 13, 13)
    assert announced(effects, DecisionCommitted) == [DecisionCommitted(1, TopicCreated("t", 4))]
    assert announced(effects, PartitionTrimmed) == [PartitionTrimmed(1, 0, 12)]
    [ack] = sent(follower.flushed(), ReplicateAck)
    assert isinstance(ack.message, ReplicateAck)
    assert (ack.message.gseq, ack.message.chain) == (13, source.log.chain_at(13))
    tail = entries_of(source, 14)
    effects = follower.hears(A, Replicate(epoch(1), tail, source.end, source.end))
    assert follower.core.history.log.digest() == source.log.digest()
    [committed] = announced(effects, Committed)
    assert committed == Committed(1, 0, tail[:-1])


def test_what_was_held_back_continues_the_checkpoint(follower: ReplicaNode) -> None:
    source = cut_history()
    follower.hears(A, Replicate(epoch(1), entries_of(source, 14), source.end, source.end))
    answers(source, follower, follower.hears(A, answer_from(source, Learn(epoch(1), EMPTY_LOG))))
    assert (follower.core.history.end, follower.core.commit) == (source.end, source.end)


@pytest.mark.parametrize(
    ("epoch_n", "sender"), [(0, A), (2, A), (1, C)], ids=["no epoch", "another epoch", "no leader"]
)
def test_only_the_leader_of_the_active_view_replaces_a_followers_log(
    follower: ReplicaNode, epoch_n: int, sender: object
) -> None:
    source = cut_history()
    made_in = epoch(epoch_n) if epoch_n else NO_EPOCH
    assert follower.hears(sender, answer_from(source, Learn(made_in, EMPTY_LOG))) == []  # type: ignore[arg-type]
    assert follower.core.history.log.digest() == EMPTY_LOG


def test_a_checkpoint_below_the_own_end_changes_nothing(follower: ReplicaNode) -> None:
    source = cut_history(batches=20, start=5)
    whole = history_of(1)
    for _ in range(20):
        append(whole, epoch(1), batch(payload=PAYLOAD))
    follower.hears(A, Replicate(epoch(1), entries_of(whole, 1, 15), 15, 10))
    assert follower.hears(A, answer_from(source, Learn(epoch(1), EMPTY_LOG))) == []
    assert (follower.core.history.log.start, follower.core.history.end) == (1, 15)


def test_the_first_slice_again_asks_for_what_is_missing_and_a_later_one_again_does_not(follower: ReplicaNode) -> None:
    source = cut_history(producers=10)
    first = answer_from(source, Learn(epoch(1), EMPTY_LOG))
    second = answer_from(source, Learn(epoch(1), EMPTY_LOG, 13, 3))
    follower.hears(A, first)
    follower.hears(A, second)
    again = follower.hears(A, first)
    assert sent(again, Learn) == [Send(A, Learn(epoch(1), EMPTY_LOG, 13, 6))]
    assert follower.hears(A, second) == []


# --- leading ---


@pytest.fixture
def leader() -> ReplicaNode:
    """A leads A, B and C with commit = majority; partition 0 keeps 300 bytes."""
    limits = Limits(1 << 30, 2.5, 1.0, lambda: 1, keep=Keep(bytes_max=300))
    node = ReplicaNode(A, limits)
    node.leads(view(1, A, B, C, commit="majority"), B, C)
    node.creates_topic()
    for request in range(10):
        node.proposes(request, batch(payload=PAYLOAD))
    node.flushed()
    node.acked_by(B)
    node.flushed()
    return node


def carried_out(node: ReplicaNode) -> None:
    """Let a heartbeat's time pass: look, decide, replicate, commit, drop."""
    for _ in range(6):
        node.now += 0.5
        node.told(Beat(node.core.promise.active.members if node.core.promise.active else (), node.now))
        node.flushed()
        while SetTimer(TrimDue(), 0.0) in node.told(Due(TrimDue(), node.now)):
            pass
        node.acked_by(B)
        node.flushed()


def test_a_leader_decides_replicates_and_carries_out_what_its_limits_say(leader: ReplicaNode) -> None:
    carried_out(leader)
    log = leader.core.history.log
    assert log.kind(log.end) is EntryKind.TRIM
    assert [gseq for gseq in range(log.start, log.end + 1) if log.has_body(gseq)] == [11]
    assert log.start == 11


def test_a_member_behind_the_head_is_sent_the_beginning_of_the_checkpoint_once_for_each_ack(
    leader: ReplicaNode,
) -> None:
    carried_out(leader)
    assert sent(leader.flushed(), Snapshot) == []  # it was sent when the head was cut
    leader.hears(C, ReplicateAck(epoch(1), 0, 0, 1 << 20, False))
    effects = leader.flushed()
    assert [one.to for one in sent(effects, Snapshot)] == [C]
    assert not [one for one in sent(effects, Replicate) if one.to == C]
    assert sent(leader.flushed(), Snapshot) == []


def test_a_member_that_misses_what_is_cut_is_sent_the_beginning_of_the_checkpoint(leader: ReplicaNode) -> None:
    carried_out(leader)
    [answer] = leader.hears(C, Nack(epoch(1), 3, 9))
    assert isinstance(answer, Send) and isinstance(answer.message, Snapshot)
    assert (answer.to, answer.message.first, answer.message.checkpoint) == (C, 0, 10)


def test_an_ack_below_the_head_counts_nothing_and_harms_nobody(leader: ReplicaNode) -> None:
    carried_out(leader)
    commit = leader.core.commit
    leader.hears(C, ReplicateAck(epoch(1), 5, 12345, 1 << 20, False))
    leader.flushed()
    assert leader.core.commit == commit


def test_full_memory_is_a_reason_to_trim_and_what_can_never_fit_is_refused_for_good() -> None:
    node = ReplicaNode(A, Limits(10_000, 2.5, 1.0, lambda: 1, keep=Keep(0)))
    node.leads(view(1, A))
    node.creates_topic()
    node.flushed()
    large = batch(payload=bytes(4000))
    for request in (1, 2):
        assert announced(node.proposes(request, large), Rejected) == []
        node.flushed()
    [full] = announced(node.proposes(3, large), Rejected)
    assert full == Rejected(3, ErrorCode.RETRY, "broker memory is full (setting memory_max)")
    while SetTimer(TrimDue(), 0.0) in node.told(Due(TrimDue(), node.now)):
        pass
    node.flushed()  # decided, stored, committed
    node.flushed()
    while SetTimer(TrimDue(), 0.0) in node.told(Due(TrimDue(), node.now)):
        pass
    assert announced(node.proposes(4, large), Rejected) == []
    [never] = announced(node.proposes(5, batch(payload=bytes(9900))), Rejected)
    assert isinstance(never, Rejected) and never.error is ErrorCode.RECORD_TOO_LARGE


# --- learners and views ---


def test_a_learner_takes_checkpoint_and_tail_beside_its_log_until_a_view_admits_it() -> None:
    source, learner = cut_history(producers=10), ReplicaNode(B)
    asked = learner.told(LearnFrom("c1", A))
    for _ in range(20):
        [ask] = sent(asked, Learn)
        assert isinstance(ask.message, Learn)
        if ask.message.digest == source.log.digest():
            break
        asked = learner.hears(A, answer_from(source, ask.message))
    assert learner.core.history.log.digest() == EMPTY_LOG
    new = view(2, A, B, base=source.end)
    effects = learner.hears(A, ViewInstall(new, (), None, source.log.digest()))
    assert sent(effects, ViewInstallAck)
    assert learner.core.history.log.digest() == source.log.digest()
    effects = learner.hears(A, Heartbeat(new.epoch, source.end, source.end, new.members))
    effects += learner.told(Due(ApplyDue(), learner.now))
    events = [type(one.event) for one in effects if isinstance(one, Announce)]
    assert events.index(DecisionCommitted) < events.index(PartitionTrimmed) < events.index(Committed)


def test_a_member_whose_commit_lies_below_the_bases_start_accepts_it_and_hears_of_topics_that_are_gone() -> None:
    node = ReplicaNode(B)
    node.follows(view(1, A, B))
    old = history_of(3, topic="old")
    node.hears(A, Replicate(epoch(1), entries_of(old), 3, 3))
    node.flushed()
    source = following(old)
    source.sequence_decision(epoch(1), TopicDeleted(1, "old"))
    source.sequence_decision(epoch(1), TopicCreated("new", 1))
    source.commit_to(source.end)
    trimming = Trimming(source, 1 << 30)
    while trimming.due(source.end, 0.0):
        pass
    assert source.log.start == 6
    new = view(2, A, B, base=5)
    answers(source, node, node.hears(A, ViewInstall(new, (), None, source.log.digest())))
    assert node.core.history.log.digest() == source.log.digest()
    effects = node.hears(A, Heartbeat(new.epoch, 5, 5, new.members))
    assert announced(effects, DecisionCommitted) == [
        DecisionCommitted(0, TopicDeleted(1, "old")),
        DecisionCommitted(5, TopicCreated("new", 1)),
    ]


def test_a_base_that_ends_below_the_own_commit_still_halts_the_node() -> None:
    """I7: a cut head excuses only what lies below it."""
    node = ReplicaNode(B)
    node.follows(view(1, A, B))
    own = history_of(1)
    for _ in range(20):
        append(own, epoch(1), batch(payload=PAYLOAD))
    node.hears(A, Replicate(epoch(1), entries_of(own), 21, 21))
    short = Digest(5, 12, own.log.chain_at(12), (Run(epoch(1), 12),))
    effects = node.hears(C, ViewInstall(view(2, C, A, B), (), None, short))
    assert any(isinstance(one, Halt) for one in effects)


def test_a_slice_of_trimmed_entries_is_followed_like_any_other() -> None:
    source = history_of(1)
    append(source, epoch(1), batch(payload=PAYLOAD), (1, 1))
    for _ in range(5):
        append(source, epoch(1), batch(payload=PAYLOAD))
    source.sequence_decision(epoch(1), Trimmed(1, 0, 4))
    source.commit_to(source.end)
    trimming = Trimming(source, 1 << 30)
    while trimming.due(source.end, 0.0):
        pass
    assert source.log.start == 2
    whole = following(history_of(1))
    caught_up = answer_from(source, Learn(NO_EPOCH, whole.log.digest()))
    assert isinstance(caught_up, CatchUp)
    assert [len(entry.body) for entry in caught_up.entries] == [140, 40, 40, 40, 40, 140, 6]
    for entry in caught_up.entries:
        whole.follow(entry)
    assert whole.log.chain == source.log.chain
