"""Ending node processes of this machine: SIGTERM, wait until the kernel has let go of the lock, else SIGKILL.

`down` is in the package itself: it stops everything and forgets the cluster, here it is only stopped.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

from logstream.local.places import Say
from logstream.local.processes import LocalClusterError, looks
from logstream.state import NodeFile, live_nodes

STOP_DEADLINE_S = 5.0

Chosen = Callable[[NodeFile], bool]


def end(home: Path, cluster: str, chosen: Chosen, say: Say) -> list[NodeFile]:
    """Stop the chosen nodes of a cluster and return them when they are gone. Raises LocalClusterError."""
    ending = _living(home, cluster, chosen)
    pids = {node.pid for node in ending}
    _signal(ending, signal.SIGTERM)
    left = ending
    for _ in looks(STOP_DEADLINE_S):
        left = [node for node in _living(home, cluster, chosen) if node.pid in pids]
        if not left:
            return ending
    names = ", ".join(node.name for node in left)
    say(f"killed, because they did not stop within {STOP_DEADLINE_S:g} s: {names}")
    _signal(left, signal.SIGKILL)
    for _ in looks(STOP_DEADLINE_S):
        if not any(node.pid in pids for node in _living(home, cluster, chosen)):
            break
    return ending


def _living(home: Path, cluster: str, chosen: Chosen) -> list[NodeFile]:
    return [node for node in live_nodes(cluster, home) if chosen(node)]


def _signal(nodes: Iterable[NodeFile], number: signal.Signals) -> None:
    for node in nodes:
        try:
            os.kill(node.pid, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            raise LocalClusterError(f"node {node.name} (pid {node.pid}) belongs to another user") from None
