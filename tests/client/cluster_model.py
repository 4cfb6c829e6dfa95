"""ClusterModel: what a cluster promises its clients, in the smallest form. Tests compare with it.

One log per topic partition, a broker assigned to each, and the dedup table of R12 to the letter:
last sequence and the offsets of the last five batches. It answers requests as any of its brokers would;
what goes wrong on the way is the business of whoever carries them (pretend_network.py, fake_broker.py).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from logstream.protocol.batches import NO_PRODUCER, Batch, base_offset_in, crc_in, header_of, make_front
from logstream.protocol.errors import ErrorCode
from logstream.protocol.identity import NO_EPOCH, Epoch, Member
from logstream.protocol.messages import (
    AdminResponse,
    AlterTopic,
    ChangeLeader,
    ClientRequest,
    ClientResponse,
    CreateTopic,
    DeleteTopic,
    Fetch,
    Fetched,
    FetchFrom,
    FetchResponse,
    ForceView,
    ListOffsets,
    ListOffsetsResponse,
    Metadata,
    MetadataResponse,
    OffsetAt,
    OffsetFound,
    Produce,
    ProduceResponse,
    StatusRequest,
    StatusResponse,
    TopicMetadata,
    TopicResponse,
)
from logstream.protocol.retention import AS_CLUSTER, TopicRetention

REMEMBERED = 5
CLUSTER_RETENTION = TopicRetention(256 << 20, 0, 0.0)


@dataclass
class Producing:
    """One line of the dedup table."""

    next_sequence: int = 0
    batches: list[tuple[int, int]] = field(default_factory=list)  # (first sequence, offset) of the last five


@dataclass
class PartitionLog:
    """One partition."""

    assigned: Member
    batches: list[Batch] = field(default_factory=list)
    start: int = 0
    end: int = 0
    producers: dict[int, Producing] = field(default_factory=dict)


@dataclass
class ModelTopic:
    """One topic."""

    topic_id: int
    partitions: list[PartitionLog]
    retention: TopicRetention = AS_CLUSTER


class ClusterModel:
    """A cluster that never loses anything. The first broker leads."""

    def __init__(self, addresses: Sequence[str], create: bool = True, partitions: int = 1) -> None:
        self.brokers = [Member(f"n{number}", "s", address) for number, address in enumerate(addresses, 1)]
        self.leader = self.brokers[0]
        self.cluster_id = "c1"
        self.lineage: Epoch = NO_EPOCH
        self.topics: dict[str, ModelTopic] = {}
        self.create = create
        self.partitions = partitions
        self.record_max = 16 * 1024 * 1024
        self.leaderless: set[str] = set()  # addresses of brokers that hear no leader
        self._next_id = 1

    def make(self, name: str, partitions: int) -> ModelTopic:
        """Create a topic; its partitions go round the brokers."""
        logs = [PartitionLog(self.brokers[number % len(self.brokers)]) for number in range(partitions)]
        self.topics[name] = ModelTopic(self._next_id, logs)
        self._next_id += 1
        return self.topics[name]

    def move(self, name: str, partition: int, address: str) -> None:
        """Assign a partition to another broker."""
        log = self.topics[name].partitions[partition]
        log.assigned = next(member for member in self.brokers if member.address == address)

    def answer(self, address: str, message: ClientRequest) -> ClientResponse:
        """What the broker at this address says."""
        match message:
            case Metadata():
                return self._metadata(address, message)
            case Produce():
                return self._produce(address, message)
            case Fetch():
                parts = tuple(self._fetch(address, wanted) for wanted in message.partitions)
                return FetchResponse(parts, address not in self.leaderless, self.cluster_id, self.lineage)
            case CreateTopic(name, partitions, retention):
                if name in self.topics:
                    return TopicResponse(ErrorCode.TOPIC_EXISTS)
                made = self.make(name, partitions)
                made.retention = retention
                return TopicResponse(ErrorCode.NONE, "", made.topic_id)
            case AlterTopic():
                return self._alter(message)
            case ListOffsets(partitions):
                places = tuple(self._locate(wanted) for wanted in partitions)
                return ListOffsetsResponse(ErrorCode.NONE, "", places, self.cluster_id, self.lineage)
            case DeleteTopic(name):
                gone = self.topics.pop(name, None)
                return TopicResponse(ErrorCode.UNKNOWN_TOPIC if gone is None else ErrorCode.NONE)
            case ChangeLeader(node_id):
                return self._change_leader(node_id)
            case ForceView(accepted):
                return self._force_view(accepted)
            case StatusRequest():
                return StatusResponse(json.dumps({"cluster_id": self.cluster_id}))

    def _change_leader(self, node_id: str) -> AdminResponse:
        chosen = next((broker for broker in self.brokers if broker.node_id == node_id), None)
        if chosen is None:
            return AdminResponse(ErrorCode.INVALID_REQUEST, f"there is no member {node_id!r}")
        self.leader = chosen
        return AdminResponse(ErrorCode.NONE)

    def _force_view(self, accepted: bool) -> AdminResponse:
        if not accepted or not self.leaderless:
            return AdminResponse(ErrorCode.INVALID_REQUEST, "this cluster has a leader, there is nothing to force")
        self.leaderless.clear()
        return AdminResponse(ErrorCode.NONE)

    def _metadata(self, address: str, asked: Metadata) -> MetadataResponse:
        topics = []
        for name in asked.topics or tuple(self.topics):
            if name not in self.topics and asked.create and self.create:
                self.make(name, self.partitions)
            topics.append(self._topic_metadata(name))
        leader = None if address in self.leaderless else self.leader
        return MetadataResponse(
            self.cluster_id, self.lineage, 1, leader, tuple(self.brokers), tuple(topics), self.record_max
        )

    def _topic_metadata(self, name: str) -> TopicMetadata:
        topic = self.topics.get(name)
        if topic is None:
            return TopicMetadata(name, 0, ErrorCode.UNKNOWN_TOPIC, ())
        logs = topic.partitions
        return TopicMetadata(
            name,
            topic.topic_id,
            ErrorCode.NONE,
            tuple(log.assigned for log in logs),
            tuple(log.start for log in logs),
            tuple(log.end for log in logs),
            retention=topic.retention,
            in_force=topic.retention.over(CLUSTER_RETENTION),
        )

    def _says(self, error: ErrorCode, text: str = "", offset: int = -1, address: str = "") -> ProduceResponse:
        return ProduceResponse(error, text, offset, address, 0.0, self.cluster_id, self.lineage)

    def _produce(self, address: str, asked: Produce) -> ProduceResponse:
        topic = self.topics.get(asked.topic)
        if topic is None or topic.topic_id != asked.topic_id:
            return self._says(ErrorCode.UNKNOWN_TOPIC)
        log = topic.partitions[asked.partition]
        if log.assigned.address != address:
            return self._says(ErrorCode.NOT_ASSIGNED, address=log.assigned.address)
        return self._deduplicated(log, asked.batch)

    def _deduplicated(self, log: PartitionLog, batch: Batch) -> ProduceResponse:
        header = header_of(batch.body)
        if header.producer_id == NO_PRODUCER:
            return self._says(ErrorCode.NONE, offset=self._append(log, batch, header.records))
        producing = log.producers.get(header.producer_id)
        if producing is None:
            if header.base_sequence != 0:
                return self._says(ErrorCode.UNKNOWN_PRODUCER)
            producing = log.producers[header.producer_id] = Producing()
        for sequence, offset in producing.batches:
            if sequence == header.base_sequence:
                return self._says(ErrorCode.NONE, offset=offset)
        if header.base_sequence != producing.next_sequence:
            return self._says(ErrorCode.OUT_OF_ORDER, f"expected {producing.next_sequence}")
        offset = self._append(log, batch, header.records)
        producing.batches = [*producing.batches, (header.base_sequence, offset)][-REMEMBERED:]
        producing.next_sequence = (header.base_sequence + header.records) & 0x7FFFFFFF
        return self._says(ErrorCode.NONE, offset=offset)

    def _append(self, log: PartitionLog, batch: Batch, records: int) -> int:
        offset = log.end
        log.batches.append(Batch(make_front(offset, 1, batch.body, crc_in(batch.front)), batch.body))
        log.end += records
        return offset

    def _alter(self, asked: AlterTopic) -> TopicResponse:
        topic = self.topics.get(asked.name)
        if topic is None:
            return TopicResponse(ErrorCode.UNKNOWN_TOPIC)
        if not asked.retention.own and not asked.to_default:
            return TopicResponse(ErrorCode.INVALID_REQUEST, "nothing is to be altered")
        topic.retention = topic.retention.changed(asked.retention, asked.to_default)
        return TopicResponse(ErrorCode.NONE, "", topic.topic_id)

    def _locate(self, wanted: OffsetAt) -> OffsetFound:
        topic = self.topics.get(wanted.topic)
        if topic is None or topic.topic_id != wanted.topic_id:
            return OffsetFound(wanted.topic, wanted.partition, ErrorCode.UNKNOWN_TOPIC, "", 0)
        log = topic.partitions[wanted.partition]
        late = (batch for batch in log.batches if header_of(batch.body).max_timestamp >= wanted.timestamp_ms)
        offset = next((base_offset_in(batch.front) for batch in late), log.end)
        return OffsetFound(wanted.topic, wanted.partition, ErrorCode.NONE, "", offset)

    def _fetch(self, address: str, wanted: FetchFrom) -> Fetched:
        topic = self.topics.get(wanted.topic)
        if topic is None or topic.topic_id != wanted.topic_id:
            return Fetched(wanted.topic, wanted.partition, ErrorCode.UNKNOWN_TOPIC, "", 0, 0, ())
        log = topic.partitions[wanted.partition]
        if log.assigned.address != address:
            there = log.assigned.address
            return Fetched(wanted.topic, wanted.partition, ErrorCode.NOT_ASSIGNED, "", 0, 0, (), there)
        if wanted.offset < log.start:
            error = ErrorCode.OFFSET_OUT_OF_RANGE
            return Fetched(wanted.topic, wanted.partition, error, "", log.start, log.end, ())
        found = tuple(batch for batch in log.batches if _end_of(batch) > wanted.offset)[:8]
        return Fetched(wanted.topic, wanted.partition, ErrorCode.NONE, "", log.start, log.end, found)


def _end_of(batch: Batch) -> int:
    return base_offset_in(batch.front) + header_of(batch.body).records


class PlainBuilder:
    """A builder whose batches hold values of at most 255 bytes behind a real batch header: no codec needed."""

    def __init__(self, batch_max: int, records_max: int = 10) -> None:
        self.records = 0
        self._values: list[bytes] = []
        self._records_max = records_max

    def append(self, key: bytes | None, value: bytes | None, headers: object, timestamp_ms: int, /) -> bool:
        """Add a record; False if the batch is full."""
        if len(self._values) == self._records_max:
            return False
        self._values.append(value or b"")
        self.records += 1
        return True

    def build(self) -> bytes:
        """The body."""
        count = len(self._values)
        header = struct.pack(">hiqqqhii", 0, count - 1, 0, 0, -1, -1, -1, count)
        return header + b"".join(bytes([len(value)]) + value for value in self._values)


def values_in(batch: Batch) -> list[bytes]:
    """The values of a PlainBuilder's batch."""
    data, values = batch.body[40:], []
    while data:
        values.append(data[1 : 1 + data[0]])
        data = data[1 + data[0] :]
    return values
