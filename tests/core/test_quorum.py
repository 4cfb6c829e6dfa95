"""Q3: which sets of members are enough, checked over every subset and every permutation of small views."""

from __future__ import annotations

from itertools import combinations, permutations

from logstream.core.quorum import enough, enough_for_all, floor_of, more_than_half
from logstream.protocol.identity import Member
from tests.core.builders import A, B, C, D, E, view

EVERYBODY = (A, B, C, D, E)


def subsets(members: tuple[Member, ...]) -> list[set[Member]]:
    return [set(chosen) for size in range(len(members) + 1) for chosen in combinations(members, size)]


def test_two_sets_that_are_enough_for_a_view_always_share_a_member() -> None:
    for size in range(1, 6):
        members = EVERYBODY[:size]
        good = [chosen for chosen in subsets(members) if enough(chosen, view(1, *members))]
        assert good
        assert all(one & other for one in good for other in good)


def test_more_than_half_is_enough_and_less_than_half_never_is() -> None:
    for size in range(1, 6):
        members = EVERYBODY[:size]
        for chosen in subsets(members):
            if 2 * len(chosen) != size:
                assert enough(chosen, view(1, *members)) == (2 * len(chosen) > size)


def test_exactly_half_is_enough_with_the_highest_member_of_the_views_own_list() -> None:
    assert enough({B}, view(1, A, B)) and not enough({A}, view(1, A, B))
    assert enough({A, D}, view(1, A, B, C, D)) and not enough({B, C}, view(1, A, B, C, D))


def test_somebody_outside_the_view_never_breaks_a_tie() -> None:
    assert not enough({A, E}, view(1, A, B))


def test_the_order_of_members_does_not_matter() -> None:
    for order in permutations((A, B, C, D)):
        for chosen in subsets((A, B, C, D)):
            assert enough(chosen, view(1, *order)) == enough(chosen, view(1, A, B, C, D))


def test_every_one_of_several_views_needs_enough() -> None:
    assert enough_for_all({A, B}, [view(1, A, B, C), view(2, A, B)])
    assert not enough_for_all({A, B}, [view(1, A, B, C), view(2, C, D, E)])


def test_installing_takes_a_strict_majority_without_a_tie_break() -> None:
    assert more_than_half({A, B}, (A, B, C)) and not more_than_half({B, D}, (A, B, C, D))


def test_the_floor_is_a_majority_of_the_expected_nodes() -> None:
    assert [floor_of(nodes) for nodes in (1, 2, 3, 4, 5)] == [1, 2, 2, 3, 3]
