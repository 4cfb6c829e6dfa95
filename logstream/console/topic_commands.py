"""`topics`: what its commands are called and which options they have; what they do is topics.py."""

from __future__ import annotations

from typing import Annotated

import typer

from logstream.console.grammar import Bootstrap, Cluster, Json, Topic, client_settings, group

topics_app = group("Topics: list, create, describe, alter, delete.")


RetentionBytes = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Bytes that a partition keeps, like 64MiB; 0: no limit.")
]
RetentionRecords = Annotated[str | None, typer.Option(metavar="N", help="Records that a partition keeps; 0: no limit.")]
RetentionSeconds = Annotated[
    str | None, typer.Option("--retention-s", metavar="SECONDS", help="Age that records may reach; 0: no limit.")
]


@topics_app.command("list")
def topics_list(bootstrap: Bootstrap = None, cluster: Cluster = None, json: Json = False) -> int:
    """List all topics."""
    from logstream.console import topics as body

    return body.list_topics(client_settings(bootstrap, cluster), json)


@topics_app.command("create")
def topics_create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, dots, hyphens, underscores.")],
    partitions: Annotated[
        int | None, typer.Option(min=1, help="How many; default: setting default_partitions.")
    ] = None,
    retention_bytes: RetentionBytes = None,
    retention_records: RetentionRecords = None,
    retention_s: RetentionSeconds = None,
    bootstrap: Bootstrap = None,
    cluster: Cluster = None,
    json: Json = False,
) -> int:
    """Make a topic."""
    from logstream.console import topics as body

    limits = body.limits_of(retention_bytes, retention_records, retention_s)
    return body.create_topic(client_settings(bootstrap, cluster), name, partitions, limits, json)


@topics_app.command("describe")
def topics_describe(name: Topic, bootstrap: Bootstrap = None, cluster: Cluster = None, json: Json = False) -> int:
    """Show what a topic keeps, and its partitions: broker, start, end."""
    from logstream.console import topics as body

    return body.describe_topic(client_settings(bootstrap, cluster), name, json)


@topics_app.command("alter")
def topics_alter(
    name: Topic,
    retention_bytes: RetentionBytes = None,
    retention_records: RetentionRecords = None,
    retention_s: RetentionSeconds = None,
    bootstrap: Bootstrap = None,
    cluster: Cluster = None,
    json: Json = False,
) -> int:
    """Change what a topic keeps; `default`: as the settings say."""
    from logstream.console import topics as body

    limits = body.limits_of(retention_bytes, retention_records, retention_s)
    return body.alter_topic(client_settings(bootstrap, cluster), name, limits, json)


@topics_app.command("delete")
def topics_delete(name: Topic, bootstrap: Bootstrap = None, cluster: Cluster = None, json: Json = False) -> int:
    """Remove a topic and its records."""
    from logstream.console import topics as body

    return body.delete_topic(client_settings(bootstrap, cluster), name, json)
