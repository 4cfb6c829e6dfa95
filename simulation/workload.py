"""The workload of a run: producers that keep a window open, consumers that read everything from the start.

A value names its producer and its number, so no two are equal. Producers know all brokers and begin with
a random one; the cores that users run do the retrying, under the same sequence.

    consumer --OFFSET_OUT_OF_RANGE, and it is trimmed---> another one in its place, from the start
    now and then a bounded one: it reads to the end, and must find what had been acknowledged before it began
    restless runs: the limits of TOPIC change, OTHER is made, written to, deleted and made again
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from logstream.core.client_effects import Acknowledged, Broken, Ended, Failed
from logstream.core.client_events import Answered
from logstream.core.consumer import ConsumerSettings
from logstream.core.producer import ProducerSettings
from logstream.protocol.errors import OffsetOutOfRange, OtherCluster
from logstream.protocol.messages import AlterTopic, ClientRequest, CreateTopic, DeleteTopic, MetadataResponse
from logstream.protocol.retention import LIMITS, TopicRetention
from simulation.checks.histories import Histories
from simulation.checks.violation import Violation
from simulation.checks.witness import Witness
from simulation.cluster import Cluster
from simulation.judge import Judge
from simulation.pretended.clients import PretendConsumer, PretendProducer

TOPIC = "t"
OTHER = "u"  # is deleted and made again in restless runs
WINDOW = 24  # values that a producer has under way at most
LIMIT_CHOICES = (
    TopicRetention(retention_records=10),
    TopicRetention(retention_records=40, retention_s=0.0),
    TopicRetention(retention_bytes=2_000),
    TopicRetention(retention_s=3.0),
)

Blame = Callable[[Violation], None]


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients of a run do beside the usual."""

    deadline_s: float  # of producers
    padding: int = 0  # bytes that each record has beside its value
    restless: bool = False  # topics are altered, deleted and made again


class WatchedProducer(PretendProducer):
    """Tells the histories what it is told."""

    histories: Histories
    blame: Blame
    topic = TOPIC
    sent = 0

    def told(self, effect: Any) -> None:
        """An offset, or a failure."""
        super().told(effect)
        try:
            match effect:
                case Acknowledged(tickets, partition, offset):
                    for place, value in enumerate(tickets):
                        self.histories.heard_offset(self.topic, bytes(value), partition, offset + place)  # type: ignore[call-overload]
                case Failed(tickets, error):
                    for value in tickets:
                        self.histories.heard_failure(bytes(value), error)  # type: ignore[call-overload]
        except Violation as violation:
            self.blame(violation)

    @property
    def under_way(self) -> int:
        """Values whose outcome is open."""
        return self.sent - len(self.acknowledged) - len(self.failed)


class WatchedConsumer(PretendConsumer):
    """Tells the histories what it reads."""

    histories: Histories
    blame: Blame
    overtaken: Callable[[WatchedConsumer], None]  # is told once, when retention has trimmed what it reads next
    brokers: Sequence[str]  # that it was told of
    reader = ""  # what the histories know it by
    fresh = False  # it began when the run was over, to see what can still be found
    deserted = False  # it was with brokers of another cluster for so long that it believed them

    def told(self, effect: Any) -> None:
        """Records, or that it cannot go on: an empty cluster beside the one it read, or what is next is trimmed."""
        before = {partition: len(rows) for partition, rows in self.records.items()}
        super().told(effect)
        try:
            for partition, rows in self.records.items():
                for offset, value in rows[before.get(partition, 0) :]:
                    self.histories.heard_record(self.reader, TOPIC, partition, offset, value)
            if isinstance(effect, Broken) and isinstance(effect.error, OtherCluster):
                self.deserted = True
            elif isinstance(effect, Broken) and isinstance(effect.error, OffsetOutOfRange):
                positions = {partition: offset for (_, partition), offset in self.core.positions.items()}
                self.histories.heard_out_of_range(self.reader, TOPIC, positions)
                self.overtaken(self)
            elif isinstance(effect, Broken):
                raise Violation("I14", f"{self.reader} cannot go on: {effect.error!r}")
        except Violation as violation:
            self.blame(violation)


