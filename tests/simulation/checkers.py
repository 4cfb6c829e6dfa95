"""Judging what happened, by the promises and not by the code; the words are Jepsen's.

A history is what clients were told: which value was acknowledged at which offset, and what a consumer
read, in order. Logs are looked at from inside, after the fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from logstream.protocol.batches import Batch
from logstream.protocol.records import read
from simulation.checks.violation import Violation
from simulation.cluster import Cluster
from simulation.pretended.clients import PretendConsumer, PretendProducer


def check_histories(
    sent: dict[PretendProducer, Sequence[bytes]], consumers: Iterable[PretendConsumer], complete: bool = True
) -> None:
    """Nothing acknowledged is missing, moved, doubled or out of order for any consumer.

    Raises Violation. With `complete` everything that was sent must be acknowledged and read by now.
    """
    acknowledged = {value: where for producer in sent for value, where in producer.acknowledged.items()}
    for consumer in consumers:
        seen = {value: (partition, offset) for partition, offset, value in _rows(consumer)}
        _check_reads(consumer, len(seen))
        for value, where in acknowledged.items():
            if value in seen and seen[value] != where:
                raise Violation("inconsistent-offsets", f"{value!r} acknowledged at {where}, read at {seen[value]}")
            if complete and value not in seen:
                raise Violation("lost-write", f"{value!r} acknowledged at {where} was never read")
        for producer, values in sent.items():
            _check_order(consumer, values)
            if complete and len(producer.acknowledged) != len(values):
                raise Violation("I22", f"{len(values) - len(producer.acknowledged)} values were not acknowledged")


def _rows(consumer: PretendConsumer) -> list[tuple[int, int, bytes]]:
    return [(partition, *row) for partition, rows in consumer.records.items() for row in rows]


def _check_reads(consumer: PretendConsumer, distinct: int) -> None:
    """I13, I14: each record once, and offsets without gaps."""
    for partition, rows in consumer.records.items():
        offsets = [offset for offset, _ in rows]
        if offsets != list(range(offsets[0], offsets[0] + len(offsets))):
            raise Violation("poll-skip", f"partition {partition} was read at {offsets}")
    if len(_rows(consumer)) != distinct:
        raise Violation("duplicate", "a value was read twice")


def _check_order(consumer: PretendConsumer, values: Sequence[bytes]) -> None:
    """I12: within a partition a producer's records keep their order."""
    place = {value: number for number, value in enumerate(values)}
    for rows in consumer.records.values():
        places = [place[value] for _, value in rows if value in place]
        if places != sorted(places):
            raise Violation("nonmonotonic-poll", "a producer's records were read out of order")


def check_logs(cluster: Cluster) -> None:
    """I5, I23: all logs agree as far as they are committed, and no actor died. Raises Violation."""
    for name, (code, reason) in cluster.stopped.items():
        if code:
            raise Violation("I23", f"{name} ended: {reason}")
    logs = {name: cluster.replica(name) for name in cluster.nodes}
    for name, replica in logs.items():
        replica.check_invariants()
        for other in logs.values():
            both = min(replica.commit, other.commit)
            if both < max(replica.history.log.start, other.history.log.start) - 1:
                continue  # R22: what is cut cannot be compared
            if replica.history.log.chain_at(both) != other.history.log.chain_at(both):
                raise Violation("I5", f"{name} and {other.me} differ below commit {both}")


def values_of(cluster: Cluster, name: str) -> dict[tuple[int, int], list[bytes]]:
    """What a node's log holds committed and not trimmed, by topic id and partition, record by record."""
    replica = cluster.replica(name)
    found: dict[tuple[int, int], list[bytes]] = {}
    for gseq in range(replica.history.log.start, replica.commit + 1):
        entry = replica.history.log.entry(gseq)
        if replica.history.log.has_body(gseq):
            records = read(Batch(entry.front, entry.body))
            found.setdefault((entry.topic_id, entry.partition), []).extend(record.value or b"" for record in records)
    return found
