"""UdpBroadcast: who is there? Discovery by datagrams to everybody on the network.
hears Broadcast, Unicast, IdentityChanged   delivers Received (Via.BROADCAST, with the source)

Two sockets: one listens on the interface's broadcast address and on a port that all nodes of the
network share; the other is on the node's address, sends, and is where the answers arrive. Whoever
answers does so by Unicast to the source of what it heard. The second one takes the shared port, too,
if no other node on this address has it: to a firewall an answer to a broadcast is no answer, so it
passes only where that port is open.

`open_sockets` runs before the actors start, so that a port in use is an error at the door.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger

from logstream.core.effects import Broadcast, Unicast
from logstream.core.events import Received, Via
from logstream.protocol.envelope import Envelope
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Member
from logstream.protocol.messages import Join, JoinResponse, Present
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
from transport.interfaces import host_and_port
from transport.real_loop import real_loop
from transport.refusals import Refusals


@dataclass(frozen=True, slots=True)
class BroadcastSettings:
    """Where to call and listen; sizes in bytes."""

    cluster: str
    address: str  # of the interface
    broadcast: str  # of the interface: 127.255.255.255 on loopback
    port: int
    datagram_max: int
    buffer: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class BroadcastSockets:
    """Both open."""

    sender: socket.socket
    listener: socket.socket


def open_sockets(settings: BroadcastSettings) -> BroadcastSockets:
    """Open both sockets. Raises OSError if the port is in use or the address is not here."""
    sender = sender_socket(settings.address, settings.buffer, settings.port)
    try:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        listener = listening_socket(settings.broadcast, settings.port, settings.buffer)
    except OSError:
        sender.close()
        raise
    return BroadcastSockets(sender, listener)


class UdpBroadcast(NodeActor):
    """The node's ear and voice for discovery."""

    def __init__(
        self,
        scheduler: Scheduler,
        settings: BroadcastSettings,
        me: Member,
        deliver: Callable[[Received], None],
        sockets: BroadcastSockets,
    ) -> None:
        super().__init__(scheduler)
        self._deliver = deliver
        self._everybody = (settings.broadcast, settings.port)
        self._log = logger.bind(node=me.node_id, actor="udp_broadcast")
        self._identity = Identity(settings.cluster, me)
        self._refusals = Refusals(self._log)
        self._writer = DatagramWriter(sockets.sender, settings.cluster, settings.datagram_max)
        loop = real_loop(scheduler)
        self._readers = [
            DatagramReader(loop, opened, settings.cluster, self._refusals, self._hear)
            for opened in (sockets.listener, sockets.sender)
        ]

    @property
    def name(self) -> str:
        """What `status` and the log call this actor."""
        return "udp_broadcast"

    def on_start(self) -> None:
        """Listen to calls and answers."""
        for reader in self._readers:
            reader.start()

    def on_stop(self) -> None:
        """Close both sockets."""
        for reader in self._readers:
            reader.stop()

    def on_failure(self, *_: object) -> None:
        """Leave no socket open behind a failed actor."""
        self.on_stop()

    def on_receive(self, message: Any) -> None:
        """Call, answer, or change who we are."""
        match message:
            case Broadcast(said):
                self._writer.send(self._identity.encode(said), self._everybody)
            case Unicast(address, said):
                self._writer.send(self._identity.encode(said), host_and_port(address))
            case IdentityChanged():
                self._identity.change(message)
            case _:
                raise LocalProtocolError(f"UdpBroadcast does not know what to do with {message!r}")

    def report(self) -> dict[str, Any]:
        """What was refused and dropped, bytes."""
        return {
            "problem": self._writer.trouble,
            "strangers": sum(reader.strangers for reader in self._readers),
            "refused": dict(self._refusals.counts),
            "dropped": self._writer.dropped,
            "bytes_in": sum(reader.bytes_in for reader in self._readers),
            "bytes_out": self._writer.bytes_out,
        }

    def _hear(self, envelope: Envelope, source: Source, at: float) -> None:
        if self._identity.is_mine(envelope):
            return
        objection = self._identity.objection(envelope)
        if objection is None and not isinstance(envelope.message, Join | JoinResponse | Present):
            objection = "not a message of discovery"
        if objection is not None:
            self._refusals.count(objection, source_of(envelope.sender, source), at)
            return
        where = f"{source[0]}:{source[1]}"
        self._deliver(
            Received(envelope.message, envelope.sender, at, Via.BROADCAST, source=where, cluster_id=envelope.cluster_id)
        )
