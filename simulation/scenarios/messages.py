"""What happens to messages between nodes.

cut n1 n2, cut n1 -> n2        nothing passes, both ways or one way
cut streams n1 n2              TCP alone; datagrams pass
cut datagrams n1 -> n2         UDP alone; streams pass
partition n1 n2 | n3           nothing passes between the two groups
deafen n1                      multicast neither reaches nor leaves it
unplug n1, unplug p            nothing reaches or leaves this node, or this client
heal                           all of that is over
reset n1                       every connection of this node is broken, clients' too
drop Heartbeat from n3 to n1   messages of this kind are lost; `from` and `to` may be left out
hold Replicate to n2           they wait
let go, let go Replicate       nothing (of this kind) is dropped or held any more; what was held arrives now
mend n1 n2 | n3                it passes again between these two groups
isolate n1                     nothing passes between it and the other nodes
after 2 ViewInstall kill       whoever has sent two of them dies when it would send the third
after 2 ViewInstall isolate    or is cut off from the other nodes
repeat ViewInstall to n1       the last one that it got arrives once more
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from simulation.pretended.cuts import Way
from simulation.scenarios.scenario import CannotDo, Command, Scenario
from simulation.scenarios.sieve import Catch, Trap


def _cut(scenario: Scenario, words: list[str]) -> list[str]:
    kinds = [word for word in words if word in ("streams", "datagrams")]
    one, other = (scenario.cluster.address(name) for name in words if name not in (*kinds, "->"))
    ways = [(one, other)] if "->" in words else [(one, other), (other, one)]
    streams, datagrams = (not kinds or kind in kinds for kind in ("streams", "datagrams"))
    scenario.cluster.network.separate(ways, streams, datagrams)
    return []


def _partition(scenario: Scenario, words: list[str]) -> list[str]:
    scenario.cluster.network.separate(_between(scenario, words))
    return []


def _mend(scenario: Scenario, words: list[str]) -> list[str]:
    scenario.cluster.network.mend(_between(scenario, words))
    return []


def _between(scenario: Scenario, words: list[str]) -> list[Way]:
    """The ways between two groups of names."""
    bar = words.index("|")
    return _ways(scenario, words[:bar], words[bar + 1 :])


def _ways(scenario: Scenario, some: Iterable[str], others: Iterable[str]) -> list[Way]:
    pairs = product(map(scenario.cluster.address, some), map(scenario.cluster.address, others))
    return [way for one, other in pairs for way in ((one, other), (other, one))]


def _isolate(scenario: Scenario, names: list[str]) -> list[str]:
    cluster = scenario.cluster
    for name in names:
        cluster.network.separate(_ways(scenario, [name], [other for other in cluster.nodes if other != name]))
    return []


def _deafen(scenario: Scenario, names: list[str]) -> list[str]:
    for name in names:
        scenario.cluster.network.cuts.deaf[scenario.cluster.address(name)] += 1
    return []


def _heal(scenario: Scenario, words: list[str]) -> list[str]:
    scenario.cluster.network.heal()
    return []


def _reset(scenario: Scenario, names: list[str]) -> list[str]:
    for name in names:
        scenario.cluster.network.reset(scenario.cluster.address(name))
    return []


def _drop(scenario: Scenario, words: list[str]) -> list[str]:
    scenario.cluster.network.sieve.add(_catch(scenario, words))
    return []


def _hold(scenario: Scenario, words: list[str]) -> list[str]:
    catch = _catch(scenario, words)
    catch.holds = True
    scenario.cluster.network.sieve.add(catch)
    return []


def _catch(scenario: Scenario, words: list[str]) -> Catch:
    """KIND... [from NAME...] [to NAME...]"""
    parts: dict[str, list[str]] = {"": [], "from": [], "to": []}
    part = ""
    for word in words:
        if word in parts:
            part = word
        else:
            parts[part].append(word)
    sources, targets = (frozenset(map(scenario.cluster.address, parts[one])) for one in ("from", "to"))
    return Catch(frozenset(parts[""]), sources, targets)


def _let_go(scenario: Scenario, words: list[str]) -> list[str]:
    scenario.cluster.network.sieve.let_go(*words[1:])
    return []


def _unplug(scenario: Scenario, names: list[str]) -> list[str]:
    for name in names:
        scenario.cluster.network.cuts.dark[scenario.cluster.address(name)] += 1
    return []


def _after(scenario: Scenario, words: list[str]) -> list[str]:
    count, kind, what = words
    cluster = scenario.cluster

    def spring(address: str) -> None:
        name = next(name for name in cluster.nodes if cluster.address(name) == address)
        scenario.story.tell(f"{name} is killed" if what == "kill" else f"{name} is cut off")
        if what == "kill":
            cluster.kill(name)
        else:
            _isolate(scenario, [name])

    cluster.network.sieve.set_trap(Trap(kind, int(count), spring))
    return []


def _repeat(scenario: Scenario, words: list[str]) -> list[str]:
    kind, _, name = words
    deliver = scenario.cluster.network.sieve.passed.get((kind, scenario.cluster.address(name)))
    if deliver is None:
        raise CannotDo(f"{name} has got no {kind} yet")
    deliver()
    return []


COMMANDS: dict[str, Command] = {
    "cut": _cut,
    "partition": _partition,
    "mend": _mend,
    "isolate": _isolate,
    "deafen": _deafen,
    "heal": _heal,
    "reset": _reset,
    "drop": _drop,
    "hold": _hold,
    "let": _let_go,
    "after": _after,
    "repeat": _repeat,
    "unplug": _unplug,
}
