"""What cores say, overheard in the turn in which they say it.

What a core returns is on its way to a transport, or to an actor of its own node; until it gets there the
core may have had other turns. Whether it was true when it was said only this turn can tell.
"""

from __future__ import annotations

from typing import Any

from logstream.core.effects import Effect

METHOD = "handle"


class Overheard:
    """Listens to one core from now on."""

    def __init__(self, core: Any) -> None:
        self.said: list[Effect] = []  # in its last turn
        self._handle = getattr(core, METHOD)
        setattr(core, METHOD, self._hear)

    def _hear(self, event: object) -> list[Effect]:
        self.said = []
        self.said = self._handle(event)
        return self.said
