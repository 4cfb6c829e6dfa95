"""Acknowledgements are heard as they leave a node, by whatever way, however long its disk has held them back (I10)."""

from __future__ import annotations

from typing import Any

import pytest

from actors.host import Mesh
from actors.mesh import Seat
from logstream.core.effects import Broadcast, Effect, Multicast, Send, Unicast
from logstream.core.replica import storing
from logstream.protocol.messages import ReplicateAck, StateExchange, ViewInstallAck
from simulation.checks.overhearing import Overheard
from simulation.run import Run
from tests.core.builders import A, B, epoch

MET_WITHIN = 80  # seeds
ACK = ReplicateAck(epoch(1), 1, 1, 0, False)


class Ear:
    """A transport, or whoever is at home."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def tell(self, message: Any) -> None:
        self.heard.append(message)


@pytest.fixture
def ears() -> dict[Seat, Ear]:
    return {seat: Ear() for seat in (Seat.TCP, Seat.MULTICAST, Seat.BROADCAST, Seat.VIEW_MANAGER, Seat.REPLICA)}


@pytest.fixture
def mesh(ears: dict[Seat, Ear]) -> Mesh:
    mesh = Mesh(A, lambda: 0.0, lambda reason: None)
    mesh.wire(dict(ears))
    return mesh


@pytest.mark.parametrize(
    ("effect", "seat"),
    [
        (Send(B, ACK), Seat.TCP),
        (Multicast(ACK), Seat.MULTICAST),
        (Broadcast(ACK), Seat.BROADCAST),
        (Unicast("127.0.0.1:8002", ACK), Seat.BROADCAST),
    ],
)
def test_what_is_said_is_heard_once_and_goes_its_way(
    mesh: Mesh, ears: dict[Seat, Ear], effect: Effect, seat: Seat
) -> None:
    overheard = Overheard(mesh)
    if isinstance(effect, Send):
        mesh.send(effect)
    else:
        mesh.refs[seat].tell(effect)
    assert ears[seat].heard == [effect]
    assert (overheard.take(), overheard.take()) == ([effect], [])


def test_what_a_member_says_to_itself_is_heard_too(mesh: Mesh, ears: dict[Seat, Ear]) -> None:
    overheard = Overheard(mesh)
    mesh.send(Send(A, ViewInstallAck(epoch(1))))
    assert overheard.take() == [Send(A, ViewInstallAck(epoch(1)))]
    assert [received.message for received in ears[Seat.VIEW_MANAGER].heard] == [ViewInstallAck(epoch(1))]


def test_words_that_acknowledge_nothing_are_not_kept(mesh: Mesh, ears: dict[Seat, Ear]) -> None:
    overheard = Overheard(mesh)
    mesh.send(Send(B, StateExchange(epoch(2), None)))
    assert overheard.take() == [] and len(ears[Seat.TCP].heard) == 1


def test_an_ack_that_a_disk_held_back_until_more_was_promised_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """R2: the core decided it when it was true; it leaves when it is not any more."""
    monkeypatch.setattr(storing, "_is_outdated", lambda send, replica: False)
    runs = (run for run in map(Run, range(MET_WITHIN)) if run.plan.durable)
    broken = (str(violation) for run in runs if (violation := run.go().violation) is not None)
    assert next(broken, "").startswith("I10: ")
