"""The map of the mesh is true: what it says is handled is handled, and what is announced is on it (R21).

Who announces what is read from the source; who handles what is read from the match statements of the
core that runs in a seat.
"""

from __future__ import annotations

import ast
import dataclasses
from typing import Any, get_args

import pytest

from actors.mesh import LOCAL, WIRE, Seat
from logstream.core import topic_log
from logstream.core.replica import storing, vocabulary
from logstream.protocol import messages as wire
from tests.house.source_tree import Function, Module, functions, program

# What concerns a single topic partition is told to that partition's log and is not on the map.
BY_PARTITION = {
    vocabulary.Committed,
    vocabulary.PartitionTrimmed,
    topic_log.Read,
    topic_log.CancelRead,
    topic_log.Locate,
}
TO_THE_DISK = {storing.Store}  # Replica hands it over itself
SEATS: dict[Seat, tuple[str, ...]] = {
    Seat.CARETAKER: ("actors.caretaker",),
    Seat.REPLICA: ("logstream.core.replica",),
    Seat.VIEW_MANAGER: (
        "logstream.core.view_change",
        "logstream.core.attempt",
        "logstream.core.wishes",
        "logstream.core.view_vocabulary",
    ),
    Seat.TOPICS: ("logstream.core.topics",),
    Seat.STREAM_ASSIGNER: ("logstream.core.stream_assigner",),
    Seat.CLIENT_GATEWAY: ("logstream.core.gateway", "actors.client_gateway"),
    Seat.ELECTOR: ("logstream.core.election",),
    Seat.FAILURE_DETECTOR: ("logstream.core.failure_detector", "logstream.core.phi"),
    Seat.HEARTBEAT_SENDER: ("logstream.core.heartbeat_sender",),
    Seat.TCP: ("transport.tcp", "transport.tcp_link", "transport.tcp_connection"),
    Seat.DISCOVERY: ("logstream.core.discovery",),
}
NODE = ("logstream.core", "actors", "transport")


def modules(*packages: str) -> list[Module]:
    return [module for module in program() if module.inside(*packages)]


def named(kinds: set[Any]) -> list[str]:
    return sorted(kind.__name__ for kind in kinds)


# --- what is handled ---


def handled_in(module: Module) -> set[type]:
    """Types that a `case` or an isinstance() of this module tells apart; a union counts as its members."""
    found: set[type] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.MatchClass):
            found |= _types(module.meaning(node.cls))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            kinds = node.args[1].elts if isinstance(node.args[1], ast.Tuple) else [node.args[1]]
            for kind in kinds:
                found |= _types(module.meaning(kind))
    return found


def _types(meaning: Any) -> set[type]:
    return set(get_args(meaning)) or {meaning}


def handled_by(seat: Seat) -> set[type]:
    return set().union(*(handled_in(module) for module in modules(*SEATS[seat])))


def test_every_message_of_the_wire_has_exactly_one_handler() -> None:
    assert set(WIRE) == set(get_args(wire.Message))


@pytest.mark.parametrize("seat", sorted(set(WIRE.values())))
def test_who_is_named_as_handler_of_a_message_handles_it(seat: Seat) -> None:
    assert named({kind for kind, handler in WIRE.items() if handler is seat} - handled_by(seat)) == []


@pytest.mark.parametrize("seat", sorted({seat for seats in LOCAL.values() for seat in seats}))
def test_who_is_named_as_listener_of_an_event_listens(seat: Seat) -> None:
    assert named({kind for kind, seats in LOCAL.items() if seat in seats} - handled_by(seat)) == []


def test_only_the_named_handler_of_a_message_of_the_wire_handles_it() -> None:
    """A second one would be dead code, or a second owner of one fact."""
    twice = [
        f"{kind.__name__} in {module.path}"
        for kind, handler in WIRE.items()
        for seat in set(SEATS) - {handler, Seat.TCP}  # a transport looks at messages to route them
        for module in modules(*SEATS[seat])
        for node in ast.walk(module.tree)
        if isinstance(node, ast.MatchClass) and module.meaning(node.cls) is kind
    ]
    assert twice == []


def test_a_topic_log_handles_what_is_told_to_a_single_partition() -> None:
    (module,) = modules("logstream.core.topic_log")
    assert named(BY_PARTITION - handled_in(module)) == []


# --- what is announced ---


