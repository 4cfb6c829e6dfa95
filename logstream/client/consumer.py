"""Consumer: a program's way to read the log.

    for record in Consumer("orders", start="start", follow=False):
        print(record.offset, record.value)

A thread of the consumer's own runs core/consumer.py, which fetches ahead, up to `credit_max` bytes; the
program's thread decodes the records when it takes them. Order holds within each partition.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from random import SystemRandom
from time import monotonic
from types import TracebackType
from typing import Literal, NamedTuple

from loguru import logger

from logstream.client import lifetime
from logstream.client.finding import find
from logstream.client.host import CoreHost
from logstream.core.client_effects import Broken, ConsumerEffect, Deliver, Ended
from logstream.core.client_events import Headers, Opened, Taken
from logstream.core.consumer import ConsumerCore, ConsumerSettings
from logstream.protocol.batches import base_offset_in
from logstream.protocol.errors import CorruptBatch, LogStreamError, RemoteProtocolError
from logstream.protocol.records import read

_DEFAULTS = ConsumerSettings(())
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


class Consumer:
    """Reads the committed records of one or several topics. To be used by one thread at a time.

    topics       a name or several
    start        "start", "end", or an offset that holds for every partition
    follow       go on for ever; False: iteration stops where the ends were when the consumer started
    wait         for topics that do not exist yet, instead of raising UnknownTopic
    timeout_s    for the start, and with follow=False without any answer; then RequestTimedOut
    credit_max   bytes that are fetched ahead at most (and always one batch)

    Raises NoClusterFound. Whatever else goes wrong is raised where records are taken, after those that came before.
    """

    def __init__(
        self,
        topics: str | Sequence[str],
        start: Literal["start", "end"] | int = "start",
        follow: bool = True,
        bootstrap: str | Sequence[str] | None = None,
        cluster: str = "logstream",
        *,
        wait: bool = False,
        timeout_s: float = _DEFAULTS.deadline_s,
        credit_max: int = _DEFAULTS.credit_max,
    ) -> None:
        names = (topics,) if isinstance(topics, str) else tuple(topics)
        settings = ConsumerSettings(
            names, start, follow, wait, credit_max=credit_max, deadline_s=timeout_s, fetch_max=min(credit_max, 4 << 20)
        )
        seek = partial(find, bootstrap, cluster)
        self._core = ConsumerCore(seek(), SystemRandom(), settings)
        self._topics = names
        self._credit_step = credit_max // 8  # bytes that are taken before the core is told
        self._changed = threading.Condition()  # guards the four below
        self._delivered: deque[Deliver] = deque()
        self._ended = False
        self._error: LogStreamError | None = None
        self._closed = False
        self._chunk: Iterator[Record] = iter(())  # what is left of the batch that is being taken
        self._chunk_of: Deliver | None = None
        self._taken = 0  # bytes that the core has not been told of
        self._positions: dict[tuple[str, int], int] = {}  # behind all batches that were taken completely
        self._current: Record | None = None  # the last one that was taken
        self._host: CoreHost[ConsumerEffect] = CoreHost(
            "logstream-consumer", cluster, seek, self._core.handle, self._deliver, self._broke
        )
        self._host.call(lambda: self._host.feed(Opened(self._host.loop.time())))
        lifetime.opened(self)

    # --- taking records ---

    def __iter__(self) -> Iterator[Record]:
        while True:
            for record in self._chunk:
                self._current = record
                yield record
            if not self._next_chunk(None):
                return

    def poll(self, timeout: float | None = 0.0, max_records: int = 1000) -> list[Record]:
        """At most so many records, waiting at most `timeout` seconds for the first (None: for ever).

        An empty list says that none came, or that there are no more (see `ended`). Raises what broke the consumer.
        """
        deadline = None if timeout is None else monotonic() + timeout
        records: list[Record] = []
        while len(records) < max_records:
            record = next(self._chunk, None)
            if record is not None:
                records.append(record)
            elif (records and not self._delivered) or not self._next_chunk(deadline):
                break
        if records:
            self._current = records[-1]
        return records

    @property
    def ended(self) -> bool:
        """Has everything been taken that follow=False reads?"""
        return self._ended and not self._delivered and self._left() == 0

    def position(self, partition: int, topic: str | None = None) -> int | None:
        """The offset of the next record of a partition; None before its first was taken.

        `topic` may be left out where there is one only.
        """
        name = self._topics[0] if topic is None else topic
        current = self._current
        behind = self._positions.get((name, partition))
        if current is None or (current.topic, current.partition) != (name, partition):
            return behind
        return max(current.offset + 1, behind or 0)

    def _left(self) -> int:
        hint = getattr(self._chunk, "__length_hint__", None)
        return hint() if hint is not None else 0

    def _next_chunk(self, deadline: float | None) -> bool:
        """Begin the next batch. False if none came in time, or none will. Raises what broke the consumer."""
        self._finish_chunk()
        with self._changed:
            while not self._delivered:
                if self._error is not None:
                    raise self._error
                if self._ended or self._closed:
                    return False
                left_s = None if deadline is None else deadline - monotonic()
                if left_s is not None and left_s <= 0:
                    return False
                self._changed.wait(left_s)
            delivery = self._delivered.popleft()
        self._chunk = iter(_records_of(delivery))
        self._chunk_of = delivery
        return True

    def _finish_chunk(self) -> None:
        """The batch is taken: note the position, and give the credit back in large pieces."""
        taken, self._chunk_of = self._chunk_of, None
        if taken is not None:
            self._positions[taken.topic, taken.partition] = taken.limit
            self._taken += taken.batch.size
        if self._taken and (self._taken >= self._credit_step or not self._delivered):
            size, self._taken = self._taken, 0
            self._host.call(lambda: self._host.feed(Taken(size, self._host.loop.time())))

    # --- ending ---

    def close(self, timeout: float | None = None) -> None:
        """Stop. Records that were fetched and not taken are forgotten. Closing twice is fine."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._delivered.clear()
            self._chunk = iter(())
            self._changed.notify_all()
        self._host.stop()
        lifetime.closed(self)

    def __enter__(self) -> Consumer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def forked(self) -> None:
        """This is a copy in a child process: it has no thread and must not use the parent's connections."""
        self._changed = threading.Condition()
        self._delivered.clear()
        self._closed = True
        self._error = LogStreamError("the consumer was made before a fork: make another one in this process")

    # --- on the consumer's thread ---

    def _deliver(self, effect: ConsumerEffect) -> None:
        with self._changed:
            match effect:
                case Deliver() if not self._closed:
                    self._delivered.append(effect)
                case Ended():
                    self._ended = True
                case Broken(error):
                    self._error = error
            self._changed.notify_all()

    def _broke(self, error: Exception) -> None:
        """A bug: nobody may wait for ever because of it."""
        logger.bind(client="consumer").opt(exception=error).error("the consumer failed")
        with self._changed:
            self._error = self._error or LogStreamError(f"the consumer failed: {error!r}")
            self._changed.notify_all()


def _records_of(delivery: Deliver) -> list[Record]:
    """The wanted records of a batch. Raises CorruptBatch."""
    topic, partition, batch = delivery.topic, delivery.partition, delivery.batch
    try:
        records = read(batch)
    except RemoteProtocolError as error:
        raise CorruptBatch(f"{topic}[{partition}] at offset {delivery.first}: {error}") from error
    base = base_offset_in(batch.front)
    wanted = records[delivery.first - base : delivery.limit - base]
    head = (topic, partition)
    return [_new(Record, head + record) for record in wanted]
