"""Everything that is said on the wire, as frozen dataclasses; `codec.py` turns them into frames and back.

The names are the design's. A message that belongs to a view carries its epoch. Who handles what is
the table in `actors/mesh.py`. What clients say is in client_messages.py, and known here under the same
names, so that nobody has to remember which is where.

Entries of one message are always contiguous: entry i has gseq `entries[0].gseq + i`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from logstream.protocol.client_messages import *  # noqa: F403
from logstream.protocol.client_messages import ClientRequest, ClientResponse
from logstream.protocol.identity import NO_EPOCH, Digest, Epoch, Member, View
from logstream.protocol.retention import AS_CLUSTER, TopicRetention


class EntryKind(IntEnum):
    """What an entry of the log decides."""

    BATCH = 0  # records of one topic partition
    CREATE_TOPIC = 1
    DELETE_TOPIC = 2
    TRIM = 3
    ALTER_TOPIC = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One slot of the replicated log: a record batch, or a decision whose body is a protobuf Decision.

    A trimmed batch has its front and the header of its body left: what the chain covers.
    """

    gseq: int
    epoch: Epoch  # that sequenced it; an installed view may hold entries of older epochs
    kind: EntryKind
    topic_id: int  # gseq of the topic's creation; 0 for decisions
    partition: int
    front: bytes  # empty for decisions
    body: bytes
    chain: int  # chain(gseq), 64 bits

    @property
    def size(self) -> int:
        """Bytes that it costs to send or to keep."""
        return len(self.front) + len(self.body)


@dataclass(frozen=True, slots=True)
class TopicCreated:
    """Decision: this topic exists from here on. Its id is the gseq of the entry."""

    name: str
    partitions: int
    retention: TopicRetention = AS_CLUSTER


@dataclass(frozen=True, slots=True)
class TopicAltered:
    """Decision: this topic keeps so much from here on."""

    topic_id: int
    name: str
    retention: TopicRetention  # all of its own limits, not the changed ones alone


@dataclass(frozen=True, slots=True)
class TopicDeleted:
    """Decision: this topic ends here."""

    topic_id: int
    name: str


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Decision: the batches of this partition below offset `start` are gone (R22)."""

    topic_id: int
    partition: int
    start: int


TopicDecision = TopicCreated | TopicAltered | TopicDeleted
Decision = TopicDecision | Trimmed


# --- discovery -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Join:
    """Broadcast: who is there? By nodes that look for their cluster, and by clients (member is None)."""

    member: Member | None
    cluster_id: str = ""  # "" while the node has none
    promised: Epoch = NO_EPOCH
    log_end: int = 0
    settings: tuple[str, ...] = ()  # "key=value" of every setting that a cluster must share


@dataclass(frozen=True, slots=True)
class JoinResponse:
    """Unicast answer to Join by every node that has a view."""

    member: Member
    cluster_id: str
    leader: Member | None  # None: this node hears no leader
    members: tuple[Member, ...]
    promised: Epoch
    log_end: int
    empty: bool  # holds no topic (R20)
    refusal: str = ""  # why the asking node may not join, in words


@dataclass(frozen=True, slots=True)
class Present:
    """Broadcast each heartbeat by a node with a view that hears no leader (R20)."""

    member: Member
    cluster_id: str
    log_end: int
    empty: bool


# --- between members -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Link:
    """First frame on a TCP link between nodes, from both ends: who is speaking."""

    member: Member


@dataclass(frozen=True, slots=True)
class Leave:
    """I am going. To the leader: change the view without me. At last to all: do not wait for me."""

    final: bool = False


@dataclass(frozen=True, slots=True)
class Handover:
    """From a leader to its successor: stand at once, without a ring (R18)."""

    epoch: Epoch  # of the present leader's view
    leaving: bool  # False: an operator chose another leader, the present one stays a member


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The leader lives, and this is how far the log and commit go."""

    epoch: Epoch
    last: int  # last gseq in the leader's log (R16)
    commit: int
    serving: tuple[Member, ...]  # the members that the leader hears: the hash ring
    lineage: Epoch = NO_EPOCH  # of the view: lower than that of a forced one, it is not heard


@dataclass(frozen=True, slots=True)
class Replicate:
    """Entries in gseq order, or none and just a commit."""

    epoch: Epoch
    entries: tuple[Entry, ...]
    last: int
    commit: int
    lineage: Epoch = NO_EPOCH


@dataclass(frozen=True, slots=True)
class ReplicateAck:
    """Everything up to gseq is stored here, in this epoch (R9)."""

    epoch: Epoch
    gseq: int
    chain: int  # chain(gseq)
    credit: int  # bytes that may be under way to this member by multicast
    hears_multicast: bool


