"""Proposals that are in the log and not yet committed: who waits for which gseq, and since when.

A request is answered once: Produced when its entry is committed, Rejected with RETRY when the entry is
cut by a new view, or when it has waited for so long that its producer should hear why (R11: after
replication started never a definite failure).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waiter:
    """One request that waits for its entry's commit."""

    gseq: int
    request: int
    offset: int  # to be answered
    since: float


class Waiting:
    """The requests of one Replica, mostly in gseq order."""

    def __init__(self) -> None:
        self._waiters: deque[Waiter] = deque()

    def __len__(self) -> int:
        return len(self._waiters)

    @property
    def oldest(self) -> Waiter | None:
        """Whoever waits for the lowest gseq."""
        return self._waiters[0] if self._waiters else None

    def add(self, waiter: Waiter) -> None:
        """Wait for an entry; a repeated batch may wait for one that others were appended after."""
        if self._waiters and waiter.gseq < self._waiters[-1].gseq:
            self._waiters = deque(sorted((*self._waiters, waiter), key=lambda one: one.gseq))
        else:
            self._waiters.append(waiter)

    def take_to(self, gseq: int) -> list[Waiter]:
        """Those whose entries are committed, up to gseq."""
        done = []
        while self._waiters and self._waiters[0].gseq <= gseq:
            done.append(self._waiters.popleft())
        return done

    def take_above(self, gseq: int) -> list[Waiter]:
        """Those whose entries were cut, above gseq."""
        cut = []
        while self._waiters and self._waiters[-1].gseq > gseq:
            cut.append(self._waiters.pop())
        return cut[::-1]

    def take_since(self, before: float) -> list[Waiter]:
        """Those that have waited since before that time."""
        late = [waiter for waiter in self._waiters if waiter.since < before]
        if late:
            self._waiters = deque(waiter for waiter in self._waiters if waiter.since >= before)
        return late
