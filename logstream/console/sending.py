"""Sending: what a command handed to the producer, where it came from, and how it went.

    send -> under way -> settled, in order -> acknowledged
                                              outcome unknown: sent, and nobody said what became of it
                                              not sent: certainly not in the log

Handles are settled from the oldest on, so the first record that is not acknowledged is the first in
the order of the input, and whoever repeats the command knows where to continue. Every record has a
number, its place in the whole input from 1: that is what `--resume` takes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from logstream.protocol.errors import (
    DataLost,
    LineageChanged,
    LogStreamError,
    NotSent,
    OtherCluster,
    OutcomeUnknown,
    RequestTimedOut,
)

if TYPE_CHECKING:
    from logstream.client.handles import BulkHandle, Placed
    from logstream.client.producer import Producer

# One send_many of at most so much is handed over as a whole or not at all, so the counts stay exact.
AT_ONCE = 1000  # records
AT_ONCE_BYTES = 256 * 1024

_UNKNOWN = (RequestTimedOut, OutcomeUnknown, DataLost, LineageChanged, OtherCluster)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record came from."""

    source: str
    line: int = 0  # from 1; 0: the whole of it

    def __str__(self) -> str:
        return f"{self.source} line {self.line}" if self.line else self.source

    def after(self, records: int) -> Place:
        """The place of the record that comes so many later."""
        return Place(self.source, self.line + records if self.line else 0)


class Piece(NamedTuple):
    """Consecutive records of one source."""

    first: Place
    values: list[bytes]
    headers: tuple[tuple[str, bytes], ...] = ()

    def part(self, start: int, end: int | None = None) -> Piece:
        """Some of them, as a slice takes them."""
        return Piece(self.first.after(start), self.values[start:end], self.headers)


class CannotSend(Exception):
    """A record of the input that no broker would take; all records before it have been given out."""

    def __init__(self, place: Place, error: LogStreamError) -> None:
        super().__init__(f"{place}: {error}")
        self.place = place
        self.error = error


@dataclass(frozen=True, slots=True)
class _UnderWay:
    handle: BulkHandle
    first: Place
    number: int  # of the first record


class Sending:
    """Hands records to a producer and keeps count."""

    def __init__(self, producer: Producer, topic: str, key: bytes | None) -> None:
        self._producer = producer
        self.topic = topic
        self._key = key
        self._under_way: deque[_UnderWay] = deque()
        self.place: Place | None = None  # of the record that comes next
        self.number = 1  # of the record that comes next
        self.sent = 0
        self.settled = 0  # sent, and the outcome is known, or it is known that nobody will ever know
        self.acknowledged = 0
        self.unknown = 0  # sent, and it may or may not be in the log
        self.beyond = 0  # acknowledged, but they come after one that is not
        self.lost: Place | None = None  # of the first record that is not acknowledged
        self.lost_number = 0
        self.error: LogStreamError | None = None  # why
        self.newest: Placed | None = None  # where the records went that were settled last

    def send_all(self, pieces: Iterable[Piece]) -> None:
        """Send until the first record that cannot be sent, or that turns out not to be acknowledged."""
        try:
            for piece in pieces:
                self.send(piece)
                if self.error is not None:
                    return
        except CannotSend as error:
            self.give_up(error.place, self.number, error.error)

    def send(self, piece: Piece) -> None:
        """Hand over records. Waits while the producer's buffer is full."""
        for part in _cut(piece):
            try:
                handle = self._producer.send_many(self.topic, part.values, key=self._key, headers=part.headers)
            except LogStreamError as error:
                return self.give_up(part.first, self.number, error)
            self._under_way.append(_UnderWay(handle, part.first, self.number))
            self.sent += len(part.values)
            self.pass_over(part)
        while self._under_way and self._under_way[0].handle.done():
            self._settle(self._under_way.popleft())

    def pass_over(self, piece: Piece) -> None:
        """These records are done, or need not be sent: the next one comes after them."""
        self.number += len(piece.values)
        self.place = piece.first.after(len(piece.values))

    def finish(self) -> None:
        """Wait until everything that was handed over has an outcome."""
        while self._under_way:
            self._settle(self._under_way.popleft())

    def give_up(self, place: Place, number: int, error: LogStreamError) -> None:
        """This record will not be sent. Of several only the first is kept."""
        if self.error is None or number < self.lost_number:
            self.lost, self.lost_number, self.error = place, number, error

    def _settle(self, under_way: _UnderWay) -> None:
        handle = under_way.handle
        try:
            self.newest = handle.result()[-1]
        except LogStreamError as error:
            first = handle.first_unacknowledged or 0
            self.give_up(under_way.first.after(first), under_way.number + first, error)
            self.unknown += sum(given_up.records for given_up in handle.given_up if is_unknown(given_up.error))
        self.settled += handle.total
        self.acknowledged += handle.acknowledged
        if self.error is not None:
            before = min(max(self.lost_number - under_way.number, 0), handle.total)  # all of them acknowledged
            self.beyond += handle.acknowledged - before


def is_unknown(error: LogStreamError) -> bool:
    """May a record that failed with this error be in the log all the same?"""
    return isinstance(error, _UNKNOWN) and not isinstance(error, NotSent)


def _cut(piece: Piece) -> Iterator[Piece]:
    """In parts of at most AT_ONCE records; one goes over AT_ONCE_BYTES with its last record at most."""
    for start in range(0, len(piece.values), AT_ONCE):
        part = piece.part(start, start + AT_ONCE)
        yield from [part] if _size(part.values) <= AT_ONCE_BYTES else _cut_large(part)


def _cut_large(piece: Piece) -> Iterator[Piece]:
    start = size = 0
    for index, value in enumerate(piece.values, start=1):
        size += len(value)
        if size >= AT_ONCE_BYTES or index == len(piece.values):
            yield piece.part(start, index)
            start, size = index, 0


def _size(values: Sequence[bytes]) -> int:
    return sum(map(len, values))
