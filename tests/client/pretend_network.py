"""PretendNetwork: carries a client core's requests to a ClusterModel in virtual time, and spoils them by dice.

Links are FIFO as TCP is. A link may break before a request arrives or before its answer goes back; a
broker may get a request twice, say RETRY, be silent for a while, or lose a partition to another broker.
After `trouble_until` nothing goes wrong any more.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from logstream.core.client_effects import Request, SeekCluster
from logstream.core.client_events import Answered, ClusterSought, Lost
from logstream.core.effects import SetTimer
from logstream.core.events import Due
from logstream.protocol.errors import ErrorCode
from logstream.protocol.messages import ClientResponse, Produce, ProduceResponse
from tests.client.cluster_model import ClusterModel


class Link:
    """One connection."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.unanswered: dict[int, None] = {}
        self.free_at = 0.0  # when the next thing may arrive
        self.broken = False


class PretendNetwork:
    """Time, links and dice."""

    def __init__(self, model: ClusterModel, core: Any, random: Random, trouble_until: float) -> None:
        self.model = model
        self.now = 0.0
        self.outcomes: list[Any] = []
        self.requests = 0
        self._core = core
        self._random = random
        self._trouble_until = trouble_until
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._timers: dict[object, int] = {}
        self._links: dict[tuple[str, type], Link] = {}

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do something at this time."""
        heapq.heappush(self._events, (when, next(self._order), action))

    def tell(self, event: object) -> None:
        """Give the core an event and carry out what it wants."""
        effects = self._core.handle(event)
        self._core.check_invariants()
        for effect in effects:
            if isinstance(effect, Request):
                self._send(effect)
            elif isinstance(effect, SetTimer):
                self._set_timer(effect)
            elif isinstance(effect, SeekCluster):
                self.at(self.now + 0.1, lambda: self.tell(ClusterSought((), self.now)))
            else:
                self.outcomes.append(effect)

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= until and not done():
            self.now, _, action = heapq.heappop(self._events)
            action()

    def _set_timer(self, effect: SetTimer) -> None:
        number = self._timers[effect.timer] = next(self._order)
        self.at(self.now + effect.after_s, lambda: self._fire(effect.timer, number))

    def _fire(self, timer: object, number: int) -> None:
        if self._timers.get(timer) == number:
            self.tell(Due(timer, self.now, self.now))

    def _chance(self, probability: float) -> bool:
        return self.now < self._trouble_until and self._random.random() < probability

    def _send(self, request: Request) -> None:
        self.requests += 1
        key = (request.address, type(request.message))
        link = self._links.get(key)
        if link is None or link.broken:
            link = self._links[key] = Link(request.address)
        link.unanswered[request.correlation] = None
        link.free_at = max(link.free_at, self.now) + self._random.uniform(0.0001, 0.01)
        self.at(link.free_at, lambda: self._arrive(link, request))

    def _arrive(self, link: Link, request: Request) -> None:
        if link.broken:
            return
        if self._chance(0.05):
            return self._break(link)
        if self._chance(0.05):
            self._move_something()
        answer = self._answer(link.address, request)
        if self._chance(0.05):
            return self._break(link)
        silence_s = self._random.uniform(0.3, 2.0) if self._chance(0.05) else 0.0
        link.free_at = max(link.free_at, self.now + silence_s) + self._random.uniform(0.0001, 0.01)
        self.at(link.free_at, lambda: self._return(link, request, answer))
        return None

    def _answer(self, address: str, request: Request) -> ClientResponse:
        if isinstance(request.message, Produce) and self._chance(0.08):
            return ProduceResponse(ErrorCode.RETRY, "frozen", retry_after_s=0.01)
        answer = self.model.answer(address, request.message)
        if self._chance(0.1):
            answer = self.model.answer(address, request.message)
        return answer

    def _return(self, link: Link, request: Request, answer: ClientResponse) -> None:
        if not link.broken:
            link.unanswered.pop(request.correlation, None)
            self.tell(Answered(link.address, request.correlation, answer, self.now))

    def _break(self, link: Link) -> None:
        link.broken = True
        self.tell(Lost(link.address, tuple(link.unanswered), "connection reset", self.now))

    def _move_something(self) -> None:
        name = self._random.choice(sorted(self.model.topics) or [""])
        if name:
            partition = self._random.randrange(len(self.model.topics[name].partitions))
            self.model.move(name, partition, self._random.choice(self.model.brokers).address)
