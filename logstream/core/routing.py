"""Topic: the producer's side of one topic, and the way from a record to a partition's open batch.

A record goes to the partition that the application named, or to its key's (partitioning.py), or, without
a key, to wherever the topic's sticky partition is. That one changes with every batch that is sealed: few
large batches are cheaper for everybody than many small ones, and over time all partitions get their share.

Until METADATA has said how many partitions there are, records wait unrouted, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

from logstream.core.client_events import RECORD_COST, Bulk, Outgoing, Span
from logstream.core.partitioning import partition_of
from logstream.core.window import Builder, OpenBatch, Window
from logstream.protocol.errors import InvalidRequest, LogStreamError, RecordTooLarge

BuilderFactory = Callable[[int], Builder]  # given the largest size of a batch in bytes
COMPANY = 0.1  # of the deadline: no later record joins a batch, whose first one's deadline holds for all


class Topic:
    """One topic that is produced to."""

    def __init__(self, name: str, build: BuilderFactory, batch_max: int, deadline_s: float, random: Random) -> None:
        self.name = name
        self.topic_id = 0
        self.known = False  # METADATA has named its partitions
        self.stale = True  # METADATA is wanted
        self.lingering = False  # a timer will seal the open batches
        self.windows: list[Window] = []  # by partition number
        self.active: dict[Window, None] = {}  # those that hold anything
        self.unrouted: deque[tuple[Outgoing | Bulk, float]] = deque()  # with the time of submission
        self.record_max = 0  # bytes of key and value together; METADATA says it
        self._build = build
        self._batch_max = batch_max
        self._deadline_s = deadline_s
        self._random = random
        self._sticky = 0

    def add(self, record: Outgoing, at: float) -> LogStreamError | None:
        """Put a record into its partition's open batch. Returns why that is impossible."""
        _, value, key, headers, partition, timestamp_ms, ticket = record
        window = self._window_for(partition, key)
        if isinstance(window, LogStreamError):
            return window
        size = (len(value) if value else 0) + (len(key) if key else 0)
        if size > self.record_max:
            return self._too_large(size)
        batch = self._open_batch(window, at)
        try:
            fits = batch.builder.append(key, value, headers, timestamp_ms)
        except (TypeError, ValueError) as error:
            return self._not_a_record(window, error)
        if not fits:
            self.seal(window)
            return self.add(record, at)
        batch.tickets.append(ticket)
        batch.cost += RECORD_COST + size
        return None

    def add_bulk(self, bulk: Bulk, at: float) -> list[tuple[Span, int, LogStreamError]]:
        """Put many records into open batches. Returns those that are impossible, with their cost."""
        room = self.record_max - len(bulk.key or b"")
        failed: list[tuple[Span, int, LogStreamError]] = []
        index = 0
        while index < len(bulk.values):
            window = self._window_for(bulk.partition, bulk.key)
            if isinstance(window, LogStreamError):
                return [(Span(bulk.ticket, bulk.first, len(bulk.values)), bulk.cost, window)]
            if len(bulk.values[index]) > room:
                one = bulk._replace(values=bulk.values[index : index + 1], first=bulk.first + index)
                failed.append((Span(bulk.ticket, one.first, 1), one.cost, self._too_large(len(one.values[0]))))
                index += 1
            else:
                filled = self._fill(window, bulk, index, room, at)
                if isinstance(filled, LogStreamError):
                    rest = bulk._replace(values=bulk.values[index:])
                    return [*failed, (Span(bulk.ticket, bulk.first + index, len(rest.values)), rest.cost, filled)]
                index = filled
        return failed

    def _fill(self, window: Window, bulk: Bulk, start: int, room: int, at: float) -> int | LogStreamError:
        """Append values from `start` on until the batch is full or a value is too large; returns the next index."""
        batch = self._open_batch(window, at)
        append, key, headers, timestamp_ms = batch.builder.append, bulk.key, bulk.headers, bulk.timestamp_ms
        index, size, full = start, 0, False
        for value in bulk.values[start:] if start else bulk.values:
            if len(value) > room:
                break
            try:
                full = not append(key, value, headers, timestamp_ms)
            except (TypeError, ValueError) as error:
                if index == start:
                    return self._not_a_record(window, error)
                break
            if full:
                break
            size += len(value)
            index += 1
        if index > start:
            batch.tickets.append(Span(bulk.ticket, bulk.first + start, index - start))
            batch.cost += size + (index - start) * (RECORD_COST + len(key or b""))
        if full:
            self.seal(window)
        return index

    def seal(self, window: Window) -> None:
        """Close the window's open batch; records without a key go on elsewhere."""
        window.seal()
        if window.number == self._sticky and len(self.windows) > 1:
            self._sticky = self._random.randrange(len(self.windows))

    def set_windows(self, windows: list[Window]) -> None:
        """These are the partitions from now on."""
        self.windows = windows
        self._sticky = self._random.randrange(len(windows)) if len(windows) > 1 else 0

    def _window_for(self, partition: int | None, key: bytes | None) -> Window | LogStreamError:
        if partition is None:
            return self.windows[self._sticky if key is None else partition_of(key, len(self.windows))]
        if 0 <= partition < len(self.windows):
            return self.windows[partition]
        return InvalidRequest(f"topic {self.name} has {len(self.windows)} partitions, there is no number {partition}")

    def _open_batch(self, window: Window, at: float) -> OpenBatch:
        """The batch that takes the next record. All its records are given up when its first one's time is over."""
        if window.open is not None and at - window.open.since <= self._deadline_s * COMPANY:
            return window.open
        if window.open is not None:
            self.seal(window)
        window.open = OpenBatch(self._build(min(self._batch_max, self.record_max)), at, at + self._deadline_s)
        self.active[window] = None
        return window.open

    def _not_a_record(self, window: Window, error: Exception) -> LogStreamError:
        """Key, value, headers or timestamp are not what a record can hold."""
        if window.open is not None and not window.open.builder.records:
            window.open = None
        return InvalidRequest(f"this cannot be a record for topic {self.name}: {error}")

    def _too_large(self, size: int) -> LogStreamError:
        return RecordTooLarge(
            f"a record of {size} bytes for topic {self.name}: the limit (record_max) is {self.record_max}"
        )
