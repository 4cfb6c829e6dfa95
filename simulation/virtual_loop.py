"""Virtual time and a seed: the loop that a simulated node runs on.

It has the methods of asyncio's loop that a Scheduler uses. Time jumps from one callback to the next;
callbacks due at the same instant are ordered by dice from the seed, never by addresses, urns or
hashes, so one seed is one history, in every process and under every hash seed.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any


class VirtualHandle:
    """One scheduled callback."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Do not call."""
        self._callback = None

    def run(self) -> None:
        """Call, unless it was cancelled."""
        if self._callback is not None:
            self._callback()


class VirtualLoop:
    """A loop whose clock only moves when there is nothing left to do at the present instant."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self._now = 0.0
        self._scheduled = 0
        self._heap: list[tuple[float, float, int, VirtualHandle]] = []

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> VirtualHandle:
        """Call after so many virtual seconds."""
        handle = VirtualHandle(lambda: callback(*args))
        self._scheduled += 1
        heapq.heappush(self._heap, (self._now + max(delay, 0.0), self.dice.random(), self._scheduled, handle))
        return handle

    def call_soon(self, callback: Callable[..., object], *args: Any) -> VirtualHandle:
        """Call at this instant, in an order that the dice decide."""
        return self.call_later(0.0, callback, *args)

    call_soon_threadsafe = call_soon

    def run_for(self, seconds: float) -> None:
        """Let this much virtual time pass."""
        end = self._now + seconds
        while self._heap and self._heap[0][0] <= end:
            self._run_next()
        self._now = end

    def run_until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Let time pass until the condition holds; False if it did not within so many virtual seconds."""
        end = self._now + within_s
        while not condition():
            if not self._heap or self._heap[0][0] > end:
                self._now = end
                return condition()
            self._run_next()
        return True

    def _run_next(self) -> None:
        self._now, _, _, handle = heapq.heappop(self._heap)
        handle.run()


class Mortal:
    """One node's view of the loop: when the node is killed, nothing of it runs any more."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._alive = True

    def kill(self) -> None:
        """kill -9: whatever the node had scheduled never happens."""
        self._alive = False

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._loop.time()

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> VirtualHandle:
        """Call after so many virtual seconds, if the node still lives."""
        return self._loop.call_later(delay, self._call, callback, args)

    def call_soon(self, callback: Callable[..., object], *args: Any) -> VirtualHandle:
        """Call at this instant, if the node still lives."""
        return self._loop.call_soon(self._call, callback, args)

    call_soon_threadsafe = call_soon

    def _call(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        if self._alive:
            callback(*args)
