"""A cluster of node processes on this machine's loopback interface: up and down.

    up       lock -> choose names, addresses, ports -> spawn what is missing -> wait until all are members
    down     SIGTERM to every managed node of this folder and cluster -> wait until gone -> forget

Names are n1 to nN; a node that was here before gets its old address again if it is free. One `up` of a
user runs at a time (a lock in the temporary folder), so two of them never choose the same ports. Where
nodes live is `places.py`, how a process is started and watched is `processes.py`.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from logstream.local.places import LOOPBACK, MeetingPoint, Say, addresses_for, meeting_point
from logstream.local.processes import Launch, LocalClusterError, check_alive, looks, spawn, wait_until_ready
from logstream.local.stopping import end
from logstream.settings import Settings
from logstream.state import NodeFile, forget_cluster, known_nodes, live_nodes, log_path, remember_up, remembered_up

UP_DEADLINE_S = 15.0

__all__ = ["LOOPBACK", "Launch", "LocalClusterError", "down", "end", "spawn", "up", "wait_until_ready"]


def up(settings: Settings, nodes: int | None, say: Say, first_port: int = 8001) -> list[NodeFile]:
    """Start what is missing of a local cluster of so many nodes and return all of them when all are members.

    Without a number it is the one that the last `up` was given, or 3. Raises LocalClusterError after 15 s.
    """
    home, cluster = settings.state_folder, settings.shared.cluster
    with _one_at_a_time():
        wanted = nodes or remembered_up(home, cluster) or 3
        remember_up(home, cluster, wanted)
        names = [f"n{number}" for number in range(1, wanted + 1)]
        known = known_nodes(cluster, home)
        running = {node.name: node for node, alive in known if alive}
        _say_what_runs([running[name] for name in names if name in running], say)
        meeting = meeting_point(settings, list(running.values()), say)
        addresses = addresses_for([name for name in names if name not in running], known, first_port, say)
        launches = [
            Launch(home, cluster, name, address, _environment(settings, wanted, meeting))
            for name, address in addresses.items()
        ]
        started = [(launch, spawn(launch)) for launch in launches]
        try:
            _wait_until_members(home, cluster, names, started)
        except BaseException:
            _kill_unready(started)
            raise
    return [node for node in live_nodes(cluster, home) if node.name in names]


def _environment(settings: Settings, nodes: int, meeting: MeetingPoint) -> dict[str, str]:
    """What the children are told beside name, address and cluster."""
    return {
        "LOGSTREAM_CLUSTER_EXPECTED_NODES": str(settings.shared.expected_nodes or nodes),
        "LOGSTREAM_NODE_BROADCAST_PORT": str(meeting.broadcast_port),
        "LOGSTREAM_NODE_MULTICAST_GROUP": meeting.multicast_group,
        "LOGSTREAM_NODE_MULTICAST_PORT": str(meeting.multicast_port),
    }


def _say_what_runs(running: Sequence[NodeFile], say: Say) -> None:
    if running:
        say("already running: " + ", ".join(f"{node.name} at {node.address}" for node in running))


def _wait_until_members(
    home: Path, cluster: str, names: Sequence[str], started: Sequence[tuple[Launch, subprocess.Popen[bytes]]]
) -> None:
    over = time.monotonic() + UP_DEADLINE_S
    for launch, child in started:
        wait_until_ready(launch, child, max(0.0, over - time.monotonic()))
    from logstream.client import Admin

    addresses = [node.address for node in live_nodes(cluster, home) if node.name in names]
    missing = list(names)
    with Admin(bootstrap=addresses, cluster=cluster) as admin:
        for _ in looks(max(0.0, over - time.monotonic())):
            for launch, child in started:
                check_alive(launch, child)
            missing = _not_members(admin, names)
            if not missing:
                return
    logs = ", ".join(str(log_path(home, cluster, name)) for name in missing)
    raise LocalClusterError(f"{', '.join(missing)} did not become a member within {UP_DEADLINE_S:g} s, see {logs}")


def _kill_unready(started: Sequence[tuple[Launch, subprocess.Popen[bytes]]]) -> None:
    """A process that has no node file yet would be found by nobody, not even by `down`."""
    for launch, child in started:
        if not any(node.pid == child.pid for node in live_nodes(launch.cluster, launch.home)):
            child.kill()


def _not_members(admin: Any, names: Sequence[str]) -> list[str]:
    """Those who are not in the view yet; all while nobody can say."""
    from logstream.protocol.errors import LogStreamError

    try:
        status = admin.status()
    except LogStreamError:
        return list(names)
    members = {member["node_id"] for member in status["members"]} if status.get("leader") else set()
    return [name for name in names if name not in members]


def down(settings: Settings, say: Say) -> list[NodeFile]:
    """Stop all managed nodes of this folder and cluster, and forget them; returns those that ran."""
    home, cluster = settings.state_folder, settings.shared.cluster
    stopped = end(home, cluster, lambda node: node.managed, say)
    forget_cluster(home, cluster)
    return stopped


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Only one `up` of this user chooses ports at a time; the next one sees what it chose."""
    path = Path(tempfile.gettempdir()) / f"logstream-up-{os.getuid()}.lock"
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
