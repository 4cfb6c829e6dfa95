"""Leadership: what is sequenced and what is refused, who hears why nothing commits, how learners are taught."""

from __future__ import annotations

import pytest

from logstream.core.effects import Announce, Effect, Send
from logstream.core.replica.history import History
from logstream.core.replica.leadership import Leadership, Limits
from logstream.core.replica.vocabulary import (
    FollowerHeard,
    LearnerCaughtUp,
    MemberStalled,
    Propose,
    ProposeDecision,
    Rejected,
)
from logstream.core.replica.waiting import Waiting
from logstream.protocol.batches import Batch, header_of
from logstream.protocol.errors import ErrorCode
from logstream.protocol.identity import EMPTY_LOG, NO_EPOCH, View
from logstream.protocol.messages import (
    CatchUp,
    Heartbeat,
    Learn,
    ReplicateAck,
    TopicCreated,
    TopicDecision,
    TopicDeleted,
)
from tests.core.builders import A, B, C, D, announced, batch, epoch, following, history_of, sent, view


class Leads:
    """A leads; its history and who waits."""

    def __init__(self, history: History, of: View, expected: int = 1, memory_max: int = 1 << 30) -> None:
        self.history, self.waiting = history, Waiting()
        limits = Limits(memory_max, 2.5, 1.0, lambda: expected)
        self.core = Leadership(of, A, history, self.waiting, limits, 0)
        self.now = 10.0

    def proposes(self, one: Batch, topic_id: int = 1, request: int = 1) -> list[Effect]:
        effects = self.core.propose(Propose(request, topic_id, 0, one, header_of(one.body), self.now))
        self.core.committed(self.now)  # as at the end of a turn
        return effects

    def decides(self, decision: TopicDecision, request: int = 1) -> list[Effect]:
        return self.core.decide(ProposeDecision(request, decision, self.now))

    def beats(self, after_s: float = 0.25) -> list[Effect]:
        self.now += after_s
        return self.core.beat((A, B, C), 0, self.now)

    def ack(self) -> ReplicateAck:
        return ReplicateAck(epoch(1), self.history.end, self.history.log.chain, 1 << 20, True)

    def all_acked(self) -> None:
        self.core.store_own()
        for member in (B, C):
            ack = ReplicateAck(epoch(1), self.history.end, self.history.log.chain, 1 << 20, True)
            self.core.acked(member, ack, self.now)


@pytest.fixture
def a() -> Leads:
    """Topic t exists; the view is A, B and C."""
    return Leads(history_of(1), view(1, A, B, C))


def refusals(effects: list[Effect]) -> list[ErrorCode]:
    return [one.error for one in announced(effects, Rejected) if isinstance(one, Rejected)]


# --- R12 ---


def test_the_next_sequence_is_appended_and_waits(a: Leads) -> None:
    assert a.proposes(batch(producer=7)) == []
    assert (a.history.end, len(a.waiting)) == (2, 1)


def test_a_repetition_appends_nothing_and_waits_for_the_first_one(a: Leads) -> None:
    a.proposes(batch(producer=7), request=1)
    a.proposes(batch(producer=7), request=2)
    assert a.history.end == 2
    assert [(one.request, one.gseq, one.offset) for one in a.waiting.take_to(9)] == [(1, 2, 0), (2, 2, 0)]


@pytest.mark.parametrize(
    ("second", "error"),
    [
        (batch(producer=7, sequence=2), ErrorCode.OUT_OF_ORDER),
        (batch(producer=8, sequence=1), ErrorCode.UNKNOWN_PRODUCER),
        (batch(producer=7, sequence=1, producer_epoch=2), ErrorCode.FENCED),
    ],
    ids=["a gap", "an unknown producer", "an older incarnation"],
)
def test_what_does_not_follow_appends_nothing(a: Leads, second: Batch, error: ErrorCode) -> None:
    a.proposes(batch(producer=7, producer_epoch=3 if error is ErrorCode.FENCED else 0))
    assert refusals(a.proposes(second)) == [error]
    assert a.history.end == 2


def test_who_has_no_producer_id_is_not_deduplicated(a: Leads) -> None:
    a.proposes(batch())
    a.proposes(batch())
    assert a.history.end == 3


def test_a_deleted_topic_takes_nothing(a: Leads) -> None:
    assert refusals(a.proposes(batch(), topic_id=5)) == [ErrorCode.UNKNOWN_TOPIC]


