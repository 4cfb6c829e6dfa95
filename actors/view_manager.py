"""ViewManager: runs view changes for joins, leaves and hand-overs.
hears State, Refuse, ViewInstallAck, Hello, Leave, Handover, LearnerCaughtUp, Gathered, Promised
says StateExchange, ViewInstall, Leave, Handover   announces Gather, Resume, StepAside, Left"""

from __future__ import annotations

from typing import Any

from actors.host import CoreActor
from actors.mesh import Seat
from logstream.core.view_change import ViewChange


class ViewManager(CoreActor):
    """Runs core.view_change."""

    seat = Seat.VIEW_MANAGER
    core: ViewChange

    def report(self) -> dict[str, Any]:
        """The attempt under way, if one is, and without whom the last one was not enough."""
        attempt = self.core.attempt
        running = attempt is not None and not attempt.installed
        return {
            **super().report(),
            "attempt": str(attempt.epoch) if attempt is not None and running else None,
            "missing": [member.node_id for member in self.core.missing],
        }
