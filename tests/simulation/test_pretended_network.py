"""The pretended network behaves as cables, kernels and TCP do: whatever the checkers say rests on that."""

from __future__ import annotations

from typing import Any

import pytest

from logstream.core.events import LinkDown, LinkUp, Received, Via
from logstream.protocol.envelope import Envelope
from logstream.protocol.identity import NO_EPOCH, Member
from logstream.protocol.messages import Hello, Message, Nack
from simulation.pretended.climate import Climate
from simulation.pretended.cuts import Cut
from simulation.pretended.hosts import Host
from simulation.pretended.machine import Machine
from simulation.pretended.network import KERNEL_DATAGRAMS, SMALL, Network
from simulation.pretended.streams import KEEPALIVE_S, LINGER_S, End, Stream
from simulation.pretended.virtual_loop import VirtualLoop
from transport.identity import Identity

GIVE_UP_S = 2.0


class Node:
    """A host and everything that it hears."""

    def __init__(self, network: Network, name: str, store: str = "s") -> None:
        self.me = Member(name, store, f"{name}:1")
        self.machine = Machine(network.loop)
        self.heard: list[Message] = []
        self.links: list[tuple[str, str]] = []
        self.host = Host(self.me, Identity("c", self.me), self.machine, self._deliver, self._announce)
        self._network = network
        network.attach(self.host)

    def _deliver(self, received: Received) -> None:
        self.heard.append(received.message)

    def _announce(self, event: Any) -> None:
        match event:
            case LinkUp(member=member):
                self.links.append((member.node_id, "up"))
            case LinkDown(member=member, refused=refused):
                self.links.append((member.node_id, "refused" if refused else "down"))

    def says(self, to: Node, number: int) -> None:
        self._network.stream(self.host, to.me, Envelope(nack(number), "c", "", self.me))

    def multicasts(self, number: int) -> None:
        self._network.datagram(self.host, Envelope(nack(number), "c", "", self.me), Via.MULTICAST)

    def numbers(self) -> list[int]:
        return [message.first for message in self.heard if isinstance(message, Nack)]


def nack(number: int) -> Nack:
    return Nack(NO_EPOCH, number, number)


class World:
    """Two nodes, a and b, on a calm network."""

    def __init__(self, stream_delay_s: tuple[float, float] = (0.0001, 0.001)) -> None:
        self.loop = VirtualLoop(1)
        self.network = Network(self.loop, Climate(give_up_s=GIVE_UP_S, stream_delay_s=stream_delay_s))
        self.a, self.b = Node(self.network, "a"), Node(self.network, "b")

    def passes(self, seconds: float = 0.1) -> None:
        self.loop.run_for(seconds)

    def connected(self) -> World:
        self.a.says(self.b, 0)
        self.passes()
        assert self.b.numbers() == [0]
        return self


@pytest.fixture
def world() -> World:
    return World()


# --- links ---


def test_a_link_comes_up_with_the_first_message_at_both_ends(world: World) -> None:
    world.connected()
    assert (world.a.links, world.b.links) == ([("b", "up")], [("a", "up")])


def test_a_link_keeps_the_order_of_what_is_written(world: World) -> None:
    for number in range(100):
        world.a.says(world.b, number)
    world.passes()
    assert world.b.numbers() == list(range(100))


def test_two_that_dial_at_once_have_one_link(world: World) -> None:
    world.a.says(world.b, 1)
    world.b.says(world.a, 2)
    world.passes()
    assert (world.a.numbers(), world.b.numbers()) == ([2], [1])
    assert (world.a.links, world.b.links) == ([("b", "up")], [("a", "up")])


@pytest.mark.parametrize("apart_s", [0.0, 0.0002, 0.0004, 0.0006])
def test_of_two_links_dialed_at_once_one_stays_nothing_is_lost_and_nobody_calls_it_down(apart_s: float) -> None:
    """As transport/tcp_link.py: both keep the one that the smaller identity dialed, and the other one is retired."""
    world = World(stream_delay_s=(0.0002, 0.02))
    for number in range(50):
        world.loop.call_later(number * 0.001, world.a.says, world.b, number)
        world.loop.call_later(number * 0.001 + apart_s, world.b.says, world.a, number)
    world.passes(LINGER_S + 1.0)
    assert sorted(world.a.numbers()) == sorted(world.b.numbers()) == list(range(50))
    assert (world.a.links, world.b.links) == ([("b", "up")], [("a", "up")])
    assert world.network.reset("a:1") == 1


