"""What a service manager hears of us, as sd_notify has it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from transport.service_manager import tell_service_manager


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What goes to the log meanwhile."""
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message} {extra}")
    yield lines
    logger.remove(sink)


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_state_arrives_at_the_socket_that_the_manager_named(kind: str, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(5)
        manager.bind(path if kind == "path" else "\0" + path)
        tell_service_manager("READY=1", {"NOTIFY_SOCKET": path if kind == "path" else "@" + path})
        assert manager.recv(100) == b"READY=1"


def test_without_a_manager_nothing_is_said(said: list[str]) -> None:
    tell_service_manager("READY=1", {})
    tell_service_manager("READY=1", {"NOTIFY_SOCKET": ""})
    assert said == []


def test_a_manager_that_is_gone_is_logged_and_changes_nothing(said: list[str], tmp_path: Path) -> None:
    tell_service_manager("STOPPING=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert len(said) == 1 and "cannot tell the service manager" in said[0] and "No such file" in said[0]
