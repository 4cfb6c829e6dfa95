"""Which network interfaces this machine has, and which of them a node uses.

A node lives on one IPv4 address. From the address follow the interface, its broadcast address and
how large a datagram may be. Without a configured address it is the interface with the default route.

    address -> Interface -> broadcast address, datagram_max

psutil knows the addresses and the MTU; only Linux's /proc/net/route knows the default route, so
elsewhere the first interface that is up is taken. `lo` shows no multicast flag, yet multicast works
on it, so the flag is not asked. Every address of 127.0.0.0/8 is an address of the loopback
interface. Judging virtual adapters is left to `netdiag`.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

ROUTES = Path("/proc/net/route")
HEADERS = 28  # bytes of the IPv4 and UDP headers in each datagram
LOOPBACK_MAX = 8_192  # larger ones fill a receive buffer with less payload
UDP_MAX = 65_507
_ROUTE_IS_UP = 0x1


class NoSuchInterface(Exception):
    """No interface of this machine has the address. The text says which addresses there are."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One IPv4 address of one network interface."""

    name: str
    address: str
    netmask: str
    broadcast: str
    mtu: int  # bytes
    is_up: bool

    @property
    def is_loopback(self) -> bool:
        """Does nothing that is sent here ever leave the machine?"""
        return ipaddress.IPv4Address(self.address).is_loopback


def interfaces() -> list[Interface]:
    """All IPv4 addresses of this machine, in the order in which the system names them."""
    stats = psutil.net_if_stats()
    return [
        Interface(
            name=name,
            address=entry.address,
            netmask=entry.netmask or "255.255.255.255",
            broadcast=_broadcast_of(entry.address, entry.netmask, entry.broadcast),
            mtu=stats[name].mtu if name in stats else 1_500,
            is_up=name in stats and stats[name].isup,
        )
        for name, entries in psutil.net_if_addrs().items()
        for entry in entries
        if entry.family == socket.AF_INET
    ]


def interface_of(address: str) -> Interface:
    """The interface that has this address. Raises NoSuchInterface with the addresses that there are."""
    here = interfaces()
    for interface in here:
        if interface.address == address:
            return interface
    for interface in here:
        if interface.is_loopback and _is_loopback(address):
            return replace(interface, address=address)
    known = ", ".join(f"{interface.address} ({interface.name})" for interface in here) or "no IPv4 address"
    raise NoSuchInterface(f"address {address} is not on this machine: it has {known}")


def primary_interface() -> Interface:
    """The interface with the default route, else the first that is up, else loopback.

    Raises NoSuchInterface if the machine has no IPv4 address at all.
    """
    routed = default_route(ROUTES.read_text()) if ROUTES.exists() else None
    here = sorted(interfaces(), key=lambda found: (found.name != routed, not found.is_up, found.is_loopback))
    if not here:
        raise NoSuchInterface("this machine has no IPv4 address: set [node] address or NODE_ADDRESS")
    return here[0]


def default_route(table: str) -> str | None:
    """The interface of the default route with the lowest metric, from the text of /proc/net/route."""
    routes = [line.split() for line in table.splitlines()[1:]]
    defaults = [
        (int(fields[6]), fields[0])
        for fields in routes
        if len(fields) >= 8 and fields[1] == fields[7] == "00000000" and int(fields[3], 16) & _ROUTE_IS_UP
    ]
    return min(defaults)[1] if defaults else None


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
