"""Sockets: the only place of the client library where they are opened.

Connections holds, per broker, one TCP connection for each kind of request, because a broker answers each
connection's requests in order: a FETCH may take half a second and a PRODUCE as long as a view change, and
METADATA must not wait behind either. `ask` is the short way, one question and its answer on a
blocking socket, `ask_on_loop` the same on an event loop. `hear_join_answers` is discovery by datagram; where
it may go is decided in finding.py.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import cast

from logstream.core.client_effects import Request
from logstream.core.client_events import Answered, Lost
from logstream.protocol.codec import encode
from logstream.protocol.envelope import Envelope
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.fragments import Fragmenter, Reassembler
from logstream.protocol.framing import FrameReader
from logstream.protocol.messages import (
    ClientRequest,
    ClientResponse,
    Fetch,
    Join,
    JoinResponse,
    Produce,
)

CONNECT_S = 2.0
UNHEARD_MS = 5000  # what was sent and not acknowledged by the other end's kernel for so long ends the connection
FRAME_MAX = 64 * 1024 * 1024  # bytes; the default of the setting frame_max
DATAGRAM_MAX = 1400  # bytes; a JOIN fits into any network's datagram
REASSEMBLY_MAX = 1024 * 1024  # bytes of unfinished answers to a JOIN


class UnexpectedAnswer(OSError):
    """Whoever listens there does not speak this protocol, or hung up."""


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port". Raises ValueError with what is wrong."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(f"{address!r} is not an address: write HOST:PORT")
    return host.strip("[]"), int(port)


class Connection(asyncio.Protocol):
    """One TCP connection to one broker; it says once that it is lost, with everything that was unanswered."""

    def __init__(
        self,
        address: str,
        loop: asyncio.AbstractEventLoop,
        heard: Callable[[Answered], None],
        lost: Callable[[Connection, Lost], None],
    ) -> None:
        self._address = address
        self._loop = loop
        self._heard = heard
        self._lost = lost
        self._frames = FrameReader(FRAME_MAX)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[list[bytes]] = deque()  # frames to send once connected
        self._unanswered: dict[int, None] = {}  # correlations, oldest first
        self._over = False
        self._connecting = loop.create_task(self._connect())

    def send(self, correlation: int, frame: list[bytes]) -> None:
        """Send a request, or keep it until the connection is made."""
        self._unanswered[correlation] = None
        if self._transport is None or self._transport.is_closing():  # then `connection_lost` is on its way
            self._waiting.append(frame)
        else:
            self._transport.writelines(frame)

    def close(self) -> None:
        """Hang up without a word."""
        self._over = True
        self._connecting.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def _connect(self) -> None:
        try:
            host, port = split_address(self._address)
            async with asyncio.timeout(CONNECT_S):
                await self._loop.create_connection(lambda: self, host, port)
        except TimeoutError:
            self._finish(f"{self._address} does not answer")
        except (OSError, ValueError, RuntimeError) as error:  # the last: the program ends, and names need a thread
            self._finish(f"cannot connect to {self._address}: {_words(error)}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected: send what waits."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        _give_up_in_time(transport.get_extra_info("socket"))
        while self._waiting:
            self._transport.writelines(self._waiting.popleft())

    def data_received(self, data: bytes) -> None:
        """Take answers out of the stream."""
        try:
            for envelope in self._frames.feed(data):
                self._answer(envelope)
        except RemoteProtocolError as error:
            self._finish(f"{self._address} does not speak this protocol: {error}")

    def _answer(self, envelope: Envelope) -> None:
        if not isinstance(envelope.message, ClientResponse):
            raise RemoteProtocolError(f"{type(envelope.message).__name__} is no answer to a client")
        if envelope.correlation in self._unanswered and not self._over:
            del self._unanswered[envelope.correlation]
            self._heard(Answered(self._address, envelope.correlation, envelope.message, self._loop.time()))

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side hung up, or the network did."""
        self._finish(f"{self._address} closed the connection" if exc is None else f"{self._address}: {_words(exc)}")

    def _finish(self, reason: str) -> None:
        if not self._over:
            self._over = True
            if self._transport is not None:
                self._transport.abort()
            self._lost(self, Lost(self._address, tuple(self._unanswered), reason, self._loop.time()))


