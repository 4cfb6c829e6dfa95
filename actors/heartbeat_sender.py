"""HeartbeatSender: the leader's pulse.
hears ViewInstalled, Promised, ServingJudged   announces Beat"""

from __future__ import annotations

from actors.host import CoreActor
from actors.mesh import Seat


class HeartbeatSender(CoreActor):
    """Runs core.heartbeat_sender."""

    seat = Seat.HEARTBEAT_SENDER
    waits_after_pause = False
