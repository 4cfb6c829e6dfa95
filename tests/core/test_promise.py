"""Promise (R2, R6, R7): what fences a member, and what it remembers of views."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logstream.core.replica.promise import Promise
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import NO_EPOCH
from tests.core.builders import A, B, C, epoch, view


def test_a_higher_promise_freezes_and_a_lower_one_is_refused() -> None:
    promise = Promise(A)
    promise.accept(view(2, A, B), (), None)
    promise.resume(epoch(2))
    assert promise.leads
    assert promise.promise(epoch(3, B))
    assert promise.active is None
    assert not promise.promise(epoch(2))


def test_the_same_promise_again_changes_nothing() -> None:
    promise = Promise(A)
    promise.accept(view(2, A, B), (), None)
    promise.resume(epoch(2))
    assert promise.promise(epoch(2))
    assert promise.active is not None


def test_an_accepted_view_is_attempted_until_its_leader_speaks() -> None:
    """R7: accepting VIEW_INSTALL made V merely attempted."""
    promise = Promise(B)
    promise.accept(view(1, A, B), (), None)
    assert (promise.installed, promise.attempted) == (None, (view(1, A, B),))
    assert promise.resume(epoch(1)) == view(1, A, B)
    assert (promise.installed, promise.attempted) == (view(1, A, B), ())


def test_nothing_resumes_a_view_below_the_promise() -> None:
    promise = Promise(B)
    promise.accept(view(1, A, B), (), None)
    promise.promise(epoch(2, C))
    assert promise.resume(epoch(1)) is None


def test_nobody_resumes_in_a_view_without_itself() -> None:
    promise = Promise(C)
    promise.accept(view(1, A, B), (), None)
    assert promise.resume(epoch(1)) is None


def test_of_several_attempts_with_the_same_members_the_newest_is_remembered() -> None:
    promise = Promise(A)
    promise.accept(view(5, A, B), (view(2, A, B), view(3, A, C), view(4, B, A)), None)
    assert promise.attempted == (view(3, A, C), view(5, A, B))


def test_attempts_are_dropped_when_a_newer_view_is_installed() -> None:
    promise = Promise(A)
    promise.accept(view(3, A, B), (view(2, A, C),), view(1, A, B))
    assert promise.attempted == (view(2, A, C), view(3, A, B))
    promise.resume(epoch(3))
    assert promise.attempted == ()


def test_the_newest_installed_view_is_kept() -> None:
    """R6: inst = max(inst, inst*)."""
    promise = Promise(A)
    promise.accept(view(3, A, B), (), view(2, A, B))
    promise.accept(view(4, A, B), (), view(1, A, B))
    assert promise.installed == view(2, A, B)


def test_accepting_below_the_promise_is_an_error_of_our_own() -> None:
    promise = Promise(A)
    promise.promise(epoch(5, B))
    with pytest.raises(LocalProtocolError):
        promise.accept(view(4, A, B), (), None)


@given(st.lists(st.tuples(st.sampled_from(["promise", "accept", "resume", "down"]), st.integers(1, 6)), max_size=20))
def test_promise_and_last_view_never_decrease(steps: list[tuple[str, int]]) -> None:
    """I2, and I10: active means that epoch, last view and promise are one."""
    promise, before = Promise(A), (NO_EPOCH, NO_EPOCH)
    for what, n in steps:
        if what == "promise":
            promise.promise(epoch(n))
        elif what == "accept" and epoch(n) >= promise.promised:
            promise.accept(view(n, A, B), (), None)
        elif what == "resume":
            promise.resume(epoch(n))
        else:
            promise.step_down()
        promise.check_invariants()
        now = (promise.promised, promise.last_view)
        assert now[0] >= before[0] and now[1] >= before[1]
        before = now