class BoundedConsumer(WatchedConsumer):
    """Reads to the end, once.

    Where that is a leader says, as of when it was asked. One that was overtaken and has not noticed yet cannot know
    what another one acknowledges: whoever was answered by such a one, by the number of its view, proves nothing.
    """

    witness: Witness
    _misled = False
    _owed: dict[int, int]  # partition -> behind the last offset that had been acknowledged

    def open(self) -> None:
        """Begin to read."""
        self._owed = {}
        for topic, partition, offset in self.histories.acknowledged.values():
            if topic == TOPIC:
                self._owed[partition] = max(offset + 1, self._owed.get(partition, 0))
        super().open()

    def tell(self, event: object) -> None:
        """Let the core decide, and do it."""
        if isinstance(event, Answered) and isinstance(event.message, MetadataResponse):
            self._misled |= event.message.view < self.witness.newest_view(event.message.cluster_id)
        super().tell(event)

    def told(self, effect: Any) -> None:
        """Records, that it cannot go on, or that this is the end."""
        super().told(effect)
        if isinstance(effect, Ended) and not self._misled:
            for partition, owed in self._owed.items():
                position = self.core.positions.get((TOPIC, partition), 0)
                if position < owed:
                    text = f"{self.reader} ended at {TOPIC}/{partition}/{position}, {owed - 1} was acknowledged before"
                    self.blame(Violation("unseen", text))

    @property
    def over(self) -> bool:
        """Is it at its end, or cannot go on?"""
        return self.ended or self.error is not None


