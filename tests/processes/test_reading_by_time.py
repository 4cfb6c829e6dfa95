"""Reads by time on real processes: exact to the record, through every broker, by command and by program."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from logstream import Consumer
from tests.processes.local_cluster import LocalCluster

RECORDS = 3000


def records(cluster: LocalCluster, topic: str, *options: str) -> list[dict[str, Any]]:
    """In the order of partition and offset."""
    read = [json.loads(line) for line in cluster.ok("consumer", topic, "--json", *options).splitlines()]
    return sorted(read, key=lambda record: (record["partition"], record["offset"]))


def rfc3339(timestamp_ms: int, zone: str = "Z") -> str:
    return f"{datetime.fromtimestamp(timestamp_ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}.{timestamp_ms % 1000:03d}{zone}"


def test_from_a_time_begins_in_each_partition_with_the_first_record_that_is_not_older(three: LocalCluster) -> None:
    three.create("timed", 4)
    stdin = b"".join(b"%d\n" % number for number in range(RECORDS))
    three.ok("producer", "timed", "--rate", "2000", stdin=stdin)
    everything = records(three, "timed")
    stamps = sorted({record["timestamp_ms"] for record in everything})
    assert len(everything) == RECORDS and len(stamps) > 50
    for stamp in (stamps[0], stamps[len(stamps) // 2], stamps[-1]):
        expected = [record for record in everything if record["timestamp_ms"] >= stamp]
        local = datetime.fromtimestamp(stamp / 1000).isoformat()
        brokers = [node.address for node in three.nodes()]
        assert all(records(three, "timed", "--from", rfc3339(stamp), "--bootstrap", one) == expected for one in brokers)
        assert records(three, "timed", "--from", local) == expected
    assert records(three, "timed", "--from", rfc3339(stamps[-1] + 1)) == []
    assert records(three, "timed", "--from", "1d") == records(three, "timed", "--from", "10m") == everything


def test_a_program_may_say_how_long_ago(three: LocalCluster) -> None:
    three.ok("producer", "recent", stdin=b"a\nb\n")
    brokers = [node.address for node in three.nodes()]
    for start in (timedelta(minutes=5), datetime.now() - timedelta(minutes=5)):
        with Consumer("recent", start, follow=False, bootstrap=brokers, cluster=three.cluster) as consumer:
            assert [record.value for record in consumer] == [b"a", b"b"]


def test_a_time_that_cannot_be_read_says_what_may_be_written(three: LocalCluster) -> None:
    assert "write start, end, an offset, how long ago (10m" in three.fails("consumer", "timed", "--from", "noon")
