"""Why the next view should differ from this one: who wants in, who wants out, who is left out, and when (R18).

Bookkeeping of one view manager. Every wish stays until a view that grants it is installed, so that what
comes up during a change is taken up by the next one.
"""

from __future__ import annotations

from collections.abc import Callable

from logstream.core.quorum import enough
from logstream.protocol.identity import NO_EPOCH, Epoch, Member, View

AGAIN_S = 3.0  # after a joiner that did not answer, or a member that was left out; doubling to AGAIN_MAX_S
AGAIN_MAX_S = 60.0
FORGIVEN_S = 60.0  # after the wait: who was no trouble for so long begins anew
GROWTH_S = 1.0  # growth at most so often, once the cluster has its expected size
RISE_S = 1.0  # for the sake of a member that promised more, at most so often (R7)
LEFT_MAX = 1000  # members


class Wishes:
    """What speaks for a change of the present view."""

    def __init__(self, expected_nodes: Callable[[], int]) -> None:
        self.joiners: dict[Member, None] = {}  # caught up, not admitted yet
        self.shrinking = False  # to this member alone (R20)
        self._leavers: dict[Member, None] = {}
        self.stalled: dict[Member, None] = {}  # they hold everybody back, and the rest was enough
        self._lost: dict[Member, None] = {}  # members that the leader does not hear any more
        self._above = NO_EPOCH  # a member promised so much: it can follow in a higher view only
        self._risen_at = float("-inf")
        self._left: dict[Member, None] = {}  # who said LEAVE or HANDOVER is never a joiner again, the last LEFT_MAX
        self._not_before: dict[Member, tuple[float, float]] = {}  # until when, and the wait after that
        self._grown_at = float("-inf")
        self._expected_nodes = expected_nodes

    @property
    def outgoing(self) -> set[Member]:
        """The members that the next view should not have."""
        return {*self._leavers, *self.stalled}

    def join(self, learner: Member, view: View | None, now: float) -> None:
        """A learner has caught up."""
        until, _ = self._not_before.get(learner, (0.0, 0.0))
        if learner in self._left:  # it hears the first heartbeat without itself and asks what it missed
            return
        if now >= until and (view is None or learner not in view.members):
            self.joiners[learner] = None

    def leave(self, member: Member, counts: bool) -> None:
        """A member said that it goes; `counts` if it is in a view that is led here."""
        self.joiners.pop(member, None)
        self._left[member] = None
        if len(self._left) > LEFT_MAX:
            del self._left[next(iter(self._left))]
        if counts:
            self._leavers[member] = None

    def leave_out(self, member: Member, view: View, heard: set[Member]) -> None:
        """A member holds everybody back; it goes if the rest is enough, and may come back later."""
        rest = heard - self.outgoing - {member}
        if member in view.members and enough(rest, view):
            self.stalled[member] = None

    def lose(self, member: Member) -> None:
        """A member is dead or silent: the next view should do without it."""
        self._lost[member] = None

    def hear(self, serving: tuple[Member, ...]) -> None:
        """These members are heard."""
        self._lost = {member: None for member in self._lost if member not in serving}

    def begin(self) -> None:
        """A change begins: who was lost before it and is in the next view after all has answered it."""
        self._lost.clear()

    def rise_above(self, promised: Epoch) -> None:
        """A member has promised this epoch: the next view must be above it (R7)."""
        self._above = max(self._above, promised)

    def put_off(self, member: Member, now: float) -> None:
        """Not again for a while."""
        self._not_before = {one: wait for one, wait in self._not_before.items() if now <= wait[0] + FORGIVEN_S}
        _, wait_s = self._not_before.get(member, (now, AGAIN_S))
        self._not_before[member] = (now + wait_s, min(2 * wait_s, AGAIN_MAX_S))
        self.joiners.pop(member, None)

    def wait(self, view: View | None, now: float) -> float | None:
        """Seconds until a change is due, 0 for now; None if there is no reason for one."""
        if self.outgoing or self.shrinking or self._lost:
            return 0.0
        waits = []
        if view is not None and self._above > view.epoch:
            waits.append(self._risen_at + RISE_S - now)
        if self.joiners:
            small = view is not None and len(view.members) < self._expected_nodes()
            waits.append(0.0 if small else self._grown_at + GROWTH_S - now)
        return max(min(waits), 0.0) if waits else None

    def granted(self, view: View, before: View | None, me: Member, now: float) -> None:
        """This view is installed: what it grants is no wish any more."""
        members = view.members
        if before is not None and len(members) > len(before.members):
            self._grown_at = now
        if before is not None and before.epoch < self._above < view.epoch:
            self._risen_at = now
        for member in self.stalled:
            if member not in members:
                self.put_off(member, now)
        self.stalled.clear()  # who had to stay after all is judged anew
        self._lost = {member: None for member in self._lost if member in members}
        self.joiners = {joiner: None for joiner in self.joiners if joiner not in members}
        self._leavers = {member: None for member in members if member in self._leavers or member in self._left}
        self.shrinking = self.shrinking and members != (me,)

    def stop_leading(self) -> None:
        """Another node leads: learners will tell it, and who stalls or is silent is its to judge.

        Whether the cluster dissolves, too: by the time this member leads again it may hold topics.
        """
        self.shrinking = False
        for wishes in (self.joiners, self.stalled, self._lost):
            wishes.clear()
