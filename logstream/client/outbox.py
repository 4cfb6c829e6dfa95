"""Outbox: a producer's records between the program and the core, and what has become of them.

    send -> submitted --turn--> core -> Acknowledged, Failed --told--> settled
            [ buffered bytes, pending records                       ]

Producers with a thread and those on an event loop share it. It has no lock and waits for nothing: its owner guards it,
and waits in its own way for `lacks_room` and `pending`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import SystemRandom
from typing import NamedTuple

from logstream.client.arguments import as_bytes
from logstream.client.handles import BulkHandle, Handle, acknowledge, error_of, fail, records_in
from logstream.core.client_effects import Acknowledged, Failed
from logstream.core.client_events import Bulk, Headers, Outgoing, Span
from logstream.core.producer import ProducerCore, ProducerSettings
from logstream.protocol.batches import Compression
from logstream.protocol.errors import LogStreamError
from logstream.protocol.records import RecordBuilder

BUFFER_MAX = 64 * 1024 * 1024  # bytes
TURN_RECORDS = 1000  # handed to the core at a time, so that answers are heard in between
BULK_RECORDS = 1000  # of a send_many, handed over in one piece
BULK_BYTES = 512 * 1024  # the same in bytes
FAILURES_MAX = 1000  # handles that are remembered for flush and close; more are counted


class Outcome(NamedTuple):
    """What the handles of one effect have been told."""

    records: int
    cost: int
    failed: list[Handle | BulkHandle]
    news: LogStreamError | None  # about records that are acknowledged already


class Outbox:
    """Counts what is under way, and remembers what failed until the program has heard of it."""

    def __init__(self, buffer_max: int) -> None:
        self.buffer_max = buffer_max
        self.submitted: deque[Outgoing | Bulk] = deque()
        self.handed_over: Sequence[Outgoing | Bulk] = ()  # what the core is being given right now
        self.buffered = 0  # bytes
        self.pending = 0  # records neither acknowledged nor given up
        self.refusal = ""  # why nothing can be sent any more
        self._failures: deque[Handle | BulkHandle] = deque(maxlen=FAILURES_MAX)
        self._news: LogStreamError | None = None

    def lacks_room(self, cost: int) -> bool:
        """Would so many bytes be too many? One record always has room in an empty buffer."""
        return bool(self.buffered) and self.buffered + cost > self.buffer_max

    def turn(self) -> list[Outgoing | Bulk]:
        """What goes to the core next."""
        records: list[Outgoing | Bulk] = []
        room = TURN_RECORDS
        while self.submitted and room > 0:
            record = self.submitted.popleft()
            room -= len(record.values) if type(record) is Bulk else 1
            records.append(record)
        return records

    def orphans(self, error: LogStreamError) -> Failed:
        """After a fault in the core: whatever it was being given and has said nothing of."""
        orphans = [record for record in self.handed_over if not _is_told(record)]
        self.handed_over = ()
        return Failed([_ticket_of(record) for record in orphans], error, sum(record.cost for record in orphans))

    def settle(self, outcome: Outcome) -> None:
        """These records are no longer under way."""
        self.pending -= outcome.records
        self.buffered -= outcome.cost
        self._failures.extend(outcome.failed)
        self._news = outcome.news or self._news

    def remember(self, failed: BulkHandle) -> None:
        """This one failed, though none of its records did."""
        self._failures.append(failed)

    def unreported(self) -> LogStreamError | None:
        """The first error that the program does not know, with how many others there are. They count as reported."""
        unreported = list(dict.fromkeys(handle for handle in self._failures if not handle.reported))
        news, self._news = self._news, None
        self._failures.clear()
        for handle in unreported:
            handle.reported = True
        first = error_of(unreported[0]) if unreported else news
        if first is None or len(unreported) <= 1:
            return first
        text = f"{first.text} (and {len(unreported) - 1} more sends were not acknowledged)"
        error = type(first)(text, first.advice)
        error.__cause__ = first
        return error


def _ticket_of(record: Outgoing | Bulk) -> object:
    return record.ticket if isinstance(record, Outgoing) else Span(record.ticket, record.first, len(record.values))


def _is_told(record: Outgoing | Bulk) -> bool:
    """Does the handle know about this record, or about some of this bulk?"""
    ticket = record.ticket
    if isinstance(ticket, BulkHandle) and isinstance(record, Bulk):
        numbers = range(record.first, record.first + len(record.values))
        known = [*(one.first for one in ticket.given_up), *(one.first for one in ticket._placed)]
        return any(number in numbers for number in known)
    return isinstance(ticket, Handle) and ticket.done()


def told(effect: Acknowledged | Failed) -> Outcome:
    """Tell the handles of an effect what has become of their records."""
    if isinstance(effect, Acknowledged):
        return Outcome(acknowledge(effect.tickets, effect.partition, effect.offset), effect.cost, [], None)
    news = None if effect.tickets else effect.error
    return Outcome(records_in(effect.tickets), effect.cost, fail(effect.tickets, effect.error), news)


def new_core(brokers: list[str], compression: Compression, settings: ProducerSettings) -> ProducerCore:
    """The rules of one producer, with real dice and the real record format."""
    return ProducerCore(brokers, lambda bytes_max: RecordBuilder(compression, bytes_max), SystemRandom(), settings)


def bulks(
    topic: str,
    values: Iterable[bytes],
    key: bytes | None,
    headers: Headers,
    partition: int | None,
    handle: BulkHandle,
    clock_ms: Callable[[], int],
) -> Iterator[Bulk]:
    """The values in pieces of at most BULK_RECORDS, and about BULK_BYTES."""
    for piece in _pieces(values):
        yield Bulk(topic, piece, key, headers, partition, clock_ms(), handle, handle.total)


def _pieces(values: Iterable[bytes]) -> Iterator[list[bytes]]:
    piece: list[bytes] = []
    size = 0
    for value in values:
        if type(value) is not bytes:
            value = as_bytes(value, "value")
        piece.append(value)
        size += len(value)
        if size >= BULK_BYTES or len(piece) >= BULK_RECORDS:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
