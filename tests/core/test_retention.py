"""Retention (R22): the leader trims by bytes, count, age and memory: whole batches, committed ones, once each."""

from __future__ import annotations

import struct

from logstream.core.replica.history import History
from logstream.core.replica.log import ENTRY_OVERHEAD
from logstream.core.replica.retention import BATCHES, PARTITIONS, Keep, Retention
from logstream.core.replica.trimming import Trimming
from logstream.protocol.batches import Batch, crc_of, header_of, make_front
from logstream.protocol.messages import TopicCreated, TopicDeleted, Trimmed
from tests.core.builders import append, batch, epoch

PAYLOAD = 100  # bytes of records in a batch
SIZE = 61 + PAYLOAD  # of a batch
EVERYTHING = Keep(0)  # no limit at all


class Leads:
    """A leader's history with its trimming and retention, and the clock."""

    def __init__(self, keep: Keep = EVERYTHING, memory_max: int = 1 << 40, partitions: int = 4) -> None:
        self.history = History()
        self.history.sequence_decision(epoch(1), TopicCreated("t", partitions))
        self.trimming = Trimming(self.history, memory_max)
        self.retention = Retention(keep, memory_max, self.history)
        self.now = 10.0

    def batches(self, *records: int, partition: int = 0, payload: int = PAYLOAD) -> None:
        """Append and commit batches of so many records."""
        for count in records:
            append(self.history, epoch(1), batch(count, payload=bytes(payload)), (1, partition))
        self.settle()

    def settle(self) -> None:
        """Commit everything, and carry out what is decided."""
        self.history.commit_to(self.history.end)
        while self.trimming.due(self.history.commit, self.now):
            pass

    def decides(self) -> list[Trimmed]:
        return self.retention.decisions(self.trimming, self.now)

    def trims(self) -> list[Trimmed]:
        """Decide, sequence, commit, drop."""
        decisions = self.decides()
        for decision in decisions:
            self.history.sequence_decision(epoch(1), decision)
        self.retention.decided()
        self.settle()
        self.now += 1.0
        return decisions


def stamped(max_timestamp_ms: int) -> Batch:
    """A batch of one record with this time stamp."""
    plain = batch(payload=bytes(PAYLOAD)).body
    body = plain[:14] + struct.pack(">q", max_timestamp_ms) + plain[22:]
    assert header_of(body).max_timestamp == max_timestamp_ms
    return Batch(make_front(0, 0, body, crc_of(body)), body)


# --- bytes, count, age ---


def test_without_limits_nothing_is_ever_trimmed() -> None:
    a = Leads()
    a.batches(*[1] * 50)
    assert a.decides() == []


def test_a_partition_is_trimmed_down_to_its_bytes_in_whole_batches() -> None:
    a = Leads(Keep(bytes_max=10 * SIZE + 5))
    a.batches(*[3] * 14)
    a.batches(*[1] * 10, partition=1)
    assert a.trims() == [Trimmed(1, 0, 12)]
    assert len(a.trimming.shelves[1, 0]) == 10
    assert a.trims() == []


def test_the_newest_batch_stays_however_large_it_is() -> None:
    a = Leads(Keep(bytes_max=10))
    a.batches(1, 1, 1)
    assert a.trims() == [Trimmed(1, 0, 2)]


def test_a_partition_never_has_fewer_records_than_it_may_keep() -> None:
    a = Leads(Keep(0, records_max=10))
    a.batches(4, 4, 4, 3)  # 15 records: without the first batch 11 are left, without the second 7
    assert a.trims() == [Trimmed(1, 0, 4)]
    assert a.trims() == []


def test_what_is_too_old_goes_by_the_leaders_clock_and_the_producers_time_stamps() -> None:
    a = Leads(Keep(0, age_s=60.0, wall_clock=lambda: 1_000.0))
    for stamp_s in (900, 939, 941, 930, 999):
        append(a.history, epoch(1), stamped(stamp_s * 1000), (1, 0))
    a.settle()
    assert a.trims() == [Trimmed(1, 0, 2)]  # the old one behind a younger one waits for it


