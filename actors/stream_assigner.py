"""StreamAssigner: the hash ring that gives every partition its broker.
hears ServingChanged   announces RingChanged"""

from __future__ import annotations

from typing import Any

from actors.host import CoreActor
from actors.mesh import Seat
from logstream.core.stream_assigner import StreamAssigner as Core


class StreamAssigner(CoreActor):
    """Runs core.stream_assigner."""

    seat = Seat.STREAM_ASSIGNER
    core: Core

    def report(self) -> dict[str, Any]:
        """The brokers on the ring."""
        return {**super().report(), "brokers": [broker.node_id for broker in self.core.ring.brokers]}
