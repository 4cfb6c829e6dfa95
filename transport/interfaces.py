"""Which network interfaces this machine has, and what follows from the address of one of them.

A node lives on one IPv4 address. From the address follow the interface, its broadcast address and
how large a datagram may be.

    address -> Interface -> broadcast address, datagram_max

psutil knows the addresses, the flags and the MTU; only Linux's /proc/net/route knows the default
routes, so elsewhere there are none. `lo` shows no multicast flag, yet multicast works on it, so the
flag is shown to people and decides nothing. Every address of 127.0.0.0/8 is an address of the
loopback interface; what is to be known of that Linux says in two files, so that a node on loopback
starts without psutil. Which interface a node takes when nobody says so is decided in `choice.py`.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, replace
from pathlib import Path

ROUTES = Path("/proc/net/route")
LINUX_LOOPBACK = Path("/sys/class/net/lo")
HEADERS = 28  # bytes of the IPv4 and UDP headers in each datagram
LOOPBACK_MAX = 8_192  # larger ones fill a receive buffer with less payload
UDP_MAX = 65_507
_ROUTE_IS_UP = 0x1
_INTERFACE_IS_UP = 0x1


class NoSuchInterface(Exception):
    """No interface of this machine is meant by this. The text says which there are.

    `key` is the setting that is wrong: "address" or "interface".
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


@dataclass(frozen=True, slots=True)
class Interface:
    """One IPv4 address of one network interface."""

    name: str
    address: str
    netmask: str
    broadcast: str
    mtu: int  # bytes
    is_up: bool
    multicast: bool = True  # what the system says of it

    @property
    def is_loopback(self) -> bool:
        """Does nothing that is sent here ever leave the machine?"""
        return ipaddress.IPv4Address(self.address).is_loopback


def interfaces() -> list[Interface]:
    """All IPv4 addresses of this machine, in the order in which the system names them."""
    import psutil

    stats = psutil.net_if_stats()
    found = []
    for name, entries in psutil.net_if_addrs().items():
        facts = stats.get(name) or stats.get(name.partition(":")[0])  # "eth0:1" is a second address of eth0
        found += [
            Interface(
                name=name,
                address=entry.address,
                netmask=entry.netmask or "255.255.255.255",
                broadcast=_broadcast_of(entry.address, entry.netmask, entry.broadcast),
                mtu=facts.mtu if facts else 1_500,
                is_up=bool(facts and facts.isup),
                multicast=bool(facts and "multicast" in facts.flags.split(",")),
            )
            for entry in entries
            if entry.family == socket.AF_INET
        ]
    return found


def without_address() -> list[str]:
    """The names of the interfaces that have no IPv4 address."""
    import psutil

    names = {**dict.fromkeys(psutil.net_if_stats()), **dict.fromkeys(psutil.net_if_addrs())}
    having = {found.name.partition(":")[0] for found in interfaces()}
    return [name for name in names if name.partition(":")[0] not in having]


def interface_of(address: str) -> Interface:
    """The interface that has this address. Raises NoSuchInterface with the addresses that there are."""
    if _is_loopback(address) and (loopback := _loopback_of_linux()):
        return replace(loopback, address=address)
    here = interfaces()
    for interface in here:
        if interface.address == address:
            return interface
    for interface in here:
        if interface.is_loopback and _is_loopback(address):
            return replace(interface, address=address)
    raise NoSuchInterface("address", f"address {address} is not on this machine: it has {those_there_are(here)}")


def _loopback_of_linux() -> Interface | None:
    """`lo` if this is Linux and it is up."""
    try:
        mtu, flags = ((LINUX_LOOPBACK / name).read_text() for name in ("mtu", "flags"))
    except OSError:
        return None
    if not int(flags, 16) & _INTERFACE_IS_UP:
        return None
    return Interface("lo", "127.0.0.1", "255.0.0.0", "127.255.255.255", int(mtu), is_up=True, multicast=False)


def those_there_are(here: list[Interface]) -> str:
    """For an error: every address with its interface."""
    return ", ".join(f"{interface.address} ({interface.name})" for interface in here) or "no IPv4 address"


def default_routes() -> dict[str, int]:
    """The interfaces that have a default route, each with the lowest metric of its routes; empty where unknown."""
    return default_routes_in(ROUTES.read_text()) if ROUTES.exists() else {}


def default_routes_in(table: str) -> dict[str, int]:
    """The default routes in the text of /proc/net/route."""
    found: dict[str, int] = {}
    for fields in map(str.split, table.splitlines()[1:]):
        is_default = len(fields) >= 8 and fields[1] == fields[7] == "00000000" and int(fields[3], 16) & _ROUTE_IS_UP
        if is_default:
            metric = int(fields[6])
            found[fields[0]] = min(metric, found.get(fields[0], metric))
    return found


def datagram_max(interface: Interface) -> int:
    """The largest datagram payload, in bytes, that this interface carries in one piece."""
    largest = min(interface.mtu - HEADERS, UDP_MAX)
    return min(largest, LOOPBACK_MAX) if interface.is_loopback else largest


def host_and_port(address: str) -> tuple[str, int]:
    """Take "IP:PORT" apart. Raises ValueError for anything else, names of hosts included."""
    host, _, port = address.rpartition(":")
    number = int(port) if port.isascii() and port.isdigit() else -1
    if not 0 <= number <= 0xFFFF:
        raise ValueError(f"{address!r} is not IP:PORT")
    return str(ipaddress.IPv4Address(host)), number


def _broadcast_of(address: str, netmask: str | None, stated: str | None) -> str:
    if stated:
        return stated
    return str(ipaddress.IPv4Network(f"{address}/{netmask or 32}", strict=False).broadcast_address)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.IPv4Address(address).is_loopback
    except ValueError:
        return False
