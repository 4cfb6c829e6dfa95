"""The status for people: the situation in words, then facts, then members, then partitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from logstream.console.table import facts, table

PARTITIONS_SHOWN = 100  # with more of them, one line a topic


def as_text(status: dict[str, Any], width: int | None = None) -> str:
    """For a terminal of so many columns; None: as wide as it comes."""
    parts = [facts(_facts(status), width), _members(status, width), _topics(status, width)]
    return "\n\n".join(part for part in parts if part)


def _facts(status: dict[str, Any]) -> list[tuple[str, object]]:
    view = f"{status['view']}, led by {status['leader']}" if status["view"] else "none yet"
    shown: list[tuple[str, object]] = [
        ("cluster", " ".join([status["cluster"], status["cluster_id"]])),
        ("situation", status["situation"]),
        ("view", view),
        ("commit", f"{status['commit']} (rule: {status['commit_rule']})" if status["view"] else status["commit"]),
    ]
    if status["rates"]:
        rates = status["rates"]
        shown.append(("rate", f"{rates['records_per_s']:,.1f} records/s over {rates['seconds']:.1f} s"))
    shown += [
        ("longest turn", f"{status['loop_turn_max_ms']:.1f} ms, of {status['loop_turn_max_of'] or 'nobody yet'}"),
        ("answered by", f"{status['node_id']}, {status['state']}"),
    ]
    if status["quarantined"]:
        text = f"{status['quarantined']} entries that no union of logs could keep; none of them was acknowledged"
        shown.append(("quarantined", text))
    refused = ", ".join(f"{reason}: {count}" for reason, count in status["refused"].items())
    shown.append(("refused", refused or "none"))
    if status["no_answer"]:
        shown.append(("no answer from", ", ".join(status["no_answer"])))
    return shown


def _members(status: dict[str, Any], width: int | None) -> str:
    """Who is watched by the node that answers has a phi: all by the leader, the leader by the others."""
    columns = ("node_id", "address", "role", "served_by", "phi")
    rows = [tuple("" if member[key] is None else member[key] for key in columns) for member in status["members"]]
    return table(("MEMBER", "ADDRESS", "ROLE", "SERVED BY", "PHI"), rows, width) if rows else ""


def _topics(status: dict[str, Any], width: int | None) -> str:
    """One line a partition, or one a topic where these would be too many."""
    topics = status["topics"]
    if not topics:
        return ""
    if sum(len(topic["partitions"]) for topic in topics) > PARTITIONS_SHOWN:
        return table(("TOPIC", "PARTITIONS", "RECORDS", "BROKERS"), [_topic(topic) for topic in topics], width)
    heading = ("TOPIC", "PARTITION", "BROKER", "START", "END", "RECORDS/S")
    return table(heading, [row for topic in topics for row in _partitions(topic, status["rates"])], width)


def _topic(topic: dict[str, Any]) -> tuple[object, ...]:
    """A partition that this broker knows nothing of yet counts as empty."""
    partitions = topic["partitions"]
    brokers = sorted({partition["assigned"] for partition in partitions if partition["assigned"]})
    records = sum((partition["end"] or 0) - (partition["start"] or 0) for partition in partitions)
    return topic["name"], len(partitions), records, ", ".join(brokers)


def _partitions(topic: dict[str, Any], rates: dict[str, Any] | None) -> Iterator[tuple[object, ...]]:
    for partition in topic["partitions"]:
        number = partition["partition"]
        rate = rates["by_topic"][topic["name"]][number] if rates else ""
        broker, start, end = partition["assigned"] or "", partition["start"] or 0, partition["end"] or 0
        yield topic["name"], number, broker, start, end, rate
