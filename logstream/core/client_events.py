"""What the producer's and the consumer's core hear, besides Due(timer) from events.py.

A client does not know members, it knows addresses ("host:port"). Its host opens a connection when a
request wants one; a connection that breaks, or cannot be made, takes all requests on it along, and
the core hears which ones. `at` is in seconds of the host's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from logstream.protocol.messages import ClientResponse

Headers = Sequence[tuple[str, bytes]]

RECORD_COST = 64  # bytes that a waiting record costs beside its key and value, roughly


class Outgoing(NamedTuple):
    """One record on its way. The ticket is the host's: it comes back with the outcome."""

    topic: str
    value: bytes | None
    key: bytes | None
    headers: Headers
    partition: int | None  # None: by the key, or wherever a batch is open
    timestamp_ms: int
    ticket: object

    @property
    def cost(self) -> int:
        """Bytes that the record takes of the producer's buffer."""
        return RECORD_COST + len(self.value or b"") + len(self.key or b"")


class Bulk(NamedTuple):
    """Many records that share everything but the value. Value i is number `first + i` of the ticket."""

    topic: str
    values: Sequence[bytes]
    key: bytes | None
    headers: Headers
    partition: int | None
    timestamp_ms: int
    ticket: object
    first: int

    @property
    def cost(self) -> int:
        """Bytes that the records take of the producer's buffer."""
        return sum(map(len, self.values)) + len(self.values) * (RECORD_COST + len(self.key or b""))


class Span(NamedTuple):
    """Some of a bulk ticket's records: `records` of them from number `first` on."""

    ticket: object
    first: int
    records: int


@dataclass(frozen=True, slots=True)
class Submitted:
    """The application wants these records produced, in this order."""

    records: Sequence[Outgoing | Bulk]
    at: float


@dataclass(frozen=True, slots=True)
class Answered:
    """A broker's answer to the request of this correlation."""

    address: str
    correlation: int
    message: ClientResponse
    at: float


@dataclass(frozen=True, slots=True)
class Lost:
    """A connection broke or could not be made: these requests will not be answered."""

    address: str
    correlations: tuple[int, ...]
    reason: str  # for a person
    at: float


@dataclass(frozen=True, slots=True)
class ClusterSought:
    """The cluster was looked for again: addresses of brokers that are there, none if it was not found."""

    addresses: tuple[str, ...]
    at: float


@dataclass(frozen=True, slots=True)
class Opened:
    """The application wants to read: begin."""

    at: float


@dataclass(frozen=True, slots=True)
class Taken:
    """The application took so many bytes of what was delivered: there is room for more."""

    size: int
    at: float
