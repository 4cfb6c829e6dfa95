"""Multicast on loopback: to all members at once, within the cluster, whole or not at all."""

from __future__ import annotations

import socket
from typing import Any

from loguru import logger

from logstream.core.effects import Multicast
from logstream.core.events import Via
from logstream.protocol import codec
from logstream.protocol.envelope import Envelope
from logstream.protocol.fragments import Fragmenter
from logstream.protocol.identity import NO_EPOCH, Member, View
from logstream.protocol.messages import Join, Nack, StateExchange
from transport.datagrams import READS_MAX, DatagramReader
from transport.identity import IdentityChanged
from transport.interfaces import datagram_max, interface_of
from transport.refusals import Refusals
from transport.udp_multicast import MulticastSettings, MulticastSockets, UdpMulticast, open_sockets

LOOPBACK_MAX = datagram_max(interface_of("127.0.0.1"))


def a_group(network: Any) -> dict[str, Any]:
    """A group and a port that no other run of these tests uses."""
    numbers = [network.dice.randrange(1, 255) for _ in range(3)]
    return {"group": "239.{}.{}.{}".format(*numbers), "port": network.dice.randrange(20_000, 60_000)}


def member_of(network: Any, name: str, where: dict[str, Any], cluster: str = "test", **settings: Any) -> Any:
    address = settings.pop("address", "127.0.0.1")
    chosen = MulticastSettings(cluster, address, datagram_max=LOOPBACK_MAX, **where, **settings)
    return network.host(Member(name, "s1", f"{address}:1"), UdpMulticast, chosen, open_sockets(chosen))


def large(size: int) -> StateExchange:
    return StateExchange(NO_EPOCH, View(NO_EPOCH, Member("x" * size, "s"), (), (), 0, "", "all"))


async def test_all_members_but_the_sender_hear_a_message(network: Any) -> None:
    where = a_group(network)
    a, b, c = (member_of(network, name, where) for name in "abc")
    a.tell(Multicast(Nack(NO_EPOCH, 1, 1)))
    await network.until(lambda: b.received and c.received)
    assert b.messages == c.messages == [Nack(NO_EPOCH, 1, 1)]
    assert (b.received[0].sender, b.received[0].via) == (a.member, Via.MULTICAST)
    b.tell(Multicast(Nack(NO_EPOCH, 2, 2)))
    await network.until(lambda: a.received)
    assert a.messages == [Nack(NO_EPOCH, 2, 2)]


async def test_a_message_of_many_datagrams_arrives_whole(network: Any) -> None:
    where = a_group(network)
    a, b = member_of(network, "a", where), member_of(network, "b", where)
    message = large(200_000)
    a.tell(Multicast(message))
    await network.until(lambda: b.received)
    assert b.messages == [message]


async def test_a_burst_within_the_stated_room_is_heard_without_loss(network: Any) -> None:
    where = a_group(network)
    a, b = member_of(network, "a", where), member_of(network, "b", where)
    size = 30_000
    bursts = b.facts()["receive_buffer"] // (size + 1_000)
    assert bursts * size > READS_MAX * LOOPBACK_MAX
    for _ in range(bursts):
        a.tell(Multicast(large(size)))
    await network.until(lambda: len(b.received) == bursts)


async def test_two_clusters_on_one_group_ignore_each_other(network: Any) -> None:
    where = a_group(network)
    a, b = member_of(network, "a", where), member_of(network, "b", where)
    stranger = member_of(network, "a", where, cluster="other")
    stranger.tell(Multicast(Nack(NO_EPOCH, 1, 1)))
    await network.until(lambda: a.facts()["strangers"] == b.facts()["strangers"] == 1)
    a.tell(Multicast(Nack(NO_EPOCH, 2, 2)))
    await network.until(lambda: b.received and stranger.facts()["strangers"])
    assert b.messages == [Nack(NO_EPOCH, 2, 2)]
    assert stranger.received == []


async def test_another_cluster_id_is_refused_and_counted(network: Any) -> None:
    where = a_group(network)
    a, b = member_of(network, "a", where), member_of(network, "b", where)
    a.tell(IdentityChanged(a.member, "c1"))
    b.tell(IdentityChanged(b.member, "c2"))
    b.tell(Multicast(Nack(NO_EPOCH, 1, 1)))
    b.tell(Multicast(Join(b.member)))
    await network.until(lambda: a.received)
    assert a.messages == [Join(b.member)]
    assert a.facts()["refused"] == {"another cluster_id": 1}


