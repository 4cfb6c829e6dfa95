"""FailureDetector: times the silence of the leader, or of the followers.
hears LeaderHeard, FollowerHeard, ViewInstalled, Promised   announces LeaderFound, LeaderLost, ServingJudged"""

from __future__ import annotations

from typing import Any

from actors.host import CoreActor
from actors.mesh import Seat
from logstream.core.failure_detector import FailureDetector as Core


class FailureDetector(CoreActor):
    """Runs core.failure_detector."""

    seat = Seat.FAILURE_DETECTOR
    waits_after_pause = False
    core: Core

    def on_start(self) -> None:
        """Begin to check."""
        self.perform(self.core.start())

    def report(self) -> dict[str, Any]:
        """Who is heard, and how long ago."""
        leader = self.core.leader
        return {
            **super().report(),
            "leader_heard": leader.node_id if leader else None,
            "peers": self.core.facts(self.mesh.now()),
        }
