"""How the leader's entries reach the members of its view: one multicast for many, TCP for the rest (R16).

    multicast   o-----------------o-------------------> next        within the credit of the slowest
    TCP         per member        o---> next                        within a window of unacknowledged bytes

A member is served by TCP until two acks in a row say that it hears multicast and TCP has brought it up
to where the multicast is; it goes back to TCP when it stops hearing, or when it has held the multicast
back for HELD_S without acknowledging anything. So a network without multicast works, and one slow
member does not hold the others.

What was sent and lost is not remembered here: the member asks for it (NACK), and is answered by TCP.
A member that lacks entries which are cut from the head of the log gets the first slice of the checkpoint
instead, once for every ack, and asks for the rest (R16); nothing else is sent to it before it has that.
"""

from __future__ import annotations

from dataclasses import dataclass

from logstream.core.effects import Effect, Multicast, Send
from logstream.core.events import LinkDown, LinkUp
from logstream.core.replica.history import History
from logstream.core.replica.snapshot import slice_of
from logstream.core.replica.tally import Tally
from logstream.protocol.identity import Member, View
from logstream.protocol.messages import Entry, Heartbeat, Replicate, ReplicateAck

HELD_S = 0.1
HEARS_AFTER = 2  # acks in a row
UNANSWERED_MAX = 2  # heartbeats in a row
LARGE = 256 << 10  # bytes: a larger batch goes to every member by TCP
DATAGRAM_SLICE = 64 << 10  # bytes of entries in one multicast message
TCP_SLICE = 1 << 20
TCP_WINDOW = 4 << 20
SLICE_ENTRIES = 1000


@dataclass(slots=True)
class Flow:
    """What the leader knows of the way to one member."""

    member: Member
    next: int  # the gseq that TCP sends next
    by_tcp: bool = True
    hears: int = 0  # acks in a row that said so
    credit: int = 0
    held_since: float | None = None  # entries wait for its credit since then, and its ack has not moved
    unanswered: int = 0  # heartbeats since its last ack
    down: bool = False  # its link is broken: nothing is sent before it is back
    told_commit: int = -1  # the commit that TCP last brought
    begun_anew: bool = False  # it was sent the beginning of a checkpoint, and nothing was heard of it since


