"""A pretended network: datagrams that get lost, doubled and reordered, and ways for streams.

    host --- datagram ---> each receiver: cut? deaf? lost? doubled? delayed by dice
    host --- stream -----> one receiver (streams.py)

A datagram that would travel in many fragments is lost if one of them is: its odds grow with its size.
Weather is what one way is like for a while, different from the climate. Where nothing arrives at all is
cuts.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from logstream.core.events import Received, Session, SessionClosed, Via
from logstream.protocol.envelope import Envelope
from logstream.protocol.identity import Member
from logstream.protocol.messages import CatchUp, Replicate
from simulation.pretended.climate import Climate
from simulation.pretended.cuts import Cut, Cuts, Way
from simulation.pretended.hosts import Dialed, Host, PeerLink
from simulation.pretended.streams import End, Stream
from simulation.pretended.virtual_loop import VirtualLoop

FRAGMENT = 8192  # bytes of payload in one datagram
KERNEL_DATAGRAMS = 212_992  # bytes that wait for a process that does not read; what comes then is lost
SMALL = 256  # bytes, about, of a message without entries


class Network:
    """Carries messages between the hosts and clients of one simulated cluster."""

    def __init__(self, loop: VirtualLoop, climate: Climate) -> None:
        self.loop = loop
        self.climate = climate
        self.weather: dict[Way, Climate] = {}  # of single ways, for a while
        self.hosts: dict[str, Host] = {}  # by address
        self.cuts = Cuts()
        self.on_stream: list[Callable[[Host, Member, Envelope], None]] = []  # called before a member is sent something
        self.lost = self.sent = 0  # datagrams
        self._random = loop.dice.random
        self._streams: dict[Stream, None] = {}
        self._sessions = count(1)

    # --- hosts ---

    def attach(self, host: Host) -> None:
        """A node comes up at its address."""
        self.hosts[host.address] = host

    def detach(self, address: str, silent: bool = False) -> None:
        """A node is gone. Silent: its machine is too, and nobody is told."""
        host = self.hosts.pop(address, None)
        if host is None:
            return
        host.alive = False
        for stream in list(self._streams):
            for side, end in enumerate(stream.ends):
                if end.address == address:
                    stream.close(side, silent)

    # --- cuts ---

    def cut(self, one: str, other: str) -> Cut:
        """These two cannot reach each other any more."""
        cut = Cut(((one, other), (other, one)))
        self.cuts.add(cut)
        return cut

    def remove(self, cut: Cut) -> None:
        """A cut is over."""
        self.cuts.remove(cut)
        self.look_again()

    def heal(self) -> None:
        """Everybody can reach everybody again, in the weather of the climate."""
        self.cuts.clear()
        self.weather.clear()
        self.look_again()

    def look_again(self) -> None:
        """Some way may be open again: streams go on."""
        for stream in list(self._streams):
            stream.healed()

    def reset(self, address: str) -> int:
        """Break every stream that has an end at this address; how many there were."""
        hit = [stream for stream in self._streams for end in stream.ends if end.is_open and end.address == address]
        for stream in hit:
            stream.abort()
        return len(hit)

    # --- ways (what streams ask) ---

    def open_way(self, source: str, target: str) -> bool:
        """Can segments go from this address to that one now?"""
        return self.cuts.stream_way(source, target)

    def stream_delay(self, source: str, target: str) -> float:
        """Seconds that a segment takes now."""
        climate = self.weather.get((source, target), self.climate) if self.weather else self.climate
        least, most = climate.stream_delay_s
        return least + (most - least) * self._random()

    def give_up_s(self) -> float:
        """How long an end waits for an acknowledgement."""
        return self.climate.give_up_s

    def forget(self, stream: Stream) -> None:
        """Both ends are gone."""
        self._streams.pop(stream, None)

    # --- datagrams ---

    def datagram(self, source: Host, envelope: Envelope, via: Via, target: str | None = None) -> None:
        """To everybody, or to one address."""
        if via is Via.MULTICAST and not self.climate.multicast:
            return
        size = _size(envelope)
        for host in list(self.hosts.values()):
            if host is not source and target in (None, host.address):
                self._one_datagram(source.address, host, envelope, via, size)

    def _one_datagram(self, source: str, host: Host, envelope: Envelope, via: Via, size: int) -> None:
        dice = self._random
        climate = self.weather.get((source, host.address), self.climate) if self.weather else self.climate
        copies = 2 if dice() < climate.duplication else 1
        survives = (1 - climate.loss) ** (1 + size // FRAGMENT)
        least, most = climate.datagram_delay_s
        for _ in range(copies):
            self.sent += 1
            if dice() >= survives or not self._hears(source, host.address, via):
                self.lost += 1
                continue
            delay_s = least + (most - least) * dice()
            self.loop.call_later(delay_s, self._datagram_arrives, host, envelope, via, source, size)

    def _hears(self, source: str, target: str, via: Via) -> bool:
        if via is Via.MULTICAST:
            return self.cuts.multicast_way(source, target)
        return self.cuts.datagram_way(source, target)

    def _datagram_arrives(self, host: Host, envelope: Envelope, via: Via, source: str, size: int) -> None:
        if not host.alive:
            return
        if host.unread + size > KERNEL_DATAGRAMS:
            self.lost += 1
            return
        host.unread += size
        host.machine.run_here(self._read_datagram, host, envelope, via, source, size)

    def _read_datagram(self, host: Host, envelope: Envelope, via: Via, source: str, size: int) -> None:
        host.unread -= size
        self._hear(host, envelope, via, source)

    def _hear(self, host: Host, envelope: Envelope, via: Via, source: str) -> None:
        if not host.alive or host.identity.objection(envelope) is not None:
            return
        at, sender = host.machine.time(), envelope.sender
        host.deliver(Received(envelope.message, sender, at, via, envelope.correlation, source, envelope.cluster_id))

    # --- links between members ---

    def stream(self, source: Host, to: Member, envelope: Envelope) -> None:
        """Over the link between two members, in order."""
        for listener in list(self.on_stream):
            listener(source, to, envelope)
        if source.alive:  # a listener may have killed it
            self._link(source, to).send(envelope)

    def forget_member(self, host: Host, member: Member) -> None:
        """This member is not expected back."""
        link = host.links.get(member)
        if link is not None:
            link.forget()

    def _link(self, host: Host, member: Member) -> PeerLink:
        link = host.links.get(member)
        if link is None:
            link = host.links[member] = PeerLink(self.dial, host, member)
        return link

    def dial(self, host: Host, member: Member, wanted: Callable[[], bool], answer: Dialed) -> None:
        """Knock at a member's address, as long as that is wanted.

        Nothing is answered where nobody can be reached, or the process sleeps.
        """
        self.loop.call_later(self.stream_delay(host.address, member.address), self._knock, host, member, wanted, answer)

    def _both_ways(self, one: str, other: str) -> bool:
        return self.open_way(one, other) and self.open_way(other, one)

    def _knock(self, host: Host, member: Member, wanted: Callable[[], bool], answer: Dialed) -> None:
        if not host.alive or not self._both_ways(host.address, member.address):
            return
        target = self.hosts.get(member.address)
        if target is None:
            self._answer(host, member.address, answer, None, True)
        else:
            target.machine.run_here(self._welcome, host, target, member, wanted, answer)

    def _welcome(self, host: Host, target: Host, member: Member, wanted: Callable[[], bool], answer: Dialed) -> None:
        """The target's process reads who is there."""
        if not wanted() or not host.alive or not target.alive or not self._both_ways(host.address, target.address):
            return
        if target.me != member:
            self._answer(host, target.address, answer, None, True)
            return
        link = self._link(target, host.me)
        stream = link.stream
        if stream is None or not stream.is_whole:
            stream = self._connect(host, target)
            self._supersede_others(target, host.me)
            link.adopt(stream)
        self._answer(host, target.address, answer, stream, False)

    def _answer(self, host: Host, source: str, answer: Dialed, stream: Stream | None, refused: bool) -> None:
        delay = self.stream_delay(source, host.address)
        self.loop.call_later(delay, host.machine.run_here, answer, stream, refused)

    def _supersede_others(self, host: Host, member: Member) -> None:
        for other, link in list(host.links.items()):
            if other != member and other.address == member.address:
                link.supersede()

    def _connect(self, host: Host, target: Host) -> Stream:
        ends = [
            End(one.address, one.machine, self._hearing(one, other), lambda: None)
            for one, other in ((host, target), (target, host))
        ]
        stream = Stream(self, ends[0], ends[1])
        for end, one, other in zip(ends, (host, target), (target, host), strict=True):
            end.broken = self._breaking(one, other.me, stream)
        self._streams[stream] = None
        return stream

    def _hearing(self, host: Host, sender: Host) -> Callable[[Envelope], None]:
        return lambda envelope: self._hear(host, envelope, Via.TCP, sender.address)

    def _breaking(self, host: Host, member: Member, stream: Stream) -> Callable[[], None]:
        return lambda: self._link(host, member).broken(stream)

    # --- clients ---

    def dial_broker(self, client: End, address: str, answer: Callable[[Stream | None], None]) -> None:
        """A client connects to a broker. None is answered where nobody listens, nothing where nobody can be reached."""
        self.loop.call_later(self.stream_delay(client.address, address), self._admit, client, address, answer)

    def _admit(self, client: End, address: str, answer: Callable[[Stream | None], None]) -> None:
        if not self._both_ways(client.address, address):
            return
        host = self.hosts.get(address)
        delay = self.stream_delay(address, client.address)
        if host is None:
            self.loop.call_later(delay, answer, None)
            return
        self.loop.call_later(delay, answer, self._session(host, client))  # the kernel does, whatever the process does

    def _session(self, host: Host, client: End) -> Stream:
        session = Session(next(self._sessions))
        end = End(host.address, host.machine, self._serving(host, session), lambda: self._session_over(host, session))
        stream = host.sessions[session] = Stream(self, client, end)
        self._streams[stream] = None
        return stream

    def connect(self, address: str, hear: Callable[[int, Any], None]) -> Connection | None:
        """A connection at once, for one question; None if nobody listens there."""
        host = self.hosts.get(address)
        if host is None:
            return None
        return Connection(self._session(host, End("asker", None, lambda answered: hear(*answered), lambda: None)))

    def _serving(self, host: Host, session: Session) -> Callable[[tuple[int, Any]], None]:
        def serve(asked: tuple[int, Any]) -> None:
            correlation, message = asked
            if host.alive:
                host.deliver(Received(message, session, host.machine.time(), Via.TCP, correlation))

        return serve

    def _session_over(self, host: Host, session: Session) -> None:
        if host.sessions.pop(session, None) is not None and host.alive:
            host.announce(SessionClosed(session))

    def reply(self, host: Host, session: Session, correlation: int, response: Any) -> None:
        """A broker's answer to a client."""
        stream = host.sessions.get(session)
        if stream is not None:
            stream.write(1, (correlation, response))


@dataclass(frozen=True, slots=True)
class Connection:
    """A client's side of a connection that is there already."""

    stream: Stream

    def ask(self, correlation: int, message: Any) -> None:
        """Send a request, in order."""
        self.stream.write(0, (correlation, message))


def _size(envelope: Envelope) -> int:
    message = envelope.message
    if isinstance(message, Replicate | CatchUp):
        return SMALL + sum(entry.size for entry in message.entries)
    return SMALL
