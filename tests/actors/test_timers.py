"""Timers come back as messages; a timer that was cancelled or set again is never heard."""

from __future__ import annotations

from typing import Any

from logstream.core.events import Due
from tests.actors.conftest import Ear, World

SOON, LATER = 0.01, 0.03  # seconds


def timers(heard: list[Any]) -> list[object]:
    return [message.timer if isinstance(message, Due) else message for message in heard]


def test_a_timer_is_heard_once_not_before_its_time(world: World) -> None:
    heard: list[Any] = []
    started = world.loop.time()
    Ear.start(world.scheduler, heard).tell(lambda ear: ear.set_timer("t", SOON))
    world.until(lambda: heard)
    (due,) = heard
    assert due.timer == "t"
    assert due.at >= due.due - 0.001 and due.due >= started + SOON


def test_timers_are_heard_in_the_order_of_their_times(world: World) -> None:
    heard: list[Any] = []

    def set_both(ear: Ear) -> None:
        ear.set_timer("later", LATER)
        ear.set_timer("soon", SOON)

    Ear.start(world.scheduler, heard).tell(set_both)
    world.until(lambda: len(heard) == 2)
    assert timers(heard) == ["soon", "later"]


def test_a_cancelled_timer_is_not_heard(world: World) -> None:
    heard: list[Any] = []

    def set_and_cancel(ear: Ear) -> None:
        ear.set_timer("cancelled", SOON)
        ear.set_timer("witness", LATER)
        ear.cancel_timer("cancelled")

    Ear.start(world.scheduler, heard).tell(set_and_cancel)
    world.until(lambda: heard)
    assert timers(heard) == ["witness"]


def test_a_timer_set_again_is_heard_once_at_the_later_time(world: World) -> None:
    heard: list[Any] = []

    def set_twice(ear: Ear) -> None:
        ear.set_timer("t", SOON)
        ear.set_timer("t", 2 * LATER)
        ear.set_timer("witness", LATER)

    Ear.start(world.scheduler, heard).tell(set_twice)
    world.until(lambda: len(heard) == 2)
    assert timers(heard) == ["witness", "t"]


def test_a_timer_set_again_for_an_earlier_time_is_heard_once(world: World) -> None:
    heard: list[Any] = []

    def set_twice(ear: Ear) -> None:
        ear.set_timer("t", SOON)
        ear.set_timer("t", 0.0)
        ear.set_timer("witness", LATER)

    Ear.start(world.scheduler, heard).tell(set_twice)
    world.until(lambda: len(heard) == 2)
    assert timers(heard) == ["t", "witness"]


def test_zero_seconds_means_after_what_is_in_the_inbox_now(world: World) -> None:
    heard: list[Any] = []
    ref = Ear.start(world.scheduler, heard)
    ref.tell(lambda ear: ear.set_timer("t", 0.0))
    ref.tell("waiting 1")
    ref.tell("waiting 2")
    world.settle()
    assert timers(heard) == ["waiting 1", "waiting 2", "t"]


def test_a_zero_timer_set_again_is_heard_once(world: World) -> None:
    """What gathers in one turn of the loop is flushed once."""
    heard: list[Any] = []
    ref = Ear.start(world.scheduler, heard)
    for _ in range(3):
        ref.tell(lambda ear: ear.set_timer("flush", 0.0))
    world.settle()
    assert timers(heard) == ["flush"]


def test_a_timer_that_is_in_the_inbox_already_can_be_cancelled(world: World) -> None:
    heard: list[Any] = []
    ref = Ear.start(world.scheduler, heard)
    ref.tell(lambda ear: ear.set_timer("t", 0.0))
    ref.tell(lambda ear: ear.cancel_timer("t"))
    ref.tell("witness")
    world.settle()
    assert timers(heard) == ["witness"]


def test_a_timer_that_fires_while_its_cancellation_waits_to_be_handled_is_not_heard(world: World) -> None:
    heard: list[Any] = []
    ref = Ear.start(world.scheduler, heard)
    ref.tell(lambda ear: ear.set_timer("t", 60.0))
    world.settle()
    (ear,) = world.scheduler.actors
    assert isinstance(ear, Ear)
    ref.tell(lambda ear: ear.cancel_timer("t"))
    ear._fire(ear._timers["t"])  # as the loop does it, at the same instant
    ref.tell("witness")
    world.settle()
    assert timers(heard) == ["witness"]


def test_cancelling_what_was_never_set_is_no_error(world: World) -> None:
    heard: list[Any] = []
    ref = Ear.start(world.scheduler, heard)
    ref.tell(lambda ear: ear.cancel_timer("unknown"))
    ref.tell("still there")
    world.settle()
    assert heard == ["still there"]


def test_the_timers_of_a_stopped_actor_are_gone(world: World) -> None:
    heard: list[Any] = []
    ref = Ear.start(world.scheduler, heard)
    ref.tell(lambda ear: ear.set_timer("t", SOON))
    ref.stop(block=False)
    witness: list[Any] = []
    Ear.start(world.scheduler, witness).tell(lambda ear: ear.set_timer("witness", LATER))
    world.until(lambda: witness)
    assert heard == []


def test_a_timer_may_be_any_hashable_value_and_comes_back_as_it_was(world: World) -> None:
    heard: list[Any] = []
    Ear.start(world.scheduler, heard).tell(lambda ear: ear.set_timer(("poll", 7), 0.0))
    world.settle()
    assert timers(heard) == [("poll", 7)]
