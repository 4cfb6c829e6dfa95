"""Which interface a node lives on when nobody named an address, and in words why.

    a default route  >  none  >  virtual, with one  >  down  >  virtual  >  loopback  >  virtual and down
    (the lowest metric first)

The default route tells which network this machine belongs to. Adapters of containers, virtual
machines and tunnels come after all others even with one: who is reached through them by broadcast
is on this machine, or nobody. Inside a container the only adapter is called eth0 and is like any
other. What is virtual is judged by name, because in a container a real network is one as well.
An interface that is down but has an address waits for its cable: a node that starts before the
switch does must not settle on loopback, where nobody will ever find it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase

from transport.interfaces import (
    Interface,
    NoSuchInterface,
    default_routes,
    interface_of,
    interfaces,
    those_there_are,
    without_address,
)

PORT = 8001  # where only an interface is known
CONTAINERS = ("docker*", "veth*", "br-*", "podman*", "cni*", "flannel*", "cali*", "lxc*", "lxdbr*", "ifb*", "dummy*")
MACHINES = ("virbr*", "vnet*", "vboxnet*", "vmnet*")
TUNNELS = ("tun*", "tap*", "wg*", "utun*", "tailscale*", "zt*")
VIRTUAL = (*CONTAINERS, *MACHINES, *TUNNELS)


class Rank(IntEnum):
    """How likely an interface leads to the other nodes, the best first."""

    ROUTED = 0
    PLAIN = 1
    VIRTUAL_ROUTED = 2
    DOWN = 3
    VIRTUAL = 4
    LOOPBACK = 5
    VIRTUAL_DOWN = 6


WORDS = {
    Rank.ROUTED: "has the default route",
    Rank.PLAIN: "is up, has no default route",
    Rank.VIRTUAL_ROUTED: "has a default route, but is a virtual adapter",
    Rank.DOWN: "is down, its cable or network is missing",
    Rank.VIRTUAL: "is a virtual adapter",
    Rank.LOOPBACK: "is loopback, nothing leaves this machine",
    Rank.VIRTUAL_DOWN: "is a virtual adapter and down",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One interface and what is to be thought of it."""

    interface: Interface
    rank: Rank
    metric: int  # of its default route, 0 if it has none

    @property
    def why(self) -> str:
        """What follows the interface's name in a sentence."""
        return WORDS[self.rank] + (f" (metric {self.metric})" if self.metric else "")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node lives."""

    interface: Interface
    port: int
    why: str

    @property
    def address(self) -> str:
        """As "IP:PORT"."""
        return f"{self.interface.address}:{self.port}"


def candidates(here: list[Interface], routes: dict[str, int]) -> list[Candidate]:
    """All interfaces, the one to take first; equals in the order in which the system names them."""
    judged = [Candidate(found, _rank(found, routes), routes.get(found.name, 0)) for found in here]
    return sorted(judged, key=lambda candidate: (candidate.rank, candidate.metric))


def candidates_here() -> list[Candidate]:
    """All interfaces of this machine, the one to take first."""
    return candidates(interfaces(), default_routes())


def is_virtual(name: str) -> bool:
    """Does it belong to containers, virtual machines or a tunnel, judged by its name?"""
    return any(fnmatchcase(name, pattern) for pattern in VIRTUAL)


def place(address: str, interface: str) -> Place:
    """Where a node lives with these settings, of which either or both may be empty.

    `address` is "IP:PORT". Raises NoSuchInterface.
    """
    if address:
        return _at(address, interface)
    if interface:
        found = _named(interface)
        return Place(found, PORT, f"it was named; it {_judgement(found)}")
    here = candidates_here()
    if not here:
        raise NoSuchInterface("address", "this machine has no IPv4 address, set one with --address or NODE_ADDRESS")
    return Place(here[0].interface, PORT, f"it {here[0].why}")


def _at(address: str, interface: str) -> Place:
    host, _, port = address.partition(":")
    found = interface_of(host)
    if interface and found.name != _named(interface).name:
        having = _named(interface).address
        raise NoSuchInterface(
            "interface",
            f"interface {interface} has {having}, but address {host} (on {found.name}) is set as well, leave one out",
        )
    return Place(found, int(port), f"it has the address that was set; it {_judgement(found)}")


def _judgement(found: Interface) -> str:
    if found.is_loopback:
        return WORDS[Rank.LOOPBACK]
    return next(candidate.why for candidate in candidates_here() if candidate.interface.name == found.name)


def _named(name: str) -> Interface:
    """The first address of this interface. Raises NoSuchInterface with those that have one."""
    here = interfaces()
    for found in here:
        if found.name == name:
            return found
    if name in without_address():
        raise NoSuchInterface(
            "interface", f"interface {name} has no IPv4 address: those of this machine are {those_there_are(here)}"
        )
    raise NoSuchInterface("interface", f"interface {name} is not on this machine: it has {those_there_are(here)}")


def _rank(found: Interface, routes: dict[str, int]) -> Rank:
    if found.is_loopback:
        return Rank.LOOPBACK
    if is_virtual(found.name):
        if not found.is_up:
            return Rank.VIRTUAL_DOWN
        return Rank.VIRTUAL_ROUTED if found.name in routes else Rank.VIRTUAL
    if not found.is_up:
        return Rank.DOWN
    return Rank.ROUTED if found.name in routes else Rank.PLAIN
