"""What the gateway asks of its node, and is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StatusAsked:
    """A client wants to know how this node is."""

    request: int


@dataclass(frozen=True, slots=True)
class StatusReady:
    """All actors have reported."""

    request: int
    json: str


@dataclass(frozen=True, slots=True)
class HeldTimedOut:
    """Timer: look whether a held request has waited for too long."""


@dataclass(frozen=True, slots=True)
class PollTimedOut:
    """Timer: a fetch has waited for as long as its client wanted."""

    poll: int
