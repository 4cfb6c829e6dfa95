"""Producer: a program's way into the log.

    with Producer() as producer:
        handle = producer.send("orders", b"one espresso")
        print(handle.result())            # its offset, once every member has it

`send` hands the record over to a thread of the producer's own and returns at once; that thread runs
core/producer.py, which batches, sends, repeats. Records that wait for the cluster lie in a buffer of
`buffer_max` bytes; when it is full, `send` waits. Nothing is dropped silently: `flush` and `close`
wait for every record and raise what the program has not yet been told of.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from random import SystemRandom
from time import monotonic, time_ns
from types import TracebackType

from loguru import logger

from logstream.client import lifetime
from logstream.client.finding import find
from logstream.client.handles import BulkHandle, Handle, acknowledge, error_of, fail, records_in
from logstream.client.host import CoreHost
from logstream.core.client_effects import Acknowledged, Failed, ProducerEffect
from logstream.core.client_events import RECORD_COST, Bulk, Headers, Outgoing, Submitted
from logstream.core.producer import ProducerCore, ProducerSettings
from logstream.protocol.errors import LogStreamError, RequestTimedOut
from logstream.protocol.records import Compression, RecordBuilder

BUFFER_MAX = 64 * 1024 * 1024  # bytes
TURN_RECORDS = 1000  # handed to the core at a time, so that answers are heard in between
BULK_RECORDS = 1000  # of a send_many, handed over in one piece
BULK_BYTES = 512 * 1024  # the same in bytes
FAILURES_MAX = 1000  # handles that are remembered for flush and close; more are counted

_DEFAULTS = ProducerSettings()
_new = tuple.__new__


class Producer:
    """Produces records to any topics of one cluster. Safe to use from many threads.

    bootstrap    "host:port", several of them, or None to look for the cluster
    linger_s     how long a record may wait for company while another send is in flight, in seconds
    batch_max    bytes of one batch; one record may be larger, up to the cluster's record_max
    timeout_s    after so many seconds a record is given up with RequestTimedOut
    buffer_max   bytes that may wait in memory
    create       let the cluster create topics that do not exist, if its settings allow it

    Raises NoClusterFound, with what was tried.
    """

    def __init__(
        self,
        bootstrap: str | Sequence[str] | None = None,
        cluster: str = "logstream",
        *,
        linger_s: float = _DEFAULTS.linger_s,
        batch_max: int = _DEFAULTS.batch_max,
        compression: Compression = "none",
        timeout_s: float = _DEFAULTS.deadline_s,
        buffer_max: int = BUFFER_MAX,
        create: bool = True,
    ) -> None:
        seek = partial(find, bootstrap, cluster)
        settings = ProducerSettings(linger_s, batch_max, timeout_s, create)
        self._core = ProducerCore(
            seek(), lambda bytes_max: RecordBuilder(compression, bytes_max), SystemRandom(), settings
        )
        self._timeout_s = timeout_s
        self._buffer_max = buffer_max
        self._lock = threading.Lock()  # guards everything below, between the program's threads and the producer's
        self._changed = threading.Condition(self._lock)
        self._submitted: deque[Outgoing | Bulk] = deque()
        self._awake = False  # the producer's thread will look at `_submitted`
        self._buffered = 0  # bytes
        self._pending = 0  # records neither acknowledged nor given up
        self._failures: deque[Handle | BulkHandle] = deque(maxlen=FAILURES_MAX)
        self._news: LogStreamError | None = None  # about records that are acknowledged, for flush and close
        self._refusal = ""  # why nothing can be sent any more
        self._host: CoreHost[ProducerEffect] = CoreHost(
            "logstream-producer", cluster, seek, self._core.handle, self._deliver, self._broke
        )
        lifetime.opened(self)

    # --- sending ---

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Handle:
        """Produce one record. Returns at once, unless the buffer is full.

        It goes to `partition`, else to its key's, else anywhere. Raises RequestTimedOut if the buffer has no room
        within timeout_s, LogStreamError if the producer is closed. What happens to the record the handle says.
        """
        if type(value) is not bytes and value is not None:
            value = _as_bytes(value)
        handle = Handle()
        record: Outgoing = _new(Outgoing, (topic, value, key, headers, partition, time_ns() // 1_000_000, handle))
        cost = RECORD_COST
        if value:
            cost += len(value)
        if key:
            cost += len(key)
        with self._lock:
            if self._refusal or self._buffered + cost > self._buffer_max:
                self._wait_for_room(cost)
            self._buffered += cost
            self._pending += 1
            self._submitted.append(record)
            if self._awake:
                return handle
            self._awake = True
        self._host.call(self._drain)
        return handle

    def send_many(
        self,
        topic: str,
        values: Iterable[bytes],
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> BulkHandle:
        """Produce many records, in order, under one handle; the cheapest way. Values may come from a generator.

        Raises as `send` does; what was handed over before goes its way.
        """
        handle = BulkHandle()
        try:
            for piece in _pieces(values):
                timestamp_ms = time_ns() // 1_000_000
                self._submit_bulk(Bulk(topic, piece, key, headers, partition, timestamp_ms, handle, handle.total))
        finally:
            handle.close()
        return handle

    def _submit_bulk(self, bulk: Bulk) -> None:
        cost = bulk.cost
        with self._lock:
            if self._refusal or self._buffered + cost > self._buffer_max:
                self._wait_for_room(cost)
            if isinstance(bulk.ticket, BulkHandle):
                bulk.ticket.given(len(bulk.values))
            self._buffered += cost
            self._pending += len(bulk.values)
            self._submitted.append(bulk)
            asleep, self._awake = not self._awake, True
        if asleep:
            self._host.call(self._drain)

    def _wait_for_room(self, cost: int) -> None:
        """With the lock held: wait until there is room. One record always has room in an empty buffer."""
        deadline = monotonic() + self._timeout_s
        while not self._refusal and self._buffered and self._buffered + cost > self._buffer_max:
            left_s = deadline - monotonic()
            if left_s <= 0:
                raise RequestTimedOut(
                    f"the buffer of {self._buffer_max} bytes (buffer_max) was full for {self._timeout_s:g} s: "
                    "the cluster does not acknowledge; this record was not sent"
                )
            self._changed.wait(left_s)
        if self._refusal:
            raise LogStreamError(self._refusal)

    # --- waiting ---

    def flush(self, timeout: float | None = None) -> None:
        """Wait until every record is acknowledged or given up, at most `timeout` seconds.

        Raises RequestTimedOut if that is not enough, and the error of a given up record that the program has
        not been told of by its handle.
        """
        if not self._settled_within(timeout):
            raise RequestTimedOut(f"{self._pending} records are not acknowledged after {timeout:g} s; they go on")
        self._raise_unreported()

    def close(self, timeout: float | None = None) -> None:
        """Flush and stop. After `timeout` seconds (None: timeout_s) what is not acknowledged is given up.

        Raises like flush. Closing twice is fine.
        """
        with self._lock:
            if self._refusal:
                return
            self._refusal = "the producer is closed"
            self._changed.notify_all()
        # Records give up by themselves at their deadlines; a little more than that is for the last to do so.
        if not self._settled_within(self._timeout_s + 1.0 if timeout is None else timeout):
            self._host.run(lambda: self._abandon("the producer was closed"), 1.0)
        self._host.stop()
        lifetime.closed(self)
        self._raise_unreported()

    def _settled_within(self, timeout: float | None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, timeout)

    def _raise_unreported(self) -> None:
        """Raise the first error that the program does not know, and count the others."""
        with self._lock:
            unreported = [handle for handle in self._failures if not handle.reported]
            self._failures.clear()
            news, self._news = self._news, None
        for handle in unreported:
            handle.reported = True
        first = error_of(unreported[0]) if unreported else news
        if first is not None:
            if len(set(unreported)) <= 1:
                raise first
            raise type(first)(f"{first} (and {len(set(unreported)) - 1} more sends were not acknowledged)") from first

    def __enter__(self) -> Producer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except LogStreamError:
            if error is None:
                raise
            logger.bind(client="producer").warning("records were not acknowledged when the producer was closed")

    def forked(self) -> None:
        """This is a copy in a child process: it has no thread and must not use the parent's connections."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._refusal = "the producer was made before a fork: make another one in this process"
        self._pending = 0

    # --- on the producer's thread ---

    def _drain(self) -> None:
        records: list[Outgoing | Bulk] = []
        with self._lock:
            room = TURN_RECORDS
            while self._submitted and room > 0:
                record = self._submitted.popleft()
                room -= len(record.values) if type(record) is Bulk else 1
                records.append(record)
            self._awake = bool(self._submitted)
        if self._awake:
            self._host.loop.call_soon(self._drain)
        self._host.feed(Submitted(records, self._host.loop.time()))

    def _deliver(self, effect: ProducerEffect) -> None:
        if isinstance(effect, Acknowledged):
            self._settled(acknowledge(effect.tickets, effect.partition, effect.offset), effect.cost, [])
        elif isinstance(effect, Failed):
            if not effect.tickets:
                self._news = effect.error
            handles = fail(effect.tickets, effect.error)
            self._settled(records_in(effect.tickets), effect.cost, handles)

    def _settled(self, records: int, cost: int, failed: list[Handle | BulkHandle]) -> None:
        with self._changed:
            self._pending -= records
            self._buffered -= cost
            self._failures.extend(failed)
            self._changed.notify_all()

    def _broke(self, error: Exception) -> None:
        """A bug: nobody may wait for ever because of it."""
        logger.bind(client="producer").opt(exception=error).error("the producer failed")
        with self._lock:
            self._refusal = self._refusal or f"the producer failed: {error!r}"
        self._abandon(f"the producer failed: {error!r}")

    def _abandon(self, reason: str) -> None:
        with self._lock:
            left, self._submitted = self._submitted, deque()
        self._host.carry_out(self._core.abandon(list(left), reason))


def _as_bytes(value: object) -> bytes:
    """Raises TypeError for anything except bytes, bytearray and memoryview."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"the value of a record is bytes, not {type(value).__name__}")


def _pieces(values: Iterable[bytes]) -> Iterable[list[bytes]]:
    """The values in lists of at most BULK_RECORDS, and about BULK_BYTES."""
    piece: list[bytes] = []
    size = 0
    for value in values:
        piece.append(value if type(value) is bytes else _as_bytes(value))
        size += len(value)
        if size >= BULK_BYTES or len(piece) >= BULK_RECORDS:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
