"""What a core wants done. It returns these; its host does them, in order."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from logstream.core.events import Origin
from logstream.protocol.identity import Member
from logstream.protocol.messages import ClientRequest, Message


@dataclass(frozen=True, slots=True)
class Send:
    """Over the TCP link to this member. To oneself it is delivered locally, by the same message."""

    to: Member
    message: Message


@dataclass(frozen=True, slots=True)
class Forward:
    """A client's request to another broker, over the peer link; the answer comes back with the correlation."""

    to: Member
    correlation: int
    message: ClientRequest


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request: to a client's session, or to the broker that forwarded it."""

    to: Origin
    correlation: int
    message: Message


@dataclass(frozen=True, slots=True)
class Multicast:
    """One datagram, or its fragments, to the whole group."""

    message: Message


@dataclass(frozen=True, slots=True)
class Broadcast:
    """One datagram to everybody on the network."""

    message: Message


@dataclass(frozen=True, slots=True)
class Unicast:
    """One datagram to the "host:port" that a broadcast came from."""

    address: str
    message: Message


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Hear Due(timer) after this many seconds; a timer set again starts anew."""

    timer: Hashable
    after_s: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Do not hear this timer any more."""

    timer: Hashable


@dataclass(frozen=True, slots=True)
class Announce:
    """A local event or command: whoever `actors/mesh.py` names for its type hears it."""

    event: object


@dataclass(frozen=True, slots=True)
class Halt:
    """This node must not go on; the reason is for a person."""

    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the node's log that a person would ask for: constant text, data as fields."""

    text: str
    fields: dict[str, object] = field(default_factory=dict)
    warning: bool = False


Effect = Send | Forward | Reply | Multicast | Broadcast | Unicast | SetTimer | CancelTimer | Announce | Halt | Note
