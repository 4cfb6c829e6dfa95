"""Which log a new view starts from (R5), as a pure function of what the responders hold.

The base is the longest log among those whose last view is the highest one: any of them that was in
that view holds everything it committed, and their logs are prefixes of one another. What other
responders hold beyond the common prefix was never acknowledged; it is not thrown away either: what
continues its producer is appended to the base (replica/gathering).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from logstream.core.replica.log import common_prefix, is_prefix
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Digest, Member
from logstream.protocol.messages import State


class Plan(NamedTuple):
    """Whose log is the base, and who holds entries that are not in it, in the order in which they are read."""

    source: Member
    base: Digest
    orphans: tuple[tuple[Member, Digest], ...]


def plan(states: Mapping[Member, State], me: Member) -> Plan:
    """The base for these responders; among equal logs one's own, which need not be moved.

    Raises LocalProtocolError if two logs of the highest last view are not prefixes of one another (I5).
    """
    top = max(state.last_view for state in states.values())
    holders = {member: state.digest for member, state in states.items() if state.last_view == top}
    source = max(holders, key=lambda member: (holders[member].end, member == me, member))
    base = holders[source]
    for member, digest in holders.items():
        if not is_prefix(digest, base):
            raise LocalProtocolError(f"the logs of {member} and {source} differ within the view {top}")
    others = [
        (state.last_view, state.digest.end, member)
        for member, state in states.items()
        if state.digest.end > max(common_prefix(state.digest, base), base.start - 1)
    ]
    ordered = [member for _, _, member in sorted(others, reverse=True)]
    return Plan(source, base, tuple((member, states[member].digest) for member in ordered))
