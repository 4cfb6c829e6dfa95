"""How far the members of a view have acknowledged, and what is therefore committed (R10, Q9).

`commit = all` waits for every member of the view, `majority` for more than half of all of them, dead or
not. Only acks of the view's own epoch count; whoever wants a dead member out of the count changes the
view.
"""

from __future__ import annotations

from collections.abc import Collection

from logstream.protocol.identity import Member, View


class Tally:
    """match[member] of the active view, on its leader."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.match: dict[Member, int] = dict.fromkeys(view.members, -1)  # -1: has not acked in this epoch

    def ack(self, member: Member, gseq: int) -> bool:
        """Note that a member stores everything up to gseq. False if it is not a member or this is no news."""
        if gseq <= self.match.get(member, gseq):
            return False
        self.match[member] = gseq
        return True

    def committed(self) -> int:
        """The highest gseq that is stored by as many members as the view's commit rule says (Q9)."""
        descending = sorted(self.match.values(), reverse=True)
        needed = len(descending) if self._view.commit == "all" else len(descending) // 2 + 1
        return max(descending[needed - 1], 0)

    def missing(self, gseq: int) -> list[Member]:
        """The members that have not stored gseq yet."""
        return sorted(member for member, match in self.match.items() if match < gseq)

    def best_follower(self, heard: Collection[Member]) -> Member | None:
        """The member with the highest ack besides the leader, of those that are heard: the dead may stay (Q9a, R18)."""
        others = [member for member in self.match if member != self._view.leader and member in heard]
        return max(others, key=lambda member: (self.match[member], member), default=None)
