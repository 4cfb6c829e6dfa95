"""Scenario: one cluster at a time, its clients, and what came of the last command.

Nothing of the network is left to chance here: no loss, a millisecond at most. Every turn is judged by
the protocol's invariants, whatever the scenario asks about.

Elsewhere: the commands (nodes.py, messages.py, clients.py, looking.py), what is written down
(transcript.py), what the nodes wrote to their logs (story.py), who judges (../judge.py).
"""

from __future__ import annotations

from collections.abc import Callable

from logstream.settings import SharedSettings
from simulation.cluster import MEMORY_MAX
from simulation.judge import Judge
from simulation.scenarios.stage import Stage
from simulation.scenarios.story import Story
from simulation.scenarios.watched import WatchedConsumer, WatchedProducer

WAIT_S = 30.0  # of virtual time, for whatever is waited for
NODES = 3

Command = Callable[["Scenario", list[str]], list[str]]  # takes the words behind its name, returns answers


class CannotDo(ValueError):
    """A command that makes no sense; the text says why."""


class Scenario:
    """What a transcript talks to."""

    cluster: Stage
    judge: Judge | None  # None: the scenario is about what the invariants leave out

    def __init__(self, seed: int = 1) -> None:
        self.seed = seed
        self.story = Story()
        self.producers: dict[str, WatchedProducer] = {}
        self.sent: dict[str, list[bytes]] = {}
        self.readers = 0
        self.followers: list[WatchedConsumer] = []
        self._take_cluster({})

    def begin(self, settings: dict[str, str]) -> None:
        """Judge the cluster that is there, and take another one."""
        self.end()
        self._take_cluster(settings)

    def check(self) -> None:
        """Was a promise broken? Raises Violation."""
        if self.judge is not None:
            self.judge.check()

    def end(self) -> None:
        """Is what was acknowledged there? Raises Violation."""
        if self.judge is not None:
            self.judge.check()
            self.judge.histories.check_end([], "")

    def wait(self, condition: Callable[[], bool], within_s: float = WAIT_S) -> bool:
        """Let time pass until the condition holds."""
        return self.cluster.loop.run_until(condition, within_s)

    def wait_for_members(self, names: list[str]) -> list[str]:
        """Let time pass until these are the members of one view, each active in it."""
        formed = self.wait(lambda: self.cluster.agree(names))
        return [f"{'one' if formed else 'no'} view of {' '.join(names)}"]

    def _take_cluster(self, settings: dict[str, str]) -> None:
        self.producers, self.sent, self.followers = {}, {}, []
        watched = settings.pop("watched", "yes") == "yes"
        memory_max = int(settings.pop("memory_max", MEMORY_MAX))
        durable = settings.pop("durable", "no") == "yes"
        shared = SharedSettings.model_validate({"expected_nodes": NODES, **settings})
        self.cluster = Stage(self.seed, shared, memory_max, durable)
        self.judge = Judge(self.cluster) if watched else None