def test_who_pauses_after_a_double_dial_reads_what_came_on_the_retired_stream_too(world: World) -> None:
    heard: list[object] = []
    ends = [
        End(node.me.address, node.machine, heard.append, lambda: heard.append("broken")) for node in (world.a, world.b)
    ]
    stream = Stream(world.network, *ends)
    stream.write(0, "under way")
    world.b.machine.pause()
    stream.retire(0)
    stream.retire(1)
    world.passes(LINGER_S + 1.0)
    world.b.machine.resume()
    world.passes()
    assert heard == ["under way"] and not stream.is_whole


def test_where_nobody_listens_is_refused_at_once(world: World) -> None:
    world.network.detach(world.b.me.address)
    world.a.says(world.b, 1)
    world.passes()
    assert world.a.links[0] == ("b", "refused")


def test_a_newer_incarnation_at_the_address_means_that_the_older_is_gone(world: World) -> None:
    world.network.detach(world.b.me.address)
    Node(world.network, "b", store="newer")
    world.a.says(world.b, 1)
    world.passes()
    assert world.a.links[0] == ("b", "refused")


def test_where_nobody_can_be_reached_there_is_no_answer_and_no_refusal(world: World) -> None:
    world.network.cut("a:1", "b:1")
    world.a.says(world.b, 1)
    world.passes(0.9)
    assert world.a.links == []
    world.passes(0.2)
    assert world.a.links == [("b", "down")]


def test_a_paused_process_does_not_answer_and_does_not_refuse(world: World) -> None:
    world.b.machine.pause()
    world.a.says(world.b, 1)
    world.passes(1.1)
    assert world.a.links == [("b", "down")]
    world.b.machine.resume()
    world.passes(2.0)
    assert world.b.numbers() == [1]


def test_what_is_written_to_a_paused_process_is_there_when_it_wakes(world: World) -> None:
    world.connected().b.machine.pause()
    for number in (1, 2, 3):
        world.a.says(world.b, number)
    world.passes(30.0)
    assert world.b.numbers() == [0]
    world.b.machine.resume()
    world.passes(0.0)
    assert world.b.numbers() == [0, 1, 2, 3]


def test_a_killed_process_breaks_its_links_and_is_then_refused(world: World) -> None:
    world.connected().b.machine.kill()
    world.network.detach("b:1")
    world.passes()
    assert world.a.links == [("b", "up"), ("b", "down"), ("b", "refused")]


def test_a_machine_without_power_breaks_nothing_until_somebody_writes(world: World) -> None:
    world.connected().b.machine.kill()
    world.network.detach("b:1", silent=True)
    world.passes(20.0)
    assert world.a.links == [("b", "up")]
    world.a.says(world.b, 1)
    world.passes()
    assert world.a.links[1] == ("b", "down")


def test_in_the_end_keepalive_notices_that_a_machine_has_no_power(world: World) -> None:
    world.connected().b.machine.kill()
    world.network.detach("b:1", silent=True)
    world.passes(KEEPALIVE_S + 1.0)
    assert world.a.links[1] == ("b", "down")


# --- cuts ---


def test_a_short_cut_delays_a_stream_and_loses_nothing(world: World) -> None:
    cut = world.connected().network.cut("a:1", "b:1")
    world.a.says(world.b, 1)
    world.a.says(world.b, 2)
    world.passes(GIVE_UP_S / 2)
    assert world.b.numbers() == [0]
    world.network.remove(cut)
    world.passes(1.0)
    assert world.b.numbers() == [0, 1, 2]
    assert world.a.links == [("b", "up")]


def test_a_long_cut_breaks_the_link_of_whoever_writes(world: World) -> None:
    world.connected().network.cut("a:1", "b:1")
    world.a.says(world.b, 1)
    world.passes(GIVE_UP_S + 0.1)
    assert world.a.links[:2] == [("b", "up"), ("b", "down")]
    assert world.b.links == [("a", "up")]


def test_whoever_has_not_heard_of_the_end_in_a_cut_hears_of_it_after(world: World) -> None:
    cut = world.connected().network.cut("a:1", "b:1")
    world.b.machine.kill()
    world.network.detach("b:1")
    world.passes(10.0)
    assert world.a.links == [("b", "up")]
    world.network.remove(cut)
    world.passes()
    assert world.a.links[1:3] == [("b", "down"), ("b", "refused")]


