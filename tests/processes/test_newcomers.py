"""Who does not fit into a cluster stops and says why (R15): another node's name, settings that differ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes.local_cluster import LocalCluster

PORTS = {"BROADCAST_PORT": "18793", "MULTICAST_GROUP": "239.77.77.84:18794"}
ADDRESS = "127.0.0.1:18795"


@pytest.fixture(scope="module")
def settled(make_cluster: Callable[..., LocalCluster]) -> LocalCluster:
    """A cluster of one node."""
    cluster = make_cluster("settled", **PORTS)
    cluster.ok("up", "--nodes", "1")
    return cluster


def ended(settled: LocalCluster, home: Path, *arguments: str, **variables: str) -> str:
    """Start a node from another state folder, as if on another machine; it must end: its last line."""
    newcomer = LocalCluster(home, settled.cluster, **PORTS, **variables)
    done = newcomer.run("start", "--address", ADDRESS, *arguments)
    assert (done.returncode, done.stdout) == (1, b"")
    return done.stderr.decode().splitlines()[-1]


def test_a_name_that_another_node_has_is_refused_with_its_address(settled: LocalCluster, tmp_path: Path) -> None:
    said = ended(settled, tmp_path, "--name", "n1")
    assert said == f"logstream: node n1 ended: node name 'n1' is in use at {settled.node('n1').address} (setting name)"


def test_a_setting_that_differs_is_refused_by_the_name_of_its_key(settled: LocalCluster, tmp_path: Path) -> None:
    said = ended(settled, tmp_path, "--name", "other", LOGSTREAM_CLUSTER_HEARTBEAT_S="0.5")
    assert said == (
        "logstream: node other ended: cluster settings differ from those of n1: heartbeat_s is 0.5 here, 0.25 there"
    )


def test_they_leave_the_cluster_as_it_was(settled: LocalCluster, tmp_path: Path) -> None:
    before = settled.status()
    ended(settled, tmp_path, "--name", "n1")
    after = settled.status()
    assert (after["view"], after["members"][0]["node_id"]) == (before["view"], "n1")
