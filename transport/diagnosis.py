"""What `netdiag` finds out about this machine's network: the object that `netdiag --json` prints.

The interfaces and the choice among them, a live test of broadcast and multicast on the chosen one,
and the nodes that answer from there. Nothing is kept, and a node that runs here is not disturbed.
"""

from __future__ import annotations

from typing import Any

from transport.choice import Candidate, Place, candidates_here, is_virtual
from transport.interfaces import without_address
from transport.neighbours import Neighbour, neighbours
from transport.self_test import broadcast_problem, multicast_problem
from transport.stack import StackSettings, broadcast_settings, multicast_settings


def diagnose(place: Place, origin: str, settings: StackSettings) -> dict[str, Any]:
    """Look at the interfaces, and try the one that was chosen; `origin` says by what. Takes about half a second."""
    broadcast = _broadcast(settings)
    found = [] if broadcast["problem"].startswith("cannot") else neighbours(broadcast_settings(settings))
    multicast = _multicast(settings)
    nodes = [_node(one) for one in found]
    failed = [*(test["problem"] for test in (broadcast, multicast)), *(node["problem"] for node in nodes)]
    return {
        "ok": place.interface.is_up and not any(failed),
        "cluster": settings.cluster,
        "chosen": {"name": place.interface.name, "address": place.address, "by": origin, "why": place.why},
        "interfaces": [_interface(candidate, place) for candidate in candidates_here()],
        "without_address": without_address(),
        "broadcast": broadcast,
        "multicast": multicast,
        "nodes": nodes,
    }


def _interface(candidate: Candidate, place: Place) -> dict[str, Any]:
    found = candidate.interface
    return {
        "name": found.name,
        "address": found.address,
        "netmask": found.netmask,
        "broadcast": found.broadcast,
        "multicast": found.multicast,
        "mtu": found.mtu,
        "up": found.is_up,
        "virtual": is_virtual(found.name),
        "chosen": found.name == place.interface.name
        and (found.is_loopback or found.address == place.interface.address),
        "why": candidate.why,
    }


def _broadcast(settings: StackSettings) -> dict[str, Any]:
    where = broadcast_settings(settings)
    return {"to": f"{where.broadcast}:{where.port}", "problem": broadcast_problem(where)}


def _multicast(settings: StackSettings) -> dict[str, Any]:
    """Where it is off or fails, TCP takes its place (R16)."""
    where = multicast_settings(settings)
    problem = multicast_problem(where) if settings.multicast else ""
    return {
        "to": f"{where.group}:{where.port}",
        "problem": problem,
        "on": settings.multicast,
        "records_by": "multicast" if settings.multicast and not problem else "tcp",
    }


def _node(neighbour: Neighbour) -> dict[str, Any]:
    return {
        "node_id": neighbour.node_id,
        "address": neighbour.address,
        "answers": neighbour.answers,
        "leader": neighbour.leader or None,
        "problem": neighbour.problem,
    }
