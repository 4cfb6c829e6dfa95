"""A cluster in a bottle: whole nodes, the real mesh of actors, on one virtual loop and a pretended network."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from actors.mesh import Seat
from actors.node import Node, Surroundings
from logstream.core.consumer import ConsumerSettings
from logstream.core.producer import ProducerSettings
from logstream.core.replica.replica import Replica
from logstream.core.replica.storing import Recovered
from logstream.core.topic_log import TopicLog
from logstream.protocol.identity import Member
from logstream.protocol.messages import ClientRequest
from logstream.runtime import NodeActor
from logstream.settings import NodeSettings, Settings, SharedSettings
from simulation.pretended.clients import PretendConsumer, PretendProducer
from simulation.pretended.climate import Climate
from simulation.pretended.disk import PretendDisk
from simulation.pretended.machine import Machine
from simulation.pretended.network import Network
from simulation.pretended.transports import PretendStack
from simulation.pretended.virtual_loop import VirtualLoop

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

    def __init__(
        self,
        seed: int,
        climate: Climate,
        shared: SharedSettings,
        memory_max: int = MEMORY_MAX,
        durable: bool = False,
    ) -> None:
        self.loop = VirtualLoop(seed)
        self.network = Network(self.loop, climate)
        self.nodes: dict[str, Node] = {}
        self.stopped: dict[str, tuple[int, str]] = {}  # node -> exit code, reason
        self.observe: Callable[[str, NodeActor, Any], None] | None = None  # after every turn: node, actor, message
        self.ended: Callable[[str, int, str], None] | None = None  # a node has stopped: exit code, reason
        self._shared = shared
        self._memory_max = memory_max  # of each node, in bytes
        self.durable = durable  # every node has a disk, and comes back as the member that it was (R19)
        self.found: Callable[[Member, Recovered], None] | None = None  # a node has come back with its store
        self.disks: dict[str, PretendDisk] = {}  # of durable nodes
        self.client_addresses: list[str] = []
        self._memories: dict[str, PretendMemory] = {}
        self.machines: dict[str, Machine] = {}

    def start(self, *names: str) -> None:
        """Start these nodes; one that ran before comes back with what its disk holds, if it has one."""
        for name in names:
            node = Node(self._settings(name), self._surroundings(name))
            node.on_stopped = partial(self._stopped, name)
            self.nodes[name] = node
            self.stopped.pop(name, None)
            node.start()

    def _found(self, name: str, found: Recovered) -> None:
        if self.found is not None:
            self.found(Member(name, found.store_id, self.address_of(name)), found)

    def _settings(self, name: str) -> Settings:
        node = NodeSettings(name=name, address=self.address_of(name), memory_max=self._memory_max)
        return Settings(shared=self._shared, node=node, state_folder=Path("/nowhere"))

    def _surroundings(self, name: str) -> Surroundings:
        machine = self.machines[name] = self._machine()
        memory = self._memories.setdefault(name, PretendMemory())
        dice = random.Random(self.loop.dice.getrandbits(64))

        def open_transports() -> PretendStack:
            return PretendStack(self.network, machine, self._shared.cluster)

        observe = partial(self.observe, name) if self.observe is not None else None
        disk = self._disk(name, machine) if self.durable else None
        return Surroundings(
            machine,
            open_transports,
            memory,
            dice,
            turn=1,
            stopwatch=float,  # stands still: a turn takes no virtual time
            wall_clock=machine.wall_time,
            observe=observe,
            disk=disk,
        )

    def _disk(self, name: str, machine: Machine) -> PretendDisk:
        if name not in self.disks:
            self.disks[name] = PretendDisk(random.Random(self.loop.dice.getrandbits(64)))
            self.disks[name].found = partial(self._found, name)
        self.disks[name].machine = machine
        return self.disks[name]

    def _gone(self, name: str) -> None:
        """Whatever ended a node's process, its disk has what it has."""
        if name in self.disks:
            self.disks[name].crash()

    def _machine(self) -> Machine:
        dice, rates = self.loop.dice, self.network.climate.clock_rates
        return Machine(self.loop, 1 + dice.uniform(-rates, rates), dice.uniform(0.0, 1000.0))

    def _stopped(self, name: str, exit_code: int, reason: str) -> None:
        self.stopped[name] = (exit_code, reason)
        self._gone(name)
        self.nodes.pop(name, None)
        if self.ended is not None:
            self.ended(name, exit_code, reason)

    def stop(self, name: str) -> None:
        """Stop a node cleanly."""
        self.nodes[name].stop()

    def kill(self, name: str, silent: bool = False) -> None:
        """kill -9: nothing runs any more, its memory is gone. Silent: the power is, so not even its kernel speaks."""
        node = self.nodes.pop(name)
        self.machines[name].kill()
        self._gone(name)
        self.network.detach(node.settings.node.address, silent)

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

    def topic_log(self, name: str, topic_id: int, partition: int) -> TopicLog | None:
        """The core that holds what a node would serve of one partition, if there is one."""
        scheduler = self.actor(name, Seat.TOPICS).scheduler
        wanted = f"topic_log/{topic_id}/{partition}"
        return next((actor.core for actor in scheduler.actors if actor.name == wanted), None)

    def on_disk(self, member: Member, gseq: int, chain: int) -> bool:
        """Is the log with this chain, up to gseq, on the disk of this member, whether it runs or not?"""
        return any(disk.holds(member.store_id, gseq, chain) for disk in self.disks.values())

    def leads(self, name: str) -> bool:
        """Does this node lead, as far as it knows?"""
        return name in self.nodes and self.nodes[name].running and self.replica(name).promise.leads

    # --- clients ---

    @staticmethod
    def address_of(name: str) -> str:
        """Where this node is, or would be."""
        return f"127.0.0.1:{8000 + int(name[1:])}"

    def tell_broker(self, name: str, request: ClientRequest) -> bool:
        """Ask a node something, as a client whose answer nobody waits for; False if it does not listen."""
        connection = self.network.connect(self.address_of(name), lambda correlation, answer: None)
        if connection is not None:
            connection.ask(1, request)
        return connection is not None

    def addresses(self) -> list[str]:
        """Of all nodes that run, in the order of their names."""
        return [self.nodes[name].settings.node.address for name in sorted(self.nodes)]

    def producer(self, settings: ProducerSettings | None = None) -> PretendProducer:
        """A producer that knows all present nodes."""
        return PretendProducer(self.loop, self.network, self.addresses(), settings, self.client_address("producer"))

    def consumer(
        self, topic: str, start: Literal["start", "end"] | int = "start", follow: bool = True
    ) -> PretendConsumer:
        """A consumer of one topic."""
        settings = ConsumerSettings(topics=(topic,), start=start, follow=follow, wait=follow)
        address = self.client_address("consumer")
        return PretendConsumer(self.loop, self.network, self.addresses(), settings, address)

    def client_address(self, kind: str) -> str:
        """An address for one more client."""
        self.client_addresses.append(f"{kind}-{len(self.client_addresses) + 1}")
        return self.client_addresses[-1]
