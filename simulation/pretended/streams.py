"""A pretended TCP connection: in order and complete, until it breaks; each end learns of that on its own.

    write ---> [way is free]  arrives after a delay, never before what was written earlier
               [way is cut]   waits; after the cut it goes on, or one end has given up meanwhile
    an end that is gone answers what still arrives for it with a reset
    a process that dies ends its connections; its kernel says so until it is heard, after a cut if need be
    a machine that loses its power says nothing

So a connection may be half open: one end believes in it, the other is gone. That is not a fault of the
pretence, it is what cables and crashes do to TCP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from simulation.pretended.machine import Machine
from simulation.pretended.virtual_loop import VirtualLoop

RETRANSMIT_S = 0.2  # at most, after a cut has healed
LINGER_S = 2.0  # for which a retired end hears what is under way (tcp_connection.py)
KEEPALIVE_S = 30.0  # after which a node, not a client, notices that nobody is at the other end (tcp_connection.py)


class Ways(Protocol):
    """What a stream needs to know of the network."""

    loop: VirtualLoop

    def open_way(self, source: str, target: str) -> bool:
        """Can segments go from this address to that one now?"""
        ...

    def stream_delay(self, source: str, target: str) -> float:
        """Seconds that a segment takes now."""
        ...

    def give_up_s(self) -> float:
        """How long an end waits for an acknowledgement."""
        ...

    def forget(self, stream: Stream) -> None:
        """Both ends are gone."""
        ...


@dataclass(slots=True)
class End:
    """One end of a connection: where it is, and whom it tells what."""

    address: str
    machine: Machine | None  # None: a client, whose process is never paused
    hear: Callable[[Any], None]
    broken: Callable[[], None]
    is_open: bool = True


class Stream:
    """One connection between two ends, numbered 0 and 1."""

    def __init__(self, ways: Ways, first: End, second: End) -> None:
        self.ends = (first, second)
        self._ways = ways
        self._loop = ways.loop
        self._last_arrival = [0.0, 0.0]  # of what this end wrote
        self._stalled: tuple[list[Any], list[Any]] = ([], [])  # written into a cut
        self._waiting_since: list[float | None] = [None, None]  # for an acknowledgement that cannot come
        self._retired = [False, False]
        self._unheard = [False, False]  # the other end is gone, and this one could not be told

    @property
    def is_whole(self) -> bool:
        """Are both ends there?"""
        return self.ends[0].is_open and self.ends[1].is_open

    def side_of(self, address: str) -> int:
        """The number of the end at this address."""
        return 0 if self.ends[0].address == address else 1

    def write(self, side: int, item: Any) -> None:
        """Send something to the other end."""
        end, other = self.ends[side], self.ends[1 - side]
        if not end.is_open:
            return
        way, back = self._ways.open_way(end.address, other.address), self._ways.open_way(other.address, end.address)
        if self._stalled[side] or not way:
            self._stalled[side].append(item)
        else:
            self._carry(side, item, 0.0)
        if not (way and back) and self._waiting_since[side] is None:
            self._waiting_since[side] = self._loop.time()
            self._loop.call_later(self._ways.give_up_s(), self._give_up, side)

    def healed(self) -> None:
        """Some cut is over: what waited goes on where it can."""
        for side in (0, 1):
            source, target = self.ends[side].address, self.ends[1 - side].address
            if not (self._ways.open_way(source, target) and self._ways.open_way(target, source)):
                continue
            self._waiting_since[side] = None
            if self._unheard[side]:
                self._reset(side)
            if self._stalled[side]:
                later = self._loop.dice.uniform(0.0, RETRANSMIT_S)
                for item in self._stalled[side]:
                    self._carry(side, item, later)
                self._stalled[side].clear()

    def close(self, side: int, silent: bool = False) -> None:
        """This end is gone, or its process is; the other one hears of it as soon as it can. Silent: it does not."""
        end = self.ends[side]
        if end.is_open:
            end.is_open = False
            self._stalled[side].clear()
            if not silent:
                self._reset(1 - side)
            elif self.ends[1 - side].machine is not None:
                self._loop.call_later(KEEPALIVE_S, self._break, 1 - side)

    def retire(self, side: int) -> None:
        """This end writes on another connection from now on; what is under way on this one is still heard."""
        self._retired[side] = True
        if all(self._retired):
            self._loop.call_later(max(self._last_arrival) + 1e-6 - self._loop.time(), self._part)
        else:
            self._loop.call_later(LINGER_S, self._cut_off)

    def abort(self) -> None:
        """Something on the way resets the connection; both ends hear of it at once."""
        self._break(0)
        self._break(1)

    def _carry(self, side: int, item: Any, later: float) -> None:
        source, target = self.ends[side], self.ends[1 - side]
        now, delay = self._loop.time(), later + self._ways.stream_delay(source.address, target.address)
        arrival = self._last_arrival[side] = max(now + delay, self._last_arrival[side] + 1e-6)
        self._loop.call_later(arrival - now, self._arrive, side, item)

    def _arrive(self, side: int, item: Any) -> None:
        target = self.ends[1 - side]
        if not target.is_open:
            self._reset(side)
        elif target.machine is None:
            target.hear(item)
        else:
            target.machine.run_here(self._hear, target, item)

    def _hear(self, target: End, item: Any) -> None:
        if target.is_open:
            target.hear(item)

    def _cut_off(self) -> None:
        """This end has lingered for long enough."""
        if all(self._retired) and not any(self._stalled):
            self._part()
        else:
            self.abort()

    def _part(self) -> None:
        """Both ends have retired: each closes after what it has still to read, and nobody is told."""
        if any(self._stalled):
            return
        for end in self.ends:
            if end.machine is not None:
                end.machine.run_here(self._leave, end)

    def _leave(self, end: End) -> None:
        end.is_open = False
        if not (self.ends[0].is_open or self.ends[1].is_open):
            self._ways.forget(self)

    def _reset(self, side: int) -> None:
        """Tell this end that the other is gone, if that can be told."""
        end, other = self.ends[side], self.ends[1 - side]
        self._unheard[side] = True
        if not end.is_open:
            self._ways.forget(self)
        elif self._ways.open_way(other.address, end.address):
            arrival = max(
                self._loop.time() + self._ways.stream_delay(other.address, end.address),
                self._last_arrival[1 - side] + 1e-6,  # after what was written before it
            )
            self._loop.call_later(arrival - self._loop.time(), self._break, side)

    def _give_up(self, side: int) -> None:
        since = self._waiting_since[side]
        if since is not None and self._loop.time() - since >= 0.999 * self._ways.give_up_s():
            self._break(side)

    def _break(self, side: int) -> None:
        end = self.ends[side]
        if not end.is_open:
            return
        end.is_open = False
        self._stalled[side].clear()
        if end.machine is None:
            end.broken()
        else:
            end.machine.run_here(end.broken)
        self._reset(1 - side)
