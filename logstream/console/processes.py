"""`list` and `stop`: the node processes of this machine, whoever started them.

Whether a node lives its lock says (state.py); what it is doing it says itself, and whoever does not answer
within a second is shown so, because that is what a person looks for in this list.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from logstream import local
from logstream.console.cluster import say
from logstream.console.failure import USAGE, Failure
from logstream.console.streams import width
from logstream.console.table import table
from logstream.settings import Settings
from logstream.state import NodeFile, known_nodes

ASK_S = 1.0
ASKED_AT_ONCE = 16
ROLES = {"leading": "leader", "following": "follower"}  # other states say in words what the node does


def list_processes(settings: Settings, as_json: bool) -> int:
    """Print the nodes of this machine: of the cluster that was named, else of all."""
    rows = processes(settings)
    if as_json:
        print(json.dumps(rows))
    elif rows:
        columns = ("name", "cluster", "role", "address", "pid")
        cells = [[*(row[column] for column in columns), "yes" if row["managed"] else "no"] for row in rows]
        print(table(("NODE", "CLUSTER", "ROLE", "ADDRESS", "PID", "MANAGED"), cells, width()))
    else:
        say(f"no node runs here (looked in {settings.state_folder})")
    return 0


def processes(settings: Settings) -> list[dict[str, Any]]:
    """One object a node, by cluster and name."""
    named = settings.origin("cluster", "name") != "default"
    known = known_nodes(settings.shared.cluster if named else None, settings.state_folder)
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        roles = list(pool.map(lambda found: _role(*found), known))
    return [
        {
            "name": node.name,
            "node_id": node.name,
            "cluster": node.cluster,
            "pid": node.pid,
            "address": node.address,
            "role": role,
            "managed": node.managed,
        }
        for (node, _), role in zip(known, roles, strict=True)
    ]


def _role(node: NodeFile, alive: bool) -> str:
    if not alive:
        return "dead"
    if not node.ready:
        return "starting"
    from logstream.client import Admin
    from logstream.protocol.errors import LogStreamError

    try:
        state = str(Admin(node.address, node.cluster, timeout_s=ASK_S).status()["state"])
    except LogStreamError:
        return "no answer"
    return ROLES.get(state, state)


# --- stop ---


def stop(settings: Settings, name: str | None, every: bool) -> int:
    """Stop one node, or all that run in the background. Raises Failure or LocalClusterError."""
    if (name is None) != every:
        raise Failure("stop wants one of NAME and --all", USAGE)
    home, cluster = settings.state_folder, settings.shared.cluster
    if every:
        stopped = local.end(home, cluster, lambda node: node.managed, say)
        names = ", ".join(node.name for node in stopped)
        print(f"stopped {names} of cluster {cluster}" if names else f"no managed node of cluster {cluster} runs here")
        return 0
    if local.end(home, cluster, lambda node: node.name == name, say):
        print(f"stopped {name} of cluster {cluster}")
        return 0
    if any(node.name == name for node, _ in known_nodes(cluster, home)):
        print(f"{name} of cluster {cluster} is dead already")
        return 0
    raise Failure(f"no node {name} of cluster {cluster} runs here: {_who_runs(settings)}")


def _who_runs(settings: Settings) -> str:
    living = [node for node, alive in known_nodes(None, settings.state_folder) if alive]
    names = ", ".join(f"{node.name} (cluster {node.cluster})" for node in living)
    return f"there are {names}" if names else f"none does (looked in {settings.state_folder})"
