"""The ledger and the histories can see each anomaly, with Jepsen's words."""

from __future__ import annotations

import pytest

from logstream.core.replica.history import History
from logstream.protocol.batches import Batch, header_of, make_front, stamp_producer
from logstream.protocol.errors import InvalidRequest, OutcomeUnknown
from logstream.protocol.messages import Entry, TopicCreated
from logstream.protocol.records import RecordBuilder
from simulation.checks.histories import Histories
from simulation.checks.ledger import Ledger
from simulation.checks.violation import Violation
from tests.core.builders import epoch


class Book:
    """A ledger with topic t, one partition, and what is committed in it."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.histories = Histories(self.ledger)
        self._history = History()
        self.ledger.commit(self._history.sequence_decision(epoch(1), TopicCreated("t", 1)), epoch(1))

    def entry(self, *values: bytes, producer: int = -1, sequence: int = -1) -> Entry:
        """The next entry of the log, with these records."""
        builder = RecordBuilder()
        for value in values:
            builder.append(None, value, (), 0)
        one = stamp_producer(builder.build(), producer, 0, sequence)
        return self._history.sequence_batch(epoch(1), (1, 0), one, header_of(one.body))

    def commit(self, *values: bytes, producer: int = -1, sequence: int = -1) -> None:
        self.ledger.commit(self.entry(*values, producer=producer, sequence=sequence), epoch(1))


@pytest.fixture
def book() -> Book:
    """Committed: a at offset 0, b and c at 1 and 2."""
    book = Book()
    book.commit(b"a")
    book.commit(b"b", b"c")
    return book


def test_a_history_without_faults_is_accepted(book: Book) -> None:
    histories = book.histories
    histories.heard_offset("t", b"b", 0, 1)
    for offset, value in enumerate((b"a", b"b", b"c")):
        histories.heard_record("reader", "t", 0, offset, value)
    histories.check_end(["reader"], "t")
    assert histories.position("reader", "t", 0) == 3


# --- commits ---


def test_a_gap_between_gseqs_is_seen(book: Book) -> None:
    book.entry(b"d")
    with pytest.raises(Violation, match="I9"):
        book.commit(b"e")


def test_a_gap_between_offsets_is_seen(book: Book) -> None:
    entry = book.entry(b"d")
    moved = Entry(entry.gseq, entry.epoch, entry.kind, 1, 0, make_front(9, 1, entry.body, 0), entry.body, entry.chain)
    with pytest.raises(Violation, match="I9"):
        book.ledger.commit(moved, epoch(1))


def test_a_gap_in_a_producers_sequence_is_seen(book: Book) -> None:
    book.commit(b"d", producer=7, sequence=0)
    with pytest.raises(Violation, match="I12"):
        book.commit(b"e", producer=7, sequence=2)


def test_a_sequence_that_comes_twice_is_seen(book: Book) -> None:
    book.commit(b"d", producer=7, sequence=0)
    with pytest.raises(Violation, match="I12"):
        book.commit(b"e", producer=7, sequence=0)


def test_a_value_committed_twice_is_seen(book: Book) -> None:
    with pytest.raises(Violation, match="duplicate"):
        book.commit(b"a")


# --- acknowledgements ---


def test_an_acknowledgement_before_the_commit_is_seen(book: Book) -> None:
    with pytest.raises(Violation, match="I11"):
        book.histories.heard_offset("t", b"d", 0, 3)


@pytest.mark.parametrize(("partition", "offset"), [(0, 2), (1, 1)])
def test_an_acknowledgement_with_another_place_is_seen(book: Book, partition: int, offset: int) -> None:
    with pytest.raises(Violation, match="inconsistent-offsets"):
        book.histories.heard_offset("t", b"b", partition, offset)


def test_two_acknowledgements_that_differ_are_seen(book: Book) -> None:
    book.histories.heard_offset("t", b"b", 0, 1)
    with pytest.raises(Violation, match="inconsistent-offsets"):
        book.histories.heard_offset("t", b"b", 0, 2)


def test_a_definite_error_for_a_committed_record_is_seen(book: Book) -> None:
    book.histories.heard_failure(b"b", InvalidRequest("no"))
    with pytest.raises(Violation, match="I15"):
        book.histories.check_end([], "t")


def test_an_unknown_outcome_may_be_anything(book: Book) -> None:
    book.histories.heard_failure(b"b", OutcomeUnknown("who knows"))
    book.histories.heard_failure(b"never", OutcomeUnknown("who knows"))
    book.histories.check_end([], "t")
    assert not book.histories.acknowledged


def test_an_acknowledgement_after_an_error_is_seen(book: Book) -> None:
    book.histories.heard_failure(b"b", OutcomeUnknown("who knows"))
    with pytest.raises(Violation, match="I15"):
        book.histories.heard_offset("t", b"b", 0, 1)


def test_an_acknowledged_record_that_is_not_in_the_log_is_a_lost_write(book: Book) -> None:
    book.histories.heard_offset("t", b"b", 0, 1)
    del book.ledger.places[b"b"]
    with pytest.raises(Violation, match="lost-write"):
        book.histories.check_end([], "t")


# --- reads ---


def test_a_read_of_what_is_not_committed_is_an_aborted_read(book: Book) -> None:
    for offset, value in enumerate((b"a", b"b", b"c")):
        book.histories.heard_record("reader", "t", 0, offset, value)
    with pytest.raises(Violation, match="aborted-read"):
        book.histories.heard_record("reader", "t", 0, 3, b"d")


def test_a_read_of_another_value_is_seen(book: Book) -> None:
    with pytest.raises(Violation, match="inconsistent-offsets"):
        book.histories.heard_record("reader", "t", 0, 0, b"x")


def test_a_gap_between_reads_is_a_poll_skip(book: Book) -> None:
    book.histories.heard_record("reader", "t", 0, 0, b"a")
    with pytest.raises(Violation, match="poll-skip"):
        book.histories.heard_record("reader", "t", 0, 2, b"c")


def test_a_read_that_goes_back_is_a_nonmonotonic_poll(book: Book) -> None:
    book.histories.heard_record("reader", "t", 0, 0, b"a")
    with pytest.raises(Violation, match="nonmonotonic-poll"):
        book.histories.heard_record("reader", "t", 0, 0, b"a")


def test_a_committed_record_that_was_not_read_is_unseen(book: Book) -> None:
    book.histories.heard_record("reader", "t", 0, 0, b"a")
    with pytest.raises(Violation, match="unseen"):
        book.histories.check_end(["reader"], "t")


def test_an_acknowledged_record_that_nobody_finds_is_a_lost_write(book: Book) -> None:
    book.histories.heard_offset("t", b"c", 0, 2)
    for reader in ("one", "other"):
        for offset, value in enumerate((b"a", b"b")):
            book.histories.heard_record(reader, "t", 0, offset, value)
    with pytest.raises(Violation, match="lost-write"):
        book.histories.check_end(["one", "other"], "t")


def test_an_acknowledged_record_that_somebody_finds_is_unseen_by_the_others(book: Book) -> None:
    book.histories.heard_offset("t", b"c", 0, 2)
    for offset, value in enumerate((b"a", b"b", b"c")):
        book.histories.heard_record("one", "t", 0, offset, value)
    with pytest.raises(Violation, match="unseen"):
        book.histories.check_end(["one", "other"], "t")


def test_what_one_reader_read_says_nothing_about_another(book: Book) -> None:
    book.histories.heard_record("one", "t", 0, 0, b"a")
    book.histories.heard_record("other", "t", 0, 0, b"a")
    assert book.histories.position("other", "t", 0) == 1


def test_a_body_that_does_not_match_its_crc_is_seen(book: Book) -> None:
    entry = book.entry(b"d")
    broken = Batch(entry.front, entry.body[:-1] + b"?")
    changed = Entry(entry.gseq, entry.epoch, entry.kind, 1, 0, *broken, entry.chain)
    with pytest.raises(Exception, match="CRC"):
        book.ledger.commit(changed, epoch(1))
