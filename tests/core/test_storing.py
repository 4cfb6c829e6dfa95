"""Storing: what a member writes, in which order, and what it does not say before that is synced (R2, R9, R19)."""

from __future__ import annotations

import pytest

from logstream.core.effects import Announce, Effect
from logstream.core.replica.promise import Votes
from logstream.core.replica.storing import Appended, Recovered, Replaced, Store, Storing, recover
from logstream.core.replica.vocabulary import Promised, SteppedDown, ViewsKnown
from logstream.protocol.messages import Heartbeat, Replicate, ReplicateAck, State, StateExchange, ViewInstallAck
from tests.core.builders import A, B, C, announced, entries_of, epoch, history_of, sent, view
from tests.core.replica_node import ReplicaNode


class DurableNode(ReplicaNode):
    """A Replica whose writes are synced when the test says so."""

    def __init__(self) -> None:
        super().__init__(B)
        self.storing = Storing(self.core)
        self.stores: list[Store] = []

    def does(self, effects: list[Effect]) -> list[Effect]:
        """What is done at once of what the core wants."""
        effects = self.storing.after(effects)
        self.stores += [one.event for one in effects if isinstance(one, Announce) and isinstance(one.event, Store)]
        return effects

    def synced(self, number: int = 0) -> list[Effect]:
        """Everything up to this write is on the disk; all that was written, if 0."""
        return self.storing.stored(number or self.stores[-1].number)

    @property
    def written(self) -> list[type]:
        """The kinds of all writes so far."""
        return [type(one.change) for one in self.stores]


@pytest.fixture
def node() -> DurableNode:
    """B follows A in view 1, all of which is on its disk."""
    node = DurableNode()
    node.does(node.accepts(view(1, A, B, C)))
    node.does(node.hears(A, Heartbeat(epoch(1), 0, 0, (A, B, C))))
    node.synced()
    node.stores.clear()
    return node


def acked(effects: list[Effect]) -> list[int]:
    return [one.message.gseq for one in sent(effects, ReplicateAck)]  # type: ignore[union-attr]


def test_a_promise_is_written_before_it_is_said(node: DurableNode) -> None:
    effects = node.does(node.hears(C, StateExchange(epoch(2, C), None)))
    assert announced(effects, Promised) and not sent(effects, State)
    [store] = node.stores
    assert isinstance(store.change, Votes) and store.change.promised == epoch(2, C)
    assert [one.message.epoch for one in sent(node.synced(), State)] == [epoch(2, C)]  # type: ignore[union-attr]


def test_an_ack_says_what_is_on_the_disk_and_the_next_one_more(node: DurableNode) -> None:
    entries = entries_of(history_of(3))
    node.does(node.hears(A, Replicate(epoch(1), entries[:2], 2, 0)))
    node.does(node.hears(A, Replicate(epoch(1), entries[2:], 3, 0)))
    assert node.written == [Appended, Appended]
    assert acked(node.does(node.flushed())) == [0]
    node.synced(node.stores[0].number)
    assert acked(node.does(node.flushed())) == [2]
    node.synced()
    assert acked(node.does(node.flushed())) == [3]


def test_the_log_is_written_before_the_votes(node: DurableNode) -> None:
    """R19: who restarts between the two must have the old votes, or it would vouch for a log that it does not have."""
    base = history_of(3, epoch(2, C))
    node.core.learning.propose(epoch(2, C), base)
    effects = node.does(node.accepts(view(2, C, B, base=base.end), base.log.digest()))
    assert node.written == [Appended, Votes]
    assert not sent(effects, ViewInstallAck)
    assert sent(node.synced(), ViewInstallAck)


def test_a_log_that_another_one_replaces_is_written_as_a_whole(node: DurableNode) -> None:
    node.does(node.hears(A, Replicate(epoch(1), entries_of(history_of(2)), 2, 0)))
    node.synced()
    node.stores.clear()
    base = history_of(3, epoch(2, C))
    node.core.learning.propose(epoch(2, C), base)
    node.does(node.accepts(view(2, C, B, base=base.end), base.log.digest()))
    assert node.written == [Replaced, Votes]
    node.does(node.hears(C, Heartbeat(epoch(2, C), base.end, 0, (B, C))))
    assert acked(node.does(node.flushed())) == []  # neither the log nor the votes for its view are stored
    node.synced()
    assert acked(node.does(node.flushed())) == [base.end]


def test_nothing_is_acknowledged_in_a_view_whose_votes_are_not_stored(node: DurableNode) -> None:
    """It would come back in the view of before, having acknowledged in a later one."""
    node.does(node.hears(A, Replicate(epoch(1), entries_of(history_of(3)), 3, 3)))
    node.synced()
    node.does(node.accepts(view(2, C, B, base=3), history_of(3).log.digest()))
    node.does(node.hears(C, Heartbeat(epoch(2, C), 3, 3, (B, C))))
    assert acked(node.does(node.flushed())) == []
    node.synced()
    assert acked(node.does(node.flushed())) == [3]


def test_what_a_base_has_committed_is_not_stored_for_that(node: DurableNode) -> None:
    """It may come with a commit above what the old log shares with it."""
    node.does(node.hears(A, Replicate(epoch(1), entries_of(history_of(2, payload=b"old")), 2, 0)))
    node.synced()
    base = history_of(3, payload=b"new")
    base.commit_to(3)
    node.core.learning.propose(epoch(2, C), base)
    node.does(node.accepts(view(2, C, B, base=3), base.log.digest()))
    assert node.core.history.stored_end == 0


def test_what_waits_for_its_write_is_not_said_after_a_higher_promise(node: DurableNode) -> None:
    """R2: nothing below the promise, not even what was being written."""
    node.does(node.accepts(view(2, A, B)))
    node.does(node.hears(C, StateExchange(epoch(3, C), None)))
    effects = node.synced()
    assert not sent(effects, ViewInstallAck)
    assert [one.message.epoch for one in sent(effects, State)] == [epoch(3, C)]  # type: ignore[union-attr]


def test_a_member_that_comes_back_is_a_leaderless_follower_of_the_view_that_it_knows() -> None:
    """R20."""
    node, history, lasting = DurableNode(), history_of(2), view(1, A, B, C)
    recover(node.core, Recovered("s", Votes(epoch(2, C), epoch(1), lasting, (), lasting), history))
    node.storing = Storing(node.core)
    effects = node.does(node.storing.start(5.0))
    assert announced(effects, ViewsKnown) == [ViewsKnown(lasting, ())]
    assert announced(effects, Promised) == [Promised(epoch(2, C))]
    assert announced(effects, SteppedDown) == [SteppedDown(5.0)]
    assert node.written == []  # it is all there
    assert node.core.promise.active is None and node.core.commit == 0
    assert sent(node.does(node.hears(A, StateExchange(epoch(2, A), None))), State) == []  # below its promise


def test_a_new_store_has_nothing_to_say() -> None:
    assert DurableNode().storing.start(5.0) == []
