"""Endless load on virtual time (R22): memory stays within its bound, and whoever comes late gets what is left."""

from __future__ import annotations

import random

import pytest

from logstream.protocol.errors import OffsetOutOfRange
from logstream.settings import SharedSettings
from simulation.cluster import Cluster
from simulation.pretended.clients import PretendConsumer, PretendProducer
from simulation.pretended.climate import Climate
from tests.simulation.checkers import check_logs

MEMORY_MAX = 1 << 19
LOSSY = Climate(loss=0.1, duplication=0.1, datagram_delay_s=(0.0001, 0.005))


class Load:
    """A cluster under endless load, and what its memory came to."""

    def __init__(self, seed: int, climate: Climate, memory_max: int = MEMORY_MAX, **shared: object) -> None:
        settings = SharedSettings.model_validate({"expected_nodes": 3, **shared})
        self.cluster = Cluster(seed, climate, settings, memory_max)
        self.cluster.form("n1", "n2", "n3")
        self.producer: PretendProducer = self.cluster.producer()
        self.sent = 0
        self.peak = 0  # bytes of the largest log that a node had

    def produce(self, total: int, topic: str = "t", size: int = 900, step: int = 10, pause_s: float = 0.005) -> None:
        """So many bytes in records of this size, a few at a time, and wait until all are acknowledged."""
        for _ in range(total // (size * step)):
            values = [(b"%d-" % (self.sent + number)).ljust(size, b"x") for number in range(step)]
            self.sent += step
            self.producer.send(topic, values)
            self.cluster.loop.run_for(pause_s)
            self.look()
        assert self.cluster.loop.run_until(lambda: len(self.producer.acknowledged) == self.sent, 60.0)
        self.look()

    def look(self) -> None:
        sizes = [self.cluster.replica(name).history.log.bytes for name in self.cluster.nodes]
        self.peak = max(self.peak, *sizes)

    def starts(self) -> dict[str, int]:
        """The first gseq that each node holds."""
        return {name: self.cluster.replica(name).history.log.start for name in self.cluster.nodes}

    def reads(self, topic: str = "t", start: int | str = "start") -> PretendConsumer:
        """A consumer that has read what there is."""
        consumer = self.cluster.consumer(topic, start, follow=False)  # type: ignore[arg-type]
        consumer.open()
        assert self.cluster.loop.run_until(lambda: consumer.ended or consumer.error is not None, 10.0)
        return consumer

    def calm(self) -> None:
        """Let everything be carried out, then judge all logs."""
        self.cluster.loop.run_for(2.0)
        check_logs(self.cluster)


@pytest.mark.parametrize("climate", [Climate(), LOSSY, Climate(multicast=False)], ids=["calm", "lossy", "tcp"])
@pytest.mark.parametrize("commit", ["all", "majority"])
def test_memory_stays_within_its_bound_when_twenty_times_as_much_is_written(climate: Climate, commit: str) -> None:
    load = Load(1, climate, commit=commit)
    load.produce(20 * MEMORY_MAX)
    assert load.peak <= MEMORY_MAX
    assert min(load.starts().values()) > 20
    load.calm()
    ends = {name: load.cluster.replica(name).history.log.bytes for name in load.cluster.nodes}
    assert len(set(ends.values())) == 1, ends


def test_small_records_of_many_partitions_keep_the_bound_too() -> None:
    """Here most of the memory is the entries themselves, and a quiet topic lies at the head of the log."""
    load = Load(2, Climate(), memory_max=1 << 17, default_partitions=8)
    load.produce(50, topic="quiet", size=10, step=1)
    load.produce(150_000, size=50, step=1, pause_s=0.002)
    assert load.peak <= 1 << 17
    assert load.cluster.replica("n1").history.end > 2000
    load.calm()


@pytest.mark.parametrize("seed", range(3))
def test_a_learner_behind_a_trimmed_head_joins_under_load_and_holds_the_same(seed: int) -> None:
    load = Load(seed, LOSSY if seed else Climate())
    load.produce(5 * MEMORY_MAX)
    assert min(load.starts().values()) > 10
    load.cluster.start("n4")
    load.produce(5 * MEMORY_MAX)
    load.cluster.wait_for_members("n1", "n2", "n3", "n4")
    load.calm()
    logs = {name: load.cluster.replica(name).history for name in load.cluster.nodes}
    assert len({(log.end, log.log.chain, len(log.dedup)) for log in logs.values()}) == 1
    load.produce(MEMORY_MAX)  # n4 leads sooner or later, or follows: its tables are right in any case
    load.cluster.stop(load.cluster.leader())
    load.cluster.loop.run_for(3.0)
    load.produce(MEMORY_MAX)
    load.calm()


def test_a_consumer_at_an_old_position_hears_where_the_log_starts() -> None:
    load = Load(3, Climate())
    load.produce(5 * MEMORY_MAX)
    consumer = load.reads(start=5)
    assert isinstance(consumer.error, OffsetOutOfRange)
    assert "offset 5 is out of range: the log starts at " in str(consumer.error)
    consumer = load.reads()
    [rows] = consumer.records.values()
    assert consumer.error is None
    assert (rows[0][0] > 100, rows[-1][0]) == (True, load.sent - 1)


def test_a_consumer_that_is_overtaken_hears_so_and_skips_nothing_silently() -> None:
    load = Load(4, Climate())
    load.produce(MEMORY_MAX // 2)
    load.produce(5 * MEMORY_MAX)
    slow = load.reads(start=1)
    assert isinstance(slow.error, OffsetOutOfRange)
    assert slow.records == {}


def test_a_partition_keeps_the_records_that_it_is_told_to() -> None:
    load = Load(5, Climate(), memory_max=1 << 24, retention_records=500)
    load.produce(2_000_000)
    load.cluster.loop.run_for(3.0)
    [rows] = load.reads().records.values()
    assert 500 <= len(rows) < 520
    assert rows[-1][0] == load.sent - 1


def test_a_partition_keeps_the_bytes_that_it_is_told_to() -> None:
    load = Load(6, Climate(), memory_max=1 << 24, retention_bytes=300_000)
    load.produce(2_000_000)
    load.cluster.loop.run_for(3.0)
    [rows] = load.reads().records.values()
    assert 0.9 * 300_000 < sum(len(value) for _, value in rows) < 300_000


def test_records_go_when_they_are_too_old() -> None:
    load = Load(7, Climate(), memory_max=1 << 24, retention_s=10)
    load.produce(100_000)
    assert len(load.reads().records[0]) == load.sent
    load.cluster.loop.run_for(12.0)
    load.produce(9_000)
    load.cluster.loop.run_for(2.0)
    [rows] = load.reads().records.values()
    assert [offset for offset, _ in rows] == list(range(load.sent - 10, load.sent))


def test_a_deleted_topic_frees_its_memory_on_every_member() -> None:
    from logstream.protocol.messages import DeleteTopic, TopicResponse

    load = Load(8, Climate(), memory_max=1 << 24)
    load.produce(500_000)
    answers: list[object] = []
    connection = load.cluster.network.connect(
        load.cluster.addresses()[0], lambda number, answer: answers.append(answer)
    )
    assert connection is not None
    connection.ask(1, DeleteTopic("t"))
    assert load.cluster.loop.run_until(lambda: bool(answers), 5.0)
    assert isinstance(answers[0], TopicResponse)
    load.calm()
    for name in load.cluster.nodes:
        history = load.cluster.replica(name).history
        assert (history.log.bytes, history.log.start) == (0, history.end + 1)


def cut_off(cluster: Cluster, name: str) -> None:
    """Nothing comes through to this node, and nothing from it."""
    for other in cluster.nodes:
        if other != name:
            cluster.network.cut(cluster.nodes[name].settings.node.address, cluster.nodes[other].settings.node.address)


@pytest.mark.parametrize("seed", range(6))
def test_a_member_that_lags_behind_a_trimmed_head_goes_on_from_a_checkpoint(seed: int) -> None:
    """With commit = majority nobody waits for it; when it is back its leader's log starts above its own end."""
    dice = random.Random(seed)
    load = Load(seed, Climate(loss=dice.choice([0.0, 0.1]), multicast=dice.random() < 0.5), commit="majority")
    load.produce(MEMORY_MAX // 4)
    behind = next(name for name in sorted(load.cluster.nodes) if name != load.cluster.leader())
    cut_off(load.cluster, behind)
    load.produce(6 * MEMORY_MAX)
    end = load.cluster.replica(behind).history.end
    assert load.cluster.replica(load.cluster.leader()).history.log.start > end + 1
    load.cluster.network.heal()
    load.cluster.wait_for_members("n1", "n2", "n3", within_s=30.0)
    load.produce(MEMORY_MAX)
    load.calm()
    history = load.cluster.replica(behind).history
    assert history.log.start > end
    assert load.cluster.stopped == {}


@pytest.mark.parametrize("seed", range(6))
def test_a_member_that_lags_behind_a_trimmed_head_gets_the_base_of_a_new_view(seed: int) -> None:
    """Its leader hands over the moment that it is back: the base of the next view starts above its own end."""
    load = Load(seed, Climate(multicast=seed % 2 == 0), commit="majority")
    load.cluster.start("n4")
    load.cluster.wait_for_members("n1", "n2", "n3", "n4")
    load.produce(MEMORY_MAX // 4)
    behind = next(name for name in sorted(load.cluster.nodes) if name != load.cluster.leader())
    cut_off(load.cluster, behind)
    load.produce(6 * MEMORY_MAX)
    end = load.cluster.replica(behind).history.end
    load.cluster.network.heal()
    load.cluster.stop(load.cluster.leader())
    assert load.cluster.loop.run_until(lambda: len(load.cluster.nodes) == 3, 10.0)
    load.cluster.wait_for_members(*load.cluster.nodes, within_s=30.0)
    load.produce(MEMORY_MAX)
    load.calm()
    history = load.cluster.replica(behind).history
    assert history.log.start > end
    assert [code for code, _ in load.cluster.stopped.values()] == [0]
