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

from actors.mesh import Seat
from actors.replica import Replica
from logstream.core.effects import Send
from logstream.core.producer import ProducerSettings
from logstream.protocol.identity import NO_EPOCH, CommitRule
from logstream.runtime import NodeActor
from logstream.settings import SharedSettings
from simulation.climate import random_climate
from simulation.cluster import Cluster
from simulation.faults import Faults
from simulation.histories import Histories
from simulation.ledger import Ledger
from simulation.mercy import Mercy
from simulation.transcript import Transcript
from simulation.transports import PretendTcp
from simulation.violation import Violation
from simulation.virtual_loop import EndlessInstant
from simulation.witness import Witness
from simulation.workload import TOPIC, Workload

FAULTS_MIN = 40
FORM_S = 30.0
CALM_S = 60.0  # how long everything may take to settle after the last fault
LOOK_S = 0.1  # between looks whether it has


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
    deadline_s: float  # of producers

    @classmethod
    def of(cls, dice: random.Random) -> Plan:
        """Drawn from the dice."""
        nodes = dice.choice((3, 3, 4, 5, 5, 6, 7))
        return cls(
            names=tuple(f"n{number}" for number in range(1, nodes + 1)),
            commit=dice.choice(("all", "majority")),
            partitions=dice.choice((1, 1, 3)),
            early=dice.random() < 0.15,
            faults=FAULTS_MIN + dice.randrange(8),
            deadline_s=dice.choice((4.0, 60.0, 60.0)),
        )


