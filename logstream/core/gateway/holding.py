"""Requests that cannot be served at this moment and wait, in order, for a better one.

Bounded: at HELD_MAX requests or HELD_BYTES_MAX bytes, and for a request that has waited HELD_S, there is no
room; it is answered instead of held, with the reason that it would have waited for.
"""

from __future__ import annotations

from dataclasses import dataclass

from logstream.core.gateway.sessions import Asker
from logstream.protocol.messages import ClientRequest, Produce

HELD_MAX = 1000
HELD_BYTES_MAX = 16 << 20
HELD_S = 2.0


@dataclass(frozen=True, slots=True)
class Held:
    """A request that waits for better times."""

    asker: Asker
    message: ClientRequest
    since: float


class Holding:
    """The queue of held requests; its bytes are counted, because all of them are looked at again and again."""

    def __init__(self) -> None:
        self._held: list[Held] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def bytes(self) -> int:
        """Of the batches that are held."""
        return self._bytes

    def hold(self, held: Held, now: float) -> bool:
        """Keep a request for later. False: there is no room, or it has waited for long enough."""
        size = held.message.batch.size if isinstance(held.message, Produce) else 0
        if now - held.since >= HELD_S or len(self._held) >= HELD_MAX or self._bytes + size > HELD_BYTES_MAX:
            return False
        self._held.append(held)
        self._bytes += size
        return True

    def take_all(self) -> list[Held]:
        """Everything that is held, in order; it is not held any more."""
        held, self._held, self._bytes = self._held, [], 0
        return held
