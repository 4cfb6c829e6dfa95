"""Who is who and which view is which: the values that every message is made of.

A member is a node together with its store; a node that comes back with empty memory is another
member under the same node_id. An epoch names one attempt to lead and is unique by construction
(rule R1): no clock has a part in it. A view is what the cluster agrees on: who leads, who belongs.
A digest says which log a member holds in a few numbers, so that two logs can be compared without
moving them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

CommitRule = Literal["all", "majority"]


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """One node with one store. Ordered and compared by identity; the address only says where it answers."""

    node_id: str
    store_id: str
    address: str = field(default="", compare=False)  # "host:port" of its TCP listener

    def __str__(self) -> str:
        return self.node_id


class Epoch(NamedTuple):
    """One attempt to lead, compared as a tuple (R1)."""

    n: int
    node_id: str
    store_id: str

    @classmethod
    def of(cls, n: int, candidate: Member) -> Epoch:
        """The epoch number `n` of this candidate."""
        return cls(n, candidate.node_id, candidate.store_id)

    def __str__(self) -> str:
        return f"{self.n}/{self.node_id}" if self.n else "none"


NO_EPOCH = Epoch(0, "", "")


@dataclass(frozen=True, slots=True)
class View:
    """What the members agree on. People see "view 7" for n = 7."""

    epoch: Epoch
    leader: Member
    members: tuple[Member, ...]  # sorted
    follows: tuple[Epoch, ...]  # the views that its candidate had to account for (R3)
    base: int  # the last gseq of the log that it starts from
    cluster_id: str
    commit: CommitRule  # Q9; changes only with a view
    lineage: Epoch = NO_EPOCH

    def member(self, node_id: str) -> Member | None:
        """The member of this name, if there is one."""
        return next((member for member in self.members if member.node_id == node_id), None)

    def __str__(self) -> str:
        names = ", ".join(member.node_id for member in self.members)
        return f"view {self.epoch.n} led by {self.leader.node_id} with {names}"


class Run(NamedTuple):
    """A stretch of a log that one epoch sequenced, up to and including gseq `last`."""

    epoch: Epoch
    last: int


@dataclass(frozen=True, slots=True)
class Digest:
    """A log in a few numbers. Equal chains at one gseq mean equal logs up to it."""

    start: int = 1  # the first gseq held as an entry
    end: int = 0  # the last one; start - 1 when the log is empty
    chain: int = 0  # chain(end)
    runs: tuple[Run, ...] = ()  # ascending; the last run ends at `end`


EMPTY_LOG = Digest()
