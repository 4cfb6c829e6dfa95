"""Blocking work of the client, beside the event loop: looking for the cluster reads files and waits for sockets.

Every piece has a short-lived daemon thread, not one of the loop's executor: asyncio.run waits for those when
a program ends, and a search may take seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def start_aside(work: Callable[[], None], name: str) -> None:
    """Begin work on a thread of its own; nobody waits for it."""
    threading.Thread(target=work, name=name, daemon=True).start()


async def aside(work: Callable[[], T], name: str) -> T:
    """Do work on a thread of its own while the loop goes on. Raises what it raises.

    Whoever is cancelled here stops waiting; the work ends by itself.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[T] = loop.create_future()

    def settle(error: Exception | None, result: T | None) -> None:
        if over.done():
            return
        if error is not None:
            over.set_exception(error)
        else:
            over.set_result(result)  # type: ignore[arg-type]

    def do() -> None:
        error: Exception | None = None
        result: T | None = None
        try:
            result = work()
        except Exception as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, error, result)

    start_aside(do, name)
    return await over
