"""Who we are on the wire, and whom we listen to.

Every envelope that leaves a node carries the cluster's name, the cluster_id and the sending member;
every envelope that arrives is judged by the same three. Another cluster's name is never heard.
Another cluster_id is heard only in the messages by which clusters find out about each other, and in
what clients say (rule R20: messages of another cluster_id touch nothing else).

Both may change while the node runs: a node that dissolves its cluster becomes a new member. Each
transport has an Identity of its own and hears IdentityChanged, so that what it sends and what it
accepts change at one point of its inbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from logstream.protocol import codec
from logstream.protocol.envelope import Envelope
from logstream.protocol.identity import Member
from logstream.protocol.messages import ClientRequest, ClientResponse, Join, JoinResponse, Link, Message, Present

OTHER_NAME = "another cluster's name"
OTHER_ID = "another cluster_id"

CLIENT_REQUESTS: tuple[type, ...] = get_args(ClientRequest)
_CROSS_CLUSTERS: tuple[type, ...] = (Join, JoinResponse, Present, Link, *CLIENT_REQUESTS, *get_args(ClientResponse))


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """Local: from here on this node speaks as `me`, for the cluster with this id ("" for none)."""

    me: Member
    cluster_id: str


@dataclass(frozen=True, slots=True)
class ForgetMember:
    """Local: this member is not expected back; do not try to reach it unless there is something to send."""

    member: Member


class Identity:
    """What is written on our envelopes, and the judgement of those of others."""

    def __init__(self, cluster: str, me: Member) -> None:
        self.cluster = cluster
        self.me = me
        self.cluster_id = ""
        self._been = {me}  # a datagram of an earlier self may still be under way

    def change(self, changed: IdentityChanged) -> None:
        """Speak as somebody else from now on."""
        self.me, self.cluster_id = changed.me, changed.cluster_id
        self._been.add(changed.me)

    def is_mine(self, envelope: Envelope) -> bool:
        """Did we send this ourselves?"""
        return envelope.sender in self._been

    def was_me(self, member: Member) -> bool:
        """Is this member this node, under its present or an earlier identity?"""
        return member in self._been

    def encode(self, message: Message, correlation: int = 0) -> list[bytes]:
        """One frame in our name, as parts for writelines."""
        return codec.encode(Envelope(message, self.cluster, self.cluster_id, self.me, correlation))

    def objection(self, envelope: Envelope) -> str | None:
        """Why this message must not be heard; None if it may be."""
        if envelope.cluster != self.cluster:
            return OTHER_NAME
        theirs = envelope.cluster_id
        if theirs == self.cluster_id or not theirs or not self.cluster_id:
            return None
        return None if isinstance(envelope.message, _CROSS_CLUSTERS) else OTHER_ID
