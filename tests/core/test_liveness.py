"""Failure detector and heartbeat sender: who is heard, when silence counts, and the leader's pulse."""

from __future__ import annotations

import pytest

from logstream.core.effects import Announce, CancelTimer, Effect, Note, SetTimer
from logstream.core.events import Due, LinkDown
from logstream.core.failure_detector import (
    CheckDue,
    FailureDetector,
    LeaderFound,
    LeaderLost,
    MemberLost,
    ServingJudged,
    Suspected,
)
from logstream.core.heartbeat_sender import HeartbeatDue, HeartbeatSender
from logstream.core.phi import PhiSettings
from logstream.core.replica.vocabulary import (
    Beat,
    FollowerHeard,
    LeaderHeard,
    Promised,
    SteppedDown,
    ViewInstalled,
)
from logstream.core.view_vocabulary import ChangeFailed
from logstream.protocol.identity import Member
from tests.core.builders import A, B, C, D, announced, epoch, view

CHECK_S, HEARTBEAT_S = 0.05, 0.25
BEAT = 5  # checks


class Watch:
    """A's detector, checked every 0.05 s; with the defaults silence is failure after 1.64 s."""

    def __init__(self) -> None:
        self.core = FailureDetector(A, PhiSettings())
        self.now = 10.0
        self._checks = 0

    def checks(self, for_s: float, heard: tuple[Member, ...] = (), leader: Member | None = None) -> list[Effect]:
        """Checks on time for so long, while these are heard each heartbeat."""
        effects: list[Effect] = []
        for _ in range(round(for_s / CHECK_S)):
            self.now += CHECK_S
            self._checks += 1
            if self._checks % BEAT == 0:
                effects += [effect for member in heard for effect in self.told(FollowerHeard(member, self.now))]
                effects += self.told(LeaderHeard(leader, self.now)) if leader is not None else []
            effects += self.told(Due(CheckDue(), self.now, self.now))
        return effects

    def told(self, event: object) -> list[Effect]:
        return self.core.handle(event)

    def paused(self, for_s: float) -> list[Effect]:
        due = self.now + CHECK_S
        self.now += for_s
        return self.told(Due(CheckDue(), self.now, due))


@pytest.fixture
def a() -> Watch:
    """A leads A, B and C, and has heard both for two seconds."""
    watch = Watch()
    watch.checks(0.25)
    watch.told(ViewInstalled(view(1, A, B, C), leads=True))
    watch.checks(2.0, heard=(B, C))
    return watch


@pytest.fixture
def f() -> Watch:
    """A follows B, and has heard it for two seconds."""
    watch = Watch()
    watch.told(ViewInstalled(view(1, B, A), leads=False))
    watch.checks(2.0, leader=B)
    return watch


def test_a_new_leader_hears_itself_and_everybody_serves() -> None:
    effects = Watch().told(ViewInstalled(view(1, A, B), leads=True))
    assert effects == [Announce(LeaderFound(A)), Announce(ServingJudged((A, B)))]


# --- the leader's side ---


def test_silence_is_suspected_first_and_failure_later(a: Watch) -> None:
    """Section 4: phi 8 and 10 lie close together; between them the peer is probed."""
    assert announced(a.checks(1.5, heard=(B,)), object) == []
    suspected = a.checks(0.1, heard=(B,))
    assert announced(suspected, Suspected) == [Suspected(C)]
    assert not announced(suspected, MemberLost)
    assert announced(a.checks(0.1, heard=(B,)), MemberLost) == [MemberLost(C)]


def test_one_check_per_heartbeat_is_enough_until_somebody_is_silent(a: Watch) -> None:
    assert a.told(Due(CheckDue(), a.now, a.now)) == [SetTimer(CheckDue(), HEARTBEAT_S)]
    a.checks(0.95, heard=(B,))
    assert a.told(Due(CheckDue(), a.now, a.now)) == [SetTimer(CheckDue(), CHECK_S)]
    a.checks(1.0, heard=(B,))
    assert a.told(Due(CheckDue(), a.now, a.now)) == [SetTimer(CheckDue(), HEARTBEAT_S)]  # C is lost and does not count


def test_a_member_is_lost_once_and_does_not_serve(a: Watch) -> None:
    effects = a.checks(30.0, heard=(B,))
    assert announced(effects, MemberLost) == [MemberLost(C)]
    assert announced(effects, ServingJudged) == [ServingJudged((A, B))]
    assert announced(effects, Suspected) == [Suspected(C)]


def test_a_member_that_answers_while_it_is_suspected_is_not_lost(a: Watch) -> None:
    assert announced(a.checks(1.6, heard=(B,)), Suspected) == [Suspected(C)]
    a.told(FollowerHeard(C, a.now))
    assert not announced(a.checks(1.0, heard=(B,)), MemberLost)


