"""The ring (R4): its highest id wins and nobody else, whoever starts and however messages overtake each other."""

from __future__ import annotations

import random
from itertools import combinations, permutations

import pytest

from logstream.core.election import ProbeDue, ProbeTimedOut
from logstream.core.quorum import enough
from logstream.protocol.identity import Member
from tests.core.builders import A, B, C, D, E, view
from tests.core.ring_network import RingNetwork

EVERYBODY = (A, B, C, D, E)


def cases(size: int) -> list[tuple[tuple[Member, ...], tuple[Member, ...]]]:
    """Every order of so many ids in which they start, cut off after each of its places: all sets of starters."""
    return [
        (order, order[:starters]) for order in permutations(EVERYBODY[:size]) for starters in range(1, len(order) + 1)
    ]


@pytest.mark.parametrize("size", range(1, 6))
def test_whoever_starts_in_whatever_order_the_highest_id_wins(size: int) -> None:
    """R4: exactly the highest id of the ring, with at most one turn more than the way to it per starter."""
    for order, starters in cases(size):
        net = RingNetwork(view(1, *order), order)
        net.lose_leader(*order)
        net.sent.clear()  # their own probes are lost; those of the starters come back
        for member in starters:
            net.fires(member, ProbeDue())
        net.settle()
        assert set(net.winners) == {max(order)}, (order, starters)
        assert net.elections <= (2 * size - 1) * len(starters)
        assert net.elections >= (size if size > 1 else 0)


@pytest.mark.parametrize("size", range(2, 6))
def test_a_single_starter_elects_once_and_needs_two_turns_at_most(size: int) -> None:
    for starter in EVERYBODY[:size]:
        net = RingNetwork(view(1, *EVERYBODY[:size]), EVERYBODY[:size])
        net.lose_leader(*EVERYBODY[:size])
        net.sent.clear()
        net.fires(starter, ProbeDue())
        net.settle()
        way_to_the_highest = size - 1 - EVERYBODY.index(starter)
        assert net.winners == [EVERYBODY[size - 1]]
        assert net.elections == size + way_to_the_highest


@pytest.mark.parametrize("size", range(2, 6))
def test_every_part_that_is_enough_elects_its_highest_and_every_other_part_nobody(size: int) -> None:
    """Q3: all subsets of all views of up to five members are alive; the others do not answer."""
    members = EVERYBODY[:size]
    for alive in (part for count in range(1, size + 1) for part in combinations(members, count)):
        net = RingNetwork(view(1, *members), alive)
        net.lose_leader(*alive)
        net.settle()
        for member in alive:
            net.fires(member, ProbeTimedOut(1))
        net.settle()
        assert set(net.winners) == ({max(alive)} if enough(alive, view(1, *members)) else set()), alive


@pytest.mark.parametrize("seed", range(100))
def test_messages_may_overtake_each_other(seed: int) -> None:
    dice = random.Random(seed)
    net = RingNetwork(view(1, *EVERYBODY), EVERYBODY)
    net.lose_leader(*dice.sample(EVERYBODY, 5))
    for _ in range(3):
        net.settle(dice)
        for member in EVERYBODY:
            net.fires(member, ProbeDue())
    net.settle(dice)
    assert set(net.winners) == {E}


def test_a_member_that_hears_a_leader_is_not_in_the_ring_and_breaks_none() -> None:
    """R4: a leader that a quorum hears cannot be dethroned."""
    net = RingNetwork(view(1, *EVERYBODY), EVERYBODY)
    net.lose_leader(D, E)
    net.settle()
    assert net.winners == []
    net.lose_leader(A)
    net.settle()
    assert net.winners == [E]
