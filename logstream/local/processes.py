"""Node processes that outlive us: how one is started, and how we learn that it is ready or dead.

A child gets a session of its own and writes to logs/NAME.log. It tells us by its node file that it is
ready (state.py), and by its exit that it never will be; then the last line of its log says why.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from logstream._start import program_file
from logstream.state import NodeFile, live_nodes, log_path

_LOOK_AGAIN_S = 0.05


class LocalClusterError(Exception):
    """A node did not come or did not go. The text says which, and where its log is."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One node process to start."""

    home: Path
    cluster: str
    name: str
    address: str
    environment: Mapping[str, str]  # on top of ours
    options: Sequence[str] = ()  # further options of `start`

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return log_path(self.home, self.cluster, self.name)


def spawn(launch: Launch) -> subprocess.Popen[bytes]:
    """Start a node process that outlives this one."""
    launch.log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(program_file()), "start", "--managed", "--name", launch.name]
    command += ["--address", launch.address, "--cluster", launch.cluster, *launch.options]
    with launch.log.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "LOGSTREAM_HOME": str(launch.home), **launch.environment},
        )


def wait_until_ready(launch: Launch, child: subprocess.Popen[bytes], deadline_s: float) -> NodeFile:
    """The node's file once it says that the node is ready. Raises LocalClusterError."""
    for _ in looks(deadline_s):
        check_alive(launch, child)
        for node in live_nodes(launch.cluster, launch.home):
            if node.name == launch.name and node.ready:
                return node
    raise LocalClusterError(f"node {launch.name} was not ready within {deadline_s:g} s, see {launch.log}")


def check_alive(launch: Launch, child: subprocess.Popen[bytes]) -> None:
    """Raises LocalClusterError with the last line of its log if the process has ended."""
    if child.poll() is not None:
        raise LocalClusterError(f"node {launch.name} ended at once: {_last_line(launch.log)} (see {launch.log})")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("logstream: ") if lines else "it wrote nothing"


def looks(deadline_s: float) -> Iterator[None]:
    """Look at once, then again and again until the deadline: processes tell us by files, not by messages."""
    end = time.monotonic() + deadline_s
    yield
    while time.monotonic() < end:
        time.sleep(_LOOK_AGAIN_S)
        yield