def test_a_member_that_is_heard_again_serves_at_once_and_can_be_lost_again(a: Watch) -> None:
    a.checks(2.0, heard=(B,))
    assert announced(a.told(FollowerHeard(C, a.now)), ServingJudged) == [ServingJudged((A, B, C))]
    assert announced(a.checks(2.0, heard=(B,)), MemberLost) == [MemberLost(C)]


def test_a_refused_link_is_fast_evidence(a: Watch) -> None:
    """Section 4: the process is gone; nobody waits for phi."""
    effects = a.told(LinkDown(C, True, a.now))
    assert effects == [
        Note("member lost", {"member": "c", "why": "gone"}, warning=True),
        Announce(ServingJudged((A, B))),
        Announce(MemberLost(C)),
    ]
    assert a.told(LinkDown(C, True, a.now)) == []


def test_a_link_that_only_broke_is_no_evidence(a: Watch, f: Watch) -> None:
    assert a.told(LinkDown(C, False, a.now)) == []
    assert f.told(LinkDown(B, False, f.now)) == []


def test_a_stranger_that_is_gone_is_no_news(a: Watch, f: Watch) -> None:
    assert a.told(LinkDown(D, True, a.now)) == []
    assert f.told(LinkDown(C, True, f.now)) == []


def test_a_learner_never_serves_and_is_not_lost(a: Watch) -> None:
    assert a.told(FollowerHeard(D, a.now)) == []
    assert not announced(a.checks(30.0, heard=(B, C)), MemberLost)


def test_a_member_without_history_has_the_fallback() -> None:
    """Section 4: 15 s where there is no history."""
    watch = Watch()
    watch.checks(CHECK_S)
    watch.told(ViewInstalled(view(1, A, B), leads=True))
    assert not announced(watch.checks(14.9), MemberLost)
    assert announced(watch.checks(0.2), MemberLost) == [MemberLost(B)]


def test_a_new_view_gives_everybody_a_full_period(a: Watch) -> None:
    a.checks(1.5, heard=(B,))
    a.told(ViewInstalled(view(2, A, B, C), leads=True))
    assert not announced(a.checks(1.5, heard=(B,)), MemberLost)
    assert announced(a.checks(0.25, heard=(B,)), MemberLost) == [MemberLost(C)]


def test_status_shows_phi_and_silence_of_those_who_are_watched(a: Watch, f: Watch) -> None:
    a.checks(1.0, heard=(B,))
    facts = a.core.facts(a.now)
    assert list(facts) == ["b", "c"]
    assert (facts["c"]["silent_s"], facts["c"]["phi"]) == (1.0, 0.3)
    assert list(f.core.facts(f.now)) == ["b"]
    f.checks(60.0)
    assert f.core.facts(f.now) == {}


# --- the follower's side ---


def test_a_leader_that_is_heard_is_not_lost(f: Watch) -> None:
    assert not announced(f.checks(30.0, leader=B), LeaderLost)


def test_a_leader_that_is_silent_is_suspected_and_lost_once(f: Watch) -> None:
    effects = f.checks(20.0)
    assert announced(effects, Suspected) == [Suspected(B)]
    [lost] = announced(effects, LeaderLost)
    assert isinstance(lost, LeaderLost) and abs(lost.at - 13.65) < 0.051
    assert f.core.leader is None


def test_a_leader_whose_link_is_refused_is_lost_at_once(f: Watch) -> None:
    effects = f.told(LinkDown(B, True, f.now))
    assert effects[0] == Note("leader lost", {"why": "b is gone"}, warning=True)
    assert len(announced(effects, LeaderLost)) == 1


def test_a_leader_that_is_heard_again_is_found_again(f: Watch) -> None:
    f.checks(5.0)
    assert f.told(LeaderHeard(B, f.now)) == [Announce(LeaderFound(B))]
    assert f.told(LeaderHeard(B, f.now)) == []


def test_another_leader_is_found_at_once(f: Watch) -> None:
    assert f.told(LeaderHeard(C, f.now)) == [Announce(LeaderFound(C))]


# --- R14: pauses ---


def test_a_process_that_was_paused_accuses_nobody(a: Watch, f: Watch) -> None:
    """R14: detectors start again with a full period, because it was we who did not listen."""
    assert not announced(a.paused(60.0), MemberLost)
    assert not announced(f.paused(60.0), LeaderLost)
    assert not announced(f.checks(1.5), LeaderLost)
    assert announced(f.checks(0.25), LeaderLost)


def test_a_pause_of_less_than_a_heartbeat_is_none(f: Watch) -> None:
    f.checks(1.4)
    assert announced(f.paused(0.29), LeaderLost)


