"""Producers and consumers of a simulated cluster: the cores that users run, on virtual time.

A client keeps one connection per broker and kind of request, as the real host does. Everything that it
was told is kept, in the order in which it was told: the checkers judge by it.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from typing import Any

from logstream.core.client_effects import Acknowledged, Broken, Deliver, Ended, Failed, Request, SeekCluster
from logstream.core.client_events import Answered, ClusterSought, Lost, Opened, Outgoing, Submitted, Taken
from logstream.core.consumer import ConsumerCore, ConsumerSettings
from logstream.core.effects import SetTimer
from logstream.core.events import Due
from logstream.core.producer import ProducerCore, ProducerSettings
from logstream.protocol.errors import LogStreamError
from logstream.protocol.messages import ClientResponse
from logstream.protocol.records import RecordBuilder, read
from simulation.pretended.machine import EPOCH_S
from simulation.pretended.network import Network
from simulation.pretended.streams import End, Stream
from simulation.pretended.virtual_loop import VirtualHandle, VirtualLoop

CONNECT_S = 2.0
SEEK_S = 1.0  # how long looking for the cluster takes

Lane = tuple[str, type]  # a broker's address and the kind of request


class BrokerConnection:
    """One connection to one broker; it says once that it is lost, with everything that was unanswered."""

    def __init__(self, client: PretendClient, lane: Lane) -> None:
        self._client = client
        self._lane = lane
        self._stream: Stream | None = None
        self._waiting: list[tuple[int, Any]] = []  # to send once connected
        self._unanswered: dict[int, None] = {}  # correlations, oldest first
        self._over = False
        self._end = End(client.address, None, self._hear, lambda: self._finish("connection reset"))
        client.network.dial_broker(self._end, lane[0], self._connected)
        client.loop.call_later(CONNECT_S, self._timed_out)

    def ask(self, correlation: int, message: Any) -> None:
        """Send a request, in order."""
        self._unanswered[correlation] = None
        if self._stream is None:
            self._waiting.append((correlation, message))
        else:
            self._stream.write(0, (correlation, message))

    def _connected(self, stream: Stream | None) -> None:
        if stream is None:
            self._finish("connection refused")
        elif self._over:
            stream.close(0)
        else:
            self._stream = stream
            for asked in self._waiting:
                stream.write(0, asked)
            self._waiting.clear()

    def _timed_out(self) -> None:
        if self._stream is None:
            self._finish(f"{self._lane[0]} does not answer")

    def _hear(self, answered: tuple[int, ClientResponse]) -> None:
        correlation, answer = answered
        if correlation in self._unanswered and not self._over:
            del self._unanswered[correlation]
            self._client.tell(Answered(self._lane[0], correlation, answer, self._client.loop.time()))

    def _finish(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self._client.lost(
                self._lane, Lost(self._lane[0], tuple(self._unanswered), reason, self._client.loop.time())
            )


class PretendClient:
    """Hosts one client core."""

    def __init__(self, loop: VirtualLoop, network: Network, core: Any, address: str = "client") -> None:
        self.loop = loop
        self.core = core
        self.network = network
        self.address = address
        self._connections: dict[Lane, BrokerConnection] = {}
        self._timers: dict[Hashable, VirtualHandle] = {}

    def tell(self, event: object) -> None:
        """Let the core decide, and do it."""
        for effect in self.core.handle(event):
            self.perform(effect)

    def perform(self, effect: Any) -> None:
        """Do what the core wants done."""
        match effect:
            case Request(address, correlation, message):
                lane = (address, type(message))
                connection = self._connections.get(lane)
                if connection is None:
                    connection = self._connections[lane] = BrokerConnection(self, lane)
                connection.ask(correlation, message)
            case SetTimer(timer, after_s):
                self._set_timer(timer, after_s)
            case SeekCluster():
                self.loop.call_later(SEEK_S, self._sought)
            case _:
                self.told(effect)

    def told(self, effect: Any) -> None:
        """What the core says to the application."""
        raise NotImplementedError(f"{type(self).__name__} is told {effect!r}")

    def lost(self, lane: Lane, lost: Lost) -> None:
        """Forget the connection first: what the core sends now must go over a new one."""
        del self._connections[lane]
        self.tell(lost)

    def _set_timer(self, timer: Hashable, after_s: float) -> None:
        """One that is set again starts anew."""
        earlier = self._timers.get(timer)
        if earlier is not None:
            earlier.cancel()
        self._timers[timer] = self.loop.call_later(after_s, self._due, timer)

    def _due(self, timer: Hashable) -> None:
        self._timers.pop(timer, None)
        self.tell(Due(timer, self.loop.time()))

    def _sought(self) -> None:
        """Whoever answers a JOIN or is in the state files."""
        self.tell(ClusterSought(tuple(sorted(self.network.hosts)), self.loop.time()))


class PretendProducer(PretendClient):
    """Produces values and keeps what became of each."""

    def __init__(
        self,
        loop: VirtualLoop,
        network: Network,
        bootstrap: Sequence[str],
        settings: ProducerSettings | None = None,
        address: str = "producer",
    ) -> None:
        dice = random.Random(loop.dice.getrandbits(64))
        core = ProducerCore(
            bootstrap, lambda batch_max: RecordBuilder("none", batch_max), dice, settings or ProducerSettings()
        )
        super().__init__(loop, network, core, address)
        self.acknowledged: dict[bytes, tuple[int, int]] = {}  # value -> partition, offset
        self.failed: dict[bytes, LogStreamError] = {}

    def send(self, topic: str, values: Sequence[bytes], key: bytes | None = None, padding: int = 0) -> None:
        """Produce these values, in this order, each with so many bytes of padding; each is its own ticket."""
        at = self.loop.time()
        at_ms = int((EPOCH_S + at) * 1000)
        headers = (("padding", b"." * padding),) if padding else ()
        self.tell(Submitted([Outgoing(topic, value, key, headers, None, at_ms, value) for value in values], at))

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
        self,
        loop: VirtualLoop,
        network: Network,
        bootstrap: Sequence[str],
        settings: ConsumerSettings,
        address: str = "consumer",
    ) -> None:
        core = ConsumerCore(bootstrap, random.Random(loop.dice.getrandbits(64)), settings)
        super().__init__(loop, network, core, address)
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