def test_limits_are_looked_at_once_a_second() -> None:
    a = Leads(Keep(bytes_max=SIZE))
    assert a.decides() == []
    a.batches(1, 1)
    assert a.decides() == []
    a.now += 1.0
    assert a.decides() == [Trimmed(1, 0, 1)]


def test_many_partitions_are_looked_at_in_several_turns() -> None:
    a = Leads(Keep(bytes_max=SIZE), partitions=PARTITIONS + 10)
    for partition in range(PARTITIONS + 10):
        for _ in range(2):
            append(a.history, epoch(1), batch(payload=bytes(PAYLOAD)), (1, partition))
    a.settle()
    assert len(a.trims()) == PARTITIONS
    assert len(a.trims()) == 10
    assert a.trims() == []


def test_a_long_trim_takes_several_turns() -> None:
    a = Leads(Keep(bytes_max=SIZE))
    a.batches(*[1] * (BATCHES + 20))
    assert a.trims() == [Trimmed(1, 0, BATCHES)]
    assert a.trims() == [Trimmed(1, 0, BATCHES + 19)]


def test_nothing_above_the_commit_is_trimmed() -> None:
    a = Leads(Keep(bytes_max=SIZE))
    for _ in range(5):
        append(a.history, epoch(1), batch(payload=bytes(PAYLOAD)), (1, 0))
    a.history.commit_to(3)  # the topic and two batches
    while a.trimming.due(3, a.now):
        pass
    assert a.decides() == [Trimmed(1, 0, 1)]


def test_nothing_is_decided_while_a_decision_is_under_way() -> None:
    a = Leads(Keep(bytes_max=SIZE))
    a.batches(1, 1, 1)
    [decision] = a.decides()
    a.history.sequence_decision(epoch(1), decision)
    a.retention.decided()
    a.now += 5.0
    assert a.decides() == []
    a.settle()
    a.batches(1)
    assert a.decides() == [Trimmed(1, 0, 3)]


def test_a_deleted_topic_is_not_trimmed() -> None:
    a = Leads(Keep(bytes_max=SIZE))
    a.batches(1, 1, 1)
    a.history.sequence_decision(epoch(1), TopicDeleted(1, "t"))
    a.settle()
    assert a.decides() == []


# --- memory ---


def test_at_nine_tenths_of_the_memory_the_largest_partition_is_trimmed_to_eight_tenths() -> None:
    cost = SIZE + ENTRY_OVERHEAD
    a = Leads(memory_max=100 * cost)
    a.batches(*[1] * 60)
    a.batches(*[1] * 29, partition=1)
    assert a.decides() == []
    a.batches(1, partition=1)
    assert a.decides() == []  # the topic's own entry is what makes it more than 90
    a.batches(1, partition=1)
    [decision] = a.trims()
    assert decision in [Trimmed(1, 0, count) for count in (11, 12)]
    assert a.history.log.bytes <= 80 * cost


def test_partitions_are_trimmed_down_to_one_another() -> None:
    cost = SIZE + ENTRY_OVERHEAD
    a = Leads(memory_max=100 * cost)
    for partition, count in enumerate((32, 31, 28, 4)):
        a.batches(*[1] * count, partition=partition)
    a.trims()
    assert [len(a.trimming.shelves[1, partition]) for partition in range(4)] == [24, 24, 25, 4]


def test_a_batch_that_did_not_fit_is_made_room_for() -> None:
    cost = SIZE + ENTRY_OVERHEAD
    a = Leads(memory_max=100 * cost)
    a.batches(*[1] * 70)
    a.retention.refused(60 * cost)
    a.trims()
    assert a.history.log.bytes + 60 * cost <= a.retention._memory_max
    assert a.trims() == []


def test_where_dead_entries_take_the_memory_the_oldest_batches_go() -> None:
    """A batch of a quiet partition keeps all dead entries behind it: it is that one which must go."""
    a = Leads(Keep(bytes_max=SIZE), memory_max=400 * (SIZE + ENTRY_OVERHEAD))
    a.batches(1, partition=1)
    a.batches(*[1] * 450)
    a.trims()
    assert a.history.log.start == 2
    assert a.trimming.dead_are_many
    while a.trims():
        pass
    assert a.history.log.start > 400
    assert a.history.log.bytes < 0.9 * a.retention._memory_max
