"""Consumer on an event loop: a program's way to read the log.

    async for record in Consumer("orders", start="start", follow=False):
        print(record.offset, record.value)

core/consumer.py runs on the program's loop and fetches ahead, up to `credit_max` bytes. Records are decoded
when they are taken; every TURN_RECORDS the loop's other tasks have their turn, even if more is there already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from types import TracebackType

from loguru import logger

from logstream.client import lifetime
from logstream.client.arguments import as_topics
from logstream.client.background import aside
from logstream.client.beginning import Beginning, beginning
from logstream.client.consumer import FETCH_MAX
from logstream.client.finding import find
from logstream.client.host import CoreHost
from logstream.client.inbox import Inbox, Record, new_core
from logstream.core.client_effects import Broken, ConsumerEffect, Ended
from logstream.core.client_events import Opened, Taken
from logstream.core.consumer import ConsumerSettings
from logstream.protocol.errors import LogStreamError

_DEFAULTS = ConsumerSettings(())
TURN_RECORDS = 1000  # taken in a row


class Consumer:
    """Reads the committed records of one or several topics. To be used by one task at a time.

    topics       a name or several
    start        "start", "end", an offset that holds for every partition, a datetime (local, if it has no zone), or a
                 timedelta before now: then at the first record of that time or later
    follow       go on for ever; False: iteration stops where the ends were when the consumer started
    wait         for topics that do not exist yet, instead of raising UnknownTopic
    timeout_s    for the start, and with follow=False without any answer; then RequestTimedOut
    credit_max   bytes that are fetched ahead at most (and always one batch)

    Raises ValueError for a start that is none, TypeError for topics that are none.

    It starts with `async with`, with `start`, or when records are first taken; that raises NoClusterFound. Whatever
    else goes wrong is raised where records are taken, after those that came before. Whoever is cancelled while
    waiting for records has lost none. It closes itself where follow=False ends.
    """

    def __init__(
        self,
        topics: str | Sequence[str],
        start: Beginning = "start",
        follow: bool = True,
        bootstrap: str | Sequence[str] | None = None,
        cluster: str = "logstream",
        *,
        wait: bool = False,
        timeout_s: float = _DEFAULTS.deadline_s,
        credit_max: int = _DEFAULTS.credit_max,
    ) -> None:
        names = as_topics(topics)
        self._settings = ConsumerSettings(
            names,
            beginning(start, datetime.now(UTC)),
            follow,
            wait,
            credit_max=credit_max,
            deadline_s=timeout_s,
            fetch_max=min(credit_max, FETCH_MAX),
        )
        self._seek = partial(find, bootstrap, cluster)
        self._cluster = cluster
        self._inbox = Inbox(names, credit_max)
        self._arrived = asyncio.Event()
        self._turn_left = TURN_RECORDS
        self._host: CoreHost[ConsumerEffect] | None = None

    async def start(self) -> None:
        """Look for the cluster and begin to fetch. Raises NoClusterFound, and LogStreamError on another loop."""
        if self._host is not None and self._host.loop is not asyncio.get_running_loop():
            raise LogStreamError("this consumer belongs to another event loop: make one per loop")
        if self._host is not None or self._inbox.closed:
            return
        brokers = await aside(self._seek, "logstream-consumer-seek")
        if self._host is not None or self._inbox.closed:  # started by another task meanwhile, or closed
            return
        core, loop = new_core(brokers, self._settings), asyncio.get_running_loop()
        self._host = CoreHost(loop, self._cluster, self._seek, core.handle, self._deliver, self._broke)
        self._host.feed(Opened(loop.time()))
        lifetime.opened(self)

    # --- taking records ---

    def __aiter__(self) -> Consumer:
        return self

    async def __anext__(self) -> Record:
        inbox = self._inbox
        if self._turn_left <= 0:
            await self._let_others()
        self._turn_left -= 1
        while True:
            record = next(inbox.chunk, None)
            if record is not None:
                return record
            if not await self._next_chunk(None):
                raise StopAsyncIteration

    async def poll(self, timeout: float | None = 0.0, max_records: int = 1000) -> list[Record]:
        """At most so many records, waiting at most `timeout` seconds for the first (None: for ever).

        An empty list says that none came, or that there are no more (see `ended`). Raises what broke the consumer.
        """
        await self.start()
        inbox = self._inbox
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        records: list[Record] = []
        while len(records) < max_records:
            records += islice(inbox.chunk, max_records - len(records))
            if len(records) == max_records:
                break
            if records and inbox.ready:  # without an await: whoever is cancelled must not lose those in hand
                self._finish_chunk()
                inbox.begin(inbox.next_batch())
            elif records or not await self._next_chunk(deadline):
                break
        return records

    @property
    def ended(self) -> bool:
        """Has everything been taken that follow=False reads?"""
        return self._inbox.exhausted

    def position(self, partition: int, topic: str | None = None) -> int | None:
        """The offset of the next record of a partition; None before its first was taken.

        `topic` may be left out where there is one only.
        """
        return self._inbox.position(partition, topic)

    async def _next_chunk(self, deadline: float | None) -> bool:
        """Begin the next batch. False if none came in time, or none will. Raises what broke the consumer.

        A batch is taken off the inbox after the last await, so whoever is cancelled here loses nothing.
        """
        await self.start()
        self._finish_chunk()
        await self._let_others()
        inbox = self._inbox
        while not inbox.ready:
            if inbox.is_over():
                return False
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._arrived.wait()
            except TimeoutError:
                return False
        inbox.begin(inbox.next_batch())
        return True

    async def _let_others(self) -> None:
        """The loop's other tasks have their turn."""
        self._turn_left = TURN_RECORDS
        await asyncio.sleep(0)

    def _finish_chunk(self) -> None:
        size = self._inbox.finish()
        if size and self._host is not None:
            self._host.feed(Taken(size, self._host.loop.time()))
            self._inbox.given_back(size)

    # --- ending ---

    async def close(self, timeout: float | None = None) -> None:
        """Stop. Records that were fetched and not taken are forgotten. Closing twice is fine."""
        self._inbox.close()
        self._arrived.set()
        if self._host is not None:
            self._hang_up(self._host)
            await asyncio.sleep(0)  # the loop closes the sockets

    async def __aenter__(self) -> Consumer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def at_exit(self, timeout: float) -> None:
        """The program ends, its loop is gone."""
        self._inbox.close()

    def forked(self) -> None:
        """This is a copy in a child process, which must not use the parent's connections."""
        self._inbox.close()
        self._inbox.error = LogStreamError("the consumer was made before a fork: make another one in this process")

    # --- what the core says ---

    def _deliver(self, effect: ConsumerEffect) -> None:
        self._inbox.put(effect)
        self._arrived.set()
        if isinstance(effect, Ended | Broken) and self._host is not None:
            self._hang_up(self._host)

    def _hang_up(self, host: CoreHost[ConsumerEffect]) -> None:
        host.close()
        lifetime.closed(self)

    def _broke(self, error: Exception) -> None:
        """A bug: nobody may wait for ever because of it."""
        logger.bind(client="consumer").opt(exception=error).error("the consumer failed")
        self._deliver(Broken(LogStreamError(f"the consumer failed: {error!r}")))
