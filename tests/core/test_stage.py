"""Stage (R6, R18): another history is built slice by slice, and the own one stays what it is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.core.replica.history import History
from logstream.core.replica.learning import catch_up
from logstream.core.replica.log import common_prefix
from logstream.core.replica.stage import Stage
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.identity import EMPTY_LOG, NO_EPOCH
from logstream.protocol.messages import CatchUp
from tests.core.builders import A, B, C, append, batch, entries_of, epoch, following, history_of


def parted(shared: int, own_tail: int, their_tail: int) -> tuple[History, History]:
    """Two histories that agree up to `shared` and have other entries after it."""
    theirs = history_of(shared)
    own = following(theirs)
    for _ in range(own_tail):
        append(own, epoch(2, B), batch(payload=b"own"))
    for _ in range(their_tail):
        append(theirs, epoch(3, C), batch(payload=b"theirs"))
    return own, theirs


def slice_of(source: History, after: int, count: int) -> CatchUp:
    last = min(after + count, source.end)
    entries = entries_of(source, after + 1, last) if last > after else ()
    return CatchUp(NO_EPOCH, after, entries, source.log.digest())


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 12), st.integers(0, 8), st.integers(0, 12), st.integers(0, 20), st.integers(1, 7), st.booleans())
def test_asking_again_and_again_ends_with_the_teachers_log(
    shared: int, own_tail: int, their_tail: int, commit: int, count: int, twice: bool
) -> None:
    """Whatever was committed here: where the own log cannot be cut the stage starts from nothing."""
    own, theirs = parted(shared, own_tail, their_tail)
    own.commit_to(commit)
    before, stage = own.log.digest(), Stage()
    for _ in range(60):
        held = stage.digest(own)
        if held == theirs.log.digest():
            break
        answer = slice_of(theirs, common_prefix(theirs.log.digest(), held), count)
        assert stage.add(own, answer)
        if twice and stage.history is not None and answer.entries:
            assert not stage.add(own, answer)
    assert stage.digest(own) == theirs.log.digest()
    assert own.log.digest() == before
    holder = stage.holder_of(theirs.log.digest(), own)
    assert holder is not None and holder.end >= theirs.end


def test_a_slice_that_brings_nothing_new_says_so() -> None:
    theirs, stage = history_of(10), Stage()
    assert stage.add(History(), slice_of(theirs, 0, 5))
    assert not stage.add(History(), slice_of(theirs, 0, 5))
    assert not stage.add(History(), slice_of(theirs, 2, 2))
    assert stage.add(History(), slice_of(theirs, 3, 5))
    assert stage.history is not None and stage.history.end == 8


def test_a_staged_tail_that_the_teacher_does_not_have_is_cut() -> None:
    own, theirs = parted(5, 0, 0)
    longer, _ = parted(5, 4, 0)
    stage = Stage()
    stage.add(own, slice_of(longer, 5, 9))
    assert stage.add(own, slice_of(theirs, 5, 9))
    assert stage.history is not None and stage.history.log.digest() == theirs.log.digest()


def test_a_slice_of_a_log_that_differs_before_it_is_refused() -> None:
    own, theirs = parted(5, 3, 6)
    stage = Stage()
    stage.add(own, slice_of(own, 8, 0))
    with pytest.raises(RemoteProtocolError, match="differs"):
        stage.add(own, slice_of(theirs, 7, 3))


def test_commit_reaches_only_what_is_certainly_the_leaders() -> None:
    theirs, stage = history_of(10), Stage()
    stage.add(History(), slice_of(theirs, 0, 6))
    stage.commit_to(9)
    assert stage.history is not None and stage.history.commit == 6
    stage.certain = 0  # another leader is heard
    stage.add(History(), slice_of(theirs, 6, 4))
    assert stage.certain == 10


def test_a_base_is_held_by_whoever_has_its_chain() -> None:
    own, theirs = parted(5, 3, 6)
    stage = Stage()
    assert stage.holder_of(own.log.digest(), own) is own
    assert stage.holder_of(theirs.log.digest(), own) is None
    stage.add(own, slice_of(theirs, 5, 9))
    assert stage.holder_of(theirs.log.digest(), own) is stage.history
    assert stage.holder_of(EMPTY_LOG, own) is own


def test_what_is_dropped_is_asked_for_again() -> None:
    own, theirs = parted(5, 0, 6)
    stage = Stage()
    stage.add(own, slice_of(theirs, 5, 9))
    stage.drop()
    assert stage.digest(own) == own.log.digest()


def test_a_slice_is_at_most_a_thousand_entries() -> None:
    assert len(catch_up(history_of(1500), NO_EPOCH, 0, 1500).entries) == 1000
    assert A < B
