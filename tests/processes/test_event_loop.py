"""Programs with an event loop on a real cluster: the leader is killed under them, and their loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import pytest

from logstream.aio import Admin, Consumer, Producer
from tests.processes.local_cluster import LocalCluster

RECORDS = 3_000
KILLED_AT = 1_000
DEADLINE_S = 60.0


@pytest.fixture
def cluster(make_cluster: Callable[..., LocalCluster]) -> LocalCluster:
    """Three nodes of which one may die."""
    found = make_cluster("loop")
    found.ok("up", "--nodes", "3")
    return found


async def produce(addresses: list[str], kill: Callable[[], None]) -> list[int]:
    """Send all records, some of them after the leader was killed; their offsets."""
    async with Producer(addresses, "loop") as producer:
        handles = []
        for number in range(RECORDS):
            if number == KILLED_AT:
                await handles[-1]
                kill()
            handles.append(producer.send("t", b"%d" % number))
            await producer.drain()
        return [await handle for handle in handles]


async def consume(addresses: list[str]) -> list[bytes | None]:
    """The values, as they come."""
    values: list[bytes | None] = []
    async with Consumer("t", bootstrap=addresses, cluster="loop") as consumer:
        async for record in consumer:
            values.append(record.value)
            if len(values) == RECORDS:
                return values
    raise AssertionError("the consumer ended before all records came")


def test_killing_the_leader_loses_repeats_and_reorders_nothing(cluster: LocalCluster) -> None:
    addresses = [node.address for node in cluster.nodes()]

    async def run() -> tuple[list[int], list[bytes | None]]:
        async with Admin(addresses, "loop") as admin, asyncio.timeout(DEADLINE_S):
            await admin.create_topic("t")
            leader = (await admin.metadata()).leader
            assert leader is not None
            kill = lambda: cluster.send_signal(leader.node_id, signal.SIGKILL)  # noqa: E731
            offsets, values = await asyncio.gather(produce(addresses, kill), consume(addresses))
            assert (await admin.metadata()).leader != leader
            return offsets, values

    offsets, values = asyncio.run(run())
    assert offsets == list(range(RECORDS))
    assert values == [b"%d" % number for number in range(RECORDS)]
