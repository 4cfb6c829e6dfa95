"""Replica: what it appends, acknowledges, commits and hands on, rule by rule."""

from __future__ import annotations

import pytest

from logstream.core.effects import Announce, Effect, Halt, Multicast, Send, SetTimer, Unicast
from logstream.core.events import Due, LinkDown, Received, Via
from logstream.core.replica.leadership import Limits
from logstream.core.replica.replica import ApplyDue, FlushDue, Replica, ReplicaSettings
from logstream.core.replica.vocabulary import (
    Beat,
    Committed,
    DecisionCommitted,
    DropIdentity,
    Gather,
    Gathered,
    IdentityDropped,
    Introduce,
    LearnFrom,
    Produced,
    Promised,
    Propose,
    ProposeDecision,
    Rejected,
    Resume,
    StepAside,
    SteppedAside,
    ViewInstalled,
    ViewLeft,
)
from logstream.protocol.batches import Batch, base_offset_in, header_of
from logstream.protocol.errors import ErrorCode, RemoteProtocolError
from logstream.protocol.identity import EMPTY_LOG, NO_EPOCH, Digest, Member, View
from logstream.protocol.messages import (
    CatchUp,
    Entry,
    Heartbeat,
    Hello,
    JoinResponse,
    Learn,
    Message,
    Nack,
    Refuse,
    Replicate,
    ReplicateAck,
    State,
    StateExchange,
    TopicCreated,
    ViewInstall,
    ViewInstallAck,
)
from tests.core.builders import A, B, C, announced, append, batch, entries_of, epoch, history_of, sent, view

LIMITS = Limits(memory_max=1 << 30, slow_s=1.0, expected_nodes=lambda: 1)


class Member_:
    """One Replica, the clock of its node, and what it has done."""

    def __init__(self, me: Member, limits: Limits = LIMITS) -> None:
        self.core = Replica(me, ReplicaSettings(limits))
        self.now = 10.0

    def hears(self, sender: Member, message: Message, via: Via = Via.TCP) -> list[Effect]:
        effects = self.core.handle(Received(message, sender, self.now, via))
        self.core.check_invariants()
        return effects

    def told(self, event: object) -> list[Effect]:
        effects = self.core.handle(event)
        self.core.check_invariants()
        return effects

    def flushed(self) -> list[Effect]:
        return self.told(Due(FlushDue(), self.now))

    def accepts(self, new: View, base: Digest = EMPTY_LOG) -> list[Effect]:
        """Hear VIEW_INSTALL of a view whose base is held here."""
        return self.hears(new.leader, ViewInstall(new, (), None, base))

    def follows(self, new: View, base: Digest = EMPTY_LOG) -> None:
        """Be a follower in this view."""
        self.accepts(new, base)
        self.hears(new.leader, Heartbeat(new.epoch, base.end, 0, new.members))
        self.flushed()

    def leads(self, new: View, *acked: Member) -> None:
        """Lead this view, two heartbeats after its installation."""
        self.accepts(new, self.core.history.log.digest())
        self.told(Resume(new.epoch, (self.core.me, *acked)))
        self.told(Beat(new.members, self.now))
        self.flushed()

    def proposes(self, request: int, one: Batch, topic_id: int = 1) -> list[Effect]:
        return self.told(Propose(request, topic_id, 0, one, header_of(one.body), self.now))

    def creates_topic(self, request: int = 0) -> list[Effect]:
        return self.told(ProposeDecision(request, TopicCreated("t", 4), self.now))

    def acked_by(self, member: Member) -> list[Effect]:
        history = self.core.history
        view_epoch = self.core.promise.last_view
        return self.hears(member, ReplicateAck(view_epoch, history.end, history.log.chain, 1 << 20, False))


@pytest.fixture
def leader() -> Member_:
    """A leads A and B, with commit = all."""
    node = Member_(A)
    node.leads(view(1, A, B), B)
    return node


