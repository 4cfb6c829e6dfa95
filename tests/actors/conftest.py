"""Actors on both loops that a node may run on: the contract of the runtime must not depend on which.

    world.until(condition)   let the loop run until it holds; a deadline on real time, virtual seconds else
    world.settle()           let the loop run until no actor has anything to do

On the real loop an actor's turn is 64 messages, on the virtual one 1, as in production and simulation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loguru import logger

from logstream.runtime import NodeActor, Scheduler
from logstream.runtime.inbox import _asleep
from simulation.pretended.virtual_loop import VirtualLoop

DEADLINE_S = 5.0


class World:
    """One loop with one scheduler and the actors of a test."""

    def __init__(self, loop: asyncio.AbstractEventLoop | VirtualLoop, turn: int) -> None:
        self.loop = loop
        self.turn = turn
        self.failures: list[tuple[NodeActor, BaseException]] = []
        self.expects_failures = False
        self.scheduler = Scheduler(loop, turn, loop.time, lambda actor, error: self.failures.append((actor, error)))

    def until(self, condition: Callable[[], object]) -> None:
        """Run until it holds; fail at the deadline."""
        if isinstance(self.loop, VirtualLoop):
            assert self.loop.run_until(lambda: bool(condition()), DEADLINE_S), "it did not become true in time"
        else:
            self.loop.run_until_complete(self._until(self.loop, condition))

    @staticmethod
    async def _until(loop: asyncio.AbstractEventLoop, condition: Callable[[], object]) -> None:
        end = loop.time() + DEADLINE_S
        while not condition():
            assert loop.time() < end, "it did not become true in time"
            moment = loop.create_future()
            loop.call_later(0.0005, moment.set_result, None)
            await moment

    def settle(self) -> None:
        """Run until every actor has started, no message waits, and no turn is coming."""
        self.until(lambda: not any(map(_busy, self.scheduler.actors)))

    def stop(self) -> None:
        """End all actors, and expect that none failed unless the test said so."""
        for actor in list(self.scheduler.actors):
            actor.stop()
        self.until(lambda: not self.scheduler.actors)
        if not self.expects_failures:
            assert self.failures == []


def _busy(actor: NodeActor) -> bool:
    inbox = actor.actor_inbox
    return bool(inbox.queue) or actor._turn_is_coming or inbox.wake is _asleep


@pytest.fixture(params=["asyncio", "virtual"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "virtual":
        made = World(VirtualLoop(seed=1), turn=1)
        yield made
        made.stop()
        return
    loop = asyncio.new_event_loop()
    troubles: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: troubles.append(context))
    made = World(loop, turn=64)
    yield made
    made.stop()
    loop.close()
    assert troubles == []


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Lines of the log as they are written: level, constant text, fields."""
    lines: list[str] = []

    def write(message: Any) -> None:
        record = message.record
        fields = [f"{key}={value}" for key, value in record["extra"].items() if key not in ("node", "actor")]
        lines.append(" ".join([record["level"].name, record["message"], *fields]))

    sink = logger.add(write, level="INFO")
    yield lines
    logger.remove(sink)


class Ear(NodeActor):
    """Writes down what it hears; a callable that it is told is called in its turn, with itself."""

    def __init__(self, scheduler: Scheduler, heard: list[Any]) -> None:
        super().__init__(scheduler)
        self.heard = heard

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.heard.append(message)
        return f"heard {message}"
