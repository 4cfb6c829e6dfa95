"""Sieve: picks single messages out of the traffic between nodes, to drop or to keep them for later.

    drop    Replicate from n3 to n2     never arrives
    hold    Heartbeat from n3 to n1     waits until it is let go, then arrives late, in its order
    trap    after 2 ViewInstall         something happens to the sender, once

For exact situations: faults by chance are the climate's and the cuts'. What a node says to itself and
what clients say does not pass through here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Deliver = Callable[[], None]


@dataclass(slots=True, eq=False)
class Catch:
    """What does not pass: messages of these types, senders and receivers; empty means any."""

    kinds: frozenset[str]  # names of message types
    sources: frozenset[str] = frozenset()  # addresses
    targets: frozenset[str] = frozenset()
    holds: bool = False
    held: list[Deliver] = field(default_factory=list)

    def catches(self, source: str, target: str, kind: str) -> bool:
        """Does this message not pass?"""
        return (
            (not self.kinds or kind in self.kinds)
            and (not self.sources or source in self.sources)
            and (not self.targets or target in self.targets)
        )


@dataclass(slots=True, eq=False)
class Trap:
    """Springs on the first sender of so many messages of a kind; the one after them does not leave any more."""

    kind: str
    count: int
    spring: Callable[[str], None]  # with the sender's address
    sent: dict[str, int] = field(default_factory=dict)

    def passes(self, source: str) -> bool:
        """May this message leave?"""
        already = self.sent.get(source, 0)
        self.sent[source] = already + 1
        return already < self.count


class Sieve:
    """All rules of one network."""

    def __init__(self) -> None:
        self.passed: dict[tuple[str, str], Deliver] = {}  # the last one of each kind to each address, to repeat it
        self._catches: list[Catch] = []
        self._traps: list[Trap] = []

    def add(self, catch: Catch) -> None:
        """From now on."""
        self._catches.append(catch)

    def set_trap(self, trap: Trap) -> None:
        """For the next such messages."""
        self._traps.append(trap)

    def let_go(self, *kinds: str) -> None:
        """Nothing of these kinds, or of any, is dropped or held any more; what was held arrives now."""
        over = [catch for catch in self._catches if not kinds or catch.kinds & set(kinds)]
        self._catches = [catch for catch in self._catches if catch not in over]
        for catch in over:
            for deliver in catch.held:
                deliver()
        if not kinds:
            self._traps.clear()

    def takes(self, source: str, target: str, kind: str, deliver: Deliver) -> bool:
        """Is this message taken out of the traffic?"""
        for trap in list(self._traps):
            if kind == trap.kind and not trap.passes(source):
                self._traps.remove(trap)
                trap.spring(source)
                return True
        for catch in self._catches:
            if catch.catches(source, target, kind):
                if catch.holds:
                    catch.held.append(deliver)
                return True
        self.passed[kind, target] = deliver
        return False
