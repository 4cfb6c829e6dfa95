"""Whole clusters on virtual time: what producers send arrives once and in order, whatever the network does."""

from __future__ import annotations

import random

import pytest

from logstream.settings import SharedSettings
from simulation.cluster import Cluster
from simulation.pretended.clients import PretendConsumer, PretendProducer
from simulation.pretended.network import Climate
from tests.simulation.checkers import check_histories, check_logs, values_of

SEEDS = 200
LOSSY = Climate(loss=0.2, duplication=0.1, datagram_delay_s=(0.0001, 0.01))
NO_MULTICAST = Climate(multicast=False)
CHUNK = 20  # seeds of one test

Sent = dict[PretendProducer, list[bytes]]


def a_cluster(seed: int, climate: Climate, **shared: object) -> Cluster:
    cluster = Cluster(seed, climate, SharedSettings.model_validate({"expected_nodes": 3, **shared}))
    cluster.form("n1", "n2", "n3")
    return cluster


def begin(cluster: Cluster) -> tuple[Sent, list[PretendConsumer]]:
    """Two producers, and three consumers that read from the start."""
    sent: Sent = {cluster.producer(): [], cluster.producer(): []}
    consumers = [cluster.consumer("t") for _ in range(3)]
    for consumer in consumers:
        consumer.open()
    return sent, consumers


def produce(cluster: Cluster, sent: Sent, steps: int, pause_s: float = 0.01) -> None:
    """Every producer sends ten values in each step."""
    for _ in range(steps):
        for name, (producer, values) in enumerate(sent.items()):
            fresh = [b"%d-%d" % (name, len(values) + number) for number in range(10)]
            values += fresh
            producer.send("t", fresh)
        cluster.loop.run_for(pause_s)


def finish(cluster: Cluster, sent: Sent, consumers: list[PretendConsumer], within_s: float = 30.0) -> None:
    """Wait until everything is acknowledged and read, then judge."""
    total = sum(map(len, sent.values()))

    def done() -> bool:
        read = all(sum(map(len, consumer.records.values())) == total for consumer in consumers)
        return read and all(len(producer.acknowledged) == len(values) for producer, values in sent.items())

    cluster.loop.run_until(done, within_s)
    check_histories(sent, consumers)
    check_logs(cluster)


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_record_arrives_once_and_in_order_on_every_member_at_a_fifth_of_datagrams_lost(first: int) -> None:
    for seed in range(first, first + CHUNK):
        cluster = a_cluster(seed, LOSSY)
        sent, consumers = begin(cluster)
        produce(cluster, sent, steps=30)
        finish(cluster, sent, consumers)
        leader = values_of(cluster, cluster.leader())
        cluster.loop.run_for(1.0)
        for name in cluster.nodes:
            assert values_of(cluster, name) == leader, f"seed {seed}: {name} differs from the leader"
        assert cluster.network.lost > 0.1 * cluster.network.sent


@pytest.mark.parametrize("seed", range(10))
def test_members_that_multicast_does_not_reach_are_served_by_tcp(seed: int) -> None:
    cluster = a_cluster(seed, NO_MULTICAST)
    sent, consumers = begin(cluster)
    produce(cluster, sent, steps=30)
    finish(cluster, sent, consumers)


@pytest.mark.parametrize("first", range(0, 60, CHUNK))
def test_a_join_a_leave_and_a_hand_over_in_the_middle_lose_repeat_and_reorder_nothing(first: int) -> None:
    for seed in range(first, first + CHUNK):
        dice = random.Random(seed)
        climate = Climate(loss=dice.choice([0, 0.05, 0.2]), duplication=0.1, multicast=dice.random() < 0.7)
        cluster = a_cluster(seed, climate, commit=dice.choice(["all", "majority"]))
        sent, consumers = begin(cluster)
        produce(cluster, sent, steps=8, pause_s=0.05)
        cluster.start("n4")
        produce(cluster, sent, steps=15, pause_s=0.05)
        cluster.stop(dice.choice([name for name in sorted(cluster.nodes) if name != cluster.leader()]))
        produce(cluster, sent, steps=10, pause_s=0.05)
        cluster.stop(cluster.leader())
        produce(cluster, sent, steps=8, pause_s=0.05)
        finish(cluster, sent, consumers)
        assert len(cluster.stopped) == 2, f"seed {seed}"


@pytest.mark.parametrize("seed", range(10))
def test_a_member_that_comes_back_with_empty_memory_is_a_new_member_and_gets_everything(seed: int) -> None:
    cluster = a_cluster(seed, Climate())
    sent, consumers = begin(cluster)
    produce(cluster, sent, steps=10)
    follower = next(name for name in sorted(cluster.nodes) if name != cluster.leader())
    cluster.kill(follower)
    cluster.loop.run_for(0.2)
    cluster.start(follower)
    produce(cluster, sent, steps=10)
    finish(cluster, sent, consumers)
    cluster.wait_for_members("n1", "n2", "n3")


@pytest.mark.parametrize("seed", range(20))
def test_a_leader_that_is_killed_is_replaced_and_nothing_acknowledged_is_lost(seed: int) -> None:
    cluster = a_cluster(seed, Climate(loss=0.05), commit="all" if seed % 2 else "majority")
    sent, consumers = begin(cluster)
    produce(cluster, sent, steps=10)
    killed = cluster.leader()
    cluster.kill(killed)
    produce(cluster, sent, steps=30)
    finish(cluster, sent, consumers)
    assert cluster.leader() != killed


@pytest.mark.parametrize("seed", range(20))
def test_two_empty_clusters_that_meet_become_one(seed: int) -> None:
    cluster = Cluster(seed, Climate(), SharedSettings())
    addresses = ("127.0.0.1:8001", "127.0.0.1:8002")
    cluster.network.cut(*addresses)
    cluster.start("n1", "n2")
    cluster.loop.run_for(2.0)
    assert cluster.members() == {frozenset({"n1"}), frozenset({"n2"})}
    cluster.network.heal()
    cluster.wait_for_members("n1", "n2", within_s=15.0)
    check_logs(cluster)


def test_two_clusters_that_hold_topics_refuse_each_other() -> None:
    cluster = Cluster(1, Climate(), SharedSettings())
    cluster.network.cut("127.0.0.1:8001", "127.0.0.1:8002")
    cluster.start("n1", "n2")
    cluster.loop.run_for(1.0)
    for address in ("127.0.0.1:8001", "127.0.0.1:8002"):
        producer = PretendProducer(cluster.loop, cluster.network, [address])
        producer.send("t", [address.encode()])
        assert cluster.loop.run_until(lambda producer=producer: bool(producer.acknowledged), 5.0)  # type: ignore[misc]
    cluster.network.heal()
    cluster.loop.run_for(10.0)
    assert cluster.members() == {frozenset({"n1"}), frozenset({"n2"})}


@pytest.mark.parametrize("seed", range(10))
def test_nodes_that_start_together_form_one_cluster(seed: int) -> None:
    cluster = Cluster(seed, Climate(loss=0.1), SharedSettings(expected_nodes=5))
    cluster.form("n1", "n2", "n3", "n4", "n5", within_s=30.0)
    assert len({cluster.replica(name).cluster_id for name in cluster.nodes}) == 1
