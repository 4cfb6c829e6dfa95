"""A pretended network: datagrams that get lost, doubled and reordered, connections that break.

    host --- datagram ---> each receiver: lost? doubled? delayed by dice
    host --- stream -----> one receiver: in order, delayed; a dead or cut host breaks it

A message that would travel in many fragments is lost if one of them is: its odds grow with its size. A
stream keeps its order, as TCP does, and what is sent into a cut waits for it to heal, until the link
is given up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from logstream.core.events import LinkDown, LinkUp, Received, Session, SessionClosed, Via
from logstream.protocol.envelope import Envelope
from logstream.protocol.identity import Member
from logstream.protocol.messages import CatchUp, ClientResponse, Replicate
from simulation.virtual_loop import VirtualLoop
from transport.identity import Identity

FRAGMENT = 8192  # bytes of payload in one datagram
GIVE_UP_S = 2.0  # how long a stream waits for a cut to heal


@dataclass(frozen=True, slots=True)
class Climate:
    """What the network does to messages; odds from 0 to 1, times in seconds."""

    loss: float = 0.0  # of a datagram
    duplication: float = 0.0
    datagram_delay_s: tuple[float, float] = (0.0001, 0.001)  # from, to: a wide range reorders
    stream_delay_s: tuple[float, float] = (0.0001, 0.001)
    multicast: bool = True


@dataclass(slots=True)
class Host:
    """One node on the network."""

    me: Member
    identity: Identity
    deliver: Callable[[Received], None]
    announce: Callable[[object], None]
    alive: bool = True
    clients: dict[Session, Callable[[int, ClientResponse], None]] = field(default_factory=dict)
    links: set[Member] = field(default_factory=set)  # members whose link is up


class Network:
    """Carries messages between the hosts of one simulated cluster."""

    def __init__(self, loop: VirtualLoop, climate: Climate) -> None:
        self.climate = climate
        self.hosts: dict[str, Host] = {}  # by address
        self.cuts: set[frozenset[str]] = set()  # pairs of addresses that cannot reach each other
        self.lost = self.sent = 0
        self._loop = loop
        self._arrivals: dict[tuple[str, str], float] = {}  # when the last message of a stream arrives
        self._sessions = 0

    # --- hosts ---

    def attach(self, host: Host) -> None:
        """A node comes up at its address."""
        self.hosts[host.me.address] = host

    def detach(self, address: str, unwritten_s: float = 0.0) -> None:
        """A node is gone: its links and sessions break."""
        host = self.hosts.pop(address, None)
        if host is None:
            return
        host.alive = False
        for other in self.hosts.values():
            if host.me in other.links:
                other.links.discard(host.me)
                self._later(unwritten_s + self._stream_delay(), other, LinkDown(host.me, False, 0.0))
                self._later(unwritten_s + 2 * self._stream_delay(), other, LinkDown(host.me, True, 0.0))

    def cut(self, one: str, other: str) -> None:
        """These two cannot reach each other any more."""
        self.cuts.add(frozenset((one, other)))

    def heal(self) -> None:
        """Everybody can reach everybody again."""
        self.cuts.clear()

    def _reachable(self, source: str, target: str) -> bool:
        return frozenset((source, target)) not in self.cuts

    # --- datagrams ---

    def datagram(self, source: Host, envelope: Envelope, via: Via, target: str | None = None) -> None:
        """To everybody, or to one address."""
        if via is Via.MULTICAST and not self.climate.multicast:
            return
        for host in list(self.hosts.values()):
            if host is not source and target in (None, host.me.address):
                self._one_datagram(source.me.address, host, envelope, via)

    def _one_datagram(self, source: str, host: Host, envelope: Envelope, via: Via) -> None:
        dice, climate = self._loop.dice, self.climate
        copies = 2 if dice.random() < climate.duplication else 1
        for _ in range(copies):
            self.sent += 1
            survives = (1 - climate.loss) ** _fragments(envelope)
            if not self._reachable(source, host.me.address) or dice.random() >= survives:
                self.lost += 1
                continue
            delay_s = dice.uniform(*climate.datagram_delay_s)
            self._loop.call_later(delay_s, self._arrive, host, envelope, via, source)

    def _arrive(self, host: Host, envelope: Envelope, via: Via, source: str) -> None:
        if not host.alive or host.identity.objection(envelope) is not None:
            return
        now = self._loop.time()
        sender, message = envelope.sender, envelope.message
        host.deliver(Received(message, sender, now, via, envelope.correlation, source, envelope.cluster_id))

    # --- streams ---

    def stream(self, source: Host, to: Member, envelope: Envelope) -> None:
        """Over the link between two members, in order."""
        target = self.hosts.get(to.address)
        if target is None or target.me != to:
            self._later(self._stream_delay(), source, LinkDown(to, True, 0.0))
            source.links.discard(to)
            return
        if to not in source.links:
            source.links.add(to)
            target.links.add(source.me)
            self._later(0.0, source, LinkUp(to, 0.0))
            self._later(self._stream_delay(), target, LinkUp(source.me, 0.0))
        self._write(source, target, envelope, self._loop.time())

    def _write(self, source: Host, target: Host, envelope: Envelope, since: float) -> None:
        if not self._reachable(source.me.address, target.me.address):
            if self._loop.time() - since > GIVE_UP_S:
                self._break(source, target)
            else:
                self._loop.call_later(0.05, self._write, source, target, envelope, since)
            return
        key = (source.me.address, target.me.address)
        arrival = max(self._loop.time() + self._stream_delay(), self._arrivals.get(key, 0.0) + 1e-6)
        self._arrivals[key] = arrival
        self._loop.call_later(arrival - self._loop.time(), self._read, source, target, envelope)

    def _read(self, source: Host, target: Host, envelope: Envelope) -> None:
        if source.me in target.links:
            self._arrive(target, envelope, Via.TCP, source.me.address)

    def _break(self, one: Host, other: Host) -> None:
        for host, peer in ((one, other.me), (other, one.me)):
            if peer in host.links:
                host.links.discard(peer)
                self._later(0.0, host, LinkDown(peer, False, 0.0))

    def _stream_delay(self) -> float:
        return self._loop.dice.uniform(*self.climate.stream_delay_s)

    def _later(self, delay_s: float, host: Host, event: LinkUp | LinkDown) -> None:
        def happen() -> None:
            if host.alive:
                at = self._loop.time()
                down = isinstance(event, LinkDown)
                host.announce(LinkDown(event.member, event.refused, at) if down else LinkUp(event.member, at))  # type: ignore[union-attr]

        self._loop.call_later(delay_s, happen)

    # --- clients ---

    def connect(self, address: str, hear: Callable[[int, ClientResponse], None]) -> Connection | None:
        """A client's connection to a broker; None if nobody listens there."""
        host = self.hosts.get(address)
        if host is None:
            return None
        self._sessions += 1
        session = Session(self._sessions)
        host.clients[session] = hear
        return Connection(self, host, session)

    def reply(self, host: Host, session: Session, correlation: int, response: Any) -> None:
        """A broker's answer to a client."""
        hear = host.clients.get(session)
        if hear is None:
            return
        key = (host.me.address, f"client {session.number}")
        arrival = max(self._loop.time() + self._stream_delay(), self._arrivals.get(key, 0.0) + 1e-6)
        self._arrivals[key] = arrival
        self._loop.call_later(arrival - self._loop.time(), hear, correlation, response)


@dataclass(slots=True)
class Connection:
    """A client's side of a connection."""

    network: Network
    host: Host
    session: Session
    last_arrival: float = 0.0

    @property
    def alive(self) -> bool:
        """Is the broker still there?"""
        return self.host.alive

    def ask(self, correlation: int, message: Any) -> None:
        """Send a request, in order."""
        loop = self.network._loop
        arrival = max(loop.time() + self.network._stream_delay(), self.last_arrival + 1e-6)
        self.last_arrival = arrival
        loop.call_later(arrival - loop.time(), self._arrive, correlation, message)

    def close(self) -> None:
        """The client is gone."""
        self.host.clients.pop(self.session, None)
        if self.host.alive:
            self.host.announce(SessionClosed(self.session))

    def _arrive(self, correlation: int, message: Any) -> None:
        if self.host.alive:
            now = self.network._loop.time()
            self.host.deliver(Received(message, self.session, now, Via.TCP, correlation))


def _fragments(envelope: Envelope) -> int:
    message = envelope.message
    if isinstance(message, Replicate | CatchUp):
        return 1 + sum(entry.size for entry in message.entries) // FRAGMENT
    return 1
