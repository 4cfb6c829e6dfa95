"""Failure detector and heartbeat sender: who is heard, when silence counts, and the leader's pulse."""

from __future__ import annotations

import pytest

from logstream.core.effects import Announce, CancelTimer, Effect, SetTimer
from logstream.core.events import Due
from logstream.core.failure_detector import CheckDue, FailureDetector, LeaderFound, LeaderLost, ServingJudged
from logstream.core.heartbeat_sender import HeartbeatDue, HeartbeatSender
from logstream.core.replica.vocabulary import Beat, FollowerHeard, LeaderHeard, Promised, ViewInstalled
from logstream.protocol.identity import Member
from tests.core.builders import A, B, C, announced, epoch, view


class Watch:
    """A's detector, checked every 0.25 s; fail time 1.6 s."""

    def __init__(self) -> None:
        self.core = FailureDetector(A, 0.25, 1.6)
        self.now = 10.0

    def checks(self, for_s: float, heard: tuple[Member, ...] = (), leader: Member | None = None) -> list[Effect]:
        """Checks on time for so long, while these are heard."""
        effects: list[Effect] = []
        for _ in range(round(for_s / 0.25)):
            self.now += 0.25
            for member in heard:
                effects += self.core.handle(FollowerHeard(member, self.now))
            if leader is not None:
                effects += self.core.handle(LeaderHeard(leader, self.now))
            effects += self.core.handle(Due(CheckDue(), self.now, self.now))
        return effects

    def paused(self, for_s: float) -> list[Effect]:
        due = self.now + 0.25
        self.now += for_s
        return self.core.handle(Due(CheckDue(), self.now, due))


@pytest.fixture
def a() -> Watch:
    """A leads A, B and C."""
    watch = Watch()
    watch.checks(0.25)
    watch.core.handle(ViewInstalled(view(1, A, B, C), leads=True))
    return watch


@pytest.fixture
def f() -> Watch:
    """A follows B."""
    watch = Watch()
    watch.core.handle(ViewInstalled(view(1, B, A), leads=False))
    watch.checks(0.25, leader=B)
    return watch


def test_a_new_leader_hears_itself_and_everybody_serves() -> None:
    watch = Watch()
    effects = watch.core.handle(ViewInstalled(view(1, A, B), leads=True))
    assert effects == [Announce(LeaderFound(A)), Announce(ServingJudged((A, B)))]


def test_a_member_that_is_silent_for_the_fail_time_does_not_serve(a: Watch) -> None:
    assert not announced(a.checks(1.5, heard=(B,)), ServingJudged)
    assert announced(a.checks(0.25, heard=(B,)), ServingJudged) == [ServingJudged((A, B))]


def test_a_member_that_is_heard_again_serves_at_once(a: Watch) -> None:
    a.checks(2.0, heard=(B,))
    assert announced(a.core.handle(FollowerHeard(C, a.now)), ServingJudged) == [ServingJudged((A, B, C))]


def test_a_learner_never_serves(a: Watch) -> None:
    other = Member("d", "s")
    assert a.core.handle(FollowerHeard(other, a.now)) == []


def test_a_leader_that_is_heard_is_not_lost(f: Watch) -> None:
    assert not announced(f.checks(30.0, leader=B), LeaderLost)


def test_a_leader_that_is_silent_for_the_fail_time_is_lost_once(f: Watch) -> None:
    lost = announced(f.checks(5.0), LeaderLost)
    assert [one.leader for one in lost] == [B]  # type: ignore[attr-defined]
    assert f.core.leader is None


def test_a_leader_that_is_heard_again_is_found_again(f: Watch) -> None:
    f.checks(5.0)
    assert f.core.handle(LeaderHeard(B, f.now)) == [Announce(LeaderFound(B))]


def test_a_process_that_was_paused_accuses_nobody(a: Watch, f: Watch) -> None:
    """R14: detectors start again with a full period, because it was we who did not listen."""
    assert not announced(a.paused(60.0), ServingJudged)
    assert not announced(f.paused(60.0), LeaderLost)
    assert announced(f.checks(2.0), LeaderLost)


def test_a_frozen_leader_that_nobody_resumes_is_leaderless(a: Watch) -> None:
    a.core.handle(Promised(epoch(2, B)))
    assert announced(a.checks(2.0), LeaderLost)


# --- the pulse ---


def test_the_first_heartbeat_goes_at_once_and_then_one_per_interval() -> None:
    sender = HeartbeatSender(0.25)
    assert sender.handle(ViewInstalled(view(1, A, B), leads=True)) == [SetTimer(HeartbeatDue(), 0.0)]
    assert sender.handle(Due(HeartbeatDue(), 5.0)) == [Announce(Beat((A, B), 5.0)), SetTimer(HeartbeatDue(), 0.25)]


def test_a_change_of_who_serves_does_not_wait() -> None:
    sender = HeartbeatSender(0.25)
    sender.handle(ViewInstalled(view(1, A, B), leads=True))
    assert sender.handle(ServingJudged((A,))) == [SetTimer(HeartbeatDue(), 0.0)]
    assert sender.handle(ServingJudged((A,))) == []


def test_no_heartbeat_is_sent_from_collect_until_install() -> None:
    sender = HeartbeatSender(0.25)
    sender.handle(ViewInstalled(view(1, A, B), leads=True))
    assert sender.handle(Promised(epoch(2))) == [CancelTimer(HeartbeatDue())]
    assert sender.handle(ServingJudged((A,))) == []


def test_a_follower_does_not_beat() -> None:
    sender = HeartbeatSender(0.25)
    assert sender.handle(ViewInstalled(view(1, B, A), leads=False)) == [CancelTimer(HeartbeatDue())]