class Outflow:
    """Sends a leader's log to the other members of its view."""

    def __init__(self, view: View, me: Member, history: History, tally: Tally) -> None:
        self._view = view
        self._history = history
        self._log = history.log
        self._match = tally.match
        self._next = history.end + 1  # the gseq that multicast sends next
        self._told_commit = -1
        self.flows = {member: Flow(member, view.base + 1) for member in view.members if member != me}

    def acked(self, member: Member, ack: ReplicateAck, moved: bool) -> None:
        """Note what an ack says about the way to its member."""
        flow = self.flows[member]
        flow.credit, flow.down, flow.unanswered, flow.begun_anew = ack.credit, False, 0, False
        flow.hears = flow.hears + 1 if ack.hears_multicast else 0
        if moved:
            flow.held_since = None
        flow.next = max(flow.next, ack.gseq + 1)
        if not ack.hears_multicast:
            self._to_tcp(flow)
        elif flow.by_tcp and flow.hears >= HEARS_AFTER:
            self._to_multicast(flow)

    def link_changed(self, event: LinkUp | LinkDown) -> None:
        """The link to a member came up or went down."""
        if isinstance(event, LinkDown):
            self.link_lost(event.member)
        else:
            self.link_back(event.member)

    def link_lost(self, member: Member) -> None:
        """What TCP had under way to this member is gone: once the link is back, go on from its last ack."""
        flow = self.flows.get(member)
        if flow is not None:
            self._to_tcp(flow)
            flow.down, flow.next, flow.told_commit = True, self._acked_by(flow) + 1, -1

    def link_back(self, member: Member) -> None:
        """This member can be reached by TCP again."""
        flow = self.flows.get(member)
        if flow is not None:
            flow.down = False

    def _to_tcp(self, flow: Flow) -> None:
        if not flow.by_tcp:
            flow.by_tcp, flow.next, flow.held_since = True, self._acked_by(flow) + 1, None

    def _to_multicast(self, flow: Flow) -> None:
        listeners = any(not other.by_tcp for other in self.flows.values())
        if not listeners:
            self._next = flow.next
        if flow.next >= self._next:
            flow.by_tcp = False

    def flush(self, commit: int, at: float) -> list[Effect]:
        """Send what is new, entries or commit, as far as credit and windows allow."""
        effects: list[Effect] = self._multicast(commit, at)
        for flow in self.flows.values():
            if flow.by_tcp and not flow.down:
                effects += self._unicast(flow, commit)
        return effects

    def heartbeat(self, beat: Heartbeat, to_all: bool) -> list[Effect]:
        """The heartbeat by multicast, and by TCP to those who do not hear it; the first of a view by both."""
        for flow in self.flows.values():
            flow.unanswered += 1
            if flow.unanswered > UNANSWERED_MAX:  # who hears nothing acknowledges nothing, and cannot say so
                self._to_tcp(flow)
        effects: list[Effect] = [Multicast(beat)]
        effects += [Send(flow.member, beat) for flow in self.flows.values() if flow.by_tcp or to_all]
        return effects

    def by_tcp(self) -> list[str]:
        """The node_ids of the members that are served by TCP."""
        return sorted(flow.member.node_id for flow in self.flows.values() if flow.by_tcp)

    def repair(self, member: Member, first: int, last: int, commit: int) -> list[Effect]:
        """Send a member what it misses, over TCP."""
        if first < self._log.start:
            return [self._snapshot(member)]
        entries = self._log.entries(first, last, TCP_SLICE, SLICE_ENTRIES)
        return [Send(member, self._replicate(entries, commit))] if entries else []

    # --- multicast ---

    def _multicast(self, commit: int, at: float) -> list[Effect]:
        for flow in self.flows.values():
            if not flow.by_tcp and self._acked_by(flow) < self._log.start - 1:
                self._to_tcp(flow)
        listeners = [flow for flow in self.flows.values() if not flow.by_tcp]
        if not listeners:
            return []
        self._next = max(self._next, self._log.start)  # whoever is left here has all that is cut
        reach = {flow.member: self._reach(flow, at) for flow in listeners}
        listeners = [flow for flow in listeners if not flow.by_tcp]  # who holds the others back has just left them
        last = min((reach[flow.member] for flow in listeners), default=self._next - 1)
        effects: list[Effect] = []
        while self._next <= last:
            entries = self._log.entries(self._next, last, DATAGRAM_SLICE, SLICE_ENTRIES)
            effects += self._to_group(entries, commit, listeners)
            self._next = entries[-1].gseq + 1
        if not effects and listeners and commit > self._told_commit:
            effects.append(Multicast(self._replicate((), commit)))
        if effects:
            self._told_commit = commit
        return effects

    def _to_group(self, entries: tuple[Entry, ...], commit: int, listeners: list[Flow]) -> list[Effect]:
        message = self._replicate(entries, commit)
        if len(entries) == 1 and entries[0].size > LARGE:
            return [Send(flow.member, message) for flow in listeners]
        return [Multicast(message)]

    def _reach(self, flow: Flow, at: float) -> int:
        """The last gseq that this member's credit allows; one entry is always allowed to be under way."""
        acked = self._acked_by(flow)
        reach = max(self._log.last_within(acked + 1, flow.credit), min(acked + 1, self._log.end))
        if reach >= self._log.end:
            flow.held_since = None
        elif flow.held_since is None:
            flow.held_since = at
        elif at - flow.held_since > HELD_S:
            self._to_tcp(flow)
        return reach

    # --- TCP ---

    def _unicast(self, flow: Flow, commit: int) -> list[Effect]:
        effects: list[Effect] = []
        acked = self._acked_by(flow)
        if acked < self._log.start - 1:
            effects, flow.begun_anew = [] if flow.begun_anew else [self._snapshot(flow.member)], True
            return effects
        flow.next = max(flow.next, self._log.start)
        while flow.next <= self._log.end and self._log.bytes_between(acked, flow.next - 1) < TCP_WINDOW:
            entries = self._log.entries(flow.next, self._log.end, TCP_SLICE, SLICE_ENTRIES)
            effects.append(Send(flow.member, self._replicate(entries, commit)))
            flow.next = entries[-1].gseq + 1
        if not effects and commit > flow.told_commit:
            effects.append(Send(flow.member, self._replicate((), commit)))
        if effects:
            flow.told_commit = commit
        return effects

    def _snapshot(self, member: Member) -> Effect:
        return Send(member, slice_of(self._history, self._view.epoch, 0))

    def _acked_by(self, flow: Flow) -> int:
        return max(self._match[flow.member], self._view.base)

    def _replicate(self, entries: tuple[Entry, ...], commit: int) -> Replicate:
        return Replicate(self._view.epoch, entries, self._log.end, commit, self._view.lineage)