def test_a_full_memory_is_answered_by_the_name_of_the_setting() -> None:
    a = Leads(history_of(3), view(1, A), memory_max=1000)
    effects = a.proposes(batch(payload=bytes(500)))
    assert announced(effects, Rejected) == [Rejected(1, ErrorCode.RETRY, "broker memory is full (setting memory_max)")]


def test_what_is_in_the_log_gets_its_offset_however_full_the_memory_is() -> None:
    a = Leads(history_of(1), view(1, A), memory_max=1000)
    a.proposes(batch(producer=7, payload=bytes(300)), request=1)
    assert refusals(a.proposes(batch(producer=7, sequence=1, payload=bytes(300)))) == [ErrorCode.RETRY]
    assert a.proposes(batch(producer=7, payload=bytes(300)), request=2) == []


# --- decisions ---


def test_a_topic_is_created_once_and_deleted_once(a: Leads) -> None:
    assert a.decides(TopicCreated("u", 1)) == []
    assert refusals(a.decides(TopicCreated("u", 1))) == [ErrorCode.TOPIC_EXISTS]
    assert a.decides(TopicDeleted(2, "u")) == []
    assert refusals(a.decides(TopicDeleted(2, "u"))) == [ErrorCode.UNKNOWN_TOPIC]
    assert refusals(a.decides(TopicDeleted(9, "t"))) == [ErrorCode.UNKNOWN_TOPIC]


# --- Q10: the floor ---


def test_an_empty_cluster_below_the_floor_says_whom_it_waits_for() -> None:
    a = Leads(History(), view(1, A), expected=3)
    [refused] = announced(a.decides(TopicCreated("t", 1)), Rejected)
    assert isinstance(refused, Rejected)
    assert refused.text == "waiting for 2 of 3 expected nodes (setting expected_nodes), so far: a"


def test_an_empty_cluster_waits_for_two_heartbeats_above_the_floor() -> None:
    a = Leads(History(), view(1, A, B), expected=3)
    a.core.begin((A, B))
    a.beats()
    assert refusals(a.decides(TopicCreated("t", 1))) == [ErrorCode.RETRY]
    a.beats()
    assert a.decides(TopicCreated("t", 1)) == []


def test_for_the_floor_only_those_count_who_say_that_they_are_there() -> None:
    """Q9a keeps a dead member in the view. Its node may have come back empty, and be one of another cluster."""
    a = Leads(History(), view(1, A, B, C), expected=5)
    a.core.begin((A, B))
    for _ in range(4):
        a.beats()
        a.core.acked(B, a.ack(), a.now)
    [refused] = announced(a.decides(TopicCreated("t", 1)), Rejected)
    assert isinstance(refused, Rejected)
    assert refused.text == "waiting for 3 of 5 expected nodes (setting expected_nodes), so far: a, b"
    for _ in range(2):
        for member in (B, C):
            a.core.acked(member, a.ack(), a.now)
        a.beats()
    a.now += 0.3
    assert refusals(a.decides(TopicCreated("t", 1))) == [ErrorCode.RETRY]
    for member in (B, C):
        a.core.acked(member, a.ack(), a.now)
    assert a.decides(TopicCreated("t", 1)) == []


def test_an_empty_cluster_waits_while_another_one_with_topics_is_heard() -> None:
    a = Leads(History(), view(1, A, B), expected=3)
    a.core.begin((A, B))
    a.beats()
    a.beats()
    a.core.other_cluster_at = a.now
    assert refusals(a.decides(TopicCreated("t", 1))) == [ErrorCode.RETRY]
    a.now += 1.0
    a.core.acked(B, a.ack(), a.now)
    assert a.decides(TopicCreated("t", 1)) == []


def test_a_node_that_is_meant_to_be_alone_waits_for_nothing() -> None:
    assert Leads(History(), view(1, A), expected=1).decides(TopicCreated("t", 1)) == []


def test_a_cluster_that_holds_a_topic_has_no_floor() -> None:
    assert Leads(history_of(1), view(1, A), expected=5).proposes(batch()) == []


# --- who waits for whom ---


def test_where_nothing_commits_producers_hear_who_does_not_answer(a: Leads) -> None:
    a.proposes(batch(), request=4)
    a.core.store_own()
    ack = ReplicateAck(epoch(1), 2, a.history.log.chain, 1 << 20, True)
    a.core.acked(C, ack, a.now)
    assert announced(a.beats(0.9), Rejected) == []
    [refused] = announced(a.beats(0.2), Rejected)
    assert refused == Rejected(4, ErrorCode.RETRY, "no commit for 1 s: member b does not answer")


