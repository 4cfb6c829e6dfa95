"""The pretended disk keeps its promise: writes in their order, nothing synced is lost, what is not may be (R19)."""

from __future__ import annotations

from random import Random

import pytest

from logstream.core.replica.promise import Votes
from logstream.core.replica.storing import Appended, Replaced
from logstream.protocol.identity import NO_EPOCH, View
from logstream.settings import SharedSettings
from simulation.cluster import Cluster
from simulation.pretended.climate import Climate
from simulation.pretended.disk import PretendDisk
from simulation.pretended.machine import Machine
from simulation.pretended.virtual_loop import VirtualLoop
from tests.core.builders import A, B, entries_of, epoch, history_of, view

NAMES = ("n1", "n2", "n3")


class Written:
    """A disk, the process that writes to it, and what was synced."""

    def __init__(self, seed: int = 1) -> None:
        self.loop = VirtualLoop(seed)
        self.disk = PretendDisk(Random(seed))
        self.disk.machine = Machine(self.loop)
        self.disk.begin("s1")
        self.synced: list[str] = []

    def votes(self, promised: int, lasting: View) -> None:
        votes = Votes(epoch(promised), lasting.epoch, lasting, (), lasting)
        self.disk.write(votes, lambda: self.synced.append(f"votes {promised}"))

    def log(self, entries: int) -> None:
        self.disk.write(Appended(entries_of(history_of(entries))), lambda: self.synced.append(f"log {entries}"))


def test_what_is_synced_is_there_in_its_order() -> None:
    written = Written()
    written.log(3)
    written.votes(2, view(1, A, B))
    assert written.disk.recovered() is None and written.synced == []
    written.loop.run_for(1.0)
    assert written.synced == ["log 3", "votes 2"]
    written.disk.crash()
    found = written.disk.recovered()
    assert found is not None
    assert (found.store_id, found.votes.promised, found.history.end, found.history.commit) == ("s1", epoch(2), 3, 0)


def test_a_crash_keeps_some_of_the_first_writes_and_never_a_later_one_alone() -> None:
    kept = set()
    for seed in range(50):
        written = Written(seed)
        written.votes(1, view(1, A, B))
        written.log(3)
        written.votes(5, view(1, A, B))
        written.disk.crash()
        found = written.disk.recovered()
        kept.add((found.votes.promised.n, found.history.end) if found else None)
        assert written.synced == []
    assert kept == {None, (1, 0), (1, 3), (5, 3)}


def test_what_an_ended_process_would_write_is_not_mixed_into_what_the_next_one_writes() -> None:
    """Seed 1604292: some actors of a slow node still had turns after its end."""
    written = Written()
    written.votes(1, view(1, A, B))
    written.disk.keeps = 1
    written.disk.crash()
    written.log(3)
    written.disk.machine = Machine(written.loop)
    written.votes(2, view(1, A, B))
    written.loop.run_for(1.0)
    found = written.disk.recovered()
    assert found is not None and (found.votes.promised, found.history.end) == (epoch(2), 0)
    assert written.synced == ["votes 2"]


def test_entries_of_a_view_that_was_never_accepted_are_cut() -> None:
    """R19: the log of a new view was written, the votes were not."""
    written = Written()
    written.log(2)
    written.votes(1, view(1, A, B))
    written.disk.write(Replaced(history_of(4, epoch(2))), lambda: None)
    written.loop.run_for(1.0)
    found = written.disk.recovered()
    assert found is not None and found.history.end == 0


def chain(entries: int, upto: int | None = None) -> int:
    return history_of(entries).log.chain_at(upto or entries)


def test_a_disk_holds_what_is_synced_and_of_a_view_that_is_accepted() -> None:
    """R9, R19: what a crash could still take away does not count."""
    written = Written()
    written.log(3)
    assert not written.disk.holds("s1", 3, chain(3))
    written.loop.run_for(1.0)
    assert not written.disk.holds("s1", 3, chain(3))  # it is there, and would be cut
    written.votes(1, view(1, A, B))
    written.loop.run_for(1.0)
    assert written.disk.holds("s1", 3, chain(3)) and written.disk.holds("s1", 2, chain(3, 2))
    assert not written.disk.holds("s1", 3, chain(3, 2)) and not written.disk.holds("s1", 4, chain(4))
    assert not written.disk.holds("s2", 3, chain(3)) and written.disk.holds("s2", 0, 0)


def test_what_was_cut_is_not_in_the_way_of_what_comes_after_it() -> None:
    written = Written()
    written.disk.write(Replaced(history_of(4, epoch(2))), lambda: None)
    written.votes(1, view(1, A, B))
    written.loop.run_for(1.0)
    written.disk.crash()
    assert written.disk.recovered() is not None  # the next process begins with that
    written.disk.machine = Machine(written.loop)
    written.log(2)
    written.votes(2, view(2, A, B))
    written.loop.run_for(1.0)
    found = written.disk.recovered()
    assert found is not None and found.history.end == 2 and written.disk.holds("s1", 2, chain(2))


def test_a_store_of_no_view_is_not_worth_keeping() -> None:
    """Nobody can count on its member: the node looks for its cluster as a new one."""
    written = Written()
    written.disk.write(Votes(epoch(3), NO_EPOCH, None, (), None), lambda: None)
    written.loop.run_for(1.0)
    assert written.disk.recovered() is None


def test_a_new_store_has_nothing_of_the_old_one() -> None:
    written = Written()
    written.votes(1, view(1, A, B))
    written.disk.begin("s2")
    written.loop.run_for(1.0)
    assert written.disk.recovered() is None and written.synced == []


@pytest.mark.parametrize("seed", range(5))
def test_a_cluster_that_lost_its_power_has_everything_that_was_acknowledged(seed: int) -> None:
    shared = SharedSettings(expected_nodes=3, commit="majority")
    cluster = Cluster(seed, Climate(), shared, durable=True)
    cluster.form(*NAMES)
    producer, values = cluster.producer(), [b"%d" % number for number in range(40)]
    producer.send("t", values[:20])
    assert cluster.loop.run_until(lambda: len(producer.acknowledged) == 20, 10.0)
    members = {name: cluster.replica(name).me for name in NAMES}
    for name in NAMES:
        cluster.kill(name)
    cluster.start(*NAMES)
    cluster.wait_for_members(*NAMES)
    assert {name: cluster.replica(name).me for name in NAMES} == members
    producer.send("t", values[20:])
    assert cluster.loop.run_until(lambda: len(producer.acknowledged) == 40, 10.0)
    consumer = cluster.consumer("t")
    consumer.open()
    assert cluster.loop.run_until(lambda: sum(map(len, consumer.records.values())) == 40, 10.0)
    assert [value for _, value in consumer.records[0]] == values
