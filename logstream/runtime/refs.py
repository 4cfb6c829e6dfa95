"""Typed refs. Pykka's own `tell` takes Any; every ref in this project is a To[M] instead."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from pykka import ActorRef
from pykka._envelope import Envelope

M = TypeVar("M", contravariant=True)


class To(Protocol[M]):
    """Somebody who can be told an M."""

    def tell(self, message: M) -> None:
        """Put the message into the receiver's inbox and return at once."""
        ...


class SafeRef(To[M]):
    """A ref whose receiver may be gone: what is told to the dead is counted and dropped.

    Without it one dead actor would end every actor that tells it something (ActorDeadError is raised
    in the sender).
    """

    __slots__ = ("_inbox", "_ref", "_stopped", "undelivered")

    def __init__(self, ref: ActorRef[Any]) -> None:
        self._ref = ref
        self._inbox = ref.actor_inbox
        self._stopped = ref.actor_stopped
        self.undelivered = 0

    def tell(self, message: M) -> None:
        """Tell, or count the message as undelivered; what ActorRef.tell does, in one call instead of three."""
        if self._stopped.is_set():
            self.undelivered += 1
        else:
            self._inbox.put(Envelope(message))

    def stop(self) -> None:
        """Ask the actor to stop after what is in its inbox; no word if it has stopped already."""
        self._ref.stop(block=False)
