"""How actors take turns: what starts when, what is heard in which order, who may speak how long."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
from pykka import ActorDeadError

from logstream.protocol.errors import LocalProtocolError
from logstream.runtime import NodeActor, Report, Reported
from tests.actors.conftest import Ear, World


def test_an_actor_starts_before_it_hears_what_was_told_it_meanwhile(world: World) -> None:
    story: list[Any] = []

    class Late(Ear):
        def on_start(self) -> None:
            story.append("started")

    Late.start(world.scheduler, story).tell("message")
    assert story == []  # nothing runs inside start
    world.settle()
    assert story == ["started", "message"]


def test_messages_are_heard_in_the_order_in_which_they_were_told(world: World) -> None:
    heard: list[int] = []
    ref = Ear.start(world.scheduler, heard)
    for number in range(500):
        ref.tell(number)
    world.settle()
    assert heard == list(range(500))


def test_what_an_actor_tells_itself_comes_after_what_waits_already(world: World) -> None:
    heard: list[Any] = []
    ref = Ear.start(world.scheduler, heard)
    ref.tell(lambda ear: ear.actor_ref.tell("own"))
    ref.tell("waiting")
    world.settle()
    assert heard == ["waiting", "own"]


def test_messages_pass_through_a_chain_of_actors_in_order(world: World) -> None:
    heard: list[int] = []
    last = Ear.start(world.scheduler, heard)

    class Link(NodeActor):
        def on_receive(self, message: Any) -> None:
            last.tell(message)

    first = Link.start(world.scheduler)
    for number in range(200):
        first.tell(number)
    world.settle()
    assert heard == list(range(200))


def test_an_actor_with_a_full_inbox_lets_others_have_their_turns(world: World) -> None:
    story: list[str] = []
    busy, other = Ear.start(world.scheduler, story), Ear.start(world.scheduler, story)
    world.settle()
    for _ in range(1000):
        busy.tell("busy")
    other.tell("other")
    world.settle()
    assert story.index("other") <= 20 * world.turn < 1300
    assert len(story) == 1001


def turns_of(world: World, count: Callable[[], int]) -> list[int]:
    """How much was counted after each turn from here on; each seems longer than the one before, so all are noted."""
    counts: list[int] = []
    ticks = itertools.count()

    def note(*_: Any) -> None:
        counts.append(count())

    world.scheduler.stopwatch = lambda: float(next(ticks)) ** 2
    world.scheduler.measured = note  # type: ignore[method-assign,assignment]
    return counts


def test_one_turn_is_at_most_its_share_of_messages(world: World) -> None:
    heard: list[Any] = []
    ref = Ear.start(world.scheduler, heard)
    world.settle()
    for number in range(3 * world.turn):
        ref.tell(number)
    counts = turns_of(world, lambda: len(heard))
    world.settle()
    assert [count for count in counts if count] == [world.turn, 2 * world.turn, 3 * world.turn]


def test_an_actor_without_messages_takes_no_turn(world: World) -> None:
    Ear.start(world.scheduler, [])
    world.settle()
    counts = turns_of(world, lambda: 1)
    Ear.start(world.scheduler, []).tell("once")
    world.settle()
    assert sum(counts) <= 2  # its start and its message


def test_a_stop_comes_after_what_is_in_the_inbox(world: World) -> None:
    heard: list[str] = []
    ref = Ear.start(world.scheduler, heard)
    ref.tell("before")
    ref.stop(block=False)
    ref.tell("after")
    world.settle()
    assert heard == ["before"]
    assert not ref.is_alive()
    assert list(world.scheduler.actors) == []


def test_an_ask_is_answered_after_the_turn(world: World) -> None:
    ref = Ear.start(world.scheduler, [])
    answer = ref.ask("question", block=False)
    world.settle()
    assert answer.get(timeout=0) == "heard question"


def test_an_ask_gets_the_exception_and_the_actor_lives(world: World) -> None:
    def fail(_: Ear) -> None:
        raise ValueError("no")

    ref = Ear.start(world.scheduler, [])
    answer = ref.ask(fail, block=False)
    world.settle()
    with pytest.raises(ValueError, match="no"):
        answer.get(timeout=0)
    assert ref.is_alive()


def test_a_stop_answers_every_ask_that_is_left(world: World) -> None:
    ref = Ear.start(world.scheduler, [])
    ref.stop(block=False)
    answers = [ref.ask(number, block=False) for number in range(3)]
    world.settle()
    for answer in answers:
        with pytest.raises(ActorDeadError):
            answer.get(timeout=0)


def test_waiting_for_another_actor_inside_a_turn_is_refused(world: World) -> None:
    """It would wait for a loop that waits for it."""
    other = Ear.start(world.scheduler, [])
    outcome: list[str] = []

    def wait(_: Ear) -> None:
        try:
            other.ask("question", block=False).get(timeout=1)
        except LocalProtocolError as error:
            outcome.append(str(error))

    Ear.start(world.scheduler, []).tell(wait)
    world.settle()
    assert outcome == ["get() inside an actor's turn would wait for itself: use await, or tell"]


def test_the_scheduler_keeps_actors_whose_refs_nobody_keeps(world: World) -> None:
    heard: list[str] = []
    ref = Ear.start(world.scheduler, heard)
    gc.collect()
    ref.tell("still there")
    world.settle()
    assert heard == ["still there"]


def test_an_actor_reports_what_it_knows_about_itself(world: World) -> None:
    class Knowing(Ear):
        def report(self) -> dict[str, Any]:
            return {"messages": len(self.heard)}

    reports: list[Any] = []
    reader = Ear.start(world.scheduler, reports)
    knowing = Knowing.start(world.scheduler, [])
    knowing.tell("one")
    knowing.tell(Report(reader, request=7))
    world.settle()
    assert reports == [Reported("Knowing", {"messages": 1}, 7)]


def test_the_longest_turn_is_remembered_with_the_actor_that_took_it(world: World) -> None:
    for seconds, actor in ((0.1, "a"), (0.4, "b"), (0.2, "c")):
        world.scheduler.measured(seconds, actor)
    assert (world.scheduler.longest_turn_s, world.scheduler.longest_turn_of) == (0.4, "b")


def test_an_answer_can_be_awaited_on_a_real_loop() -> None:
    async def ask() -> Any:
        world = World(asyncio.get_running_loop(), turn=64)
        return await Ear.start(world.scheduler, []).ask("question", block=False)

    assert asyncio.run(asyncio.wait_for(ask(), 5.0)) == "heard question"


def test_a_thousand_actors_start_within_a_second(world: World) -> None:
    """A topic may have as many partitions, and all start in one turn of the loop."""
    started = time.perf_counter()
    heard: list[str] = []
    for _ in range(1000):
        Ear.start(world.scheduler, heard).tell("hello")
    world.settle()
    assert len(heard) == 1000
    assert time.perf_counter() - started < 1.0
