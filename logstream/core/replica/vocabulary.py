"""What the Replica is told by other actors of its node, and what it announces to them.

Commands are imperatives, events are past tense. Everything that other nodes say to a Replica is in
`protocol/messages.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from logstream.protocol.batches import Batch, BatchHeader
from logstream.protocol.errors import ErrorCode
from logstream.protocol.identity import Digest, Epoch, Member, View
from logstream.protocol.messages import AlterTopic, Entry, TopicCreated, TopicDecision, TopicDeleted

# --- commands ---


@dataclass(frozen=True, slots=True)
class Propose:
    """Sequence this batch. The answer is Produced or Rejected with the same request number."""

    request: int
    topic_id: int
    partition: int
    batch: Batch
    header: BatchHeader
    at: float


@dataclass(frozen=True, slots=True)
class ProposeDecision:
    """Sequence this decision: to create a topic, to delete one, or to alter one, which the leader knows best."""

    request: int
    decision: TopicCreated | AlterTopic | TopicDeleted
    at: float


@dataclass(frozen=True, slots=True)
class Gather:
    """A candidate's Replica must hold this base before anybody else can be asked to (R5, R6)."""

    epoch: Epoch
    source: Member  # whose log the base is
    base: Digest
    orphans: tuple[tuple[Member, Digest], ...] = ()  # who holds entries that are not in it, in reading order


@dataclass(frozen=True, slots=True)
class Resume:
    """The view of this epoch is installed: lead it (R6). `acked` have stored its base."""

    epoch: Epoch
    acked: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class StepAside:
    """This leader stops leading: freeze, and name a successor: the member asked for, else the highest ack (R18)."""

    target: Member | None = None
    heard: tuple[Member, ...] = ()  # the members that may be


@dataclass(frozen=True, slots=True)
class Beat:
    """Time for a heartbeat. `serving` are the members that this leader hears."""

    serving: tuple[Member, ...]
    at: float


@dataclass(frozen=True, slots=True)
class LearnFrom:
    """Join this cluster: learn from its leader until a view admits us."""

    cluster_id: str
    leader: Member


@dataclass(frozen=True, slots=True)
class Introduce:
    """Answer a JOIN at this "host:port", or announce this member to everybody (to = "")."""

    to: str
    leader_heard: bool
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class OtherClusterHeard:
    """Another cluster of this name that holds topics was heard of (Q10)."""

    at: float


@dataclass(frozen=True, slots=True)
class DropIdentity:
    """This cluster holds nothing and another one is there: stop being this member (R20)."""


# --- events ---


@dataclass(frozen=True, slots=True)
class Committed:
    """These batches of one partition are committed, in offset order."""

    topic_id: int
    partition: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class PartitionTrimmed:
    """The batches of one partition below this offset are gone (R22); whoever reads there must hear so."""

    topic_id: int
    partition: int
    start: int


@dataclass(frozen=True, slots=True)
class DecisionCommitted:
    """A decision is committed; its gseq is the id of a topic that it creates."""

    gseq: int
    decision: TopicDecision


@dataclass(frozen=True, slots=True)
class Produced:
    """What was proposed is committed: a batch at this offset, or a decision at this gseq."""

    request: int
    offset: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """What was proposed is not in the log (or, with RETRY, may be: the same sequence will tell)."""

    request: int
    error: ErrorCode
    text: str


@dataclass(frozen=True, slots=True)
class Promised:
    """This Replica has promised this epoch and is frozen until a view resumes it."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Gathered:
    """The candidate's own Replica holds the base, orphans included."""

    epoch: Epoch
    base: Digest


@dataclass(frozen=True, slots=True)
class ViewInstalled:
    """This view is installed and this member, one of its members, is active in it."""

    view: View
    leads: bool


@dataclass(frozen=True, slots=True)
class ViewLeft:
    """A view without this member is accepted: it is a learner now."""

    view: View


@dataclass(frozen=True, slots=True)
class SteppedAside:
    """The leader is frozen; this member, if any, has the highest ack."""

    epoch: Epoch
    successor: Member | None


@dataclass(frozen=True, slots=True)
class LeaderHeard:
    """The leader of the active view, or of the cluster that this learner follows, said something valid."""

    leader: Member
    at: float


@dataclass(frozen=True, slots=True)
class LeaderOverheard:
    """A leader spoke whom this member does not follow: it learns, or has not chosen a cluster yet."""


@dataclass(frozen=True, slots=True)
class FollowerHeard:
    """A member of the view, or a learner, acknowledged something to this leader."""

    member: Member
    at: float


@dataclass(frozen=True, slots=True)
class ServingChanged:
    """The leader says that these members serve clients: the hash ring."""

    serving: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class LearnerCaughtUp:
    """This learner is close enough to the end of the log to be admitted (R18)."""

    learner: Member
    at: float


@dataclass(frozen=True, slots=True)
class IdentityDropped:
    """This member is no more; its node begins anew with another store_id."""


@dataclass(frozen=True, slots=True)
class IdentityKept:
    """This member holds a topic, which may be committed although it does not know: it goes on being this one."""


@dataclass(frozen=True, slots=True)
class ViewsKnown:
    """What this Replica knows of views has changed: the newest installed one, and those attempted since."""

    installed: View | None
    attempted: tuple[View, ...]

    @property
    def views(self) -> tuple[View, ...]:
        """All of them, oldest first."""
        return (self.installed, *self.attempted) if self.installed is not None else self.attempted


@dataclass(frozen=True, slots=True)
class CandidateHeard:
    """A candidate got this Replica's promise, or is moving a base to it: leave it its time (R3)."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class RangeMoved:
    """A slice of the base of this attempt was sent or received: the attempt is getting on (R3)."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class MemberStalled:
    """A member has not acknowledged anything for the slow time while entries wait for it (R18)."""

    member: Member


@dataclass(frozen=True, slots=True)
class SteppedDown:
    """This leader heard no majority for its lease, or hands over: it leads no more (R14)."""

    at: float


@dataclass(frozen=True, slots=True)
class BaseApplied:
    """This leader's topics know everything that earlier views committed: what they lack does not exist."""

    epoch: Epoch
