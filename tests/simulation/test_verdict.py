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
MET_WITHIN = 40  # seeds
MEND = Faults.mend
OF_A_LOSS = ("lost-write", "I22", "I7", "Q10")


def run_and(monkeypatch: pytest.MonkeyPatch, seed: int, then: Callable[[Run], None]) -> Outcome:
    """A run; `then` is done to it when its faults are mended."""
    run = Run(seed)

    def mend_and_then(faults: Faults) -> None:
        MEND(faults)
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
    """There is something to lose, and then it is lost."""
    run.cluster.loop.run_until(lambda: bool(run.judge.histories.acknowledged), CALM_S)
    assert run.judge.histories.acknowledged
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
    """The nodes of most runs do not agree so well: what they commit anew is seen first, to differ."""
    violations = (run_and(monkeypatch, seed, lose_all).violation for seed in range(MET_WITHIN))
    lost = next(violation for violation in violations if violation is not None and violation.rule == "lost-write")
    assert "which has none of them" in lost.text


def test_logs_that_are_equal_and_not_what_was_committed_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(1)
    assert run.go().violation is None
    run.judge.ledger.chains.append(1)
    monkeypatch.setattr("simulation.run.CALM_S", 1.0)
    with pytest.raises(AssertionError, match="I22: the cluster did not settle"):
        run._judge(run.workload)


def run_that_is_over() -> Run:
    run = Run(1)
    assert run.go().violation is None
    run.verdict.check_topics()
    return run


def test_a_topic_log_without_a_committed_record_is_seen_though_another_broker_serves_it() -> None:
    run = run_that_is_over()
    written = run.judge.ledger.records
    (topic_id, partition), records = next((slot, records) for slot, records in written.items() if records)
    for name in run.plan.names:
        core = run.cluster.topic_log(name, topic_id, partition)
        assert core is not None
        held, core._batches = core._batches, core._batches[:-1]
        with pytest.raises(AssertionError, match=f"R13: the topic log {topic_id}/{partition} of {name} has None at"):
            run.verdict.check_topics()
        core._batches, core.end = held, core.end + 1
        with pytest.raises(AssertionError, match=f"R13: .* of {name} has .* trimmed is .* to {len(records)}"):
            run.verdict.check_topics()
        core.end -= 1


@pytest.mark.parametrize(("late_s", "seen"), [(1.0, False), (60.0, True)])
def test_a_topic_log_may_be_late_but_not_for_ever(late_s: float, seen: bool) -> None:
    """A slow broker has committed to its end some turns before its topic logs hear of it (seed 1001551)."""
    run = run_that_is_over()
    (topic_id, partition), _ = next((slot, records) for slot, records in run.judge.ledger.records.items() if records)
    core = run.cluster.topic_log("n1", topic_id, partition)
    assert core is not None
    core.end -= 1
    run.cluster.loop.call_later(late_s, setattr, core, "end", core.end + 1)
    if seen:
        with pytest.raises(AssertionError, match=r"R13: .* of n1 has"):
            run._check_topics()
    else:
        run._check_topics()


def test_a_value_at_the_place_of_another_is_seen() -> None:
    run = run_that_is_over()
    slot, records = next((slot, records) for slot, records in run.judge.ledger.records.items() if len(records) > 1)
    records[-1], records[-2] = records[-2], records[-1]
    with pytest.raises(
        AssertionError, match=f"R13: the topic log {slot[0]}/{slot[1]} of n1 has .* at {len(records) - 2}"
    ):
        run.verdict.check_topics()


def test_a_broker_that_names_other_topics_than_the_log_is_seen() -> None:
    run = run_that_is_over()
    run.judge.ledger.topics["never made"] = 99
    with pytest.raises(AssertionError, match="R13: n1 says that the topics are "):
        run.verdict.check_topics()


def test_what_is_in_every_log_and_served_by_no_broker_is_a_lost_write(monkeypatch: pytest.MonkeyPatch) -> None:
    read_again = Run._read_again

    def after_forgetting(run: Run, *arguments: object) -> list[str]:
        monkeypatch.setattr(TopicLog, "handle", lambda self, event: [])
        return read_again(run, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "_read_again", after_forgetting)
    outcome = Run(1).go()
    assert outcome.violation is not None and outcome.violation.rule == "lost-write"


# --- what clients were told ---


def run_of_one_cluster() -> Run:
    """A run that is over, and in which no node was ever in a cluster of its own."""
    run = next(run for run in map(Run, range(MET_WITHIN)) if run.go().violation is None and is_of_one_cluster(run))
    run.verdict.check_words(run.workload)
    return run


def is_of_one_cluster(run: Run) -> bool:
    return {view.cluster_id for view in run.judge.witness.installed.values()} == {run.judge.witness.cluster_id}


@pytest.mark.parametrize("error", [DataLost("by force"), OtherCluster("another one")])
def test_an_error_for_which_there_was_no_reason_is_seen(error: LogStreamError) -> None:
    run = run_of_one_cluster()
    run.judge.histories.failed[b"never sent"] = error
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
        run.judge.ledger.chains.append(1)
        run.judge.ledger.epochs.append(run.judge.ledger.epochs[-1])

    outcome = run_and(monkeypatch, 1, strand_without)
    assert outcome.violation is not None and outcome.violation.rule == "I22"
