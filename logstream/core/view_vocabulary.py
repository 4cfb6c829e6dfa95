"""What view changes are told by other actors of their node, and announce to them; their timers and settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from logstream.protocol.identity import CommitRule, Epoch, Member

# --- commands and events of this core ---


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """Nobody is there: form the first view, of this member alone (R20)."""


@dataclass(frozen=True, slots=True)
class LeaveCluster:
    """A clean stop: leave the view first (R18)."""


@dataclass(frozen=True, slots=True)
class ShrinkToSelf:
    """Install a view of this member alone, before an empty cluster dissolves into another (R20)."""


@dataclass(frozen=True, slots=True)
class Left:
    """This member is out of the view, or has waited long enough to be: it may go."""

    handed_over: bool


@dataclass(frozen=True, slots=True)
class CandidateElected:
    """The ring has chosen this node to try (R4). Its nodes are asked too: one may know of a view that we do not."""

    ring: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeFailed:
    """Too few answered, or nothing moved: NO_QUORUM. This node has no leader now (R3)."""

    epoch: Epoch
    outside: bool = False  # the answers revealed that this node is a member no more


@dataclass(frozen=True, slots=True)
class TransferLeadership:
    """An operator wants this member to lead (`election NAME`)."""

    node_id: str


@dataclass(frozen=True, slots=True)
class ForceView:
    """The operator's word replaces the quorum for one change; what is lost then is reported as lost."""


# --- timers ---


@dataclass(frozen=True, slots=True)
class CollectTimedOut:
    """Whoever has not answered by now is judged as absent."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class InstallRepeatDue:
    """VIEW_INSTALL goes again to those who have not acked."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class ExchangeRepeatDue:
    """STATE_EXCHANGE goes again to those who promised: they leave a candidate its time while ranges move (R3)."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class AttemptTimedOut:
    """Nothing has moved for the promise time."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class GrowthDue:
    """Growth is allowed again."""


@dataclass(frozen=True, slots=True)
class LeaveTimedOut:
    """Leaving has taken long enough."""


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """Values that view changes need; times in seconds."""

    commit: CommitRule
    expected_nodes: Callable[[], int]
    collect_s: float = 0.4
    install_repeat_s: float = 0.15
    promise_s: float = 1.0
    leave_s: float = 1.0
    durable: bool = False  # members come back as what they were: who stops stays a member (R18)
