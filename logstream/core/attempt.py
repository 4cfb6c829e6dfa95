"""One try to install one view: who was asked, what they answered, what was proposed, who stored it (R3, R6).

Bookkeeping only; when an attempt is judged and what follows is view_change.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logstream.protocol.identity import NO_EPOCH, Epoch, Member, View
from logstream.protocol.messages import State, ViewInstall


@dataclass(slots=True)
class Attempt:
    """One try to install one view."""

    epoch: Epoch
    asked: set[Member]
    leavers: set[Member]
    joiners: set[Member]
    states: dict[Member, State] = field(default_factory=dict)
    gone: set[Member] = field(default_factory=set)  # refused, or lost their link
    asked_again: bool = False
    install: ViewInstall | None = None
    targets: set[Member] = field(default_factory=set)  # who is sent VIEW_INSTALL
    acked: set[Member] = field(default_factory=set)
    installed: bool = False
    moved: bool = True  # something was heard since the last look

    @property
    def known_views(self) -> tuple[View, ...]:
        """Q: the newest installed view that was reported, and every attempted one above it (R3)."""
        newest = self.newest_installed
        floor = newest.epoch if newest else NO_EPOCH
        views = {view.epoch: view for state in self.states.values() for view in state.attempted if view.epoch > floor}
        if newest is not None:
            views[newest.epoch] = newest
        return tuple(views[epoch] for epoch in sorted(views))

    @property
    def newest_installed(self) -> View | None:
        """inst*: the newest view that a responder knows to be installed."""
        known = [state.installed for state in self.states.values() if state.installed is not None]
        return max(known, key=lambda view: view.epoch, default=None)
