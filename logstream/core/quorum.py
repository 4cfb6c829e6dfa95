"""What is a quorum (Q3): which sets of members are enough to account for a view.

A set is enough for a view if it holds more than half of its members, or exactly half and among them
the highest identity of the view's own list (tie-break). Time and silence have no part in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from logstream.protocol.identity import Member, View


def enough(present: Collection[Member], view: View) -> bool:
    """Do these members account for the view (Q3 (a) and (b))?"""
    have = sum(member in present for member in view.members)
    if 2 * have == len(view.members):
        return max(view.members) in present
    return 2 * have > len(view.members)


def enough_for_all(present: Collection[Member], views: Iterable[View]) -> bool:
    """Do these members account for every one of the views (R3)?"""
    return all(enough(present, view) for view in views)


def more_than_half(present: Collection[Member], members: Collection[Member]) -> bool:
    """Is this a strict majority? What installs a view in its own members; no tie-break."""
    return 2 * sum(member in present for member in members) > len(members)


def floor_of(expected_nodes: int) -> int:
    """How many members a cluster of this size needs before an empty one sequences anything (Q10)."""
    return expected_nodes // 2 + 1


def members_of(views: Iterable[View]) -> set[Member]:
    """Everybody who is a member of one of these views."""
    return {member for view in views for member in view.members}