@pytest.fixture
def follower() -> Member_:
    """B follows A."""
    node = Member_(B)
    node.follows(view(1, A, B))
    return node


@pytest.fixture
def source() -> list[Entry]:
    """What A sequenced in view 1: a topic and nine batches."""
    return list(entries_of(history_of(10)))


# --- R2: promise ---


def test_a_higher_epoch_is_promised_and_freezes(follower: Member_) -> None:
    effects = follower.hears(C, StateExchange(epoch(2, C), None))
    state = State(epoch(2, C), view(1, A, B), (), epoch(1), EMPTY_LOG)
    assert announced(effects, Promised) == [Promised(epoch(2, C))]
    assert effects[-1] == Send(C, state)
    assert follower.core.promise.active is None


def test_the_same_epoch_is_answered_again_and_changes_nothing(follower: Member_) -> None:
    first = follower.hears(C, StateExchange(epoch(2, C), None))
    assert follower.hears(C, StateExchange(epoch(2, C), None)) == first[-1:]


def test_a_lower_epoch_is_refused_with_what_is_promised(follower: Member_) -> None:
    follower.hears(C, StateExchange(epoch(3, C), None))
    assert follower.hears(A, StateExchange(epoch(2), None)) == [Send(A, Refuse(epoch(2), epoch(3, C)))]


def test_a_frozen_member_neither_appends_nor_acknowledges(follower: Member_, source: list[Entry]) -> None:
    follower.hears(C, StateExchange(epoch(2, C), None))
    effects = follower.hears(A, Replicate(epoch(1), tuple(source), 10, 0))
    assert follower.core.history.end == 0
    assert not sent(effects + follower.flushed(), ReplicateAck)


# --- R6: install ---


def test_accepted_before_means_answer_again_and_touch_nothing(follower: Member_, source: list[Entry]) -> None:
    follower.hears(A, Replicate(epoch(1), tuple(source), 10, 0))
    assert follower.accepts(view(1, A, B)) == [Send(A, ViewInstallAck(epoch(1)))]
    assert follower.core.history.end == 10
    assert follower.core.promise.active is not None


def test_a_view_below_the_promise_is_refused(follower: Member_) -> None:
    follower.hears(C, StateExchange(epoch(3, C), None))
    assert follower.accepts(view(2, A, B)) == [Send(A, Refuse(epoch(2), epoch(3, C)))]


def test_what_is_missing_of_the_base_is_fetched_before_the_view_is_accepted(source: list[Entry]) -> None:
    node, base = Member_(B), history_of(10).log.digest()
    install = ViewInstall(view(1, A, B, base=10), (), None, base)
    assert node.hears(A, install) == [Send(A, Learn(epoch(1), EMPTY_LOG))]
    half = node.hears(A, CatchUp(epoch(1), 0, tuple(source[:5]), base))
    assert [one.message.digest.end for one in sent(half, Learn)] == [5]  # type: ignore[union-attr]
    assert node.core.promise.last_view == NO_EPOCH
    rest = node.hears(A, CatchUp(epoch(1), 5, tuple(source[5:]), base))
    assert rest[-1] == Send(A, ViewInstallAck(epoch(1)))
    assert node.core.history.log.digest() == base


def test_a_promise_given_while_a_base_is_fetched_ends_the_fetch(source: list[Entry]) -> None:
    """R6: a node accepts iff the view's epoch >= promised; the promise may rise while ranges move."""
    node, base = Member_(B), history_of(10).log.digest()
    node.hears(A, ViewInstall(view(1, A, B, base=10), (), None, base))
    node.hears(C, StateExchange(epoch(2, C), None))
    effects = node.hears(A, CatchUp(epoch(1), 0, tuple(source), base))
    assert not sent(effects, ViewInstallAck)
    assert node.core.promise.last_view == NO_EPOCH


