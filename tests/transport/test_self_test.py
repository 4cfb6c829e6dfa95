"""The live test of broadcast and multicast, and who answers, on real loopback sockets."""

from __future__ import annotations

import random
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from logstream.protocol.codec import encode
from logstream.protocol.envelope import Envelope
from logstream.protocol.fragments import Fragmenter, Reassembler
from logstream.protocol.identity import NO_EPOCH, Member
from logstream.protocol.messages import Join, JoinResponse
from transport import udp_broadcast
from transport.choice import Place
from transport.diagnosis import diagnose
from transport.interfaces import interface_of
from transport.neighbours import Neighbour, neighbours
from transport.self_test import broadcast_problem, multicast_problem
from transport.stack import StackSettings, broadcast_settings, multicast_settings
from transport.udp_broadcast import BroadcastSettings, UdpBroadcast

FIREWALL = "does a firewall drop it?"


@pytest.fixture
def where() -> StackSettings:
    """Ports and a group that no other run of these tests uses."""
    dice = random.SystemRandom()
    group = "239.{}.{}.{}".format(*(dice.randrange(1, 255) for _ in range(3)))
    ports = dice.sample(range(20_000, 60_000), 2)
    return StackSettings("test", "127.0.0.1:8001", group, *ports, multicast=True, frame_max=1 << 20)


# --- the two tests ---


def test_broadcast_and_multicast_work_on_loopback(where: StackSettings) -> None:
    assert broadcast_problem(broadcast_settings(where)) == ""
    assert multicast_problem(multicast_settings(where)) == ""


def test_a_broadcast_port_of_another_program_is_named(where: StackSettings) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.255.255.255", where.broadcast_port))
        said = broadcast_problem(broadcast_settings(where))
    assert said == f"cannot listen on 127.255.255.255:{where.broadcast_port}: Address already in use"


def test_a_broadcast_that_is_not_heard_is_told_with_its_port(
    where: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = udp_broadcast.open_sockets
    monkeypatch.setattr(udp_broadcast, "open_sockets", lambda wanted: opened(replace(wanted, port=wanted.port + 1)))
    said = broadcast_problem(broadcast_settings(where))
    assert said == f"what is sent to UDP 127.255.255.255:{where.broadcast_port} is not heard here, {FIREWALL}"


def test_a_group_that_is_none_is_a_problem_in_words(where: StackSettings) -> None:
    said = multicast_problem(multicast_settings(replace(where, multicast_group="203.0.113.9")))
    assert said.startswith(f"no multicast to 203.0.113.9:{where.multicast_port} on 127.0.0.1: ")


# --- who answers ---


async def test_a_node_that_runs_here_drops_the_test_unread(network: Any, where: StackSettings) -> None:
    settings = broadcast_settings(where)
    sockets = udp_broadcast.open_sockets(settings)
    node = network.host(Member("n1", "s1", "127.0.0.1:1"), UdpBroadcast, settings, sockets)
    assert broadcast_problem(settings) == ""
    await network.until(lambda: node.facts()["strangers"])
    assert (node.facts()["refused"], node.received) == ({}, [])


@contextmanager
def answering(settings: BroadcastSettings, answer: JoinResponse) -> Iterator[None]:
    """A node that answers JOIN in a thread of its own, because `neighbours` waits."""
    with udp_broadcast.open_sockets(settings).listener as ear:
        ear.settimeout(10)
        thread = threading.Thread(target=_answer_once, args=(ear, settings.cluster, answer))
        thread.start()
        try:
            yield
        finally:
            thread.join()


def _answer_once(ear: socket.socket, cluster: str, answer: JoinResponse) -> None:
    datagram, source = ear.recvfrom(65_535)
    envelope = Reassembler(cluster, 1 << 20, 1.0).add(source, datagram, 0.0)
    assert envelope is not None and isinstance(envelope.message, Join)
    frame = encode(Envelope(answer, cluster, sender=answer.member))
    for piece in Fragmenter(cluster, 1, 1_400).split(frame):
        ear.sendto(piece, source)


def test_those_who_answer_are_dialed_with_those_whom_they_name(where: StackSettings) -> None:
    settings = broadcast_settings(where)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        here, gone = Member("n1", "s1", f"127.0.0.1:{port}"), Member("n2", "s2", "127.0.0.1:1")
        answer = JoinResponse(here, "c", here, (here, gone), NO_EPOCH, 0, empty=True)
        with answering(settings, answer):
            found = neighbours(settings)
    assert found == [
        Neighbour("n1", f"127.0.0.1:{port}", True, "n1", ""),
        Neighbour("n2", "127.0.0.1:1", False, "", "connection refused"),
    ]


def test_nobody_answers_where_nobody_is(where: StackSettings) -> None:
    assert neighbours(broadcast_settings(where)) == []


# --- the whole ---


def diagnosis(where: StackSettings) -> dict[str, Any]:
    return diagnose(Place(interface_of("127.0.0.1"), 8001, "it is loopback"), "environment NODE_ADDRESS", where)


def test_a_diagnosis_of_loopback_is_good(where: StackSettings) -> None:
    found = diagnosis(where)
    assert (found["ok"], found["nodes"]) == (True, [])
    assert found["chosen"] == {
        "name": "lo",
        "address": "127.0.0.1:8001",
        "by": "environment NODE_ADDRESS",
        "why": "it is loopback",
    }
    assert [one["name"] for one in found["interfaces"] if one["chosen"]] == ["lo"]
    assert found["multicast"]["records_by"] == "multicast"


def test_the_page_has_every_key_of_a_diagnosis_and_no_other(where: StackSettings) -> None:
    text = (Path(__file__).parents[2] / "docs/deployment.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE))
    found = diagnosis(where)
    assert set(rows) == set(found)
    for key, inside in {"chosen": found["chosen"], "interfaces": found["interfaces"][0]}.items():
        assert [name for name in inside if f"`{name}`" not in rows[key]] == []
    assert [name for name in Neighbour.__slots__ if f"`{name}`" not in rows["nodes"]] == []


def test_where_multicast_fails_or_is_off_records_come_by_tcp(where: StackSettings) -> None:
    failing = diagnosis(replace(where, multicast_group="203.0.113.9"))
    assert (failing["ok"], failing["multicast"]["records_by"]) == (False, "tcp")
    off = diagnosis(replace(where, multicast=False))
    assert (off["ok"], off["multicast"]["records_by"], off["multicast"]["problem"]) == (True, "tcp", "")
