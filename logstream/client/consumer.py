"""Consumer: a program's way to read the log.

    for record in Consumer("orders", start="start", follow=False):
        print(record.offset, record.value)

A thread of the consumer's own runs core/consumer.py, which fetches ahead, up to `credit_max` bytes; the
program's thread decodes the records when it takes them. Order holds within each partition.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from time import monotonic
from types import TracebackType

from loguru import logger

from logstream.client import lifetime
from logstream.client.arguments import as_topics
from logstream.client.beginning import Beginning, beginning
from logstream.client.finding import find
from logstream.client.host import ThreadHost
from logstream.client.inbox import Inbox, Record, new_core
from logstream.core.client_effects import ConsumerEffect
from logstream.core.client_events import Opened, Taken
from logstream.core.consumer import ConsumerSettings
from logstream.protocol.errors import LogStreamError

_DEFAULTS = ConsumerSettings(())
FETCH_MAX = 4 * 1024 * 1024  # bytes of one answer


class Consumer:
    """Reads the committed records of one or several topics. To be used by one thread at a time.

    topics       a name or several
    start        "start", "end", an offset that holds for every partition, a datetime (local, if it has no zone), or a
                 timedelta before now: then at the first record of that time or later
    follow       go on for ever; False: iteration stops where the ends were when the consumer started
    wait         for topics that do not exist yet, instead of raising UnknownTopic
    timeout_s    for the start, and with follow=False without any answer; then RequestTimedOut
    credit_max   bytes that are fetched ahead at most (and always one batch)

    Raises NoClusterFound; ValueError for a start that is none, TypeError for topics that are none. Whatever else goes
    wrong is raised where records are taken, after those that came before. Ctrl-C in the midst of it skips nothing.
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
        settings = ConsumerSettings(
            names,
            beginning(start, datetime.now(UTC)),
            follow,
            wait,
            credit_max=credit_max,
            deadline_s=timeout_s,
            fetch_max=min(credit_max, FETCH_MAX),
        )
        seek = partial(find, bootstrap, cluster)
        core = new_core(seek(), settings)
        self._changed = threading.Condition()  # guards what the inbox says it must
        self._inbox = Inbox(names, credit_max)
        self._closed = False
        self._host: ThreadHost[ConsumerEffect] = ThreadHost(
            "logstream-consumer", cluster, seek, core.handle, self._deliver, self._broke
        )
        self._host.call(lambda: self._host.feed(Opened(self._host.loop.time())))
        lifetime.opened(self)

    # --- taking records ---

    def __iter__(self) -> Iterator[Record]:
        inbox = self._inbox
        while True:
            yield from inbox.chunk
            if not self._next_chunk(None):
                return

    def poll(self, timeout: float | None = 0.0, max_records: int = 1000) -> list[Record]:
        """At most so many records, waiting at most `timeout` seconds for the first (None: for ever).

        An empty list says that none came, or that there are no more (see `ended`). Raises what broke the consumer.
        """
        inbox = self._inbox
        deadline = None if timeout is None else monotonic() + timeout
        records: list[Record] = []
        try:
            while len(records) < max_records:
                records += islice(inbox.chunk, max_records - len(records))
                if len(records) < max_records and ((records and not inbox.ready) or not self._next_chunk(deadline)):
                    break
            return records
        except BaseException:  # Ctrl-C: the next poll gets what was gathered
            inbox.put_back(records)
            raise

    @property
    def ended(self) -> bool:
        """Has everything been taken that follow=False reads?"""
        return self._inbox.exhausted

    def position(self, partition: int, topic: str | None = None) -> int | None:
        """The offset of the next record of a partition; None before its first was taken.

        `topic` may be left out where there is one only.
        """
        return self._inbox.position(partition, topic)

    def _next_chunk(self, deadline: float | None) -> bool:
        """Begin the next batch. False if none came in time, or none will. Raises what broke the consumer."""
        inbox = self._inbox
        if inbox.left:  # put back since the last was taken
            return True
        size = inbox.finish()
        if size:
            self._host.call(lambda: self._host.feed(Taken(size, self._host.loop.time())))
            inbox.given_back(size)
        with self._changed:
            while not inbox.ready:
                if inbox.is_over():
                    return False
                left_s = None if deadline is None else deadline - monotonic()
                if left_s is not None and left_s <= 0:
                    return False
                self._changed.wait(left_s)
            delivery = inbox.next_batch()
        inbox.begin(delivery)
        return True

    # --- ending ---

    def close(self, timeout: float | None = None) -> None:
        """Stop. Records that were fetched and not taken are forgotten. Closing twice is fine."""
        with self._changed:
            if self._closed:
                return
            self._inbox.close()
            self._changed.notify_all()
        self._host.stop()
        lifetime.closed(self)
        self._closed = True

    def __enter__(self) -> Consumer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def at_exit(self, timeout: float) -> None:
        """The program ends."""
        self.close(timeout)

    def forked(self) -> None:
        """This is a copy in a child process: it has no thread and must not use the parent's connections."""
        self._changed = threading.Condition()
        self._closed = True
        self._inbox.close()
        self._inbox.error = LogStreamError("the consumer was made before a fork: make another one in this process")

    # --- on the consumer's thread ---

    def _deliver(self, effect: ConsumerEffect) -> None:
        with self._changed:
            self._inbox.put(effect)
            self._changed.notify_all()

    def _broke(self, error: Exception) -> None:
        """A bug: nobody may wait for ever because of it."""
        logger.bind(client="consumer").opt(exception=error).error("the consumer failed")
        with self._changed:
            self._inbox.error = self._inbox.error or LogStreamError(f"the consumer failed: {error!r}")
            self._changed.notify_all()
