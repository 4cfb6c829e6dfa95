"""Mesh: where messages go on one node."""

from __future__ import annotations

import pytest

from actors.host import Mesh
from actors.mesh import LOCAL, WIRE, Seat
from logstream.core.effects import Send
from logstream.core.events import LinkDown, Received
from logstream.protocol.identity import NO_EPOCH
from logstream.protocol.messages import Hello, Leave, Nack
from tests.actors.conftest import World
from tests.actors.pretend_mesh import ME, N2, Notebook, PretendMesh


@pytest.fixture
def node(world: World) -> PretendMesh:
    return PretendMesh(world)


def test_a_message_of_the_wire_goes_to_its_one_handler(node: PretendMesh) -> None:
    nack, hello = Received(Nack(NO_EPOCH, 1, 2), N2, 0.5), Received(Hello(NO_EPOCH, NO_EPOCH), N2, 0.6)
    node.mesh.deliver(nack)
    node.mesh.deliver(hello)
    assert node.book == [(Seat.REPLICA, nack), (Seat.VIEW_MANAGER, hello)]


def test_an_event_goes_to_all_who_listen_in_the_order_of_the_map(node: PretendMesh) -> None:
    event = LinkDown(N2, True, 0.0)
    node.mesh.announce(event)
    assert node.book == [(seat, event) for seat in LOCAL[LinkDown]]
    assert {Seat.REPLICA, Seat.FAILURE_DETECTOR, Seat.ELECTOR, Seat.VIEW_MANAGER} <= {seat for seat, _ in node.book}


def test_an_event_that_is_not_on_the_map_is_an_error(node: PretendMesh) -> None:
    with pytest.raises(KeyError):
        node.mesh.announce("no event")


def test_what_is_sent_to_another_member_goes_to_tcp(node: PretendMesh) -> None:
    node.mesh.send(effect := Send(N2, Leave()))
    assert node.book == [(Seat.TCP, effect)]


def test_what_is_sent_to_oneself_is_delivered_at_home_as_from_the_wire(world: World, node: PretendMesh) -> None:
    node.mesh.send(Send(ME, Leave()))
    ((seat, received),) = node.book
    assert (seat, received) == (Seat.VIEW_MANAGER, Received(Leave(), ME, received.at))
    assert received.at == pytest.approx(node.mesh.now(), abs=1.0)


def test_a_seat_that_nobody_holds_hears_nothing(world: World) -> None:
    book: list[tuple[Seat, object]] = []
    mesh = Mesh(ME, world.loop.time, lambda reason: None)
    mesh.wire({Seat.REPLICA: Notebook(Seat.REPLICA, book)})
    mesh.announce(event := LinkDown(N2, True, 0.0))
    assert book == [(Seat.REPLICA, event)]


def test_both_tables_are_whole_when_all_seats_are_held(node: PretendMesh) -> None:
    for kind, seats in LOCAL.items():
        assert [told.seat for told in node.mesh._local[kind]] == list(seats)  # type: ignore[attr-defined]
    for kind, seat in WIRE.items():
        assert node.mesh._wire[kind].seat is seat  # type: ignore[attr-defined]
