"""What a Replica says, overheard as it leaves the actor, by whatever way.

    core -> Storing, which may hold it back for some turns -> actor -> Overheard -> TCP, multicast, broadcast, home

Until it gets to its transport the core may have had other turns. Whether it was true when it was said only
the turn in which it left can tell: who has promised more since the core decided to say it must not say it any
more (R2).
"""

from __future__ import annotations

from typing import Any

from actors.host import Mesh
from actors.mesh import Seat
from logstream.core.effects import Effect, Send
from logstream.protocol.messages import ReplicateAck, ViewInstallAck

DATAGRAMS = (Seat.MULTICAST, Seat.BROADCAST)


class Overheard:
    """Listens to the acknowledgements that leave one node from now on; a Replica alone says any."""

    def __init__(self, mesh: Mesh) -> None:
        self.said: list[Effect] = []  # since it was taken last
        self._send = mesh.send
        mesh.send = self._hear  # type: ignore[method-assign]
        for seat in DATAGRAMS:
            if seat in mesh.refs:
                mesh.refs[seat] = _Tapped(mesh.refs[seat], self.said)

    def take(self) -> list[Effect]:
        """What has been said since this was asked last."""
        said = self.said[:]
        self.said.clear()
        return said

    def _hear(self, effect: Send) -> None:
        if isinstance(effect.message, ReplicateAck | ViewInstallAck):
            self.said.append(effect)
        self._send(effect)


class _Tapped:
    """A transport that also tells what it is told to say."""

    def __init__(self, transport: Any, said: list[Effect]) -> None:
        self._transport = transport
        self._said = said

    def tell(self, effect: Any) -> None:
        """Note it, and pass it on."""
        if isinstance(getattr(effect, "message", None), ReplicateAck | ViewInstallAck):
            self._said.append(effect)
        self._transport.tell(effect)
