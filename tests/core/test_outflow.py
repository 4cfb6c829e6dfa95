"""Outflow (R16): one multicast for those who hear it, TCP for the rest, within credit and windows."""

from __future__ import annotations

import pytest

from logstream.core.effects import Effect, Multicast, Send
from logstream.core.replica.history import History
from logstream.core.replica.outflow import LARGE, TCP_WINDOW, Outflow
from logstream.core.replica.tally import Tally
from logstream.protocol.identity import Member
from logstream.protocol.messages import Heartbeat, Replicate, ReplicateAck
from tests.core.builders import A, B, C, append, batch, epoch, sent, view

VIEW = view(1, A, B, C)


class Leader:
    """A's way to B and C."""

    def __init__(self) -> None:
        self.history = History()
        self.tally = Tally(VIEW)
        for member in (A, B, C):
            self.tally.ack(member, 0)
        self.core = Outflow(VIEW, A, self.history, self.tally)
        self.now = 1.0

    def appends(self, count: int = 1, size: int = 100) -> None:
        for _ in range(count):
            append(self.history, epoch(1), batch(payload=bytes(size)))

    def acked(self, member: Member, gseq: int | None = None, hears: bool = True, credit: int = 1 << 20) -> None:
        gseq = self.history.end if gseq is None else gseq
        moved = self.tally.ack(member, gseq)
        self.core.acked(member, ReplicateAck(epoch(1), gseq, 0, credit, hears), moved)

    def flush(self, commit: int = 0) -> list[Effect]:
        return self.core.flush(commit, self.now)


@pytest.fixture
def by_tcp() -> Leader:
    """Nobody has said that it hears multicast."""
    return Leader()


@pytest.fixture
def by_multicast() -> Leader:
    """Both have said so in two acks."""
    leader = Leader()
    for _ in range(2):
        leader.acked(B)
        leader.acked(C)
    return leader


def carried(effects: list[Effect]) -> list[tuple[str, list[int]]]:
    """To whom which gseqs go."""
    return [
        (one.to.node_id if isinstance(one, Send) else "all", [entry.gseq for entry in one.message.entries])
        for one in effects
        if isinstance(one, Send | Multicast) and isinstance(one.message, Replicate)
    ]


def test_from_the_first_entry_on_everybody_is_served_by_tcp(by_tcp: Leader) -> None:
    """R16: networks without multicast work."""
    by_tcp.appends(2)
    assert carried(by_tcp.flush()) == [("b", [1, 2]), ("c", [1, 2])]
    assert by_tcp.flush() == []


def test_two_acks_in_a_row_switch_a_member_to_multicast(by_tcp: Leader) -> None:
    by_tcp.acked(B)
    by_tcp.acked(B, hears=False)
    by_tcp.acked(B)
    assert by_tcp.core.by_tcp() == ["b", "c"]
    by_tcp.acked(B)
    assert by_tcp.core.by_tcp() == ["c"]


def test_what_was_sent_by_tcp_is_not_multicast_again(by_tcp: Leader) -> None:
    by_tcp.appends(3)
    by_tcp.flush()
    for _ in range(2):
        by_tcp.acked(B, 0)
        by_tcp.acked(C, 0)
    by_tcp.appends()
    assert carried(by_tcp.flush()) == [("all", [4])]


def test_one_multicast_serves_all_who_hear(by_multicast: Leader) -> None:
    by_multicast.appends(2)
    assert carried(by_multicast.flush()) == [("all", [1, 2])]


def test_a_member_that_stops_hearing_gets_what_it_has_not_acked_by_tcp(by_multicast: Leader) -> None:
    by_multicast.appends(3)
    by_multicast.flush()
    by_multicast.acked(B, 1, hears=False)
    assert carried(by_multicast.flush()) == [("b", [2, 3])]


def test_no_more_is_multicast_than_the_slowest_has_credit_for(by_multicast: Leader) -> None:
    by_multicast.acked(B, 0, credit=2 * (100 + 61 + 300))
    by_multicast.appends(5)
    assert carried(by_multicast.flush()) == [("all", [1, 2])]
    by_multicast.acked(B, 2, credit=2 * (100 + 61 + 300))
    assert carried(by_multicast.flush()) == [("all", [3, 4])]


