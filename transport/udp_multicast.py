"""UdpMulticast: one datagram, or its fragments, to all members at once.
hears Multicast, IdentityChanged   delivers Received (Via.MULTICAST)

Two sockets: one sends from the node's own address with TTL 1, the other is bound to the group's
address, never to "" (that would hear groups which others joined). What a node sends comes back to
it, because other nodes of the same machine must hear it, and is dropped by its sender.

`open_sockets` runs before the actors start and does not fail where multicast does: `problem` says
why, `receive_buffer` is 0, and everybody is served by TCP (R16).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger

from logstream.core.effects import Multicast
from logstream.core.events import Received, Via
from logstream.protocol.envelope import Envelope
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Member
from logstream.runtime import NodeActor, Scheduler
from transport.datagrams import (
    DatagramReader,
    DatagramWriter,
    Source,
    listening_socket,
    sender_socket,
    source_of,
)
from transport.identity import Identity, IdentityChanged
from transport.real_loop import real_loop
from transport.refusals import Refusals

_IP_MULTICAST_ALL = 49  # Linux; not in Python's socket module


@dataclass(frozen=True, slots=True)
class MulticastSettings:
    """Where the group is; sizes in bytes."""

    cluster: str
    address: str  # of the interface
    group: str
    port: int
    datagram_max: int
    buffer: int = 4 * 1024 * 1024  # asked of the kernel, which may give less


@dataclass(frozen=True, slots=True)
class MulticastSockets:
    """What could be opened. Without a receiver or sender `problem` says why."""

    sender: socket.socket | None
    receiver: socket.socket | None
    receive_buffer: int  # bytes of payload that may be under way to this node without loss; 0 if it hears nothing
    problem: str = ""


def open_sockets(settings: MulticastSettings) -> MulticastSockets:
    """Join the group. Never raises where the network has no multicast: see `problem`."""
    sender = receiver = None
    try:
        sender = _open_sender(settings)
        receiver = _open_receiver(settings)
    except OSError as error:
        if sender is not None:
            sender.close()
        where = f"{settings.group}:{settings.port} on {settings.address}"
        return MulticastSockets(None, None, 0, f"no multicast to {where}: {error.strerror or error}")
    return MulticastSockets(sender, receiver, payload_room(receiver))


def payload_room(sock: socket.socket) -> int:
    """How many bytes in full datagrams fit into a socket's receive buffer.

    Linux charges more than a datagram has: measured, 0.49 of the buffer is payload with 8,192 bytes on
    loopback and 0.6 with 1,472. Small ones are charged some 1,280 bytes each, so many of them fill it sooner.
    """
    return socket_buffer(sock) * 2 // 5


def socket_buffer(sock: socket.socket) -> int:
    """The size in bytes that the kernel gave, by its own way of counting."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


class UdpMulticast(NodeActor):
    """The node's place in the multicast group."""

    def __init__(
        self,
        scheduler: Scheduler,
        settings: MulticastSettings,
        me: Member,
        deliver: Callable[[Received], None],
        sockets: MulticastSockets,
    ) -> None:
        super().__init__(scheduler)
        self._deliver, self._sockets = deliver, sockets
        self._group = (settings.group, settings.port)
        self._log = logger.bind(node=me.node_id, actor="udp_multicast")
        self._identity = Identity(settings.cluster, me)
        self._refusals = Refusals(self._log)
        self._unsendable = 0
        self._writer = self._reader = None
        if sockets.sender is not None:
            self._writer = DatagramWriter(sockets.sender, settings.cluster, settings.datagram_max)
        if sockets.receiver is not None:
            loop = real_loop(scheduler)
            self._reader = DatagramReader(loop, sockets.receiver, settings.cluster, self._refusals, self._hear)

    @property
    def name(self) -> str:
        """What `status` and the log call this actor."""
        return "udp_multicast"

    def on_start(self) -> None:
        """Listen, or say why not."""
        if self._reader is not None:
            self._reader.start()
        if self._sockets.problem:
            self._log.warning("{problem}; members are served by TCP", problem=self._sockets.problem)

    def on_stop(self) -> None:
        """Leave the group."""
        if self._reader is not None:
            self._reader.stop()
        if self._sockets.sender is not None:
            self._sockets.sender.close()

    def on_failure(self, *_: object) -> None:
        """Leave no socket open behind a failed actor."""
        self.on_stop()

    def on_receive(self, message: Any) -> None:
        """Send to the group, or change who we are."""
        match message:
            case Multicast(said) if self._writer is not None:
                self._writer.send(self._identity.encode(said), self._group)
            case Multicast():
                self._unsendable += 1
            case IdentityChanged():
                self._identity.change(message)
            case _:
                raise LocalProtocolError(f"UdpMulticast does not know what to do with {message!r}")

    def report(self) -> dict[str, Any]:
        """Whether the group was joined, what was refused and dropped, bytes."""
        return {
            "joined": self._reader is not None,
            "problem": self._sockets.problem or (self._writer.trouble if self._writer else ""),
            "receive_buffer": self._sockets.receive_buffer,
            "strangers": self._reader.strangers if self._reader else 0,
            "refused": dict(self._refusals.counts),
            "dropped": self._unsendable + (self._writer.dropped if self._writer else 0),
            "bytes_in": self._reader.bytes_in if self._reader else 0,
            "bytes_out": self._writer.bytes_out if self._writer else 0,
        }

    def _hear(self, envelope: Envelope, source: Source, at: float) -> None:
        if self._identity.is_mine(envelope):
            return
        objection = self._identity.objection(envelope)
        if objection is None and envelope.sender is None:
            objection = "a client in the members' group"
        if objection is not None:
            self._refusals.count(objection, source_of(envelope.sender, source), at)
            return
        where = f"{source[0]}:{source[1]}"
        self._deliver(
            Received(envelope.message, envelope.sender, at, Via.MULTICAST, source=where, cluster_id=envelope.cluster_id)
        )


def _open_sender(settings: MulticastSettings) -> socket.socket:
    sender = sender_socket(settings.address, settings.buffer)
    try:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(settings.address))
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
    except OSError:
        sender.close()
        raise
    return sender


def _open_receiver(settings: MulticastSettings) -> socket.socket:
    receiver = listening_socket(settings.group, settings.port, settings.buffer)
    try:
        membership = socket.inet_aton(settings.group) + socket.inet_aton(settings.address)
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        _only_what_we_joined(receiver)
    except OSError:
        receiver.close()
        raise
    return receiver


def _only_what_we_joined(receiver: socket.socket) -> None:
    """Do not hear the same group on interfaces where other programs joined it."""
    try:
        receiver.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
    except OSError:
        return  # not Linux: there a socket hears only its own memberships anyway
