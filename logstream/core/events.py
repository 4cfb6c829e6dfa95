"""What every core may hear: a message from the wire, a timer, a link that came up or went down.

Time enters the rules here and nowhere else: `at` is stamped by the transport at receipt, or by the
host when a timer fires, in seconds of the node's monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from logstream.protocol.identity import Member
from logstream.protocol.messages import Message


class Via(Enum):
    """The way a message came."""

    TCP = "tcp"
    MULTICAST = "multicast"
    BROADCAST = "broadcast"


class Session(NamedTuple):
    """A client's connection, numbered by the node that accepted it."""

    number: int


Origin = Member | Session


@dataclass(frozen=True, slots=True)
class Received:
    """A message from the wire. Its sender is a member, a client's session, or None for a client's datagram."""

    message: Message
    sender: Origin | None
    at: float
    via: Via = Via.TCP
    correlation: int = 0
    source: str = ""  # "host:port" of a datagram, to answer by Unicast
    cluster_id: str = ""  # the sender's


@dataclass(frozen=True, slots=True)
class Due:
    """A timer that this core set has fired. `due` is when it should have, `at` when it did."""

    timer: object
    at: float
    due: float = 0.0


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The TCP link to this member works."""

    member: Member
    at: float


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The TCP link to this member broke, or could not be made. Refused: its host says that nobody listens."""

    member: Member
    refused: bool
    at: float


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """A client is gone; whatever it waited for can be forgotten."""

    session: Session
