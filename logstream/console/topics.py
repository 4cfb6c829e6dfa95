"""`topics`: list, create, describe, alter, delete."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from logstream.console.connection import admin
from logstream.console.failure import USAGE, Failure
from logstream.console.streams import width
from logstream.console.table import table
from logstream.protocol.messages import TopicMetadata
from logstream.protocol.retention import DEFAULT, LIMITS, TopicRetention
from logstream.settings import Settings
from logstream.settings.values import read_size

Limits = dict[str, Any]  # by the name of the setting
EXAMPLES = {"retention_bytes": "64MiB", "retention_records": "10000", "retention_s": "86400"}


def list_topics(settings: Settings, as_json: bool) -> int:
    """Print all topics with their number of partitions. Raises LogStreamError."""
    with admin(settings) as asking:
        topics = sorted(asking.topics(), key=lambda topic: topic.name)
    if as_json:
        print(json.dumps([{"name": topic.name, "partitions": len(topic.partitions)} for topic in topics]))
    elif topics:
        print(table(("TOPIC", "PARTITIONS"), [(topic.name, len(topic.partitions)) for topic in topics], width()))
    return 0


def create_topic(settings: Settings, name: str, partitions: int | None, limits: Limits, as_json: bool) -> int:
    """Make a topic. Raises LogStreamError."""
    wanted = partitions or settings.shared.default_partitions
    with admin(settings) as asking:
        asking.create_topic(name, wanted, **{limit: value for limit, value in limits.items() if value != DEFAULT})
    facts = {"name": name, "partitions": wanted}
    print(json.dumps(facts) if as_json else f"created topic {name} with {wanted} partition{'s'[: wanted != 1]}")
    return 0


def describe_topic(settings: Settings, name: str, as_json: bool) -> int:
    """Print a topic's partitions. Raises LogStreamError."""
    with admin(settings) as asking:
        topic = asking.describe(name)
    rows = partitions_of(topic)
    if as_json:
        facts = {"name": topic.name, "topic_id": topic.topic_id, "partitions": rows, "retention": retention_of(topic)}
        print(json.dumps(facts))
    else:
        print(table(("KEEPS", "AT MOST", "SET FOR"), _retention_rows(topic), width()), end="\n\n")
        heading = ("PARTITION", "BROKER", "ADDRESS", "START", "END")
        print(table(heading, [tuple(row.values()) for row in rows], width()))
    return 0


def alter_topic(settings: Settings, name: str, limits: Limits, as_json: bool) -> int:
    """Change limits of a topic and print what is in force then. Raises Failure, LogStreamError."""
    if not limits:
        raise Failure(f"nothing is to be altered, give at least one of {', '.join(map(_option, LIMITS))}", USAGE)
    with admin(settings) as asking:
        asking.alter_topic(name, **limits)
        topic = asking.describe(name)
    if as_json:
        print(json.dumps({"name": topic.name, "topic_id": topic.topic_id, "retention": retention_of(topic)}))
    else:
        print(f"altered topic {name}")
        print(table(("KEEPS", "AT MOST", "SET FOR"), _retention_rows(topic), width()))
    return 0


def limits_of(size: str | None, records: str | None, age_s: str | None) -> Limits:
    """The limits of these options, by name, without those that were not given. Raises Failure."""
    readers: tuple[Callable[[str], Any], ...] = (read_size, int, float)
    given = zip(LIMITS, (size, records, age_s), readers, strict=True)
    return {name: _limit(name, text, read) for name, text, read in given if text is not None}


def _limit(name: str, text: str, read: Callable[[str], Any]) -> Any:
    if text == DEFAULT:
        return DEFAULT
    try:
        value = read(text)
        fault = TopicRetention(**{name: value}).fault()
    except (ValueError, OverflowError):
        fault = f"write a number like {EXAMPLES[name]}, 0 (no limit) or {DEFAULT} (as the cluster's settings say)"
    if fault is not None:
        raise Failure(f"{_option(name)} {text}: {fault}", USAGE)
    return value


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def retention_of(topic: TopicMetadata) -> dict[str, dict[str, Any]]:
    """By name of a limit: its value in force, and whether the topic has it for itself."""
    own = topic.retention.own
    return {name: {"value": value, "own": name in own} for name, value in topic.in_force.own.items()}


def _retention_rows(topic: TopicMetadata) -> list[tuple[str, str, str]]:
    rows = []
    for name, limit in retention_of(topic).items():
        most = f"{limit['value']:g}" if name == "retention_s" else str(limit["value"])
        rows.append((name, most if limit["value"] else "no limit", "this topic" if limit["own"] else "the cluster"))
    return rows


def partitions_of(topic: TopicMetadata) -> list[dict[str, Any]]:
    """One object a partition: its number, assigned broker, first offset held and end."""
    return [
        {
            "partition": number,
            "broker": broker.node_id,
            "address": broker.address,
            "start": topic.starts[number],
            "end": topic.ends[number],
        }
        for number, broker in enumerate(topic.partitions)
    ]


def delete_topic(settings: Settings, name: str, as_json: bool) -> int:
    """Remove a topic and its records. Raises LogStreamError."""
    with admin(settings) as asking:
        asking.delete_topic(name)
    print(json.dumps({"name": name, "deleted": True}) if as_json else f"deleted topic {name}")
    return 0
