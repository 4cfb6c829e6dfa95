"""Waiting: every request is taken once, in gseq order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from logstream.core.replica.waiting import Waiter, Waiting


def waiting(*gseqs: int) -> Waiting:
    queue = Waiting()
    for number, gseq in enumerate(gseqs):
        queue.add(Waiter(gseq, number, 0, float(number)))
    return queue


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(0, 10), st.integers(0, 10))
def test_a_commit_takes_those_up_to_it_and_a_cut_those_above(gseqs: list[int], commit: int, cut: int) -> None:
    queue = waiting(*gseqs)
    done, gone = queue.take_to(commit), queue.take_above(cut)
    assert [one.gseq for one in done] == sorted(gseq for gseq in gseqs if gseq <= commit)
    assert [one.gseq for one in gone] == sorted(gseq for gseq in gseqs if gseq > max(commit, cut))
    assert len(queue) == len(gseqs) - len(done) - len(gone)


def test_a_repeated_batch_takes_its_place_among_earlier_ones() -> None:
    queue = waiting(3, 5, 4)
    assert queue.oldest is not None and queue.oldest.gseq == 3
    assert [one.request for one in queue.take_to(4)] == [0, 2]


def test_only_those_that_waited_for_long_enough_are_taken() -> None:
    queue = waiting(1, 2, 3)
    assert [one.request for one in queue.take_since(2.0)] == [0, 1]
    assert [one.request for one in queue.take_to(9)] == [2]
    assert queue.oldest is None
