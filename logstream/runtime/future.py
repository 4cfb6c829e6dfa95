"""The future of a NodeActor's `ask`: it refuses to block the loop that would have to fulfil it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, TypeVar

from pykka import ThreadingFuture

from logstream.protocol.errors import LocalProtocolError
from logstream.runtime.turns import this_thread

T = TypeVar("T")


class LoopFuture(ThreadingFuture[T]):
    """A ThreadingFuture that can be awaited, and that raises where `get()` would wait for ever."""

    def get(self, *, timeout: float | None = None) -> Any:
        """The result. `timeout` is in seconds. Raises LocalProtocolError inside an actor's turn."""
        if this_thread.in_a_turn and self._result is None:
            raise LocalProtocolError("get() inside an actor's turn would wait for itself: use await, or tell")
        return super().get(timeout=timeout)

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the result on an asyncio loop; a thread of the default executor does the waiting."""
        waiting: asyncio.Future[T] = asyncio.get_running_loop().run_in_executor(None, self.get)
        return (yield from waiting.__await__())
