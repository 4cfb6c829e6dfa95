"""Story: what the nodes wrote to their logs, as the lines that a person would tell.

Only what says how the cluster got on: who lost whom, who stood, who won, who leads. Numbers that depend
on the seed are left out, and what one node says again is told once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from loguru import logger

Fields = dict[str, Any]

_VERBS: dict[str, str] = {"leader": "leads a", "follower": "follows in a"}
TOLD: dict[str, Callable[[Fields], str]] = {
    "leader lost": lambda fields: f"has no leader: {fields['why']}",
    "member lost": lambda fields: f"has lost {fields['member']}, which is {fields['why']}",
    "ELECTION": lambda fields: f"ELECTION among {fields['ring']}",
    "I WIN": lambda fields: "I WIN",
    "COORDINATOR": lambda fields: f"COORDINATOR {fields['leader']}",
    "store found": lambda fields: f"comes back with {fields['last_view']} and a log of {fields['log_end']}",
    "NO_QUORUM": lambda fields: f"NO_QUORUM without {fields['missing']}",
    "ClusterState": lambda fields: f"{_VERBS[fields['role']]} view of {fields['members']}",
    "handing over": lambda fields: f"hands over to {fields['to']}",
    "left the cluster": lambda fields: "has left",
    "stopped, still a member": lambda fields: "goes without having been let go",
    "quarantined": lambda fields: f"quarantines {fields['entries']} entries",
    "halted": lambda fields: f"halts: {fields['reason']}",
    "beginning anew with another store": lambda fields: "begins anew",
    "founding a cluster: nobody answered": lambda fields: "founds a cluster",
    "dissolving into another cluster: this one holds no topic": lambda fields: "dissolves into another cluster",
}


class Story:
    """Listens to the log."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}
        self._sink: int | None = None
        self.views = self.elections = 0  # installed, and begun

    def __enter__(self) -> Self:
        """Listen from now on."""
        self._sink = logger.add(self._hear, level="INFO", format="{message}")

        return self

    def __exit__(self, *failure: object) -> None:
        """Do not listen any more."""
        if self._sink is not None:
            logger.remove(self._sink)
            self._sink = None

    def tell(self, line: str) -> None:
        """Something that no node can say, because it happened to it."""
        self._lines[line] = None

    def begin_anew(self) -> None:
        """What was until now is not worth telling."""
        self._lines.clear()
        self.views = self.elections = 0

    def take(self) -> list[str]:
        """The lines since the last time."""
        lines, self._lines = list(self._lines), {}
        return lines

    def _hear(self, message: Any) -> None:
        text, fields = message.record["message"], message.record["extra"]
        if text not in TOLD or "node" not in fields:
            return
        self.views += text == "ClusterState" and fields["role"] == "leader"
        self.elections += text == "I WIN"
        self.tell(f"{fields['node']} {TOLD[text](fields)}")
