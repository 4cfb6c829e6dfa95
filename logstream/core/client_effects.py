"""What the producer's and the consumer's core want done, besides SetTimer from effects.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from logstream.core.effects import SetTimer
from logstream.protocol.batches import Batch
from logstream.protocol.errors import LogStreamError
from logstream.protocol.messages import ClientRequest


@dataclass(frozen=True, slots=True)
class Request:
    """Ask this broker. Requests of one kind to one address go out in the order in which they were given."""

    address: str
    correlation: int
    message: ClientRequest


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The records of these tickets are committed, densely from `offset` on.

    A ticket is the host's own, or a Span of one.
    """

    tickets: Sequence[object]
    partition: int
    offset: int
    cost: int  # bytes of the producer's buffer that are free again


@dataclass(frozen=True, slots=True)
class Failed:
    """The records of these tickets will not be tried again. No tickets: the error is about acknowledged ones."""

    tickets: Sequence[object]
    error: LogStreamError
    cost: int


@dataclass(frozen=True, slots=True)
class Deliver:
    """For the application: the records of this batch with first <= offset < limit.

    since_ms: and of these only from the first one on that has this time stamp or a later one.
    """

    topic: str
    partition: int
    batch: Batch
    first: int
    limit: int
    since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """Everything that was there when the consumer started has been delivered."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The consumer cannot go on."""

    error: LogStreamError


@dataclass(frozen=True, slots=True)
class SeekCluster:
    """Nobody that is known answers: look for the cluster again, as at the start. ClusterSought says what was found."""


ProducerEffect = Request | SetTimer | SeekCluster | Acknowledged | Failed
ConsumerEffect = Request | SetTimer | SeekCluster | Deliver | Ended | Broken
