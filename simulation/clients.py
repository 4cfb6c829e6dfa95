"""Producers and consumers of a simulated cluster: the cores that users run, on virtual time.

A client keeps one connection per broker and kind of request, as the real host does. Everything that it
was told is kept, in the order in which it was told: the checkers judge by it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from logstream.core.client_effects import Acknowledged, Broken, Deliver, Ended, Failed, Request
from logstream.core.client_events import Answered, Lost, Opened, Outgoing, Submitted, Taken
from logstream.core.consumer import ConsumerCore, ConsumerSettings
from logstream.core.effects import SetTimer
from logstream.core.events import Due
from logstream.core.producer import ProducerCore, ProducerSettings
from logstream.protocol.errors import LogStreamError
from logstream.protocol.messages import ClientResponse
from logstream.protocol.records import RecordBuilder, read
from simulation.network import Connection, Network
from simulation.virtual_loop import VirtualLoop

ANSWER_CHECK_S = 0.05  # how soon a client notices that a broker is gone


class PretendClient:
    """Hosts one client core."""

    def __init__(self, loop: VirtualLoop, network: Network, core: Any) -> None:
        self.loop = loop
        self.core = core
        self._network = network
        self._connections: dict[tuple[str, type], Connection] = {}
        self._asked: dict[tuple[str, type], set[int]] = {}

    def tell(self, event: object) -> None:
        """Let the core decide, and do it."""
        for effect in self.core.handle(event):
            self.perform(effect)

    def perform(self, effect: Any) -> None:
        """Do what the core wants done."""
        match effect:
            case Request(address, correlation, message):
                self._ask(address, correlation, message)
            case SetTimer(timer, after_s):
                self.loop.call_later(after_s, lambda: self.tell(Due(timer, self.loop.time())))
            case _:
                self.told(effect)

    def told(self, effect: Any) -> None:
        """What the core says to the application."""
        raise NotImplementedError(f"{type(self).__name__} is told {effect!r}")

    def _ask(self, address: str, correlation: int, message: Any) -> None:
        key = (address, type(message))
        connection = self._connections.get(key)
        if connection is None or not connection.alive:
            connection = self._network.connect(address, lambda number, answer: self._hear(key, number, answer))
            if connection is None:
                at = self.loop.time() + 0.001
                self.loop.call_later(0.001, self.tell, Lost(address, (correlation,), "connection refused", at))
                return
            self._connections[key] = connection
        self._asked.setdefault(key, set()).add(correlation)
        connection.ask(correlation, message)
        self.loop.call_later(ANSWER_CHECK_S, self._look, key, connection)

    def _hear(self, key: tuple[str, type], correlation: int, answer: ClientResponse) -> None:
        if correlation in self._asked.get(key, ()):
            self._asked[key].discard(correlation)
            self.tell(Answered(key[0], correlation, answer, self.loop.time()))

    def _look(self, key: tuple[str, type], connection: Connection) -> None:
        """A broker that died takes everything that was asked on its connection along."""
        asked = self._asked.get(key)
        if not asked or self._connections.get(key) is not connection:
            return
        if connection.alive:
            self.loop.call_later(ANSWER_CHECK_S, self._look, key, connection)
            return
        lost = tuple(sorted(asked))
        self._asked[key] = set()
        self.tell(Lost(key[0], lost, "connection reset", self.loop.time()))


class PretendProducer(PretendClient):
    """Produces values and keeps what became of each."""

    def __init__(
        self, loop: VirtualLoop, network: Network, bootstrap: Sequence[str], settings: ProducerSettings | None = None
    ) -> None:
        dice = random.Random(loop.dice.getrandbits(64))
        core = ProducerCore(
            bootstrap, lambda batch_max: RecordBuilder("none", batch_max), dice, settings or ProducerSettings()
        )
        super().__init__(loop, network, core)
        self.acknowledged: dict[bytes, tuple[int, int]] = {}  # value -> partition, offset
        self.failed: dict[bytes, LogStreamError] = {}

    def send(self, topic: str, values: Sequence[bytes], key: bytes | None = None) -> None:
        """Produce these values, in this order; each is its own ticket."""
        at = self.loop.time()
        self.tell(Submitted([Outgoing(topic, value, key, (), None, int(at * 1000), value) for value in values], at))

    def told(self, effect: Any) -> None:
        """Note what became of a value."""
        match effect:
            case Acknowledged(tickets, partition, offset):
                for place, value in enumerate(tickets):
                    assert isinstance(value, bytes)
                    self.acknowledged[value] = (partition, offset + place)
            case Failed(tickets, error):
                for value in tickets:
                    assert isinstance(value, bytes)
                    self.failed[value] = error


class PretendConsumer(PretendClient):
    """Reads one topic and keeps every record in the order in which it came."""

    def __init__(
        self, loop: VirtualLoop, network: Network, bootstrap: Sequence[str], settings: ConsumerSettings
    ) -> None:
        super().__init__(loop, network, ConsumerCore(bootstrap, random.Random(loop.dice.getrandbits(64)), settings))
        self.records: dict[int, list[tuple[int, bytes]]] = {}  # partition -> offset, value
        self.ended = False
        self.error: LogStreamError | None = None

    def open(self) -> None:
        """Begin to read."""
        self.tell(Opened(self.loop.time()))

    def told(self, effect: Any) -> None:
        """Note what was read."""
        match effect:
            case Deliver(_, partition, batch, first, limit):
                for record in read(batch):
                    if first <= record.offset < limit:
                        self.records.setdefault(partition, []).append((record.offset, record.value or b""))
                self.tell(Taken(batch.size, self.loop.time()))
            case Ended():
                self.ended = True
            case Broken(error):
                self.error = error
