"""Messages as datagrams: cut to size on the way out, put together on the way in.

What multicast and broadcast have in common. A datagram may be lost, doubled or late, and so may a
whole message; nothing here waits or repeats, the protocol does. A socket is read whenever the loop
finds it readable, at most READS_MAX datagrams at a time, so that a flood does not keep the node
from its TCP links.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
from collections.abc import Callable

from logstream.protocol.envelope import Envelope
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.fragments import Fragmenter, Reassembler
from logstream.protocol.identity import Member
from transport.refusals import Refusals

READS_MAX = 64  # datagrams per callback
INCOMPLETE_MAX = 16 * 1024 * 1024  # bytes of messages of which fragments are missing
INCOMPLETE_HOLD_S = 1.0
_DATAGRAM_MAX = 65_535

Source = tuple[str, int]
Hear = Callable[[Envelope, Source, float], None]


class DatagramReader:
    """Reads one non-blocking socket into envelopes while it is open."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, cluster: str, refusals: Refusals, hear: Hear
    ) -> None:
        self._loop, self._socket, self._refusals, self._hear = loop, sock, refusals, hear
        self._reassembler = Reassembler(cluster, INCOMPLETE_MAX, INCOMPLETE_HOLD_S)
        self.bytes_in = 0

    @property
    def strangers(self) -> int:
        """Datagrams of other clusters, which were dropped unread."""
        return self._reassembler.strangers

    def start(self) -> None:
        """Read from now on."""
        self._loop.add_reader(self._socket, self._drain)

    def stop(self) -> None:
        """Read no more, and close the socket."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _drain(self) -> None:
        at = self._loop.time()
        for _ in range(READS_MAX):
            try:
                datagram, source = self._socket.recvfrom(_DATAGRAM_MAX)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._refusals.count("socket error", error, at)
                return
            self.bytes_in += len(datagram)
            self._take(datagram, source, at)
            if self._socket.fileno() < 0:  # closed by what was heard
                return

    def _take(self, datagram: bytes, source: Source, at: float) -> None:
        try:
            envelope = self._reassembler.add(source, datagram, at)
        except RemoteProtocolError as error:
            self._refusals.count("malformed datagram", f"{source[0]}:{source[1]}: {error}", at)
            return
        if envelope is not None:
            self._hear(envelope, source, at)


class DatagramWriter:
    """Sends messages from one non-blocking socket."""

    def __init__(self, sock: socket.socket, cluster: str, datagram_max: int) -> None:
        self._socket = sock
        self._fragmenter = Fragmenter(cluster, secrets.randbits(32), datagram_max)
        self.bytes_out = 0
        self.dropped = 0  # messages of which at least one datagram was not taken
        self.trouble = ""  # why, the last time

    def send(self, frame: list[bytes], to: Source) -> None:
        """Send one frame. Where the kernel takes no more, the rest of it is dropped and counted."""
        try:
            for datagram in self._fragmenter.split(frame):
                self._socket.sendto(datagram, to)
                self.bytes_out += len(datagram)
        except OSError as error:  # EAGAIN, ENOBUFS, no route, closed
            self.dropped += 1
            self.trouble = str(error)


def sender_socket(address: str, send_buffer: int, port: int = 0) -> socket.socket:
    """A non-blocking socket of its own on this address: on this port, or on any where it is taken. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        try:
            sock.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            sock.bind((address, 0))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def listening_socket(address: str, port: int, receive_buffer: int) -> socket.socket:
    """A non-blocking socket on an address and port that it shares with other nodes. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.bind((address, port))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def source_of(member: Member | None, source: Source) -> str:
    """For a line in the log: who sent a datagram, and from where."""
    return f"{member or 'a client'} at {source[0]}:{source[1]}"
