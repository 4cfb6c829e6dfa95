"""Sockets need a loop that has them; the scheduler promises less, so that the simulator can run on its own."""

from __future__ import annotations

import asyncio

from logstream.protocol.errors import LocalProtocolError
from logstream.runtime import Scheduler


def real_loop(scheduler: Scheduler) -> asyncio.AbstractEventLoop:
    """The scheduler's loop, as one that has sockets. Raises LocalProtocolError for the simulator's."""
    if not isinstance(scheduler.loop, asyncio.AbstractEventLoop):
        raise LocalProtocolError("a transport needs a real loop; the simulator has a network of its own")
    return scheduler.loop
