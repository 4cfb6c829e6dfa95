"""Hosting a node: ready is said, signals are heard, the exit code is the node's own, and nothing is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from logstream.state import live_nodes

ROOT = Path(__file__).parents[2]

# A node that says what it is told, and does as its first argument says when it is told to stop or start.
HOSTED = """
import sys
from loguru import logger
from logstream.console.failure import Failure
from logstream.console.hosting import host
from logstream.settings import load
from transport.service_manager import tell_service_manager

class Node:
    def __init__(self, settings, loop):
        self.loop = loop
        self.on_ready = self.on_stopped = None

    def start(self):
        if behaviour == "cannot start":
            raise OSError(98, "Address already in use")
        self.loop.call_soon(self.on_ready)
        if behaviour == "fails":
            self.loop.call_soon(self.on_stopped, 1, "a rule was broken")

    def stop(self):
        print("stopping", file=sys.stderr, flush=True)
        if behaviour == "leaves":
            self.loop.call_soon(self.on_stopped, 0, "")

    def dump(self):
        logger.bind(actor="node", answers=42).info("all is well")

behaviour, home = sys.argv[1:]
flags = {("node", "name"): "x", ("node", "address"): "127.0.0.1:8001", ("node", "log_file"): home + "/log"}
try:
    sys.exit(host(load(flags, environment={"LOGSTREAM_HOME": home}), Node, managed=False, tell=tell_service_manager))
except Failure as failure:
    sys.exit(f"logstream: {failure}")
"""
Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a hosted node; whatever happens, it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(behaviour: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOSTED, behaviour, str(tmp_path)]
        started.append(subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline().rstrip("\n")


READY = "logstream: ready: node x at 127.0.0.1:8001, cluster logstream"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    process = start("leaves")
    assert line_of(process) == READY
    assert [(node.name, node.ready, node.pid) for node in live_nodes(None, tmp_path)] == [("x", True, process.pid)]
    process.send_signal(number)
    assert process.communicate(timeout=10)[1] == "stopping\n"
    assert process.returncode == 0
    assert list((tmp_path / "logstream").glob("*.node")) == []


def test_a_second_signal_ends_it_at_once(start: Start) -> None:
    process = start("hangs")
    assert line_of(process) == READY
    process.send_signal(signal.SIGTERM)
    assert line_of(process) == "stopping"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 1


def test_a_node_that_fails_says_why(start: Start) -> None:
    process = start("fails")
    assert process.communicate(timeout=10)[1] == f"{READY}\nlogstream: node x ended: a rule was broken\n"
    assert process.returncode == 1


def test_an_address_in_use_is_told_with_its_origin(start: Start, tmp_path: Path) -> None:
    said = "127.0.0.1:8001 is in use by another program (address: option --address), choose another port with --address"
    assert start("cannot start").communicate(timeout=10)[1] == f"logstream: {said}\n"
    assert live_nodes(None, tmp_path) == []


def test_sigusr1_dumps_to_the_log_with_fields_behind_the_text(start: Start, tmp_path: Path) -> None:
    process = start("leaves")
    assert line_of(process) == READY
    process.send_signal(signal.SIGUSR1)
    line = line_of(process)
    assert line.endswith(" INFO    x node: all is well answers=42")
    process.send_signal(signal.SIGTERM)  # both sinks are written out when it has ended
    process.communicate(timeout=10)
    assert line in (tmp_path / "log").read_text().splitlines()
