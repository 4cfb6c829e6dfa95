"""Holdback (R9): whatever order entries come in, they leave in gseq order, once, and never more than fit wait."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.core.replica.holdback import BYTES_MAX, ENTRIES_MAX, Holdback
from logstream.protocol.messages import Entry, EntryKind
from tests.core.builders import epoch


def entry(gseq: int, size: int = 10) -> Entry:
    return Entry(gseq, epoch(1), EntryKind.BATCH, 1, 0, b"", bytes(size), 0)


@settings(deadline=None, max_examples=100)
@given(st.permutations(range(1, 30)), st.lists(st.integers(1, 29), max_size=20))
def test_entries_leave_in_order_and_once_whatever_order_they_come_in(order: list[int], again: list[int]) -> None:
    holdback, end, left = Holdback(), 0, []
    for gseq in [*order, *again]:
        if gseq > end:
            holdback.hold(entry(gseq))
        for one in holdback.ready(end):
            left.append(one.gseq)
            end = one.gseq
    assert left == list(range(1, 30))
    assert (len(holdback), holdback.bytes) == (0, 0)


def test_beyond_the_limit_of_entries_the_next_is_dropped() -> None:
    holdback = Holdback()
    for gseq in range(2, ENTRIES_MAX + 4):
        holdback.hold(entry(gseq, 1))
    assert (len(holdback), holdback.dropped) == (ENTRIES_MAX, 2)


def test_beyond_the_limit_of_bytes_the_next_is_dropped() -> None:
    holdback = Holdback()
    for gseq in (2, 3, 4):
        holdback.hold(entry(gseq, BYTES_MAX // 2))
    assert (len(holdback), holdback.bytes, holdback.room, holdback.dropped) == (2, BYTES_MAX, 0, 1)


def test_one_batch_of_any_size_always_fits() -> None:
    holdback = Holdback()
    holdback.hold(entry(2, BYTES_MAX + 1))
    assert (len(holdback), holdback.room) == (1, 0)
    assert holdback.take(2) is not None
    assert holdback.room == BYTES_MAX


def test_the_lowest_entry_held_is_where_the_gap_ends() -> None:
    holdback = Holdback()
    assert holdback.first() is None
    for gseq in (9, 5, 7):
        holdback.hold(entry(gseq))
    assert holdback.first() == 5
    holdback.clear()
    assert (holdback.first(), holdback.bytes) == (None, 0)
