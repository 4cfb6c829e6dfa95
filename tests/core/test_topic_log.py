"""TopicLog and the registry of topics: what is committed can be read, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.core.effects import Announce, Effect
from logstream.core.replica.vocabulary import Committed, DecisionCommitted, PartitionTrimmed
from logstream.core.topic_log import CancelRead, Locate, Located, Read, ReadDone, TopicLog
from logstream.core.topic_names import fault_in_name
from logstream.core.topics import Topic, TopicClosed, TopicOpened, Topics
from logstream.protocol.batches import base_offset_in, header_of
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.messages import TopicCreated, TopicDeleted
from tests.core.builders import announced, append, batch, entries_of, epoch, history_of


def log_of(*records: int, payload: int = 10) -> TopicLog:
    """A partition whose batches have so many records."""
    history = history_of(1)
    for count in records:
        append(history, epoch(1), batch(count, payload=bytes(payload)))
    log = TopicLog(1, 0)
    log.handle(Committed(1, 0, entries_of(history, 2) if records else ()))
    return log


def read(offset: int, bytes_max: int = 1 << 20, wait: bool = True) -> Read:
    return Read((1, 0), 1, 0, offset, bytes_max, wait)


def answer(effects: list[Effect]) -> ReadDone:
    [done] = announced(effects, ReadDone)
    assert isinstance(done, ReadDone)
    return done


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=20), st.integers(0, 100), st.integers(1, 2000))
def test_a_read_starts_with_the_batch_that_holds_its_offset(records: list[int], offset: int, bytes_max: int) -> None:
    log = log_of(*records)
    done = answer(log.handle(read(offset, bytes_max, wait=False)))
    assert (done.start, done.end) == (0, sum(records))
    if offset >= sum(records):
        assert done.batches == ()
        return
    first = base_offset_in(done.batches[0].front)
    assert first <= offset < first + header_of(done.batches[0].body).records
    assert len(done.batches) == 1 or sum(one.size for one in done.batches) <= bytes_max
    offsets = [base_offset_in(one.front) for one in done.batches]
    assert (
        offsets == [sum(records[:at]) for at in range(records.__len__()) if sum(records[:at]) >= first][: len(offsets)]
    )


def test_a_read_at_the_end_waits_for_what_comes() -> None:
    log, history = log_of(), history_of(2)
    assert answer(log.handle(read(0))).batches == ()
    done = answer(log.handle(Committed(1, 0, entries_of(history, 2))))
    assert (len(done.batches), done.end) == (1, 1)
    assert log.handle(Committed(1, 0, ())) == []


def test_a_read_beyond_the_end_waits_until_its_offset_is_there() -> None:
    """R13: a position above the commit waits, it is never reset."""
    log = log_of()
    log.handle(read(2))
    history = history_of(1)
    first, second = (append(history, epoch(1), batch(2)) for _ in range(2))
    assert log.handle(Committed(1, 0, (first,))) == []
    assert base_offset_in(answer(log.handle(Committed(1, 0, (second,)))).batches[0].front) == 2


def test_a_cancelled_read_hears_nothing() -> None:
    log, history = log_of(), history_of(2)
    log.handle(read(0))
    log.handle(CancelRead((1, 0), 1, 0))
    assert log.handle(Committed(1, 0, entries_of(history, 2))) == []


def test_the_bodies_are_the_objects_of_the_replicated_log() -> None:
    log, history = TopicLog(1, 0), history_of(2)
    [entry] = entries_of(history, 2)
    log.handle(Committed(1, 0, (entry,)))
    assert answer(log.handle(read(0))).batches[0].body is entry.body


def test_a_gap_in_the_offsets_is_an_error_of_our_own() -> None:
    with pytest.raises(LocalProtocolError):
        log_of().handle(Committed(1, 0, entries_of(history_of(4), 3)))


# --- trimming (R22) ---


def test_a_read_below_the_start_is_told_where_the_log_starts() -> None:
    log = log_of(2, 3, 4)
    assert log.handle(PartitionTrimmed(1, 0, 5)) == []
    assert answer(log.handle(read(4))) == ReadDone((1, 0), 5, 9, ())
    done = answer(log.handle(read(5)))
    assert (done.start, [base_offset_in(one.front) for one in done.batches]) == (5, [5])


def test_a_trim_that_says_less_than_an_earlier_one_changes_nothing() -> None:
    log = log_of(2, 3, 4)
    log.handle(PartitionTrimmed(1, 0, 5))
    log.handle(PartitionTrimmed(1, 0, 2))
    assert (log.start, log.end) == (5, 9)


def test_a_log_that_is_trimmed_to_its_end_goes_on_from_there() -> None:
    history = history_of(3)
    log = log_of(1, 1)
    log.handle(PartitionTrimmed(1, 0, 2))
    assert (log.start, log.end) == (2, 2)
    log.handle(Committed(1, 0, (append(history, epoch(1), batch(3)),)))
    assert answer(log.handle(read(2))).batches != ()


def test_whoever_waits_at_the_end_is_told_when_a_checkpoint_starts_above_it() -> None:
    log = log_of(1)
    log.handle(read(1))
    assert answer(log.handle(PartitionTrimmed(1, 0, 50))) == ReadDone((1, 0), 50, 50, ())


def test_batches_that_came_trimmed_are_below_the_start() -> None:
    history = history_of(1)
    for _ in range(4):
        append(history, epoch(1), batch(2))
    history.log.drop_bodies([2, 3, 4])
    log = TopicLog(1, 0)
    log.handle(Committed(1, 0, entries_of(history, 2)))
    assert (log.start, log.end) == (6, 8)
    assert answer(log.handle(read(0))).batches == ()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=20), st.lists(st.integers(0, 20), max_size=5))
def test_a_trimmed_log_holds_what_its_batches_from_the_start_on_say(records: list[int], trims: list[int]) -> None:
    log, ends = log_of(*records), [sum(records[: at + 1]) for at in range(len(records))]
    start = 0
    for trim in trims:
        start = max(start, ends[trim % len(ends)])
        log.handle(PartitionTrimmed(1, 0, ends[trim % len(ends)]))
    done = answer(log.handle(read(start, wait=False)))
    assert (done.start, done.end) == (start, sum(records))
    assert [base_offset_in(one.front) for one in done.batches] == [end for end in [0, *ends[:-1]] if end >= start]


# --- the registry ---


def test_equal_decisions_make_equal_registries() -> None:
    topics = Topics()
    opened = topics.handle(DecisionCommitted(3, TopicCreated("t", 2)))
    assert Announce(TopicOpened(Topic(3, "t", 2))) in opened
    assert Announce(TopicClosed(Topic(3, "t", 2))) in topics.handle(DecisionCommitted(9, TopicDeleted(3, "t")))
    assert topics.by_id == {}


def test_a_topic_made_again_is_another_topic() -> None:
    topics = Topics()
    for gseq, decision in ((1, TopicCreated("t", 1)), (2, TopicDeleted(1, "t")), (3, TopicCreated("t", 1))):
        topics.handle(DecisionCommitted(gseq, decision))
    assert topics.by_id == {3: Topic(3, "t", 1)}


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "x" * 249])
def test_a_good_name_has_no_fault(name: str) -> None:
    assert fault_in_name(name) is None


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "x" * 250, "a\n"])
def test_a_bad_name_says_why(name: str) -> None:
    assert fault_in_name(name)


# --- times ---


def stamped(*newest_ms: int) -> TopicLog:
    """A partition of batches of two records each, the newest of which have these time stamps."""
    history = history_of(1)
    for newest in newest_ms:
        append(history, epoch(1), batch(2, newest_ms=newest))
    log = TopicLog(1, 0)
    log.handle(Committed(1, 0, entries_of(history, 2)))
    return log


def located(log: TopicLog, timestamp_ms: int) -> int:
    [found] = announced(log.handle(Locate((1, 0), 1, 0, timestamp_ms)), Located)
    assert isinstance(found, Located) and found.read == (1, 0)
    return found.offset


def test_a_time_is_found_in_the_first_batch_that_has_a_record_of_it_or_a_later_one() -> None:
    log = stamped(100, 300, 200, 400)
    assert [located(log, at) for at in (0, 100, 101, 300, 301, 400)] == [0, 0, 2, 2, 6, 6]


def test_a_time_that_nobody_has_reached_yet_is_at_the_end() -> None:
    assert located(stamped(100, 200), 201) == 4
    assert located(TopicLog(1, 0), 0) == 0


def test_what_is_trimmed_is_not_found_by_its_time() -> None:
    log = stamped(900, 300, 400)
    log.handle(PartitionTrimmed(1, 0, 2))
    assert [located(log, at) for at in (0, 300, 301, 401, 900)] == [2, 2, 4, 6, 6]
    log.handle(PartitionTrimmed(1, 0, 9))
    assert located(log, 0) == 9