def test_a_slow_but_moving_commit_rejects_nobody(a: Leads) -> None:
    for number in range(8):
        a.proposes(batch(), request=number)
        a.beats(0.5)
        a.all_acked()
        a.core.committed(a.now)
        a.waiting.take_to(a.history.end)
    assert announced(a.beats(0.5), Rejected) == []


def test_a_repeated_committed_batch_does_not_look_like_a_stuck_commit(a: Leads) -> None:
    a.proposes(batch(producer=7))
    a.all_acked()
    a.core.committed(a.now)
    a.waiting.take_to(2)
    a.proposes(batch(producer=7))
    a.waiting.take_to(2)
    a.now += 60.0
    a.proposes(batch(producer=7, sequence=1))
    assert announced(a.beats(0.5), Rejected) == []


def test_who_waits_since_an_earlier_view_hears_too(a: Leads) -> None:
    a.proposes(batch(), request=4)
    later = Leadership(view(2, A, B, C), A, a.history, a.waiting, Limits(1 << 30, 2.5, 1.0, lambda: 1), 0)
    later.committed(20.0)
    assert len(announced(later.beat((A, B, C), 0, 21.1), Rejected)) == 1


# --- R18: members that hold everybody back ---


def test_with_all_a_member_whose_ack_does_not_move_for_the_slow_time_stalls(a: Leads) -> None:
    """R18, with commit = all: the leader leaves it out, by name."""
    a.proposes(batch())
    a.core.store_own()
    a.core.acked(C, ReplicateAck(epoch(1), 2, a.history.log.chain, 1 << 20, True), a.now)
    assert announced(a.beats(0.9), MemberStalled) == []
    assert announced(a.beats(0.2), MemberStalled) == [MemberStalled(B)]


def test_a_member_that_does_not_acknowledge_the_base_stalls_though_no_producer_waits(a: Leads) -> None:
    a.proposes(batch())
    a.waiting.take_above(0)
    later = Leadership(view(2, A, B, C, base=2), A, a.history, a.waiting, Limits(1 << 30, 2.5, 1.0, lambda: 1), 0)
    later.begin((A, C))
    later.committed(20.0)
    assert announced(later.beat((A, B, C), 0, 20.9), MemberStalled) == []
    assert announced(later.beat((A, B, C), 0, 21.1), MemberStalled) == [MemberStalled(B)]


def test_where_nothing_waits_nobody_stalls(a: Leads) -> None:
    assert announced(a.beats(60.0), MemberStalled) == []
    a.proposes(batch())
    a.all_acked()
    a.core.committed(a.now)
    assert announced(a.beats(60.0), MemberStalled) == []


def test_with_majority_nobody_is_left_out_for_being_slow() -> None:
    a = Leads(history_of(1), view(1, A, B, C, commit="majority"))
    a.proposes(batch())
    a.core.store_own()
    assert announced(a.beats(60.0), MemberStalled) == []


# --- R14: the lease ---


def test_a_leader_without_acks_from_a_majority_for_the_lease_leads_no_more(a: Leads) -> None:
    a.core.lease_is_over(a.now)
    a.core.acked(B, a.ack(), a.now)
    assert not a.core.lease_is_over(a.now + 2.5)
    assert a.core.lease_is_over(a.now + 2.6)


def test_one_of_two_followers_is_enough_of_a_majority(a: Leads) -> None:
    a.core.lease_is_over(a.now)
    for _ in range(8):
        a.now += 2.0
        a.core.acked(C, a.ack(), a.now)
        assert not a.core.lease_is_over(a.now)


def test_half_of_the_members_is_no_majority() -> None:
    a = Leads(history_of(1), view(1, A, B, C, D))
    a.core.lease_is_over(a.now)
    a.core.acked(B, a.ack(), a.now + 2.0)
    assert a.core.lease_is_over(a.now + 3.0)
    a.core.acked(C, a.ack(), a.now + 3.0)
    assert not a.core.lease_is_over(a.now + 3.0)


def test_a_new_leader_has_the_whole_lease_before_it() -> None:
    a = Leads(history_of(1), view(1, A, B))
    assert not a.core.lease_is_over(a.now + 600.0)
    assert not a.core.lease_is_over(a.now + 602.0)
    assert a.core.lease_is_over(a.now + 603.0)


