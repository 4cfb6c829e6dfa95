"""netdiag: what it says, and which of several settings means the interface."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from logstream.console.netdiag import as_text, show_diagnosis

PROGRAM = Path(__file__).parents[2] / "logstream_cli.py"
ETH0 = {
    "name": "eth0",
    "address": "10.0.0.1",
    "netmask": "255.255.255.0",
    "broadcast": "10.0.0.255",
    "multicast": True,
    "mtu": 1500,
    "up": True,
    "virtual": False,
    "chosen": True,
    "why": "has the default route",
}
LO = {
    **ETH0,
    "name": "lo",
    "address": "127.0.0.1",
    "netmask": "255.0.0.0",
    "broadcast": "127.255.255.255",
    "multicast": False,
    "mtu": 65536,
    "chosen": False,
    "why": "is loopback",
}


def node(name: str, answers: bool = True, problem: str = "", leader: str | None = "n2") -> dict[str, Any]:
    address = f"10.0.0.{name[1:]}:8001"
    return {"node_id": name, "address": address, "answers": answers, "leader": leader, "problem": problem}


def found(**changes: Any) -> dict[str, Any]:
    """A machine on which everything works, but for the changes."""
    well = {
        "ok": True,
        "cluster": "logs",
        "chosen": {"name": "eth0", "address": "10.0.0.1:8001", "by": "default", "why": "it has the default route"},
        "interfaces": [ETH0, LO],
        "without_address": [],
        "broadcast": {"to": "10.0.0.255:8888", "problem": ""},
        "multicast": {"to": "239.0.0.1:9999", "problem": "", "on": True, "records_by": "multicast"},
        "nodes": [],
    }
    return well | changes


def test_a_machine_on_which_everything_works_is_described_whole() -> None:
    assert as_text(found(without_address=["wlan0"], nodes=[node("n1"), node("n2")])).splitlines() == [
        "  INTERFACE  ADDRESS    NETMASK        BROADCAST        MULTICAST    MTU  JUDGEMENT",
        "* eth0       10.0.0.1   255.255.255.0  10.0.0.255       yes         1500  has the default route",
        "  lo         127.0.0.1  255.0.0.0      127.255.255.255  no         65536  is loopback",
        "",
        "without an IPv4 address: wlan0",
        "",
        "chosen     eth0, 10.0.0.1:8001 (by default): it has the default route",
        "broadcast  works, to 10.0.0.255:8888",
        "multicast  works, to 239.0.0.1:9999",
        "nodes      2 of cluster logs answer, led by n2",
        "",
        "NODE  ADDRESS        BROADCAST  TCP",
        "n1    10.0.0.1:8001  answers    works",
        "n2    10.0.0.2:8001  answers    works",
    ]


def line(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(name))


def test_where_multicast_fails_the_fallback_is_named() -> None:
    failing = {"to": "239.0.0.1:9999", "problem": "no such device", "on": True, "records_by": "tcp"}
    said = "FAILS: no such device; the fallback is in use: this node is served by TCP, complete but slower"
    assert line(as_text(found(multicast=failing)), "multicast") == f"multicast  {said}"
    off = failing | {"problem": "", "on": False}
    assert line(as_text(found(multicast=off)), "multicast").endswith(
        "off (setting multicast); this node is served by TCP"
    )


def test_where_broadcast_fails_the_consequence_is_named() -> None:
    failing = {"to": "10.0.0.255:8888", "problem": "not heard"}
    assert line(as_text(found(broadcast=failing)), "broadcast") == (
        "broadcast  FAILS: not heard; nodes do not find each other"
    )


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([], "none of cluster logs answers a broadcast from here"),
        ([node("n1", leader="n1"), node("n2")], "2 of cluster logs answer, they follow n1 and n2"),
        (
            [node("n1", leader=None), node("n2", answers=False, leader=None)],
            "1 of cluster logs answer, they follow nobody",
        ),
    ],
)
def test_nodes_that_disagree_or_are_silent_are_told(nodes: list[dict[str, Any]], said: str) -> None:
    assert line(as_text(found(nodes=nodes)), "nodes") == f"nodes      {said}"


def test_a_node_that_cannot_be_reached_is_named_with_the_reason() -> None:
    text = as_text(found(nodes=[node("n1"), node("n2", answers=False, problem="connection refused")]))
    assert text.splitlines()[-1] == "n2    10.0.0.2:8001  SILENT     FAILS: connection refused"


def test_the_exit_code_says_whether_everything_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_diagnosis(found(), as_json=False) == 0
    assert show_diagnosis(found(ok=False), as_json=False) == 1
    capsys.readouterr()
    assert show_diagnosis(found(ok=False), as_json=True) == 1
    assert json.loads(capsys.readouterr().out) == found(ok=False)


# --- which setting means the interface; all on loopback ---


def netdiag(*options: str, **variables: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, what was chosen, and the error."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOGSTREAM_")}
    ports = random.SystemRandom().sample(range(20_000, 60_000), 2)
    ours = {
        "NODE_ADDRESS": "127.0.0.1:8001",
        "BROADCAST_PORT": str(ports[0]),
        "LOGSTREAM_NODE_MULTICAST_PORT": str(ports[1]),
    }
    done = subprocess.run(
        [sys.executable, PROGRAM, "netdiag", "--json", *options],
        env={**kept, **ours, **variables},
        capture_output=True,
        text=True,
        timeout=20,
    )
    return done.returncode, json.loads(done.stdout)["chosen"] if done.stdout else {}, done.stderr


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A settings file that names an interface which is not here."""
    path = tmp_path / "node.ini"
    path.write_text("[node]\ninterface = nonsense0\n")
    return path


def test_the_address_from_the_environment_is_honoured() -> None:
    exit_code, chosen, _ = netdiag()
    assert (exit_code, chosen["address"], chosen["by"]) == (0, "127.0.0.1:8001", "environment NODE_ADDRESS")


def test_an_interface_on_the_command_line_is_stronger_than_an_address_in_the_environment() -> None:
    exit_code, chosen, _ = netdiag("--interface", "lo", NODE_ADDRESS="127.0.0.9:9001")
    assert (exit_code, chosen["address"], chosen["by"]) == (0, "127.0.0.1:8001", "option --interface")


def test_an_address_in_the_environment_is_stronger_than_an_interface_in_a_file(file: Path) -> None:
    exit_code, chosen, _ = netdiag("--config", str(file))
    assert (exit_code, chosen["by"]) == (0, "environment NODE_ADDRESS")


def test_an_address_and_another_interface_from_one_source_exclude_each_other(file: Path) -> None:
    file.write_text(file.read_text() + "address = 127.0.0.1\n")
    exit_code, _, said = netdiag("--config", str(file), NODE_ADDRESS="")
    assert exit_code == 2
    assert said.startswith(f"logstream: {file} line 2: interface nonsense0 is not on this machine: it has ")
