"""What a broker's process does and does not do, seen from outside."""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from logstream.client import Consumer, Producer
from logstream.protocol.codec import encode
from logstream.protocol.envelope import Envelope
from logstream.protocol.messages import Metadata
from logstream.state import NodeFile
from tests.processes.local_cluster import LocalCluster, wait_until

CODEC = "aiokafka"
GARBAGE = 200  # frames, and as many datagrams


def loaded(pid: int) -> str:
    """The files that a process has mapped: a compiled module that it imported is among them."""
    return Path(f"/proc/{pid}/maps").read_text()


def addresses(nodes: list[NodeFile]) -> list[str]:
    return [node.address for node in nodes]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc to look into another process")
def test_a_broker_that_served_ten_thousand_records_never_imported_the_record_codec(three: LocalCluster) -> None:
    nodes = three.nodes()
    with Producer(addresses(nodes), three.cluster) as producer:
        producer.send_many("codec", [b"%d" % number for number in range(10_000)]).result()
    with Consumer("codec", follow=False, bootstrap=addresses(nodes), cluster=three.cluster) as consumer:
        assert sum(1 for _ in consumer) == 10_000
    assert CODEC in loaded(os.getpid()), "the client uses the compiled codec, so this test would see it"
    assert [node.name for node in nodes if CODEC in loaded(node.pid)] == []


def spoilt(dice: random.Random) -> bytes:
    """A frame that is malformed, truncated, oversized or random."""
    good = b"".join(encode(Envelope(Metadata(("t",)), "three", correlation=1)))
    at = dice.randrange(len(good))
    match dice.randrange(4):
        case 0:
            return good[:at] + bytes([good[at] ^ (1 << dice.randrange(8))]) + good[at + 1 :]
        case 1:
            return good[:at]
        case 2:
            return b"\xff\xff\xff\xff" + good
        case _:
            return dice.randbytes(dice.randrange(1, 2000))


def refused(cluster: LocalCluster) -> int:
    """How many messages the node that `status` asks has refused."""
    return sum(cluster.status()["refused"].values())


def identity(status: dict[str, Any]) -> tuple[object, ...]:
    """What no stranger's message may change."""
    return status["cluster_id"], status["view"], [member["node_id"] for member in status["members"]]


def test_garbage_is_counted_changes_nothing_and_ends_no_neighbours_connection(three: LocalCluster) -> None:
    dice = random.Random(7)
    nodes = three.nodes()
    before, counted = three.status(), refused(three)
    with Producer(addresses(nodes), three.cluster) as producer:
        assert producer.send("neighbour", b"before").result(10) == 0
        for number in range(GARBAGE):
            throw(nodes[number % len(nodes)], spoilt(dice))
        assert producer.send("neighbour", b"after").result(10) == 1
    wait_until(lambda: refused(three) > counted)
    assert identity(three.status()) == identity(before)
    assert [node.pid for node in three.nodes()] == [node.pid for node in nodes]


def throw(node: NodeFile, garbage: bytes) -> None:
    """At the node's port, its multicast group and its broadcast port."""
    host, _, port = node.address.partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(garbage)
    group, _, group_port = node.multicast.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host))
        datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        datagrams.sendto(garbage[:1400], (group, int(group_port)))
        datagrams.sendto(garbage[:1400], ("127.255.255.255", node.broadcast_port))


def test_a_network_without_multicast_is_served_by_tcp(make_cluster: Callable[..., LocalCluster]) -> None:
    cluster = make_cluster("tcp-only", LOGSTREAM_NODE_MULTICAST="false")
    cluster.ok("up", "--nodes", "3")
    lines = b"".join(b"line %d\n" % number for number in range(20_000))
    cluster.ok("producer", "t", stdin=lines)
    assert cluster.ok("consumer", "t") == lines
    leader = next(node for node in cluster.nodes() if node.name == cluster.status()["leader"])
    status = json.loads(cluster.ok("status", "--json", "--bootstrap", leader.address))
    served = {member["node_id"]: member.get("served_by") for member in status["members"]}
    assert served == {name: "tcp" for name in ("n1", "n2", "n3") if name != leader.name} | {leader.name: None}
    cluster.ok("down")


def test_a_record_that_can_never_fit_into_the_memory_is_refused_by_the_setting(
    make_cluster: Callable[..., LocalCluster],
) -> None:
    cluster = make_cluster("full", LOGSTREAM_NODE_MEMORY_MAX="2MiB")
    cluster.ok("up", "--nodes", "1")
    cluster.ok("producer", "t", stdin=b"small\n")
    line = cluster.fails("producer", "t", "--timeout", "3", stdin=b"x" * (3 << 20) + b"\n")
    assert "can never fit into the memory of this broker (setting memory_max)" in line
    assert cluster.ok("consumer", "t") == b"small\n"
    cluster.ok("down")
