"""ProducerCore: records in, acknowledged offsets out, each record in the log exactly once and in order.

    Submitted -> topic -> open batch -> sealed -> sent -> Acknowledged
                   |        (linger)               |  ^
               METADATA                    trouble |  | back-off, or the address of the right broker
                                                   v  |
                                                 rewound: everything unanswered again, lowest first

Trouble is RETRY, NOT_ASSIGNED, OUT_OF_ORDER or a lost connection. None of it says whether a batch is in
the log, so the answer is always the same: send it again under the same sequence, and what follows it
after it (R12). A batch is given up at its deadline only. Then its sequence may or may not be used, and so
what was sent behind it in its partition is given up too, as "outcome unknown", and the partition goes on under
a new producer id. A definite error (R11) says that the batch is not in the log, hence nothing behind it
is either: that is numbered anew and sent again.

A batch is sealed at once when nothing of its topic is in flight, else when a send returns, at the
latest after the linger time: one record alone is fast, many travel together.

Elsewhere: what a partition has under way is window.py, what is done with it is delivery.py, records into
batches is routing.py, whom to ask and which cluster this is is directory.py. The buffer's limit is the
host's, which can make a caller wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import assert_never

from logstream.core.client_effects import Acknowledged, Failed, ProducerEffect
from logstream.core.client_events import Answered, Bulk, ClusterSought, Lost, Outgoing, Span, Submitted
from logstream.core.delivery import CHECK_S, Delivery, LingerOver, RetryDue
from logstream.core.directory import Directory, MetadataDue
from logstream.core.effects import SetTimer
from logstream.core.events import Due
from logstream.core.routing import BuilderFactory, Topic
from logstream.core.topic_names import fault_in_name
from logstream.core.window import SealedBatch, Window
from logstream.protocol.errors import (
    ErrorCode,
    InvalidTopic,
    LogStreamError,
    NotSent,
    OutcomeUnknown,
    RequestTimedOut,
    UnknownTopic,
    error_for,
)
from logstream.protocol.messages import (
    InvalidRequestResponse,
    MetadataResponse,
    ProduceResponse,
    TopicMetadata,
)

SILENT_S = 0.5  # without an answer for so long, METADATA is asked elsewhere
REPEAT_S = 3.0  # and after so long everything is sent again, under the same sequences


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """What the application chooses."""

    linger_s: float = 0.005
    batch_max: int = 256 * 1024  # bytes; larger ones would no longer go by multicast (R16)
    deadline_s: float = 60.0
    create: bool = True  # ask for topics that are missing to be created


@dataclass(frozen=True, slots=True)
class CheckDue:
    """Timer: look at deadlines and silence. Runs while anything is waited for."""


class ProducerCore:
    """All that one producer has to say to its cluster."""

    def __init__(
        self, bootstrap: Sequence[str], build: BuilderFactory, random: Random, settings: ProducerSettings
    ) -> None:
        self._settings = settings
        self._build = build
        self._random = random
        self._numbers = count(1)
        self._directory = Directory(bootstrap, self._numbers.__next__, random)
        self._producer_id = random.getrandbits(63)
        self._topics: dict[str, Topic] = {}
        self._checking = False
        self._effects: list[ProducerEffect] = []  # of the event that is being handled
        number, linger_s, deadline_s = self._numbers.__next__, settings.linger_s, settings.deadline_s
        self._delivery = Delivery(self._effects, number, random, linger_s, deadline_s)

    def handle(self, event: Submitted | Answered | Lost | ClusterSought | Due) -> list[ProducerEffect]:
        """React to an event; the effects are to be carried out in order."""
        match event:
            case Submitted():
                self._submit(event.records, event.at)
            case Answered():
                self._hear(event)
            case Lost():
                self._lost(event)
            case ClusterSought():
                self._directory.sought(event.addresses)
            case Due():
                self._due(event.timer, event.at)
            case _:
                assert_never(event)
        if not self._checking and self.is_waiting:
            self._checking = True
            self._effects.append(SetTimer(CheckDue(), min(CHECK_S, self._settings.deadline_s / 4)))
        return self._taken()

    def abandon(self, unseen: Sequence[Outgoing | Bulk], reason: str) -> list[ProducerEffect]:
        """Give up everything, and records that were not submitted yet: the application does not wait any longer."""
        error = RequestTimedOut(f"{reason} before this was acknowledged (it may or may not be in the log)")
        not_sent = NotSent(f"{reason} before this was sent")
        for topic in list(self._topics.values()):
            self._fail_topic(topic, error, not_sent)
        for record in unseen:
            self._fail_record(record, not_sent)
        return self._taken()

    def _taken(self) -> list[ProducerEffect]:
        effects = self._effects[:]
        self._effects.clear()
        return effects

    @property
    def is_waiting(self) -> bool:
        """Is any record neither acknowledged nor failed?"""
        return any(topic.active or topic.unrouted for topic in self._topics.values())

    def check_invariants(self) -> None:
        """Raises LocalProtocolError if a partition's window is not as R12 wants it."""
        for topic in self._topics.values():
            for window in topic.windows:
                window.check_invariants()

    # --- records come in ---

    def _submit(self, records: Sequence[Outgoing | Bulk], at: float) -> None:
        touched: dict[Topic, None] = {}
        for record in records:
            topic = self._topics.get(record.topic) or self._meet(record)
            if topic is None:
                continue
            touched[topic] = None
            if topic.known:
                self._route(topic, record, at)
            else:
                topic.unrouted.append((record, at))
        old = self._directory.is_old(at)
        for topic in touched:
            topic.stale |= old
            self._delivery.pump(topic, at)
        if any(topic.stale for topic in touched):
            self._ask()

    def _meet(self, record: Outgoing | Bulk) -> Topic | None:
        """A topic that is new here; a name that no topic can have may have no form on the wire either."""
        name, settings = record.topic, self._settings
        fault = fault_in_name(name)
        if fault is not None:
            self._fail_record(record, InvalidTopic(fault))
            return None
        topic = self._topics[name] = Topic(name, self._build, settings.batch_max, settings.deadline_s, self._random)
        return topic

    def _route(self, topic: Topic, record: Outgoing | Bulk, at: float) -> None:
        if isinstance(record, Outgoing):
            error = topic.add(record, at)
            if error is not None:
                self._effects.append(Failed((record.ticket,), error, record.cost))
        else:
            for span, cost, error in topic.add_bulk(record, at):
                self._effects.append(Failed((span,), error, cost))

    # --- answers come back ---

    def _hear(self, event: Answered) -> None:
        message = event.message
        if event.correlation == self._directory.correlation:
            if isinstance(message, MetadataResponse):
                self._learn(message, event.at)
            else:
                self._effects += self._directory.refused(message)
            return
        claimed = self._delivery.claim(event.correlation)
        if claimed is None:
            return  # its batch is settled already
        topic, window, batch = claimed
        if isinstance(message, ProduceResponse):
            self._produced(topic, window, batch, message, event)
        elif isinstance(message, InvalidRequestResponse) and batch.correlation == event.correlation:
            # Another cluster's node is at this address now, and knows nothing of what came of earlier tries (R11).
            self._delivery.rest(topic, window, f"{event.address}: {message.text}")
            self._want(topic, event.address)

    def _produced(
        self, topic: Topic, window: Window, batch: SealedBatch, response: ProduceResponse, event: Answered
    ) -> None:
        accepted = response.error is ErrorCode.NONE
        counts, lost = self._directory.judge(response.cluster_id, response.lineage, accepted, event.at)
        newest = batch.correlation == event.correlation
        if counts and accepted:
            self._delivery.forget(batch)
            window.settle(batch)
            self._effects.append(Acknowledged(batch.tickets, window.number, response.offset, batch.cost))
        elif not counts and newest:
            self._delivery.rest(topic, window, f"{event.address} belongs to another cluster")
            self._want(topic, event.address)
        elif newest and lost is None:
            self._trouble(topic, window, batch, response)
        if lost is not None:
            self._start_over(lost)
        if topic.name in self._topics:
            self._delivery.pump(topic, event.at, returned=True)

    def _trouble(self, topic: Topic, window: Window, batch: SealedBatch, response: ProduceResponse) -> None:
        """The newest try of a batch was answered with an error."""
        match response.error:
            case ErrorCode.RETRY | ErrorCode.OUT_OF_ORDER:
                self._delivery.rest(topic, window, response.text or response.error.name, response.retry_after_s)
            case ErrorCode.NOT_ASSIGNED:
                self._move(topic, window, response)
            case ErrorCode.UNKNOWN_TOPIC:  # or made again, or the broker is behind: METADATA decides
                self._delivery.rest(topic, window, response.text or f"no topic {topic.name} at {window.address}")
                self._want(topic)
            case ErrorCode.UNKNOWN_PRODUCER if not window.answered:
                self._delivery.rest(topic, window, response.text or "the broker does not know this producer")
            case ErrorCode.UNKNOWN_PRODUCER:
                error = OutcomeUnknown(
                    f"{window}: the cluster has forgotten this producer; the record may be in the log"
                )
                self._delivery.give_up(window, window.unanswered(), error)
                window.renew(self._delivery.new_producer_id())
            case ErrorCode.DATA_LOST | ErrorCode.OTHER_CLUSTER | ErrorCode.LINEAGE_CHANGED:
                self._start_over(error_for(response.error, response.text))
            case _ if batch is not window.unanswered()[0]:
                self._delivery.rest(topic, window, response.text)
            case _:  # definite (R11): it is not in the log, so what was sent behind it is not either
                self._delivery.give_up(window, [batch], error_for(response.error, response.text))
                self._delivery.renumber(window)

    def _move(self, topic: Topic, window: Window, response: ProduceResponse) -> None:
        """Another broker serves this partition. Two that name each other are given time to agree."""
        reason = response.text or f"{window.address} is not assigned to {window}"
        window.moves += 1
        if not response.address or window.moves > 1:
            self._delivery.rest(topic, window, reason)
            self._want(topic)
        window.reason = reason
        window.address = response.address or window.address
        window.rewind()

    def _lost(self, event: Lost) -> None:
        if self._directory.correlation in event.correlations:
            self._effects += self._directory.missed(event.reason)
        hit: dict[Window, Topic] = {}
        for correlation in event.correlations:
            claimed = self._delivery.claim(correlation)
            if claimed is not None and claimed[2].correlation == correlation:
                hit[claimed[1]] = claimed[0]
        for window, topic in hit.items():
            self._delivery.rest(topic, window, window.reason or event.reason)
            self._want(topic, event.address)

    # --- METADATA ---

    def _want(self, topic: Topic, avoid: str = "") -> None:
        topic.stale = True
        self._ask(avoid)

    def _ask(self, avoid: str = "") -> None:
        stale = [topic for topic in self._topics.values() if topic.stale and (topic.active or topic.unrouted)]
        if stale:
            create = self._settings.create and not all(topic.known for topic in stale)
            self._effects += self._directory.ask(tuple(topic.name for topic in stale), create, avoid)

    def _learn(self, response: MetadataResponse, at: float) -> None:
        directory = self._directory
        asked = directory.asked
        directory.answered(response, at)
        if response.leader is None:
            self._effects += directory.missed(f"{asked} hears no leader")
            return
        serves = any(found.error is ErrorCode.NONE and found.name in self._topics for found in response.topics)
        counts, lost = directory.judge(response.cluster_id, response.lineage, serves, at)
        if lost is not None:
            self._start_over(lost)
        if not counts:
            self._effects += directory.missed(f"{asked} belongs to another cluster")
            return
        for found in response.topics:
            topic = self._topics.get(found.name)
            if topic is not None:
                self._learn_topic(topic, found, response, at)
        self._ask_again(response, asked)

    def _ask_again(self, response: MetadataResponse, asked: str) -> None:
        """Whatever this answer left open is asked of the leader, or of others later."""
        named = {found.name for found in response.topics}
        unserved = [topic.name for topic in self._topics.values() if topic.stale and topic.name in named]
        if not unserved:
            self._directory.served()
        elif self._directory.is_final(response) or response.leader is None:
            said = next((found.text for found in response.topics if found.text), "")
            reason = said or f"{asked} cannot serve topic {', '.join(unserved)} yet"
            self._effects += self._directory.again_later(reason)
        else:
            self._effects += self._directory.refer(response.leader.address)
        self._ask()

    def _learn_topic(self, topic: Topic, found: TopicMetadata, response: MetadataResponse, at: float) -> None:
        match found.error:
            case ErrorCode.NONE if found.partitions:
                self._directory.exists(topic.name)
                self._renew_topic(topic, found, response.record_max, at)
            case ErrorCode.NONE | ErrorCode.RETRY | ErrorCode.NOT_ASSIGNED:
                return
            case ErrorCode.UNKNOWN_TOPIC if not self._directory.is_final(response):
                return  # a follower may be behind: ask the leader
            case ErrorCode.UNKNOWN_TOPIC:
                if self._directory.is_missing(topic.name, at):
                    self._fail_topic(topic, UnknownTopic(f"there is no topic {topic.name}"))
            case _:
                self._fail_topic(topic, error_for(found.error, f"topic {topic.name!r}: {_words(found.error)}"))

    def _renew_topic(self, topic: Topic, found: TopicMetadata, record_max: int, at: float) -> None:
        """Take over partitions and their brokers; under another topic id everything unanswered starts anew.

        Not under a lower one: ids grow, so that is the word of a broker that has not heard of the topic of now.
        """
        if topic.known and found.topic_id < topic.topic_id:
            return
        topic.record_max = record_max
        if topic.known and found.topic_id != topic.topic_id:
            for window in topic.windows:
                self._delivery.renumber(window)
        topic.topic_id, topic.known = found.topic_id, True
        topic.stale = not all(member.address for member in found.partitions)
        self._resize(topic, len(found.partitions))
        for window, member in zip(topic.windows, found.partitions, strict=True):
            if window.address != member.address:
                window.address, window.resting = member.address, False
                window.rewind()
        while topic.unrouted:
            record, since = topic.unrouted.popleft()
            self._route(topic, record, since)
        self._delivery.pump(topic, at)

    def _resize(self, topic: Topic, partitions: int) -> None:
        gone, kept = topic.windows[partitions:], topic.windows[:partitions]
        for window in gone:
            error = UnknownTopic(f"{window} is gone: the topic was made again with fewer partitions")
            self._delivery.fail_window(window, error, error)
            topic.active.pop(window, None)
        if len(kept) != partitions or gone:
            fresh = [Window(topic.name, number, self._producer_id) for number in range(len(kept), partitions)]
            topic.set_windows(kept + fresh)

    # --- giving up ---

    def _start_over(self, error: LogStreamError) -> None:
        """Another cluster, or another past: what was sent is lost to us, what was not goes on (R12).

        Not to the brokers of before: the old cluster may still be there and store what the new one then refuses.
        """
        self._producer_id = self._delivery.new_producer_id()
        told = len(self._effects)
        for topic in self._topics.values():
            topic.stale, topic.topic_id = True, 0  # there ids may be lower
            for window in topic.windows:
                self._delivery.give_up(window, window.unanswered(), error)
                window.renew(self._producer_id)
                window.address = ""
                if window.idle:
                    topic.active.pop(window, None)
        if not any(isinstance(effect, Failed) for effect in self._effects[told:]):
            self._effects.append(Failed((), error, 0))  # of what was acknowledged before: somebody must hear of it
        self._ask()

    def _fail_topic(self, topic: Topic, error: LogStreamError, not_sent: LogStreamError | None = None) -> None:
        for record, _ in topic.unrouted:
            self._fail_record(record, not_sent or error)
        for window in topic.windows:
            self._delivery.fail_window(window, error, not_sent or error)
        del self._topics[topic.name]

    def _fail_record(self, record: Outgoing | Bulk, error: LogStreamError) -> None:
        ticket = (
            record.ticket if isinstance(record, Outgoing) else Span(record.ticket, record.first, len(record.values))
        )
        self._effects.append(Failed((ticket,), error, record.cost))

    # --- time ---

    def _due(self, timer: object, at: float) -> None:
        match timer:
            case LingerOver(name) if name in self._topics:
                self._topics[name].lingering = False
                self._delivery.pump(self._topics[name], at, returned=True)
            case RetryDue(name, partition) if name in self._topics and partition < len(self._topics[name].windows):
                self._topics[name].windows[partition].resting = False
                self._delivery.pump(self._topics[name], at)
            case MetadataDue():
                self._effects += self._directory.due()
                self._ask()
            case CheckDue():
                self._check(at)
            case _:
                pass  # of a topic that is gone

    def _check(self, at: float) -> None:
        self._checking = False
        old = self._directory.is_old(at)
        for topic in list(self._topics.values()):
            while topic.unrouted and topic.unrouted[0][1] + self._settings.deadline_s <= at:
                self._fail_record(
                    topic.unrouted.popleft()[0], self._delivery.not_sent(f"topic {topic.name}", self._directory.reason)
                )
            for window in list(topic.active):
                self._delivery.expire(window, at)
                self._notice_silence(topic, window, at)
            self._delivery.pump(topic, at)
            topic.stale |= old
        self._ask()

    def _notice_silence(self, topic: Topic, window: Window, at: float) -> None:
        waiting = [batch for batch in window.sent if batch.correlation and not batch.done]
        if waiting and at - waiting[0].sent_at >= SILENT_S:
            window.reason = window.reason or f"{window.address} does not answer"
            self._want(topic, window.address)
        if waiting and at - waiting[0].sent_at >= REPEAT_S:  # that the other end is gone only who writes is told
            window.rewind()


def _words(code: ErrorCode) -> str:
    """A sentence for errors in METADATA, which carry no text."""
    if code is ErrorCode.INVALID_TOPIC:
        return "no broker accepts this name"
    return code.name.lower().replace("_", " ")
