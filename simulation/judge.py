"""The judge of one cluster: looks at every turn of every actor, and at how nodes end.

    turn of a Replica       ---> witness: what it holds, has promised, committed; what it said in that turn
    turn of a gateway       ---> bounds of its queues
    turn of a TCP transport ---> witness: what leaves a member; the bound of an answer
    turn of anybody else    ---> nothing that a promise is about

The first violation ends the story. Runs of a seed and scenarios have the same judge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.client_gateway import ClientGateway
from actors.replica import Replica
from logstream.core.effects import Send
from logstream.core.replica.storing import Recovered
from logstream.protocol.identity import Member
from logstream.runtime import NodeActor
from simulation.checks import queues
from simulation.checks.histories import Histories
from simulation.checks.ledger import Ledger
from simulation.checks.overhearing import Overheard
from simulation.checks.violation import Violation
from simulation.checks.witness import Witness
from simulation.cluster import Cluster
from simulation.pretended.transports import PretendTcp


class Judge:
    """Keeps the first violation; the histories are for whoever pretends to be a client."""

    def __init__(self, cluster: Cluster) -> None:
        self.ledger = Ledger()
        self.witness = Witness(self.ledger, cluster.on_disk if cluster.durable else None)
        self.histories = Histories(self.ledger)
        self.violation: Violation | None = None
        self.halts_expected = False  # a scenario may be about a node that must not go on
        self._loop = cluster.loop
        self._overheard: dict[Replica, Overheard] = {}
        self._looks: dict[type, Callable[[str, Any, Any], None]] = {
            Replica: self._replica,
            ClientGateway: queues.check_gateway,
            PretendTcp: self._tcp,
        }
        cluster.observe, cluster.ended, cluster.found = self.turn, self._ended, self._found

    def blame(self, violation: Violation) -> None:
        """The first violation ends the story where it was seen, not inside the actor's turn."""
        if self.violation is None:
            self.violation = violation
            self._loop.stop()

    def check(self) -> None:
        """Raises the first Violation that was seen."""
        if self.violation is not None:
            raise self.violation

    def turn(self, node: str, actor: NodeActor, message: Any) -> None:
        """An actor of this node has handled a message."""
        look = self._looks.get(type(actor))
        if look is None:
            return
        try:
            look(node, actor, message)
        except Violation as violation:
            self.blame(violation)

    def _replica(self, node: str, actor: Replica, message: Any) -> None:
        core = actor.core
        self.witness.look(core)
        overheard = self._overheard.get(actor)
        if overheard is None:  # its first turn: it has promised nothing, or recovers, and cannot acknowledge yet
            self._overheard[actor] = Overheard(actor.mesh)
        elif overheard.said:
            self.witness.heard(core, overheard.take())
        queues.check_producers(node, core)

    def _tcp(self, node: str, actor: PretendTcp, message: Any) -> None:
        if type(message) is Send:
            self.witness.said(actor.me, message.message)
        else:
            queues.check_answer(node, message)

    def _found(self, member: Member, found: Recovered) -> None:
        """A durable node has started with what its disk held."""
        try:
            self.witness.came_back(member, found)
        except Violation as violation:
            self.blame(violation)

    def _ended(self, node: str, exit_code: int, reason: str) -> None:
        if exit_code != 0 and not self.halts_expected:
            self.blame(Violation("I23", f"{node} ended: {reason}"))
