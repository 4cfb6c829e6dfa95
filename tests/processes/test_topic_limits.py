"""Limits of one topic on real processes: given, changed, taken away again, and there when the leader is gone."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.processes.local_cluster import LocalCluster, wait_until

LINES = b"".join(b"%04d\n" % number for number in range(1000))


def described(cluster: LocalCluster, topic: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.ok("topics", "describe", topic, "--json"))
    return found


def own(cluster: LocalCluster, topic: str) -> dict[str, float]:
    """The limits that the topic has for itself."""
    limits = described(cluster, topic)["retention"]
    return {name: limit["value"] for name, limit in limits.items() if limit["own"]}


def kept(cluster: LocalCluster, topic: str) -> int:
    """Records of the only partition."""
    [partition] = described(cluster, topic)["partitions"]
    return int(partition["end"] - partition["start"])


def fill(cluster: LocalCluster, topic: str) -> None:
    """In batches of at most 100 records, because only whole ones are trimmed."""
    for start in range(0, len(LINES), 500):
        cluster.ok("producer", topic, stdin=LINES[start : start + 500])


def test_limits_are_kept_by_every_member_and_by_the_next_leader(make_cluster: Callable[..., LocalCluster]) -> None:
    cluster = make_cluster("limits")
    cluster.ok("up")
    cluster.ok("topics", "create", "few", "--retention-records", "200", "--retention-bytes", "1MiB")
    cluster.ok("topics", "create", "all")
    for topic in ("few", "all"):
        fill(cluster, topic)
    wait_until(lambda: kept(cluster, "few") == 200)
    assert own(cluster, "few") == {"retention_bytes": 1 << 20, "retention_records": 200}
    assert (kept(cluster, "all"), own(cluster, "all")) == (1000, {})
    cluster.send_signal(cluster.status()["leader"], signal.SIGKILL)
    cluster.ok("topics", "alter", "all", "--retention-records", "300")
    wait_until(lambda: kept(cluster, "all") == 300)
    cluster.ok("topics", "alter", "few", "--retention-records", "default", "--retention-s", "3600")
    assert own(cluster, "few") == {"retention_bytes": 1 << 20, "retention_s": 3600}
    cluster.ok("up")
    logs = [(cluster.home / cluster.cluster / "logs" / f"{name}.log").read_text() for name in ("n1", "n2", "n3")]
    assert all("topic altered topic=few retention_bytes=1048576 retention_s=3600.0" in log for log in logs)
    cluster.ok("down")


def test_describe_says_which_limits_are_the_topics_own(three: LocalCluster) -> None:
    three.ok("topics", "create", "described", "--retention-s", "60")
    rows = [line.split() for line in three.ok("topics", "describe", "described").decode().splitlines()[:4]]
    assert rows == [
        ["KEEPS", "AT", "MOST", "SET", "FOR"],
        ["retention_bytes", "268435456", "the", "cluster"],
        ["retention_records", "no", "limit", "the", "cluster"],
        ["retention_s", "60", "this", "topic"],
    ]
    assert b"retention_s        no limit   this topic" in three.ok("topics", "alter", "described", "--retention-s", "0")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nothing is to be altered, give at least one of --retention-bytes, --retention-records, --retention-s"),
        (("--retention-bytes", "much"), "--retention-bytes much: write a number like 64MiB, 0 (no limit) or default"),
        (("--retention-records", "1.5"), "--retention-records 1.5: write a number like 10000"),
        (("--retention-s", "-1"), "--retention-s -1: retention_s is a number from 0 (no limit) to 1e+09, not -1"),
        (("--retention-s", "60"), "there is no topic 'nowhere'"),
    ],
)
def test_what_cannot_be_altered_is_said_in_one_line(three: LocalCluster, options: tuple[str, ...], said: str) -> None:
    assert three.fails("topics", "alter", "nowhere", *options).startswith(said)
