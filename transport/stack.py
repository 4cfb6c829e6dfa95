"""The transports of one node: opened before its actors start, so that a bad address is an error at the door.

open -> sockets are bound -> start -> Tcp, UdpMulticast, UdpBroadcast run and feed the mesh
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from logstream.core.events import Received
from logstream.protocol.identity import Member
from logstream.runtime import SafeRef, Scheduler
from logstream.settings import Settings
from transport import tcp, udp_broadcast, udp_multicast
from transport.interfaces import datagram_max, host_and_port, interface_of
from transport.tcp import Tcp, TcpSettings
from transport.udp_broadcast import BroadcastSettings, BroadcastSockets, UdpBroadcast
from transport.udp_multicast import MulticastSettings, MulticastSockets, UdpMulticast


@dataclass(frozen=True, slots=True)
class StackSettings:
    """Where a node listens; sizes in bytes."""

    cluster: str
    address: str  # "IP:PORT"
    multicast_group: str
    multicast_port: int
    broadcast_port: int
    multicast: bool
    frame_max: int

    @classmethod
    def of(cls, settings: Settings) -> StackSettings:
        """What the transports need of a node's settings, which must have an address."""
        shared, node = settings.shared, settings.node
        return cls(
            shared.cluster,
            node.address,
            node.multicast_group,
            node.multicast_port,
            node.broadcast_port,
            node.multicast,
            shared.frame_max,
        )


def broadcast_settings(settings: StackSettings) -> BroadcastSettings:
    """Where a node at this address calls and listens. Raises ValueError or NoSuchInterface for a wrong address."""
    host, _ = host_and_port(settings.address)
    interface = interface_of(host)
    size = min(datagram_max(interface), 1400)
    return BroadcastSettings(settings.cluster, host, interface.broadcast, settings.broadcast_port, size)


def multicast_settings(settings: StackSettings) -> MulticastSettings:
    """Which group a node at this address belongs to. Raises ValueError or NoSuchInterface for a wrong address."""
    host, _ = host_and_port(settings.address)
    size = datagram_max(interface_of(host))
    return MulticastSettings(settings.cluster, host, settings.multicast_group, settings.multicast_port, size)


class Stack:
    """The open sockets of a node, until its actors take them over."""

    def __init__(self, settings: StackSettings) -> None:
        """Bind everything. Raises OSError or ValueError with what is wrong."""
        self._tcp = TcpSettings(settings.cluster, settings.frame_max)
        self._multicast = multicast_settings(settings)
        self._broadcast = broadcast_settings(settings)
        self._listener: socket.socket = tcp.bind(settings.address)
        try:
            self._broadcast_sockets: BroadcastSockets = udp_broadcast.open_sockets(self._broadcast)
        except OSError:
            self._listener.close()
            raise
        self._multicast_sockets = self._open_multicast(settings.multicast)

    def _open_multicast(self, wanted: bool) -> MulticastSockets:
        if wanted:
            return udp_multicast.open_sockets(self._multicast)
        return MulticastSockets(None, None, 0, "multicast is off (setting multicast)")

    @property
    def receive_buffer(self) -> int:
        """Bytes of datagrams that may be under way to this node without loss."""
        return self._multicast_sockets.receive_buffer

    def start(
        self,
        scheduler: Scheduler,
        me: Member,
        deliver: Callable[[Received], None],
        announce: Callable[[object], None],
    ) -> tuple[SafeRef, SafeRef, SafeRef]:  # type: ignore[type-arg]
        """Start Tcp, UdpMulticast and UdpBroadcast, in this order."""
        return (
            SafeRef(Tcp.start(scheduler, self._tcp, me, deliver, announce, self._listener)),
            SafeRef(UdpMulticast.start(scheduler, self._multicast, me, deliver, self._multicast_sockets)),
            SafeRef(UdpBroadcast.start(scheduler, self._broadcast, me, deliver, self._broadcast_sockets)),
        )
