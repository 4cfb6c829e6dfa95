"""Sending: what a command handed to the producer, where it came from, and how it went.

    send, send_lines -> under way -> settled, in order -> acknowledged, or the first place that was not

Handles are settled from the oldest on, so the first record that is not acknowledged is the first in
the order of the input, and whoever repeats the command knows where to start.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logstream.protocol.errors import LogStreamError

if TYPE_CHECKING:
    from logstream.client.handles import BulkHandle, Handle
    from logstream.client.producer import Producer


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


@dataclass(frozen=True, slots=True)
class _UnderWay:
    handle: Handle | BulkHandle
    first: Place
    records: int


class Sending:
    """Hands records to a producer and keeps count."""

    def __init__(self, producer: Producer, topic: str, key: bytes | None) -> None:
        self._producer = producer
        self._topic = topic
        self._key = key
        self._under_way: deque[_UnderWay] = deque()
        self.sent = 0
        self.acknowledged = 0
        self.lost: Place | None = None  # of the first record that is not acknowledged
        self.error: LogStreamError | None = None  # why

    def send(self, value: bytes, place: Place, headers: tuple[tuple[str, bytes], ...] = ()) -> None:
        """Hand over one record. Waits while the producer's buffer is full."""
        try:
            handle = self._producer.send(self._topic, value, key=self._key, headers=headers)
        except LogStreamError as error:
            return self.give_up(place, error)
        self._watch(_UnderWay(handle, place, 1))

    def send_lines(self, values: list[bytes], first: Place) -> None:
        """Hand over consecutive lines. Waits while the producer's buffer is full."""
        try:
            handle = self._producer.send_many(self._topic, values, key=self._key)
        except LogStreamError as error:
            return self.give_up(first, error)
        self._watch(_UnderWay(handle, first, len(values)))

    def finish(self) -> None:
        """Wait until everything that was handed over has an outcome."""
        while self._under_way:
            self._settle(self._under_way.popleft())

    def give_up(self, place: Place, error: LogStreamError) -> None:
        """This record will not be sent. Of several only the first is kept."""
        if self.error is None:
            self.lost, self.error = place, error

    def _watch(self, under_way: _UnderWay) -> None:
        self.sent += under_way.records
        self._under_way.append(under_way)
        while self._under_way and self._under_way[0].handle.done():
            self._settle(self._under_way.popleft())

    def _settle(self, under_way: _UnderWay) -> None:
        handle = under_way.handle
        try:
            handle.result()
        except LogStreamError as error:
            self.give_up(under_way.first.after(getattr(handle, "first_unacknowledged", 0) or 0), error)
            self.acknowledged += getattr(handle, "acknowledged", 0)
        else:
            self.acknowledged += under_way.records
