"""The base of a new view (R5) as a pure function of what the responders hold."""

from __future__ import annotations

import pytest

from logstream.core.union import plan
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Digest, Epoch
from logstream.protocol.messages import State
from tests.core.builders import A, B, C, append, batch, epoch, history_of


def state(last_view: Epoch, digest: Digest) -> State:
    return State(epoch(9), None, (), last_view, digest)


def test_the_longest_log_of_the_highest_last_view_is_the_base() -> None:
    states = {
        A: state(epoch(2), history_of(3).log.digest()),
        B: state(epoch(2), history_of(5).log.digest()),
        C: state(epoch(1), history_of(8).log.digest()),
    }
    assert plan(states, A) == (B, history_of(5).log.digest())


def test_among_equal_logs_the_own_one_need_not_be_moved() -> None:
    states = {member: state(epoch(2), history_of(3).log.digest()) for member in (A, B, C)}
    assert plan(states, B).source == B


def test_two_logs_of_one_view_that_differ_break_the_promise_that_views_make() -> None:
    """I5: logs with equal last view are prefixes of one another."""
    other = history_of(3)
    append(other, epoch(2, C), batch(payload=b"other"))
    states = {A: state(epoch(2), history_of(5).log.digest()), C: state(epoch(2), other.log.digest())}
    with pytest.raises(LocalProtocolError, match="differ"):
        plan(states, A)
