"""That the seeds meet what they are meant to meet: strangers, needless elections, logs that are trimmed."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from logstream.core.replica.leadership import Leadership
from logstream.protocol.envelope import Envelope
from logstream.protocol.identity import Member
from logstream.protocol.messages import Snapshot
from logstream.settings import SharedSettings
from simulation.checks.ledger import Ledger
from simulation.checks.violation import Violation
from simulation.checks.witness import Witness
from simulation.cluster import Cluster
from simulation.faults import Faults
from simulation.mercy import Mercy
from simulation.pretended.climate import Climate
from simulation.pretended.hosts import Host
from simulation.run import Run
from simulation.strangers import Strangers
from tests.simulation.test_histories import Book
from transport.identity import Identity

MET_WITHIN = 80  # seeds
WORDS = {"Heartbeat", "Replicate", "ReplicateAck", "StateExchange", "ViewInstall", "Election", "Leave"}
VIAS = {"tcp", "multicast", "broadcast"}


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster(1, Climate(), SharedSettings(expected_nodes=3))
    cluster.form("n1", "n2", "n3")
    return cluster


def states(cluster: Cluster) -> list[object]:
    """What each node has promised, installed and stored."""
    replicas = [cluster.replica(name) for name in sorted(cluster.nodes)]
    return [(one.promise.promised, one.promise.active, one.history.log.digest(), one.commit) for one in replicas]


def hear(cluster: Cluster, words: int) -> list[str]:
    """Strangers say so many things."""
    strangers, said = Strangers(cluster, random.Random(1)), []
    for _ in range(words):
        said.append(strangers.speak())
        cluster.loop.run_for(0.01)
    return said


# --- strangers (I20) ---


def test_nothing_that_another_cluster_says_changes_a_node(cluster: Cluster) -> None:
    producer = cluster.producer()
    producer.send("t", [b"a", b"b"])
    assert cluster.loop.run_until(lambda: len(producer.acknowledged) == 2, 10.0)
    cluster.loop.run_for(1.0)
    before = states(cluster)
    said = hear(cluster, 300)
    assert states(cluster) == before
    assert {word for line in said for word in line.split()} >= WORDS | VIAS


def test_a_stranger_speaks_by_tcp_where_there_is_no_multicast() -> None:
    cluster = Cluster(1, Climate(multicast=False), SharedSettings(expected_nodes=3))
    cluster.form("n1", "n2", "n3")
    assert not [line for line in hear(cluster, 50) if line.endswith("multicast")]


def hears_everything(_: Identity, __: Envelope) -> None:
    """A filter that has no objection to anybody."""


def test_a_stranger_who_is_heard_is_noticed_at_once(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Identity, "objection", hears_everything)
    with pytest.raises(Violation, match=r"I20: n. hears .* of cluster"):
        hear(cluster, 2)


def test_without_the_filter_the_seeds_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Identity, "objection", hears_everything)
    rules = {violation.rule for seed in range(5) if (violation := Run(seed).go().violation) is not None}
    assert "I20" in rules


def test_the_dead_speak_once_they_are_dead() -> None:
    cluster = Cluster(1, Climate(multicast=False), SharedSettings(expected_nodes=3))
    strangers = Strangers(cluster, random.Random(1))
    cluster.network.on_stream.append(strangers.listen)
    cluster.form("n1", "n2", "n3")
    assert strangers.speak_for_the_dead() == ""
    cluster.kill(cluster.leader())
    cluster.loop.run_for(5.0)
    before = states(cluster)
    said = [strangers.speak_for_the_dead() for _ in range(20)]
    cluster.loop.run_for(1.0)
    assert all(line.startswith("a late ") for line in said)
    assert states(cluster) == before


# --- needless elections (R4) ---


def test_a_needless_election_is_held_or_asked_about_and_loses_nothing(cluster: Cluster) -> None:
    witness = Witness(Ledger())
    faults = Faults(cluster, ("n1", "n2", "n3"), Mercy(cluster, witness, 2), random.Random(1), lambda words: None)
    said, views = [], set()
    for _ in range(12):
        said.append(faults.needless_election())
        cluster.loop.run_for(2.0)
        cluster.wait_for_members("n1", "n2", "n3")
        views.add(cluster.replica("n1").promise.last_view)
    stood = [line for line in said if " stands against " in line]
    assert 0 < len(stood) < len(said)
    assert len(views) >= len(stood)
    assert len(views) <= len(stood) + 1  # whoever only suspects a live leader costs no view


# --- trimmed logs (R22) ---


def test_the_seeds_meet_trimmed_logs_and_all_that_comes_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    met: Counter[str] = Counter()
    refusal = Leadership._refusal

    def watched(leadership: Leadership, at: float, size: int) -> str | None:
        reason = refusal(leadership, at, size)
        met["memory full"] += reason is not None and "memory" in reason
        return reason

    def listen(_: Host, __: Member, envelope: Envelope) -> None:
        met["snapshot"] += isinstance(envelope.message, Snapshot)

    monkeypatch.setattr(Leadership, "_refusal", watched)
    wanted = {"memory full", "snapshot", "trimmed", "overtaken", "deleted", "limits of the topic"}
    for seed in range(MET_WITHIN):
        run = Run(seed)
        run.cluster.network.on_stream.append(listen)
        run.go()
        met["trimmed"] += sum(run.judge.ledger.starts.values())
        met["deleted"] += len(run.judge.ledger.deleted)
        met["overtaken"] += any(reader.endswith("'") for reader, _, _ in run.judge.histories._next)
        met["limits of the topic"] += run.plan.load.restless
        if all(met[kind] for kind in wanted):
            return
    pytest.fail(f"{MET_WITHIN} seeds met {dict(met)}")


def trimmed(to: int) -> Book:
    """a, b and c are committed in one partition, and trimmed to this offset."""
    book = Book()
    for value in (b"a", b"b", b"c"):
        book.commit(value)
    book.ledger._trim((1, 0), to)
    return book


def test_what_is_trimmed_need_not_be_read() -> None:
    histories = trimmed(2).histories
    histories.heard_record("reader", "t", 0, 2, b"c")
    histories.check_end(["reader"], "t")
    trimmed(3).histories.check_end(["reader"], "t")


def test_what_is_not_trimmed_must_be_read() -> None:
    histories = trimmed(1).histories
    with pytest.raises(Violation, match="poll-skip"):
        histories.heard_record("reader", "t", 0, 2, b"c")
    with pytest.raises(Violation, match="unseen"):
        histories.check_end(["reader"], "t")


def test_a_reader_skips_nothing_silently_that_was_trimmed_meanwhile() -> None:
    histories = trimmed(2).histories
    histories.heard_record("reader", "t", 0, 0, b"a")
    with pytest.raises(Violation, match="poll-skip"):
        histories.heard_record("reader", "t", 0, 2, b"c")


def test_out_of_range_is_true_of_what_is_trimmed_only() -> None:
    histories = trimmed(2).histories
    histories.heard_out_of_range("reader", "t", {0: 1})
    with pytest.raises(Violation, match=r"R22: reader stood at \{0: 2\} and is out of range"):
        histories.heard_out_of_range("reader", "t", {0: 2})


def test_only_what_is_committed_is_trimmed() -> None:
    with pytest.raises(Violation, match=r"R22: \(1, 0\) is trimmed to 4, committed are 3"):
        trimmed(4)


def test_a_deleted_topic_s_values_may_be_sent_again() -> None:
    book = trimmed(0)
    book.ledger._delete(1)
    book.histories.heard_offset("t", b"b", 0, 1)  # said before it was deleted, heard later
    book.histories.check_end([], "t")
    with pytest.raises(Violation, match="inconsistent-offsets"):
        book.histories.heard_offset("t", b"c", 0, 1)
