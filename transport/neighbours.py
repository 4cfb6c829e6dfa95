"""Which nodes of our cluster answer from here, and which of them can be reached by TCP.

    JOIN by broadcast --> those who hear it answer, and name their members --> dial each of them

Answers tell about both ways of the network: the broadcast there and the datagram back. The members
that they name are dialed whether they answered themselves or not, because records, elections and
clients go by TCP.
"""

from __future__ import annotations

import asyncio
import secrets
import select
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from logstream.protocol.codec import encode
from logstream.protocol.envelope import Envelope
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.fragments import Fragmenter, Reassembler
from logstream.protocol.messages import Join, JoinResponse
from transport.datagrams import sender_socket
from transport.interfaces import host_and_port
from transport.udp_broadcast import BroadcastSettings

ASKED_AT_S = (0.0, 0.1, 0.2)  # a datagram may be lost
ANSWERS_S = 0.4
DIAL_S = 1.5  # time for a second SYN where the first was lost
_INCOMPLETE_MAX = 1 << 20  # bytes
_DATAGRAM_MAX = 1_400


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A node of our cluster, as it is seen from here."""

    node_id: str
    address: str  # "IP:PORT"
    answers: bool  # to a broadcast
    leader: str  # whom it hears as leader, "" if nobody
    problem: str  # why it cannot be reached by TCP, "" if it can


def neighbours(settings: BroadcastSettings) -> list[Neighbour]:
    """Every node that answered or was named by one that did, by name. Raises OSError if nothing can be sent."""
    answers = {answer.member: answer for answer in _answers(settings)}
    named = {member for answer in answers.values() for member in answer.members} | set(answers)
    problems = asyncio.run(_dialed({member.address for member in named}))
    return [
        Neighbour(member.node_id, member.address, member in answers, _leader(answers.get(member)), problem)
        for member in sorted(named)
        for problem in [problems[member.address]]
    ]


def _leader(answer: JoinResponse | None) -> str:
    return answer.leader.node_id if answer and answer.leader else ""


def _answers(settings: BroadcastSettings) -> Iterator[JoinResponse]:
    """Ask all, and give out what comes back in time."""
    with sender_socket(settings.address, settings.buffer) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        fragmenter = Fragmenter(settings.cluster, secrets.randbits(32), _DATAGRAM_MAX)
        reassembler = Reassembler(settings.cluster, _INCOMPLETE_MAX, ANSWERS_S)
        start = time.monotonic()
        for until_s in (*ASKED_AT_S[1:], ANSWERS_S):
            for datagram in fragmenter.split(encode(Envelope(Join(None), settings.cluster))):
                asking.sendto(datagram, (settings.broadcast, settings.port))
            yield from _heard(asking, reassembler, start + until_s)


def _heard(asking: socket.socket, reassembler: Reassembler, end: float) -> Iterator[JoinResponse]:
    while select.select([asking], [], [], max(0.0, end - time.monotonic()))[0]:
        try:
            data, source = asking.recvfrom(65_535)
            envelope = reassembler.add(source, data, time.monotonic())
        except (RemoteProtocolError, BlockingIOError):
            continue
        if envelope is not None and isinstance(envelope.message, JoinResponse):
            yield envelope.message


async def _dialed(addresses: Iterable[str]) -> dict[str, str]:
    """For each address why it cannot be reached by TCP, "" if it can; all at once."""
    ordered = sorted(addresses)
    return dict(zip(ordered, await asyncio.gather(*map(_dial, ordered)), strict=True))


async def _dial(address: str) -> str:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(*host_and_port(address)), DIAL_S)
    except TimeoutError:
        return f"no answer within {DIAL_S:g} s"
    except ConnectionRefusedError:
        return "connection refused"
    except (OSError, ValueError) as error:
        return str(error)
    writer.transport.abort()
    return ""
