"""Which broker serves which partition: the hash ring over the members that the leader hears.

Every node computes the same ring from the same list, which travels in the heartbeat.
"""

from __future__ import annotations

from dataclasses import dataclass

from logstream.core.effects import Announce, Effect
from logstream.core.replica.vocabulary import ServingChanged
from logstream.core.ring import Ring
from logstream.protocol.errors import LocalProtocolError


@dataclass(frozen=True, slots=True)
class RingChanged:
    """Partitions are assigned by this ring from now on."""

    ring: Ring


class StreamAssigner:
    """Keeps the ring."""

    def __init__(self) -> None:
        self.ring = Ring(())

    def handle(self, event: object) -> list[Effect]:
        """One event."""
        match event:
            case ServingChanged(serving=serving):
                self.ring = Ring(serving)
                return [Announce(RingChanged(self.ring))]
            case _:
                raise LocalProtocolError(f"a stream assigner cannot handle {event!r}")