@dataclass(frozen=True, slots=True)
class Nack:
    """These entries are missing here: first to last, both included."""

    epoch: Epoch
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Hello:
    """I cannot follow you: this is what I have promised, and my last view (R7, R8)."""

    promised: Epoch
    last_view: Epoch


@dataclass(frozen=True, slots=True)
class Learn:
    """Send me your log from here on: by a learner to the leader, by whoever installs a base to the candidate,
    by a candidate to the member whose log is the base. `digest` is what the asker holds, staged entries included."""

    epoch: Epoch  # of the attempt or view that it is for; NO_EPOCH from a learner
    digest: Digest
    checkpoint: int = 0  # the gseq of the checkpoint that is being received; 0: of none
    rows: int = 0  # of that checkpoint are here


@dataclass(frozen=True, slots=True)
class CatchUp:
    """A slice of a log, at most 1 MiB or 1,000 entries. Everything after `after` that is held otherwise is replaced."""

    epoch: Epoch  # as in Learn
    after: int  # the last gseq that both hold alike; the first entry is after + 1
    entries: tuple[Entry, ...]
    digest: Digest  # of the sender's log


@dataclass(frozen=True, slots=True)
class TopicRow:
    """A topic, in a checkpoint."""

    topic_id: int
    name: str
    partitions: int
    retention: TopicRetention = AS_CLUSTER


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """A partition, in a checkpoint: everything below its next offset is trimmed."""

    topic_id: int
    partition: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class ProducerRow:
    """What a producer sent last to one partition, in a checkpoint; the columns hold its last batches, oldest first."""

    producer_id: int
    topic_id: int
    partition: int
    epoch: int
    next_sequence: int
    sequences: tuple[int, ...]
    records: tuple[int, ...]
    offsets: tuple[int, ...]
    gseqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A slice of a checkpoint, the answer to Learn where the head of the sender's log is cut (R16, R22)."""

    epoch: Epoch  # as in Learn
    checkpoint: int  # the gseq that it stands for; the sender's log starts behind it
    chain: int  # chain(checkpoint)
    made_in: Epoch  # the epoch of entry `checkpoint`
    first: int  # rows of the checkpoint that come before this slice
    total: int  # rows of the whole checkpoint: topics, then partitions, then producers in log order
    topics: tuple[TopicRow, ...]
    partitions: tuple[PartitionRow, ...]
    producers: tuple[ProducerRow, ...]
    digest: Digest  # of the sender's log


@dataclass(frozen=True, slots=True)
class StateExchange:
    """A candidate asks for a promise (R2)."""

    epoch: Epoch
    installed: View | None  # or attempted: of those that the candidate knows, the one of the highest lineage


@dataclass(frozen=True, slots=True)
class State:
    """The promise, and what this member holds (R3)."""

    epoch: Epoch
    installed: View | None
    attempted: tuple[View, ...]
    last_view: Epoch
    digest: Digest


@dataclass(frozen=True, slots=True)
class Refuse:
    """No promise for `epoch`: a higher one is given already."""

    epoch: Epoch
    promised: Epoch


@dataclass(frozen=True, slots=True)
class ViewInstall:
    """This is the view and the log that it starts from (R6)."""

    view: View
    after: tuple[View, ...]  # Q: the views that the candidate accounted for
    installed: View | None  # the newest installed one among them
    base: Digest


@dataclass(frozen=True, slots=True)
class ViewInstallAck:
    """The base is stored here in this epoch."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Probe:
    """Can you be reached, and have you no leader either (R4)?"""

    number: int  # of the probe, to tell late answers


@dataclass(frozen=True, slots=True)
class ProbeAck:
    """I can be reached."""

    number: int
    leaderless: bool  # and would take part in an election
    leads: bool  # I lead an active view


@dataclass(frozen=True, slots=True)
class Election:
    """LCR: once around the ring, with the highest id met so far."""

    ring: tuple[Member, ...]  # sorted
    best: Member


PeerMessage = (
    Join
    | JoinResponse
    | Present
    | Link
    | Leave
    | Handover
    | Heartbeat
    | Replicate
    | ReplicateAck
    | Nack
    | Hello
    | Learn
    | CatchUp
    | StateExchange
    | State
    | Refuse
    | ViewInstall
    | ViewInstallAck
    | Probe
    | ProbeAck
    | Election
    | Snapshot
)
Message = PeerMessage | ClientRequest | ClientResponse
