"""Answers in order: a client may send many requests on one connection and hears the answers in that order.

An answer that is ready before an earlier request is answered waits for it. Requests that another broker
forwarded are answered as they come; each belongs to a different client.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from logstream.core.effects import Effect, Reply
from logstream.core.events import Origin, Session
from logstream.protocol.messages import ClientResponse


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked, and under which correlation."""

    origin: Origin
    correlation: int


@dataclass(slots=True)
class _Queue:
    asked: deque[int] = field(default_factory=deque)  # correlations, in order
    ready: dict[int, ClientResponse] = field(default_factory=dict)


class Sessions:
    """The clients of one broker."""

    def __init__(self) -> None:
        self._queues: dict[Session, _Queue] = {}

    def __len__(self) -> int:
        return len(self._queues)

    def asked(self, origin: Origin, correlation: int) -> Asker:
        """Note a request, so that its answer takes its turn."""
        if isinstance(origin, Session):
            self._queues.setdefault(origin, _Queue()).asked.append(correlation)
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
        while queue.asked and queue.asked[0] in queue.ready:
            correlation = queue.asked.popleft()
            effects.append(Reply(asker.origin, correlation, queue.ready.pop(correlation)))
        return effects

    def closed(self, session: Session) -> None:
        """A client is gone."""
        self._queues.pop(session, None)
