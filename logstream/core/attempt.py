"""One try to install one view: who was asked, what they answered, what was proposed, who stored it (R3, R6).

Bookkeeping only; when an attempt is judged and what follows is view_change.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logstream.core import quorum
from logstream.protocol.identity import NO_EPOCH, CommitRule, Epoch, Member, View
from logstream.protocol.messages import State, ViewInstall


@dataclass(slots=True)
class Attempt:
    """One try to install one view."""

    epoch: Epoch
    asked: set[Member]
    leavers: set[Member]
    joiners: set[Member]
    forced: bool = False  # the operator's word replaces the quorum
    stalled: set[Member] = field(default_factory=set)  # leavers who stay if the rest is not enough
    states: dict[Member, State] = field(default_factory=dict)
    gone: set[Member] = field(default_factory=set)  # refused, or lost their link
    asked_again: bool = False
    gathering: bool = False  # judged: the base is being put together, or is there
    members: set[Member] = field(default_factory=set)  # of the new view
    install: ViewInstall | None = None
    targets: set[Member] = field(default_factory=set)  # who is sent VIEW_INSTALL
    acked: set[Member] = field(default_factory=set)
    installed: bool = False
    moved: bool = True  # a range, a fetch or an ack was seen since the last look
    repeats: int = 0  # of VIEW_INSTALL since the view is installed

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

    def new_members(self, me: Member, commit: CommitRule) -> set[Member]:
        """Who belongs to the new view (Q9a): with commit = majority failure takes nobody out.

        Responders that an attempted view has admitted stay admitted: one of them may be the candidate.
        """
        responders = set(self.states)
        newest = self.newest_installed
        old = quorum.members_of(self.known_views)
        admitted = (self.joiners if old else {me}) & responders
        keep = responders & old
        majority = commit == "majority" and not self.forced
        if majority and newest is not None and quorum.more_than_half(responders, newest.members):
            keep |= set(newest.members)
        present = admitted | (keep & responders)
        replaced = {member for member in keep - present if any(_same_node(member, other) for other in present)}
        replaced |= {member for member in keep if any(_same_node(member, joiner) for joiner in admitted)}
        return (keep | admitted) - self.leavers - replaced


def _same_node(member: Member, other: Member) -> bool:
    """Is the other another incarnation of this member (R15)? Of two, the one that answers is the newer."""
    return other.node_id == member.node_id and other.store_id != member.store_id
