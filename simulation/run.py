"""One run: a seed, a cluster, clients, at least forty faults, heal, calm, and the verdict.

    form -> clients begin -> fault, fault, fault ... -> mend -> calm until all agree -> end checks
            every turn of every actor is seen by the witness; every word to a client by the histories

All chance comes from the seed: the loop's dice for the network and the nodes, others for what is done to
them. A violation ends the run in the turn that broke the promise.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from logstream.protocol.identity import CommitRule
from logstream.protocol.retention import TopicRetention
from logstream.runtime import NodeActor
from logstream.settings import SharedSettings
from simulation.checks.blocking import Blocking
from simulation.checks.violation import Violation
from simulation.cluster import MEMORY_MAX, Cluster
from simulation.faults import Faults
from simulation.judge import Judge
from simulation.mercy import Mercy
from simulation.pretended.climate import random_climate
from simulation.pretended.virtual_loop import EndlessInstant
from simulation.transcript import Transcript
from simulation.verdict import Verdict
from simulation.workload import LIMIT_CHOICES, Load, Workload

FAULTS_MIN = 40
FORM_S = 30.0
CALM_S = 60.0  # how long everything may take to settle after the last fault
LOOK_S = 0.1  # between looks whether it has
READ_S = 10.0  # how long fresh consumers have for everything, and topic logs for what is committed
# Where nobody can answer them no producer waits any more after this: nothing is sent after the faults are over,
# CALM_S has passed without settling, and no deadline of a Load is longer; the rest is for their next look at the clock.
DEADLINE_S = 5.0


@dataclass(slots=True)
class Outcome:
    """What became of one run. Times in seconds."""

    seed: int
    title: str
    violation: Violation | None = None
    story: list[str] = field(default_factory=list)
    trace_hash: str = ""
    virtual_s: float = 0.0
    real_s: float = 0.0
    settled_s: float = 0.0  # from the last end of a fault on
    stranded: tuple[str, ...] = ()  # nodes of whose views too few are left by the rules, and who say so
    turns: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    views: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What the seed decides about a run before it begins."""

    names: tuple[str, ...]
    commit: CommitRule
    partitions: int
    early: bool  # faults begin before the cluster has formed
    faults: int
    load: Load
    keep: TopicRetention  # the limits of the cluster's settings
    memory_max: int  # of each node's log, in bytes
    durable: bool  # the nodes have disks, and come back as what they were

    @classmethod
    def of(cls, dice: random.Random) -> Plan:
        """Drawn from the dice."""
        nodes = dice.choice((3, 3, 4, 5, 5, 6, 7))
        keep, memory_max = TopicRetention(), MEMORY_MAX
        padding = dice.choice((0, 0, 300, 1000))
        if dice.random() < 0.35:  # so little that logs are trimmed all the time (R22)
            keep, memory_max = dice.choice((*LIMIT_CHOICES, keep)), dice.choice((MEMORY_MAX, 1 << 13, 1 << 14))
        return cls(
            names=tuple(f"n{number}" for number in range(1, nodes + 1)),
            commit=dice.choice(("all", "majority")),
            partitions=dice.choice((1, 1, 3)),
            early=dice.random() < 0.15,
            faults=FAULTS_MIN + dice.randrange(8),
            load=Load(dice.choice((4.0, 60.0, 60.0)), padding, dice.random() < 0.25),
            keep=keep,
            memory_max=memory_max,
            durable=dice.random() < 0.25,
        )


