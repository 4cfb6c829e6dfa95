"""A real local cluster for tests: node processes on loopback in a folder of their own.

Nothing here waits for a time: `up` returns when all nodes are members, commands end when they are
done, and what must become true is looked at until a deadline.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from logstream.client import Admin
from logstream.state import NodeFile, known_nodes, live_nodes

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "logstream_cli.py"
COMMAND_S = 120.0


class LocalCluster:
    """The command line, seen from one state folder and one cluster name."""

    def __init__(self, home: Path, cluster: str, **variables: str) -> None:
        self.home = home
        self.cluster = cluster
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LOGSTREAM_")}
        ours = {"LOGSTREAM_HOME": str(home), "LOGSTREAM_CLUSTER_NAME": cluster, "NODE_ADDRESS": "127.0.0.1:8001"}
        self.environment = {**kept, **ours, **variables}

    def run(self, *arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run one command to its end."""
        return subprocess.run(
            self.command(*arguments), env=self.environment, input=stdin, capture_output=True, timeout=COMMAND_S
        )

    def ok(self, *arguments: str | Path, stdin: bytes = b"") -> bytes:
        """Run a command that must succeed; returns its stdout."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def fails(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        """Run a command that must fail with one line and without output; returns the line."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode != 0 and done.stdout == b""
        lines = done.stderr.decode().splitlines()
        assert len(lines) == 1 and lines[0].startswith("logstream: "), done.stderr.decode()
        return lines[0].removeprefix("logstream: ")

    def begin(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start a command that goes on."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @staticmethod
    def command(*arguments: str | Path) -> list[str]:
        """The words of a command line."""
        return [sys.executable, str(PROGRAM), *map(str, arguments)]

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic, without the time that a command takes to start."""
        with Admin([node.address for node in self.nodes()], self.cluster) as admin:
            admin.create_topic(topic, partitions)

    def status(self) -> dict[str, Any]:
        """What `status --json` says."""
        found: dict[str, Any] = json.loads(self.ok("status", "--json"))
        return found

    def status_at(self, name: str) -> dict[str, Any]:
        """What this node says of itself and its cluster."""
        with Admin(self.node(name).address, self.cluster) as admin:
            return admin.status()

    def node(self, name: str) -> NodeFile:
        """The running node of this name."""
        return next(node for node in self.nodes() if node.name == name)

    def send_signal(self, name: str, number: signal.Signals) -> None:
        """To the process of this node."""
        os.kill(self.node(name).pid, number)

    def nodes(self) -> list[NodeFile]:
        """Who lives."""
        return live_nodes(self.cluster, self.home)

    def kill_all(self) -> None:
        """kill -9 of every node, and wait until the kernel has let go of them."""
        for node in self.nodes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(node.pid, signal.SIGKILL)
        wait_until(lambda: not self.nodes())

    def logs(self) -> str:
        """The end of every node's log, for a failing test."""
        logs = sorted((self.home / self.cluster / "logs").glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)


def wait_until(condition: Callable[[], object], deadline_s: float = 15.0) -> None:
    """Look until it is true; fail at the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "it did not become true in time"
        time.sleep(0.02)


def dead(cluster: LocalCluster) -> list[str]:
    """Names of the nodes whose files are there without their lock."""
    return [node.name for node, alive in known_nodes(cluster.cluster, cluster.home) if not alive]


def process_state(pid: int) -> str:
    """R, S, D, T, ... as in proc(5)."""
    return _state_in(Path(f"/proc/{pid}"))


def all_threads_sleep(pid: int) -> bool:
    """Does no thread of this process have anything to do? What its sockets hold it has read then."""
    return all(_state_in(thread) == "S" for thread in Path(f"/proc/{pid}/task").iterdir())


def _state_in(folder: Path) -> str:
    return (folder / "stat").read_text().rpartition(") ")[2][0]
