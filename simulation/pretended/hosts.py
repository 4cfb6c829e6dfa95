"""A host on the pretended network, and its way to each member: what transport/tcp_link.py is on sockets.

                 send()                 the other end answers
    idle ------------------> dialing ----------------------------> up
      ^                      |     ^                               |
      | nothing to send,     v     | after 0, 0.05, ... 1 s        | stream broken
      | never was up       failed -+ <-----------------------------+

The same promises as there: at most one stream in use, a queue while there is none, what waits for too
long is dropped, another identity at the address means that the member is gone (LinkDown, refused).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from logstream.core.events import LinkDown, LinkUp, Received, Session
from logstream.protocol.envelope import Envelope
from logstream.protocol.identity import Member
from simulation.pretended.machine import Machine
from simulation.pretended.streams import Stream
from simulation.pretended.virtual_loop import VirtualHandle
from transport.identity import Identity

DIAL_S = 1.0
REDIAL_FIRST_S = 0.05
REDIAL_MAX_S = 1.0
HOLD_S = 2.0

Dialed = Callable[[Stream | None, bool], None]  # the stream, or whether it was refused
Dial = Callable[["Host", Member, Callable[[], bool], Dialed], None]  # from where, to whom, is it still wanted?


@dataclass(slots=True, eq=False)
class Host:
    """One node on the network."""

    me: Member
    identity: Identity
    machine: Machine
    deliver: Callable[[Received], None]
    announce: Callable[[object], None]
    alive: bool = True
    links: dict[Member, PeerLink] = field(default_factory=dict)
    sessions: dict[Session, Stream] = field(default_factory=dict)
    unread: int = 0  # bytes of datagrams in the kernel

    @property
    def address(self) -> str:
        """Where it is."""
        return self.me.address

    def knows_another_at(self, member: Member) -> bool:
        """Is somebody else known to answer at this member's address?"""
        return any(
            link.stream is not None and other != member and other.address == member.address
            for other, link in self.links.items()
        )

    def up(self, member: Member) -> bool:
        """Is there a stream to this member?"""
        link = self.links.get(member)
        return link is not None and link.stream is not None


class PeerLink:
    """One host's way to one member."""

    def __init__(self, dial: Dial, host: Host, member: Member) -> None:
        self.member = member
        self.stream: Stream | None = None
        self._dial_from = dial
        self._host = host
        self._queue: deque[tuple[float, Envelope]] = deque()  # with the time since when it waits
        self._attempt = 0
        self._dialing = False
        self._redial: VirtualHandle | None = None
        self._delay_s = 0.0  # before the next dial
        self._expected_back = False  # it was up, and nobody told us to forget the member
        self._up_since = 0.0

    def send(self, envelope: Envelope) -> None:
        """Write, or keep it until there is a stream."""
        if self.stream is not None:
            self.stream.write(self.stream.side_of(self._host.address), envelope)
            return
        self._expire()
        self._queue.append((self._host.machine.time(), envelope))
        self._dial_again()

    def clear(self) -> None:
        """Give up what waits for a stream."""
        self._queue.clear()

    def forget(self) -> None:
        """The member is not expected back."""
        self._expected_back = False
        self._delay_s = 0.0
        self._cancel_redial()
        self.clear()

    def supersede(self) -> None:
        """Another identity answers at the address: this one will not come back."""
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.close(stream.side_of(self._host.address))
        self.forget()
        if not self._dialing:
            self._host.announce(LinkDown(self.member, True, self._host.machine.time()))

    def _expire(self) -> None:
        oldest = self._host.machine.time() - HOLD_S
        while self._queue and self._queue[0][0] < oldest:
            self._queue.popleft()

    # --- dialing ---

    def _dial_again(self) -> None:
        if self._dialing or self._redial is not None:
            return
        delay = self._delay_s
        self._delay_s = min(max(REDIAL_FIRST_S, 2 * delay), REDIAL_MAX_S)
        if delay == 0:
            self._dial()
        else:
            self._redial = self._host.machine.call_later(delay, self._dial)

    def _dial(self) -> None:
        self._redial = None
        if self.stream is not None:
            return
        if self._host.knows_another_at(self.member):
            self._failed(refused=True)
            return
        self._dialing = True
        self._attempt += 1
        number = self._attempt
        self._dial_from(
            self._host,
            self.member,
            lambda: self._dialing and number == self._attempt,
            lambda stream, refused: self._dialed(number, stream, refused),
        )
        self._host.machine.call_later(DIAL_S, self._dialed, number, None, False)

    def _dialed(self, number: int, stream: Stream | None, refused: bool) -> None:
        """The attempt of this number is over: a stream, a refusal, or no answer in time."""
        if not (self._dialing and number == self._attempt):
            if stream is not None and stream is not self.stream:
                stream.close(stream.side_of(self._host.address))
            return
        self._dialing = False
        if stream is not None and stream.ends[stream.side_of(self._host.address)].is_open:  # not broken meanwhile
            self.adopt(stream)
        elif self.stream is None:
            self._failed(refused)

    def _failed(self, refused: bool) -> None:
        self._expire()
        self._host.announce(LinkDown(self.member, refused, self._host.machine.time()))
        if self._queue or self._expected_back:
            self._dial_again()
        else:
            self._delay_s = 0.0

    def _cancel_redial(self) -> None:
        if self._redial is not None:
            self._redial.cancel()
            self._redial = None

    # --- streams that come and go ---

    def adopt(self, stream: Stream) -> None:
        """Both sides have agreed on this stream."""
        rival = self.stream
        if rival is stream:
            return
        if rival is not None and rival.is_whole:  # both have dialed at once: the smaller identity's is kept
            we_dialed = stream.side_of(self._host.address) == 0
            keep_new = we_dialed == (self._host.me < self.member)
            self.stream, other = (stream, rival) if keep_new else (rival, stream)
            other.retire(other.side_of(self._host.address))
            return
        if rival is not None:  # the member has lost it
            rival.close(rival.side_of(self._host.address))
            self._host.announce(LinkDown(self.member, False, self._host.machine.time()))
        self.stream = stream
        self._cancel_redial()
        self._expected_back = True
        self._up_since = self._host.machine.time()
        self._expire()
        for _, envelope in self._queue:
            stream.write(stream.side_of(self._host.address), envelope)
        self._queue.clear()
        self._host.announce(LinkUp(self.member, self._up_since))

    def broken(self, stream: Stream) -> None:
        """This stream is gone."""
        if stream is not self.stream:
            return
        self.stream = None
        now = self._host.machine.time()
        if now - self._up_since >= REDIAL_MAX_S:
            self._delay_s = 0.0
        self._host.announce(LinkDown(self.member, False, now))
        if not self._dialing and (self._expected_back or self._queue):
            self._dial_again()
