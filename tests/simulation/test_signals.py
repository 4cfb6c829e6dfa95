"""Ctrl-C ends the simulator between two runs: in a turn it would look like an actor that fails."""

from __future__ import annotations

import multiprocessing
import signal
from itertools import islice
from typing import Any

import pytest

from simulation.command import outcomes, survey
from simulation.judge import Judge
from simulation.signals import SIGNALS, deferred

PATIENCE_S = 30.0


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_for_the_end_of_what_is_under_way(number: signal.Signals) -> None:
    before = [signal.getsignal(one) for one in SIGNALS]
    went_on = False
    with pytest.raises(KeyboardInterrupt), deferred():
        signal.raise_signal(number)
        went_on = True
    assert went_on
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_ctrl_c_in_a_turn_is_no_violation_and_ends_the_survey(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, lines = Judge.turn, list[str]()
    turns = iter(range(1_000_000))

    def press(judge: Judge, *seen: Any) -> None:
        if next(turns) == 100:
            signal.raise_signal(signal.SIGINT)
        turn(judge, *seen)

    monkeypatch.setattr(Judge, "turn", press)
    with pytest.raises(KeyboardInterrupt):
        survey(range(3), 1, lines.append)
    assert next(turns) > 1000 and not any("VIOLATION" in line for line in lines)


def test_workers_are_ended_by_their_parent_in_the_middle_of_a_run() -> None:
    before = set(multiprocessing.active_children())
    running = outcomes(range(100), 2)
    assert [outcome.seed for outcome in islice(running, 1)] == [0]
    workers = set(multiprocessing.active_children()) - before
    running.close()  # type: ignore[attr-defined]
    for worker in workers:
        worker.join(PATIENCE_S)
    assert len(workers) == 2 and not any(worker.is_alive() for worker in workers)
