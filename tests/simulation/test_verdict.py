"""The end of a run: whatever was lost is seen, however well the nodes agree about what is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from logstream.core.election import Elections
from logstream.core.topic_log import TopicLog
from logstream.core.view_change import ViewChange
from logstream.protocol.errors import DataLost, LogStreamError, OtherCluster
from logstream.protocol.identity import Member
from simulation.faults import Faults
from simulation.run import Outcome, Run

CALM_S = 20.0  # until all are in one view again
OF_A_LOSS = ("lost-write", "I22", "I7", "Q10")


def run_and(monkeypatch: pytest.MonkeyPatch, seed: int, then: Callable[[Run], None]) -> Outcome:
    """A run; `then` is done to it when its faults are mended."""
    run, mend = Run(seed), Faults.mend

    def mend_and_then(faults: Faults) -> None:
        mend(faults)
        then(run)

    monkeypatch.setattr(Faults, "mend", mend_and_then)
    return run.go()


def start_anew(run: Run, *names: str) -> None:
    """These lose their memory all at once, and their disks if they have any, whatever the rules survive."""
    running = [name for name in names if name in run.cluster.nodes]
    for name in running:
        run.cluster.kill(name)
        if run.plan.durable:
            run.cluster.disks[name].begin("")
    run.cluster.start(*running)


def lose_all(run: Run) -> None:
    start_anew(run, *run.plan.names)


def strand(run: Run, more: int = 0) -> None:
    """All but the leader, and so many more, lose their memory; they are no quorum."""
    run.cluster.loop.run_for(CALM_S)
    leader = run.cluster.leader()
    start_anew(run, *[name for name in run.plan.names if name != leader][more:])


def silence(monkeypatch: pytest.MonkeyPatch, silent: Callable[[str], bool]) -> None:
    """These nodes never say whom they miss."""
    for core in (Elections, ViewChange):

        def missing(self: Elections | ViewChange) -> tuple[Member, ...]:
            return () if silent(self.me.node_id) else self.__dict__.get("missing", ())

        def miss(self: Elections | ViewChange, members: tuple[Member, ...]) -> None:
            self.__dict__["missing"] = members

        monkeypatch.setattr(core, "missing", property(missing, miss), raising=False)


@pytest.mark.parametrize("seed", range(8))
def test_a_run_in_which_everything_was_lost_breaks_a_promise(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    outcome = run_and(monkeypatch, seed, lose_all)
    assert outcome.violation is not None and outcome.violation.rule in OF_A_LOSS


def test_nodes_that_agree_in_another_cluster_have_lost_what_was_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run_and(monkeypatch, 1, lose_all)
    assert outcome.violation is not None and outcome.violation.rule == "lost-write"
    assert "which has none of them" in outcome.violation.text


def test_logs_that_are_equal_and_not_what_was_committed_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(1)
    assert run.go().violation is None
    run.ledger.chains.append(1)
    monkeypatch.setattr("simulation.run.CALM_S", 1.0)
    with pytest.raises(AssertionError, match="I22: the cluster did not settle"):
        run._judge(run.workload)


def test_what_is_in_every_log_and_served_by_no_broker_is_a_lost_write(monkeypatch: pytest.MonkeyPatch) -> None:
    read_again = Run._read_again

    def after_forgetting(run: Run, *arguments: object) -> list[str]:
        monkeypatch.setattr(TopicLog, "handle", lambda self, event: [])
        return read_again(run, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "_read_again", after_forgetting)
    outcome = Run(1).go()
    assert outcome.violation is not None and outcome.violation.rule == "unseen"


# --- what clients were told ---


def run_of_one_cluster() -> Run:
    """A run that is over, and in which no node was ever alone in a cluster of its own."""
    run = Run(1)
    assert run.go().violation is None
    cluster_id, installed = run.witness.cluster_id, run.witness.installed
    for epoch in [epoch for epoch, view in installed.items() if view.cluster_id != cluster_id]:
        del installed[epoch]
    run.verdict.check_words(run.workload)
    return run


@pytest.mark.parametrize("error", [DataLost("by force"), OtherCluster("another one")])
def test_an_error_for_which_there_was_no_reason_is_seen(error: LogStreamError) -> None:
    run = run_of_one_cluster()
    run.histories.failed[b"never sent"] = error
    with pytest.raises(AssertionError, match="I15"):
        run.verdict.check_words(run.workload)


def test_a_consumer_that_was_sent_to_a_cluster_that_never_was_is_seen() -> None:
    run = run_of_one_cluster()
    run.workload.consumers[0].deserted = True
    with pytest.raises(AssertionError, match="I14"):
        run.verdict.check_words(run.workload)


# --- too few are left ---


def test_whoever_is_left_alone_says_no_quorum_and_keeps_what_was_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run_and(monkeypatch, 1, strand)
    assert outcome.violation is None
    assert len(outcome.stranded) == 1


def test_whoever_is_left_alone_and_does_not_say_so_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    silence(monkeypatch, lambda name: True)
    outcome = run_and(monkeypatch, 1, strand)
    assert outcome.violation is not None and outcome.violation.rule == "I22"
    assert "do not say NO_QUORUM" in outcome.violation.text


@pytest.mark.parametrize("silent", [(), ("n6",), ("n1",)])
def test_all_who_are_left_and_can_know_it_must_say_so(monkeypatch: pytest.MonkeyPatch, silent: tuple[str, ...]) -> None:
    """Two of six are left, and both know the view of six."""
    silence(monkeypatch, lambda name: name in silent)
    outcome = run_and(monkeypatch, 1, lambda run: strand(run, more=1))
    if not silent:
        assert outcome.violation is None and set(outcome.stranded) == {"n1", "n6"}
        return
    assert outcome.violation is not None and outcome.violation.rule == "I22"
    assert f"do not say NO_QUORUM: {silent[0]}" in outcome.violation.text


def test_what_nobody_of_those_left_holds_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def strand_without(run: Run) -> None:
        strand(run)
        run.ledger.chains.append(1)
        run.ledger.epochs.append(run.ledger.epochs[-1])

    outcome = run_and(monkeypatch, 1, strand_without)
    assert outcome.violation is not None and outcome.violation.rule == "I22"