def test_one_entry_is_always_under_way_however_small_the_credit(by_multicast: Leader) -> None:
    by_multicast.acked(B, 0, credit=0)
    by_multicast.appends(3)
    assert carried(by_multicast.flush()) == [("all", [1])]
    assert by_multicast.flush() == []


def test_who_holds_the_multicast_back_is_served_by_tcp(by_multicast: Leader) -> None:
    """R16: a member that holds multicast back for 0.1 s is served by TCP until it has caught up."""
    by_multicast.now += 60.0  # an idle minute is no holding back
    by_multicast.acked(B, 0, credit=0)
    by_multicast.appends(3)
    assert carried(by_multicast.flush()) == [("all", [1])]
    by_multicast.now += 0.09
    assert carried(by_multicast.flush()) == []
    by_multicast.now += 0.02
    assert carried(by_multicast.flush()) == [("all", [2, 3]), ("b", [1, 2, 3])]
    assert by_multicast.core.by_tcp() == ["b"]


def test_a_large_batch_goes_to_every_member_by_tcp(by_multicast: Leader) -> None:
    by_multicast.appends(1, size=LARGE + 1)
    by_multicast.appends(1)
    assert carried(by_multicast.flush()) == [("b", [1]), ("c", [1]), ("all", [2])]


def test_the_tcp_window_opens_with_acks(by_tcp: Leader) -> None:
    by_tcp.appends(12, size=1 << 20)
    first = [gseqs for to, gseqs in carried(by_tcp.flush()) if to == "b"]
    assert 3 <= len(first) <= TCP_WINDOW // (1 << 20) + 1
    assert by_tcp.flush() == []
    by_tcp.acked(B, 2, hears=False)
    assert [gseqs[0] for to, gseqs in carried(by_tcp.flush()) if to == "b"] == [first[-1][0] + 1, first[-1][0] + 2]


def test_a_batch_larger_than_the_window_goes_all_the_same(by_tcp: Leader) -> None:
    by_tcp.appends(1, size=2 * TCP_WINDOW)
    assert carried(by_tcp.flush()) == [("b", [1]), ("c", [1])]


def test_when_traffic_pauses_a_commit_goes_at_once_by_itself(by_multicast: Leader) -> None:
    by_multicast.appends()
    by_multicast.flush()
    assert by_multicast.flush(commit=1) == [Multicast(Replicate(epoch(1), (), 1, 1))]
    assert by_multicast.flush(commit=1) == []


def test_a_commit_that_tcp_has_not_brought_goes_by_itself(by_tcp: Leader) -> None:
    by_tcp.appends()
    by_tcp.flush()
    assert [one.to for one in sent(by_tcp.flush(commit=1), Replicate)] == [B, C]
    assert by_tcp.flush(commit=1) == []


def test_after_a_lost_link_everything_unacknowledged_goes_again(by_tcp: Leader) -> None:
    by_tcp.appends(3)
    by_tcp.flush()
    by_tcp.acked(B, 1, hears=False)
    by_tcp.core.link_lost(B)
    assert carried(by_tcp.flush()) == []
    by_tcp.core.link_back(B)
    assert carried(by_tcp.flush()) == [("b", [2, 3])]


def test_an_ack_says_that_the_link_works(by_tcp: Leader) -> None:
    """Whichever of the two comes first: a link that the peer dialed may be heard of later than what it says."""
    by_tcp.appends(2)
    by_tcp.core.link_lost(B)
    by_tcp.acked(B, 1, hears=False)
    assert ("b", [2]) in carried(by_tcp.flush())


def test_a_member_whose_link_breaks_goes_on_by_tcp(by_multicast: Leader) -> None:
    """What the multicast brings it, it can neither acknowledge nor ask for."""
    by_multicast.core.link_lost(B)
    by_multicast.appends()
    assert carried(by_multicast.flush()) == [("all", [1])]
    by_multicast.core.link_back(B)
    assert carried(by_multicast.flush()) == [("b", [1])]


def test_the_heartbeat_goes_by_tcp_to_those_who_do_not_hear_multicast(by_multicast: Leader) -> None:
    by_multicast.acked(C, hears=False)
    beat = Heartbeat(epoch(1), 0, 0, (A, B, C))
    assert by_multicast.core.heartbeat(beat, to_all=False) == [Multicast(beat), Send(C, beat)]
    assert by_multicast.core.heartbeat(beat, to_all=True) == [Multicast(beat), Send(B, beat), Send(C, beat)]