def test_a_repeated_view_install_does_not_fetch_the_base_twice(source: list[Entry]) -> None:
    """VIEW_INSTALL is repeated every 0.15 s: each repetition may ask again, but only one chain of slices goes on."""
    node, base = Member_(B), history_of(10).log.digest()
    install = ViewInstall(view(1, A, B, base=10), (), None, base)
    node.hears(A, install)
    node.hears(A, install)
    slice_ = CatchUp(epoch(1), 0, tuple(source[:5]), base)
    assert len(sent(node.hears(A, slice_), Learn)) == 1
    assert node.hears(A, slice_) == []


def test_a_view_that_would_take_back_what_is_committed_halts_the_node(follower: Member_, source: list[Entry]) -> None:
    follower.hears(A, Replicate(epoch(1), tuple(source), 10, 10))
    effects = follower.accepts(view(2, C, B, base=0))
    assert [type(effect) for effect in effects] == [Halt]


def test_an_uncommitted_tail_that_the_base_lacks_is_cut(follower: Member_, source: list[Entry]) -> None:
    follower.hears(A, Replicate(epoch(1), tuple(source), 10, 4))
    base = history_of(6).log.digest()
    effects = follower.accepts(view(2, C, B, base=6), base)
    assert effects[-1] == Send(C, ViewInstallAck(epoch(2, C)))
    assert (follower.core.history.end, follower.core.commit) == (6, 4)


def test_a_member_left_out_accepts_and_is_a_learner(follower: Member_) -> None:
    effects = follower.accepts(view(2, A))
    assert sent(effects, ViewInstallAck)
    assert announced(effects, ViewLeft) == [ViewLeft(view(2, A))]


# --- R7: resume, R8: fence ---


def test_accepting_a_view_does_not_unfreeze(source: list[Entry]) -> None:
    node = Member_(B)
    node.accepts(view(1, A, B))
    assert node.core.promise.active is None
    assert node.core.promise.attempted == (view(1, A, B),)


def test_the_leaders_heartbeat_unfreezes_and_tells_everybody_once() -> None:
    node = Member_(B)
    node.accepts(view(1, A, B))
    beat = Heartbeat(epoch(1), 0, 0, (A, B))
    assert announced(node.hears(A, beat), ViewInstalled) == [ViewInstalled(view(1, A, B), leads=False)]
    assert announced(node.hears(A, beat), ViewInstalled) == []
    assert (node.core.promise.installed, node.core.promise.attempted) == (view(1, A, B), ())


def test_somebody_who_is_not_the_leader_cannot_unfreeze() -> None:
    node = Member_(B)
    node.accepts(view(1, A, B))
    node.hears(C, Heartbeat(epoch(1), 0, 0, (A, B)))
    assert node.core.promise.active is None


def test_replicate_of_an_older_epoch_is_answered_with_hello_and_changes_nothing(
    follower: Member_, source: list[Entry]
) -> None:
    follower.follows(view(2, C, B))
    effects = follower.hears(A, Replicate(epoch(1), tuple(source), 10, 10))
    assert [one.message for one in sent(effects, Hello)] == [Hello(epoch(2, C), epoch(2, C))]
    assert follower.core.history.end == 0
    assert follower.core.promise.active == view(2, C, B)


def test_hello_is_said_at_most_once_per_heartbeat_to_each_leader(follower: Member_) -> None:
    follower.hears(C, StateExchange(epoch(3, C), None))
    said = []
    for _ in range(5):
        follower.now += 0.01
        said += sent(follower.hears(A, Heartbeat(epoch(1), 0, 0, ())), Hello)
        said += sent(follower.hears(C, Heartbeat(epoch(2, C), 0, 0, ())), Hello)
    assert [one.to for one in said] == [A, C]


def test_a_higher_epoch_that_is_heard_freezes(follower: Member_) -> None:
    follower.hears(C, Heartbeat(epoch(2, C), 0, 0, (C,)))
    assert follower.core.promise.active is None


# --- R9: acks ---


