"""The workload of a run: producers that keep a window open, consumers that read everything from the start.

A value names its producer and its number, so no two are equal. Producers know all brokers and begin with
a random one; the cores that users run do the retrying, under the same sequence.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from logstream.core.client_effects import Acknowledged, Broken, Failed
from logstream.core.consumer import ConsumerSettings
from logstream.core.producer import ProducerSettings
from logstream.protocol.errors import OtherCluster
from simulation.clients import PretendConsumer, PretendProducer
from simulation.cluster import Cluster
from simulation.histories import Histories
from simulation.violation import Violation

TOPIC = "t"
WINDOW = 24  # values that a producer has under way at most

Blame = Callable[[Violation], None]


class WatchedProducer(PretendProducer):
    """Tells the histories what it is told."""

    histories: Histories
    blame: Blame
    sent = 0

    def told(self, effect: Any) -> None:
        """An offset, or a failure."""
        super().told(effect)
        try:
            match effect:
                case Acknowledged(tickets, partition, offset):
                    for place, value in enumerate(tickets):
                        self.histories.heard_offset(TOPIC, bytes(value), partition, offset + place)  # type: ignore[call-overload]
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
    deserted = False  # it was with brokers of another cluster for so long that it believed them

    def told(self, effect: Any) -> None:
        """Records, or that it cannot go on, for which there is one reason: an empty cluster beside the one it read."""
        before = {partition: len(rows) for partition, rows in self.records.items()}
        super().told(effect)
        try:
            for partition, rows in self.records.items():
                for offset, value in rows[before.get(partition, 0) :]:
                    self.histories.heard_record(self.address, TOPIC, partition, offset, value)
            if isinstance(effect, Broken) and isinstance(effect.error, OtherCluster):
                self.deserted = True
            elif isinstance(effect, Broken):
                raise Violation("I14", f"{self.address} cannot go on: {effect.error!r}")
        except Violation as violation:
            self.blame(violation)


class Workload:
    """The clients of one run."""

    def __init__(
        self, cluster: Cluster, dice: random.Random, histories: Histories, settings: ProducerSettings, blame: Blame
    ) -> None:
        self._cluster = cluster
        self._dice = dice
        self._running = True
        self._histories = histories
        self.producers: list[WatchedProducer] = []
        self.consumers: list[WatchedConsumer] = []
        for _ in range(dice.choice((2, 3))):
            producer = WatchedProducer(
                cluster.loop, cluster.network, self._brokers(), settings, cluster.client_address("producer")
            )
            producer.histories, producer.blame = histories, blame
            self.producers.append(producer)
        reading = ConsumerSettings(topics=(TOPIC,), wait=True)
        for _ in range(dice.choice((2, 3))):
            consumer = WatchedConsumer(
                cluster.loop, cluster.network, self._brokers(), reading, cluster.client_address("consumer")
            )
            consumer.histories, consumer.blame = histories, blame
            self.consumers.append(consumer)

    def _brokers(self) -> list[str]:
        addresses = self._cluster.addresses()
        self._dice.shuffle(addresses)
        return addresses

    @property
    def readers(self) -> list[str]:
        """The names of the consumers that can still read."""
        return [consumer.address for consumer in self.consumers if not consumer.deserted]

    def begin(self) -> None:
        """Produce and read."""
        for consumer in self.consumers:
            consumer.open()
        for producer in self.producers:
            self._cluster.loop.call_later(self._dice.random(), self._produce, producer)

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
            producer.send(TOPIC, values, key)
        self._cluster.loop.call_later(self._dice.uniform(0.02, 0.8), self._produce, producer)

    def done(self) -> bool:
        """Is every value's outcome known, and everything committed read by everybody?"""
        if any(producer.under_way for producer in self.producers):
            return False
        histories = self._histories
        topic_id = histories.ledger.topics.get(TOPIC, 0)
        return all(
            histories.position(reader, TOPIC, partition) >= len(records)
            for (found, partition), records in histories.ledger.records.items()
            if found == topic_id
            for reader in self.readers
        )
