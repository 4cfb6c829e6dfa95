"""A mirror: what the checkers know of one member, from looking at its log and promises after each of its turns.

It outlives the member: what a dead one held still counts when a quorum is counted, and what it said
still binds it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logstream.protocol.identity import NO_EPOCH, Epoch, Member, View
from logstream.protocol.messages import ReplicateAck


@dataclass(slots=True)
class Mirror:
    """One member, as it was after its last turn."""

    member: Member
    chains: list[int] = field(default_factory=list)  # of its log, by gseq - 1
    promised: Epoch = NO_EPOCH
    last_view: Epoch = NO_EPOCH
    installed: View | None = None
    active: View | None = None
    commit: int = 0
    views: set[Epoch] = field(default_factory=set)  # all that it ever accepted
    said: Epoch = NO_EPOCH  # the highest epoch that it promised or acknowledged aloud
    vouched: Epoch = NO_EPOCH  # the newest view whose base it said to hold
    acked: ReplicateAck | None = None  # the last one that it said

    @property
    def end(self) -> int:
        """The last gseq held."""
        return len(self.chains)

    @property
    def name(self) -> str:
        """Which node, and which incarnation of it."""
        return f"{self.member.node_id} ({self.member.store_id[:4]})"

    def holds(self, gseq: int, chain: int) -> bool:
        """Is this member's log, up to gseq, the one with this chain?"""
        return gseq == 0 or (gseq <= len(self.chains) and self.chains[gseq - 1] == chain)
