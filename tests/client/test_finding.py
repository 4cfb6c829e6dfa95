"""Finding the cluster: the order of the places, and that loopback is never left when it must not be."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from logstream.client.connection import hear_join_answers, split_address
from logstream.client.finding import _default_interface, find
from logstream.protocol.codec import encode
from logstream.protocol.envelope import Envelope
from logstream.protocol.errors import NoClusterFound
from logstream.protocol.fragments import Fragmenter, Reassembler
from logstream.protocol.identity import NO_EPOCH, Member
from logstream.protocol.messages import Join, JoinResponse
from tests.client.fake_broker import FakeBrokers

LOOPBACK = {"NODE_ADDRESS": "127.0.0.1:8001", "BROADCAST_PORT": "18888"}
N1, N2 = Member("n1", "s", "127.0.0.1:8001"), Member("n2", "s", "127.0.0.1:8002")
ANSWER = JoinResponse(N2, "c1", N1, (N1, N2), NO_EPOCH, 0, False)


@pytest.fixture(autouse=True)
def _empty_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGSTREAM_HOME", str(tmp_path))
    monkeypatch.setenv("NODE_ADDRESS", "127.0.0.1:8001")


class Network:
    """Notes where JOINs go, and answers them or not."""

    def __init__(self, answer: JoinResponse | None) -> None:
        self.answer = answer
        self.joins: list[tuple[str, tuple[str, int]]] = []

    def join(self, cluster: str, source: str, destination: tuple[str, int], wait_s: float) -> JoinResponse | None:
        self.joins.append((source, destination))
        return self.answer


def test_whoever_is_named_is_asked_and_nobody_else(brokers: FakeBrokers) -> None:
    network = Network(ANSWER)
    environment = {"LEADER_ADDRESS": "127.0.0.1:1"}
    assert find(brokers.addresses[0], "c", environment, network.join) == [brokers.addresses[0]]
    assert network.joins == []


def test_of_several_named_the_first_that_listens_comes_first(brokers: FakeBrokers) -> None:
    names = f"127.0.0.1:1, {brokers.addresses[0]}"
    assert find(names, "c", LOOPBACK) == [brokers.addresses[0], "127.0.0.1:1"]


def test_the_environment_names_brokers(brokers: FakeBrokers) -> None:
    assert find(None, "c", {"LEADER_ADDRESS": brokers.addresses[1]}) == [brokers.addresses[1]]


def test_a_named_broker_that_is_away_is_no_reason_to_look_elsewhere() -> None:
    network = Network(ANSWER)
    with pytest.raises(NoClusterFound, match="named by LEADER_ADDRESS"):
        find(None, "c", {"LEADER_ADDRESS": "127.0.0.1:1"}, network.join)
    assert network.joins == []


def test_a_join_on_loopback_finds_the_leader_first_and_all_members() -> None:
    network = Network(ANSWER)
    assert find(None, "c", LOOPBACK, network.join) == ["127.0.0.1:8001", "127.0.0.1:8002"]
    assert network.joins == [("127.0.0.1", ("127.255.255.255", 18888))]


def test_a_node_address_on_loopback_keeps_everything_there_and_the_text_says_what_was_tried(tmp_path: Path) -> None:
    network = Network(None)
    with pytest.raises(NoClusterFound) as raised:
        find(None, "c", LOOPBACK, network.join)
    assert {destination for _, (destination, _) in network.joins} == {"127.255.255.255"}
    assert "no cluster 'c' found" in str(raised.value)
    assert str(tmp_path) in str(raised.value) and "127.255.255.255:18888 on loopback" in str(raised.value)


def test_without_a_node_address_the_interface_is_tried_last(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = ("eth7", "192.0.2.5", "192.0.2.255")
    monkeypatch.setattr("logstream.client.finding._chosen_interface", lambda environment: chosen)
    network = Network(None)
    with pytest.raises(NoClusterFound, match="eth7"):
        find(None, "c", {}, network.join)
    assert network.joins == [("127.0.0.1", ("127.255.255.255", 8888))] + [("192.0.2.5", ("192.0.2.255", 8888))] * 3


def test_the_interface_of_the_default_route_is_read_from_the_kernels_table(tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text("Iface\tDestination\tGateway\neth1\t0000A8C0\t00000000\neth0\t00000000\t0100A8C0\n")
    assert _default_interface(table) == "eth0"
    assert _default_interface(tmp_path / "none") == ""


@pytest.mark.parametrize("text", ["nonsense", "host:", ":1", "host:0", "host:65536", "host:port"])
def test_what_is_no_address_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        split_address(text)


@pytest.fixture
def node() -> Iterator[int]:
    """A node's broadcast socket on loopback that answers every JOIN of cluster c; its port."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("127.255.255.255", 0))
    listening.settimeout(5.0)

    def answer_one() -> None:
        try:
            data, source = listening.recvfrom(65_535)
        except OSError:
            return
        envelope = Reassembler("c", 1 << 20, 1.0).add(source, data, 0.0)
        assert envelope is not None and envelope.message == Join(None)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.sendto(b"rubbish", source)
            for datagram in Fragmenter("c", 1, 60).split(encode(Envelope(ANSWER, "c", "c1", N2))):
                sending.sendto(datagram, source)

    thread = threading.Thread(target=answer_one, daemon=True)
    thread.start()
    yield listening.getsockname()[1]
    listening.close()
    thread.join(5.0)


def test_a_join_by_broadcast_on_loopback_is_answered(node: int) -> None:
    assert hear_join_answers("c", "127.0.0.1", ("127.255.255.255", node), 2.0) == ANSWER
