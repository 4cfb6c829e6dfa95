"""What clients ask and brokers answer, as frozen dataclasses; what members say to one another is in messages.py.

Every request has its correlation in the envelope and gets one answer. An answer that is an error says so
in a code and a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass

from logstream.protocol.batches import Batch
from logstream.protocol.errors import ErrorCode
from logstream.protocol.identity import NO_EPOCH, Epoch, Member
from logstream.protocol.retention import AS_CLUSTER, TopicRetention


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
    retention: TopicRetention = AS_CLUSTER  # of its own
    in_force: TopicRetention = AS_CLUSTER  # with the cluster's for what is not its own


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
    retention: TopicRetention = AS_CLUSTER


@dataclass(frozen=True, slots=True)
class AlterTopic:
    """Change what a topic keeps: the limits that are given, and those to be as the cluster says, by name."""

    name: str
    retention: TopicRetention
    to_default: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteTopic:
    """Remove a topic and its records."""

    name: str


@dataclass(frozen=True, slots=True)
class TopicResponse:
    """Answer to CreateTopic, AlterTopic and DeleteTopic."""

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
class OffsetAt:
    """One partition in ListOffsets, and a time, in ms since 1970 by the producers' clocks."""

    topic: str
    topic_id: int
    partition: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class ListOffsets:
    """Where do these partitions reach these times? Any broker answers."""

    partitions: tuple[OffsetAt, ...]


@dataclass(frozen=True, slots=True)
class OffsetFound:
    """The first record that is not older lies in the batch that begins at this offset, or behind it."""

    topic: str
    partition: int
    error: ErrorCode
    text: str
    offset: int  # of the first batch held that has such a record; without one, the end of what this broker holds


@dataclass(frozen=True, slots=True)
class ListOffsetsResponse:
    """Answer to ListOffsets, in the order of the request; with an error none of it is answered."""

    error: ErrorCode
    text: str
    partitions: tuple[OffsetFound, ...]
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
class ChangeLeader:
    """Let this member lead, without losing anything."""

    node_id: str


@dataclass(frozen=True, slots=True)
class ForceView:
    """The operator's word replaces the quorum: whoever answers goes on (section "Force-view" of the protocol)."""

    accept_data_loss: bool


@dataclass(frozen=True, slots=True)
class AdminResponse:
    """Answer to ChangeLeader and ForceView."""

    error: ErrorCode
    text: str = ""


@dataclass(frozen=True, slots=True)
class InvalidRequestResponse:
    """Answer to a request that cannot be served as it stands."""

    text: str


ClientRequest = (
    Metadata
    | CreateTopic
    | AlterTopic
    | DeleteTopic
    | Produce
    | Fetch
    | ListOffsets
    | StatusRequest
    | ChangeLeader
    | ForceView
)
ClientResponse = (
    MetadataResponse
    | TopicResponse
    | ProduceResponse
    | FetchResponse
    | ListOffsetsResponse
    | StatusResponse
    | AdminResponse
    | InvalidRequestResponse
)
