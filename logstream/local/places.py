"""Where the nodes of a local cluster live and meet: addresses and ports that nobody else has.

Two clusters of one machine must not meet by accident. Nodes find each other on the broadcast port, so
the first `up` in a folder takes 8888 and 9999 only where no other socket of this machine has them, else
the next free ones, and later nodes of that folder follow those that live. What a user set is taken as
it is: two cluster names may share ports on purpose.

Free ports are read from the system's table, not tried: opening sockets is the transports' business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from logstream.local.processes import LocalClusterError
from logstream.settings import Settings
from logstream.state import NodeFile

LOOPBACK = "127.0.0.1"
_PORTS_TRIED = 1000

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MeetingPoint:
    """Where the nodes of one cluster find each other."""

    broadcast_port: int
    multicast_group: str
    multicast_port: int


def meeting_point(settings: Settings, running: Sequence[NodeFile], say: Say) -> MeetingPoint:
    """Where those that run already meet, else the configured or the first free ports."""
    group = settings.node.multicast_group
    for node in running:
        if node.broadcast_port and node.multicast:
            group, _, port = node.multicast.partition(":")
            return MeetingPoint(node.broadcast_port, group, int(port))
    taken = ports_in_use("udp4")
    broadcast, multicast = settings.node.broadcast_port, settings.node.multicast_port
    if settings.origin("node", "broadcast_port") == "default":
        broadcast = _first_free(broadcast, taken, "broadcast port", say)
    if settings.origin("node", "multicast_port") == "default":
        multicast = _first_free(multicast, taken, "multicast port", say)
    return MeetingPoint(broadcast, group, multicast)


def addresses_for(
    names: Iterable[str], known: Sequence[tuple[NodeFile, bool]], first_port: int, say: Say
) -> dict[str, str]:
    """An address for each name: the one that it had, else the next free port."""
    taken = ports_in_use("tcp4") | {_port(node.address) for node, alive in known if alive}
    before = {node.name: _port(node.address) for node, alive in known if not alive and _host(node.address) == LOOPBACK}
    chosen: dict[str, str] = {}
    for name in names:
        port = before.get(name, 0)
        if not port or port in taken:
            port = _first_free(first_port + int(name[1:]) - 1, taken, f"port of {name}", say)
        taken.add(port)
        chosen[name] = f"{LOOPBACK}:{port}"
    return chosen


def _first_free(port: int, taken: set[int], what: str, say: Say) -> int:
    for free in range(port, min(port + _PORTS_TRIED, 65536)):
        if free not in taken:
            if free != port:
                say(f"{what}: {port} is in use, taking {free}")
            return free
    raise LocalClusterError(f"{what}: no free port from {port} on")


def ports_in_use(kind: str) -> set[int]:
    """Local ports of all "tcp4" or "udp4" sockets that listen on loopback or everywhere, and all of UDP.

    Empty where the system does not tell (macOS without root): then a node says itself that its port is taken.
    """
    import psutil

    try:
        sockets = psutil.net_connections(kind)
    except psutil.AccessDenied:
        return set()
    return {found.laddr.port for found in sockets if found.laddr and (kind == "udp4" or found.status == "LISTEN")}


def _host(address: str) -> str:
    return address.rpartition(":")[0]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2] or 0)
