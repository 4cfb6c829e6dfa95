"""The leader's pulse: one heartbeat at once when a view is installed, then one per interval.

What a heartbeat says of the log is the Replica's to say; this is only the clock and the list of the
members that serve. A change of that list does not wait for the next interval.
"""

from __future__ import annotations

from dataclasses import dataclass

from logstream.core.effects import Announce, CancelTimer, Effect, SetTimer
from logstream.core.events import Due
from logstream.core.failure_detector import ServingJudged
from logstream.core.replica.vocabulary import Beat, Promised, ViewInstalled
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Member


@dataclass(frozen=True, slots=True)
class HeartbeatDue:
    """Time for the next heartbeat."""


class HeartbeatSender:
    """Beats while this member leads."""

    def __init__(self, heartbeat_s: float) -> None:
        self._heartbeat_s = heartbeat_s
        self._serving: tuple[Member, ...] = ()
        self._leads = False

    def handle(self, event: object) -> list[Effect]:
        """One event."""
        match event:
            case Due(timer=HeartbeatDue(), at=at):
                return [Announce(Beat(self._serving, at)), SetTimer(HeartbeatDue(), self._heartbeat_s)]
            case ViewInstalled(view=view, leads=True):
                self._leads, self._serving = True, view.members
                return [SetTimer(HeartbeatDue(), 0.0)]
            case ViewInstalled() | Promised():
                self._leads = False
                return [CancelTimer(HeartbeatDue())]
            case ServingJudged(serving=serving):
                changed, self._serving = serving != self._serving, serving
                return [SetTimer(HeartbeatDue(), 0.0)] if changed and self._leads else []
            case _:
                raise LocalProtocolError(f"a heartbeat sender cannot handle {event!r}")
