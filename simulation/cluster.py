"""A cluster in a bottle: whole nodes, the real mesh of actors, on one virtual loop and a pretended network."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any, Literal

from actors.mesh import Seat
from actors.node import Node, Surroundings
from logstream.core.consumer import ConsumerSettings
from logstream.core.producer import ProducerSettings
from logstream.core.replica.replica import Replica
from logstream.settings import NodeSettings, Settings, SharedSettings
from simulation.clients import PretendConsumer, PretendProducer
from simulation.network import Climate, Network
from simulation.transports import PretendStack
from simulation.virtual_loop import Mortal, VirtualLoop

MEMORY_MAX = 1 << 30


class PretendMemory:
    """What a node's state folder remembers; outlives the node, as the folder does."""

    def __init__(self) -> None:
        self._size = 0

    def remember(self, size: int) -> None:
        """Keep how many members the view has."""
        self._size = size

    def size(self) -> int:
        """Members of the last view."""
        return self._size

    def forget(self) -> None:
        """After a clean leave nobody is waited for."""
        self._size = 0


class Cluster:
    """Nodes n1, n2, ... and their clients, all of one seed."""

    def __init__(self, seed: int, climate: Climate, shared: SharedSettings) -> None:
        self.loop = VirtualLoop(seed)
        self.network = Network(self.loop, climate)
        self.nodes: dict[str, Node] = {}
        self.stopped: dict[str, tuple[int, str]] = {}  # node -> exit code, reason
        self._shared = shared
        self._memories: dict[str, PretendMemory] = {}
        self._loops: dict[str, Mortal] = {}

    def start(self, *names: str) -> None:
        """Start these nodes; one that ran before comes back with empty memory."""
        for name in names:
            node = Node(self._settings(name), self._surroundings(name))
            node.on_stopped = partial(self._stopped, name)
            self.nodes[name] = node
            self.stopped.pop(name, None)
            node.start()

    def _settings(self, name: str) -> Settings:
        number = int(name[1:])
        node = NodeSettings(name=name, address=f"127.0.0.1:{8000 + number}", memory_max=MEMORY_MAX)
        return Settings(shared=self._shared, node=node, state_folder=Path("/nowhere"))

    def _surroundings(self, name: str) -> Surroundings:
        self._loops[name] = Mortal(self.loop)
        memory = self._memories.setdefault(name, PretendMemory())
        dice = random.Random(self.loop.dice.getrandbits(64))

        def open_transports() -> PretendStack:
            return PretendStack(self.network, self._shared.cluster)

        return Surroundings(self._loops[name], open_transports, memory, dice, turn=1, stopwatch=self.loop.time)

    def _stopped(self, name: str, exit_code: int, reason: str) -> None:
        self.stopped[name] = (exit_code, reason)
        self.nodes.pop(name, None)

    def stop(self, name: str) -> None:
        """Stop a node cleanly."""
        self.nodes[name].stop()

    def kill(self, name: str) -> None:
        """kill -9: nothing runs any more, its memory is gone."""
        node = self.nodes.pop(name)
        self.network.detach(node.settings.node.address)
        self._loops.pop(name).kill()

    # --- looking inside ---

    def actor(self, name: str, seat: Seat) -> Any:
        """The actor object in this seat of a node."""
        return self.nodes[name].actor(seat)

    def replica(self, name: str) -> Replica:
        """The core that owns the log of a node."""
        core: Replica = self.actor(name, Seat.REPLICA).core
        return core

    def members(self) -> set[frozenset[str]]:
        """The sets of members that the nodes, each for itself, are active in."""
        views = [self.replica(name).promise.active if node.running else None for name, node in self.nodes.items()]
        return {frozenset(m.node_id for m in view.members) if view else frozenset() for view in views}

    def form(self, *names: str, within_s: float = 20.0) -> None:
        """Start these nodes and wait until all of them, and nobody else, are in one view."""
        self.start(*names)
        self.wait_for_members(*self.nodes, within_s=within_s)

    def wait_for_members(self, *names: str, within_s: float = 20.0) -> None:
        """Let time pass until these are the members, in the view of each. Raises AssertionError."""
        formed = self.loop.run_until(lambda: self.members() == {frozenset(names)}, within_s)
        assert formed, f"no view of {', '.join(names)} within {within_s} s: {self.members()}"

    def leader(self) -> str:
        """The node that leads. Raises StopIteration if none does."""
        return next(name for name in self.nodes if self.replica(name).promise.leads)

    # --- clients ---

    def addresses(self) -> list[str]:
        """Of all nodes that run, in the order of their names."""
        return [self.nodes[name].settings.node.address for name in sorted(self.nodes)]

    def producer(self, settings: ProducerSettings | None = None) -> PretendProducer:
        """A producer that knows all present nodes."""
        return PretendProducer(self.loop, self.network, self.addresses(), settings)

    def impatient(self, deadline_s: float) -> ProducerSettings:
        """Settings of a producer that gives up after so many seconds."""
        return ProducerSettings(deadline_s=deadline_s)

    def consumer(
        self, topic: str, start: Literal["start", "end"] | int = "start", follow: bool = True
    ) -> PretendConsumer:
        """A consumer of one topic."""
        settings = ConsumerSettings(topics=(topic,), start=start, follow=follow, wait=follow)
        return PretendConsumer(self.loop, self.network, self.addresses(), settings)
