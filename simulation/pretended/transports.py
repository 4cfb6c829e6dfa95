"""The transports of a simulated node: actors with the ears and voices of the real ones, and no sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from logstream.core.effects import Broadcast, Forward, Multicast, Reply, Send, Unicast
from logstream.core.events import Received, Session, Via
from logstream.protocol.envelope import Envelope
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Member
from logstream.protocol.messages import Message
from logstream.runtime import NodeActor, SafeRef, Scheduler
from simulation.pretended.hosts import Host
from simulation.pretended.machine import Machine
from simulation.pretended.network import Network
from transport.identity import ForgetMember, Identity, IdentityChanged


class PretendTransport(NodeActor):
    """What the three have in common: one host on the network."""

    def __init__(self, scheduler: Scheduler, network: Network, host: Host) -> None:
        super().__init__(scheduler)
        self._network = network
        self._host = host

    @property
    def me(self) -> Member:
        """In whose name it speaks."""
        return self._host.me

    def envelope(self, message: Message, correlation: int = 0) -> Envelope:
        """A message in this node's name."""
        identity = self._host.identity
        return Envelope(message, identity.cluster, identity.cluster_id, identity.me, correlation)


class PretendTcp(PretendTransport):
    """Streams to members, answers to clients."""

    def on_receive(self, message: Any) -> None:
        """As transport.tcp.Tcp hears."""
        match message:
            case Send(to, said):
                self._network.stream(self._host, to, self.envelope(said))
            case Forward(to, correlation, request):
                self._network.stream(self._host, to, self.envelope(request, correlation))
            case Reply(Session() as session, correlation, answer):
                self._network.reply(self._host, session, correlation, answer)
            case Reply(Member() as broker, correlation, answer):
                self._network.stream(self._host, broker, self.envelope(answer, correlation))
            case IdentityChanged():
                self._change_identity(message)
            case ForgetMember(member):
                self._network.forget_member(self._host, member)
            case _:
                raise LocalProtocolError(f"{message!r} is not for TCP")

    def _change_identity(self, changed: IdentityChanged) -> None:
        identity = self._host.identity
        if changed.me != identity.me or identity.cluster_id not in ("", changed.cluster_id):
            for link in self._host.links.values():
                link.clear()
        identity.change(changed)

    def on_stop(self) -> None:
        """What was written is on its way; the host is gone."""
        self._network.detach(self._host.me.address)


class PretendMulticast(PretendTransport):
    """Datagrams to the group."""

    def on_receive(self, message: Any) -> None:
        """As transport.udp_multicast.UdpMulticast hears."""
        if isinstance(message, Multicast):
            self._network.datagram(self._host, self.envelope(message.message), Via.MULTICAST)


class PretendBroadcast(PretendTransport):
    """Datagrams to everybody, or back to one."""

    def on_receive(self, message: Any) -> None:
        """As transport.udp_broadcast.UdpBroadcast hears."""
        match message:
            case Broadcast(said):
                self._network.datagram(self._host, self.envelope(said), Via.BROADCAST)
            case Unicast(address, said):
                self._network.datagram(self._host, self.envelope(said), Via.BROADCAST, address)


class PretendStack:
    """What transport.stack.Stack is to a real node."""

    receive_buffer = 1 << 20

    def __init__(self, network: Network, machine: Machine, cluster: str) -> None:
        self._network = network
        self._machine = machine
        self._cluster = cluster

    def start(
        self,
        scheduler: Scheduler,
        me: Member,
        deliver: Callable[[Received], None],
        announce: Callable[[object], None],
    ) -> tuple[SafeRef[Any], SafeRef[Any], SafeRef[Any]]:
        """Attach to the network."""
        host = Host(me, Identity(self._cluster, me), self._machine, deliver, announce)
        self._network.attach(host)
        return (
            SafeRef(PretendTcp.start(scheduler, self._network, host)),
            SafeRef(PretendMulticast.start(scheduler, self._network, host)),
            SafeRef(PretendBroadcast.start(scheduler, self._network, host)),
        )
