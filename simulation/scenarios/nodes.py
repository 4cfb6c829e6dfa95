"""What is done to nodes, and how time passes.

cluster commit=majority expected_nodes=5    begin anew, with other settings; durable=yes: nodes have disks
form n1 n2 n3          start these, wait until all that run are the members of one view; its story is not told
start n4, start n1@8009  start; a node that ran before comes back with what its disk holds, if it has one
stop, kill, pause, resume n3                SIGTERM, SIGKILL, SIGSTOP, SIGCONT
stall, sync n1         its disk syncs nothing from now on; it does again
kill n1 keeping 1      SIGKILL; of its unsynced writes so many, the first ones, are on the disk
lead n1                `logstream election n1`
force n1               `logstream force-view` at n1
stand n1 n2            these try to lead at the same instant, as if each had won an election
wait for n1 n2         until these are the members of one view, each of them active
wait until n1 leads    until it does
wait until n1 ended    until its process is gone
step n1 -3600          its wall clock jumps by so many seconds
run 2.5                seconds pass
"""

from __future__ import annotations

from actors.mesh import Seat
from logstream.core.view_vocabulary import CandidateElected, ForceView, TransferLeadership
from simulation.scenarios.scenario import CannotDo, Command, Scenario

SETTLE_S = 2.0  # after a cluster has formed, until everything about it is usual


def _cluster(scenario: Scenario, words: list[str]) -> list[str]:
    scenario.begin(dict(word.split("=", 1) for word in words))
    return []


def _form(scenario: Scenario, names: list[str]) -> list[str]:
    scenario.cluster.start(*names)
    answers = scenario.wait_for_members(sorted(scenario.cluster.nodes))
    scenario.cluster.loop.run_for(SETTLE_S)
    scenario.story.begin_anew()
    return answers


def _start(scenario: Scenario, names: list[str]) -> list[str]:
    scenario.cluster.start(*names)
    return []


def _stop(scenario: Scenario, names: list[str]) -> list[str]:
    for name in names:
        scenario.cluster.stop(name)
    return []


def _kill(scenario: Scenario, names: list[str]) -> list[str]:
    if "keeping" in names:
        *names, _, kept = names
        for name in names:
            scenario.cluster.disks[name].keeps = int(kept)
    for name in names:
        scenario.cluster.kill(name)
    return []


def _stall(scenario: Scenario, names: list[str]) -> list[str]:
    for name in names:
        scenario.cluster.disks[name].stalled = True
    return []


def _sync(scenario: Scenario, names: list[str]) -> list[str]:
    for name in names:
        scenario.cluster.disks[name].go_on()
    return []


def _pause(scenario: Scenario, names: list[str]) -> list[str]:
    for name in names:
        scenario.cluster.machines[name].pause()
    return []


def _resume(scenario: Scenario, names: list[str]) -> list[str]:
    for name in names:
        scenario.cluster.machines[name].resume()
    return []


def _lead(scenario: Scenario, names: list[str]) -> list[str]:
    _announce(scenario, scenario.cluster.leader(), TransferLeadership(names[0]))
    return _wait(scenario, ["until", names[0], "leads"])


def _force(scenario: Scenario, names: list[str]) -> list[str]:
    _announce(scenario, names[0], ForceView())
    return []


def _stand(scenario: Scenario, names: list[str]) -> list[str]:
    for name in names:
        _announce(scenario, name, CandidateElected())
    return []


def _announce(scenario: Scenario, name: str, event: object) -> None:
    scenario.cluster.actor(name, Seat.REPLICA).mesh.announce(event)


def _wait(scenario: Scenario, words: list[str]) -> list[str]:
    match words:
        case ["for", *names]:
            return scenario.wait_for_members(names)
        case ["until", name, "leads"]:
            scenario.wait(lambda: " leads " in scenario.cluster.part_of(name))
            return [scenario.cluster.part_of(name)]
        case ["until", name, "ended"]:
            _expect_halts(scenario, True)
            scenario.wait(lambda: name in scenario.cluster.stopped)
            _expect_halts(scenario, False)
            code, reason = scenario.cluster.stopped.get(name, (-1, "it still runs"))
            return [f"{name} ended with {code}" + (f": {reason}" if reason else "")]
        case _:
            raise CannotDo(f"wait for what? {' '.join(words)}")


def _expect_halts(scenario: Scenario, expected: bool) -> None:
    if scenario.judge is not None:
        scenario.judge.halts_expected = expected


def _step(scenario: Scenario, words: list[str]) -> list[str]:
    name, by_s = words
    scenario.cluster.machines[name].wall_step_s += float(by_s)
    return []


def _run(scenario: Scenario, words: list[str]) -> list[str]:
    scenario.cluster.loop.run_for(float(words[0]))
    return []


COMMANDS: dict[str, Command] = {
    "cluster": _cluster,
    "form": _form,
    "start": _start,
    "stop": _stop,
    "kill": _kill,
    "pause": _pause,
    "resume": _resume,
    "stall": _stall,
    "sync": _sync,
    "lead": _lead,
    "force": _force,
    "stand": _stand,
    "wait": _wait,
    "step": _step,
    "run": _run,
}