def announced_in(module: Module) -> set[type]:
    """Types of the events that a module announces: as an effect, or by a transport's or host's announce."""
    found: set[type] = set()
    for function in functions(module.tree):
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ANNOUNCING and node.args:
                found |= {module.meaning(call.func) for call in _made(module, function, node.args[0])}
    return found


ANNOUNCING = ("Announce", "announce", "_announce")


def _made(module: Module, function: Function, said: ast.expr) -> list[ast.Call]:
    """The constructor calls behind what is announced. Fails where they cannot be found, rather than miss one."""
    match said:
        case ast.IfExp(body=one, orelse=other):
            return _made(module, function, one) + _made(module, function, other)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=method)):
            returned = [node.value for node in ast.walk(_method(module, method)) if isinstance(node, ast.Return)]
            return [call for value in returned if value for call in _made(module, function, value)]
        case ast.Call():
            return [said]
        case ast.Name(id=name) if name in _handed_in(function):
            return []  # whoever hands it in is looked at
        case ast.Name(id=name):
            values = [
                node.value
                for node in ast.walk(function)
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
            ]
            assert values, f"{module.path}:{said.lineno}: what is {name}?"
            return [call for value in values for call in _made(module, function, value)]
    raise AssertionError(f"{module.path}:{said.lineno}: cannot tell what is announced by {ast.unparse(said)}")


def _handed_in(function: Function) -> set[str]:
    """Names of arguments, and of what a `case` takes out of one."""
    captured = {node.name for node in ast.walk(function) if isinstance(node, ast.MatchAs) and node.name}
    return captured | {argument.arg for argument in function.args.args}


def _method(module: Module, name: str) -> Function:
    return next(function for function in functions(module.tree) if function.name == name)


def all_announced() -> set[type]:
    clients = ("logstream.core.producer", "logstream.core.consumer", "logstream.core.directory")
    found = [announced_in(module) for module in modules(*NODE) if not module.inside(*clients)]
    return set().union(*found)


def test_every_event_that_is_announced_is_on_the_map() -> None:
    assert named(all_announced() - set(LOCAL) - BY_PARTITION - TO_THE_DISK) == []


def test_every_event_on_the_map_is_announced_by_somebody() -> None:
    assert named(set(LOCAL) - all_announced()) == []


def test_the_replica_says_and_hears_every_word_of_its_vocabulary() -> None:
    words = {kind for kind in vars(vocabulary).values() if dataclasses.is_dataclass(kind)}
    own = {kind for kind in words if kind.__module__ == vocabulary.__name__}
    assert named(own - set(LOCAL) - BY_PARTITION) == []


def test_every_timer_that_is_set_is_heard() -> None:
    set_timers: set[type] = set()
    for module in modules(*NODE):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("SetTimer", "set_timer"):
                timer = node.args[0]
                if isinstance(timer, ast.Call):
                    set_timers.add(module.meaning(timer.func))
    heard = set().union(*(handled_in(module) for module in modules(*NODE)))
    assert len(set_timers) > 10
    assert named(set_timers - heard) == []


# --- one owner ---


OWNED = {"promised", "last_view", "log"}


def test_promise_last_view_and_log_are_assigned_in_the_replica_only() -> None:
    wrong = [
        f"{module.path}:{target.lineno} {ast.unparse(target)}"
        for module in modules(*NODE)
        if not module.inside("logstream.core.replica")
        for node in ast.walk(module.tree)
        for target in _targets(node)
        if isinstance(target, ast.Attribute) and target.attr in OWNED
    ]
    assert wrong == []


def test_nobody_but_the_replica_makes_or_changes_its_parts() -> None:
    parts = {"Promise", "History", "Stage", "Holdback", "Dedup", "Tally", "Leadership", "Followership", "Log"}
    wrong = [
        f"{module.path}:{node.lineno} {ast.unparse(node)}"
        for module in modules(*NODE)
        if not module.inside("logstream.core.replica")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and (ast.unparse(node.func) in parts or ".history.log." in ast.unparse(node.func))
    ]
    assert wrong == []


def _targets(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.Assign(targets=targets):
            return [one for target in targets for one in (target.elts if isinstance(target, ast.Tuple) else [target])]
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
            return [target]
    return []


def test_discovery_starts_last_because_it_makes_messages_flow() -> None:
    assert [*Seat][-1] is Seat.DISCOVERY


def test_every_seat_hears_something() -> None:
    by_effect = {Seat.MULTICAST, Seat.BROADCAST}  # they hear effects only
    assert set(WIRE.values()) | {seat for seats in LOCAL.values() for seat in seats} | by_effect == set(Seat)
