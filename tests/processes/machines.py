"""Machines for tests: network namespaces made by deploy/netns/, with real addresses, and faults between them.

A command runs there as its user would type it. Looking, which a test does many times, is done by a thread
that moves into the machine's network and asks from there: a process for each look would take half a second.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from logstream.client import Admin
from logstream.protocol.errors import LogStreamError
from logstream.state import live_nodes
from tests.processes.local_cluster import ROOT, wait_until

SCRIPTS = ROOT / "deploy/netns"
SPACES = Path("/run/netns")
COMMAND_S = 60.0
NODES = ("n1", "n2", "n3")
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_setns = ctypes.CDLL(None, use_errno=True).setns
T = TypeVar("T")


def why_not() -> str:
    """Why there can be no machines here; "" if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [command for command in ("ip", "iptables") if shutil.which(command) is None]
    if missing:
        return f"{' and '.join(missing)} not installed"
    probe = f"probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "delete", probe], capture_output=True)
    return made.stderr.strip()


class Machines:
    """Four machines on one network. Nodes run on the first three, the last is for clients."""

    def __init__(self, run: str, folder: Path) -> None:
        self.run, self.folder = run, folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LOGSTREAM_")}
        ours = {"NETNS_RUN": run, "NETNS_FOLDER": str(folder), "LOGSTREAM_CLUSTER_EXPECTED_NODES": str(len(NODES))}
        self.environment = {**kept, **ours}
        self.script("setup-netns.sh", "4")

    def script(self, name: str, *arguments: str) -> str:
        """Run a script that must succeed; returns its stdout."""
        done = self._run(name, *arguments)
        assert done.returncode == 0, f"{name} {arguments}: {done.stderr}"
        return done.stdout

    def on(self, machine: str, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run logstream on a machine."""
        return self._run("on-node.sh", machine, *command, stdin=stdin)

    def begin(self, machine: str, *command: str) -> subprocess.Popen[str]:
        """Start logstream on a machine."""
        words = [str(SCRIPTS / "on-node.sh"), machine, *command]
        return subprocess.Popen(words, env=self.environment, stdout=subprocess.PIPE, text=True)

    def _run(self, name: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        words = [str(SCRIPTS / name), *arguments]
        return subprocess.run(
            words, env=self.environment, input=stdin, capture_output=True, text=True, timeout=COMMAND_S
        )

    def fault(self, *words: str) -> None:
        """Make something fail, or heal it."""
        self.script("fault.sh", *words)

    def inside(self, machine: str, action: Callable[[], T]) -> T:
        """Do something from a machine's network. Raises what it raises."""
        outcome: Future[T] = Future()

        def go() -> None:
            try:
                with (SPACES / f"{self.run}-{machine}").open() as space:
                    assert _setns(space.fileno(), _NEW_NETWORK) == 0, os.strerror(ctypes.get_errno())
                outcome.set_result(action())
            except BaseException as error:
                outcome.set_exception(error)

        threading.Thread(target=go).start()
        return outcome.result()

    def status(self, node: str) -> dict[str, Any]:
        """What a node says of itself, asked on its own machine."""

        def ask() -> dict[str, Any]:
            with Admin(f"10.77.0.{node[1:]}:8001", self.run) as admin:
                return admin.status()

        return self.inside(node, ask)

    def broker_of(self, topic: str) -> str:
        """Who serves the first partition of a topic, as `topics describe` shows it."""

        def assigned() -> list[str | None]:
            return [one["partitions"][0]["assigned"] for one in self.status("n1")["topics"] if one["name"] == topic]

        wait_until(lambda: any(assigned()))
        return assigned()[0] or ""

    def members(self, node: str) -> set[str]:
        """Who belongs to the view that a node is in."""
        return {member["node_id"] for member in self.status(node)["members"]}

    def wait_for_members(self, *names: str) -> None:
        """Return when exactly these are members, as each of them says, and one leads."""

        def agreed() -> bool:
            try:
                said = [self.status(name) for name in names]
            except LogStreamError:  # one that begins anew does not listen for a moment
                return False
            settled = {one["state"] for one in said} <= {"leading", "following"}
            return settled and all({member["node_id"] for member in one["members"]} == set(names) for one in said)

        wait_until(agreed)

    def leader(self) -> str:
        """Who leads, as the first node that follows or leads says."""
        return next(name for name in NODES if self.status(name)["state"] == "leading")

    def pid(self, node: str) -> int:
        """The process of a node."""
        return live_nodes(self.run, self.folder / node)[0].pid

    def log(self, node: str) -> str:
        """What a node wrote to its log."""
        return (self.folder / node / self.run / "logs" / f"{node}.log").read_text()

    def remove(self) -> None:
        """End everything that was started here, and leave nothing."""
        self.script("cleanup-netns.sh")
