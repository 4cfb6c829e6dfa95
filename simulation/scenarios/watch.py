"""Watch: judges one scenario's cluster in every turn, and every word to its clients, as the runs of seeds do.

What is judged is the protocol's list of invariants (witness.py, ledger.py, histories.py), whatever the
scenario asks about. The first violation ends the scenario.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.mesh import Seat
from logstream.core.client_effects import Acknowledged, Failed
from logstream.core.effects import Send
from logstream.core.replica.storing import Recovered
from logstream.protocol.errors import LogStreamError
from logstream.protocol.identity import Member
from logstream.runtime import NodeActor
from simulation.checks.histories import Histories
from simulation.checks.ledger import Ledger
from simulation.checks.violation import Violation
from simulation.checks.witness import Witness
from simulation.cluster import Cluster
from simulation.pretended.clients import PretendConsumer, PretendProducer


class Watch:
    """Looks at all turns of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        ledger = Ledger()
        self._loop = cluster.loop
        self._witness = Witness(ledger, cluster.on_disk if cluster.durable else None)
        self._violation: Violation | None = None
        self.histories = Histories(ledger)
        self.halts_expected = False  # a scenario may be about a node that must not go on
        cluster.observe, cluster.ended, cluster.found = self._turn, self._ended, self._found

    def judge(self) -> None:
        """Raises the first Violation that was seen."""
        if self._violation is not None:
            raise self._violation

    def judge_end(self) -> None:
        """What was acknowledged is in the log, too. Raises Violation."""
        self.judge()
        self.histories.check_end([], "")

    def blame(self, violation: Violation) -> None:
        """Nothing happens after the first one."""
        if self._violation is None:
            self._violation = violation
            self._loop.stop()

    def _found(self, member: Member, found: Recovered) -> None:
        try:
            self._witness.came_back(member, found)
        except Violation as violation:
            self.blame(violation)

    def _turn(self, node: str, actor: NodeActor, message: Any) -> None:
        try:
            if actor.name == Seat.REPLICA:
                self._witness.look(actor.core)  # type: ignore[attr-defined]
            elif type(message) is Send:
                self._witness.said(actor.me, message.message)  # type: ignore[attr-defined]
        except Violation as violation:
            self.blame(violation)

    def _ended(self, node: str, exit_code: int, reason: str) -> None:
        if exit_code and not self.halts_expected:
            self.blame(Violation("I23", f"{node} ended: {reason}"))


class WatchedProducer(PretendProducer):
    """Tells its watch what it is told."""

    watch: Watch | None = None
    topics: dict[bytes, str]
    warnings: list[LogStreamError]  # about no record in particular

    def told(self, effect: Any) -> None:
        """An offset, or a failure."""
        super().told(effect)
        if isinstance(effect, Failed) and not effect.tickets:
            self.warnings.append(effect.error)
        if self.watch is None:
            return
        histories = self.watch.histories
        try:
            match effect:
                case Acknowledged(tickets, partition, offset):
                    for place, value in enumerate(self._values(tickets)):
                        histories.heard_offset(self.topics[value], value, partition, offset + place)
                case Failed(tickets, error):
                    for value in self._values(tickets):
                        histories.heard_failure(value, error)
        except Violation as violation:
            self.watch.blame(violation)

    def _values(self, tickets: Sequence[object]) -> list[bytes]:
        return [ticket for ticket in tickets if isinstance(ticket, bytes)]


class WatchedConsumer(PretendConsumer):
    """Tells its watch what it reads."""

    watch: Watch | None = None
    topic: str

    def told(self, effect: Any) -> None:
        """Records, or that it cannot go on."""
        before = {partition: len(rows) for partition, rows in self.records.items()}
        super().told(effect)
        if self.watch is None:
            return
        try:
            for partition, rows in self.records.items():
                for offset, value in rows[before.get(partition, 0) :]:
                    self.watch.histories.heard_record(self.address, self.topic, partition, offset, value)
        except Violation as violation:
            self.watch.blame(violation)