class Run:
    """One seed. `line` is told what happens, and with `trace` every turn."""

    def __init__(self, seed: int, line: Callable[[str], None] | None = None, trace: bool = False) -> None:
        self.dice = random.Random(f"run {seed}")
        self.plan = plan = Plan.of(self.dice)
        self.climate = random_climate(self.dice)
        sizes = {"expected_nodes": len(plan.names), "default_partitions": plan.partitions}
        shared = SharedSettings.model_validate({"commit": plan.commit, **sizes, **plan.keep.own})
        self.cluster = Cluster(seed, self.climate, shared, plan.memory_max, plan.durable)
        self.transcript = Transcript(self.cluster.loop.time, line, trace)
        self.judge = judge = Judge(self.cluster)
        self.cluster.observe = self._turn
        floor = len(plan.names) // 2 + 1
        self._mercy = Mercy(self.cluster, judge.witness, floor)
        self.verdict = Verdict(self.cluster, plan.names, self._mercy, judge.witness, judge.histories)
        self.faults = Faults(self.cluster, plan.names, self._mercy, self.dice, self.transcript.happened)
        title = f"{len(plan.names)} {'durable ' * plan.durable}nodes, commit = {plan.commit}, {self.climate}"
        self.outcome = Outcome(seed, title)

    def go(self) -> Outcome:
        """Run it to its end, or to the first violation."""
        started = time.perf_counter()
        try:
            with Blocking(self.judge.blame):
                self._go()
        except Violation as violation:
            self.judge.blame(violation)
        outcome, loop = self.outcome, self.cluster.loop
        outcome.violation = self.judge.violation
        if outcome.violation is not None:
            outcome.story = self.transcript.story()
        outcome.real_s, outcome.virtual_s, outcome.turns = time.perf_counter() - started, loop.time(), loop.events
        outcome.trace_hash, outcome.faults = self.transcript.hash(), self.faults.done
        outcome.acknowledged, outcome.views = len(self.judge.histories.acknowledged), len(self.judge.witness.installed)
        return outcome

    def _go(self) -> None:
        plan, cluster = self.plan, self.cluster
        cluster.start(*plan.names)
        if not plan.early:
            self._until(
                lambda: cluster.members() == {frozenset(plan.names)}, FORM_S, "the nodes did not form a cluster"
            )
        self.workload = workload = Workload(cluster, self.dice, self.judge, plan.load)
        self.verdict.clients_begin()
        workload.begin()
        while self.faults.done.total() < plan.faults:
            self._let_pass(self.dice.uniform(0.02, 0.5))
            self.faults.strike()
        self.faults.mend()
        self.transcript.happened("all faults are over")
        mended = cluster.loop.time()
        self._let_pass(1.0)
        workload.stop()
        self._judge(workload)
        self.outcome.settled_s = cluster.loop.time() - mended
        chains = self.judge.ledger.chains
        self.transcript.happened(f"end {chains[-1] if chains else 0:016x}")

    def _judge(self, workload: Workload) -> None:
        """Wait until all agree, then have everything read once more, and look at what each broker would serve."""
        verdict, readers = self.verdict, []
        try:
            self._until(lambda: verdict.settled(workload), CALM_S, "the cluster did not settle")
            readers = self._read_again(workload, self.plan.names)
            self._check_topics()
        except Violation as late:
            if late.rule != "I22" or self.judge.violation is not None:
                raise
            readers = self._accept_stranded(workload, verdict.stranded(late))
        verdict.check_words(workload)
        verdict.check_histories(readers, workload.fresh if readers else [])

    def _accept_stranded(self, workload: Workload, stranded: set[str]) -> list[str]:
        """Too few are left by the rules: the others, where they have what was committed, are read from."""
        self.outcome.stranded = tuple(sorted(stranded))
        self.transcript.happened(f"{', '.join(self.outcome.stranded)}: no quorum is left by the rules, and they say so")
        self._let_pass(DEADLINE_S)
        serving = self.verdict.serving(set(self.cluster.nodes) - stranded)
        return self._read_again(workload, serving) if serving else []

    def _read_again(self, workload: Workload, names: Collection[str]) -> list[str]:
        """Fresh consumers, and those that read all the time; what they have not read by the end is judged then."""
        workload.read_again(names)
        self._wait(workload.done, READ_S)
        return workload.readers

    def _check_topics(self) -> None:
        """What is committed gets to a broker's topic logs in turns of its own; a slow one needs a while."""
        if not self._wait(self.verdict.topics_agree, READ_S):
            self.verdict.check_topics()

    def _let_pass(self, seconds: float) -> None:
        try:
            self.cluster.loop.run_for(seconds)
        except EndlessInstant as error:
            self.judge.blame(Violation("I23", str(error)))
        self.judge.check()

    def _until(self, condition: Callable[[], bool], within_s: float, otherwise: str) -> None:
        if not self._wait(condition, within_s):
            raise Violation("I22", f"{otherwise} within {within_s:.0f} s: {self.verdict.state()}")

    def _wait(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Let time pass until the condition holds, looking now and then; False if it did not in time."""
        deadline = self.cluster.loop.time() + within_s
        while not condition():
            if self.cluster.loop.time() >= deadline:
                return False
            self._let_pass(LOOK_S)
        return True

    def _turn(self, node: str, actor: NodeActor, message: Any) -> None:
        self.transcript.turn(node, actor, message)
        self.judge.turn(node, actor, message)
