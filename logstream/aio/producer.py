"""Producer on an event loop: a program's way into the log.

    async with Producer() as producer:
        offset = await producer.send("orders", b"one espresso")     # once every member has it
        handle = producer.send("orders", b"another")                # or go on, and await the handle later

`send` and `send_many` hand over and return at once; core/producer.py runs on the program's loop, in turns of at most
TURN_RECORDS, and batches, sends, repeats. They cannot wait, so whoever sends much without awaiting lets the
producer catch up with `await producer.drain()`: it waits while more than half of `buffer_max` is in use, and a
`send` beyond all of it raises BufferFull. Nothing is dropped silently: `flush` and `close` wait for every record and
raise what the program has not yet been told of.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from time import time_ns
from types import TracebackType

from loguru import logger

from logstream.aio.handles import BulkHandle, Handle
from logstream.client import lifetime
from logstream.client.arguments import as_bytes, as_common, as_headers, as_partition, check_topic
from logstream.client.background import aside
from logstream.client.finding import find
from logstream.client.host import CoreHost
from logstream.client.outbox import BUFFER_MAX, TURN_RECORDS, Outbox, bulks, new_core, told
from logstream.core.client_effects import Acknowledged, Failed, ProducerEffect
from logstream.core.client_events import RECORD_COST, Bulk, Headers, Outgoing, Submitted
from logstream.core.producer import ProducerCore, ProducerSettings
from logstream.protocol.batches import Compression
from logstream.protocol.errors import BufferFull, InvalidRequest, LogStreamError, NotSent, RequestTimedOut
from logstream.protocol.records import codec_number

_DEFAULTS = ProducerSettings()
_NOT_STARTED = "the producer is not started: use `async with`, or `await producer.start()`"
_CLOSED = "the producer is closed: make another one to send more"
_OTHER_LOOP = "this producer belongs to another event loop: make one per loop, or use logstream.Producer from threads"
_new = tuple.__new__


class Producer:
    """Produces records to any topics of one cluster. Belongs to the loop on which it was started.

    bootstrap    "host:port", several of them, or None to look for the cluster
    linger_s     how long a record may wait for company while another send is in flight, in seconds
    batch_max    bytes of one batch; one record may be larger, up to the cluster's record_max
    compression  of batches: "none", "gzip", "snappy", "lz4" or "zstd"
    timeout_s    after so many seconds a record is given up with RequestTimedOut
    buffer_max   bytes that may wait in memory
    create       let the cluster create topics that do not exist, if its settings allow it

    Raises ValueError for a compression that there is not.

    It starts with `async with`, or with `start`. Whoever is cancelled while awaiting a handle only stops waiting.
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
        codec_number(compression)
        self._seek = partial(find, bootstrap, cluster)
        self._cluster = cluster
        self._settings = ProducerSettings(linger_s, batch_max, timeout_s, create)
        self._compression = compression
        self._outbox = Outbox(buffer_max)
        self._outbox.refusal = _NOT_STARTED
        self._half = buffer_max // 2
        self._submitted: deque[Outgoing | _Unread] = deque()
        self._unread = 0  # how many of these are values of a send_many
        self._awake = False  # `_drain` will be called
        self._settled = asyncio.Event()
        self._core: ProducerCore | None = None
        self._host: CoreHost[ProducerEffect] | None = None

    async def start(self) -> None:
        """Look for the cluster. Raises NoClusterFound, with what was tried; LogStreamError if it is closed."""
        if self._host is None and self._outbox.refusal == _NOT_STARTED:
            brokers = await aside(self._seek, "logstream-producer-seek")
        if self._host is not None:
            return
        if self._outbox.refusal != _NOT_STARTED:
            raise LogStreamError(self._outbox.refusal)
        self._core = new_core(brokers, self._compression, self._settings)
        loop = asyncio.get_running_loop()
        self._host = CoreHost(loop, self._cluster, self._seek, self._core.handle, self._deliver, self._broke)
        self._outbox.refusal = ""
        lifetime.opened(self)

    # --- sending ---

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
        on_delivery: Callable[[Handle], object] | None = None,
    ) -> Handle:
        """Produce one record: `await` what is returned for its offset. Never waits.

        It goes to `partition`, else to its key's, else anywhere. Raises BufferFull if the buffer has no room for it
        (see `drain`), LogStreamError if the producer is not started, closed, or on another loop, TypeError for what no
        record can hold. What happens to the record the handle says; on_delivery(handle) is called when that is known
        (Handle.add_done_callback).
        """
        if type(topic) is not str:
            check_topic(topic)
        if type(value) is not bytes and value is not None:
            value = as_bytes(value, "value")
        if key is not None and type(key) is not bytes:
            key = as_bytes(key, "key")
        if type(headers) is not tuple or headers:
            headers = as_headers(headers)
        if partition is not None and type(partition) is not int:
            partition = as_partition(partition)
        outbox = self._outbox
        cost = RECORD_COST
        if value:
            cost += len(value)
        if key:
            cost += len(key)
        if outbox.refusal or outbox.buffered + cost > outbox.buffer_max:
            self._check_room(cost)
        if not self._awake:
            self._wake()
        handle = Handle()
        if on_delivery is not None:
            handle.add_done_callback(on_delivery)
        record: Outgoing = _new(Outgoing, (topic, value, key, headers, partition, _now_ms(), handle))
        outbox.buffered += cost
        outbox.pending += 1
        self._submitted.append(record)
        return handle

    def send_many(
        self,
        topic: str,
        values: Iterable[bytes],
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
        on_delivery: Callable[[BulkHandle], object] | None = None,
    ) -> BulkHandle:
        """Produce many records, in order, under one handle; the cheapest way. Values may come from a generator.

        They are taken from it as the buffer has room, and what is sent later goes behind them; leave a list alone
        until then. Never waits. Raises LogStreamError if the producer is not started, closed, or on another loop.
        """
        key, headers, partition = as_common(topic, key, headers, partition)
        if self._outbox.refusal:
            raise LogStreamError(self._outbox.refusal)
        if not self._awake:
            self._wake()
        handle = BulkHandle()
        if on_delivery is not None:
            handle.add_done_callback(on_delivery)
        self._submitted.append(_Unread(bulks(topic, values, key, headers, partition, handle, _now_ms), handle))
        self._unread += 1
        return handle

    def _check_room(self, cost: int) -> None:
        outbox = self._outbox
        if outbox.refusal:
            raise LogStreamError(outbox.refusal)
        if outbox.lacks_room(cost):
            raise BufferFull(
                f"{outbox.buffered} of {outbox.buffer_max} bytes (buffer_max) wait for the cluster; "
                "this record was not sent"
            )

    def _wake(self) -> None:
        """Have `_drain` called. Raises LogStreamError on another loop than the producer's."""
        host = self._host
        if host is None or asyncio._get_running_loop() is not host.loop:
            raise LogStreamError(_OTHER_LOOP)
        host.loop.call_soon(self._drain)
        self._awake = True

    # --- waiting ---

    async def drain(self) -> None:
        """Let the producer work, and wait while more than half of the buffer is in use.

        Raises LogStreamError if nothing can be sent any more.
        """
        if self._outbox.refusal:
            raise LogStreamError(self._outbox.refusal)
        if len(self._submitted) >= TURN_RECORDS:
            await asyncio.sleep(0)
        await self._until(lambda: self._outbox.buffered <= self._half and not self._unread)

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until every record is acknowledged or given up, at most `timeout` seconds.

        Records that other tasks send meanwhile count too: where they never pause, give a timeout. Raises
        RequestTimedOut if that is not enough, and the error of a given up record that the program has not been told of
        by its handle.
        """
        if not await self._settled_within(timeout):
            text = f"{self._outbox.pending} records are not acknowledged after {timeout:g} s and go on"
            raise RequestTimedOut(text)
        self._raise_unreported()

    async def close(self, timeout: float | None = None) -> None:
        """Flush and stop. After `timeout` seconds (None: timeout_s) what is not acknowledged is given up.

        So it is at once if the task is cancelled here. Raises like flush. Closing twice is fine.
        """
        before, self._outbox.refusal = self._outbox.refusal, _CLOSED
        if before == _CLOSED or self._host is None:
            return
        try:
            # Records give up by themselves at their deadlines; a little more than that is for the last to do so.
            await self._settled_within(self._settings.deadline_s + 1.0 if timeout is None else timeout)
        finally:
            self._hang_up(self._host)
        await asyncio.sleep(0)  # the loop closes the sockets
        self._raise_unreported()

    async def _settled_within(self, timeout: float | None) -> bool:
        try:
            async with asyncio.timeout(timeout):
                await self._until(lambda: not self._outbox.pending and not self._unread)
        except TimeoutError:
            return False
        return True

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._settled.clear()
            await self._settled.wait()

    def _raise_unreported(self) -> None:
        error = self._outbox.unreported()
        if error is not None:
            raise error

    async def __aenter__(self) -> Producer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """After an error, or a cancellation, what is under way gets LAST_WORD_S at most."""
        try:
            await self.close(None if error is None else min(lifetime.LAST_WORD_S, self._settings.deadline_s))
        except LogStreamError:
            if error is None:
                raise
            logger.bind(client="producer").warning("records were not acknowledged when the producer was closed")

    def at_exit(self, timeout: float) -> None:
        """The program ends, its loop is gone. Raises RequestTimedOut if records were under way."""
        if self._outbox.pending or self._unread:
            text = f"{self._outbox.pending} records were not acknowledged when the event loop ended"
            raise RequestTimedOut(text, "close the producer, or use `async with`")

    def forked(self) -> None:
        """This is a copy in a child process, which must not use the parent's connections."""
        self._outbox.refusal = "the producer was made before a fork: make another one in this process"
        self._outbox.pending = self._unread = 0

    # --- on the loop ---

    def _drain(self) -> None:
        self._awake = False
        host = self._host
        records = self._turn()
        if records and host is not None:
            self._outbox.handed_over = records
            host.feed(Submitted(records, host.loop.time()))
            self._outbox.handed_over = ()
            self._go_on()

    def _go_on(self) -> None:
        if self._submitted and not self._awake and self._host is not None:
            self._host.loop.call_soon(self._drain)
            self._awake = True

    def _turn(self) -> list[Outgoing | Bulk]:
        """What goes to the core next; nothing while the values of a send_many have to wait for room."""
        records: list[Outgoing | Bulk] = []
        room = TURN_RECORDS
        while self._submitted and room > 0:
            head = self._submitted[0]
            if isinstance(head, Outgoing):
                records.append(head)
                room -= 1
            elif not self._may_read():
                break
            elif (bulk := head.read()) is not None:
                self._outbox.buffered += bulk.cost
                self._outbox.pending += len(bulk.values)
                records.append(bulk)
                room -= len(bulk.values)
                continue
            else:
                self._finish_reading(head)
            self._submitted.popleft()
        return records

    def _may_read(self) -> bool:
        """Is there room for more values? When nothing is under way there is, whatever waits behind them."""
        return self._outbox.buffered <= self._half or (self._core is not None and not self._core.is_waiting)

    def _finish_reading(self, unread: _Unread) -> None:
        self._unread -= 1
        if unread.failed:
            self._outbox.remember(unread.handle)
        self._settled.set()

    def _deliver(self, effect: ProducerEffect) -> None:
        if isinstance(effect, Acknowledged | Failed):
            self._outbox.settle(told(effect))
            self._settled.set()
            self._go_on()

    def _hang_up(self, host: CoreHost[ProducerEffect]) -> None:
        if self._outbox.pending or self._unread:
            self._abandon("the producer was closed")
        host.close()
        lifetime.closed(self)

    def _broke(self, error: Exception) -> None:
        """A bug: nobody may wait for ever because of it."""
        logger.bind(client="producer").opt(exception=error).error("the producer failed")
        self._outbox.refusal = self._outbox.refusal or f"the producer failed: {error!r}"
        self._abandon(f"the producer failed: {error!r}")
        self._deliver(self._outbox.orphans(LogStreamError(f"the producer failed: {error!r}")))

    def _abandon(self, reason: str) -> None:
        left, self._submitted = self._submitted, deque()
        for unread in left:
            if isinstance(unread, _Unread):
                unread.give_up(NotSent(f"{reason} before all of a send_many was sent"))
                self._finish_reading(unread)
        if self._core is not None and self._host is not None:
            outgoing = [record for record in left if isinstance(record, Outgoing)]
            self._host.carry_out(self._core.abandon(outgoing, reason))


class _Unread:
    """The values of a send_many that were not handed over yet."""

    def __init__(self, pieces: Iterator[Bulk], handle: BulkHandle) -> None:
        self.handle = handle
        self.failed = False
        self._pieces = pieces

    def read(self) -> Bulk | None:
        """The next piece; None if there is none. What the program's iterator raises the handle says."""
        try:
            bulk = next(self._pieces, None)
        except BaseException as error:  # also SystemExit: what waits behind it must not be lost
            text = f"send_many took {self.handle.total} records, then its values ended with {error!r}"
            failure = InvalidRequest(text)
            failure.__cause__ = error
            self.give_up(failure)
            if isinstance(error, SystemExit | KeyboardInterrupt):
                self.handle._end_program(error)
            return None
        if bulk is None:
            self.handle.close()
        else:
            self.handle.given(len(bulk.values))
        return bulk

    def give_up(self, error: LogStreamError) -> None:
        """The rest is not sent."""
        self.failed = True
        self.handle.close(error)


def _now_ms() -> int:
    return time_ns() // 1_000_000
