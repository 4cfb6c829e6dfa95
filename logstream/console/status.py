"""`status`: the cluster as one broker sees it, for people or as the JSON object of docs/status.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from logstream.console.connection import admin
from logstream.console.table import facts, table
from logstream.settings import Settings


def show_status(settings: Settings, as_json: bool) -> int:
    """Print the status. Raises LogStreamError."""
    with admin(settings) as asking:
        status = asking.status()
    print(json.dumps(status, indent=2) if as_json else as_text(status))
    return 0


def as_text(status: dict[str, Any]) -> str:
    """The status for people: facts, then members, then topics."""
    parts = [facts(_facts(status)), _members(status)]
    if status["topics"]:
        parts.append(_topics(status["topics"]))
    return "\n\n".join(part for part in parts if part)


def _facts(status: dict[str, Any]) -> list[tuple[str, object]]:
    view = f"{status['view']}, led by {status['leader']}" if status["view"] else "none yet"
    shown: list[tuple[str, object]] = [
        ("cluster", " ".join([status["cluster"], status["cluster_id"]])),
        ("view", view),
        ("commit", f"{status['commit']} (rule: {status['commit_rule']})" if status["view"] else status["commit"]),
        ("longest turn", f"{status['loop_turn_max_ms']:.1f} ms"),
        ("answered by", f"{status['node_id']}, {status['state']}"),
    ]
    if status["no_quorum"]:
        shown.append(("trouble", status["no_quorum"]))
    if status["quarantined"]:
        text = f"{status['quarantined']} entries that no union of logs could keep; none of them was acknowledged"
        shown.append(("quarantined", text))
    if status["refused"]:
        shown.append(("refused", ", ".join(f"{reason}: {count}" for reason, count in status["refused"].items())))
    if status["no_answer"]:
        shown.append(("no answer from", ", ".join(status["no_answer"])))
    return shown


def _members(status: dict[str, Any]) -> str:
    """Who is watched by the node that answers has a phi: all by the leader, the leader by the others."""
    columns = ("node_id", "address", "role", "served_by", "phi")
    rows = [tuple("" if member[key] is None else member[key] for key in columns) for member in status["members"]]
    return table(("MEMBER", "ADDRESS", "ROLE", "SERVED BY", "PHI"), rows)


def _topics(topics: Sequence[dict[str, Any]]) -> str:
    """A partition that this broker knows nothing of yet counts as empty."""
    rows = []
    for topic in topics:
        partitions = topic["partitions"]
        brokers = sorted({partition["assigned"] for partition in partitions if partition["assigned"]})
        records = sum((partition["end"] or 0) - (partition["start"] or 0) for partition in partitions)
        rows.append((topic["name"], len(partitions), records, ", ".join(brokers)))
    return table(("TOPIC", "PARTITIONS", "RECORDS", "BROKERS"), rows)
