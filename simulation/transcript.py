"""The transcript of one run: what happened, for a person, and its hash, for a machine.

    every turn of every actor ---> hash (time, node, actor, message type)      always
                              ---> the last turns of each node                 for the story of a violation
                              ---> a line                                      with trace
    faults, notes of nodes    ---> a line                                      when somebody listens

Two runs with one hash took the same turns at the same instants: the instants come from the same dice, so
one draw more or less would shift all that follow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from struct import pack
from typing import Any

from logstream.core.events import Due, Origin, Received, Session
from logstream.protocol.batches import Batch
from logstream.protocol.identity import Epoch, Member, View
from logstream.protocol.messages import Entry
from logstream.runtime import NodeActor

STORY_TURNS = 25  # of each node
SHORT = 160  # characters of a message in a line
HASHED_TOGETHER = 1000  # turns: one long update costs less than many short ones

Last = deque[tuple[float, str, Any]]  # time, actor, message


class Transcript:
    """Writes lines where `line` says; keeps what a story needs."""

    def __init__(
        self, now: Callable[[], float], line: Callable[[str], None] | None = None, trace: bool = False
    ) -> None:
        self._now = now
        self._line = line
        self._trace = trace and line is not None
        self._hash = blake2b(digest_size=16)
        self._times: list[float] = []  # of what is not hashed yet
        self._labels: list[bytes] = []
        self._known: dict[tuple[NodeActor, type], tuple[bytes, str, Last]] = {}
        self._last: dict[str, Last] = {}

    def turn(self, node: str, actor: NodeActor, message: Any) -> None:
        """An actor has handled a message."""
        now = self._now()
        kind = type(message.message) if type(message) is Received else type(message)
        label, name, last = self._known.get((actor, kind)) or self._meet(node, actor, kind)
        self._times.append(now)
        self._labels.append(label)
        last.append((now, name, message))
        if len(self._labels) == HASHED_TOGETHER:
            self._hash_them()
        if self._trace:
            self.say(f"{node:<4} {name:<18} {in_words(message)}", now)

    def _meet(self, node: str, actor: NodeActor, kind: type) -> tuple[bytes, str, Last]:
        """The first time that this actor hears such a message."""
        last = self._last.setdefault(node, deque(maxlen=STORY_TURNS))
        known = (f"{node} {actor.name} {kind.__name__}".encode(), actor.name, last)
        self._known[actor, kind] = known
        return known

    def happened(self, text: str) -> None:
        """Something that is not a turn: a fault, what a client heard. It counts for the hash."""
        now = self._now()
        self._note(now, text.encode())
        self.say(text, now)

    def _note(self, now: float, label: bytes) -> None:
        self._times.append(now)
        self._labels.append(label)
        if len(self._labels) == HASHED_TOGETHER:
            self._hash_them()

    def _hash_them(self) -> None:
        self._hash.update(self._unhashed())
        self._times.clear()
        self._labels.clear()

    def _unhashed(self) -> bytes:
        return pack(f">{len(self._times)}d", *self._times) + b"\n".join(self._labels)

    def say(self, text: str, at: float) -> None:
        """A line for whoever listens; it does not count for the hash."""
        if self._line is not None:
            self._line(f"{at:10.4f}  {text}")

    def hash(self) -> str:
        """Of everything so far."""
        whole = self._hash.copy()
        whole.update(self._unhashed())
        return whole.hexdigest()

    def story(self) -> list[str]:
        """The last turns of each node, all in their order."""
        turns = [(at, node, name, message) for node, last in self._last.items() for at, name, message in last]
        turns.sort(key=lambda turn: turn[0])
        return [f"{at:10.4f}  {node:<4} {name:<18} {in_words(message)}" for at, node, name, message in turns]


def in_words(message: Any) -> str:
    """A message in one short line."""
    if isinstance(message, Received):
        return f"{_brief(message.message)} from {_origin(message.sender)} by {message.via.value}"
    if isinstance(message, Due):
        return f"timer {_brief(message.timer)}"
    return _brief(message)


def _origin(sender: Origin | None) -> str:
    if isinstance(sender, Session):
        return f"session {sender.number}"
    return sender.node_id if sender is not None else "a client"


def _brief(value: Any) -> str:
    text = _fields(value, 2)
    return text if len(text) <= SHORT else text[: SHORT - 3] + "..."


def _fields(value: Any, depth: int) -> str:
    """Like repr, without bodies and addresses, and not deeper than is read."""
    match value:
        case Entry():
            return f"{value.gseq}@{value.epoch}"
        case Batch():
            return f"{value.size} bytes"
        case bytes():
            return f"{len(value)} bytes"
        case float():
            return f"{value:.4f}"
        case Member() | Epoch() | View():
            return str(value)
        case tuple() if type(value) is tuple:
            shown = [_fields(one, depth - 1) for one in value[:4]]
            return f"({', '.join(shown)}{', ...' if len(value) > 4 else ''})"
    kind = type(value)
    if not is_dataclass(kind):
        return str(value)
    if depth == 0:
        return kind.__name__
    shown = [f"{field.name}={_fields(getattr(value, field.name), depth - 1)}" for field in fields(kind)]
    return f"{kind.__name__}({', '.join(shown)})"