def test_entries_that_continue_the_log_are_acknowledged_once_per_turn(follower: Member_, source: list[Entry]) -> None:
    follower.hears(A, Replicate(epoch(1), tuple(source[:5]), 10, 0))
    follower.hears(A, Replicate(epoch(1), tuple(source[5:]), 10, 0))
    acks = [one.message for one in sent(follower.flushed(), ReplicateAck)]
    assert [(ack.epoch, ack.gseq, ack.chain) for ack in acks] == [(epoch(1), 10, source[-1].chain)]  # type: ignore[union-attr]


def test_what_is_not_contiguous_is_not_acknowledged(follower: Member_, source: list[Entry]) -> None:
    follower.hears(A, Replicate(epoch(1), tuple(source[:2]), 10, 0))
    follower.hears(A, Replicate(epoch(1), tuple(source[3:]), 10, 0))
    assert [one.message.gseq for one in sent(follower.flushed(), ReplicateAck)] == [2]  # type: ignore[union-attr]


def test_an_ack_whose_chain_is_not_the_leaders_is_never_counted(leader: Member_) -> None:
    leader.creates_topic(1)
    leader.flushed()
    with pytest.raises(RemoteProtocolError, match="differs"):
        leader.hears(B, ReplicateAck(epoch(1), 1, 12345, 1 << 20, False))
    leader.flushed()
    assert leader.core.commit == 0


# --- R10: commit, R11 and R12: answers ---


def test_a_batch_is_answered_only_when_every_member_has_acked_it(leader: Member_) -> None:
    """R11: a produce is acknowledged with its offset only after commit; commit = all."""
    leader.creates_topic(1)
    leader.proposes(2, batch(records=3))
    leader.proposes(3, batch())
    assert not announced(leader.flushed(), Produced)
    leader.acked_by(B)
    effects = leader.flushed()
    assert announced(effects, Produced) == [Produced(1, 1), Produced(2, 0), Produced(3, 3)]
    assert [type(event) for event in announced(effects, object)][:2] == [DecisionCommitted, Committed]


def test_topics_hear_of_a_commit_before_the_producers_do(leader: Member_) -> None:
    leader.creates_topic(1)
    leader.proposes(2, batch())
    leader.flushed()
    leader.acked_by(B)
    kinds = [type(event) for event in announced(leader.flushed(), object)]
    assert kinds == [DecisionCommitted, Committed, Produced, Produced]


def test_acks_of_another_epoch_commit_nothing(leader: Member_) -> None:
    leader.creates_topic(1)
    leader.flushed()
    leader.hears(B, ReplicateAck(epoch(9, C), 1, leader.core.history.log.chain, 1 << 20, False))
    leader.flushed()
    assert leader.core.commit == 0


def test_a_repeated_batch_that_is_committed_gets_its_old_offset_at_once(leader: Member_) -> None:
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


def test_who_does_not_lead_answers_retry(follower: Member_) -> None:
    effects = follower.proposes(5, batch())
    assert effects == [Announce(Rejected(5, ErrorCode.RETRY, "this broker does not lead"))]


def test_committed_entries_are_handed_on_in_slices(follower: Member_) -> None:
    entries = entries_of(history_of(2500))
    follower.hears(A, Replicate(epoch(1), entries, 2500, 0))
    effects = follower.hears(A, Heartbeat(epoch(1), 2500, 2500, (A, B)))
    assert SetTimer(ApplyDue(), 0.0) in effects
    assert (follower.core.commit, follower.core.applied) == (2500, 1000)
    follower.told(Due(ApplyDue(), follower.now))
    follower.told(Due(ApplyDue(), follower.now))
    assert follower.core.applied == 2500


def test_waiting_producers_whose_entries_are_cut_hear_retry(leader: Member_) -> None:
    leader.creates_topic(1)
    leader.hears(B, StateExchange(epoch(2, B), None))
    effects = leader.accepts(view(2, B, A))
    assert announced(effects, Rejected) == [Rejected(1, ErrorCode.RETRY, "a new view began without this batch")]


