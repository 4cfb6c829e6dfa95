"""What the rules leave to a person: who shall lead, and to go on although records may be lost.

Elsewhere: what becomes of it (view_change); the other commands are about topics (topic_requests).
"""

from __future__ import annotations

from logstream.core.effects import Announce, Effect
from logstream.core.gateway.requests import Requests
from logstream.core.gateway.sessions import Asker
from logstream.core.gateway.standing import Standing
from logstream.core.view_vocabulary import ForceView, TransferLeadership
from logstream.protocol import messages as wire
from logstream.protocol.errors import ErrorCode


class Administration:
    """Commands of operators that are passed on to the view manager."""

    def __init__(self, standing: Standing, requests: Requests) -> None:
        self._standing, self._requests = standing, requests

    def change_leader(self, asker: Asker, change: wire.ChangeLeader, since: float) -> list[Effect]:
        """Hand over to the member of this name; the leader itself does it."""
        view = self._standing.view
        if not self._standing.ready or view is None:
            return self._requests.hold_until_ready(asker, change, since)
        if not self._standing.leads:
            return self._requests.forward(asker, change)
        if view.member(change.node_id) is None:
            names = ", ".join(member.node_id for member in view.members)
            text = f"there is no member {change.node_id!r}, the members are {names}"
            return self._requests.refuse(asker, change, ErrorCode.INVALID_REQUEST, text)
        answer = self._requests.answer(asker, wire.AdminResponse(ErrorCode.NONE))
        return [*answer, Announce(TransferLeadership(change.node_id))]

    def force_view(self, asker: Asker, force: wire.ForceView) -> list[Effect]:
        """Go on with those who are left, if somebody accepts what that may cost."""
        fault = ""
        if not force.accept_data_loss:
            fault = "a forced view may lose acknowledged records: say that you accept it"
        elif self._standing.ready:
            fault = "this cluster has a leader, there is nothing to force"
        elif self._standing.view is None:
            fault = "this broker has not been in a view, ask one that has"
        if fault:
            return self._requests.refuse(asker, force, ErrorCode.INVALID_REQUEST, fault)
        return [*self._requests.answer(asker, wire.AdminResponse(ErrorCode.NONE)), Announce(ForceView())]
