"""Handles: what `send` and `send_many` return, and how a program waits for them.

A handle is made for every record, so it is light: no lock, event or future of its own. Whoever waits
leaves a callback; one lock for all handles orders that against the outcome.

The same handles serve producers with a thread and those on an event loop (logstream/aio/handles.py): only
`result` and `exception` differ, which wait here and must not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple, TypeVar

from loguru import logger

from logstream.core.client_events import Span
from logstream.protocol.errors import LogStreamError

AnyHandle = TypeVar("AnyHandle", bound="Waitable")

_settling = threading.Lock()  # between a handle's outcome and those who ask for it


def forked() -> None:
    """This is a child process: a thread that held the lock is not here to release it."""
    global _settling
    _settling = threading.Lock()


class Placed(NamedTuple):
    """Records of a bulk that lie one behind the other: numbers first, first + 1, ... have offset, offset + 1, ..."""

    first: int  # number within the bulk
    records: int
    partition: int
    offset: int


class GivenUp(NamedTuple):
    """Records of a bulk that will not be tried again, and why."""

    first: int  # number within the bulk
    records: int
    error: LogStreamError


class Waitable:
    """Something that is done one day."""

    __slots__ = ("_callbacks", "_error", "reported")

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], None]] | None = None
        self._error: LogStreamError | None = None
        self.reported = False  # has the program been told of the error?

    def done(self) -> bool:
        """Is the outcome known?"""
        raise NotImplementedError

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call when the outcome is known, at once if it is; else on the client's own thread, so be quick."""
        with _settling:
            if not self.done():
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(callback)
                return
        callback()

    def add_done_callback(self: AnyHandle, callback: Callable[[AnyHandle], object]) -> None:
        """Call callback(handle) when the outcome is known, at once if it is.

        It is called where the producer works, on its thread or its event loop, so be quick. What it raises
        goes to the log. SystemExit and KeyboardInterrupt end an event loop, but not the producer's thread.
        """
        self.when_done(lambda: _call_guarded(callback, self))

    def _end_program(self, error: BaseException) -> None:
        """A callback raised SystemExit or KeyboardInterrupt: the program's main thread ends of it, no other does."""
        if threading.current_thread() is threading.main_thread():
            raise error
        _complain(error)

    def exception(self, timeout: float | None = None) -> LogStreamError | None:
        """Why it failed, None if everything is acknowledged. Waits as `result` does. Raises TimeoutError."""
        self._wait(timeout)
        self.reported = True
        return self._error

    def _wait(self, timeout: float | None) -> None:
        """Wait until done. Raises TimeoutError after `timeout` seconds."""
        if not self.done():
            over = threading.Lock()
            over.acquire()
            self.when_done(over.release)
            if not over.acquire(timeout=-1 if timeout is None else timeout):
                raise TimeoutError(f"not acknowledged yet after {timeout:g} s; the producer goes on trying")

    def _raise_error(self) -> None:
        if self._error is not None:
            self.reported = True
            raise self._error

    def _wait_in_loop(self) -> Generator[object, None, None]:
        """Whoever is cancelled here only stops waiting: the records go their way."""
        if not self.done():
            loop = asyncio.get_running_loop()
            over = loop.create_future()
            self.when_done(lambda: _finish_soon(loop, over))
            yield from over
        self._raise_error()


def _finish_soon(loop: asyncio.AbstractEventLoop, over: asyncio.Future[None]) -> None:
    if asyncio._get_running_loop() is loop:  # a producer on this very loop: no need to wake it
        return _finish(over)
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_finish, over)
    return None


