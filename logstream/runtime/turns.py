"""Whether this thread is inside an actor's turn: there, waiting for another actor would never end."""

from __future__ import annotations

import threading


class _Thread(threading.local):
    inside = False


_thread = _Thread()


class _Turn:
    """One for all turns, because a turn is short and there are many."""

    def __enter__(self) -> None:
        _thread.inside = True

    def __exit__(self, *_: object) -> None:
        _thread.inside = False


_turn = _Turn()


def in_a_turn() -> bool:
    """Is an actor of this thread's loop handling a message right now?"""
    return _thread.inside


def a_turn() -> _Turn:
    """Mark the time that an actor's turn takes."""
    return _turn
