"""`list`, `stop`, `logs` and `status --watch` on real node processes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

from tests.processes.local_cluster import LocalCluster, wait_until
from tests.processes.terminal import Terminal

Make = Callable[..., LocalCluster]


def listed(cluster: LocalCluster) -> dict[str, dict[str, Any]]:
    """What `list --json` says, by name."""
    return {row["name"]: row for row in json.loads(cluster.ok("list", "--json"))}


def test_one_node_is_stopped_and_up_brings_it_back(make_cluster: Make) -> None:
    cluster = make_cluster("managed")
    cluster.ok("up", "--nodes", "2")
    before = listed(cluster)
    assert sorted(row["role"] for row in before.values()) == ["follower", "leader"]
    node = cluster.node("n2")
    assert before["n2"] == {
        "name": "n2",
        "node_id": "n2",
        "cluster": "managed",
        "pid": node.pid,
        "address": node.address,
        "role": before["n2"]["role"],
        "managed": True,
    }
    assert cluster.ok("stop", "n2") == b"stopped n2 of cluster managed\n"
    assert list(listed(cluster)) == ["n1"]
    cluster.ok("up")
    assert list(listed(cluster)) == ["n1", "n2"]
    assert cluster.ok("stop", "--all") == b"stopped n1, n2 of cluster managed\n"
    assert cluster.run("list").stdout == b"" and cluster.ok("list", "--json") == b"[]\n"


def test_the_dead_are_called_dead_and_the_silent_silent(make_cluster: Make) -> None:
    cluster = make_cluster("deadly")
    cluster.ok("up")
    silent = cluster.node("n2").pid
    cluster.send_signal("n1", signal.SIGKILL)
    wait_until(lambda: [node.name for node in cluster.nodes()] == ["n2", "n3"])
    wait_until(lambda: cluster.status_at("n3")["leader"] != "n1")
    os.kill(silent, signal.SIGSTOP)
    try:
        rows = listed(cluster)
    finally:
        os.kill(silent, signal.SIGCONT)
    assert (rows["n1"]["role"], rows["n2"]["role"]) == ("dead", "no answer")
    assert b"n1    deadly   dead" in cluster.ok("list")
    assert cluster.ok("stop", "n1") == b"n1 of cluster deadly is dead already\n"
    cluster.ok("down")


def test_a_stopped_process_is_killed_when_it_does_not_stop(make_cluster: Make) -> None:
    cluster = make_cluster("stuck", BROADCAST_PORT="18785", MULTICAST_GROUP="239.77.77.80:18786")
    cluster.ok("up", "--nodes", "1")
    cluster.send_signal("n1", signal.SIGSTOP)
    done = cluster.run("stop", "n1")
    assert (done.returncode, done.stdout) == (0, b"stopped n1 of cluster stuck\n")
    assert done.stderr == b"logstream: killed, because they did not stop within 5 s: n1\n"
    assert cluster.nodes() == []


def test_a_node_that_is_not_here_is_named_with_those_that_are(three: LocalCluster) -> None:
    said = three.fails("stop", "nobody")
    assert said.startswith("no node nobody of cluster three runs here: there are n1 (cluster three), ")


def test_a_log_is_shown_and_followed(make_cluster: Make) -> None:
    cluster = make_cluster("logging", BROADCAST_PORT="18787", MULTICAST_GROUP="239.77.77.81:18788")
    cluster.ok("up", "--nodes", "1")
    assert b"ClusterState" in cluster.ok("logs", "n1")
    reader = cluster.begin("logs", "n1", "--follow")
    assert reader.stdout is not None
    assert any(b"ClusterState" in line for line in reader.stdout)
    cluster.ok("topics", "create", "fresh")
    assert any(b"topic created topic=fresh" in line for line in reader.stdout)
    reader.send_signal(signal.SIGINT)
    assert (reader.wait(20), reader.communicate()[1]) == (0, b"")
    assert cluster.fails("logs", "n9").endswith("there is no log of node n9: there are logs of n1")
    cluster.ok("down")


def test_watching_goes_on_until_ctrl_c(three: LocalCluster) -> None:
    watch = three.begin("status", "--watch", "--json")
    assert watch.stdout is not None
    first, second = (json.loads(watch.stdout.readline()) for _ in range(2))
    assert first["rates"] is None and second["rates"]["seconds"] >= 0.9
    watch.send_signal(signal.SIGINT)
    watch.communicate(timeout=20)
    assert watch.returncode == 0


def test_watching_on_a_terminal_stays_in_place(three: LocalCluster) -> None:
    with Terminal(three.command("status", "--watch"), three.environment) as screen:
        screen.wait_for("serving")
        screen.wait_for("rate")  # the second look
        screen.type("\x03")
        assert screen.ended() == 0
    assert screen.text.count("\x1b[H") >= 2


def test_the_status_is_the_leaders_and_says_how_it_is(three: LocalCluster) -> None:
    three.ok("producer", "states", stdin=b"one\n")
    status = three.status()
    assert (status["node_id"], status["situation"]) == (status["leader"], "serving: all 3 members are heard")
    assert status["rates"]["by_topic"]["states"] == [0.0]
    follower = next(node for node in three.nodes() if node.name != status["leader"])
    other = json.loads(three.ok("status", "--json", "--bootstrap", follower.address))
    assert (other["node_id"], other["state"]) == (follower.name, "following")


def test_a_cluster_below_its_floor_says_what_it_waits_for(make_cluster: Make) -> None:
    ports = {"BROADCAST_PORT": "18789", "MULTICAST_GROUP": "239.77.77.82:18790"}
    cluster = make_cluster("floor", LOGSTREAM_CLUSTER_EXPECTED_NODES="3", **ports)
    cluster.ok("up", "--nodes", "1")
    said = cluster.status()
    assert said["situation"] == f"no records are taken yet: {said['waiting']}"
    assert said["waiting"] == "waiting for 2 of 3 expected nodes (setting expected_nodes), so far: n1"
    cluster.ok("down")
