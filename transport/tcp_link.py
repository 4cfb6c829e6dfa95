"""The way to one member: at most one connection in use, a queue while there is none, and the back-off.

                 send()                 the other's Link is heard
    idle ------------------> dialing ----------------------------> up
      ^                      |     ^                               |
      | nothing to send,     v     | after 0, 0.05, ... 1 s        | connection lost
      | never was up       failed -+ <-----------------------------+

Either side may dial, and both may at once. Then two connections exist for a moment, and both sides
keep the one that the smaller identity dialed; the other one is retired, which loses nothing that is
under way on it. A second connection that comes long after the first is no such race: the member has
lost the first one, so the newer is kept.

A link belongs to one identity. If another one answers at the address, the member is gone for good
and the link says so (LinkDown, refused), without dialing again as long as that other is known.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from logstream.protocol.identity import Member
from transport.tcp_connection import Connection


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Times in seconds, sizes in bytes."""

    dial_s: float = 1.0  # connecting and introductions together
    redial_first_s: float = 0.05
    redial_max_s: float = 1.0
    hold_s: float = 2.0  # what waits longer than this for a connection is dropped
    unsent_max: int = 16 * 1024 * 1024  # reached: no more is taken, so a link holds this plus one frame


class LinkHost(Protocol):
    """What a link needs of the actor that it is a part of."""

    async def connect(self, member: Member) -> Connection:
        """Open a connection to the member's address and introduce ourselves. Raises OSError or ValueError."""
        ...

    def is_taken(self, member: Member) -> bool:
        """Is somebody else known to answer at this member's address?"""
        ...

    def keeps_ours(self, member: Member) -> bool:
        """Of two connections dialed at once, is the one kept that we dialed?"""
        ...

    def link_is_up(self, link: Link) -> None:
        """Messages can go to the member now."""
        ...

    def link_is_down(self, link: Link, refused: bool) -> None:
        """The connection broke, or an attempt failed. Refused: the member is not there any more."""
        ...

    def dropped(self, reason: str) -> None:
        """A message is given up; the protocol repairs it."""
        ...


class _Waiting(NamedTuple):
    since: float
    parts: list[bytes]
    size: int


