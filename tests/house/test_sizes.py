"""What can be read in one sitting, and what a test may not do (style guide)."""

from __future__ import annotations

import ast
from functools import cache

from tests.house.source_tree import Function, Module, functions, program, suite

FUNCTION_MAX = 60  # lines
FILE_MAX = 450
# Files that are over it and wait to be split, each with a ceiling of its own; they leave this list when they are.
OVER: dict[str, int] = {}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}
# Where a real process is looked at again and again until a deadline.
WAITING = {"tests/processes/local_cluster.py wait_until"}


def everything() -> tuple[Module, ...]:
    return (*program(), *suite())


def length(node: Function) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{module.path} {function.name} has {length(function)} lines"
        for module in everything()
        for function in functions(module.tree)
        if length(function) > FUNCTION_MAX
    ]
    assert long == []


def test_no_file_is_longer_than_a_sitting() -> None:
    lengths = {module.path: len(module.text.splitlines()) for module in everything()}
    assert {path: lines for path, lines in lengths.items() if lines > OVER.get(path, FILE_MAX)} == {}


def test_no_file_is_excused_that_needs_no_excuse() -> None:
    lengths = {module.path: len(module.text.splitlines()) for module in everything()}
    assert [path for path in OVER if lengths.get(path, 0) <= FILE_MAX] == []


def test_a_module_says_first_what_it_is() -> None:
    silent = [module.path for module in everything() if module.text.strip() and not ast.get_docstring(module.tree)]
    assert silent == []


def test_a_module_is_named_after_what_it_is() -> None:
    assert [module.path for module in everything() if module.name.rpartition(".")[2].strip("_") in NAMELESS] == []


# --- errors ---


def handlers(modules: tuple[Module, ...]) -> list[tuple[str, ast.ExceptHandler]]:
    """All `except` clauses, each with its place."""
    return [
        (f"{module.path}:{node.lineno}", node)
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler)
    ]


def test_no_error_is_caught_whatever_it_is() -> None:
    """A bare `except:` catches what stops the process, too."""
    assert [place for place, handler in handlers(everything()) if handler.type is None] == []


def test_a_broad_except_raises_again_or_says_what_it_caught() -> None:
    silent = [
        place
        for place, handler in handlers(program())
        if handler.type is not None
        and ast.unparse(handler.type) in ("Exception", "BaseException")
        and not any(isinstance(node, ast.Raise) for node in ast.walk(handler))
        and not any(isinstance(node, ast.Name) and node.id == handler.name for node in ast.walk(handler))
    ]
    assert silent == []


# --- tests ---


def test_no_test_sleeps_to_wait() -> None:
    sleeping = [
        place
        for module in suite()
        for function in functions(module.tree)
        if (place := f"{module.path} {function.name}") not in WAITING and "sleep" in _calls(function)
    ]
    assert sleeping == []


def test_every_test_can_fail() -> None:
    """It asserts or expects an error, itself or in what it calls."""
    checking = _checking()
    harmless = [
        f"{module.path} {function.name}"
        for module in suite()
        for function in functions(module.tree)
        if function.name.startswith("test_") and not _checks(function) and not _calls(function) & checking
    ]
    assert harmless == []


@cache
def _checking() -> frozenset[str]:
    """Names of functions of the tests that fail when something is wrong, themselves or by what they call."""
    every = [
        (function.name, _checks(function), _calls(function))
        for module in suite()
        for function in functions(module.tree)
    ]
    found = {"check_invariants"} | {name for name, checks, _ in every if checks}
    while more := {name for name, _, called in every if called & found} - found:
        found |= more
    return frozenset(found)


def _checks(function: Function) -> bool:
    checked = any(
        isinstance(node, ast.Assert) or (isinstance(node, ast.keyword) and ast.unparse(node) == "check=True")
        for node in ast.walk(function)
    )
    return checked or bool(_calls(function) & {"raises", "fail"})


def _calls(function: Function) -> set[str]:
    return {ast.unparse(node.func).rpartition(".")[2] for node in ast.walk(function) if isinstance(node, ast.Call)}