def test_one_way_cut_streams_lack_the_acknowledgement_and_break_too(world: World) -> None:
    world.connected().network.cuts.add(Cut((("b:1", "a:1"),)))
    world.a.says(world.b, 1)
    world.passes()
    assert world.b.numbers() == [0, 1]
    world.passes(GIVE_UP_S)
    assert world.a.links[1] == ("b", "down")


def test_streams_and_datagrams_are_cut_apart(world: World) -> None:
    world.connected().network.cuts.add(Cut((("a:1", "b:1"),), streams=False))
    world.a.multicasts(1)
    world.a.says(world.b, 2)
    world.passes()
    assert world.b.numbers() == [0, 2]


def test_cuts_that_overlap_end_one_by_one(world: World) -> None:
    first, second = world.network.cut("a:1", "b:1"), world.network.cut("a:1", "b:1")
    world.network.remove(first)
    assert not world.network.open_way("a:1", "b:1")
    world.network.remove(second)
    assert world.network.open_way("a:1", "b:1")


def test_reset_breaks_every_stream_at_both_ends_and_they_come_back(world: World) -> None:
    assert world.connected().network.reset("b:1") == 1
    world.passes()
    assert world.a.links == [("b", "up"), ("b", "down"), ("b", "up")]
    assert world.b.links == [("a", "up"), ("a", "down"), ("a", "up")]


# --- datagrams ---


@pytest.mark.parametrize("when_ms", range(20))
def test_a_connection_that_breaks_before_whoever_dialed_hears_of_it_is_dialed_again(when_ms: int) -> None:
    world = World(stream_delay_s=(0.001, 0.01))
    world.a.says(world.b, 1)
    world.b.says(world.a, 1)
    world.passes(0.001 * when_ms)
    world.network.reset("a:1")
    world.passes(1.0)
    world.a.says(world.b, 2)
    world.b.says(world.a, 2)
    world.passes(1.0)
    assert (world.a.numbers()[-1], world.b.numbers()[-1]) == (2, 2)


def test_a_deaf_node_hears_no_multicast_and_all_of_its_streams(world: World) -> None:
    world.network.cuts.deaf["b:1"] += 1
    world.a.multicasts(1)
    world.a.says(world.b, 2)
    world.passes()
    assert world.b.numbers() == [2]


def test_datagrams_are_lost_doubled_and_reordered_as_the_climate_says(world: World) -> None:
    world.network.climate = Climate(loss=0.3, duplication=0.3, datagram_delay_s=(0.0, 0.1))
    for number in range(1000):
        world.a.multicasts(number)
    world.passes(1.0)
    heard = world.b.numbers()
    assert 0.6 < len(set(heard)) / 1000 < 0.9
    assert len(heard) > len(set(heard))
    assert heard != sorted(heard)


def test_the_kernel_of_a_paused_process_keeps_so_many_datagrams_and_loses_the_rest(world: World) -> None:
    world.b.machine.pause()
    for number in range(2000):
        world.a.multicasts(number)
    world.passes()
    world.b.machine.resume()
    world.passes()
    assert len(world.b.heard) == KERNEL_DATAGRAMS // SMALL
    assert world.network.lost == 2000 - len(world.b.heard)


def test_a_message_of_another_cluster_is_not_heard(world: World) -> None:
    world.b.host.identity.cluster_id = "mine"
    stranger = Envelope(Hello(NO_EPOCH, NO_EPOCH), "c", "theirs", world.a.me)
    world.network.stream(world.a.host, world.b.me, stranger)
    world.network.datagram(world.a.host, stranger, Via.MULTICAST)
    world.passes()
    assert world.b.heard == []


# --- streams alone ---


def test_an_end_that_was_closed_hears_nothing_more(world: World) -> None:
    heard: list[object] = []
    here = End("a:1", None, heard.append, lambda: heard.append("broken"))
    stream = Stream(world.network, here, End("b:1", None, heard.append, lambda: None))
    stream.write(1, "on its way")
    stream.close(0)
    world.passes()
    assert heard == []
    stream.write(0, "into nothing")
    world.passes()
    assert heard == []
