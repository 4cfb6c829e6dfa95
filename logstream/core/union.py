"""Which log a new view starts from (R5), as a pure function of what the responders hold.

The base is the longest log among those whose last view is the highest one: any of them that was in
that view holds everything it committed, and their logs are prefixes of one another. What other
responders hold beyond the common prefix was never acknowledged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from logstream.core.replica.log import common_prefix
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Digest, Member
from logstream.protocol.messages import State


class Plan(NamedTuple):
    """Whose log is the base."""

    source: Member
    base: Digest


def plan(states: Mapping[Member, State], me: Member) -> Plan:
    """The base for these responders; among equal logs one's own, which need not be moved.

    Raises LocalProtocolError if two logs of the highest last view are not prefixes of one another (I5).
    """
    top = max(state.last_view for state in states.values())
    holders = {member: state.digest for member, state in states.items() if state.last_view == top}
    source = max(holders, key=lambda member: (holders[member].end, member == me, member))
    base = holders[source]
    for member, digest in holders.items():
        if common_prefix(digest, base) != digest.end:
            raise LocalProtocolError(f"the logs of {member} and {source} differ within the view {top}")
    return Plan(source, base)
