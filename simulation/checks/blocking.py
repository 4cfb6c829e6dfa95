"""No turn may block (I23): while a run goes on, whatever would make a real loop wait is noticed, and refused.

    files, folders, sockets, processes    Python's own audit events
    time.sleep, conditions                have none, and are replaced for the time of the run

On a condition wait events, queues, futures, barriers, and whoever starts a thread. What only computes for
long is not noticed: virtual time does not know it. Nor is a bare lock, or the end of a thread that was
started outside.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from threading import Condition
from types import TracebackType
from typing import Any

from logstream.runtime.turns import this_thread
from simulation.checks.violation import Violation

WAITS: tuple[tuple[Any, str], ...] = ((time, "sleep"), (Condition, "wait"))
SOCKETS = ("__new__", "bind", "connect", "getaddrinfo", "gethostbyname", "sendmsg", "sendto")
FILES = ("fork", "listdir", "mkdir", "posix_spawn", "remove", "rename", "rmdir", "scandir", "system", "truncate")
AUDITED = frozenset(
    (
        "open",
        "subprocess.Popen",
        "_thread.start_new_thread",
        "_thread.start_joinable_thread",
        *(f"socket.{name}" for name in SOCKETS),
        *(f"os.{name}" for name in FILES),
    )
)
ABOUT_A_FAILURE = "linecache"  # reads the source for a traceback: that actor has failed already


class Blocking:
    """Watches all turns while it is entered; `blame` is told of the first call that would block."""

    watching: Blocking | None = None  # an audit hook stays for as long as its process
    hooked = False

    def __init__(self, blame: Callable[[Violation], None]) -> None:
        self._blame = blame
        self._replaced: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Blocking:
        if not Blocking.hooked:
            Blocking.hooked = True
            sys.addaudithook(_audited)
        for owner, name in WAITS:
            waits = getattr(owner, name)
            self._replaced.append((owner, name, waits))
            setattr(owner, name, self._refusing(f"{owner.__name__}.{name}", waits))
        Blocking.watching = self
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        Blocking.watching = None
        while self._replaced:
            owner, name, waits = self._replaced.pop()
            setattr(owner, name, waits)

    def _refusing(self, what: str, waits: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if this_thread.in_a_turn:
                self.caught(what)
            return waits(*arguments, **named)

        return call

    def caught(self, what: str) -> None:
        """Somebody would block. Raises Violation, which ends that actor, too."""
        violation = Violation("I23", f"an actor called {what} in its turn: nothing else would go on meanwhile")
        self._blame(violation)
        raise violation


def _audited(event: str, arguments: tuple[Any, ...]) -> None:
    watching = Blocking.watching
    if watching is None or event not in AUDITED or not this_thread.in_a_turn:
        return
    frame = sys._getframe(1)
    if frame.f_globals.get("__name__") not in (ABOUT_A_FAILURE, "tokenize"):
        watching.caught(f"{event}({', '.join(map(repr, arguments[:2]))})")
