"""One TCP connection: bytes into envelopes, frames out in one write per loop turn.

It does not know whether a member or a client is at the other end; its owner (the Tcp actor) does,
and notes it here. All callbacks run on the node's loop, the thread that the actors run on, so the
owner is called directly and not through an inbox.

    open --finish()--> deaf: what was written goes out, then the end of file; input is ignored
    open --retire()--> the same, but input is still heard until the other side closes too
    open --close()---> what was written goes out, nothing is heard any more

All connections of a node read into one buffer: a loop fills it and calls buffer_updated before it
fills it again, and its size bounds how long one callback works.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Protocol, cast

from logstream.core.events import Session
from logstream.protocol.envelope import Envelope
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.framing import FrameReader
from logstream.protocol.identity import Member

READ_MAX = 65_536  # bytes per callback
LINGER_S = 2.0  # a connection that we ended is cut off after this, if the other side does not close
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}  # a silent host is gone after 30 s


@dataclass(slots=True)
class Traffic:
    """Bytes over all connections of this node since its start."""

    bytes_in: int = 0
    bytes_out: int = 0


class Owner(Protocol):
    """Who hears what happens on a connection."""

    def opened(self, connection: Connection) -> None:
        """The connection exists from now on, until it is lost."""
        ...

    def heard(self, connection: Connection, envelope: Envelope, at: float) -> None:
        """A whole message arrived; `at` is the loop's time in seconds."""
        ...

    def malformed(self, connection: Connection, error: RemoteProtocolError) -> None:
        """What arrived is no frame; the connection has been closed."""
        ...

    def lost(self, connection: Connection) -> None:
        """The connection is gone, whoever ended it."""
        ...


class Connection(asyncio.BufferedProtocol):
    """One connection. The owner fills in who the other end is."""

    def __init__(
        self,
        owner: Owner,
        loop: asyncio.AbstractEventLoop,
        frame_max: int,
        buffer: memoryview,
        traffic: Traffic,
        dialed_for: Member | None = None,
    ) -> None:
        self.dialed_for = dialed_for  # whom we hope to find; None: the other side dialed
        self.introduced_as: Member | None = None  # as whom we introduced ourselves last
        self.member: Member | None = None  # who introduced itself; never together with a session
        self.session: Session | None = None
        self.met: asyncio.Future[Member | None] = loop.create_future()  # None: lost before anybody spoke
        self.up_since = 0.0
        self.peer = "somebody"  # "host:port"
        self._owner, self._loop, self._traffic = owner, loop, traffic
        self._reader = FrameReader(frame_max)
        self._buffer = buffer
        self._transport: asyncio.Transport | None = None
        self._outbox: list[bytes] = []
        self._outbox_size = 0
        self._deaf = False
        self._is_lost = False  # as told to the owner
        self._linger: asyncio.TimerHandle | None = None

    # --- what goes out ---

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._outbox_size + (self._transport.get_write_buffer_size() if self._transport else 0)

    def send(self, parts: list[bytes], size: int) -> None:
        """Write these parts, of `size` bytes together, at the end of this loop turn; nothing after the end of file."""
        if self._linger is not None:
            return
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox += parts
        self._outbox_size += size

    def _flush(self) -> None:
        if self._outbox and self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(self._outbox)
            self._traffic.bytes_out += self._outbox_size
        self._outbox, self._outbox_size = [], 0

    # --- the ends that a connection can have ---

    def retire(self) -> None:
        """Write no more; hear what is under way until the other side closes too."""
        if self._transport is None or self._transport.is_closing() or self._linger is not None:
            return
        self._flush()
        self._transport.write_eof()
        self._linger = self._loop.call_later(LINGER_S, self._transport.abort)

    def finish(self) -> None:
        """Let the last words arrive, hear nothing more."""
        self._deaf = True
        self.retire()

    def close(self) -> None:
        """Write out what is waiting, then end."""
        self._deaf = True
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        """End at once, whatever is unsent."""
        self._deaf = True
        if self._transport is not None:
            self._transport.abort()

    # --- what asyncio calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        self.peer = f"{name[0]}:{name[1]}" if name else self.peer
        _tune(transport.get_extra_info("socket"))
        self._owner.opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop shall read to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have arrived."""
        self._traffic.bytes_in += nbytes
        if self._deaf:
            return
        at = self._loop.time()
        try:
            envelopes = self._reader.feed(bytes(self._buffer[:nbytes]))
        except RemoteProtocolError as error:
            self.close()
            self._owner.malformed(self, error)
            return
        for envelope in envelopes:
            if not self._deaf:
                self._owner.heard(self, envelope, at)

    def eof_received(self) -> bool:
        """The other side writes no more: write out what is waiting and close.

        The owner hears of it now, because what it gave us between now and connection_lost would be lost.
        """
        self._flush()
        self._tell_lost()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._deaf, self._transport = True, None
        if self._linger is not None:
            self._linger.cancel()
        self._tell_lost()

    def _tell_lost(self) -> None:
        if not self._is_lost:
            self._is_lost = True
            self.meet(None)
            self._owner.lost(self)

    def meet(self, member: Member | None) -> None:
        """Tell whoever dialed who is at the other end."""
        if not self.met.done():
            self.met.set_result(member)


def _tune(sock: socket.socket) -> None:
    """No delay for small frames, and a probe for hosts that vanished without a word."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
