"""Wishes (R18): what speaks for another view, until when, and what a view that is installed has granted."""

from __future__ import annotations

import pytest

from logstream.core.wishes import AGAIN_MAX_S, FORGIVEN_S, LEFT_MAX, Wishes
from logstream.protocol.identity import Member
from tests.core.builders import A, B, C, D, E, epoch, view

THREE = view(1, A, B, C)


@pytest.fixture
def wishes() -> Wishes:
    """Of the leader of A, B and C; one node is expected, so growth is not urgent."""
    return Wishes(lambda: 1)


def test_without_a_wish_there_is_no_reason(wishes: Wishes) -> None:
    assert wishes.wait(THREE, 10.0) is None


def test_a_member_that_leaves_is_a_reason_until_a_view_without_it_is_installed(wishes: Wishes) -> None:
    wishes.leave(C, counts=True)
    assert (wishes.wait(THREE, 10.0), wishes.outgoing) == (0.0, {C})
    wishes.granted(view(2, A, B, C, D), THREE, A, 10.0)
    assert wishes.outgoing == {C}
    wishes.granted(view(3, A, B, D), view(2, A, B, C, D), A, 10.0)
    assert (wishes.wait(view(3, A, B, D), 10.0), wishes.outgoing) == (None, set())


def test_who_said_leave_to_another_leader_is_taken_out_by_the_next_view_that_has_it(wishes: Wishes) -> None:
    wishes.leave(C, counts=False)
    assert wishes.outgoing == set()
    wishes.granted(view(2, A, B, C), THREE, A, 10.0)
    assert wishes.outgoing == {C}


def test_a_leaver_is_never_a_joiner_again(wishes: Wishes) -> None:
    wishes.leave(D, counts=False)
    wishes.join(D, THREE, 10.0)
    assert wishes.joiners == {}


def test_the_memory_of_leavers_is_bounded(wishes: Wishes) -> None:
    for number in range(LEFT_MAX + 1):
        wishes.leave(Member(f"m{number}", "s"), counts=False)
    wishes.join(Member("m0", "s"), THREE, 10.0)
    wishes.join(Member("m1", "s"), THREE, 10.0)
    assert list(wishes.joiners) == [Member("m0", "s")]


# --- lost, stalled, promised more ---


def test_a_lost_member_is_a_reason_until_it_is_heard_or_out(wishes: Wishes) -> None:
    wishes.lose(C)
    assert wishes.wait(THREE, 10.0) == 0.0
    wishes.hear((A, B, C))
    assert wishes.wait(THREE, 10.0) is None
    wishes.lose(C)
    wishes.granted(view(2, A, B), THREE, A, 10.0)
    assert wishes.wait(view(2, A, B), 10.0) is None


def test_a_member_that_is_lost_after_it_answered_is_a_reason_for_another_view(wishes: Wishes) -> None:
    """The view that was under way has it; nobody would say once more that it is lost."""
    wishes.lose(C)
    wishes.granted(view(2, A, B, C), THREE, A, 10.0)
    assert wishes.wait(view(2, A, B, C), 10.0) == 0.0


def test_a_higher_promise_is_a_reason_until_a_view_is_above_it(wishes: Wishes) -> None:
    """R7: the next n exceeds its promise."""
    wishes.rise_above(epoch(5, C))
    wishes.rise_above(epoch(4, B))
    assert wishes.wait(THREE, 10.0) == 0.0
    assert wishes.wait(view(6, A, B, C), 10.0) is None


def test_for_the_sake_of_higher_promises_the_view_changes_at_most_once_a_second(wishes: Wishes) -> None:
    """R7: at most once a second."""
    wishes.rise_above(epoch(5, C))
    wishes.granted(view(6, A, B, C), THREE, A, 10.0)
    wishes.rise_above(epoch(7, C))
    assert wishes.wait(view(6, A, B, C), 10.25) == 0.75
    assert wishes.wait(view(6, A, B, C), 11.5) == 0.0


def test_a_member_that_stalls_goes_if_the_rest_is_enough(wishes: Wishes) -> None:
    wishes.leave_out(B, THREE, {A, B, C})
    assert wishes.outgoing == {B}


@pytest.mark.parametrize("heard", [{A, B}, {A}, {A, B, C} - {C}], ids=["one is silent", "two are", "the other is"])
def test_a_member_that_stalls_stays_if_the_rest_is_not_enough(wishes: Wishes, heard: set[Member]) -> None:
    wishes.leave_out(B, THREE, heard)
    assert wishes.outgoing == set()


def test_of_two_members_that_stall_one_stays(wishes: Wishes) -> None:
    wishes.leave_out(B, THREE, {A, B, C})
    wishes.leave_out(C, THREE, {A, B, C})
    assert wishes.outgoing == {B}


def test_who_is_no_member_cannot_stall(wishes: Wishes) -> None:
    wishes.leave_out(D, THREE, {A, B, C})
    assert wishes.outgoing == set()


def test_a_member_that_was_left_out_may_come_back_after_three_seconds_doubling(wishes: Wishes) -> None:
    """R18: it is a learner for 3 s, doubling. That it was a member in between does not make it faster."""
    now, two = 10.0, view(2, A, C)
    for wait_s in (3.0, 6.0, 12.0, 24.0, 48.0, AGAIN_MAX_S, AGAIN_MAX_S):
        wishes.leave_out(B, THREE, {A, B, C})
        wishes.granted(two, THREE, A, now)
        wishes.join(B, two, now + wait_s - 0.01)
        assert wishes.joiners == {}
        now += wait_s
        wishes.join(B, two, now)
        assert list(wishes.joiners) == [B]
        wishes.granted(THREE, two, A, now)


def test_a_member_that_was_no_trouble_for_a_minute_begins_anew(wishes: Wishes) -> None:
    now, two = 10.0, view(2, A, C)
    for _ in range(3):
        wishes.leave_out(B, THREE, {A, B, C})
        wishes.granted(two, THREE, A, now)
        wishes.join(B, two, now + 3.0)
        assert list(wishes.joiners) == [B]
        wishes.granted(THREE, two, A, now + 3.0)
        now += 3.0 + FORGIVEN_S + 0.1


def test_who_had_to_stay_after_all_is_judged_anew(wishes: Wishes) -> None:
    wishes.leave_out(B, THREE, {A, B, C})
    wishes.granted(view(2, A, B, C), THREE, A, 10.0)
    assert wishes.wait(view(2, A, B, C), 10.0) is None


def test_what_a_leader_saw_is_nothing_to_whoever_leads_no_more(wishes: Wishes) -> None:
    """Who stalled an hour ago, under another leader, must not be left out when this node leads again."""
    wishes.leave_out(B, THREE, {A, B, C})
    wishes.lose(C)
    wishes.join(D, THREE, 10.0)
    wishes.leave(E, counts=True)
    wishes.stop_leading()
    assert (wishes.outgoing, wishes.joiners) == ({E}, {})
    wishes.granted(view(2, A, B, C), THREE, A, 10.0)
    assert wishes.wait(view(2, A, B, C), 10.0) is None


# --- growth ---


def test_growth_waits_for_a_second_and_not_below_the_expected_size() -> None:
    wishes = Wishes(lambda: 4)
    wishes.granted(THREE, view(1, A, B), A, 10.0)
    wishes.join(D, THREE, 10.25)
    assert wishes.wait(THREE, 10.25) == 0.0
    four = view(2, A, B, C, D)
    wishes.granted(four, THREE, A, 11.0)
    wishes.join(E, four, 11.25)
    assert wishes.wait(four, 11.25) == 0.75
    assert wishes.wait(four, 12.5) == 0.0
