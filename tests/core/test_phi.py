"""Phi accrual: the value of a silence, beside tables that were not computed by it."""

from __future__ import annotations

import random
from math import inf, isclose, log10

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logstream.core.phi import WINDOW, PhiAccrual, PhiSettings, deviations

STEADY = PhiSettings()  # 0.25 s heartbeats, floor 0.1 s, pause 0.75 s
BARE = PhiSettings(heartbeat_s=1.0, deviation_floor_s=0.1, acceptable_pause_s=0.0)


def heard(intervals: list[float], settings: PhiSettings = STEADY) -> tuple[PhiAccrual, float]:
    """A peer that was heard at these intervals, and when it was heard last."""
    at = 100.0
    accrual = PhiAccrual(settings, at)
    for interval in intervals:
        at += interval
        accrual.heard(at)
    return accrual, at


# Upper tail probabilities of the standard normal distribution, as tables give them.
TAILS = {
    0.0: 0.5,
    1.0: 0.158655254,
    2.0: 0.022750132,
    3.0: 1.349898e-3,
    4.0: 3.167124e-5,
    5.0: 2.866516e-7,
    6.0: 9.865876e-10,
    7.0: 1.279813e-12,
}


@pytest.mark.parametrize(("beyond", "tail"), TAILS.items())
def test_phi_is_the_tail_of_the_normal_distribution(beyond: float, tail: float) -> None:
    """Steady intervals have no deviation, so the floor of 0.1 s is the deviation."""
    accrual, last = heard([1.0] * 20, BARE)
    assert isclose(accrual.phi(last + 1.0 + 0.1 * beyond), -log10(tail), rel_tol=1e-6)


@pytest.mark.parametrize(("phi", "beyond"), [(1.0, 1.2816), (3.0, 3.0902), (8.0, 5.6120), (10.0, 6.3613)])
def test_phi_8_and_10_lie_close_together(phi: float, beyond: float) -> None:
    """Section 4: 5.61 and 6.36 deviations."""
    assert isclose(deviations(phi), beyond, abs_tol=5e-5)


def test_intervals_that_vary_widen_the_deviation() -> None:
    """Intervals of 0.8 and 1.2 s have the mean 1 and the deviation 0.2."""
    accrual, last = heard([0.8, 1.2] * 50, BARE)
    assert isclose(accrual.phi(last + 1.0 + 0.2 * 5.0), -log10(TAILS[5.0]), rel_tol=1e-6)


def test_the_acceptable_pause_is_added_to_the_time_of_detection() -> None:
    bare, last = heard([0.25] * 20, PhiSettings(acceptable_pause_s=0.0))
    patient, _ = heard([0.25] * 20, PhiSettings(acceptable_pause_s=0.75))
    assert isclose(patient.phi(last + 1.4), bare.phi(last + 0.65))


def test_with_the_defaults_a_peer_has_failed_after_1_6_seconds() -> None:
    accrual, last = heard([0.25] * 20)
    assert accrual.phi(last + 1.60) < STEADY.fail < accrual.phi(last + 1.65)
    assert accrual.phi(last + 1.55) < STEADY.suspect < accrual.phi(last + 1.57)
    assert isclose(STEADY.fail_s, 1.636, abs_tol=0.001)


def test_the_fail_time_is_the_fallback_at_most() -> None:
    assert PhiSettings(heartbeat_s=20.0).fail_s == 15.0


def test_without_history_only_the_fallback_fails() -> None:
    accrual, last = heard([])
    assert accrual.phi(last + 14.99) == 0.0
    assert accrual.phi(last + 15.0) == inf


def test_the_fallback_fails_in_any_case() -> None:
    accrual, last = heard([5.0, 60.0 / 7, 14.0] * 5, PhiSettings(heartbeat_s=8.0, deviation_floor_s=5.0))
    assert accrual.phi(last + 14.9) < STEADY.fail
    assert accrual.phi(last + 15.0) == inf


def test_a_burst_of_messages_does_not_spoil_the_intervals() -> None:
    """A thousand acks a second, then a quiet cluster with its heartbeats: that is no reason to suspect anybody."""
    busy, last = heard([0.25] * 20 + [0.001] * 3000)
    assert busy.phi(last + 1.1) < 1.5
    assert busy.phi(last + 1.45) < STEADY.suspect
    assert busy.phi(last + 1.65) > STEADY.fail


def test_any_message_ends_a_silence() -> None:
    accrual, last = heard([0.25] * 20)
    accrual.heard(last + 1.5)
    accrual.heard(last + 1.51)
    assert accrual.phi(last + 1.9) < 1.0


def test_how_long_a_peer_was_dead_says_nothing_about_its_heartbeat() -> None:
    accrual, last = heard([0.25] * 20 + [600.0] + [0.25] * 2)
    assert accrual.phi(last + 1.65) > STEADY.fail


def test_a_first_interval_that_is_no_heartbeat_is_not_taken_for_one() -> None:
    """A peer is known since an earlier view, and heard for the first time when it leads: detection took 15 s then."""
    accrual, last = heard([9.0] + [0.25] * 3)
    assert accrual.phi(last + 1.65) > STEADY.fail


def test_a_restart_gives_a_full_period_and_keeps_what_is_known() -> None:
    """R14: it was this process that did not listen."""
    accrual, last = heard([0.25] * 20)
    accrual.restart(last + 60.0)
    assert accrual.phi(last + 60.0 + 1.0) < 1.0
    assert accrual.phi(last + 60.0 + 1.65) > STEADY.fail
    accrual.heard(last + 60.25)
    assert isclose(accrual.phi(last + 60.25 + 1.0), heard([0.25] * 20)[0].phi(100.0 + 5.0 + 1.0), rel_tol=1e-6)


def test_only_the_last_thousand_intervals_count() -> None:
    slow_once, last = heard([0.9] * 500 + [0.25] * WINDOW)
    never_slow, _ = heard([0.25] * WINDOW)
    at = 100.0 + 0.25 * WINDOW
    assert isclose(slow_once.phi(last + 1.3), never_slow.phi(at + 1.3), rel_tol=1e-6)


@given(st.lists(st.floats(0.01, 3.0), max_size=40), st.lists(st.floats(0.0, 20.0), min_size=2, max_size=10))
def test_phi_grows_with_silence(intervals: list[float], silences: list[float]) -> None:
    accrual, last = heard(intervals)
    phis = [accrual.phi(last + silence) for silence in sorted(silences)]
    assert phis == sorted(phis)
    assert all(phi >= 0.0 for phi in phis)


@pytest.mark.parametrize("seed", range(10))
def test_sliding_sums_agree_with_sums_made_anew(seed: int) -> None:
    dice = random.Random(seed)
    intervals = [dice.uniform(0.2, 0.9) for _ in range(WINDOW + 700)]
    sliding, last = heard(intervals)
    anew, at = heard(intervals[-WINDOW:])
    assert isclose(sliding.phi(last + 1.9), anew.phi(at + 1.9), rel_tol=1e-5, abs_tol=1e-9)
