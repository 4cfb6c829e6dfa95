"""Queues of a node, looked at after a turn of their owner: none is beyond its bound (I19).

    Replica         table of producers        100,000 keys                            R12
    ClientGateway   held requests             1,000 requests, 16 MiB                  protocol section 1
                    requests of a session     8,192 unanswered, 64 MiB, or one        docs/limits.md
    Tcp             an answer to FETCH        1 MiB, or one batch                     credit

What is held back (R9) the witness looks at. The numbers are written down again here, so that whoever
changes one in the program must mean it.
"""

from __future__ import annotations

from typing import Any

from actors.client_gateway import ClientGateway
from logstream.core.effects import Reply
from logstream.core.events import Received, Session
from logstream.core.replica.replica import Replica
from logstream.protocol.messages import FetchResponse
from simulation.checks.violation import Violation

PRODUCERS = 100_000  # in one partition each
HELD_REQUESTS, HELD_BYTES = 1000, 16 << 20
UNANSWERED, UNDER_WAY_BYTES = 8192, 64 << 20
CREDIT = 1 << 20


def check_producers(node: str, replica: Replica) -> None:
    """After a turn of this Replica. Raises Violation."""
    known = len(replica.history.dedup)
    if known > PRODUCERS:
        raise Violation("I19", f"{node} remembers {known} producers, {PRODUCERS} is the bound")


def check_gateway(node: str, actor: ClientGateway, message: Any) -> None:
    """After this gateway has handled a message. Raises Violation."""
    gateway = actor.core
    held = gateway.requests.held
    if len(held) > HELD_REQUESTS or held.bytes > HELD_BYTES:
        raise Violation("I19", f"{node} holds {len(held)} requests of {held.bytes} bytes for better times")
    if type(message) is Received and type(message.sender) is Session:
        asked, size = gateway.sessions.under_way(message.sender)
        if asked > UNANSWERED or (asked > 1 and size > UNDER_WAY_BYTES):
            raise Violation("I19", f"{node} has {asked} requests of {size} bytes of one client under way")


def check_answer(node: str, message: Any) -> None:
    """After a TCP transport was told to send this. Raises Violation."""
    if type(message) is not Reply or type(message.message) is not FetchResponse:
        return
    sizes = [batch.size for found in message.message.partitions for batch in found.batches]
    if len(sizes) > 1 and sum(sizes) > CREDIT:
        raise Violation("I19", f"{node} answers a FETCH with {sum(sizes)} bytes in {len(sizes)} batches")
