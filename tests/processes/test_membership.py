"""Members come and go cleanly under two producers and three consumers: nothing is lost, repeated or reordered."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from logstream.client import Consumer, Producer
from tests.processes.local_cluster import LocalCluster, wait_until
from tests.processes.traffic import Traffic, check


def members(cluster: LocalCluster) -> list[str]:
    return [member["node_id"] for member in cluster.status()["members"]]


def meet_the_others(cluster: LocalCluster) -> None:
    """Let further nodes meet on the ports that those of `up` took."""
    meeting = cluster.nodes()[0]
    group, _, port = meeting.multicast.partition(":")
    cluster.environment |= {"BROADCAST_PORT": str(meeting.broadcast_port), "MULTICAST_GROUP": f"{group}:{port}"}


def stop(cluster: LocalCluster, name: str) -> None:
    """SIGTERM, and wait until the others are a view without it."""
    node = next(node for node in cluster.nodes() if node.name == name)
    os.kill(node.pid, signal.SIGTERM)
    wait_until(lambda: name not in [alive.name for alive in cluster.nodes()])
    wait_until(lambda: name not in members(cluster))


def test_a_fourth_node_joins_and_a_follower_leaves(traffic: tuple[LocalCluster, Traffic]) -> None:
    cluster, moving = traffic
    meet_the_others(cluster)
    cluster.ok("start", "--detach", "--name", "n4", "--address", "127.0.0.1:18794")
    wait_until(lambda: len(members(cluster)) == 4)
    leader = cluster.status()["leader"]
    stop(cluster, next(name for name in ("n1", "n2", "n3") if name != leader))
    check(moving, moving.end())


def test_the_leader_stops(traffic: tuple[LocalCluster, Traffic]) -> None:
    cluster, moving = traffic
    before = cluster.status()
    stop(cluster, before["leader"])
    wait_until(lambda: cluster.status()["leader"] not in (None, before["leader"]))
    check(moving, moving.end())


def test_clients_that_said_nothing_while_every_node_was_replaced_find_the_cluster_again(
    make_cluster: Callable[..., LocalCluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = make_cluster("replaced")
    cluster.ok("up")
    meet_the_others(cluster)
    for name in ("LOGSTREAM_HOME", "NODE_ADDRESS", "BROADCAST_PORT"):
        monkeypatch.setenv(name, cluster.environment[name])
    with Producer(cluster="replaced") as producer, Consumer("t", cluster="replaced", wait=True) as consumer:
        assert producer.send("t", b"before").result(10) == 0
        assert [record.value for record in consumer.poll(10)] == [b"before"]
        for number in range(3):
            cluster.ok("start", "--detach", "--name", f"m{number}", "--address", f"127.0.0.1:{18795 + number}")
        wait_until(lambda: len(members(cluster)) == 6)
        for name in ("n1", "n2", "n3"):
            stop(cluster, name)
        assert producer.send("t", b"after").result(20) == 1
        assert [record.value for record in consumer.poll(20)] == [b"after"]
    cluster.ok("down")
