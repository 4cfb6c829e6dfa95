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
from typing import Any, NamedTuple

from logstream.core.events import Due, Origin, Received, Session
from logstream.protocol.batches import Batch
from logstream.protocol.identity import Epoch, Member, View
from logstream.protocol.messages import Entry
from logstream.runtime import NodeActor

STORY_TURNS = 25  # of each node
SHORT = 160  # characters of a message in a line
KEPT_TOGETHER = 100  # turns: one long update of the hash costs less than many short ones

Last = deque[tuple[float, str, Any]]  # time, actor, message
NOBODY: Last = deque(maxlen=0)


class Kind(NamedTuple):
    """Turns that look alike: one actor's, with one type of message."""

    label: bytes  # that is hashed
    name: str  # of the actor
    last: Last  # its node's last turns


class Transcript:
    """Writes lines where `line` says; keeps what a story needs."""

    def __init__(
        self, now: Callable[[], float], line: Callable[[str], None] | None = None, trace: bool = False
    ) -> None:
        self._now = now
        self._line = line
        self._trace = trace and line is not None
        self._hash = blake2b(digest_size=16)
        self._recent: list[tuple[float, Kind, Any]] = []  # time, kind, message; what is not hashed yet
        self._kinds: dict[NodeActor, dict[type, Kind]] = {}
        self._last: dict[str, Last] = {}

    def turn(self, node: str, actor: NodeActor, message: Any) -> None:
        """An actor has handled a message."""
        now = self._now()
        kind = type(message.message) if type(message) is Received else type(message)
        try:
            known = self._kinds[actor][kind]
        except KeyError:
            known = self._meet(node, actor, kind)
        self._recent.append((now, known, message))
        if len(self._recent) == KEPT_TOGETHER:
            self._keep()
        if self._trace:
            self.say(f"{node:<4} {actor.name:<18} {in_words(message)}", now)

    def _meet(self, node: str, actor: NodeActor, kind: type) -> Kind:
        """The first time that this actor hears such a message."""
        last = self._last.setdefault(node, deque(maxlen=STORY_TURNS))
        known = Kind(f"{node} {actor.name} {kind.__name__}".encode(), actor.name, last)
        self._kinds.setdefault(actor, {})[kind] = known
        return known

    def happened(self, text: str) -> None:
        """Something that is not a turn: a fault, what a client heard. It counts for the hash."""
        now = self._now()
        self._recent.append((now, Kind(text.encode(), "", NOBODY), None))
        if len(self._recent) == KEPT_TOGETHER:
            self._keep()
        self.say(text, now)

    def _keep(self) -> None:
        """Hash what is new, and remember it for a story."""
        self._hash.update(self._unhashed())
        for at, kind, message in self._recent:
            kind.last.append((at, kind.name, message))
        self._recent.clear()

    def _unhashed(self) -> bytes:
        times, labels = [at for at, _, _ in self._recent], [kind.label for _, kind, _ in self._recent]
        return pack(f">{len(times)}d", *times) + b"\n".join(labels)

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
        turns = []
        for node, last in self._last.items():
            recent = [(at, kind.name, message) for at, kind, message in self._recent if kind.last is last]
            turns += [(at, node, name, message) for at, name, message in [*last, *recent][-STORY_TURNS:]]
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
