"""What all actors of the mesh share: hearing a message, asking the core, doing what it returns.

    Received, Due, event -> core.handle -> [Send, Multicast, SetTimer, Announce, ...] -> done in order

An actor that needs no more than this is its docstring and its core. What a peer may not say is
counted and dropped here; whatever else a core raises ends the node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from loguru import logger

from actors.mesh import LOCAL, WIRE, Seat
from logstream.core import effects as do
from logstream.core.events import Received
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.identity import Member
from logstream.runtime import NodeActor, Scheduler, To

LOG_EVERY_S = 1.0


class Core(Protocol):
    """Rules without a clock, dice, socket or thread of their own."""

    def handle(self, event: Any) -> list[do.Effect]:
        """One event; what is to be done about it."""
        ...


class Mesh:
    """Where messages go on one node. Built empty, wired once, before any message flows."""

    def __init__(self, me: Member, now: Callable[[], float], halt: Callable[[str], None]) -> None:
        self.me = me
        self.now = now
        self.halt = halt
        self.refs: dict[Seat, To[Any]] = {}
        self.undelivered: Counter[str] = Counter()
        self._wire: dict[type, To[Any]] = {}
        self._local: dict[type, tuple[To[Any], ...]] = {}

    def wire(self, refs: dict[Seat, To[Any]]) -> None:
        """Fill both tables; a seat that nobody holds hears nothing."""
        self.refs = refs
        self._wire = {kind: refs[seat] for kind, seat in WIRE.items() if seat in refs}
        self._local = {kind: tuple(refs[seat] for seat in seats if seat in refs) for kind, seats in LOCAL.items()}

    def deliver(self, received: Received) -> None:
        """A message from the wire goes to its one handler."""
        self._wire[type(received.message)].tell(received)

    def announce(self, event: object) -> None:
        """A local event goes to everybody who listens to its type."""
        for listener in self._local[type(event)]:
            listener.tell(event)

    def send(self, effect: do.Send) -> None:
        """Over TCP, or at home by the same message."""
        if effect.to == self.me:
            self.deliver(Received(effect.message, self.me, self.now()))
        else:
            self.refs[Seat.TCP].tell(effect)


class CoreActor(NodeActor):
    """An actor that runs one core."""

    seat: Seat

    def __init__(self, scheduler: Scheduler, mesh: Mesh, core: Core) -> None:
        super().__init__(scheduler)
        self.mesh = mesh
        self.core = core
        self.refused = 0
        self._refused_logged_at = -LOG_EVERY_S
        self._log = logger.bind(node=mesh.me.node_id, actor=self.seat)

    @property
    def name(self) -> str:
        """What `status` and the log call this actor."""
        return self.seat

    def on_receive(self, message: Any) -> None:
        """Let the core decide, and do it."""
        try:
            effects = self.core.handle(message)
        except RemoteProtocolError as error:
            self._refuse(error)
            return
        if effects:
            self.perform(effects)

    def perform(self, effects: list[do.Effect]) -> None:
        """Do what a core wants done, in order."""
        for effect in effects:
            match effect:
                case do.Send():
                    self.mesh.send(effect)
                case do.Announce(event=event):
                    self.announce(event)
                case do.SetTimer(timer=timer, after_s=after_s):
                    self.set_timer(timer, after_s)
                case do.Multicast():
                    self.mesh.refs[Seat.MULTICAST].tell(effect)
                case do.Reply() | do.Forward():
                    self.mesh.refs[Seat.TCP].tell(effect)
                case do.CancelTimer(timer=timer):
                    self.cancel_timer(timer)
                case do.Broadcast() | do.Unicast():
                    self.mesh.refs[Seat.BROADCAST].tell(effect)
                case do.Note():
                    self._note(effect)
                case do.Halt(reason=reason):
                    self.mesh.halt(reason)

    def announce(self, event: object) -> None:
        """Tell whoever listens; actors that tell a topic's own log override this."""
        self.mesh.announce(event)

    def _note(self, note: do.Note) -> None:
        log = self._log.bind(**note.fields)
        (log.warning if note.warning else log.info)(note.text)

    def _refuse(self, error: RemoteProtocolError) -> None:
        """A peer broke a rule: count it, say so at most once a second, drop it."""
        self.refused += 1
        if self.mesh.now() - self._refused_logged_at >= LOG_EVERY_S:
            self._refused_logged_at = self.mesh.now()
            self._log.bind(error=str(error)).warning("refused")

    def report(self) -> dict[str, Any]:
        """Facts for `status`."""
        return {"refused": self.refused}
