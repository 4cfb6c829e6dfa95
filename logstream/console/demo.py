"""`demo`: the whole thing in half a minute, and nothing left behind.

    three node processes on loopback -> produce a log file -> read it back through a broker that is
    not the leader -> compare checksums -> a short table -> stop everything

It has a name, a folder and ports of its own, so it disturbs no cluster that runs on this machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from logstream import local
from logstream.console.cluster import say
from logstream.console.consume import Wish, copy
from logstream.console.failure import Failure
from logstream.console.reading import line_pieces
from logstream.console.sending import Sending
from logstream.console.table import facts
from logstream.protocol.messages import TopicMetadata
from logstream.settings import Settings, load
from logstream.state import NodeFile, log_path

if TYPE_CHECKING:
    from logstream.client import Admin

NODES = 3
FIRST_PORT = 18001
MADE_LINES = 20_000
TOPICS_TRIED = 32  # the ring gives each to one of three brokers: all to the leader is as good as impossible
SYSTEM_LOGS = (
    "/var/log/syslog",
    "/var/log/messages",
    "/var/log/kern.log",
    "/var/log/auth.log",
    "/var/log/dpkg.log",
    "/var/log/bootstrap.log",
    "/var/log/alternatives.log",
    "/var/log/pacman.log",
    "/var/log/dnf.log",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo found."""

    source: str
    view: int
    leader: str
    members: str
    read_through: str
    records: int
    bytes: int
    produced_per_s: int
    read_per_s: int
    seconds: float  # for everything, starting and stopping included
    sha256: str
    identical: bool


def run_demo(file: Path | None, as_json: bool) -> int:
    """Run it and print the table. Raises Failure, OSError for the file, LogStreamError or LocalClusterError."""
    began = time.monotonic()
    source, data = _material(file)
    with _cluster() as (settings, nodes):
        found = _round_trip(settings, nodes, source, data)
    outcome = Outcome(**found, seconds=round(time.monotonic() - began, 1))
    print(json.dumps(asdict(outcome)) if as_json else _table(outcome))
    if not outcome.identical:
        raise Failure("what was read is not what was produced")
    return 0


# --- what to replicate ---


def _material(file: Path | None) -> tuple[str, bytes]:
    """A log and its name: the named file, else the first of the system's that can be read, else made lines."""
    if file is not None:
        return str(file), file.read_bytes()
    for path in map(Path, SYSTEM_LOGS):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if data:
            return str(path), data
    say("no system log can be read here, making lines (choose a file with --file, or make demo FILE=...)")
    return f"{MADE_LINES} made lines", b"".join(_made_line(number) for number in range(MADE_LINES))


def _made_line(number: int) -> bytes:
    moment = f"{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"
    return f"Jan  1 {moment} localhost demo[1]: request {number} took {number * 7919 % 997} ms\n".encode()


# --- the cluster ---


@contextmanager
def _cluster() -> Iterator[tuple[Settings, list[NodeFile]]]:
    """Three nodes in a temporary folder. The folder stays if something failed: the logs are in it."""
    home = Path(tempfile.mkdtemp(prefix="logstream-demo-"))
    settings = load({("cluster", "name"): f"demo-{os.getpid()}"}, environment={"LOGSTREAM_HOME": str(home)})
    try:
        say("starting three nodes")
        yield settings, local.up(settings, NODES, _quiet, FIRST_PORT)
    except Exception:
        say(f"the logs of the nodes are in {log_path(home, settings.shared.cluster, 'n1').parent}")
        local.down(settings, say)
        raise
    except BaseException:
        local.down(settings, say)
        shutil.rmtree(home, ignore_errors=True)
        raise
    local.down(settings, say)
    shutil.rmtree(home, ignore_errors=True)


def _quiet(_text: str) -> None:
    """Which ports the demo takes is nobody's concern."""


def _round_trip(settings: Settings, nodes: list[NodeFile], source: str, data: bytes) -> dict[str, Any]:
    from logstream.client import Admin

    cluster, brokers = settings.shared.cluster, [node.address for node in nodes]
    with Admin(brokers, cluster) as admin:
        status = admin.status()
        topic = _topic_of_a_follower(admin, status["leader"])
    reader = topic.partitions[0]
    say(f"producing {len(data):,} bytes of {source}")
    produced, produce_s = _produced(settings, brokers, topic.name, data)
    say(f"reading them back through {reader.node_id}")
    read, read_s = _read(cluster, reader.address, topic.name)
    return {
        "source": source,
        "view": status["view"],
        "leader": status["leader"],
        "members": ", ".join(member["node_id"] for member in status["members"]),
        "read_through": reader.node_id,
        "records": produced,
        "bytes": len(data),
        "produced_per_s": round(produced / produce_s),
        "read_per_s": round(produced / read_s),
        "sha256": hashlib.sha256(read).hexdigest(),
        "identical": hashlib.sha256(read).digest() == hashlib.sha256(data).digest(),
    }


def _topic_of_a_follower(admin: Admin, leader: str) -> TopicMetadata:
    """A new topic that the ring assigns to a broker that is not the leader."""
    for number in range(TOPICS_TRIED):
        name = f"demo-{number}"
        admin.create_topic(name, 1)
        topic = admin.describe(name)
        if topic.partitions[0].node_id != leader:
            return topic
    raise Failure(f"the ring assigned {TOPICS_TRIED} topics to the leader {leader}")


def _produced(settings: Settings, brokers: list[str], topic: str, data: bytes) -> tuple[int, float]:
    from logstream.client import Producer

    began = time.monotonic()
    with Producer(brokers, settings.shared.cluster, timeout_s=20) as producer:
        sending = Sending(producer, topic, None)
        sending.send_all(line_pieces("the file", io.BytesIO(data), settings.shared.record_max))
        sending.finish()
    if sending.error is not None:
        raise Failure(f"{sending.lost}: {sending.error}")
    return sending.acknowledged, time.monotonic() - began


def _read(cluster: str, broker: str, topic: str) -> tuple[bytes, float]:
    from logstream.client import Consumer

    began, out = time.monotonic(), io.BytesIO()
    with Consumer(topic, "start", False, broker, cluster, timeout_s=20) as consumer:
        copy(consumer, Wish(topic, "start", False, None, "lines", None), out)
    return out.getvalue(), time.monotonic() - began


def _table(outcome: Outcome) -> str:
    verdict = "identical" if outcome.identical else "DIFFERENT"
    rows: list[tuple[str, object]] = [
        ("source", outcome.source),
        ("view", f"{outcome.view}, led by {outcome.leader}"),
        ("members", outcome.members),
        ("read through", f"{outcome.read_through}, which is not the leader"),
        ("records", f"{outcome.records:,} ({outcome.bytes:,} bytes)"),
        ("produced", f"{outcome.produced_per_s:,} records/s, each on all members before it counted"),
        ("read back", f"{outcome.read_per_s:,} records/s"),
        ("sha256", f"{outcome.sha256[:16]}... {verdict}"),
        ("seconds", f"{outcome.seconds}, starting and stopping included"),
    ]
    sys.stderr.flush()
    return facts(rows)
