"""Endless load on real processes (R22): far more goes through a cluster than its memory holds."""

from __future__ import annotations

from collections.abc import Callable

import psutil

from tests.processes.local_cluster import LocalCluster, wait_until

MIB = 1 << 20
MEMORY_MAX = 8 * MIB
LINE = 1000  # bytes, with its LF


def lines(first: int, count: int) -> bytes:
    return b"".join(
        b"%d " % number + b"x" * (LINE - 2 - len(str(number))) + b"\n" for number in range(first, first + count)
    )


def resident(cluster: LocalCluster) -> dict[str, int]:
    """Bytes of memory that each node's process takes."""
    return {node.name: psutil.Process(node.pid).memory_info().rss for node in cluster.nodes()}


def test_twenty_times_the_memory_goes_through_and_the_processes_do_not_grow(
    make_cluster: Callable[..., LocalCluster],
) -> None:
    cluster = make_cluster("endless", LOGSTREAM_NODE_MEMORY_MAX=str(MEMORY_MAX))
    cluster.ok("up", "--nodes", "3")
    part = 5 * MEMORY_MAX // LINE
    cluster.ok("producer", "t", stdin=lines(0, part))
    warm = resident(cluster)
    for number in range(1, 4):
        cluster.ok("producer", "t", stdin=lines(number * part, part))
    grown = {name: size - warm[name] for name, size in resident(cluster).items()}
    assert max(grown.values()) < 3 * MEMORY_MAX, grown  # of 160 MiB that went through
    kept = cluster.ok("consumer", "t").splitlines()
    offsets = [int(line.split(b" ", 1)[0]) for line in kept]
    assert offsets == list(range(4 * part - len(kept), 4 * part))
    assert MEMORY_MAX / 2 < len(kept) * LINE < MEMORY_MAX
    assert cluster.status()["log_bytes"] <= MEMORY_MAX
    gone = cluster.fails("consumer", "t", "--from", "5")
    assert f"offset 5 is out of range: the log starts at {offsets[0]} and ends at {4 * part}" in gone
    cluster.ok("down")


def test_a_topic_keeps_as_many_records_as_the_original_was_told(make_cluster: Callable[..., LocalCluster]) -> None:
    cluster = make_cluster("counted", MAX_RECORDS_PER_TOPIC="2000")
    cluster.ok("up", "--nodes", "1")
    for number in range(4):
        cluster.ok("producer", "t", stdin=lines(number * 2000, 2000))
    reads: list[int] = []

    def trimmed() -> bool:
        reads.append(len(cluster.ok("consumer", "t").splitlines()))
        return reads[-1] < 4000

    wait_until(trimmed)
    assert reads[-1] >= 2000
    cluster.ok("down")
