"""`up` and `down`: clusters of this machine start, come back, and leave one another alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from tests.processes.local_cluster import LocalCluster, dead, wait_until

Make = Callable[..., LocalCluster]


def test_up_starts_what_is_missing_and_down_stops_everything(make_cluster: Make) -> None:
    cluster = make_cluster("again")
    cluster.ok("up", "--nodes", "2")
    before = {node.name: node.address for node in cluster.nodes()}
    assert list(before) == ["n1", "n2"]
    done = cluster.run("up", "--nodes", "3")
    assert done.returncode == 0 and b"already running: n1 at " in done.stderr
    assert [node.name for node in cluster.nodes()] == ["n1", "n2", "n3"]
    assert {member["node_id"] for member in cluster.status()["members"]} == {"n1", "n2", "n3"}
    assert cluster.ok("down") == b"stopped n1, n2, n3 of cluster again\n"
    assert cluster.nodes() == [] and dead(cluster) == []


def test_after_kill_9_of_everything_up_works_again_at_once(make_cluster: Make) -> None:
    cluster = make_cluster("killed")
    cluster.ok("up")
    before = {node.name: node.address for node in cluster.nodes()}
    cluster.kill_all()
    assert dead(cluster) == ["n1", "n2", "n3"]
    cluster.ok("up")
    assert {node.name: node.address for node in cluster.nodes()} == before
    cluster.ok("producer", "t", stdin=b"alive\n")
    assert cluster.ok("consumer", "t") == b"alive\n"
    cluster.ok("down")


def test_two_folders_run_side_by_side_and_down_stops_its_own_only(make_cluster: Make) -> None:
    mine, yours = make_cluster("logstream"), make_cluster("logstream")
    mine.ok("up", "--nodes", "2")
    yours.ok("up", "--nodes", "2")
    mine.ok("producer", "t", stdin=b"mine\n")
    yours.ok("producer", "t", stdin=b"yours\n")
    assert (mine.ok("consumer", "t"), yours.ok("consumer", "t")) == (b"mine\n", b"yours\n")
    assert mine.status()["cluster_id"] != yours.status()["cluster_id"]
    mine.ok("down")
    assert len(yours.nodes()) == 2 and yours.ok("consumer", "t") == b"yours\n"
    yours.ok("down")


def test_two_names_on_the_same_ports_ignore_each_other(make_cluster: Make) -> None:
    ports = {"BROADCAST_PORT": "18777", "MULTICAST_GROUP": "239.77.77.77:18778"}
    red, blue = make_cluster("red", **ports), make_cluster("blue", **ports)
    red.ok("up", "--nodes", "2")
    blue.ok("up", "--nodes", "2")
    assert {node.broadcast_port for node in red.nodes() + blue.nodes()} == {18777}
    red.ok("producer", "t", stdin=b"red\n")
    blue.ok("producer", "t", stdin=b"blue\n")
    assert (red.ok("consumer", "t"), blue.ok("consumer", "t")) == (b"red\n", b"blue\n")
    assert len(red.status()["members"]) == len(blue.status()["members"]) == 2
    red.ok("down")
    blue.ok("down")


def test_a_detached_node_joins_and_leaves_cleanly(make_cluster: Make) -> None:
    cluster = make_cluster("detached", BROADCAST_PORT="18779", MULTICAST_GROUP="239.77.77.78:18780")
    cluster.ok("up", "--nodes", "2")
    cluster.ok("start", "--detach", "--name", "extra", "--address", "127.0.0.1:18781")
    wait_until(lambda: len(cluster.status()["members"]) == 3)
    extra = next(node for node in cluster.nodes() if node.name == "extra")
    os.kill(extra.pid, signal.SIGTERM)
    wait_until(lambda: len(cluster.status()["members"]) == 2)
    assert [node.name for node in cluster.nodes()] == ["n1", "n2"]
    cluster.ok("down")


def test_a_node_in_the_foreground_says_when_it_is_ready_and_stops_cleanly(make_cluster: Make) -> None:
    cluster = make_cluster("foreground", BROADCAST_PORT="18782", MULTICAST_GROUP="239.77.77.79:18783")
    node = cluster.begin("start", "--name", "alone", "--address", "127.0.0.1:18784")
    assert node.stderr is not None
    assert any(b"ready: node alone at 127.0.0.1:18784" in line for line in node.stderr)
    node.send_signal(signal.SIGTERM)
    assert node.wait(10) == 0
    assert cluster.nodes() == []
