"""The source tree as the house tests see it: every module of program and library with its syntax tree.

A rule of the house is a sentence about code, so its test reads code. What a name means is asked of the
imported module itself, not guessed from its spelling.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROGRAM = ("logstream_cli.py", "simulation", "actors", "transport", "logstream")
GENERATED = {"logstream/protocol/logstream_pb2.py"}


@dataclass(frozen=True)
class Module:
    """One source file."""

    path: str  # from the root of the repository
    name: str  # dotted
    text: str
    tree: ast.Module

    def inside(self, *packages: str) -> bool:
        """Is it one of these modules, or in one of these packages?"""
        return any(self.name == package or self.name.startswith(package + ".") for package in packages)

    def meaning(self, expression: ast.expr) -> Any:
        """What a name or a dotted name of this module stands for. Raises NameError or AttributeError."""
        return eval(ast.unparse(expression), vars(importlib.import_module(self.name)))


@dataclass(frozen=True)
class Imported:
    """One import: what, and where it stands."""

    name: str
    place: str


@cache
def program() -> tuple[Module, ...]:
    """All modules of program and library, but generated ones."""
    return tuple(_modules(PROGRAM))


@cache
def suite() -> tuple[Module, ...]:
    """All modules of the tests."""
    return tuple(_modules(("tests",)))


def _modules(tops: Iterable[str]) -> Iterator[Module]:
    for top in tops:
        paths = [ROOT / top] if top.endswith(".py") else sorted((ROOT / top).rglob("*.py"))
        for path in paths:
            relative = path.relative_to(ROOT).as_posix()
            if relative not in GENERATED:
                text = path.read_text()
                yield Module(relative, _dotted(relative), text, ast.parse(text, relative))


def _dotted(relative: str) -> str:
    return relative.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(module: Module) -> list[Imported]:
    """Everything that a module imports, at its top or inside a function, each as the dotted name of a module."""
    found: list[Imported] = []
    for node in ast.walk(module.tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.path}:{node.lineno}: imports are absolute here"
            names = [_module_or_member(node.module or "", alias.name) for alias in node.names]
        found += [Imported(name, f"{module.path}:{getattr(node, 'lineno', 0)}") for name in names]
    return found


@cache
def _module_or_member(package: str, name: str) -> str:
    """`from package import name` imports package.name where that is a module of ours, else package."""
    folder = ROOT / package.replace(".", "/")
    is_module = (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists()
    return f"{package}.{name}" if is_module else package


def calls(module: Module, *names: str) -> list[ast.Call]:
    """Calls of a function or method of one of these names."""
    return [node for node in ast.walk(module.tree) if isinstance(node, ast.Call) and _called(node) in names]


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    """All functions and methods of a tree."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node