async def test_what_an_earlier_identity_of_this_node_said_is_still_its_own(network: Any) -> None:
    where = a_group(network)
    a, b = member_of(network, "a", where), member_of(network, "b", where)
    new = Member("a", "s2", a.member.address)
    a.tell(Multicast(Nack(NO_EPOCH, 1, 1)))
    a.tell(IdentityChanged(new, "c1"))
    a.tell(Multicast(Nack(NO_EPOCH, 2, 2)))
    await network.until(lambda: len(b.received) == 2)
    b.tell(Multicast(Nack(NO_EPOCH, 3, 3)))
    await network.until(lambda: a.received)
    assert a.messages == [Nack(NO_EPOCH, 3, 3)]
    assert [received.sender for received in b.received] == [a.member, new]


async def test_random_datagrams_are_counted_and_change_nothing(network: Any) -> None:
    where = a_group(network)
    a, b = member_of(network, "a", where), member_of(network, "b", where)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as vandal:
        vandal.bind(("127.0.0.1", 0))
        vandal.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for size in range(100):
            vandal.sendto(network.dice.randbytes(size), (where["group"], where["port"]))
        good = Fragmenter("test", 1, 1_400).split(codec.encode(Envelope(Nack(NO_EPOCH, 1, 1), "test")))[0]
        vandal.sendto(good[:-1], (where["group"], where["port"]))
        vandal.sendto(good, (where["group"], where["port"]))
    a.tell(Multicast(Nack(NO_EPOCH, 2, 2)))
    await network.until(lambda: b.received)
    assert b.messages == [Nack(NO_EPOCH, 2, 2)]
    assert b.facts()["refused"] == {"malformed datagram": 101, "a client in the members' group": 1}


async def test_any_loopback_address_can_be_a_member(network: Any) -> None:
    where = a_group(network)
    a, b = member_of(network, "a", where, address="127.0.0.2"), member_of(network, "b", where, address="127.0.0.3")
    a.tell(Multicast(Nack(NO_EPOCH, 1, 1)))
    await network.until(lambda: b.received)
    assert b.received[0].source.startswith("127.0.0.2:")


async def test_where_multicast_fails_the_node_lives_on_and_says_why(network: Any) -> None:
    a = member_of(network, "a", {"group": "203.0.113.9", "port": 5_000})
    a.tell(Multicast(Nack(NO_EPOCH, 1, 1)))
    await network.until(lambda: a.facts()["dropped"] == 1)
    facts = a.facts()
    assert (facts["joined"], facts["receive_buffer"]) == (False, 0)
    assert "203.0.113.9:5000 on 127.0.0.1" in facts["problem"]


async def test_what_the_kernel_does_not_take_is_dropped_and_counted(network: Any) -> None:
    class Full(socket.socket):
        def sendto(self, *_: Any) -> int:
            raise BlockingIOError("no room")

    where = MulticastSettings("test", "127.0.0.1", "239.1.2.3", 5_000, LOOPBACK_MAX)
    sockets = MulticastSockets(Full(socket.AF_INET, socket.SOCK_DGRAM), None, 0)
    a = network.host(Member("a", "s1", "127.0.0.1:1"), UdpMulticast, where, sockets)
    a.tell(Multicast(large(20_000)))
    a.tell(Multicast(Nack(NO_EPOCH, 1, 1)))
    await network.until(lambda: a.facts()["dropped"] == 2)
    assert a.facts()["problem"] == "no room"


async def test_a_flood_is_read_in_portions_so_that_others_get_their_turn(network: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flooded, socket.socket(type=socket.SOCK_DGRAM) as sender:
        flooded.bind(("127.0.0.1", 0))
        flooded.setblocking(False)
        sender.bind(("127.0.0.1", 0))
        for _ in range(2 * READS_MAX):
            sender.sendto(b"x", flooded.getsockname())
        refusals = Refusals(logger)
        reader = DatagramReader(network.loop, flooded, "test", refusals, lambda *_: None)
        reader._drain()
        assert refusals.counts == {"malformed datagram": READS_MAX}
