"""The clients of a scenario: they tell its judge every word that they hear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from logstream.core.client_effects import Acknowledged, Failed
from logstream.protocol.errors import LogStreamError
from simulation.checks.violation import Violation
from simulation.judge import Judge
from simulation.pretended.clients import PretendConsumer, PretendProducer


class WatchedProducer(PretendProducer):
    """Tells its judge what it is told."""

    judge: Judge | None = None
    topics: dict[bytes, str]
    warnings: list[LogStreamError]  # about no record in particular

    def told(self, effect: Any) -> None:
        """An offset, or a failure."""
        super().told(effect)
        if isinstance(effect, Failed) and not effect.tickets:
            self.warnings.append(effect.error)
        if self.judge is None:
            return
        histories = self.judge.histories
        try:
            match effect:
                case Acknowledged(tickets, partition, offset):
                    for place, value in enumerate(self._values(tickets)):
                        histories.heard_offset(self.topics[value], value, partition, offset + place)
                case Failed(tickets, error):
                    for value in self._values(tickets):
                        histories.heard_failure(value, error)
        except Violation as violation:
            self.judge.blame(violation)

    def _values(self, tickets: Sequence[object]) -> list[bytes]:
        return [ticket for ticket in tickets if isinstance(ticket, bytes)]


class WatchedConsumer(PretendConsumer):
    """Tells its judge what it reads."""

    judge: Judge | None = None
    topic: str

    def told(self, effect: Any) -> None:
        """Records, or that it cannot go on."""
        before = {partition: len(rows) for partition, rows in self.records.items()}
        super().told(effect)
        if self.judge is None:
            return
        try:
            for partition, rows in self.records.items():
                for offset, value in rows[before.get(partition, 0) :]:
                    self.judge.histories.heard_record(self.address, self.topic, partition, offset, value)
        except Violation as violation:
            self.judge.blame(violation)
