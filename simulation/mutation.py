"""A mutation: one rule of the protocol, and the patch that takes it away.

Elsewhere: the patches (mutations.py), which register themselves here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Mutation:
    """One rule that can be taken away."""

    name: str
    rule: str
    sentence: str
    scenario: str  # that was written for it
    apply: Callable[[], None]


MUTATIONS: dict[str, Mutation] = {}


def mutation(name: str, rule: str, scenario: str, sentence: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register a patch as this mutation."""

    def register(apply: Callable[[], None]) -> Callable[[], None]:
        MUTATIONS[name] = Mutation(name, rule, sentence, scenario, apply)
        return apply

    return register


def replace(where: Any, name: str, by: object) -> None:
    """Patch, where there is something to patch: a rule that has moved must not stay untested. Raises AttributeError."""
    getattr(where, name)
    setattr(where, name, by)


def unchecked(kind: type) -> None:
    """The code's own assertion would catch this at once; the promises to clients must, too."""
    replace(kind, "check_invariants", lambda _: None)
