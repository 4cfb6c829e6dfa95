"""Which interfaces a machine has, and what follows from an address, on a pretended machine."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace as Entry

import psutil
import pytest

from transport import interfaces
from transport.interfaces import (
    Interface,
    NoSuchInterface,
    datagram_max,
    default_routes,
    default_routes_in,
    host_and_port,
    interface_of,
    without_address,
)

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t010200C0\t0003\t0\t0\t200\t00000000\t0\t0\t0
eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
ppp0\t00000000\t00000000\t0000\t0\t0\t0\t00000000\t0\t0\t0
"""


def entry(address: str, netmask: str | None, broadcast: str | None = None, family: int = socket.AF_INET) -> Entry:
    return Entry(family=family, address=address, netmask=netmask, broadcast=broadcast, ptp=None)


def loopback(folder: Path, flags: str = "0x9") -> Path:
    """What Linux says of `lo`, in a folder of its own."""
    found = folder / "lo"
    found.mkdir(exist_ok=True)
    (found / "mtu").write_text("65536\n")
    (found / "flags").write_text(f"{flags}\n")
    return found


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A laptop; the answer is the file with its routes."""
    addresses = {
        "lo": [entry("127.0.0.1", "255.0.0.0"), entry("::1", None, family=socket.AF_INET6)],
        "docker0": [entry("172.17.0.1", "255.255.0.0", "172.17.255.255")],
        "wlan0": [entry("192.168.1.20", "255.255.255.0", "192.168.1.255")],
        "eth0": [entry("02:fc:00:00:00:01", None, family=socket.AF_PACKET), entry("192.0.2.2", "255.255.255.0")],
        "eth0:1": [entry("192.0.2.9", "255.255.255.0")],
        "eth1": [entry("02:fc:00:00:00:02", None, family=socket.AF_PACKET)],
    }
    stats = {
        "lo": Entry(isup=True, mtu=65_536, flags="up,loopback,running"),
        "docker0": Entry(isup=False, mtu=1_500, flags="up,broadcast,multicast"),
        "wlan0": Entry(isup=True, mtu=1_500, flags="up,broadcast,running,multicast"),
        "eth0": Entry(isup=True, mtu=9_000, flags="up,broadcast,running"),
        "eth1": Entry(isup=True, mtu=1_500, flags="up,broadcast,running,multicast"),
        "ifb0": Entry(isup=False, mtu=1_500, flags="broadcast,noarp"),
    }
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: addresses)
    monkeypatch.setattr(psutil, "net_if_stats", lambda: stats)
    routes = tmp_path / "route"
    routes.write_text(ROUTES)
    monkeypatch.setattr(interfaces, "ROUTES", routes)
    monkeypatch.setattr(interfaces, "LINUX_LOOPBACK", loopback(tmp_path))
    return routes


def test_an_address_names_its_interface(machine: Path) -> None:
    assert interface_of("192.168.1.20") == Interface(
        "wlan0", "192.168.1.20", "255.255.255.0", "192.168.1.255", 1_500, True, True
    )


def test_a_second_address_of_an_interface_has_the_facts_of_the_first(machine: Path) -> None:
    first, second = interface_of("192.0.2.2"), interface_of("192.0.2.9")
    assert (second.name, second.mtu, second.is_up) == ("eth0:1", first.mtu, first.is_up)


def test_the_multicast_flag_is_what_the_system_says(machine: Path) -> None:
    said = {address: interface_of(address).multicast for address in ("127.0.0.1", "192.168.1.20", "192.0.2.2")}
    assert said == {"127.0.0.1": False, "192.168.1.20": True, "192.0.2.2": False}


def test_interfaces_without_an_ipv4_address_are_known_by_name(machine: Path) -> None:
    assert without_address() == ["eth1", "ifb0"]


def test_a_broadcast_address_that_the_system_does_not_state_follows_from_the_netmask(machine: Path) -> None:
    assert interface_of("192.0.2.2").broadcast == "192.0.2.255"
    assert interface_of("127.0.0.1").broadcast == "127.255.255.255"


def test_every_loopback_address_belongs_to_the_loopback_interface(machine: Path) -> None:
    found = interface_of("127.0.0.2")
    assert (found.name, found.address, found.broadcast) == ("lo", "127.0.0.2", "127.255.255.255")


def test_loopback_is_known_without_asking_for_the_other_interfaces(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [interface_of("127.0.0.1")]
    monkeypatch.setattr(interfaces, "LINUX_LOOPBACK", machine / "not Linux")
    asked.append(interface_of("127.0.0.1"))
    assert asked[0] == asked[1]
    monkeypatch.setattr(interfaces, "LINUX_LOOPBACK", machine.parent / "lo")
    monkeypatch.setattr(psutil, "net_if_addrs", dict)
    assert interface_of("127.0.0.3") == replace(asked[0], address="127.0.0.3")


def test_an_address_of_a_loopback_that_is_down_is_not_on_this_machine(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loopback(machine.parent, flags="0x8")
    monkeypatch.setattr(psutil, "net_if_addrs", dict)
    with pytest.raises(NoSuchInterface, match="it has no IPv4 address"):
        interface_of("127.0.0.1")


@pytest.mark.parametrize("address", ["10.1.2.3", "nonsense", "::1", ""])
def test_an_address_of_another_machine_is_an_error_that_names_those_of_this_one(machine: Path, address: str) -> None:
    with pytest.raises(NoSuchInterface) as raised:
        interface_of(address)
    assert str(raised.value) == (
        f"address {address} is not on this machine: it has "
        "127.0.0.1 (lo), 172.17.0.1 (docker0), 192.168.1.20 (wlan0), 192.0.2.2 (eth0), 192.0.2.9 (eth0:1)"
    )
    assert raised.value.key == "address"


def test_default_routes_are_those_that_are_up_with_their_lowest_metric(machine: Path) -> None:
    assert default_routes() == {"wlan0": 600, "eth0": 100}


def test_a_machine_without_routes_or_without_a_table_of_them_has_no_default_route(machine: Path) -> None:
    assert default_routes_in(ROUTES.splitlines()[0]) == default_routes_in("") == {}
    machine.unlink()
    assert default_routes() == {}


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
