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
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import monotonic, time_ns
from types import TracebackType

from loguru import logger

from logstream.client import lifetime
from logstream.client.arguments import as_bytes, as_common, as_headers, as_partition, check_topic
from logstream.client.finding import find
from logstream.client.handles import BulkHandle, Handle
from logstream.client.host import ThreadHost
from logstream.client.outbox import BUFFER_MAX, Outbox, bulks, new_core, told
from logstream.core.client_effects import Acknowledged, Failed, ProducerEffect
from logstream.core.client_events import RECORD_COST, Bulk, Headers, Outgoing, Submitted
from logstream.core.producer import ProducerSettings
from logstream.protocol.batches import Compression
from logstream.protocol.errors import LogStreamError, NotSent, RequestTimedOut
from logstream.protocol.records import codec_number

_DEFAULTS = ProducerSettings()
_new = tuple.__new__


class Producer:
    """Produces records to any topics of one cluster. Safe to use from many threads.

    bootstrap    "host:port", several of them, or None to look for the cluster
    linger_s     how long a record may wait for company while another send is in flight, in seconds
    batch_max    bytes of one batch; one record may be larger, up to the cluster's record_max
    compression  of batches: "none", "gzip", "snappy", "lz4" or "zstd"
    timeout_s    after so many seconds a record is given up with RequestTimedOut
    buffer_max   bytes that may wait in memory
    create       let the cluster create topics that do not exist, if its settings allow it

    Raises NoClusterFound, with what was tried; ValueError for a compression that there is not.
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
        seek = partial(find, bootstrap, cluster)
        self._core = new_core(seek(), compression, ProducerSettings(linger_s, batch_max, timeout_s, create))
        self._timeout_s = timeout_s
        self._lock = threading.Lock()  # guards what follows, between the program's threads and the producer's
        self._changed = threading.Condition(self._lock)
        self._outbox = Outbox(buffer_max)
        self._closed = False
        self._awake = False  # the producer's thread will look at what was submitted
        self._host: ThreadHost[ProducerEffect] = ThreadHost(
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
        on_delivery: Callable[[Handle], object] | None = None,
    ) -> Handle:
        """Produce one record. Returns at once, unless the buffer is full: then it waits for room.

        It goes to `partition`, else to its key's, else anywhere. Raises NotSent if the buffer has no room
        within timeout_s, LogStreamError if the producer is closed, TypeError for what no record can hold. What happens
        to the record the handle says; on_delivery(handle) is called when that is known (Handle.add_done_callback).
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
        handle = Handle()
        if on_delivery is not None:
            handle.add_done_callback(on_delivery)
        record: Outgoing = _new(Outgoing, (topic, value, key, headers, partition, time_ns() // 1_000_000, handle))
        cost = RECORD_COST
        if value:
            cost += len(value)
        if key:
            cost += len(key)
        outbox = self._outbox
        with self._lock:
            if outbox.refusal or outbox.buffered + cost > outbox.buffer_max:
                self._wait_for_room(cost)
            outbox.buffered += cost
            outbox.pending += 1
            outbox.submitted.append(record)
            if not self._awake:
                self._wake()
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

        Raises as `send` does; what was handed over before goes its way.
        """
        key, headers, partition = as_common(topic, key, headers, partition)
        handle = BulkHandle()
        if on_delivery is not None:
            handle.add_done_callback(on_delivery)
        try:
            for bulk in bulks(topic, values, key, headers, partition, handle, lambda: time_ns() // 1_000_000):
                self._submit_bulk(bulk, handle)
        finally:
            handle.close()
        return handle

    def _submit_bulk(self, bulk: Bulk, handle: BulkHandle) -> None:
        cost, records = bulk.cost, len(bulk.values)
        outbox = self._outbox
        with self._lock:
            if outbox.refusal or outbox.lacks_room(cost):
                self._wait_for_room(cost)
            handle.given(records)
            outbox.buffered += cost
            outbox.pending += records
            outbox.submitted.append(bulk)
            if not self._awake:
                self._wake()

    def _wake(self) -> None:
        """With the lock held: have `_drain` called. In this order, so that Ctrl-C in between puts nobody to sleep."""
        self._host.call(self._drain)
        self._awake = True

    def _wait_for_room(self, cost: int) -> None:
        """With the lock held: wait until there is room."""
        outbox, deadline = self._outbox, monotonic() + self._timeout_s
        while not outbox.refusal and outbox.lacks_room(cost):
            left_s = deadline - monotonic()
            if left_s <= 0:
                raise NotSent(
                    f"the buffer of {outbox.buffer_max} bytes (buffer_max) was full for {self._timeout_s:g} s: "
                    "the cluster does not acknowledge; this record was not sent"
                )
            self._changed.wait(left_s)
        if outbox.refusal:
            raise LogStreamError(outbox.refusal)

    # --- waiting ---

    def flush(self, timeout: float | None = None) -> None:
        """Wait until every record is acknowledged or given up, at most `timeout` seconds.

        Records that other threads send meanwhile count too: where they never pause, give a timeout. Raises
        RequestTimedOut if that is not enough, and the error of a given up record that the program has not been told of
        by its handle.
        """
        if not self._settled_within(timeout):
            text = f"{self._outbox.pending} records are not acknowledged after {timeout:g} s and go on"
            raise RequestTimedOut(text)
        self._raise_unreported()

    def close(self, timeout: float | None = None) -> None:
        """Flush and stop. After `timeout` seconds (None: timeout_s) what is not acknowledged is given up.

        Raises like flush. Closing twice is fine, and so is closing again after Ctrl-C has interrupted it.
        """
        with self._lock:
            if self._closed:
                return
            self._outbox.refusal = "the producer is closed: make another one to send more"
            self._changed.notify_all()
        # Records give up by themselves at their deadlines; a little more than that is for the last to do so.
        if not self._settled_within(self._timeout_s + 1.0 if timeout is None else timeout):
            self._host.run(lambda: self._abandon("the producer was closed"), 1.0)
        self._host.stop()
        lifetime.closed(self)
        self._closed = True
        self._raise_unreported()

    def _settled_within(self, timeout: float | None) -> bool:
        with self._changed:
            if self._outbox.submitted and not self._awake:  # Ctrl-C came between a record and its wake-up
                self._wake()
            return self._changed.wait_for(lambda: not self._outbox.pending, timeout)

    def _raise_unreported(self) -> None:
        with self._lock:
            error = self._outbox.unreported()
        if error is not None:
            raise error

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

    def at_exit(self, timeout: float) -> None:
        """The program ends: a last word. Raises as `close` does."""
        self.close(timeout)

    def forked(self) -> None:
        """This is a copy in a child process: it has no thread and must not use the parent's connections."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._closed = True
        self._outbox.refusal = "the producer was made before a fork: make another one in this process"
        self._outbox.pending = 0

    # --- on the producer's thread ---

    def _drain(self) -> None:
        with self._lock:
            records = self._outbox.turn()
            self._awake = bool(self._outbox.submitted)
        if self._awake:
            self._host.loop.call_soon(self._drain)
        self._outbox.handed_over = records
        self._host.feed(Submitted(records, self._host.loop.time()))
        self._outbox.handed_over = ()

    def _deliver(self, effect: ProducerEffect) -> None:
        if isinstance(effect, Acknowledged | Failed):
            outcome = told(effect)
            with self._changed:
                self._outbox.settle(outcome)
                self._changed.notify_all()

    def _broke(self, error: Exception) -> None:
        """A bug: nobody may wait for ever because of it."""
        logger.bind(client="producer").opt(exception=error).error("the producer failed")
        with self._lock:
            self._outbox.refusal = self._outbox.refusal or f"the producer failed: {error!r}"
        self._abandon(f"the producer failed: {error!r}")
        self._deliver(self._outbox.orphans(LogStreamError(f"the producer failed: {error!r}")))

    def _abandon(self, reason: str) -> None:
        with self._lock:
            left = list(self._outbox.submitted)
            self._outbox.submitted.clear()
        self._host.carry_out(self._core.abandon(left, reason))
