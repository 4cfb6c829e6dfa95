"""What travels with every message: protocol version, cluster, sender, correlation."""

from __future__ import annotations

from dataclasses import dataclass

from logstream.protocol.identity import Member
from logstream.protocol.messages import Message

PROTOCOL_VERSION = 1


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message with its header. The message's own epoch travels in the wire header too."""

    message: Message
    cluster: str  # the name; strangers are ignored
    cluster_id: str = ""  # "" while the sender belongs to none, and from clients
    sender: Member | None = None  # None: a client
    correlation: int = 0  # of a client's request and its answer; 0 elsewhere
