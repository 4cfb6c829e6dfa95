"""Nodes are killed and paused under two producers and three consumers: nothing acknowledged is lost, repeated or
reordered, and everything goes on by itself."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

import pytest

from logstream import Consumer, DataLost, LineageChanged, Producer
from tests.processes.local_cluster import LocalCluster, wait_until
from tests.processes.traffic import Traffic, check

NAMES = {"n1", "n2", "n3"}


def leader_of(cluster: LocalCluster, among: set[str] = NAMES) -> str:
    """The member that says of itself that it leads."""
    leading: list[str] = []
    wait_until(
        lambda: leading.extend(name for name in among if cluster.status_at(name)["state"] == "leading") or leading
    )
    return leading[0]


def wait_for_members(cluster: LocalCluster, names: set[str]) -> None:
    """Return when exactly these are members, as each of them says."""

    def agreed() -> bool:
        return all({member["node_id"] for member in cluster.status_at(one)["members"]} == names for one in names)

    wait_until(agreed)


def kill(cluster: LocalCluster, name: str) -> set[str]:
    """kill -9, and wait until the others are a view without it; they are returned."""
    cluster.send_signal(name, signal.SIGKILL)
    left = {node.name for node in cluster.nodes()} - {name}
    wait_for_members(cluster, left)
    return left


def test_the_leader_is_killed(traffic: tuple[LocalCluster, Traffic]) -> None:
    cluster, moving = traffic
    left = kill(cluster, leader_of(cluster))
    assert leader_of(cluster, left) in left
    moving.wait_for_more()
    check(moving, moving.end())


def test_a_follower_is_killed(traffic: tuple[LocalCluster, Traffic]) -> None:
    cluster, moving = traffic
    leader = leader_of(cluster)
    kill(cluster, min(NAMES - {leader}))
    moving.wait_for_more()
    check(moving, moving.end())


def test_the_leader_is_killed_comes_back_empty_and_the_next_one_is_killed(
    traffic: tuple[LocalCluster, Traffic],
) -> None:
    cluster, moving = traffic
    for _ in range(2):
        kill(cluster, leader_of(cluster))
        moving.wait_for_more()
        cluster.ok("up")
        wait_for_members(cluster, NAMES)
    moving.wait_for_more()
    check(moving, moving.end())


def test_the_leader_is_paused_replaced_and_comes_back_as_a_follower(traffic: tuple[LocalCluster, Traffic]) -> None:
    """Its links stay open, so silence is the only evidence; when it wakes it must not believe that it leads."""
    cluster, moving = traffic
    leader = leader_of(cluster)
    cluster.send_signal(leader, signal.SIGSTOP)
    try:
        wait_for_members(cluster, NAMES - {leader})
        moving.wait_for_more()
    finally:
        cluster.send_signal(leader, signal.SIGCONT)
    wait_for_members(cluster, NAMES)
    assert cluster.status_at(leader)["state"] == "following"
    check(moving, moving.end())


def test_a_member_is_made_leader_by_command(traffic: tuple[LocalCluster, Traffic]) -> None:
    cluster, moving = traffic
    chosen = min(NAMES - {leader_of(cluster)})
    said = json.loads(cluster.ok("election", chosen, "--json"))
    assert said["leader"] == chosen == leader_of(cluster)
    assert {member["node_id"] for member in cluster.status_at(chosen)["members"]} == NAMES
    moving.wait_for_more()
    check(moving, moving.end())


def test_who_is_left_of_three_says_what_helps_and_goes_on_by_force(make_cluster: Callable[..., LocalCluster]) -> None:
    cluster = make_cluster("forced")
    cluster.ok("up")
    addresses = [node.address for node in cluster.nodes()]
    producer = Producer(addresses, "forced")
    assert producer.send("t", b"kept").result(10) == 0
    consumer = Consumer("t", bootstrap=addresses, cluster="forced")
    assert [record.value for record in consumer.poll(10)] == [b"kept"]
    survivor = leave_one(cluster)
    assert "force-view --accept-data-loss" in cluster.ok("status").decode()
    assert "--yes" in cluster.fails("force-view", "--accept-data-loss")
    said = json.loads(cluster.ok("force-view", "--accept-data-loss", "--yes", "--json"))
    assert (said["leader"], said["members"]) == (survivor, [survivor])
    assert said["view"] > 1000
    with pytest.raises(DataLost, match="continued by force"):  # by the handle if it was under way, else at the end
        producer.send("t", b"told").result(10)
        producer.close()
    with pytest.raises(LineageChanged, match=r"stood at t\[0\] at 1"):
        consumer.poll(10)
    consumer.close()
    cluster.ok("producer", "t", stdin=b"more\n")
    assert cluster.ok("consumer", "t") in (b"kept\nmore\n", b"kept\ntold\nmore\n")
    cluster.ok("up")
    wait_for_members(cluster, NAMES)
    cluster.ok("down")


def leave_one(cluster: LocalCluster) -> str:
    """Kill the leader and one more at once; whoever is left says that there is no quorum."""
    leader = leader_of(cluster)
    survivor = min(NAMES - {leader})
    for name in NAMES - {survivor}:
        cluster.send_signal(name, signal.SIGKILL)
    wait_until(lambda: cluster.status_at(survivor)["state"] == "no quorum")
    return survivor
