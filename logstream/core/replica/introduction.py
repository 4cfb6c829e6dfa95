"""Introduction: what a member says of itself: to a JOIN, to everybody when it hears no leader (R20), to its log."""

from __future__ import annotations

from logstream.core.effects import Broadcast, Effect, Note, Unicast
from logstream.core.replica.history import History
from logstream.core.replica.vocabulary import Introduce
from logstream.protocol.identity import Epoch, Member, View
from logstream.protocol.messages import JoinResponse, Present


def introduction(
    me: Member, command: Introduce, cluster_id: str, view: View, promised: Epoch, history: History
) -> Effect:
    """Who I am, what I hold, and who leads as far as I hear."""
    empty = not history.topics
    if not command.to:
        return Broadcast(Present(me, cluster_id, history.end, empty))
    leader = view.leader if command.leader_heard else None
    answer = JoinResponse(me, cluster_id, leader, view.members, promised, history.end, empty, command.refusal)
    return Unicast(command.to, answer)


def cluster_state(view: View, role: str) -> Effect:
    """The line of the node's log that there is one of for each view."""
    members = ", ".join(member.node_id for member in view.members)
    fields: dict[str, object] = {"view": view.epoch.n, "leader": view.leader.node_id, "members": members, "role": role}
    return Note("ClusterState", fields)


class Hellos:
    """When HELLO was said to whom: to one leader at most once per heartbeat (R8)."""

    def __init__(self, heartbeat_s: float) -> None:
        self._pause_s = 0.9 * heartbeat_s
        self._said_at: dict[Member, float] = {}

    def due(self, leader: Member, at: float) -> bool:
        """May it be said to this leader now? If so, it is noted as said."""
        recent = {one: said_at for one, said_at in self._said_at.items() if at - said_at < self._pause_s}
        self._said_at = recent | {leader: recent.get(leader, at)}
        return leader not in recent