class Link:
    """The way to one member."""

    def __init__(self, member: Member, host: LinkHost, settings: LinkSettings, loop: asyncio.AbstractEventLoop) -> None:
        self.member = member
        self.connection: Connection | None = None  # where we write to
        self._host, self._settings, self._loop = host, settings, loop
        self._queue: deque[_Waiting] = deque()
        self._queued = 0  # bytes in the queue
        self._dial: asyncio.Task[None] | None = None
        self._redial: asyncio.TimerHandle | None = None
        self._delay_s = 0.0  # before the next dial
        self._expected_back = False  # it was up, and nobody told us to forget the member
        self._is_up = False  # as announced

    @property
    def state(self) -> str:
        """For `status`: up, dialing, waiting (for the next attempt) or idle."""
        if self.connection is not None:
            return "up"
        return "dialing" if self._dial else "waiting" if self._redial else "idle"

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._queued + (self.connection.unsent if self.connection else 0)

    # --- sending ---

    def send(self, parts: list[bytes]) -> None:
        """Write a frame, or keep it until there is a connection."""
        self._expire()
        size = sum(map(len, parts))
        if self.unsent >= self._settings.unsent_max:
            self._host.dropped("link is full")
        elif self.connection is not None:
            self.connection.send(parts, size)
        else:
            self._queue.append(_Waiting(self._loop.time(), parts, size))
            self._queued += size
            self._dial_again()

    def clear(self) -> None:
        """Give up what waits for a connection."""
        for _ in self._queue:
            self._host.dropped("member is gone")
        self._queue.clear()
        self._queued = 0

    def _expire(self) -> None:
        oldest = self._loop.time() - self._settings.hold_s
        while self._queue and self._queue[0].since < oldest:
            self._queued -= self._queue.popleft().size
            self._host.dropped("waited too long for a connection")

    # --- dialing ---

    def _dial_again(self) -> None:
        """Dial after the present delay, unless that is under way; the delay doubles."""
        if self._dial is not None or self._redial is not None:
            return
        delay, settings = self._delay_s, self._settings
        self._delay_s = min(max(settings.redial_first_s, 2 * delay), settings.redial_max_s)
        if delay == 0:
            self._start_dial()
        else:
            self._redial = self._loop.call_later(delay, self._start_dial)

    def _start_dial(self) -> None:
        self._redial = None
        if self.connection is not None:
            return
        if self._host.is_taken(self.member):
            self._failed(refused=True)
        else:
            self._dial = self._loop.create_task(self._attempt())

    async def _attempt(self) -> None:
        """One attempt; if it succeeds, `adopt` has been called before it returns."""
        connection, refused = None, False
        try:
            async with asyncio.timeout(self._settings.dial_s):
                connection = await self._host.connect(self.member)
                met = await connection.met
                refused = met is not None and met != self.member
        except ConnectionRefusedError:
            refused = True
        except (OSError, ValueError):  # OSError includes the time-out, ValueError an address that is none
            if connection is not None:
                connection.abort()
        self._dial = None
        if self.connection is None:
            self._failed(refused)

    def _failed(self, refused: bool) -> None:
        self._expire()
        self._is_up = False
        self._host.link_is_down(self, refused)
        if self._queue or self._expected_back:
            self._dial_again()
        else:
            self._delay_s = 0.0

    # --- connections that come and go ---

    def adopt(self, connection: Connection) -> None:
        """The member introduced itself on this connection: use it, or retire it."""
        rival = self.connection
        if rival is connection:
            return
        connection.up_since = self._loop.time()
        if rival is None:
            self._use(connection)
        elif not self._is_race(rival, connection):
            rival.close()
            self._host.link_is_down(self, refused=False)
            self._is_up = False
            self._use(connection)
        elif self._host.keeps_ours(self.member) == (connection.dialed_for is not None):
            self.connection = connection
            rival.retire()
        else:
            connection.retire()

    def _is_race(self, rival: Connection, connection: Connection) -> bool:
        """Did both sides dial at once? Otherwise the member came again because it lost the rival."""
        both_dialed = (rival.dialed_for is None) != (connection.dialed_for is None)
        return both_dialed and connection.up_since - rival.up_since < 2 * self._settings.dial_s

    def _use(self, connection: Connection) -> None:
        self.connection = connection
        self._cancel_redial()
        self._expected_back = True
        self._expire()
        for waiting in self._queue:
            connection.send(waiting.parts, waiting.size)
        self._queue.clear()
        self._queued = 0
        if not self._is_up:
            self._is_up = True
            self._host.link_is_up(self)

    def lost(self, connection: Connection) -> None:
        """This connection is gone."""
        if connection is not self.connection:
            return
        self.connection = None
        if self._dial is not None:
            return  # both had dialed and ours is on its way: its outcome decides
        if self._loop.time() - connection.up_since >= self._settings.redial_max_s:
            self._delay_s = 0.0
        self._is_up = False
        self._host.link_is_down(self, refused=False)
        if self._expected_back or self._queue:
            self._dial_again()

    # --- members that go ---

    def supersede(self) -> None:
        """Another identity answers at the address: this one will not come back."""
        connection, self.connection = self.connection, None
        if connection is not None and connection.member == self.member:
            connection.close()
        self.forget()
        if self._dial is None:
            self._is_up = False
            self._host.link_is_down(self, refused=True)

    def forget(self) -> None:
        """Give up what is queued and stop dialing; a connection that works is left alone."""
        self._expected_back = False
        self._delay_s = 0.0
        self._cancel_redial()
        self.clear()

    def close(self) -> None:
        """Write out what a connection still has, and end."""
        if self._dial is not None:
            self._dial.cancel()
        self.forget()
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def _cancel_redial(self) -> None:
        if self._redial is not None:
            self._redial.cancel()
            self._redial = None
