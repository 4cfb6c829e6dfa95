"""Virtual time and a seed: the loop that everything in a simulation runs on.

It has the methods of asyncio's loop that a Scheduler uses. Time jumps from one callback to the next;
callbacks due at the same instant are ordered by dice from the seed, never by addresses, urns or
hashes, so one seed is one history, in every process and under every hash seed.

Elsewhere: what one node sees of the loop (its own clock, pauses, death) is machine.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Protocol

INSTANT_MAX = 100_000  # callbacks


class EndlessInstant(RuntimeError):
    """Time cannot go on: actors keep each other busy at one instant. On a real loop this would be a full core."""


class Owner(Protocol):
    """Whose callbacks may have to wait although they are due."""

    free: bool  # they are called when they are due

    def keep(self, handle: VirtualHandle) -> None:
        """This one is due, and the owner is not free."""
        ...


class VirtualHandle:
    """One scheduled callback."""

    __slots__ = ("arguments", "callback", "owner")

    def __init__(self, callback: Callable[..., object], arguments: tuple[Any, ...], owner: Owner | None = None) -> None:
        self.callback: Callable[..., object] | None = callback
        self.arguments = arguments
        self.owner = owner

    def cancel(self) -> None:
        """Do not call."""
        self.callback = None


class VirtualLoop:
    """A loop whose clock only moves when there is nothing left to do at the present instant."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.events = 0  # callbacks that have run
        self._random = self.dice.random
        self._now = 0.0
        self._scheduled = 0
        self._instant: list[tuple[float, int, VirtualHandle]] = []  # a heap of what is due at the present instant
        self._later: list[tuple[float, float, int, VirtualHandle]] = []  # a heap of what is due after it

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def schedule(self, delay: float, handle: VirtualHandle) -> None:
        """Run a handle after so many virtual seconds."""
        self._scheduled += 1
        if delay > 0.0:
            heappush(self._later, (self._now + delay, self._random(), self._scheduled, handle))
        else:
            heappush(self._instant, (self._random(), self._scheduled, handle))

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> VirtualHandle:
        """Call after so many virtual seconds."""
        handle = VirtualHandle(callback, args)
        self.schedule(delay, handle)
        return handle

    def call_soon(self, callback: Callable[..., object], *args: Any) -> VirtualHandle:
        """Call at this instant, in an order that the dice decide."""
        return self.call_later(0.0, callback, *args)

    call_soon_threadsafe = call_soon

    def stop(self) -> None:
        """Nothing that is scheduled happens any more: the story has ended."""
        self._instant.clear()
        self._later.clear()

    def run_for(self, seconds: float) -> None:
        """Let this much virtual time pass. Raises EndlessInstant."""
        self._run(self._now + seconds, None)

    def run_until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Let time pass until the condition holds; False if it did not within so many virtual seconds."""
        return self._run(self._now + within_s, condition)

    def _run(self, end: float, condition: Callable[[], bool] | None) -> bool:
        """Until the condition holds, or this instant is over."""
        instant, later, left = self._instant, self._later, INSTANT_MAX
        while condition is None or not condition():
            if instant:
                handle = heappop(instant)[2]
            elif later and later[0][0] <= end:
                self._now, _, _, handle = heappop(later)
                while later and later[0][0] == self._now:
                    heappush(instant, heappop(later)[1:])
                left = INSTANT_MAX
            else:
                self._now = end
                return condition is not None and condition()
            self.events += 1
            owner, callback = handle.owner, handle.callback
            if owner is not None and not owner.free:
                owner.keep(handle)
            elif callback is not None:
                callback(*handle.arguments)
            left -= 1
            if not left:
                raise EndlessInstant(f"{INSTANT_MAX} callbacks, no end at {self._now:.4f}: somebody goes in circles")
        return True