def test_a_new_leader_commits_the_base_at_once_when_all_have_acked_it(source: list[Entry]) -> None:
    """R6, Q9: only when installed, and at once, does the leader commit the base."""
    node = Member_(A)
    node.follows(view(1, C, A, B))
    node.hears(C, Replicate(epoch(1, C), entries_of(history_of(10, epoch(1, C))), 10, 0))
    node.leads(view(2, A, B, base=10), B)
    assert node.core.commit == 10


# --- learners ---


def test_a_learner_stages_the_leaders_log_and_leaves_its_own_alone(source: list[Entry]) -> None:
    node = Member_(B)
    assert node.told(LearnFrom("c1", A)) == [Send(A, Learn(NO_EPOCH, EMPTY_LOG))]
    effects = node.hears(A, CatchUp(NO_EPOCH, 0, tuple(source), history_of(10).log.digest()))
    assert effects == [Send(A, Learn(NO_EPOCH, history_of(10).log.digest()))]
    assert node.core.history.end == 0


def test_a_slice_that_brings_nothing_new_is_not_answered_by_another_question(source: list[Entry]) -> None:
    """Every heartbeat asks again: without this each of them would start another chain of slices."""
    node = Member_(B)
    node.told(LearnFrom("c1", A))
    slice_ = CatchUp(NO_EPOCH, 0, tuple(source), history_of(10).log.digest())
    node.hears(A, slice_)
    assert node.hears(A, slice_) == []


def test_a_learner_hands_on_what_is_committed_as_soon_as_a_view_admits_it(source: list[Entry]) -> None:
    """The leader's heartbeats told the learner of the commit; in a quiet cluster nothing raises it again."""
    node, base = Member_(B), history_of(10).log.digest()
    node.told(LearnFrom("c1", A))
    node.hears(A, CatchUp(NO_EPOCH, 0, tuple(source), base))
    node.now += 1.0
    node.hears(A, Heartbeat(epoch(1), 10, 10, (A,)))
    node.accepts(view(2, A, B, base=10), base)
    effects = node.hears(A, Heartbeat(epoch(2), 10, 10, (A, B)))
    assert len(announced(effects, DecisionCommitted)) == 1
    assert node.core.applied == 10


def test_a_commit_of_another_leader_does_not_seal_what_was_staged_from_an_older_one(source: list[Entry]) -> None:
    """The stage may hold a tail that the next view does not have: it must stay possible to cut it."""
    node = Member_(B)
    node.told(LearnFrom("c1", A))
    node.hears(A, CatchUp(NO_EPOCH, 0, tuple(source), history_of(10).log.digest()))
    other = history_of(8)
    for _ in range(4):
        append(other, epoch(2, C), batch(payload=b"other"))
    node.now += 1.0
    node.hears(C, Heartbeat(epoch(2, C), 12, 12, (C,)))
    effects = node.hears(C, CatchUp(NO_EPOCH, 8, entries_of(other, 9), other.log.digest()))
    assert [one.message.digest for one in sent(effects, Learn)] == [other.log.digest()]  # type: ignore[union-attr]


def test_an_older_leader_does_not_take_a_learner_over() -> None:
    node = Member_(B)
    node.hears(C, Heartbeat(epoch(2, C), 0, 0, (C,)))
    node.now += 1.0
    assert not sent(node.hears(A, Heartbeat(epoch(1), 0, 0, (A,))), Learn)


def test_a_learner_that_comes_while_the_view_changes_is_taught_by_the_next_leadership(leader: Member_) -> None:
    leader.hears(A, StateExchange(epoch(2), None))
    leader.hears(C, Learn(NO_EPOCH, EMPTY_LOG))
    leader.accepts(view(2, A, B))
    leader.told(Resume(epoch(2), (A, B)))
    beats = sent(leader.told(Beat((A, B), leader.now)), Heartbeat)
    assert C in [beat.to for beat in beats]


