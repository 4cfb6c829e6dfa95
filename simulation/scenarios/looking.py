"""What can be seen from inside.

who                 what each node is: leads, follows, frozen, no member
logs                the log of each: batches in order, `|` behind what it knows to be committed
logs n1 n2          of these
views               of each, what it remembers: the newest installed view, and those attempted since
same                after a second of calm: do all that run hold the same log, committed alike?
limits t            the limits that a topic has for itself, as each knows it, committed or not
count               views installed and elections won since the last count
quarantined         entries of each node that no union could append
"""

from __future__ import annotations

from logstream.core.replica.replica import Replica
from logstream.protocol import codec
from logstream.protocol.batches import Batch, is_trimmed
from logstream.protocol.identity import View
from logstream.protocol.messages import Entry, EntryKind, TopicAltered, TopicCreated, TopicDeleted, Trimmed
from logstream.protocol.records import read
from simulation.scenarios.scenario import Command, Scenario

CALM_S = 1.0


def _running(scenario: Scenario, names: list[str]) -> list[str]:
    return names or scenario.cluster.running


def _who(scenario: Scenario, names: list[str]) -> list[str]:
    return [scenario.cluster.part_of(name) for name in names or sorted(scenario.cluster.nodes)]


def _logs(scenario: Scenario, names: list[str]) -> list[str]:
    return [f"{name}: {_log(scenario.cluster.replica(name))}" for name in _running(scenario, names)]


def _log(replica: Replica) -> str:
    """Batches as their values, `...` for one that was trimmed, and in brackets the decisions that are not committed."""
    log = replica.history.log
    shown: list[str] = []
    for gseq in range(log.start, log.end + 1):
        shown += _entry(log.entry(gseq), gseq <= replica.commit)
        if gseq == replica.commit:
            shown.append("|")
    return " ".join(shown if "|" in shown else ["|", *shown])


def _entry(entry: Entry, committed: bool) -> list[str]:
    if entry.kind is EntryKind.BATCH:
        if is_trimmed(entry.body):
            return ["..."]
        return ["+".join((record.value or b"").decode() for record in read(Batch(entry.front, entry.body)))]
    if committed:
        return []
    match codec.decode_decision(entry.body):
        case TopicCreated(name=name):
            return [f"({name})"]
        case TopicAltered(name=name):
            return [f"(alter {name})"]
        case TopicDeleted(name=name):
            return [f"(no {name})"]
        case Trimmed(start=start):
            return [f"(trim to {start})"]


def _views(scenario: Scenario, names: list[str]) -> list[str]:
    lines: list[str] = []
    for name in _running(scenario, names):
        promise = scenario.cluster.replica(name).promise
        installed = _members(promise.installed) if promise.installed else "none"
        attempted = ", ".join(map(_members, promise.attempted))
        lines.append(f"{name}: installed {installed}" + (f", attempted {attempted}" if attempted else ""))
    return lines


def _members(view: View) -> str:
    return f"[{' '.join(member.node_id for member in view.members)}]"


def _same(scenario: Scenario, names: list[str]) -> list[str]:
    scenario.cluster.loop.run_for(CALM_S)
    logs = {name: _log(scenario.cluster.replica(name)) for name in _running(scenario, names)}
    if len(set(logs.values())) == 1:
        return [f"{' '.join(logs)}: {next(iter(logs.values()))}"]
    return ["they differ", *(f"{name}: {log}" for name, log in logs.items())]


def _limits(scenario: Scenario, words: list[str]) -> list[str]:
    (topic,) = words
    return [f"{name}: {_limits_of(scenario.cluster.replica(name), topic)}" for name in scenario.cluster.running]


def _limits_of(replica: Replica, topic: str) -> str:
    history = replica.history
    own = history.retention_of(history.topics.get(topic, 0)).own
    return ", ".join(f"{name} {value:g}" for name, value in own.items()) or "none"


def _count(scenario: Scenario, names: list[str]) -> list[str]:
    story = scenario.story
    views, elections, story.views, story.elections = story.views, story.elections, 0, 0
    return [f"{views} views, {elections} elections"]


def _quarantined(scenario: Scenario, names: list[str]) -> list[str]:
    return [f"{name}: {scenario.cluster.replica(name).gatherer.quarantined}" for name in _running(scenario, names)]


COMMANDS: dict[str, Command] = {
    "who": _who,
    "logs": _logs,
    "views": _views,
    "same": _same,
    "limits": _limits,
    "count": _count,
    "quarantined": _quarantined,
}
