"""The inbox of a NodeActor: a queue that ends Pykka's receive loop when the turn is over.

Pykka's loop calls `get()` outside its `try`, so the private BaseException raised here leaves the loop
without touching Pykka's start, stop and failure code, which therefore runs unchanged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from pykka._envelope import Envelope


class TurnOver(BaseException):
    """The inbox is empty, or the actor has had its share of this turn."""


class Inbox:
    """Unbounded: credit and limits live in the cores."""

    __slots__ = ("queue", "share", "wake")

    def __init__(self) -> None:
        self.queue: deque[Envelope[Any]] = deque()
        self.share = 0  # messages that the present turn may still take
        self.wake: Callable[[], None] = _asleep  # set when the actor has started

    def put(self, envelope: Envelope[Any], /) -> None:
        """Queue a message and see to it that the actor gets a turn."""
        self.queue.append(envelope)
        self.wake()

    def get(self) -> Envelope[Any]:
        """The next message. Raises TurnOver."""
        if self.share == 0 or not self.queue:
            raise TurnOver
        self.share -= 1
        return self.queue.popleft()

    def empty(self) -> bool:
        """Is nothing waiting?"""
        return not self.queue


def _asleep() -> None:
    """Before its start and after its stop an actor gets no turns."""