def _finish(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def _call_guarded(callback: Callable[[AnyHandle], object], handle: AnyHandle) -> None:
    """A program's mistake must not end its producer, nor may its sys.exit(): the other handles need an outcome."""
    try:
        callback(handle)
    except (SystemExit, KeyboardInterrupt) as error:
        handle._end_program(error)
    except BaseException as error:  # CancelledError is no Exception
        _complain(error)


def _complain(error: BaseException) -> None:
    logger.bind(client="producer").opt(exception=error).error("a callback of a handle raised an exception")


class Handle(Waitable):
    """One record on its way."""

    __slots__ = ("offset", "partition")

    def __init__(self) -> None:
        self._callbacks = None
        self._error = None
        self.reported = False
        self.offset = -1  # of the record, once it is acknowledged
        self.partition = -1  # where it went, once it is acknowledged

    def done(self) -> bool:
        """Is the record acknowledged or given up?"""
        return self.offset >= 0 or self._error is not None

    def result(self, timeout: float | None = None) -> int:
        """The record's offset. Waits at most `timeout` seconds.

        Raises TimeoutError while the outcome is open, else the LogStreamError that says why it failed.
        """
        self._wait(timeout)
        self._raise_error()
        return self.offset

    def __await__(self) -> Generator[object, None, int]:
        yield from self._wait_in_loop()
        return self.offset


class BulkHandle(Waitable):
    """Many records on their way, numbered from 0 in the order in which they were given."""

    __slots__ = ("_failed", "_open", "_placed", "total")

    def __init__(self) -> None:
        super().__init__()
        self.total = 0  # records given so far; final when send_many returns
        self._open = True  # more may be given
        self._placed: list[Placed] = []
        self._failed: list[GivenUp] = []

    def done(self) -> bool:
        """Is every record acknowledged or given up?"""
        failed = sum(given_up.records for given_up in self._failed)
        return not self._open and self.acknowledged + failed == self.total

    @property
    def acknowledged(self) -> int:
        """How many records are in the log so far."""
        return sum(placed.records for placed in self._placed)

    @property
    def given_up(self) -> list[GivenUp]:
        """Which records failed so far, each run of them with its error."""
        return sorted(self._failed, key=lambda given_up: given_up.first)

    @property
    def first_unacknowledged(self) -> int | None:
        """The lowest number that is not acknowledged; None if there is none."""
        number = 0
        for placed in sorted(self._placed):
            if placed.first > number:
                break
            number = placed.first + placed.records
        return number if number < self.total else None

    def result(self, timeout: float | None = None) -> list[Placed]:
        """Where the records are: runs of them, in the order in which they were given.

        Raises TimeoutError while the outcome of any is open, else the error of the first that failed.
        """
        self._wait(timeout)
        self._raise_error()
        return sorted(self._placed)

    def __await__(self) -> Generator[object, None, list[Placed]]:
        yield from self._wait_in_loop()
        return sorted(self._placed)

    def given(self, records: int) -> None:
        """So many more records are on their way; for send_many. Nobody else writes the total, or compares it yet."""
        self.total += records

    def close(self, error: LogStreamError | None = None) -> None:
        """No more records will be given, because of an error or not; for send_many."""
        with _settling:
            self._open = False
            self._error = self._error or error
            callbacks = self._take_callbacks()
        _call(callbacks)

    def _take_callbacks(self) -> list[Callable[[], None]]:
        if self._callbacks is None or not self.done():
            return []
        callbacks, self._callbacks = self._callbacks, None
        return callbacks


def acknowledge(tickets: Sequence[object], partition: int, offset: int) -> int:
    """Tell handles that their records are in the log, densely from `offset` on. Returns how many records."""
    callbacks: list[Callable[[], None]] = []
    start = offset
    with _settling:
        for ticket in tickets:
            if isinstance(ticket, Handle):
                ticket.partition = partition
                ticket.offset = offset
                offset += 1
                if ticket._callbacks is not None:
                    callbacks += ticket._callbacks
                    ticket._callbacks = None
            elif isinstance(ticket, Span) and isinstance(ticket.ticket, BulkHandle):
                ticket.ticket._placed.append(Placed(ticket.first, ticket.records, partition, offset))
                offset += ticket.records
                callbacks += ticket.ticket._take_callbacks()
    _call(callbacks)
    return offset - start


def fail(tickets: Sequence[object], error: LogStreamError) -> list[Handle | BulkHandle]:
    """Tell handles that their records are given up. Returns the handles, a bulk's once for each span."""
    callbacks: list[Callable[[], None]] = []
    failed: list[Handle | BulkHandle] = []
    with _settling:
        for ticket in tickets:
            if isinstance(ticket, Handle):
                ticket._error = error
                callbacks += ticket._callbacks or ()
                ticket._callbacks = None
                failed.append(ticket)
            elif isinstance(ticket, Span) and isinstance(ticket.ticket, BulkHandle):
                bulk = ticket.ticket
                if bulk._error is None or ticket.first < min((one.first for one in bulk._failed), default=bulk.total):
                    bulk._error = error
                bulk._failed.append(GivenUp(ticket.first, ticket.records, error))
                callbacks += bulk._take_callbacks()
                failed.append(bulk)
    _call(callbacks)
    return failed


def records_in(tickets: Sequence[object]) -> int:
    """How many records these tickets stand for."""
    return sum(ticket.records if isinstance(ticket, Span) else 1 for ticket in tickets)


def error_of(handle: Handle | BulkHandle) -> LogStreamError | None:
    """Why it failed, None if it did not."""
    return handle._error


def _call(callbacks: list[Callable[[], None]]) -> None:
    for callback in callbacks:
        callback()