class Workload:
    """The clients of one run."""

    def __init__(self, cluster: Cluster, dice: random.Random, judge: Judge, load: Load) -> None:
        self._cluster = cluster
        self._dice = dice
        self._running = True
        self._judge = judge
        self._histories = judge.histories
        self._load = load
        self._bounded: list[BoundedConsumer] = []
        self.producers = [self._producer() for _ in range(dice.choice((2, 3)))]
        self.consumers = [
            self._consumer(address, address)
            for address in (cluster.client_address("consumer") for _ in range(dice.choice((2, 3))))
        ]
        if load.restless:
            self.producers.append(self._producer())
            self.producers[-1].topic = OTHER

    def _producer(self) -> WatchedProducer:
        cluster, settings = self._cluster, ProducerSettings(deadline_s=self._load.deadline_s)
        address = cluster.client_address("producer")
        producer = WatchedProducer(cluster.loop, cluster.network, self._brokers(), settings, address)
        producer.histories, producer.blame = self._histories, self._judge.blame
        return producer

    def _consumer(self, address: str, reader: str, brokers: Sequence[str] = ()) -> WatchedConsumer:
        cluster, settings = self._cluster, ConsumerSettings(topics=(TOPIC,), wait=True)
        brokers = brokers or self._brokers()
        consumer = WatchedConsumer(cluster.loop, cluster.network, brokers, settings, address)
        consumer.histories, consumer.blame, consumer.overtaken = self._histories, self._judge.blame, self._replace
        consumer.reader, consumer.brokers = reader, brokers
        return consumer

    def _read_to_the_end(self) -> None:
        """One more bounded consumer, if it finds a broker; and later another one."""
        if not self._running:
            return
        if self._cluster.nodes:
            self._bounded.append(self._bounded_consumer())
            self._bounded[-1].open()
        self._cluster.loop.call_later(self._dice.uniform(2.0, 6.0), self._read_to_the_end)

    def _bounded_consumer(self) -> BoundedConsumer:
        cluster, address = self._cluster, self._cluster.client_address("bounded")
        settings = ConsumerSettings(topics=(TOPIC,), wait=True, follow=False, deadline_s=inf)
        consumer = BoundedConsumer(cluster.loop, cluster.network, self._brokers(), settings, address)
        consumer.histories, consumer.blame, consumer.overtaken = self._histories, self._judge.blame, lambda _: None
        consumer.reader, consumer.witness = address, self._judge.witness
        return consumer

    def _replace(self, overtaken: WatchedConsumer) -> None:
        """Another one reads on its behalf, begins with the same brokers, from where the log starts now.

        To the histories it is somebody else.
        """
        another = self._consumer(overtaken.address, f"{overtaken.reader}'", overtaken.brokers)
        another.fresh = overtaken.fresh
        self.consumers[self.consumers.index(overtaken)] = another
        self._cluster.loop.call_later(0.0, another.open)

    def _brokers(self) -> list[str]:
        addresses = self._cluster.addresses()
        self._dice.shuffle(addresses)
        return addresses

    @property
    def readers(self) -> list[str]:
        """The names of the consumers that can still read."""
        return [consumer.reader for consumer in self.consumers if not consumer.deserted]

    @property
    def fresh(self) -> list[str]:
        """Those of them who began when the run was over."""
        return [consumer.reader for consumer in self.consumers if consumer.fresh and not consumer.deserted]

    def begin(self) -> None:
        """Produce and read."""
        for consumer in self.consumers:
            consumer.open()
        for producer in self.producers:
            self._cluster.loop.call_later(self._dice.random(), self._produce, producer)
        self._cluster.loop.call_later(self._dice.uniform(0.0, 4.0), self._read_to_the_end)
        if self._load.restless:
            self._cluster.loop.call_later(self._dice.uniform(0.5, 2.0), self._administer)

    def read_again(self, names: Iterable[str]) -> None:
        """One more consumer for each of these nodes, who begins with that node alone, reads from the start."""
        for name in sorted(names):
            address = self._cluster.client_address("reader")
            self.consumers.append(self._consumer(address, address, [self._cluster.address_of(name)]))
            self.consumers[-1].fresh = True
            self.consumers[-1].open()

    def stop(self) -> None:
        """Produce no more; what was sent is still acknowledged, and read."""
        self._running = False

    def _produce(self, producer: WatchedProducer) -> None:
        if not self._running:
            return
        count = min(self._dice.randint(1, 4), WINDOW - producer.under_way)
        if count > 0:
            values = [b"%s/%d" % (producer.address.encode(), producer.sent + number) for number in range(count)]
            producer.sent += count
            key = self._dice.choice((None, b"a", b"b", b"c"))
            producer.send(producer.topic, values, key, self._load.padding)
        self._cluster.loop.call_later(self._dice.uniform(0.02, 0.8), self._produce, producer)

    def _administer(self) -> None:
        """Ask some node for a decision about a topic; whether it can be made then is not waited for."""
        names = sorted(self._cluster.nodes)
        if not self._running:
            return
        if names:
            self._cluster.tell_broker(self._dice.choice(names), self._wish())
        self._cluster.loop.call_later(self._dice.uniform(0.3, 2.0), self._administer)

    def _wish(self) -> ClientRequest:
        """Where the topic that is never deleted is not there yet no other is: an emptied cluster may be given up."""
        dice = self._dice
        wishes: tuple[ClientRequest, ...] = (
            DeleteTopic(OTHER),
            CreateTopic(OTHER, dice.choice((1, 3)), dice.choice(LIMIT_CHOICES)),
            AlterTopic(TOPIC, dice.choice(LIMIT_CHOICES)),
            AlterTopic(TOPIC, TopicRetention(), LIMITS),
        )
        wish = dice.choice(wishes)
        return wish if TOPIC in self._histories.ledger.topics else AlterTopic(TOPIC, TopicRetention(), LIMITS)

    def done(self) -> bool:
        """Is every value's outcome known, and everything committed read by everybody who reads on?"""
        if any(producer.under_way for producer in self.producers):
            return False
        histories = self._histories
        topic_id = histories.ledger.topics.get(TOPIC, 0)
        ended = all(one.over for one in self._bounded) or not topic_id  # they wait for the topic
        return ended and all(
            histories.position(reader, TOPIC, partition) >= len(records)
            for (found, partition), records in histories.ledger.records.items()
            if found == topic_id
            for reader in self.readers
        )
