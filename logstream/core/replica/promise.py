"""What one member has promised, and which view it is in: the part of a Replica that fences (R2, R6, R7, R8).

           StateExchange(e)             ViewInstall(V)                Heartbeat(V) or Resume
    active ----------------> promised ----------------> attempted ---------------------------> active
    (lv = promised)          frozen                     frozen, lv = promised                  V is installed

Frozen is the normal state of whoever is not sure: nothing is appended and nothing acknowledged. No
timer ends it; only an installed leader of the promised epoch does.
"""

from __future__ import annotations

from typing import NamedTuple

from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import NO_EPOCH, Digest, Epoch, Member, View
from logstream.protocol.messages import State


class Votes(NamedTuple):
    """The state marked * in the protocol, but for the log: what a store must keep of a Promise (R19)."""

    promised: Epoch
    last_view: Epoch
    installed: View | None
    attempted: tuple[View, ...]
    accepted: View | None


class Promise:
    """The state marked * in the protocol, but for the log, and the active view."""

    def __init__(self, me: Member) -> None:
        self.me = me
        self.promised = NO_EPOCH  # never decreases (I2)
        self.last_view = NO_EPOCH  # the view whose base the log is; never decreases (I2)
        self.installed: View | None = None  # the newest one known to be installed
        self.attempted: tuple[View, ...] = ()  # all above installed, oldest first
        self.accepted: View | None = None  # the view of last_view
        self.active: View | None = None  # None: frozen

    @property
    def leads(self) -> bool:
        """Is this member the leader of its active view?"""
        return self.active is not None and self.active.leader == self.me

    @property
    def lineage(self) -> Epoch:
        """The lineage of the view that the log is of."""
        return self.accepted.lineage if self.accepted is not None else NO_EPOCH

    def is_overruled_by(self, lineage: Epoch, epoch: Epoch) -> bool:
        """Was another past forced than that of the log here, in a view below the one that the log is of?"""
        return lineage > self.lineage and epoch < self.last_view

    @property
    def votes(self) -> Votes:
        """What must survive this process, where anything does."""
        return Votes(self.promised, self.last_view, self.installed, self.attempted, self.accepted)

    def recover(self, votes: Votes) -> None:
        """Be what was stored, frozen."""
        self.promised, self.last_view, self.installed, self.attempted, self.accepted = votes
        self.active = None

    def promise(self, epoch: Epoch) -> bool:
        """Promise to follow nobody below this epoch (R2). False: a higher one is promised already."""
        if epoch < self.promised:
            return False
        if epoch > self.promised:
            self.promised, self.active = epoch, None
        return True

    def accept(self, view: View, after: tuple[View, ...], installed: View | None) -> None:
        """Note that the log is now the base of this view: attempted, not yet installed (R6)."""
        if view.epoch < self.promised:
            raise LocalProtocolError(f"accepting {view} below the promise {self.promised}")
        self.active, self.accepted = None, view
        self.promised = self.last_view = view.epoch
        self._install(installed)
        self._attempt((*after, view))

    def resume(self, epoch: Epoch) -> View | None:
        """An installed leader of this epoch spoke: be active in its view (R7). None: nothing to resume."""
        view = self.accepted
        if self.active is not None or view is None or self.me not in view.members:
            return None
        if not epoch == self.last_view == self.promised:
            return None
        self._install(view)
        self.active = view
        return view

    def state(self, digest: Digest) -> State:
        """What this member says to the candidate that it has promised."""
        return State(self.promised, self.installed, self.attempted, self.last_view, digest)

    def step_down(self) -> None:
        """Leave the active view; only a leader's word brings this member back."""
        self.active = None

    def _install(self, view: View | None) -> None:
        if view is not None and (self.installed is None or view.epoch > self.installed.epoch):
            self.installed = view
        floor = self.installed.epoch if self.installed else NO_EPOCH
        self.attempted = tuple(view for view in self.attempted if view.epoch > floor)

    def _attempt(self, views: tuple[View, ...]) -> None:
        """Remember attempts newer than the installed view; of several with the same members the newest."""
        floor = self.installed.epoch if self.installed else NO_EPOCH
        newest: dict[tuple[Member, ...], View] = {}
        for view in sorted((*self.attempted, *views), key=lambda view: view.epoch):
            if view.epoch > floor:
                newest[view.members] = view
        self.attempted = tuple(sorted(newest.values(), key=lambda view: view.epoch))

    def check_invariants(self) -> None:
        """Raise LocalProtocolError if a sentence of the protocol does not hold here."""
        if self.active is not None and not self.active.epoch == self.last_view == self.promised:
            raise LocalProtocolError(f"active in {self.active}, promised {self.promised}, last view {self.last_view}")
        if self.active is not None and self.me not in self.active.members:
            raise LocalProtocolError(f"active in {self.active} without being a member of it")
        if self.last_view > self.promised:
            raise LocalProtocolError(f"last view {self.last_view} is above the promise {self.promised}")
