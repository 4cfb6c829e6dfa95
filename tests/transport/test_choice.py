"""Which interface a node lives on, judged on pretended machines."""

from __future__ import annotations

import pytest

from transport import choice
from transport.choice import candidates, is_virtual, place
from transport.interfaces import Interface, NoSuchInterface

LO = Interface("lo", "127.0.0.1", "255.0.0.0", "127.255.255.255", 65_536, True, False)


def adapter(name: str, address: str, up: bool = True) -> Interface:
    return Interface(name, address, "255.255.255.0", address.rpartition(".")[0] + ".255", 1_500, up)


ETH0 = adapter("eth0", "192.168.1.10")
ETH0_AGAIN = adapter("eth0", "192.168.1.11")
WLAN0 = adapter("wlan0", "192.168.7.20")
DOCKER0 = adapter("docker0", "172.17.0.1")
VPN = adapter("wg0", "10.8.0.2")


def order(here: list[Interface], routes: dict[str, int]) -> list[str]:
    return [candidate.interface.name for candidate in candidates(here, routes)]


class Machine:
    """What the system says; tests change it."""

    def __init__(self) -> None:
        self.interfaces = [LO, DOCKER0, ETH0, ETH0_AGAIN, WLAN0]
        self.routes = {"eth0": 100, "wlan0": 600}
        self.without = ["eth5"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    here = Machine()
    monkeypatch.setattr(choice, "interfaces", lambda: here.interfaces)
    monkeypatch.setattr(choice, "default_routes", lambda: here.routes)
    monkeypatch.setattr(choice, "without_address", lambda: here.without)
    monkeypatch.setattr(
        choice, "interface_of", lambda address: next(found for found in here.interfaces if found.address == address)
    )
    return here


# --- the order ---


def test_the_default_route_with_the_lowest_metric_comes_first() -> None:
    assert order([LO, DOCKER0, WLAN0, ETH0], {"wlan0": 600, "eth0": 100}) == ["eth0", "wlan0", "docker0", "lo"]


def test_without_a_default_route_a_real_adapter_comes_first() -> None:
    assert order([LO, DOCKER0, VPN, WLAN0], {}) == ["wlan0", "docker0", "wg0", "lo"]


def test_a_tunnel_that_took_the_default_route_comes_after_the_network_that_carries_it() -> None:
    assert order([LO, VPN, ETH0], {"wg0": 50}) == ["eth0", "wg0", "lo"]


def test_a_virtual_adapter_with_the_default_route_is_better_than_loopback() -> None:
    assert order([LO, DOCKER0, adapter("br-ex", "10.0.0.4")], {"br-ex": 0}) == ["br-ex", "docker0", "lo"]


def test_an_interface_that_waits_for_its_cable_comes_before_those_that_nobody_else_can_reach() -> None:
    unplugged = adapter("eth0", "192.168.1.10", up=False)
    assert order([LO, DOCKER0, unplugged], {}) == ["eth0", "docker0", "lo"]
    assert order([LO, WLAN0, unplugged], {"eth0": 100}) == ["wlan0", "eth0", "lo"]


def test_a_bridge_without_containers_comes_last() -> None:
    assert order([adapter("docker0", "172.17.0.1", up=False), LO], {}) == ["lo", "docker0"]


def test_equals_keep_the_order_of_the_system() -> None:
    assert order([LO, WLAN0, ETH0], {}) == ["wlan0", "eth0", "lo"]


@pytest.mark.parametrize(
    "name",
    [
        "docker0",
        "veth12ab",
        "br-3fa1",
        "virbr0",
        "vboxnet0",
        "tun0",
        "tap1",
        "wg0",
        "vmnet8",
        "tailscale0",
        "docker0:1",
    ],
)
def test_adapters_of_containers_machines_and_tunnels_are_virtual(name: str) -> None:
    assert is_virtual(name)


@pytest.mark.parametrize("name", ["eth0", "enp3s0", "wlan0", "wlp2s0", "br0", "bond0", "eth0.7", "en0", "lo"])
def test_real_adapters_are_not(name: str) -> None:
    assert not is_virtual(name)


# --- where a node lives ---


def test_when_nobody_says_so_it_is_the_first_with_the_usual_port(machine: Machine) -> None:
    found = place("", "")
    assert (found.address, found.why) == ("192.168.1.10:8001", "it has the default route (metric 100)")


def test_a_machine_without_a_network_has_its_loopback(machine: Machine) -> None:
    machine.interfaces = [LO]
    assert place("", "").address == "127.0.0.1:8001"


def test_a_machine_without_any_address_is_an_error_that_says_what_to_do(machine: Machine) -> None:
    machine.interfaces = []
    with pytest.raises(NoSuchInterface) as raised:
        place("", "")
    assert str(raised.value) == "this machine has no IPv4 address, set one with --address or NODE_ADDRESS"


def test_a_named_interface_is_taken_whatever_is_thought_of_it(machine: Machine) -> None:
    found = place("", "docker0")
    assert (found.address, found.why) == ("172.17.0.1:8001", "it was named; it is a virtual adapter")


def test_a_named_interface_without_an_address_is_an_error_that_lists_those_with_one(machine: Machine) -> None:
    machine.interfaces = [LO, ETH0]
    with pytest.raises(NoSuchInterface) as raised:
        place("", "eth5")
    said = "interface eth5 has no IPv4 address: those of this machine are 127.0.0.1 (lo), 192.168.1.10 (eth0)"
    assert (str(raised.value), raised.value.key) == (said, "interface")


def test_an_interface_of_another_machine_is_an_error_that_lists_those_of_this_one(machine: Machine) -> None:
    machine.interfaces = [LO, ETH0]
    with pytest.raises(NoSuchInterface) as raised:
        place("", "eth7")
    said = "interface eth7 is not on this machine: it has 127.0.0.1 (lo), 192.168.1.10 (eth0)"
    assert (str(raised.value), raised.value.key) == (said, "interface")


def test_an_address_is_taken_with_its_port(machine: Machine) -> None:
    found = place("192.168.7.20:9000", "")
    assert (found.interface.name, found.address) == ("wlan0", "192.168.7.20:9000")


def test_any_address_of_the_named_interface_fits(machine: Machine) -> None:
    assert place("192.168.1.11:8001", "eth0").address == "192.168.1.11:8001"


def test_an_address_on_another_than_the_named_interface_is_an_error(machine: Machine) -> None:
    with pytest.raises(NoSuchInterface) as raised:
        place("127.0.0.1:8001", "eth0")
    said = "interface eth0 has 192.168.1.10, but address 127.0.0.1 (on lo) is set as well, leave one out"
    assert str(raised.value) == said
