"""Where a local cluster goes: 8001, 8888 and 9999 where they are free, else the next free ones, and it says so."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from logstream.local import places
from logstream.local.places import MeetingPoint, addresses_for, meeting_point, ports_in_use
from logstream.settings import Settings, load
from logstream.state import NodeFile


def settings(**variables: str) -> Settings:
    return load(environment={"LOGSTREAM_HOME": "/nowhere", **variables})


def node(name: str, port: int) -> NodeFile:
    return NodeFile(name, "lab", 1, 1.0, f"127.0.0.1:{port}", 8890, "239.0.0.1:9991")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[int]]:
    """The ports that others have."""
    ports: dict[str, set[int]] = {"tcp4": set(), "udp4": set()}
    monkeypatch.setattr(places, "ports_in_use", lambda kind: set(ports[kind]))
    return ports


@pytest.fixture
def said() -> list[str]:
    return []


def test_free_ports_are_the_usual_ones(taken: dict[str, set[int]], said: list[str]) -> None:
    assert addresses_for(["n1", "n2"], [], 8001, said.append) == {"n1": "127.0.0.1:8001", "n2": "127.0.0.1:8002"}
    assert meeting_point(settings(), [], said.append) == MeetingPoint(8888, "239.0.0.1", 9999)
    assert said == []


def test_a_port_in_use_is_passed_over_aloud(taken: dict[str, set[int]], said: list[str]) -> None:
    taken["tcp4"] = {8001, 8002}
    assert addresses_for(["n1", "n2"], [], 8001, said.append) == {"n1": "127.0.0.1:8003", "n2": "127.0.0.1:8004"}
    assert said == ["port of n1: 8001 is in use, taking 8003", "port of n2: 8002 is in use, taking 8004"]


def test_a_second_cluster_meets_elsewhere(taken: dict[str, set[int]], said: list[str]) -> None:
    taken["udp4"] = {8888, 9999}
    assert meeting_point(settings(), [], said.append) == MeetingPoint(8889, "239.0.0.1", 10000)
    assert said == ["broadcast port: 8888 is in use, taking 8889", "multicast port: 9999 is in use, taking 10000"]


def test_a_port_that_the_user_set_is_taken_as_it_is(taken: dict[str, set[int]], said: list[str]) -> None:
    taken["udp4"] = {7000}
    assert meeting_point(settings(BROADCAST_PORT="7000"), [], said.append).broadcast_port == 7000
    assert said == []


def test_a_node_that_comes_later_meets_those_that_live(taken: dict[str, set[int]], said: list[str]) -> None:
    taken["udp4"] = {8890, 9991}
    assert meeting_point(settings(), [node("n1", 8001)], said.append) == MeetingPoint(8890, "239.0.0.1", 9991)


def test_a_dead_node_comes_back_at_its_address_if_that_is_free(taken: dict[str, set[int]], said: list[str]) -> None:
    known = [(node("n1", 8051), False), (node("n2", 8052), False), (node("n3", 8003), True)]
    taken["tcp4"] = {8052}
    chosen = addresses_for(["n1", "n2"], known, 8001, said.append)
    assert chosen == {"n1": "127.0.0.1:8051", "n2": "127.0.0.1:8002"}


def test_sockets_of_this_machine_are_seen(tmp_path: Path) -> None:
    with socket.socket() as listener, socket.socket(type=socket.SOCK_DGRAM) as bound:
        listener.bind(("127.0.0.1", 0))
        bound.bind(("127.255.255.255", 0))
        listener.listen()
        assert listener.getsockname()[1] in ports_in_use("tcp4")
        assert bound.getsockname()[1] in ports_in_use("udp4")
