"""Nodes on machines of their own: real addresses, interfaces found by themselves, cables that are pulled, firewalls.

The three symptoms of docs/troubleshooting.md are made here, and the commands that the page names show their causes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.local_cluster import ROOT, process_state, wait_until
from tests.processes.machines import NODES, SPACES, Machines, why_not

REASON = why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no network namespaces here: {REASON}")


@pytest.fixture(scope="module")
def story() -> Iterator[subprocess.Popen[str]]:
    """The script with three machines of its own. It mostly waits, so it runs beside the other tests."""
    words = [ROOT / "tests/linux/test-trio.sh", "local"]
    script = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield script
    if script.poll() is None:
        script.send_signal(signal.SIGTERM)
        script.wait(20)


@pytest.fixture(scope="module")
def machines(story: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Four machines; what is left of them when the tests are over is nothing."""
    made = Machines(f"test-{os.getpid()}", tmp_path_factory.mktemp("machines") / "run")
    yield made
    made.remove()


@pytest.fixture
def trio(machines: Machines) -> Machines:
    """Three nodes in one view, nothing broken."""
    machines.fault("heal")
    machines.script("start-cluster.sh", *NODES)
    machines.wait_for_members(*NODES)
    return machines


def netdiag(machines: Machines, machine: str) -> tuple[int, dict[str, object], dict[str, str]]:
    """Exit code, everything that was found, and the trouble with each node."""
    done = machines.on(machine, "netdiag", "--json")
    found = json.loads(done.stdout)
    return done.returncode, found, {node["node_id"]: node["problem"] for node in found["nodes"]}


# --- interfaces ---


def test_each_node_finds_the_interface_of_its_machine_and_the_others(trio: Machines) -> None:
    members = trio.status("n1")["members"]
    assert {member["node_id"]: member["address"] for member in members} == {
        "n1": "10.77.0.1:8001",
        "n2": "10.77.0.2:8001",
        "n3": "10.77.0.3:8001",
    }


def test_records_go_from_machine_to_machine_by_multicast(trio: Machines) -> None:
    leader = trio.leader()
    ways = {name: "multicast" for name in NODES if name != leader} | {leader: None}
    wait_until(lambda: {one["node_id"]: one["served_by"] for one in trio.status(leader)["members"]} == ways)
    assert trio.leader() == leader


def test_netdiag_finds_everything_in_order_from_a_machine_without_a_node(trio: Machines) -> None:
    exit_code, found, troubles = netdiag(trio, "n4")
    assert (exit_code, troubles) == (0, {"n1": "", "n2": "", "n3": ""})
    assert found["chosen"] == {
        "name": "eth0",
        "address": "10.77.0.4:8001",
        "by": "default",
        "why": "it has the default route",
    }


# --- faults ---


def test_a_node_whose_cable_is_pulled_is_left_out_and_comes_back(trio: Machines) -> None:
    cut = trio.leader()
    trio.fault("cut", cut)
    trio.wait_for_members(*set(NODES) - {cut})
    trio.fault("heal", cut)
    trio.wait_for_members(*NODES)


def test_a_leader_whom_nobody_hears_is_replaced(trio: Machines) -> None:
    mute = trio.leader()
    trio.fault("one-way", mute, "out")
    trio.wait_for_members(*set(NODES) - {mute})
    trio.fault("heal", mute)
    trio.wait_for_members(*NODES)


def test_a_node_is_paused_and_goes_on(trio: Machines) -> None:
    trio.fault("pause", "n1")
    try:
        wait_until(lambda: process_state(trio.pid("n1")) == "T")
    finally:
        trio.fault("resume", "n1")
    wait_until(lambda: process_state(trio.pid("n1")) in "RS")
    trio.wait_for_members(*NODES)


