"""`simulate`: replays one seed with its transcript, or runs many and says what they showed.

simulate --seed N [--trace]          one seed: faults, views, elections; with --trace every turn
simulate --seeds A-B [--jobs N]      many seeds: figures, and for each that failed the line that replays it
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from loguru import logger

from simulation.run import Outcome, Run
from simulation.signals import deferred, leave_to_parent

if TYPE_CHECKING:
    from loguru import Message

PROGRESS_S = 10.0


# --- one seed ---


def replay(seed: int, trace: bool, line: Callable[[str], None] = print) -> int:
    """Run one seed and write its transcript. 1 if a promise was broken."""
    run = Run(seed, line, trace)
    line(f"seed {seed}: {run.outcome.title}, at least {run.plan.faults} faults")
    logger.remove()
    sink = logger.add(lambda message: run.transcript.say(_noted(message), run.cluster.loop.time()), level="INFO")
    try:
        with deferred():
            outcome = run.go()
    finally:
        logger.remove(sink)
    for told in _verdict(outcome):
        line(told)
    return 1 if outcome.violation is not None else 0


def _noted(message: Message) -> str:
    """A line of a node's log."""
    record = message.record
    extra = {key: value for key, value in record["extra"].items() if key not in ("node", "actor")}
    fields = "".join(f", {key} {value}" for key, value in extra.items())
    return f"{record['extra'].get('node', ''):<4} {record['extra'].get('actor', ''):<18} {record['message']}{fields}"


def _verdict(outcome: Outcome) -> Iterator[str]:
    if outcome.violation is not None:
        yield "the last turns of each node:"
        yield from outcome.story
    yield (
        f"{outcome.faults.total()} faults, {outcome.views} views, {outcome.acknowledged} records acknowledged, "
        f"{outcome.turns} events in {outcome.virtual_s:.1f} s of virtual time"
    )
    yield f"trace hash {outcome.trace_hash}"
    if outcome.stranded:
        yield f"no promise was broken; {', '.join(outcome.stranded)}: too few are left for a quorum, and they say so"
    elif outcome.violation is None:
        yield f"no promise was broken; all agreed {outcome.settled_s:.1f} s after the last fault"
    else:
        yield f"VIOLATION of {outcome.violation}"
        yield f"replay: {replay_line(outcome.seed)}"


def replay_line(seed: int) -> str:
    """What to type to see this seed again."""
    return f"logstream_cli.py simulate --seed {seed} --trace"


# --- many seeds ---


def seed_range(text: str) -> range:
    """The seeds that "A-B" names, both included. Raises ValueError with what would be right."""
    first, dash, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal()) or not dash or int(first) > int(last):
        raise ValueError(f"{text!r} is no range of seeds: write A-B, as in 0-299")
    return range(int(first), int(last) + 1)


def survey(seeds: range, jobs: int | None, line: Callable[[str], None] = print) -> int:
    """Run many seeds and write what they showed. 1 if any of them broke a promise."""
    jobs = jobs or processors()
    figures = Figures(jobs)
    for outcome in outcomes(seeds, jobs):
        figures.add(outcome)
        if outcome.violation is not None:
            line(f"seed {outcome.seed}: {outcome.title}: VIOLATION of {outcome.violation}")
            line(f"  replay: {replay_line(outcome.seed)}")
        if figures.is_due(PROGRESS_S):
            line(figures.progress(len(seeds)))
    for told in figures.lines():
        line(told)
    return 1 if figures.violations else 0


def outcomes(seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    """The outcome of each seed, in their order, from so many processes."""
    if jobs <= 1:
        _prepare()
        for seed in seeds:
            with deferred():
                outcome = _outcome(seed)
            yield outcome
        return
    with multiprocessing.get_context("spawn").Pool(jobs, _prepare_worker) as pool:
        yield from pool.imap(_outcome, seeds, chunksize=4)


def _prepare() -> None:
    """Silence, and a collector that looks between runs only: nothing lives longer than its run."""
    logger.remove()
    gc.disable()
    gc.freeze()


def _prepare_worker() -> None:
    leave_to_parent()
    _prepare()


def _outcome(seed: int) -> Outcome:
    outcome = Run(seed).go()
    outcome.story = []
    gc.collect()
    return outcome


class Figures:
    """What many runs showed together."""

    def __init__(self, jobs: int) -> None:
        self.violations = 0
        self._jobs = jobs
        self._started = self._said = time.monotonic()
        self._runs = self._acknowledged = self._views = self._events = 0
        self._virtual_s = self._real_s = self._settled_max_s = 0.0
        self._stranded = 0
        self._faults: Counter[str] = Counter()
        self._rules: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        """Count one run."""
        self._runs += 1
        self._acknowledged += outcome.acknowledged
        self._views += outcome.views
        self._events += outcome.turns
        self._virtual_s += outcome.virtual_s
        self._real_s += outcome.real_s
        self._settled_max_s = max(self._settled_max_s, outcome.settled_s)
        self._stranded += bool(outcome.stranded)
        self._faults.update(outcome.faults)
        if outcome.violation is not None:
            self.violations += 1
            self._rules[outcome.violation.rule] += 1

    def is_due(self, every_s: float) -> bool:
        """Is it time to say how far it has come?"""
        due = time.monotonic() - self._said >= every_s
        if due:
            self._said = time.monotonic()
        return due

    def progress(self, total: int) -> str:
        """How far it has come."""
        return f"{self._runs} of {total} seeds, {self.violations} violations"

    def lines(self) -> Iterator[str]:
        """The figures, for a person."""
        elapsed_s, real_s = max(time.monotonic() - self._started, 1e-9), max(self._real_s, 1e-9)
        yield f"seeds                {self._runs} in {elapsed_s:.1f} s with {self._jobs} jobs"
        yield f"speed                {self._runs / elapsed_s:.1f} seeds/s, {self._runs / real_s:.1f} per core"
        faster = self._virtual_s / real_s
        yield f"virtual time         {self._virtual_s:.0f} s, {faster:.0f} times real time per core"
        yield f"events               {self._events}, {self._events / real_s:.0f} a second per core"
        yield f"faults               {self._faults.total()}, {self._faults.total() / max(self._runs, 1):.0f} a run"
        for kind, count in self._faults.most_common():
            yield f"  {kind.replace('_', ' '):<18} {count}"
        yield f"acknowledged         {self._acknowledged} records"
        yield f"views                {self._views}"
        yield f"no quorum left       {self._stranded} times, by the rules, and those concerned said so"
        yield f"longest to settle    {self._settled_max_s:.1f} s after the last fault"
        rules = ", ".join(f"{rule} {count} times" for rule, count in self._rules.most_common())
        yield f"violations           {self.violations}{f' ({rules})' if rules else ''}"


def processors() -> int:
    """How many jobs this machine is good for."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
