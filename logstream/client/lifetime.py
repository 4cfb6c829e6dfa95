"""What happens to clients that nobody closed: at the end of the program, and in a child after a fork.

At the end a producer gets a few seconds to have its records acknowledged, so that a short script need
not close it; what then is not acknowledged is said on the log. One on an event loop gets no time, because
its loop is gone. In a forked child a client has no thread and the sockets are the parent's: it refuses everything.
"""

from __future__ import annotations

import atexit
import os
import time
import weakref
from typing import Protocol

from loguru import logger

from logstream.client import handles
from logstream.protocol.errors import LogStreamError

LAST_WORD_S = 5.0  # for all clients together


class Closable(Protocol):
    """A client."""

    def at_exit(self, timeout: float) -> None:
        """Flush and stop within so many seconds. Raises LogStreamError for what was not acknowledged."""
        ...

    def forked(self) -> None:
        """Become useless: this is a child process."""
        ...


_open: weakref.WeakSet[Closable] = weakref.WeakSet()


def opened(client: Closable) -> None:
    """Watch over this client."""
    _open.add(client)


def closed(client: Closable) -> None:
    """It has been closed."""
    _open.discard(client)


def _close_all() -> None:
    deadline = time.monotonic() + LAST_WORD_S
    for client in list(_open):
        try:
            client.at_exit(max(deadline - time.monotonic(), 0.0))
        except LogStreamError as error:
            logger.bind(client=type(client).__name__).error("not closed before the program ended: {}", error)


def _leave_all() -> None:
    handles.forked()
    for client in list(_open):
        client.forked()
    _open.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all)