class Connections:
    """All connections of one client. A request to an address without one opens it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        cluster: str,
        heard: Callable[[Answered], None],
        lost: Callable[[Lost], None],
    ) -> None:
        self._loop = loop
        self._cluster = cluster
        self._heard = heard
        self._lost = lost
        self._connections: dict[tuple[str, str], Connection] = {}

    def send(self, request: Request) -> None:
        """Send a request to its broker."""
        key = (request.address, _lane_of(request.message))
        connection = self._connections.get(key)
        if connection is None:
            connection = Connection(request.address, self._loop, self._heard, self._gone)
            self._connections[key] = connection
        envelope = Envelope(request.message, self._cluster, correlation=request.correlation)
        connection.send(request.correlation, encode(envelope))

    def close(self) -> None:
        """Close all connections; nothing is heard of them any more."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _gone(self, connection: Connection, lost: Lost) -> None:
        """Forget it first: what the core sends now must go over a new one."""
        self._connections = {key: other for key, other in self._connections.items() if other is not connection}
        self._lost(lost)


def _give_up_in_time(connection: socket.socket) -> None:
    """After a partition TCP tries again ever more rarely, up to two minutes after it healed: connect anew instead."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_MS)


def _lane_of(message: ClientRequest) -> str:
    if isinstance(message, Produce):
        return "produce"
    return "fetch" if isinstance(message, Fetch) else "control"


def _words(error: BaseException) -> str:
    """What the system says, without the call that it says it about."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror and not error.strerror.startswith(("Connect call", "Multiple")):
        return error.strerror
    return str(error) or type(error).__name__


def ask(address: str, cluster: str, message: ClientRequest, timeout_s: float) -> ClientResponse:
    """One question to one broker, on a connection of its own. Raises OSError if there is no answer in time."""
    deadline = time.monotonic() + timeout_s
    frames = FrameReader(FRAME_MAX)
    with socket.create_connection(split_address(address), min(timeout_s, CONNECT_S)) as connection:
        connection.sendall(b"".join(encode(Envelope(message, cluster, correlation=1))))
        while True:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            data = connection.recv(65_536)
            if not data:
                raise UnexpectedAnswer(f"{address} closed the connection")
            try:
                envelopes = frames.feed(data)
            except RemoteProtocolError as error:
                raise UnexpectedAnswer(f"{address} does not speak this protocol: {error}") from error
            for envelope in envelopes:
                if not isinstance(envelope.message, ClientResponse):
                    raise UnexpectedAnswer(f"{address} sent {type(envelope.message).__name__}, which is no answer")
                return envelope.message


async def ask_on_loop(address: str, cluster: str, message: ClientRequest, timeout_s: float) -> ClientResponse:
    """One question to one broker, as `ask`, while the loop goes on. Raises OSError if there is no answer in time."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[Answered | Lost] = loop.create_future()

    def settle(event: Answered | Lost) -> None:
        if not over.done():
            over.set_result(event)

    connection = Connection(address, loop, settle, lambda _, lost: settle(lost))
    connection.send(1, encode(Envelope(message, cluster, correlation=1)))
    try:
        async with asyncio.timeout(timeout_s):
            event = await over
    except TimeoutError:
        raise UnexpectedAnswer("timed out") from None
    finally:
        connection.close()
    if isinstance(event, Lost):
        raise UnexpectedAnswer(event.reason)
    return event.message


def accepts(address: str, timeout_s: float) -> str:
    """Does anybody listen there? "" if so, else why not. Raises ValueError for what is no address."""
    try:
        with socket.create_connection(split_address(address), timeout_s):
            return ""
    except OSError as error:
        return _words(error)


def hear_join_answers(cluster: str, source: str, destination: tuple[str, int], wait_s: float) -> JoinResponse | None:
    """Broadcast one JOIN from the address `source` and return the first answer within `wait_s` seconds.

    Raises OSError if the datagram cannot be sent.
    """
    fragmenter = Fragmenter(cluster, secrets.randbits(32), DATAGRAM_MAX)
    reassembler = Reassembler(cluster, REASSEMBLY_MAX, wait_s)
    deadline = time.monotonic() + wait_s
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        asking.bind((source, 0))
        for datagram in fragmenter.split(encode(Envelope(Join(None), cluster))):
            asking.sendto(datagram, destination)
        while (left_s := deadline - time.monotonic()) > 0:
            asking.settimeout(left_s)
            try:
                data, sender = asking.recvfrom(65_535)
                envelope = reassembler.add(sender, data, time.monotonic())
            except (TimeoutError, RemoteProtocolError):
                continue
            if envelope is not None and isinstance(envelope.message, JoinResponse):
                return envelope.message
    return None
