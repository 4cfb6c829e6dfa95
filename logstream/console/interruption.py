"""Interruption: Ctrl-C and SIGTERM while records are under way.

    1st   nothing more is read; what was handed over is waited for, and the summary is exact
    2nd   nothing is waited for: what is not acknowledged by now is given up
    3rd   the process ends

An exception out of a signal handler can hit between any two steps, also between "handed over" and "counted".
So the handler raises only inside `may_interrupt`, where nothing but reading or waiting is done, and else
only remembers.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """While this context lasts, Ctrl-C and SIGTERM come here.

    under_way   how many records have no outcome yet, for a person
    abandon     called for the second one, on a thread of its own, because the main thread may hold any lock
    """

    def __init__(self, under_way: Callable[[], int], abandon: Callable[[], None]) -> None:
        self._under_way = under_way
        self._abandon = abandon
        self._before: dict[signal.Signals, Any] = {}
        self._may_raise = False
        self.times = 0

    def __enter__(self) -> Interruption:
        self._before = {number: signal.signal(number, self._hear) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def may_interrupt(self) -> Iterator[None]:
        """Around something that can be left undone. Raises KeyboardInterrupt, also if it was asked for before."""
        self._may_raise = True
        try:
            if self.times:
                raise KeyboardInterrupt
            yield
        finally:
            self._may_raise = False

    def wait(self, seconds: float) -> None:
        """Rest. Raises KeyboardInterrupt."""
        with self.may_interrupt():
            time.sleep(seconds)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        self.times += 1
        if self.times == 1:
            if records := self._under_way():
                _say(f"stopping, waiting for {_counted(records)} under way (Ctrl-C again: do not wait)")
            if self._may_raise:
                self._may_raise = False
                raise KeyboardInterrupt
        elif self.times == 2:
            Thread(target=self._abandon, name="logstream-abandon").start()
        else:
            os._exit(128 + number)


def _say(text: str) -> None:
    """Past Python's buffers: the handler may have interrupted somebody who writes to them."""
    beside_the_echo = "\n" if os.isatty(2) else ""  # the terminal has written ^C
    os.write(2, f"{beside_the_echo}logstream: {text}\n".encode())


def _counted(records: int) -> str:
    return "1 record" if records == 1 else f"{records} records"
