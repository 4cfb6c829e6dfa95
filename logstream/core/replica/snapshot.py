"""Snapshots: a checkpoint on its way to a member whose log ends below the sender's start (R16, R22).

A checkpoint is a list of rows: topics, then partitions, then producers in log order. It moves in slices
of ROWS rows, each asked for by itself (LEARN says how many rows of which checkpoint are here), so that no
turn is long, however many producers are known. While it moves, the sender does not cut its head any
further; should it have to, the next slice is the first one of another checkpoint.

    sender     slice_of(history, first)
    receiver   Assembly.add(slice) ... complete -> Checkpoint -> a history that starts behind it
"""

from __future__ import annotations

from itertools import islice

from logstream.core.replica.dedup import Appended, Key, Known
from logstream.core.replica.history import Checkpoint, History
from logstream.core.replica.tables import Tables
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.identity import Epoch
from logstream.protocol.messages import PartitionRow, ProducerRow, Snapshot, TopicCreated, TopicRow

ROWS = 200  # of one slice: a row of a producer takes some 10 us to write and to read


def slice_of(history: History, epoch: Epoch, first: int) -> Snapshot:
    """The rows of this history's checkpoint from the `first` on."""
    checkpoint = history.checkpoint
    tables = checkpoint.tables
    total = len(tables.registry) + len(tables.offsets) + len(tables.dedup)
    first = min(first, total)
    topics = tuple(_topic_rows(tables, first, ROWS))
    skipped, room = len(tables.registry), ROWS - len(topics)
    partitions = tuple(_partition_rows(tables, max(first - skipped, 0), room))
    skipped, room = skipped + len(tables.offsets), room - len(partitions)
    producers = tuple(_producer_row(*row) for row in tables.dedup.rows(max(first - skipped, 0), room))
    return Snapshot(
        epoch,
        checkpoint.gseq,
        checkpoint.chain,
        checkpoint.epoch,
        first,
        total,
        topics,
        partitions,
        producers,
        history.log.digest(),
    )


def _topic_rows(tables: Tables, first: int, count: int) -> list[TopicRow]:
    rows = islice(tables.registry.items(), first, first + count)
    return [TopicRow(topic_id, made.name, made.partitions, made.retention) for topic_id, made in rows]


def _partition_rows(tables: Tables, first: int, count: int) -> list[PartitionRow]:
    return [PartitionRow(*slot, offset) for slot, offset in islice(tables.offsets.items(), first, first + count)]


def _producer_row(key: Key, known: Known) -> ProducerRow:
    columns = tuple(zip(*known.last, strict=True))
    return ProducerRow(*key, known.epoch, known.next_sequence, *columns)


class Assembly:
    """A checkpoint that is being received."""

    def __init__(self) -> None:
        self.gseq = 0  # of the checkpoint; 0: of none yet
        self.rows = 0  # that are here
        self._tables = Tables()

    def add(self, snapshot: Snapshot) -> Checkpoint | None:
        """Take a slice, if it is the next one; a first slice of another checkpoint starts anew.

        The checkpoint is returned when it is complete. Raises RemoteProtocolError for rows that cannot be.
        """
        if snapshot.checkpoint != self.gseq and snapshot.first == 0:
            self.gseq, self.rows, self._tables = snapshot.checkpoint, 0, Tables()
        if not self.awaits(snapshot):
            return None
        for topic in snapshot.topics:
            self._tables.topics[topic.name] = topic.topic_id
            self._tables.registry[topic.topic_id] = TopicCreated(topic.name, topic.partitions, topic.retention)
        for one in snapshot.partitions:
            self._tables.offsets[one.topic_id, one.partition] = one.next_offset
        for producer in snapshot.producers:
            self._tables.dedup.restore(*_known(producer))
        self.rows += len(snapshot.topics) + len(snapshot.partitions) + len(snapshot.producers)
        if self.rows < snapshot.total:
            return None
        return Checkpoint(self.gseq, snapshot.chain, snapshot.made_in, self._tables)

    def awaits(self, snapshot: Snapshot) -> bool:
        """Is this the next slice?"""
        return (snapshot.checkpoint, snapshot.first) == (self.gseq, self.rows)


def _known(row: ProducerRow) -> tuple[Key, Known]:
    try:
        columns = zip(row.sequences, row.records, row.offsets, row.gseqs, strict=True)
        last = tuple(Appended(*batch) for batch in columns)
    except ValueError as error:
        raise RemoteProtocolError(f"the columns of producer {row.producer_id} do not fit one another") from error
    if not last:
        raise RemoteProtocolError(f"producer {row.producer_id} is known by no batch")
    return (row.producer_id, row.topic_id, row.partition), Known(row.epoch, row.next_sequence, last)
