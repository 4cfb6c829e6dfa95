"""A consumer's core, its clock, and what it asked."""

from __future__ import annotations

from random import Random

from logstream.core.client_effects import Request
from logstream.core.client_events import Answered, Opened
from logstream.core.consumer import ConsumerCore, ConsumerSettings
from logstream.core.events import Due
from logstream.protocol.messages import ClientResponse


class ConsumerTalk:
    """A consumer that knows broker a and has begun."""

    def __init__(self, chosen: ConsumerSettings) -> None:
        self.core = ConsumerCore(["a:1"], Random(1), chosen)
        self.asked: list[Request] = []
        self.now = 0.0
        self.hear(Opened(0.0))

    def hear(self, event: object) -> list[object]:
        effects = self.core.handle(event)  # type: ignore[arg-type]
        self.core.check_invariants()
        self.asked += [effect for effect in effects if isinstance(effect, Request)]
        return list(effects)

    def answer(self, message: ClientResponse, request: Request | None = None) -> list[object]:
        request = request or self.asked[-1]
        return self.hear(Answered(request.address, request.correlation, message, self.now))

    def due(self, timer: object, at: float) -> list[object]:
        self.now = at
        return self.hear(Due(timer, at, at))
