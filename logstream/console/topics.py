"""`topics`: list, create, describe, delete."""

from __future__ import annotations

import json
from typing import Any

from logstream.console.connection import admin
from logstream.console.table import table
from logstream.protocol.messages import TopicMetadata
from logstream.settings import Settings


def list_topics(settings: Settings, as_json: bool) -> int:
    """Print all topics with their number of partitions. Raises LogStreamError."""
    with admin(settings) as asking:
        topics = sorted(asking.topics(), key=lambda topic: topic.name)
    if as_json:
        print(json.dumps([{"name": topic.name, "partitions": len(topic.partitions)} for topic in topics]))
    elif topics:
        print(table(("TOPIC", "PARTITIONS"), [(topic.name, len(topic.partitions)) for topic in topics]))
    return 0


def create_topic(settings: Settings, name: str, partitions: int | None, as_json: bool) -> int:
    """Make a topic. Raises LogStreamError."""
    wanted = partitions or settings.shared.default_partitions
    with admin(settings) as asking:
        asking.create_topic(name, wanted)
    facts = {"name": name, "partitions": wanted}
    print(json.dumps(facts) if as_json else f"created topic {name} with {wanted} partition{'s'[: wanted != 1]}")
    return 0


def describe_topic(settings: Settings, name: str, as_json: bool) -> int:
    """Print a topic's partitions. Raises LogStreamError."""
    with admin(settings) as asking:
        topic = asking.describe(name)
    rows = partitions_of(topic)
    if as_json:
        print(json.dumps({"name": topic.name, "topic_id": topic.topic_id, "partitions": rows}))
    else:
        heading = ("PARTITION", "BROKER", "ADDRESS", "START", "END")
        print(table(heading, [tuple(row.values()) for row in rows]))
    return 0


def partitions_of(topic: TopicMetadata) -> list[dict[str, Any]]:
    """One object a partition: its number, assigned broker, first offset held and end."""
    return [
        {
            "partition": number,
            "broker": broker.node_id,
            "address": broker.address,
            "start": topic.starts[number] if topic.starts else 0,
            "end": topic.ends[number] if topic.ends else 0,
        }
        for number, broker in enumerate(topic.partitions)
    ]


def delete_topic(settings: Settings, name: str, as_json: bool) -> int:
    """Remove a topic and its records. Raises LogStreamError."""
    with admin(settings) as asking:
        asking.delete_topic(name)
    print(json.dumps({"name": name, "deleted": True}) if as_json else f"deleted topic {name}")
    return 0