def test_a_leader_alone_needs_nobody() -> None:
    a = Leads(history_of(1), view(1, A))
    a.core.lease_is_over(a.now)
    assert not a.core.lease_is_over(a.now + 600.0)


def test_a_leader_whose_own_disk_keeps_everybody_waiting_for_a_second_leads_no_more(a: Leads) -> None:
    a.history.stored = 1
    a.proposes(batch())
    a.all_acked()
    a.core.committed(a.now)
    assert not a.core.lease_is_over(a.now + 0.9)
    assert a.core.lease_is_over(a.now + 1.0)
    a.history.stored = 2
    a.core.store_own()
    a.core.committed(a.now + 1.0)
    assert not a.core.lease_is_over(a.now + 1.0)


def test_with_majority_a_leaders_disk_keeps_nobody_waiting() -> None:
    a = Leads(history_of(1), view(1, A, B, C, commit="majority"))
    a.history.stored = 1
    a.proposes(batch())
    a.all_acked()
    a.core.committed(a.now)
    assert not a.core.lease_is_over(a.now + 2.0)


def test_a_leader_does_not_leave_itself_out_for_being_slow(a: Leads) -> None:
    a.history.stored = 1
    a.proposes(batch())
    a.all_acked()
    a.core.committed(a.now)
    assert announced(a.beats(2.0), MemberStalled) == []


# --- acks ---


def test_an_ack_beyond_the_end_or_from_a_stranger_counts_for_nothing(a: Leads) -> None:
    assert a.core.acked(B, ReplicateAck(epoch(1), 9, 0, 0, True), a.now) == []
    assert a.core.acked(D, ReplicateAck(epoch(1), 1, a.history.log.chain, 0, True), a.now) == []
    assert a.core.acked(B, ReplicateAck(epoch(1), 1, a.history.log.chain, 0, True), a.now) == [
        Announce(FollowerHeard(B, a.now))
    ]


# --- R18: learners ---


def test_a_learner_is_taught_in_slices_until_it_is_close_enough() -> None:
    a = Leads(history_of(2500), view(1, A))
    far = a.core.teach(D, Learn(NO_EPOCH, EMPTY_LOG), a.now)
    [slice_] = [one.message for one in sent(far, CatchUp)]
    assert isinstance(slice_, CatchUp) and len(slice_.entries) == 1000
    assert not announced(far, LearnerCaughtUp)
    close = a.core.teach(D, Learn(NO_EPOCH, following(a.history, 2000).log.digest()), a.now)
    assert announced(close, LearnerCaughtUp) == [LearnerCaughtUp(D, a.now)]
    assert len(sent(close, CatchUp)) == 1


def test_large_entries_keep_a_learner_waiting_though_they_are_few() -> None:
    a = Leads(history_of(5, payload=bytes(600_000)), view(1, A))
    assert not announced(a.core.teach(D, Learn(NO_EPOCH, EMPTY_LOG), a.now), LearnerCaughtUp)


def test_a_learner_that_has_everything_is_sent_nothing() -> None:
    a = Leads(history_of(5), view(1, A))
    effects = a.core.teach(D, Learn(NO_EPOCH, a.history.log.digest()), a.now)
    assert not sent(effects, CatchUp)
    assert announced(effects, LearnerCaughtUp) == [LearnerCaughtUp(D, a.now)]


def test_a_learner_with_more_than_the_leader_is_told_to_cut() -> None:
    a = Leads(history_of(5), view(1, A))
    [one] = sent(a.core.teach(D, Learn(NO_EPOCH, history_of(8).log.digest()), a.now), CatchUp)
    assert one.message == CatchUp(one.message.epoch, 5, (), a.history.log.digest())  # type: ignore[union-attr]


def test_learners_hear_heartbeats_until_they_are_silent_for_three_seconds(a: Leads) -> None:
    a.core.teach(D, Learn(NO_EPOCH, EMPTY_LOG), a.now)
    assert D in [one.to for one in sent(a.beats(2.9), Heartbeat)]
    assert D not in [one.to for one in sent(a.beats(0.2), Heartbeat)]


def test_a_member_is_no_learner(a: Leads) -> None:
    assert a.core.teach(B, Learn(NO_EPOCH, EMPTY_LOG), a.now) == []
    assert Send(B, Heartbeat(epoch(1), 1, 0, (A, B, C))) in a.beats()
