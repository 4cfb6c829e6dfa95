"""PRODUCE: may this batch come in here, and who gives it its offset?

    assigned here? -> leader: propose to the Replica      -> Produced or Rejected
                   -> not the leader: forward to it       -> its answer, passed on

Elsewhere: sequences, duplicates and offsets (replica); what the client does with an error (core.producer).
"""

from __future__ import annotations

from logstream.core.effects import Announce, Effect
from logstream.core.gateway.answers import produce_error
from logstream.core.gateway.catalog import Catalog
from logstream.core.gateway.requests import Requests
from logstream.core.gateway.sessions import Asker
from logstream.core.gateway.standing import Standing
from logstream.core.replica.vocabulary import Propose
from logstream.core.topics import Topic
from logstream.protocol.batches import CODECS, BatchHeader, check, header_of
from logstream.protocol.errors import ErrorCode, RemoteProtocolError
from logstream.protocol.identity import Member
from logstream.protocol.messages import Produce

BATCH_OVERHEAD = 4096  # bytes that a batch of one record may be larger than record_max


class Producing:
    """The batches that clients and other brokers bring; `record_max` in bytes."""

    def __init__(self, standing: Standing, catalog: Catalog, requests: Requests, record_max: int) -> None:
        self.refused = 0  # batches whose bytes were wrong
        self._standing, self._catalog, self._requests = standing, catalog, requests
        self._record_max = record_max

    def produce(self, asker: Asker, produce: Produce, since: float) -> list[Effect]:
        """Propose a batch, pass it on, hold it or refuse it."""
        if not self._standing.ready:  # what is held is looked at often, so the CRC is checked only after this
            return self._requests.hold_until_ready(asker, produce, since)
        topic = self._catalog.topic(produce.topic, produce.topic_id)
        if topic is None:
            return self._requests.hold_unknown(asker, produce, since)
        forwarded = isinstance(asker.origin, Member)
        try:
            header = header_of(produce.batch.body) if forwarded else check(produce.batch)
        except RemoteProtocolError as error:
            self.refused += 1
            return self._requests.refuse(asker, produce, ErrorCode.CORRUPT_BATCH, str(error))
        fault = self._fault(produce, topic, header)
        if fault is not None:
            return self._requests.refuse(asker, produce, *fault)
        return self._pass_on(asker, produce, header, forwarded)

    def _pass_on(self, asker: Asker, produce: Produce, header: BatchHeader, forwarded: bool) -> list[Effect]:
        standing, requests = self._standing, self._requests
        if forwarded and not standing.leads:
            return requests.refuse(asker, produce, ErrorCode.RETRY, f"{standing.me} does not lead")
        assigned = self._catalog.ring.owner(produce.topic, produce.partition)
        if not forwarded and assigned is not None and assigned != standing.me:
            return requests.answer(asker, produce_error(ErrorCode.NOT_ASSIGNED, f"ask {assigned}", assigned))
        if not standing.leads:
            return requests.forward(asker, produce)
        request = requests.ask(asker, produce)
        return [Announce(Propose(request, produce.topic_id, produce.partition, produce.batch, header, requests.now))]

    def _fault(self, produce: Produce, topic: Topic, header: BatchHeader) -> tuple[ErrorCode, str] | None:
        limit = self._record_max + BATCH_OVERHEAD
        if produce.batch.size > limit and header.records == 1:
            text = f"a record of about {produce.batch.size} bytes is over the limit of {self._record_max}"
            return ErrorCode.RECORD_TOO_LARGE, f"{text} (setting record_max)"
        if produce.batch.size > limit:
            text = f"a batch of {produce.batch.size} bytes is over the limit of {limit} (setting record_max)"
            return ErrorCode.RECORD_TOO_LARGE, text
        if header.codec >= len(CODECS):  # nobody could read it, neither now nor later
            known = ", ".join(f"{number} {name}" for number, name in enumerate(CODECS))
            return ErrorCode.INVALID_REQUEST, f"a batch says compression {header.codec}, this broker knows {known}"
        if produce.partition >= topic.partitions:
            text = f"topic {topic.name!r} has {topic.partitions} partitions, there is no {produce.partition}"
            return ErrorCode.UNKNOWN_TOPIC, text
        return None