def test_a_base_is_served_from_the_stage_while_it_is_longer_than_the_own_log(source: list[Entry]) -> None:
    node, base = Member_(A), history_of(10).log.digest()
    node.told(Gather(epoch(2), B, base))
    gathered = node.hears(B, CatchUp(epoch(2), 0, tuple(source), base))
    assert announced(gathered, Gathered) == [Gathered(epoch(2))]
    effects = node.hears(C, Learn(epoch(2), EMPTY_LOG))
    assert effects == [Send(C, CatchUp(epoch(2), 0, tuple(source), base))]


# --- peers that break the rules ---


def test_a_nack_for_entries_that_no_log_has_is_refused(leader: Member_) -> None:
    """A peer's bad message is counted and dropped; it never ends the node."""
    leader.creates_topic(1)
    leader.flushed()
    with pytest.raises(RemoteProtocolError):
        leader.hears(B, Nack(epoch(1), 0, 5))


def test_a_nack_is_answered_by_tcp_with_what_is_missing(leader: Member_) -> None:
    leader.creates_topic(1)
    leader.flushed()
    repair = sent(leader.hears(B, Nack(epoch(1), 1, 3)), Replicate)
    assert [(one.to, [entry.gseq for entry in one.message.entries]) for one in repair] == [(B, [1])]  # type: ignore[union-attr]


def test_a_nack_of_another_epoch_is_not_answered(leader: Member_) -> None:
    assert leader.hears(B, Nack(epoch(5, C), 1, 3)) == []


# --- leaving, introducing, dissolving ---


def test_a_leader_that_steps_aside_is_frozen_and_names_its_best_follower(leader: Member_) -> None:
    effects = leader.told(StepAside())
    assert announced(effects, SteppedAside) == [SteppedAside(epoch(1), B)]
    assert leader.core.promise.active is None
    assert leader.core.leadership is None


def test_a_member_introduces_its_leader_to_who_asks(follower: Member_) -> None:
    effects = follower.told(Introduce("127.0.0.1:5", leader_heard=True))
    answer = JoinResponse(B, "c1", A, (A, B), epoch(1), 0, True)
    assert effects == [Unicast("127.0.0.1:5", answer)]


def test_a_node_without_a_view_says_nothing() -> None:
    assert Member_(B).told(Introduce("127.0.0.1:5", leader_heard=False)) == []


def test_an_empty_member_drops_its_identity_and_one_that_holds_a_topic_does_not(leader: Member_) -> None:
    empty = Member_(B)
    assert announced(empty.told(DropIdentity()), IdentityDropped) == [IdentityDropped()]
    leader.creates_topic(1)
    assert leader.told(DropIdentity()) == []


def test_what_was_under_way_on_a_lost_link_is_sent_again(leader: Member_) -> None:
    leader.creates_topic(1)
    assert len(sent(leader.flushed(), Replicate)) == 1
    leader.told(LinkDown(B, False, leader.now))
    again = sent(leader.flushed(), Replicate)
    assert [len(one.message.entries) for one in again] == [1]  # type: ignore[union-attr]


def test_the_first_heartbeat_of_a_view_goes_both_ways() -> None:
    node = Member_(A)
    node.accepts(view(1, A, B))
    node.told(Resume(epoch(1), (A, B)))
    effects = node.told(Beat((A, B), node.now))
    beat = Heartbeat(epoch(1), 0, 0, (A, B))
    assert effects[:2] == [Multicast(beat), Send(B, beat)]


def test_a_follower_keeps_the_offsets_that_the_leader_gave(follower: Member_, source: list[Entry]) -> None:
    follower.hears(A, Replicate(epoch(1), tuple(source), 10, 10))
    assert [base_offset_in(entry.front) for entry in entries_of(follower.core.history, 2)] == list(range(9))
