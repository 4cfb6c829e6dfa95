"""Window: the batches of one partition between the producer and its broker. A part of ProducerCore.

    open (filling) --seal--> ready (no sequence yet) --take--> sent (numbered, at most five) --settle--> gone

A batch gets its sequence when it is first sent and keeps it for all tries, because the broker knows it
by (producer id, sequence) and gives it the same offset however often it comes (R12). The broker
remembers the last five batches, so the window spans at most five from the lowest unanswered one on,
the answered ones behind it included.

After trouble `rewind` forgets all tries, and `take` begins again at the lowest unanswered batch: no
later sequence ever reaches a broker before the earlier ones were sent to it. What was sent cannot
simply be renumbered, it may be in the log under its old number: `renew` takes a new producer id, and
is only for when nothing that was sent can still come in.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from logstream.core.client_events import Headers
from logstream.protocol.batches import Batch, stamp_producer
from logstream.protocol.errors import LocalProtocolError

IN_FLIGHT_MAX = 5  # what a broker remembers of a producer's partition (R12)
_SEQUENCE_MASK = 0x7FFFFFFF  # sequences wrap as in Kafka


class Builder(Protocol):
    """What is needed of protocol/records.RecordBuilder, which only clients may import."""

    @property
    def records(self) -> int:
        """Records so far."""
        ...

    def append(self, key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int, /) -> bool:
        """Add a record; False if the batch is full. The first record always fits."""
        ...

    def build(self) -> bytes:
        """The body of the batch, without a producer's identity."""
        ...


@dataclass(slots=True, eq=False)
class OpenBatch:
    """A batch that still takes records."""

    builder: Builder
    since: float  # when its first record came
    deadline: float
    tickets: list[object] = field(default_factory=list)
    cost: int = 0


@dataclass(slots=True, eq=False)
class SealedBatch:
    """A batch that is complete, sent or not."""

    body: bytes
    records: int
    tickets: list[object]
    cost: int
    deadline: float
    stamped: Batch | None = None  # with the producer's identity, from the first try on
    sequence: int = -1
    correlation: int = 0  # of the newest try; 0 when none counts: its answer was bad or is not expected
    tries: list[int] = field(default_factory=list)  # correlations of all tries; a late success counts too
    sent_at: float = 0.0  # the newest try
    done: bool = False  # acknowledged, but an earlier one is not


class Window:
    """One partition's batches, in order."""

    def __init__(self, topic: str, number: int, producer_id: int) -> None:
        self.topic = topic
        self.number = number
        self.producer_id = producer_id
        self.address = ""  # of the assigned broker; "" while nobody is known
        self.open: OpenBatch | None = None
        self.ready: deque[SealedBatch] = deque()
        self.sent: deque[SealedBatch] = deque()  # spans at most IN_FLIGHT_MAX batches
        self.answered = False  # has this producer id been acknowledged here?
        self.resting = False  # a back-off runs
        self.rests = 0  # back-offs in a row
        self.moves = 0  # NOT_ASSIGNED in a row
        self.reason = ""  # what the broker said last, for a person
        self._next_sequence = 0

    def __str__(self) -> str:
        return f"{self.topic}[{self.number}]"

    @property
    def idle(self) -> bool:
        """Is there nothing here that waits for anything?"""
        return self.open is None and not self.ready and not self.sent

    @property
    def has_room(self) -> bool:
        """Would a sealed batch be sent at once?"""
        return bool(self.address) and not self.resting and len(self.sent) < IN_FLIGHT_MAX

    @property
    def under_way(self) -> bool:
        """Is an answer expected?"""
        return any(batch.correlation and not batch.done for batch in self.sent)

    def seal(self) -> None:
        """Close the open batch, if there is one."""
        if self.open is not None:
            batch, self.open = self.open, None
            body, records = batch.builder.build(), batch.builder.records
            self.ready.append(SealedBatch(body, records, batch.tickets, batch.cost, batch.deadline))

    def take(self) -> list[tuple[SealedBatch, Batch]]:
        """The batches that are to be sent now, in this order: what is to be repeated first, then what fits.

        Each with the bytes that go to the broker; whoever sends it sets its `correlation`.
        """
        if not self.address or self.resting:
            return []
        while self.ready and len(self.sent) < IN_FLIGHT_MAX:
            self.sent.append(self._stamp(self.ready.popleft()))
        idle = [batch for batch in self.sent if not batch.done and not batch.correlation]
        return [(batch, batch.stamped) for batch in idle if batch.stamped is not None]

    def _stamp(self, batch: SealedBatch) -> SealedBatch:
        batch.sequence = self._next_sequence
        batch.stamped = stamp_producer(batch.body, self.producer_id, 0, batch.sequence)
        self._next_sequence = (batch.sequence + batch.records) & _SEQUENCE_MASK
        return batch

    def settle(self, batch: SealedBatch) -> None:
        """This batch is acknowledged."""
        self.answered, self.rests, self.moves, self.reason = True, 0, 0, ""
        batch.done = True
        while self.sent and self.sent[0].done:
            self.sent.popleft()

    def rewind(self) -> None:
        """Whatever was sent counts as not sent: the next `take` starts at the lowest unanswered batch."""
        for batch in self.sent:
            batch.correlation = 0

    def unanswered(self) -> list[SealedBatch]:
        """What was sent and not acknowledged, in order."""
        return [batch for batch in self.sent if not batch.done]

    def drop(self, batches: list[SealedBatch]) -> None:
        """Give these sent batches up. Sequences then have a gap: a `renew` must follow."""
        for batch in batches:
            self.sent.remove(batch)

    def unsend(self) -> None:
        """What was sent is certainly not in the log: let it be numbered anew."""
        for batch in reversed(self.unanswered()):
            batch.stamped, batch.sequence, batch.correlation = None, -1, 0
            self.ready.appendleft(batch)
        self.sent.clear()

    def renew(self, producer_id: int) -> None:
        """Start again at sequence 0 under another producer id.

        Raises LocalProtocolError while an answer under the old one is waited for.
        """
        if self.unanswered():
            raise LocalProtocolError(f"{self}: a new producer id while batches of the old one are unanswered")
        self.sent.clear()
        self.producer_id, self._next_sequence, self.answered = producer_id, 0, False

    def check_invariants(self) -> None:
        """Raises LocalProtocolError if the window is wider than R12 allows or its sequences are not dense."""
        if len(self.sent) > IN_FLIGHT_MAX or (self.sent and self.sent[0].done):
            raise LocalProtocolError(f"{self}: the window spans {len(self.sent)} batches")
        expected = self.sent[0].sequence if self.sent else self._next_sequence
        repeated = False
        for batch in self.sent:
            if batch.sequence != expected:
                raise LocalProtocolError(f"{self}: sequence {batch.sequence} follows where {expected} should")
            expected = (expected + batch.records) & _SEQUENCE_MASK
            repeated |= not batch.done and not batch.correlation
            if repeated and batch.correlation and not batch.done:
                raise LocalProtocolError(f"{self}: a later batch is under way while an earlier one is to be repeated")
        if expected != self._next_sequence:
            raise LocalProtocolError(f"{self}: the next sequence is {self._next_sequence}, not {expected}")
