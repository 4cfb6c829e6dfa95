"""Dedup (R12): a known sequence gets its old offset, the next one is new, anything else is a gap."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.core.replica.dedup import BATCHES_KEPT, SEQUENCES, Change, Dedup, Verdict
from logstream.protocol.batches import BatchHeader, header_of
from tests.core.builders import batch

KEY = (7, 1, 0)


def header(sequence: int, records: int = 1, producer_epoch: int = 0) -> BatchHeader:
    return header_of(batch(records, 7, sequence, producer_epoch).body)


def verdict(dedup: Dedup, one: BatchHeader) -> Verdict:
    return dedup.judge(KEY, one)[0]


def test_an_unknown_producer_must_start_at_zero() -> None:
    assert verdict(Dedup(), header(0)) is Verdict.NEW
    assert verdict(Dedup(), header(3)) is Verdict.UNKNOWN


def test_the_next_sequence_counts_records() -> None:
    dedup = Dedup()
    dedup.apply(KEY, header(0, records=5), 100, 1)
    assert verdict(dedup, header(5)) is Verdict.NEW
    assert verdict(dedup, header(1)) is Verdict.GAP
    assert verdict(dedup, header(6)) is Verdict.GAP


def test_the_last_five_batches_get_their_old_offsets_again() -> None:
    dedup = Dedup()
    for sequence in range(7):
        dedup.apply(KEY, header(sequence), 100 + sequence, 10 + sequence)
    judged = [dedup.judge(KEY, header(sequence)) for sequence in range(7)]
    assert [one for one, _ in judged] == [Verdict.GAP] * 2 + [Verdict.REPEATED] * BATCHES_KEPT
    assert [batch.offset for _, batch in judged if batch] == [102, 103, 104, 105, 106]


def test_a_repetition_of_another_length_is_no_repetition() -> None:
    dedup = Dedup()
    dedup.apply(KEY, header(0, records=5), 100, 1)
    assert verdict(dedup, header(0, records=4)) is Verdict.GAP


def test_a_sequence_wraps_at_two_to_the_thirty_first() -> None:
    dedup = Dedup()
    dedup.apply(KEY, header(SEQUENCES - 2), 0, 1)
    assert verdict(dedup, header(SEQUENCES - 1, records=3)) is Verdict.NEW
    dedup.apply(KEY, header(SEQUENCES - 1, records=3), 1, 2)
    assert verdict(dedup, header(2)) is Verdict.NEW
    assert verdict(dedup, header(SEQUENCES - 1, records=3)) is Verdict.REPEATED


def test_an_older_producer_epoch_is_fenced_and_a_newer_one_starts_at_zero() -> None:
    dedup = Dedup()
    dedup.apply(KEY, header(0, producer_epoch=3), 0, 1)
    assert verdict(dedup, header(1, producer_epoch=2)) is Verdict.FENCED
    assert verdict(dedup, header(1, producer_epoch=4)) is Verdict.GAP
    assert verdict(dedup, header(0, producer_epoch=4)) is Verdict.NEW
    dedup.apply(KEY, header(0, producer_epoch=4), 1, 2)
    assert verdict(dedup, header(0, producer_epoch=3)) is Verdict.FENCED


def test_beyond_the_limit_the_key_used_longest_ago_is_forgotten() -> None:
    dedup = Dedup(keys_max=2)
    for gseq, producer in enumerate((1, 2, 1, 3)):
        known = dedup._known.get((producer, 1, 0))
        dedup.apply((producer, 1, 0), header(known.next_sequence if known else 0), gseq, gseq)
    assert [key[0] for key in dedup._known] == [1, 3]
    assert dedup.judge((2, 1, 0), header(1))[0] is Verdict.UNKNOWN


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 5), max_size=30), st.integers(0, 30))
def test_what_is_taken_back_was_never_there(producers: list[int], kept: int) -> None:
    """Evictions too: the table is as if only the first `kept` batches had been applied."""
    dedup, fresh = Dedup(keys_max=3), Dedup(keys_max=3)
    changes: list[Change] = []
    for gseq, producer in enumerate(producers):
        for table in (dedup, fresh) if gseq < kept else (dedup,):
            known = table._known.get((producer, 1, 0))
            change = table.apply((producer, 1, 0), header(known.next_sequence if known else 0), gseq, gseq)
            if table is dedup and gseq >= kept:
                changes.append(change)
    dedup.take_back(changes)
    assert list(dedup._known.items()) == list(fresh._known.items())


def test_a_fork_goes_its_own_way() -> None:
    dedup = Dedup()
    dedup.apply(KEY, header(0), 0, 1)
    other = dedup.fork()
    other.apply(KEY, header(1), 1, 2)
    assert verdict(dedup, header(1)) is Verdict.NEW
    assert verdict(other, header(1)) is Verdict.REPEATED
