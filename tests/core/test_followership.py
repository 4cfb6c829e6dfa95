"""Followership (R9, R16): in order into the log, cumulative acks, and asking for what is missing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.core.effects import Effect, Send, SetTimer
from logstream.core.events import Via
from logstream.core.replica.followership import Followership, NackDue
from logstream.core.replica.history import History
from logstream.core.replica.holdback import BYTES_MAX
from logstream.protocol.messages import Entry, Heartbeat, Nack, Replicate
from tests.core.builders import A, B, entries_of, epoch, history_of, view

SOURCE = entries_of(history_of(30))


class Follower:
    """B's side of view 1."""

    def __init__(self) -> None:
        self.history = History()
        self.core = Followership(view(1, A, B), self.history, 0.02, 0.6, 1 << 20)

    def gets(self, *gseqs: int, last: int = 0, via: Via = Via.MULTICAST, at: float = 1.0) -> list[Effect]:
        """One REPLICATE for each contiguous stretch would come; here one for each entry."""
        effects: list[Effect] = []
        for gseq in gseqs:
            entries: tuple[Entry, ...] = (SOURCE[gseq - 1],)
            effects += self.core.replicate(Replicate(epoch(1), entries, max(last, gseq), 0), via, at)
        return effects


@pytest.fixture
def b() -> Follower:
    return Follower()


@settings(deadline=None, max_examples=100)
@given(st.permutations(range(1, 31)))
def test_whatever_order_entries_come_in_only_what_is_contiguous_is_acked(order: list[int]) -> None:
    follower, seen = Follower(), set[int]()
    for gseq in order:
        follower.gets(gseq)
        seen.add(gseq)
        contiguous = next(number for number in range(31) if number + 1 not in seen)
        ack = follower.core.ack(1.0)
        assert (ack.gseq, ack.chain) == (contiguous, SOURCE[contiguous - 1].chain if contiguous else 0)
    assert entries_of(follower.history) == SOURCE


def test_a_duplicate_changes_nothing(b: Follower) -> None:
    b.gets(1, 2, 3)
    assert b.gets(2, 3) == []
    assert b.history.end == 3


def test_a_gap_is_asked_for_after_20_ms_and_then_less_and_less_often(b: Follower) -> None:
    assert b.gets(1, 4) == [SetTimer(NackDue(), 0.02)]
    waits = []
    for _ in range(7):
        nack, timer = b.core.nack_due()
        assert nack == Send(A, Nack(epoch(1), 2, 3))
        assert isinstance(timer, SetTimer)
        waits.append(timer.after_s)
    assert waits == [0.04, 0.08, 0.16, 0.32, 0.5, 0.5, 0.5]


def test_only_the_gap_is_asked_for_not_what_is_held(b: Follower) -> None:
    b.gets(1, 4, 9)
    assert b.core.nack_due()[0] == Send(A, Nack(epoch(1), 2, 3))


def test_whoever_moves_on_starts_the_back_off_anew(b: Follower) -> None:
    b.gets(1, 4, 9)
    b.core.nack_due()
    b.core.nack_due()
    b.gets(2, 3)
    assert b.core.nack_due() == [SetTimer(NackDue(), 0.02)]
    assert b.core.nack_due()[0] == Send(A, Nack(epoch(1), 5, 8))


def test_a_closed_gap_ends_the_asking(b: Follower) -> None:
    b.gets(1, 3)
    b.gets(2)
    assert b.core.nack_due() == []
    assert b.gets(5) == [SetTimer(NackDue(), 0.02)]


def test_a_lost_tail_shows_in_the_heartbeat(b: Follower) -> None:
    """R16: HEARTBEAT carries the last gseq, so a lost tail shows within one interval."""
    b.gets(1)
    beat = Heartbeat(epoch(1), 4, 0, (A, B))
    assert b.core.heartbeat(beat, Via.MULTICAST, 1.0) == [SetTimer(NackDue(), 0.02)]
    assert b.core.nack_due()[0] == Send(A, Nack(epoch(1), 2, 4))


def test_multicast_counts_as_heard_for_a_while(b: Follower) -> None:
    b.gets(1, via=Via.TCP)
    assert not b.core.ack(1.0).hears_multicast
    b.gets(2, via=Via.MULTICAST, at=2.0)
    assert b.core.ack(2.5).hears_multicast
    assert not b.core.ack(2.7).hears_multicast


def test_the_credit_is_what_can_still_be_held_back(b: Follower) -> None:
    assert b.core.ack(1.0).credit == 1 << 20
    large = SOURCE[4]
    b.core.holdback.hold(large)
    b.core.holdback.bytes = BYTES_MAX - 5
    assert b.core.ack(1.0).credit == 5


def test_the_leaders_commit_never_decreases(b: Follower) -> None:
    b.core.replicate(Replicate(epoch(1), (), 0, 7), Via.TCP, 1.0)
    b.core.replicate(Replicate(epoch(1), (), 0, 3), Via.MULTICAST, 1.0)
    assert b.core.leader_commit == 7
