"""Broadcast on loopback: everybody hears the call, the answer comes back to the caller alone."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from logstream.core.effects import Broadcast, Unicast
from logstream.core.events import Via
from logstream.protocol import codec
from logstream.protocol.envelope import Envelope
from logstream.protocol.fragments import Fragmenter, Reassembler
from logstream.protocol.identity import NO_EPOCH, Member
from logstream.protocol.messages import Join, JoinResponse, Nack
from transport.identity import IdentityChanged
from transport.interfaces import datagram_max, interface_of
from transport.udp_broadcast import BroadcastSettings, UdpBroadcast, open_sockets

LOOPBACK = interface_of("127.0.0.1")


def settings_for(port: int, cluster: str = "test", address: str = "127.0.0.1") -> BroadcastSettings:
    return BroadcastSettings(cluster, address, LOOPBACK.broadcast, port, datagram_max(LOOPBACK))


def node(network: Any, name: str, port: int, **settings: str) -> Any:
    chosen = settings_for(port, **settings)
    return network.host(Member(name, "s1", f"{chosen.address}:1"), UdpBroadcast, chosen, open_sockets(chosen))


@pytest.fixture
def port(network: Any) -> int:
    number: int = network.dice.randrange(20_000, 60_000)
    return number


def answer_of(member: Member) -> JoinResponse:
    return JoinResponse(member, "c1", member, (member,), NO_EPOCH, 0, True)


async def test_a_call_is_heard_by_all_others_and_answered_to_the_caller_alone(network: Any, port: int) -> None:
    a, b, c = (node(network, name, port) for name in "abc")
    a.tell(Broadcast(Join(a.member)))
    await network.until(lambda: b.received and c.received)
    assert (b.messages, b.received[0].via, b.received[0].sender) == ([Join(a.member)], Via.BROADCAST, a.member)
    b.tell(Unicast(b.received[0].source, answer_of(b.member)))
    await network.until(lambda: a.received)
    assert a.messages == [answer_of(b.member)]
    assert c.messages == [Join(a.member)]


async def test_answers_arrive_at_the_port_that_a_firewall_lets_in(network: Any, port: int) -> None:
    a, b = node(network, "a", port), node(network, "b", port, address="127.0.0.2")
    a.tell(Broadcast(Join(a.member)))
    b.tell(Broadcast(Join(b.member)))
    await network.until(lambda: a.received and b.received)
    assert (b.received[0].source, a.received[0].source) == (f"127.0.0.1:{port}", f"127.0.0.2:{port}")


async def test_a_second_node_on_the_same_address_has_another_port(network: Any, port: int) -> None:
    a, b = node(network, "a", port), node(network, "b", port)
    b.tell(Broadcast(Join(b.member)))
    await network.until(lambda: a.received)
    assert a.received[0].source not in (f"127.0.0.1:{port}", "127.0.0.1:0")


async def test_nodes_of_another_cluster_hear_nothing_but_that_there_is_one(network: Any, port: int) -> None:
    a, b, stranger = node(network, "a", port), node(network, "b", port), node(network, "c", port, cluster="other")
    a.tell(Broadcast(Join(a.member)))
    await network.until(lambda: b.received and stranger.facts()["strangers"] == 1)
    assert stranger.received == []


async def test_discovery_crosses_cluster_ids(network: Any, port: int) -> None:
    a, b = node(network, "a", port), node(network, "b", port)
    a.tell(IdentityChanged(a.member, "c1"))
    b.tell(IdentityChanged(b.member, "c2"))
    a.tell(Broadcast(Join(a.member)))
    await network.until(lambda: b.received)
    assert b.received[0].cluster_id == "c1"


async def test_a_client_without_a_member_is_heard_and_answered(network: Any, port: int) -> None:
    a = node(network, "a", port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.bind(("127.0.0.1", 0))
        client.setblocking(False)
        (call,) = Fragmenter("test", 1, 1_400).split(codec.encode(Envelope(Join(None), "test")))
        client.sendto(call, ("127.255.255.255", port))
        await network.until(lambda: a.received)
        assert a.received[0].sender is None
        a.tell(Unicast(a.received[0].source, answer_of(a.member)))
        answer = await network.loop.sock_recv(client, 65_535)
    heard = Reassembler("test", 100_000, 1.0).add(("127.0.0.1", 1), answer, 0.0)
    assert heard is not None and heard.message == answer_of(a.member)


async def test_only_discovery_is_heard_by_broadcast(network: Any, port: int) -> None:
    a, b = node(network, "a", port), node(network, "b", port)
    b.tell(Broadcast(Nack(NO_EPOCH, 1, 1)))
    b.tell(Broadcast(Join(b.member)))
    await network.until(lambda: a.received)
    assert a.messages == [Join(b.member)]
    assert a.facts()["refused"] == {"not a message of discovery": 1}


async def test_random_datagrams_at_both_sockets_are_counted_and_change_nothing(network: Any, port: int) -> None:
    a, b = node(network, "a", port), node(network, "b", port)
    a.tell(Broadcast(Join(a.member)))
    await network.until(lambda: b.received)
    host, own_port = b.received[0].source.split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as vandal:
        vandal.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        vandal.bind(("127.0.0.1", 0))
        for size in range(50):
            vandal.sendto(network.dice.randbytes(size), ("127.255.255.255", port))
            vandal.sendto(network.dice.randbytes(size), (host, int(own_port)))
    await network.until(lambda: a.facts()["refused"] == {"malformed datagram": 100})
    b.tell(Broadcast(Join(b.member)))
    await network.until(lambda: a.messages == [Join(b.member)])


async def test_an_answer_that_cannot_be_sent_is_dropped(network: Any, port: int) -> None:
    a, b = node(network, "a", port), node(network, "b", port)
    a.tell(Unicast("127.0.0.1:0", answer_of(a.member)))
    a.tell(Broadcast(Join(a.member)))
    await network.until(lambda: b.received)
    assert a.facts()["dropped"] == 1


async def test_any_loopback_address_can_call(network: Any, port: int) -> None:
    a, b = node(network, "a", port, address="127.0.0.2"), node(network, "b", port)
    a.tell(Broadcast(Join(a.member)))
    await network.until(lambda: b.received)
    assert b.received[0].source.startswith("127.0.0.2:")


def test_a_port_that_somebody_has_for_itself_is_an_error_before_anything_starts() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.255.255.255", 0))
        with pytest.raises(OSError, match="in use"):
            open_sockets(settings_for(other.getsockname()[1]))
