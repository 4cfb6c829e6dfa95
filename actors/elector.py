"""Elector: runs the LCR ring among those who have no leader.
hears Probe, ProbeAck, Election, LeaderLost, LeaderFound, Suspected, ViewsKnown, CandidateHeard, ChangeFailed
says Probe, ProbeAck, Election   announces CandidateElected"""

from __future__ import annotations

from typing import Any

from actors.host import CoreActor
from actors.mesh import Seat
from logstream.core.election import Elections


class Elector(CoreActor):
    """Runs core.election."""

    seat = Seat.ELECTOR
    core: Elections

    def report(self) -> dict[str, Any]:
        """What this node does about having no leader."""
        core = self.core
        missing = [member.node_id for member in core.missing]
        return {**super().report(), "phase": core.phase.value, "leaderless": core.leaderless, "missing": missing}
