"""Ctrl-C and SIGTERM while simulations run.

In an actor's turn KeyboardInterrupt would be an actor that fails, and a violation that there was not. So it waits for
the end of the run, or of the scenario, that is under way. Workers of a pool leave it to their parent, which ends them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred() -> Iterator[None]:
    """Raises KeyboardInterrupt at its end if one was asked for meanwhile; the second one ends the process at once."""
    heard: list[int] = []

    def hear(number: int, _frame: FrameType | None) -> None:
        if heard:
            os._exit(128 + number)
        heard.append(number)

    before = {number: signal.signal(number, hear) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if heard:
        raise KeyboardInterrupt


def leave_to_parent() -> None:
    """In a worker of a pool: Ctrl-C, which reaches it too, is its parent's; by SIGTERM that ends it at once.

    A handler in Python would come too late where the worker has just begun to wait for the pool's lock.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
