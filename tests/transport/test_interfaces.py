"""Which interface a node uses, judged on pretended machines."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace as Entry

import psutil
import pytest

from transport import interfaces
from transport.interfaces import (
    Interface,
    NoSuchInterface,
    datagram_max,
    default_route,
    host_and_port,
    interface_of,
    primary_interface,
)

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
ppp0\t00000000\t00000000\t0000\t0\t0\t0\t00000000\t0\t0\t0
"""


def entry(address: str, netmask: str | None, broadcast: str | None = None, family: int = socket.AF_INET) -> Entry:
    return Entry(family=family, address=address, netmask=netmask, broadcast=broadcast, ptp=None)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A laptop; the answer is the file with its routes."""
    addresses = {
        "lo": [entry("127.0.0.1", "255.0.0.0"), entry("::1", None, family=socket.AF_INET6)],
        "docker0": [entry("172.17.0.1", "255.255.0.0", "172.17.255.255")],
        "wlan0": [entry("192.168.1.20", "255.255.255.0", "192.168.1.255")],
        "eth0": [entry("02:fc:00:00:00:01", None, family=socket.AF_PACKET), entry("192.0.2.2", "255.255.255.0")],
    }
    stats = {
        "lo": Entry(isup=True, mtu=65_536),
        "docker0": Entry(isup=False, mtu=1_500),
        "wlan0": Entry(isup=True, mtu=1_500),
        "eth0": Entry(isup=True, mtu=9_000),
    }
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: addresses)
    monkeypatch.setattr(psutil, "net_if_stats", lambda: stats)
    routes = tmp_path / "route"
    routes.write_text(ROUTES)
    monkeypatch.setattr(interfaces, "ROUTES", routes)
    return routes


def test_an_address_names_its_interface(machine: Path) -> None:
    assert interface_of("192.168.1.20") == Interface(
        "wlan0", "192.168.1.20", "255.255.255.0", "192.168.1.255", 1_500, True
    )


def test_a_broadcast_address_that_the_system_does_not_state_follows_from_the_netmask(machine: Path) -> None:
    assert interface_of("192.0.2.2").broadcast == "192.0.2.255"
    assert interface_of("127.0.0.1").broadcast == "127.255.255.255"


def test_every_loopback_address_belongs_to_the_loopback_interface(machine: Path) -> None:
    found = interface_of("127.0.0.2")
    assert (found.name, found.address, found.broadcast) == ("lo", "127.0.0.2", "127.255.255.255")


@pytest.mark.parametrize("address", ["10.1.2.3", "nonsense", "::1", ""])
def test_an_address_of_another_machine_is_an_error_that_names_those_of_this_one(machine: Path, address: str) -> None:
    with pytest.raises(NoSuchInterface) as raised:
        interface_of(address)
    assert str(raised.value) == (
        f"address {address} is not on this machine: it has "
        "127.0.0.1 (lo), 172.17.0.1 (docker0), 192.168.1.20 (wlan0), 192.0.2.2 (eth0)"
    )


def test_the_primary_interface_has_the_default_route_with_the_lowest_metric(machine: Path) -> None:
    assert primary_interface().name == "eth0"


def test_without_a_default_route_the_first_that_is_up_and_no_loopback_is_primary(machine: Path) -> None:
    machine.write_text(ROUTES.splitlines()[0])
    assert primary_interface().name == "wlan0"
    machine.unlink()
    assert primary_interface().name == "wlan0"


def test_a_machine_without_a_network_has_its_loopback(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"lo": [entry("127.0.0.1", "255.0.0.0")]})
    assert primary_interface().name == "lo"
    monkeypatch.setattr(psutil, "net_if_addrs", dict)
    with pytest.raises(NoSuchInterface, match="no IPv4 address"):
        primary_interface()


def test_routes_that_are_down_or_not_the_default_are_not_the_default_route() -> None:
    assert default_route(ROUTES) == "eth0"
    assert default_route(ROUTES.splitlines()[0]) is None
    assert default_route("") is None


@pytest.mark.parametrize(
    ("address", "mtu", "expected"),
    [
        ("192.0.2.2", 1_500, 1_472),
        ("192.0.2.2", 9_000, 8_972),
        ("192.0.2.2", 100_000, 65_507),
        ("127.0.0.1", 65_536, 8_192),
        ("127.0.0.9", 1_500, 1_472),
    ],
)
def test_a_datagram_fits_the_interface(address: str, mtu: int, expected: int) -> None:
    assert datagram_max(Interface("x", address, "255.0.0.0", "", mtu, True)) == expected


def test_host_and_port_are_taken_apart() -> None:
    assert host_and_port("127.0.0.1:8001") == ("127.0.0.1", 8001)


@pytest.mark.parametrize("address", ["", ":1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "n1:80"])
def test_what_is_not_ip_and_port_is_an_error(address: str) -> None:
    with pytest.raises(ValueError):
        host_and_port(address)


def test_this_machine_has_loopback() -> None:
    assert interface_of("127.0.0.1").is_loopback
