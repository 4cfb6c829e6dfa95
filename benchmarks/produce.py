"""Records per second replicated to three nodes and read back, and the latency of one record at a time.

Every figure stands beside the plain-socket pipeline of the same run: the median of several rounds,
each of which runs the baseline and LogStream one after the other on the same bytes.

    records/s   send() per record | send_many | plain sockets, the same bytes in batches of 256 KiB
    read/s      one consumer      |           | plain sockets
    latency     send().result()   |           | plain sockets, one record at a time
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import plain_pipeline
from logstream import Admin, Consumer, Producer, local
from logstream.settings import Settings, load

RECORD = 100  # bytes of value
RECORDS = 200_000
SYNCHRONOUS = 300
ROUNDS = 3
BATCH = 256 << 10
FIRST_PORT = 19101


@dataclass(frozen=True, slots=True)
class Figures:
    """The medians; what `bench produce --json` prints."""

    records: int
    record_bytes: int
    rounds: int
    records_per_s: int  # one send() per record, until all are acknowledged
    ratio_to_limit: float
    bulk_records_per_s: int  # send_many
    bulk_ratio_to_limit: float
    limit_records_per_s: int  # plain sockets
    read_per_s: int
    read_ratio_to_limit: float
    limit_read_per_s: int
    latency_p50_ms: float
    latency_p99_ms: float
    limit_latency_p50_ms: float
    limit_latency_p99_ms: float


@dataclass(slots=True)
class Round:
    """Seconds of one round; latencies in milliseconds."""

    limit_produce: float
    limit_read: float
    limit_latency: list[float]
    single: float
    bulk: float
    read: float
    latency: list[float]


def run() -> dict[str, Any]:
    """Run all rounds on a cluster of three processes on loopback; the figures by name."""
    values = [b"%0*d" % (RECORD, number) for number in range(RECORDS)]
    with tempfile.TemporaryDirectory(prefix="logstream-bench-") as home:
        settings = load({("cluster", "name"): "bench"}, environment={"LOGSTREAM_HOME": home})
        nodes = local.up(settings, 3, lambda text: None, FIRST_PORT)
        try:
            brokers = [node.address for node in nodes]
            rounds = [_round(settings, brokers, number, values) for number in range(ROUNDS)]
        finally:
            local.down(settings, lambda text: None)
    return asdict(_figures(rounds))


def _round(settings: Settings, brokers: Sequence[str], number: int, values: Sequence[bytes]) -> Round:
    with plain_pipeline.running() as pipeline:
        limit_produce = pipeline.produce(_batches(values))
        limit_read = pipeline.read(sum(map(len, values)))
    with plain_pipeline.running() as pipeline:
        limit_latency = [pipeline.produce([values[0]]) * 1000 for _ in range(SYNCHRONOUS)]
    cluster, topics = settings.shared.cluster, (f"single-{number}", f"bulk-{number}")
    with Admin(brokers, cluster) as admin:
        for topic in topics:
            admin.create_topic(topic, 1)
    with Producer(brokers, cluster) as producer:
        single = _timed(lambda: _send_each(producer, topics[0], values))
        bulk = _timed(lambda: producer.send_many(topics[1], values).result())
        latency = [_timed(lambda: producer.send(topics[0], values[0]).result()) * 1000 for _ in range(SYNCHRONOUS)]
    read = _timed(lambda: _read(brokers, cluster, topics[1]))
    with Admin(brokers, cluster) as admin:
        for topic in topics:
            admin.delete_topic(topic)
    return Round(limit_produce, limit_read, limit_latency, single, bulk, read, latency)


def _batches(values: Sequence[bytes]) -> list[bytes]:
    data = b"".join(values)
    return [data[at : at + BATCH] for at in range(0, len(data), BATCH)]


def _timed(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _send_each(producer: Producer, topic: str, values: Sequence[bytes]) -> None:
    for value in values:
        producer.send(topic, value)
    producer.flush()


def _read(brokers: Sequence[str], cluster: str, topic: str) -> None:
    with Consumer(topic, follow=False, bootstrap=brokers, cluster=cluster) as consumer:
        read = sum(1 for _ in consumer)
    if read != RECORDS:
        raise AssertionError(f"{read} records were read, {RECORDS} were produced")


def _figures(rounds: Sequence[Round]) -> Figures:
    def median(of: Any) -> float:
        return float(statistics.median(of(one) for one in rounds))

    latency = sorted(ms for one in rounds for ms in one.latency)
    limit_latency = sorted(ms for one in rounds for ms in one.limit_latency)
    return Figures(
        records=RECORDS,
        record_bytes=RECORD,
        rounds=len(rounds),
        records_per_s=round(RECORDS / median(lambda one: one.single)),
        ratio_to_limit=round(median(lambda one: one.limit_produce / one.single), 3),
        bulk_records_per_s=round(RECORDS / median(lambda one: one.bulk)),
        bulk_ratio_to_limit=round(median(lambda one: one.limit_produce / one.bulk), 3),
        limit_records_per_s=round(RECORDS / median(lambda one: one.limit_produce)),
        read_per_s=round(RECORDS / median(lambda one: one.read)),
        read_ratio_to_limit=round(median(lambda one: one.limit_read / one.read), 3),
        limit_read_per_s=round(RECORDS / median(lambda one: one.limit_read)),
        latency_p50_ms=round(latency[len(latency) // 2], 3),
        latency_p99_ms=round(latency[len(latency) * 99 // 100], 3),
        limit_latency_p50_ms=round(limit_latency[len(limit_latency) // 2], 3),
        limit_latency_p99_ms=round(limit_latency[len(limit_latency) * 99 // 100], 3),
    )


def table(figures: dict[str, Any]) -> str:
    """The figures for a person."""
    rows = [
        ("", "LogStream", "plain sockets", "ratio"),
        ("records/s, send()", "records_per_s", "limit_records_per_s", "ratio_to_limit"),
        ("records/s, send_many", "bulk_records_per_s", "limit_records_per_s", "bulk_ratio_to_limit"),
        ("records/s, read", "read_per_s", "limit_read_per_s", "read_ratio_to_limit"),
        ("latency p50, ms", "latency_p50_ms", "limit_latency_p50_ms", None),
        ("latency p99, ms", "latency_p99_ms", "limit_latency_p99_ms", None),
    ]
    shown = [[str(figures.get(cell, cell)) if cell else "" for cell in row] for row in rows]
    lines = [f"{label:22} {ours:>12} {limit:>14} {ratio:>6}" for label, ours, limit, ratio in shown]
    size = f"{figures['records']:,} records of {figures['record_bytes']} bytes, median of {figures['rounds']} rounds"
    return "\n".join([size, *lines])
