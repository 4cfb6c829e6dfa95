"""Members come and go cleanly under two producers and three consumers: nothing is lost, repeated or reordered."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from logstream.client import Producer
from tests.processes.local_cluster import LocalCluster, wait_until

TOPIC = "traffic"
PRODUCERS, CONSUMERS = ("a", "b"), 3
MORE = 500  # records of each producer after the last change


class Traffic:
    """Producers that go on until they are told to end, and consumers that write what they read to files."""

    def __init__(self, cluster: LocalCluster, folder: Path) -> None:
        self._cluster = cluster
        self._addresses = [node.address for node in cluster.nodes()]
        self._outputs = [folder / f"consumer-{number}" for number in range(CONSUMERS)]
        self._ending = threading.Event()
        self.sent = dict.fromkeys(PRODUCERS, 0)
        self._threads = [threading.Thread(target=self._produce, args=(name,)) for name in PRODUCERS]
        self._readers: list[subprocess.Popen[bytes]] = []
        self.errors: list[BaseException] = []

    def begin(self) -> None:
        """Start everybody, and return when every consumer has read something."""
        for thread in self._threads:
            thread.start()
        for output in self._outputs:
            wait_until(lambda: all(self.sent.values()))
            self._readers.append(self._cluster.begin("consumer", TOPIC, "--follow", "--output", output))
        wait_until(lambda: all(output.exists() and output.stat().st_size for output in self._outputs))

    def _produce(self, name: str) -> None:
        try:
            with Producer(self._addresses, self._cluster.cluster, timeout_s=30) as producer:
                left = MORE
                while left:
                    left -= self._ending.is_set()
                    producer.send(TOPIC, b"%s %d" % (name.encode(), self.sent[name])).result(30)
                    self.sent[name] += 1
        except BaseException as error:
            self.errors.append(error)

    def end(self) -> list[bytes]:
        """Let the producers end, wait until all is read, and return what each consumer wrote."""
        self._ending.set()
        for thread in self._threads:
            thread.join(60)
        assert self.errors == []
        wait_until(lambda: all(output.read_bytes().count(b"\n") >= sum(self.sent.values()) for output in self._outputs))
        self.stop_readers()
        return [output.read_bytes() for output in self._outputs]

    def stop_readers(self) -> None:
        """End the consumers; they never end by themselves."""
        self._ending.set()
        for reader in self._readers:
            reader.send_signal(signal.SIGINT)
            reader.communicate(timeout=20)


@pytest.fixture
def traffic(make_cluster: Callable[..., LocalCluster], tmp_path: Path) -> Iterator[tuple[LocalCluster, Traffic]]:
    """Traffic on three nodes."""
    cluster = make_cluster("traffic")
    cluster.ok("up")
    moving = Traffic(cluster, tmp_path)
    moving.begin()
    yield cluster, moving
    moving.stop_readers()
    cluster.ok("down")


def members(cluster: LocalCluster) -> list[str]:
    return [member["node_id"] for member in cluster.status()["members"]]


def stop(cluster: LocalCluster, name: str) -> None:
    """SIGTERM, and wait until the others are a view without it."""
    node = next(node for node in cluster.nodes() if node.name == name)
    os.kill(node.pid, signal.SIGTERM)
    wait_until(lambda: name not in [alive.name for alive in cluster.nodes()])
    wait_until(lambda: name not in members(cluster))


def check(moving: Traffic, outputs: list[bytes]) -> None:
    """Every consumer has every record of every producer once and in order, and all have the same."""
    assert len(set(outputs)) == 1
    lines = outputs[0].splitlines()
    for name, sent in moving.sent.items():
        numbers = [int(line.split()[1]) for line in lines if line.startswith(name.encode())]
        assert numbers == list(range(sent))


def test_a_fourth_node_joins_and_a_follower_leaves(traffic: tuple[LocalCluster, Traffic]) -> None:
    cluster, moving = traffic
    meeting = cluster.nodes()[0]
    group, _, port = meeting.multicast.partition(":")
    cluster.environment |= {"BROADCAST_PORT": str(meeting.broadcast_port), "MULTICAST_GROUP": f"{group}:{port}"}
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
