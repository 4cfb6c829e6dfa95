"""Everything that is said on the wire, as frozen dataclasses; `codec.py` turns them into frames and back.

The names are the design's. A message that belongs to a view carries its epoch. Who handles what is
the table in `actors/mesh.py`. Peers speak the first three groups, clients the last one.

Entries of one message are always contiguous: entry i has gseq `entries[0].gseq + i`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from logstream.protocol.batches import Batch
from logstream.protocol.errors import ErrorCode
from logstream.protocol.identity import NO_EPOCH, Digest, Epoch, Member, View


class EntryKind(IntEnum):
    """What an entry of the log decides."""

    BATCH = 0  # records of one topic partition
    CREATE_TOPIC = 1
    DELETE_TOPIC = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One slot of the replicated log: a record batch, or a decision whose body is a protobuf Decision."""

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


@dataclass(frozen=True, slots=True)
class TopicDeleted:
    """Decision: this topic ends here."""

    topic_id: int
    name: str


Decision = TopicCreated | TopicDeleted


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
    """From a leaving leader to its successor: stand at once, without a ring (R18)."""

    epoch: Epoch  # of the leaving leader's view


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The leader lives, and this is how far the log and commit go."""

    epoch: Epoch
    last: int  # last gseq in the leader's log (R16)
    commit: int
    serving: tuple[Member, ...]  # the members that the leader hears: the hash ring


@dataclass(frozen=True, slots=True)
class Replicate:
    """Entries in gseq order, or none and just a commit."""

    epoch: Epoch
    entries: tuple[Entry, ...]
    last: int
    commit: int


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

    epoch: Epoch  # of the attempt that it is for; NO_EPOCH from a learner
    digest: Digest


@dataclass(frozen=True, slots=True)
class CatchUp:
    """A slice of a log, at most 1 MiB or 1,000 entries. Everything after `after` that is held otherwise is replaced."""

    epoch: Epoch  # as in Learn
    after: int  # the last gseq that both hold alike; the first entry is after + 1
    entries: tuple[Entry, ...]
    digest: Digest  # of the sender's log


@dataclass(frozen=True, slots=True)
class StateExchange:
    """A candidate asks for a promise (R2)."""

    epoch: Epoch
    installed: View | None


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


# --- clients -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TopicMetadata:
    """One topic and the broker that each partition is assigned to."""

    name: str
    topic_id: int
    error: ErrorCode
    partitions: tuple[Member, ...]  # by partition number
    starts: tuple[int, ...] = ()  # first offset held, by partition
    ends: tuple[int, ...] = ()  # offset after the last committed record, by partition
    text: str = ""  # with an error: the reason


@dataclass(frozen=True, slots=True)
class Metadata:
    """Who is there, and who serves these topics? No names: all topics."""

    topics: tuple[str, ...]
    create: bool = False  # create the named ones that are missing, if the cluster's settings allow it


@dataclass(frozen=True, slots=True)
class MetadataResponse:
    """The cluster as this broker sees it."""

    cluster_id: str
    lineage: Epoch
    view: int
    leader: Member | None  # None: ask somebody else (R13)
    brokers: tuple[Member, ...]
    topics: tuple[TopicMetadata, ...]
    record_max: int  # bytes


@dataclass(frozen=True, slots=True)
class CreateTopic:
    """Make a topic."""

    name: str
    partitions: int


@dataclass(frozen=True, slots=True)
class DeleteTopic:
    """Remove a topic and its records."""

    name: str


@dataclass(frozen=True, slots=True)
class TopicResponse:
    """Answer to CreateTopic and DeleteTopic."""

    error: ErrorCode
    text: str = ""
    topic_id: int = 0


@dataclass(frozen=True, slots=True)
class Produce:
    """One record batch for one partition."""

    topic: str
    topic_id: int  # as METADATA gave it; a topic made again under its name is another one
    partition: int
    batch: Batch
    timeout_s: float  # what is left of the client's deadline


@dataclass(frozen=True, slots=True)
class ProduceResponse:
    """The batch is committed at this offset, or why not."""

    error: ErrorCode
    text: str = ""
    offset: int = -1
    address: str = ""  # with NOT_ASSIGNED: of the assigned broker
    retry_after_s: float = 0.0
    cluster_id: str = ""
    lineage: Epoch = NO_EPOCH


@dataclass(frozen=True, slots=True)
class FetchFrom:
    """One partition in a fetch."""

    topic: str
    topic_id: int
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Long poll: answer when min_bytes are there or max_wait_s has passed, with at most max_bytes
    (but always with one whole batch if there is one)."""

    partitions: tuple[FetchFrom, ...]
    max_wait_s: float
    min_bytes: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one partition had. Batches hold the offset asked for or later ones; the first may start below it."""

    topic: str
    partition: int
    error: ErrorCode
    text: str
    start: int  # first offset held
    end: int  # offset after the last committed record
    batches: tuple[Batch, ...]
    address: str = ""  # with NOT_ASSIGNED


@dataclass(frozen=True, slots=True)
class FetchResponse:
    """Answer to Fetch, in the order of the request."""

    partitions: tuple[Fetched, ...]
    leader_heard: bool  # False: this broker cannot know of newer commits, move on (R13)
    cluster_id: str = ""
    lineage: Epoch = NO_EPOCH


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """How are you?"""


@dataclass(frozen=True, slots=True)
class StatusResponse:
    """One JSON object, as docs/status.md describes it."""

    json: str


@dataclass(frozen=True, slots=True)
class InvalidRequestResponse:
    """Answer to a request that cannot be served as it stands."""

    text: str


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
)
ClientRequest = Metadata | CreateTopic | DeleteTopic | Produce | Fetch | StatusRequest
ClientResponse = (
    MetadataResponse | TopicResponse | ProduceResponse | FetchResponse | StatusResponse | InvalidRequestResponse
)
Message = PeerMessage | ClientRequest | ClientResponse
