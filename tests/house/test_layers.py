"""Who may use whom, and who may touch the world (design section 3)."""

from __future__ import annotations

import ast

import pytest

from tests.house.source_tree import Imported, Module, imports, program

# Each may use those after it.
ORDER = (
    "logstream_cli",
    "simulation",
    "actors",
    "transport",
    "logstream.testing",
    "logstream.console",
    "logstream.local",
    "logstream.settings",
    "logstream.aio",
    "logstream.client",
    "logstream.state",
    "logstream.runtime",
    "logstream.core",
    "logstream.protocol",
)
STARTERS = ("logstream._start", "logstream.__main__")  # the one import against the order
FACADE = "logstream"  # the public names; lazily

# What rules may not know: clocks, sockets, threads, logs, actors.
CLOCKS_AND_DICE = ("time", "datetime", "secrets", "uuid")
PROCESS = ("os", "sys", "pathlib", "signal", "subprocess", "multiprocessing", "threading", "concurrent")
LOOPS_AND_LOGS = ("asyncio", "uvloop", "pykka", "logging", "loguru")
IMPURE = ("socket", "selectors", "ssl", *CLOCKS_AND_DICE, *PROCESS, *LOOPS_AND_LOGS)
SOCKETS = ("socket", "selectors", "socketserver", "ssl", "http", "urllib")


def layer(name: str) -> str | None:
    """The part of ORDER that a module belongs to; None for libraries."""
    owners = [part for part in ORDER if name == part or name.startswith(part + ".")]
    return owners[0] if owners else None


def imports_of(*packages: str) -> list[tuple[Module, Imported]]:
    return [(module, one) for module in program() if module.inside(*packages) for one in imports(module)]


def importers_of(*libraries: str) -> set[str]:
    """Paths of the modules that import one of these libraries."""
    return {
        module.path
        for module in program()
        for one in imports(module)
        if any(one.name == library or one.name.startswith(library + ".") for library in libraries)
    }


@pytest.mark.parametrize("part", ORDER)
def test_a_part_uses_only_parts_after_it(part: str) -> None:
    later = ORDER[ORDER.index(part) :]
    wrong = [
        f"{one.place} imports {one.name}"
        for module, one in imports_of(part)
        if layer(module.name) == part and layer(one.name) not in (None, *later)
    ]
    assert wrong == []


def test_every_module_has_a_place_in_the_order() -> None:
    known = (*STARTERS, FACADE)
    assert [module.path for module in program() if layer(module.name) is None and module.name not in known] == []


def test_actors_and_transports_never_use_the_client() -> None:
    wrong = [one.place for _, one in imports_of("actors", "transport") if one.name.startswith("logstream.client")]
    assert wrong == []


def test_the_public_names_come_from_client_and_protocol_only() -> None:
    facade = next(module for module in program() if module.name == FACADE)
    own = {layer(one.name) for one in imports(facade) if one.name.startswith("logstream")}
    assert own <= {"logstream.client", "logstream.protocol"}


def test_the_starters_import_nothing_but_the_program() -> None:
    own = {one.name for _, one in imports_of(*STARTERS) if one.name.partition(".")[0] in ("logstream", *ORDER)}
    assert own <= {"logstream._start", "logstream_cli"}


def test_the_library_does_not_know_the_program() -> None:
    program_parts = {"logstream_cli", "simulation", "actors", "transport"}
    wrong = [one.place for _, one in imports_of(*ORDER[4:]) if one.name.partition(".")[0] in program_parts]
    assert wrong == []


# --- purity ---


def test_the_rules_know_no_clock_socket_thread_log_or_actor() -> None:
    wrong = [
        f"{one.place} imports {one.name}"
        for _, one in imports_of("logstream.core")
        if one.name.partition(".")[0] in IMPURE
    ]
    assert wrong == []


def test_the_rules_use_no_dice_but_those_passed_in() -> None:
    """random.Random is a type there; whoever makes one, or uses the module's own, has hidden dice."""
    wrong = [
        f"{module.path}:{node.lineno} {ast.unparse(node)}"
        for module in program()
        if module.inside("logstream.core")
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Call) and ast.unparse(node.func) in ("random.Random", "Random"))
        or (isinstance(node, ast.ImportFrom) and node.module == "random" and node.names[0].name != "Random")
        or (isinstance(node, ast.Attribute) and _is_of_the_module(node, module))
    ]
    assert wrong == []


def _is_of_the_module(node: ast.Attribute, module: Module) -> bool:
    """Is this random.something of the module `random`, and not of dice that happen to have that name?"""
    is_module = "import random\n" in module.text
    return is_module and ast.unparse(node.value) == "random" and node.attr != "Random"


def test_the_rules_and_the_messages_keep_no_order_by_hash_or_address() -> None:
    """`hash` and `id` differ from process to process, so no decision may rest on them."""
    wrong = [
        f"{module.path}:{node.lineno} {ast.unparse(node)}"
        for module in program()
        if module.inside("logstream.core", "logstream.protocol")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("hash", "id")
    ]
    assert wrong == []


# --- who touches the world ---


def test_sockets_are_opened_by_transports_and_the_clients_connection_only() -> None:
    """Whoever looks for a free port reads the system's table instead (logstream/local/places.py)."""
    outside = {path for path in importers_of(*SOCKETS) if not path.startswith("transport/")}
    assert outside == {"logstream/client/connection.py"}


def test_the_record_codec_is_imported_in_one_module() -> None:
    assert importers_of("aiokafka") == {"logstream/protocol/records.py"}


def test_no_part_of_a_node_imports_the_record_codec() -> None:
    """A broker never looks at a single record: whatever actors reach by imports leaves records.py out."""
    reached, frontier = set[str](), {"actors.node"}
    by_name = {module.name: module for module in program()}
    while frontier:
        name = frontier.pop()
        reached.add(name)
        frontier |= {one.name for one in imports(by_name[name]) if one.name in by_name} - reached
    assert "logstream.core.replica.replica" in reached
    assert "logstream.protocol.records" not in reached


def test_pykka_is_known_to_the_runtime_only() -> None:
    assert [path for path in importers_of("pykka") if not path.startswith("logstream/runtime/")] == []


def test_protobuf_ends_at_the_protocol_package() -> None:
    assert [path for path in importers_of("google.protobuf") if not path.startswith("logstream/protocol/")] == []


def test_threads_are_made_only_where_blocking_work_is_hosted() -> None:
    """An actor owns its facts, so it needs no locks; the client serves programs that have threads.

    simulation/checks/blocking.py makes none: it watches whoever waits.
    """
    allowed = ("logstream/runtime/", "logstream/client/", "logstream/console/", "simulation/checks/blocking.py")
    assert [path for path in importers_of("threading") if not path.startswith(allowed)] == []
