"""Finding the cluster: the places that are looked at, in order; the first that answers is taken.

    1. bootstrap=, or LEADER_ADDRESS, or LOGSTREAM_CLIENT_BOOTSTRAP: whoever names brokers means those and no others
    2. nodes of this cluster that run on this machine, by their files in the state folder
    3. JOIN on loopback, 0.1 s
    4. JOIN on the primary interface, the one with the default route: three times 1 s

A NODE_ADDRESS on loopback keeps all of it there: step 4 is left out.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from logstream.client.connection import accepts, hear_join_answers
from logstream.protocol.errors import NoClusterFound
from logstream.protocol.messages import JoinResponse

Joining = Callable[[str, str, tuple[str, int], float], JoinResponse | None]

LOOPBACK = ("127.0.0.1", "127.255.255.255")
LOOPBACK_S = 0.1
INTERFACE_S = 1.0
INTERFACE_TRIES = 3
CONNECT_S = 1.0
BROADCAST_PORT = 8888


def find(
    bootstrap: str | Sequence[str] | None,
    cluster: str,
    environment: Mapping[str, str] | None = None,
    join: Joining = hear_join_answers,
) -> list[str]:
    """Addresses of brokers of this cluster, at least one.

    Raises NoClusterFound with everything that was tried, ValueError if an address is none.
    """
    known = os.environ if environment is None else environment
    named, origin = _named(bootstrap, known)
    if named:
        return _listening(named, origin, cluster)
    tried: list[str] = []
    found = _on_this_machine(cluster, tried) or _on_loopback(cluster, known, tried, join)
    if not found and not keeps_to_loopback(known):
        found = _on_interface(cluster, known, tried, join)
    if not found:
        raise NoClusterFound(f"no cluster {cluster!r} found; tried {'; '.join(tried)}")
    return found


def _named(bootstrap: str | Sequence[str] | None, environment: Mapping[str, str]) -> tuple[list[str], str]:
    """The addresses that somebody named, and by what."""
    choices: list[tuple[str | Sequence[str] | None, str]] = [
        (bootstrap, "bootstrap"),
        (environment.get("LEADER_ADDRESS"), "LEADER_ADDRESS"),
        (environment.get("LOGSTREAM_CLIENT_BOOTSTRAP"), "LOGSTREAM_CLIENT_BOOTSTRAP"),
    ]
    for choice, origin in choices:
        parts = choice.split(",") if isinstance(choice, str) else list(choice or ())
        addresses = [part.strip() for part in parts if part.strip()]
        if addresses:
            return addresses, origin
    return [], ""


def _listening(addresses: list[str], origin: str, cluster: str) -> list[str]:
    """All of the addresses, the first one that accepts connections first. Raises NoClusterFound if none does."""
    refusals = []
    for address in addresses:
        refusal = accepts(address, CONNECT_S)
        if not refusal:
            return list(dict.fromkeys([address, *addresses]))
        refusals.append(f"{address} ({refusal})")
    raise NoClusterFound(f"no cluster {cluster!r} found; tried {', '.join(refusals)}, named by {origin}")


def _on_this_machine(cluster: str, tried: list[str]) -> list[str]:
    from logstream.state import home_folder, live_nodes

    addresses = [node.address for node in live_nodes(cluster)]
    refusals = [accepts(address, CONNECT_S) for address in addresses]
    tried.append(f"the nodes of this machine in {home_folder()} ({len(addresses)} run)")
    return [address for address, refusal in zip(addresses, refusals, strict=True) if not refusal]


def _on_loopback(cluster: str, environment: Mapping[str, str], tried: list[str], join: Joining) -> list[str]:
    source, destination = LOOPBACK
    return _by_join(cluster, source, (destination, _port(environment)), LOOPBACK_S, 1, "loopback", tried, join)


def _on_interface(cluster: str, environment: Mapping[str, str], tried: list[str], join: Joining) -> list[str]:
    chosen = _chosen_interface(environment)
    if chosen is None:
        tried.append("no interface with a default route")
        return []
    name, source, destination = chosen
    where = f"interface {name}"
    return _by_join(
        cluster, source, (destination, _port(environment)), INTERFACE_S, INTERFACE_TRIES, where, tried, join
    )


def _by_join(
    cluster: str,
    source: str,
    destination: tuple[str, int],
    wait_s: float,
    tries: int,
    where: str,
    tried: list[str],
    join: Joining,
) -> list[str]:
    tried.append(f"JOIN to {destination[0]}:{destination[1]} on {where}")
    for _ in range(tries):
        try:
            response = join(cluster, source, destination, wait_s)
        except OSError as error:
            tried[-1] += f" ({error.strerror or error})"
            return []
        if response is not None:
            return _addresses_in(response)
    return []


def _addresses_in(response: JoinResponse) -> list[str]:
    """Who answered, the leader first if one is heard."""
    members = [*([response.leader] if response.leader else []), response.member, *response.members]
    return list(dict.fromkeys(member.address for member in members if member.address))


def keeps_to_loopback(environment: Mapping[str, str]) -> bool:
    """Does NODE_ADDRESS say that nothing may leave this machine?"""
    return _is_loopback(_node_host(environment))


def _node_host(environment: Mapping[str, str]) -> str:
    address = environment.get("NODE_ADDRESS") or environment.get("LOGSTREAM_NODE_ADDRESS", "")
    return address.rpartition(":")[0] or address


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _port(environment: Mapping[str, str]) -> int:
    text = environment.get("BROADCAST_PORT") or environment.get("LOGSTREAM_NODE_BROADCAST_PORT") or ""
    return int(text) if text.isdecimal() else BROADCAST_PORT


def _chosen_interface(environment: Mapping[str, str]) -> tuple[str, str, str] | None:
    """Name, address and broadcast address of the interface that has NODE_ADDRESS, else the default route."""
    import psutil

    wanted, default = _node_host(environment), _default_interface()
    for name, addresses in psutil.net_if_addrs().items():
        for found in addresses:
            chosen = found.address == wanted if wanted else name == default
            if chosen and found.family.name == "AF_INET" and found.broadcast:
                return name, found.address, found.broadcast
    return None


def _default_interface(table: Path = Path("/proc/net/route")) -> str:
    """The interface of the default route, "" if there is none."""
    try:
        lines = table.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return ""
    return next((fields[0] for fields in map(str.split, lines) if len(fields) > 1 and fields[1] == "00000000"), "")
