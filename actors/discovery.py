"""Discovery: finds this node's cluster, and answers those who look for theirs.
hears Join, JoinResponse, Present, ViewsKnown, ViewInstalled, ViewLeft, LeaderOverheard, CandidateHeard   says Join
hears LeaderFound, LeaderLost, ChangeFailed, TopicOpened, TopicClosed, IdentityKept
announces FoundCluster, LearnFrom, Introduce, DropIdentity, ShrinkToSelf"""

from __future__ import annotations

from typing import Any

from actors.host import CoreActor
from actors.mesh import Seat
from logstream.core.discovery import Discovery as Core


class Discovery(CoreActor):
    """Runs core.discovery."""

    seat = Seat.DISCOVERY
    waits_after_pause = False
    core: Core

    def on_start(self) -> None:
        """Begin to look."""
        self.perform(self.core.start())

    def report(self) -> dict[str, Any]:
        """Where this node stands."""
        return {**super().report(), "phase": self.core.phase.value}