def test_a_pause_between_two_seldom_checks_accuses_nobody(a: Watch) -> None:
    """R14: the next check comes after almost two heartbeats, less than one of them late."""
    a.checks(0.9, heard=(B,))
    assert a.told(Due(CheckDue(), a.now, a.now)) == [SetTimer(CheckDue(), HEARTBEAT_S)]
    effects = a.told(Due(CheckDue(), a.now + 2 * HEARTBEAT_S - 0.01, a.now + HEARTBEAT_S))
    assert announced(effects, object) == []


def test_who_was_suspected_before_a_pause_is_asked_again_after_it(f: Watch) -> None:
    assert announced(f.checks(1.6), Suspected)
    f.paused(60.0)
    assert announced(f.checks(1.6), Suspected) == [Suspected(B)]


# --- leaderless without a silence to time ---


@pytest.mark.parametrize("event", [SteppedDown(12.0), ChangeFailed(epoch(2))], ids=["lease", "no quorum"])
def test_a_leader_that_leads_no_more_is_leaderless_at_once(a: Watch, event: object) -> None:
    effects = a.told(event)
    assert len(announced(effects, LeaderLost)) == 1
    assert announced(a.told(event), LeaderLost) == []


def test_a_member_that_comes_back_is_leaderless_since_it_is_there() -> None:
    """R4: it has heard nobody yet; how long it has been without a leader must not count from the clock's zero."""
    assert announced(Watch().told(SteppedDown(12.0)), LeaderLost) == [LeaderLost(12.0)]


def test_a_leader_that_promised_to_a_candidate_which_dies_is_leaderless_after_the_fail_time(a: Watch) -> None:
    """R4: it hears nobody, not even itself. Without this a cluster whose candidate died stood still for ever."""
    assert a.told(Promised(epoch(2, B))) == [SetTimer(CheckDue(), CHECK_S)]
    assert not announced(a.checks(1.6, heard=(B, C)), LeaderLost)
    assert len(announced(a.checks(0.1), LeaderLost)) == 1
    assert not announced(a.checks(20.0), LeaderLost)


def test_a_candidate_that_promises_again_gets_no_more_time(a: Watch) -> None:
    a.told(Promised(epoch(2, B)))
    a.checks(1.0)
    a.told(Promised(epoch(3, C)))
    assert announced(a.checks(0.7), LeaderLost)


def test_a_learner_that_promised_and_never_heard_a_leader_is_leaderless_after_the_fail_time() -> None:
    """It may be a member of an attempted view by now, and the others may need it to go on."""
    watch = Watch()
    watch.checks(60.0)
    watch.told(Promised(epoch(2, B)))
    assert not announced(watch.checks(1.6), LeaderLost)
    assert len(announced(watch.checks(0.1), LeaderLost)) == 1


def test_a_newcomer_whose_clock_has_run_for_long_gets_the_whole_fail_time_too() -> None:
    """It may promise before its detector has looked at the clock for the first time."""
    watch = Watch()
    watch.told(Promised(epoch(2, B)))
    assert not announced(watch.checks(1.6), LeaderLost)
    assert announced(watch.checks(0.15), LeaderLost)


def test_a_learner_that_nobody_asked_for_anything_is_not_leaderless() -> None:
    watch = Watch()
    assert announced(watch.checks(60.0), object) == []


def test_a_frozen_leader_that_is_resumed_is_not_leaderless(a: Watch) -> None:
    a.told(Promised(epoch(2)))
    a.checks(1.0)
    a.told(ViewInstalled(view(2, A, B, C), leads=True))
    assert not announced(a.checks(10.0, heard=(B, C)), LeaderLost)


def test_a_frozen_leader_that_hears_its_successor_is_not_leaderless(a: Watch) -> None:
    a.told(Promised(epoch(2, B)))
    assert announced(a.told(LeaderHeard(B, a.now)), LeaderFound) == [LeaderFound(B)]
    assert not announced(a.checks(5.0, leader=B), LeaderLost)


def test_a_follower_that_promised_times_its_leader_as_before(f: Watch) -> None:
    f.told(Promised(epoch(2, C)))
    assert not announced(f.checks(1.5), LeaderLost)
    assert announced(f.checks(0.25), LeaderLost)


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


def test_only_members_of_the_view_are_watched() -> None:
    """A learner that crashes again and again has another identity each time."""
    watch = Watch()
    watch.told(ViewInstalled(view(1, A, B, C), leads=True))
    for number in range(1000):
        watch.told(FollowerHeard(Member(f"n{number}", "s"), watch.now))
    assert sorted(watch.core.facts(watch.now)) == ["b", "c"]
    assert len(watch.core._peers) == 3
