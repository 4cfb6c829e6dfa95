"""The base of a new view (R5) as a pure function of what the responders hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logstream.core.replica.history import History
from logstream.core.union import plan
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Digest, Epoch, Member
from logstream.protocol.messages import State
from tests.core.builders import A, B, C, D, E, append, batch, epoch, following, history_of


def state(last_view: Epoch, digest: Digest) -> State:
    return State(epoch(9), None, (), last_view, digest)


def longer(history: History, entries: int, made_in: Epoch) -> History:
    """A log that goes on from another one, in another epoch."""
    other = following(history)
    for number in range(entries):
        append(other, made_in, batch(payload=f"{made_in}{number}".encode()))
    return other


def test_the_longest_log_of_the_highest_last_view_is_the_base() -> None:
    """A longer log of an earlier view is not: what it has more was never committed in the later one."""
    states = {
        A: state(epoch(2), history_of(3).log.digest()),
        B: state(epoch(2), history_of(5).log.digest()),
        C: state(epoch(1), history_of(8).log.digest()),
    }
    assert plan(states, A) == (B, history_of(5).log.digest(), ((C, history_of(8).log.digest()),))


def test_among_equal_logs_the_own_one_need_not_be_moved() -> None:
    states = {member: state(epoch(2), history_of(3).log.digest()) for member in (A, B, C)}
    assert plan(states, B) == (B, history_of(3).log.digest(), ())


def test_logs_that_are_prefixes_of_the_base_hold_no_orphans() -> None:
    states = {member: state(epoch(2), history_of(3 + n).log.digest()) for n, member in enumerate((A, B, C))}
    assert plan(states, A).orphans == ()


def test_orphans_are_read_in_the_order_of_last_view_end_and_member_descending() -> None:
    base = history_of(4)
    digests = {
        "short": longer(base, 1, epoch(2)).log.digest(),
        "long": longer(base, 3, epoch(2, B)).log.digest(),
        "late": longer(base, 2, epoch(3)).log.digest(),
    }
    states = {
        A: state(epoch(5), base.log.digest()),
        B: state(epoch(2), digests["short"]),
        C: state(epoch(3), digests["late"]),
        D: state(epoch(2), digests["long"]),
        E: state(epoch(2), digests["short"]),
    }
    assert [member for member, _ in plan(states, A).orphans] == [C, D, E, B]


def test_the_candidates_own_tail_may_be_an_orphan() -> None:
    base, own = history_of(4), longer(history_of(3), 1, epoch(2))
    states = {A: state(epoch(2), own.log.digest()), B: state(epoch(3), base.log.digest())}
    assert plan(states, A) == (B, base.log.digest(), ((A, own.log.digest()),))


def test_a_newcomer_without_a_view_gives_nothing() -> None:
    states = {A: state(epoch(2), history_of(3).log.digest()), D: state(epoch(0), Digest())}
    assert plan(states, A) == (A, history_of(3).log.digest(), ())


def test_two_logs_of_one_view_that_differ_break_the_promise_that_views_make() -> None:
    """I5: logs with equal last view are prefixes of one another."""
    other = history_of(3)
    append(other, epoch(2, C), batch(payload=b"other"))
    states = {A: state(epoch(2), history_of(5).log.digest()), C: state(epoch(2), other.log.digest())}
    with pytest.raises(LocalProtocolError, match="differ"):
        plan(states, A)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3)), min_size=2, max_size=5), st.randoms())
def test_the_order_in_which_the_answers_came_decides_nothing(tails: list[tuple[int, int]], dice: object) -> None:
    """R5: a pure function of the inputs. Each member went on from the common start in a view of its own."""
    start = history_of(3)
    found: list[tuple[Member, State]] = []
    for member, (n, length) in zip((A, B, C, D, E), tails, strict=False):
        mine = Epoch.of(n, member)
        found.append((member, state(mine, longer(start, length, mine).log.digest())))
    expected = plan(dict(found), A)
    dice.shuffle(found)  # type: ignore[attr-defined]
    assert plan(dict(found), A) == expected
    assert expected.base == max(dict(found).values(), key=lambda one: one.last_view).digest
