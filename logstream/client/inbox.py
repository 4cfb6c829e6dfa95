"""Inbox: what the consumer's core delivered and the program has not taken, and how far the program has come.

    core -> Deliver -> delivered --begin--> chunk -> record, record, ... --finish--> credit back to the core

Consumers with a thread and those on an event loop share it. It waits for nothing. What `put` and `close` write is
guarded by the owner; everything else belongs to the program's side. A batch that cannot be read ends it: what
came before is handed out, then the error is raised.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from copy import copy
from itertools import dropwhile
from operator import length_hint
from random import SystemRandom
from typing import NamedTuple

from logstream.core.client_effects import Broken, ConsumerEffect, Deliver, Ended
from logstream.core.client_events import Headers
from logstream.core.consumer import ConsumerCore, ConsumerSettings
from logstream.protocol.batches import base_offset_in
from logstream.protocol.errors import CorruptBatch, LogStreamError, RemoteProtocolError
from logstream.protocol.records import read

_new = tuple.__new__


class Record(NamedTuple):
    """One record as it stands in the log."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int  # since 1970, by the producer's clock
    key: bytes | None
    value: bytes | None
    headers: Headers


class Inbox:
    """Batches on the one side, records and positions on the other."""

    def __init__(self, topics: Sequence[str], credit_max: int) -> None:
        self._delivered: deque[Deliver] = deque()
        self.ended = False  # the core has delivered all that there will be
        self.error: LogStreamError | None = None
        self.closed = False
        self.chunk: Iterator[Record] = iter(())  # what is left of the batch that is being taken
        self._unreadable: LogStreamError | None = None
        self._topics = topics
        self._credit_step = credit_max // 8  # bytes that are taken before the core is told
        self._chunk_of: Deliver | None = None
        self._in_chunk: set[tuple[str, int]] = set()  # partitions of its records
        self._taken = 0  # bytes that the core has not been told of
        self._positions: dict[tuple[str, int], int] = {}  # behind all batches that were begun

    # --- the core's side ---

    def put(self, effect: ConsumerEffect) -> None:
        """The core has something for the program."""
        match effect:
            case Deliver() if not self.closed:
                self._delivered.append(effect)
            case Ended():
                self.ended = True
            case Broken(error):
                self.error = self.error or error

    def close(self) -> None:
        """What was not taken is forgotten, but not where it begins."""
        self._positions |= {key: self._next_offset(key) for key in self._in_chunk}
        self.closed = True
        self._delivered.clear()
        self.chunk = iter(())

    # --- the program's side ---

    @property
    def ready(self) -> bool:
        """Can a batch be taken?"""
        return bool(self._delivered) and self._unreadable is None

    def is_over(self) -> bool:
        """With no batch ready: will none come any more? Raises what broke the consumer."""
        error = self._unreadable or self.error
        if error is not None:
            raise error
        return self.ended or self.closed

    def next_batch(self) -> Deliver:
        """The next one, to `begin`."""
        return self._delivered[0]

    def begin(self, delivery: Deliver) -> None:
        """Records come from this batch next.

        It is taken off at last, because Ctrl-C may come while it is decoded. It is noticed behind calls only, so there
        are none among the assignments.
        """
        try:
            chunk = iter(_records_of(delivery))
        except CorruptBatch as error:
            self._unreadable = error
            return
        key = (delivery.topic, delivery.partition)
        self._positions[key] = delivery.limit
        self.chunk, self._chunk_of, self._in_chunk = chunk, delivery, {key}
        try:  # noqa: SIM105 - a context manager would be one call more
            self._delivered.popleft()
        except IndexError:  # it was closed meanwhile
            pass

    def put_back(self, records: Sequence[Record]) -> None:
        """These were taken from the chunk and did not reach the program: they come next."""
        self.chunk = iter([*records, *self.chunk])
        self._in_chunk |= {(record.topic, record.partition) for record in records}

    def finish(self) -> int:
        """The batch is taken. Returns the bytes to give back to the core, in large pieces; then say `given_back`."""
        if self._chunk_of is not None:
            size = self._chunk_of.batch.size
            self._taken += size
            self._chunk_of = None
        return self._taken if self._taken >= self._credit_step or not self._delivered else 0

    def given_back(self, size: int) -> None:
        """The core has been told of so many bytes."""
        self._taken -= size

    @property
    def left(self) -> int:
        """How many records of the chunk are not taken."""
        return length_hint(self.chunk)

    @property
    def exhausted(self) -> bool:
        """Has everything been taken that there will be?"""
        return self.ended and not self.ready and not self.left

    def position(self, partition: int, topic: str | None) -> int | None:
        """The offset of the next record of a partition; None before its first was taken."""
        key = (self._topics[0] if topic is None else topic, partition)
        return self._next_offset(key) if key in self._positions else None

    def _next_offset(self, key: tuple[str, int]) -> int:
        if key in self._in_chunk:
            for record in copy(self.chunk):  # which takes nothing from the chunk itself
                if (record.topic, record.partition) == key:
                    return record.offset
        return self._positions[key]


def new_core(brokers: list[str], settings: ConsumerSettings) -> ConsumerCore:
    """The rules of one consumer, with real dice."""
    return ConsumerCore(brokers, SystemRandom(), settings)


def _records_of(delivery: Deliver) -> list[Record]:
    """The wanted records of a batch. Raises CorruptBatch."""
    topic, partition, batch = delivery.topic, delivery.partition, delivery.batch
    try:
        records = read(batch)
    except RemoteProtocolError as error:
        raise CorruptBatch(f"{topic}[{partition}] at offset {delivery.first}: {error}") from error
    base = base_offset_in(batch.front)
    wanted = records[delivery.first - base : delivery.limit - base]
    since_ms = delivery.since_ms
    if since_ms is not None:
        wanted = list(dropwhile(lambda record: record.timestamp_ms < since_ms, wanted))
    head = (topic, partition)
    return [_new(Record, head + record) for record in wanted]