class Run:
    """One seed. `line` is told what happens, and with `trace` every turn."""

    def __init__(self, seed: int, line: Callable[[str], None] | None = None, trace: bool = False) -> None:
        self.dice = random.Random(f"run {seed}")
        self.plan = plan = Plan.of(self.dice)
        self.climate = random_climate(self.dice)
        shared = SharedSettings(expected_nodes=len(plan.names), commit=plan.commit, default_partitions=plan.partitions)
        self.cluster = Cluster(seed, self.climate, shared)
        self.cluster.observe, self.cluster.ended = self._turn, self._ended
        self.transcript = Transcript(self.cluster.loop.time, line, trace)
        self.ledger = Ledger()
        self.witness = Witness(self.ledger)
        self.histories = Histories(self.ledger)
        floor = len(plan.names) // 2 + 1
        self._mercy = Mercy(self.cluster, self.witness, floor)
        self.faults = Faults(self.cluster, plan.names, self._mercy, self.dice, self.transcript.happened)
        self._violation: Violation | None = None
        title = f"{len(plan.names)} nodes, commit = {plan.commit}, {self.climate}"
        self.outcome = Outcome(seed, title)

    def go(self) -> Outcome:
        """Run it to its end, or to the first violation."""
        started = time.perf_counter()
        try:
            self._go()
        except Violation as violation:
            self._violation = self._violation or violation
        outcome, loop = self.outcome, self.cluster.loop
        outcome.violation = self._violation
        if self._violation is not None:
            outcome.story = self.transcript.story()
        outcome.real_s, outcome.virtual_s, outcome.turns = time.perf_counter() - started, loop.time(), loop.events
        outcome.trace_hash, outcome.faults = self.transcript.hash(), self.faults.done
        outcome.acknowledged, outcome.views = len(self.histories.acknowledged), len(self.witness.installed)
        return outcome

    def _go(self) -> None:
        plan, cluster = self.plan, self.cluster
        cluster.start(*plan.names)
        if not plan.early:
            self._until(
                lambda: cluster.members() == {frozenset(plan.names)}, FORM_S, "the nodes did not form a cluster"
            )
        settings = ProducerSettings(deadline_s=plan.deadline_s)
        workload = Workload(cluster, self.dice, self.histories, settings, self._blame)
        workload.begin()
        while self.faults.done.total() < plan.faults:
            self._let_pass(self.dice.uniform(0.02, 0.5))
            self.faults.strike()
        self.faults.mend()
        self.transcript.happened("all faults are over")
        mended = cluster.loop.time()
        self._let_pass(1.0)
        workload.stop()
        try:
            self._until(lambda: self._settled(plan.names, workload), CALM_S, "the cluster did not settle")
        except Violation as violation:
            if violation.rule != "I22" or not self._rests(workload):
                raise
        if workload.done():
            self.histories.check_end(workload.readers, TOPIC)
        self.outcome.settled_s = cluster.loop.time() - mended
        self.transcript.happened(f"end {self.ledger.chains[-1] if self.ledger.chains else 0:016x}")

    def _let_pass(self, seconds: float) -> None:
        try:
            self.cluster.loop.run_for(seconds)
        except EndlessInstant as error:
            self._blame(Violation("I23", str(error)))
        if self._violation is not None:
            raise self._violation

    def _until(self, condition: Callable[[], bool], within_s: float, otherwise: str) -> None:
        deadline = self.cluster.loop.time() + within_s
        while not condition():
            if self.cluster.loop.time() >= deadline:
                raise Violation("I22", f"{otherwise} within {within_s:.0f} s: {self._state()}")
            self._let_pass(LOOK_S)

    def _settled(self, names: Collection[str], workload: Workload) -> bool:
        """I22: one leader, one view, equal logs, everything acknowledged and read."""
        cluster = self.cluster
        if sorted(cluster.nodes) != sorted(self.plan.names) or not all(node.running for node in cluster.nodes.values()):
            return False
        replicas = [cluster.replica(name) for name in names]
        views = {replica.promise.active for replica in replicas}
        if None in views or len(views) != 1 or self._mercy.someone_leaves():
            return False
        logs = {(replica.history.log.end, replica.history.log.chain, replica.commit) for replica in replicas}
        return len(logs) == 1 and workload.done()

    def _rests(self, workload: Workload) -> bool:
        """I22 where some are too few by the rules: they say so and do not lead, the others agree or may not found."""
        stranded = self._mercy.stranded()
        others = set(self.cluster.nodes) - stranded  # those who may not start any more are none of them
        if not any(self._says_no_quorum(name) for name in stranded) or any(map(self.cluster.leads, stranded)):
            return False
        if not self._settled(others, workload) and any(self._knows_views(name) for name in others):
            return False
        self.outcome.stranded = tuple(sorted(stranded))
        self.transcript.happened(f"{', '.join(self.outcome.stranded)}: no quorum is left by the rules, and they say so")
        return True

    def _says_no_quorum(self, name: str) -> bool:
        seats = (Seat.ELECTOR, Seat.VIEW_MANAGER)
        return any(self.cluster.actor(name, seat).core.missing for seat in seats)

    def _knows_views(self, name: str) -> bool:
        return self.cluster.replica(name).promise.last_view != NO_EPOCH

    def _state(self) -> str:
        """How the nodes are, in words."""
        words = []
        for name, node in sorted(self.cluster.nodes.items()):
            if not node.running:
                words.append(f"{name} is between two lives")
                continue
            replica = self.cluster.replica(name)
            active, log = replica.promise.active, replica.history.log
            view = f"in {active}" if active else f"frozen, promised {replica.promise.promised}"
            words.append(f"{name} is {view}, log {log.end}, commit {replica.commit}")
        return "; ".join(words)

    # --- what is seen ---

    def _turn(self, node: str, actor: NodeActor, message: Any) -> None:
        self.transcript.turn(node, actor, message)
        try:
            if type(actor) is Replica:
                self.witness.look(actor.core)
            elif type(message) is Send and isinstance(actor, PretendTcp):
                self.witness.said(actor.me, message.message)
        except Violation as violation:
            self._blame(violation)

    def _ended(self, node: str, exit_code: int, reason: str) -> None:
        if exit_code != 0:
            self._blame(Violation("I23", f"{node} ended: {reason}"))

    def _blame(self, violation: Violation) -> None:
        """The first violation ends the run where it was seen, not inside the actor's turn."""
        if self._violation is None:
            self._violation = violation
            self.cluster.loop.stop()
