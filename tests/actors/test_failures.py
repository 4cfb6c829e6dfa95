"""What happens when an actor fails: it ends, the node hears of it, and nobody else is harmed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from logstream.protocol.errors import LocalProtocolError
from logstream.runtime import NodeActor, SafeRef
from tests.actors.conftest import Ear, World


@pytest.fixture(autouse=True)
def failures_are_the_point(world: World) -> None:
    world.expects_failures = True


def raising(error: BaseException) -> Callable[[Ear], None]:
    def fail(_: Ear) -> None:
        raise error

    return fail


def test_an_exception_ends_the_actor_and_the_node_hears_which_and_why(world: World) -> None:
    error = ValueError("broken")
    heard: list[Any] = []
    ref = Ear.start(world.scheduler, heard)
    ref.tell(raising(error))
    ref.tell("not heard any more")
    world.settle()
    ((actor, reported),) = world.failures
    assert (type(actor), reported) == (Ear, error)
    assert heard == [] and not ref.is_alive() and actor not in world.scheduler.actors


def test_an_actor_that_fails_to_start_is_reported_and_hears_nothing(world: World) -> None:
    error = OSError("port in use")

    class Unable(Ear):
        def on_start(self) -> None:
            raise error

    heard: list[Any] = []
    ref = Unable.start(world.scheduler, heard)
    ref.tell("hello")
    world.settle()
    assert [reported for _, reported in world.failures] == [error]
    assert heard == [] and not ref.is_alive()
    assert list(world.scheduler.actors) == []


def test_a_failing_actor_closes_what_it_holds(world: World) -> None:
    closed: list[Any] = []

    class Holder(Ear):
        def on_failure(self, *failure: Any) -> None:
            closed.append(failure[1])

    Holder.start(world.scheduler, []).tell(raising(error := ValueError("broken")))
    world.settle()
    assert closed == [error]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_what_would_stop_all_actors_stops_one(world: World, error: BaseException) -> None:
    """Pykka answers a BaseException by stop_all(), which would wait on the loop that it runs on."""
    heard: list[Any] = []
    other = Ear.start(world.scheduler, heard)
    Ear.start(world.scheduler, []).tell(raising(error))
    world.settle()
    other.tell("still there")
    world.settle()
    ((_, reported),) = world.failures
    assert isinstance(reported, LocalProtocolError) and reported.__cause__ is error
    assert heard == ["still there"]


def test_a_failing_stop_is_reported(world: World) -> None:
    class Clinging(Ear):
        def on_stop(self) -> None:
            raise OSError("cannot close")

    Clinging.start(world.scheduler, []).stop(block=False)
    world.settle()
    assert [str(reported) for _, reported in world.failures] == ["cannot close"]
    assert list(world.scheduler.actors) == []


def test_a_timer_that_fails_ends_the_actor_like_a_message(world: World) -> None:
    class Ticking(NodeActor):
        def on_receive(self, message: Any) -> None:
            raise ValueError("broken")

        def on_start(self) -> None:
            self.set_timer("t", 0.001)

    Ticking.start(world.scheduler)
    world.until(lambda: world.failures)
    assert [str(reported) for _, reported in world.failures] == ["broken"]


def test_a_message_to_the_dead_is_counted_and_does_not_hurt_its_sender(world: World) -> None:
    dead = SafeRef[str](Ear.start(world.scheduler, []))
    dead.stop()
    world.settle()
    heard: list[Any] = []
    sender = Ear.start(world.scheduler, heard)
    sender.tell(lambda _: dead.tell("hello"))
    sender.tell("alive")
    world.settle()
    assert (dead.undelivered, heard, world.failures) == (1, ["alive"], [])


def test_stopping_the_dead_is_no_error(world: World) -> None:
    ref = SafeRef[str](Ear.start(world.scheduler, []))
    ref.stop()
    world.settle()
    ref.stop()
    assert world.failures == []