def test_what_is_lost_on_the_way_is_repaired(trio: Machines) -> None:
    lines = "".join(f"{number}\n" for number in range(2000))
    trio.fault("loss", "n1", "20")
    sent = trio.on(trio.leader(), "producer", "lossy", stdin=lines)
    assert (sent.returncode, sent.stdout) == (0, ""), sent.stderr
    assert trio.on("n1", "consumer", "lossy").stdout == lines


# --- docs/troubleshooting.md ---


def test_symptom_an_election_never_completes(trio: Machines) -> None:
    """The leader is gone, and those who are left cannot reach each other: too few for an election."""
    leader = trio.leader()
    one, other = sorted(set(NODES) - {leader})
    trio.fault("cut", one, other)
    trio.fault("kill", leader)
    wait_until(lambda: trio.status(one)["state"] == "no quorum")
    missing = " and ".join(sorted((other, leader)))
    wait_until(lambda: f"no quorum: {missing} do not answer" in (trio.status(one)["no_quorum"] or ""))
    exit_code, _, troubles = netdiag(trio, one)
    assert (exit_code, troubles) == (1, {one: "", other: "no answer within 1.5 s", leader: "connection refused"})
    last_loss = trio.log(one).rpartition("leader lost")[2]
    assert last_loss and "I WIN" not in last_loss and "ELECTION" not in last_loss
    trio.fault("heal")
    trio.wait_for_members(one, other)


def test_symptom_a_consumer_receives_nothing(trio: Machines) -> None:
    """The client's machine finds the cluster, but cannot reach the broker that serves the topic."""
    assert trio.on("n4", "producer", "unheard", stdin="hello\n").returncode == 0
    broker = trio.broker_of("unheard")
    trio.fault("cut", "n4", broker)
    consumer = trio.begin("n4", "consumer", "unheard")
    exit_code, _, troubles = netdiag(trio, "n4")
    assert exit_code == 1
    assert troubles == {**dict.fromkeys(NODES, ""), broker: "no answer within 1.5 s"}
    assert consumer.poll() is None
    trio.fault("heal")
    assert consumer.communicate(timeout=30)[0] == "hello\n"


def test_symptom_all_nodes_become_leaders(trio: Machines) -> None:
    """A firewall on each machine drops what nodes call to each other, so each believes that it is alone."""
    trio.script("stop.sh")
    for node in NODES:
        trio.fault("block", node, "udp", "8888")
        trio.fault("block", node, "udp", "9999")
    trio.script("start-cluster.sh", *NODES)
    assert [trio.members(node) for node in NODES] == [{"n1"}, {"n2"}, {"n3"}]
    assert [trio.status(node)["state"] for node in NODES] == ["leading"] * 3
    said = trio.on("n1", "netdiag")
    assert said.returncode == 1
    assert "broadcast  FAILS: what is sent to UDP 10.77.0.255:8888 is not heard here" in said.stdout
    assert "nodes      none of cluster" in said.stdout


# --- the script ---


def test_the_trio_beside_other_machines_with_its_addresses_ends_with_ok_and_leaves_nothing(
    story: subprocess.Popen[str], machines: Machines
) -> None:
    said, trouble = story.communicate(timeout=60)
    assert (said.splitlines()[-1], story.returncode) == ("OK", 0), said + trouble
    assert [space.name for space in SPACES.glob(f"trio-{story.pid}-*")] == []
    assert not os.path.exists(f"/tmp/logstream-netns-trio-{story.pid}")
    assert left_of(f"trio-{story.pid}") == []


def left_of(run: str) -> list[str]:
    """Command lines of processes that were started for a run of the scripts."""
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may just have ended
            if f"NETNS_RUN={run}\0" in (process / "environ").read_text(errors="replace"):
                left.append((process / "cmdline").read_text())
    return left


@pytest.mark.parametrize("mode", ["docker", "vagrant"])
def test_the_modes_that_come_later_say_so(mode: str) -> None:
    done = subprocess.run([ROOT / "tests/linux/test-trio.sh", mode], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"test-trio.sh: the mode {mode} comes later, use: test-trio.sh local\n"
