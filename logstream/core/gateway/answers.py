"""What clients are told: the answers to their requests, composed from what this broker knows.

Every request can be refused; a refusal has the shape of the answer that the client expects. Every answer that
a position or a sequence may be compared with names cluster and lineage (R12), and FETCH and METADATA say
whether a leader is heard (R13).

Elsewhere: when and to whom an answer goes (requests, sessions), what is in it of logs (polls, catalog).
"""

from __future__ import annotations

from logstream.core.gateway.catalog import Catalog
from logstream.core.gateway.standing import Standing
from logstream.protocol import messages as wire
from logstream.protocol.errors import ErrorCode
from logstream.protocol.identity import Member


class Answers:
    """The answers of one broker."""

    def __init__(self, standing: Standing, catalog: Catalog, record_max: int) -> None:
        self._standing, self._catalog, self._record_max = standing, catalog, record_max

    def acknowledgement(self, offset: int) -> wire.ProduceResponse:
        """The batch is committed at this offset."""
        standing = self._standing
        return wire.ProduceResponse(
            ErrorCode.NONE, offset=offset, cluster_id=standing.cluster_id, lineage=standing.lineage
        )

    def fetched(self, results: tuple[wire.Fetched, ...]) -> wire.FetchResponse:
        """What a poll has gathered."""
        standing = self._standing
        return wire.FetchResponse(results, standing.ready, standing.cluster_id, standing.lineage)

    def located(self, asked: wire.ListOffsets, found: dict[int, int]) -> wire.ListOffsetsResponse:
        """Where the partitions reach their times; `found` has offsets by place in the request."""
        results = tuple(
            wire.OffsetFound(one.topic, one.partition, ErrorCode.NONE, "", found[place])
            if place in found
            else wire.OffsetFound(one.topic, one.partition, ErrorCode.UNKNOWN_TOPIC, _no_partition(one), 0)
            for place, one in enumerate(asked.partitions)
        )
        standing = self._standing
        return wire.ListOffsetsResponse(ErrorCode.NONE, "", results, standing.cluster_id, standing.lineage)

    def metadata(self, asked: wire.Metadata, topics: tuple[wire.TopicMetadata, ...] = ()) -> wire.MetadataResponse:
        """Who is there; without `topics`, what this broker knows of those that were asked for, or of all."""
        if not topics:
            names = asked.topics or tuple(sorted(self._catalog.by_name))
            topics = tuple(self._catalog.describe(name, None) for name in names)
        standing = self._standing
        return wire.MetadataResponse(
            standing.cluster_id,
            standing.lineage,
            standing.view.epoch.n if standing.view else 0,
            standing.leader,
            self._catalog.ring.brokers,
            topics,
            self._record_max,
        )

    def refusal(self, message: wire.ClientRequest, error: ErrorCode, text: str) -> wire.ClientResponse:
        """No, in the shape of the answer to this request."""
        match message:
            case wire.Produce():
                return produce_error(error, text)
            case wire.Fetch():
                results = tuple(fetch_error(one, error, text) for one in message.partitions)
                return wire.FetchResponse(results, self._standing.ready)
            case wire.Metadata():
                return self.metadata(message)
            case wire.ListOffsets():
                return wire.ListOffsetsResponse(error, text, ())
            case wire.CreateTopic() | wire.AlterTopic() | wire.DeleteTopic():
                return wire.TopicResponse(error, text)
            case wire.ChangeLeader() | wire.ForceView():
                return wire.AdminResponse(error, text)
            case wire.StatusRequest():
                return wire.InvalidRequestResponse(text)


def _no_partition(one: wire.OffsetAt) -> str:
    return f"there is no partition {one.partition} of a topic {one.topic!r} with this id"


def produce_error(error: ErrorCode, text: str, assigned: Member | None = None) -> wire.ProduceResponse:
    """A batch that is not taken here, with the address of the broker that would."""
    return wire.ProduceResponse(error, text, address=assigned.address if assigned else "")


def fetch_error(wanted: wire.FetchFrom, error: ErrorCode, text: str, address: str = "") -> wire.Fetched:
    """A partition that is not read here, with the address of the broker where it would be."""
    return wire.Fetched(wanted.topic, wanted.partition, error, text, 0, wanted.offset, (), address)
