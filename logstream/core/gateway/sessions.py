"""Answers in order: a client may send many requests on one connection and hears the answers in that order.

An answer that is ready before an earlier request is answered waits for it. Requests that another broker
forwarded are answered as they come; each belongs to a different client.

What a client has under way is bounded, from when a request comes until its answer goes:

    0 .......... REQUESTS_MAX, BYTES_MAX .......... UNANSWERED_MAX
      served                              RETRY                   not even answered

A RETRY takes its turn, too, so whoever goes on asking makes the queue longer; whoever does so for long breaks the
rules. Our own clients stay below: a producer buffers 64 MiB, a consumer asks one broker for one answer at a time.

Elsewhere: what is sent and not taken by the client (transport.tcp cuts it off), what may be held (holding).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from logstream.core.effects import Effect, Reply
from logstream.core.events import Origin, Session
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.messages import ClientRequest, ClientResponse, Fetch, Produce

REQUESTS_MAX = 4096  # of one session under way, beyond which it hears RETRY: five for each of 800 partitions
BYTES_MAX = 64 << 20  # of one session under way; a request that is alone is served however large it is
UNANSWERED_MAX = 2 * REQUESTS_MAX  # refused ones included


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked, and under which correlation."""

    origin: Origin
    correlation: int


@dataclass(slots=True)
class _Queue:
    asked: deque[tuple[int, int]] = field(default_factory=deque)  # correlation and bytes, in order
    ready: dict[int, ClientResponse] = field(default_factory=dict)
    bytes: int = 0  # of all that was asked


class Sessions:
    """The clients of one broker."""

    def __init__(self) -> None:
        self._queues: dict[Session, _Queue] = {}

    def __len__(self) -> int:
        return len(self._queues)

    def under_way(self, session: Session) -> tuple[int, int]:
        """Requests of this client that are not answered, and their bytes."""
        queue = self._queues.get(session)
        return (len(queue.asked), queue.bytes) if queue is not None else (0, 0)

    def is_full(self, origin: Origin, size: int) -> bool:
        """Would a request of so many bytes be more than this client may have under way?"""
        queue = self._queues.get(origin) if isinstance(origin, Session) else None
        if queue is None or not queue.asked:
            return False
        return len(queue.asked) >= REQUESTS_MAX or queue.bytes + size > BYTES_MAX

    def asked(self, origin: Origin, correlation: int, size: int = 0) -> Asker:
        """Note a request of so many bytes, so that its answer takes its turn.

        Raises RemoteProtocolError if the client goes on asking although nothing is answered.
        """
        if isinstance(origin, Session):
            queue = self._queues.setdefault(origin, _Queue())
            if len(queue.asked) >= UNANSWERED_MAX:
                raise RemoteProtocolError(f"a client asks while {UNANSWERED_MAX} of its requests are unanswered")
            queue.asked.append((correlation, size))
            queue.bytes += size
        return Asker(origin, correlation)

    def answer(self, asker: Asker, response: ClientResponse) -> list[Effect]:
        """Answer now, or as soon as all earlier requests of the session are answered."""
        if not isinstance(asker.origin, Session):
            return [Reply(asker.origin, asker.correlation, response)]
        queue = self._queues.get(asker.origin)
        if queue is None:  # the client is gone
            return []
        queue.ready[asker.correlation] = response
        effects: list[Effect] = []
        while queue.asked and queue.asked[0][0] in queue.ready:
            correlation, size = queue.asked.popleft()
            queue.bytes -= size
            effects.append(Reply(asker.origin, correlation, queue.ready.pop(correlation)))
        return effects

    def closed(self, session: Session) -> None:
        """A client is gone."""
        self._queues.pop(session, None)


def size_of(message: ClientRequest, credit: int) -> int:
    """Bytes that a request keeps here: its batch, or what its answer may carry, at most the credit."""
    match message:
        case Produce(batch=batch):
            return batch.size
        case Fetch(max_bytes=max_bytes):
            return min(max_bytes, credit)
        case _:
            return 0
