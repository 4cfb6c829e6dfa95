"""Tally (R10, Q9): all waits for every member, majority for more than half of all of them, dead or not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from logstream.core.replica.tally import Tally
from logstream.protocol.identity import CommitRule
from tests.core.builders import A, B, C, D, E, view

MATCHES = st.lists(st.integers(-1, 20), min_size=1, max_size=5)


@given(MATCHES, st.sampled_from(["all", "majority"]))
def test_what_is_committed_is_stored_by_as_many_members_as_the_rule_says(matches: list[int], rule: CommitRule) -> None:
    members = (A, B, C, D, E)[: len(matches)]
    tally = Tally(view(1, *members, commit=rule))
    for member, match in zip(members, matches, strict=True):
        tally.ack(member, match)
    committed = tally.committed()

    def good(gseq: int) -> bool:
        stored = sum(match >= gseq for match in matches)
        return stored == len(members) if rule == "all" else 2 * stored > len(members)

    assert committed == 0 or good(committed)
    assert not any(good(gseq) for gseq in range(committed + 1, 22))


def test_exactly_half_commits_nothing_even_with_the_highest_member() -> None:
    """R10: never Q3: no tie-break, no proofs."""
    tally = Tally(view(1, A, B, commit="majority"))
    tally.ack(B, 7)
    assert tally.committed() == 0


def test_an_ack_never_goes_back() -> None:
    tally = Tally(view(1, A, B))
    assert tally.ack(A, 5)
    assert not tally.ack(A, 3)
    assert tally.match[A] == 5


def test_somebody_outside_the_view_counts_for_nothing() -> None:
    tally = Tally(view(1, A))
    assert not tally.ack(B, 5)
    assert B not in tally.match


def test_the_missing_are_those_that_have_not_stored_it() -> None:
    tally = Tally(view(1, A, B, C))
    tally.ack(A, 5)
    tally.ack(B, 4)
    assert tally.missing(5) == [B, C]


def test_the_best_follower_has_the_highest_ack() -> None:
    tally = Tally(view(1, A, B, C))
    tally.ack(A, 9)
    tally.ack(B, 5)
    tally.ack(C, 4)
    assert tally.best_follower((A, B, C)) == B
    assert tally.best_follower((A, C)) == C
    assert tally.best_follower(()) is None
    assert Tally(view(1, A)).best_follower((A,)) is None
