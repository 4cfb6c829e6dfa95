"""I23: a core that would make its node's loop wait is noticed, whatever it waits for."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from logstream.core.replica.replica import Replica
from logstream.runtime.turns import this_thread
from simulation.checks.blocking import Blocking
from simulation.checks.violation import Violation
from simulation.run import Run

BLOCKING: dict[str, Callable[[], object]] = {
    "sleep": lambda: time.sleep(0.0),
    "open": lambda: Path(__file__).read_text(),
    "folder": lambda: os.listdir("."),
    "socket": socket.socket,
    "name": lambda: socket.getaddrinfo("localhost", 1),
    "process": lambda: subprocess.run(["true"]),
    "thread": lambda: threading.Thread(target=lambda: None).start(),
    "event": lambda: threading.Event().wait(0.0),
    "condition": lambda: threading.Barrier(2, timeout=0.0).wait(),
}


@pytest.mark.parametrize("does", BLOCKING.values(), ids=BLOCKING.keys())
def test_a_core_that_blocks_ends_the_run(monkeypatch: pytest.MonkeyPatch, does: Callable[[], object]) -> None:
    handle, turns = Replica.handle, []

    def slow(core: Replica, event: object) -> object:
        turns.append(event)
        if len(turns) == 200:
            does()
        return handle(core, event)

    monkeypatch.setattr(Replica, "handle", slow)
    outcome = Run(1).go()
    assert outcome.violation is not None and outcome.violation.rule == "I23"
    assert "in its turn" in outcome.violation.text


def test_outside_of_turns_and_runs_everybody_may_wait() -> None:
    blamed: list[Violation] = []
    with Blocking(blamed.append):
        BLOCKING["sleep"]()
        BLOCKING["open"]()
    this_thread.in_a_turn = True
    try:
        BLOCKING["sleep"]()
        BLOCKING["open"]()
    finally:
        this_thread.in_a_turn = False
    assert blamed == []


def test_what_is_replaced_comes_back() -> None:
    before = (time.sleep, threading.Condition.wait)
    with Blocking(lambda violation: None):
        assert time.sleep is not before[0]
    assert (time.sleep, threading.Condition.wait) == before
