"""One scheduler per node: it gives the node's actors their turns on one loop.

    tell -> Inbox.put -> wake -> loop.call_soon -> one turn of at most `turn` messages -> again if more

What differs between production and simulation is the loop alone. uvloop's or asyncio's runs on real
time; the simulator's VirtualLoop runs on virtual time with a seed. Both have the same three methods.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from threading import get_ident
from typing import Any, Protocol

from pykka import ActorRef


class TimerHandle(Protocol):
    """What call_later returns."""

    def cancel(self) -> None:
        """Do not call."""
        ...


class Loop(Protocol):
    """The things that a node needs from a loop; asyncio has them under these names."""

    def time(self) -> float:
        """Seconds of a monotonic clock."""
        ...

    def call_soon(self, callback: Callable[..., object], *args: Any) -> object:
        """Call after everything that is waiting already. From the loop's thread only."""
        ...

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> object:
        """Like call_soon, from any thread."""
        ...

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> TimerHandle:
        """Call after so many seconds."""
        ...


class Scheduled(Protocol):
    """An actor that a scheduler gives turns; there is one type of them, NodeActor."""

    @property
    def name(self) -> str:
        """What `status` and the log call this actor."""
        ...

    @property
    def actor_ref(self) -> ActorRef[Any]:
        """How to tell it something."""
        ...


class Scheduler:
    """Runs the actors of one node, and holds them, because an ActorRef is weak.

    `turn` is how many messages one actor may handle before others get their turn; `stopwatch` measures
    turns, in seconds; `failed` hears of an actor that ended by an exception; `observe`, if there is one, is
    told of every message after an actor has handled it.
    """

    def __init__(
        self,
        loop: Loop,
        turn: int,
        stopwatch: Callable[[], float],
        failed: Callable[[Scheduled, BaseException], None],
        observe: Callable[[Scheduled, Any], None] | None = None,
        pause_s: float = inf,
    ) -> None:
        self.loop = loop
        self.turn = turn
        self.stopwatch = stopwatch
        self.failed = failed
        self.observe = observe
        self.pause_s = pause_s  # a timer that is later than this means that the process was paused (R14)
        self.thread = get_ident()
        self.actors: dict[Scheduled, None] = {}
        self.longest_turn_s = 0.0
        self.longest_turn_of = ""  # the actor that took it

    def soon(self, callback: Callable[[], object]) -> None:
        """Run a callback on the loop, cheaply when already there."""
        if get_ident() == self.thread:
            self.loop.call_soon(callback)
        else:
            self.loop.call_soon_threadsafe(callback)

    def measured(self, seconds: float, actor: str) -> None:
        """Note how long a turn took."""
        if seconds > self.longest_turn_s:
            self.longest_turn_s, self.longest_turn_of = seconds, actor
