"""Whether this thread is inside an actor's turn: there, waiting for another actor would never end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Thread(threading.local):
    inside = False


_thread = _Thread()


def in_a_turn() -> bool:
    """Is an actor of this thread's loop handling a message right now?"""
    return _thread.inside


@contextmanager
def a_turn() -> Iterator[None]:
    """Mark the time that an actor's turn takes."""
    _thread.inside = True
    try:
        yield
    finally:
        _thread.inside = False
