"""METADATA, CREATE_TOPIC, ALTER_TOPIC, DELETE_TOPIC: who is there, which topics, and decisions about one.

The leader answers; others forward to it. METADATA may create what is missing: that is proposed once for all
who ask, they are held until the topic is there, and hear the reason if it cannot be made just now. A leader
whose logs do not hold all of its view's base yet does not say where they end: who needs that asks again.

Elsewhere: the topics themselves and their offsets (catalog), the registry that the log's decisions make (core.topics).
"""

from __future__ import annotations

from collections.abc import Callable

from logstream.core.effects import Announce, Effect
from logstream.core.gateway.answers import Answers
from logstream.core.gateway.catalog import Catalog
from logstream.core.gateway.holding import HELD_S
from logstream.core.gateway.requests import LOOK_S, Requests
from logstream.core.gateway.sessions import Asker
from logstream.core.gateway.standing import Standing
from logstream.core.replica.vocabulary import ProposeDecision, Rejected
from logstream.core.topic_log import ReadDone
from logstream.core.topic_names import fault_in_name
from logstream.core.topics import PARTITIONS_MAX, Topic
from logstream.protocol import messages as wire
from logstream.protocol.errors import ErrorCode
from logstream.protocol.identity import Member
from logstream.protocol.retention import LIMITS

IN_DOUBT = "the new leader does not know all topics yet"
PATIENCE_S = HELD_S / 2  # METADATA is answered after this with what is known: its client asks elsewhere


class TopicRequests:
    """Questions about topics, and wishes for them."""

    def __init__(
        self, standing: Standing, catalog: Catalog, answers: Answers, requests: Requests, on_first_use: int | None
    ) -> None:
        self._standing, self._catalog, self._answers, self._requests = standing, catalog, answers, requests
        self._on_first_use = on_first_use  # partitions of a topic that is made when it is asked for; None: it is not
        self._creating: set[str] = set()
        self._uncreated = ("", -LOOK_S)  # why no topic could be created, and when that was said

    # --- metadata ---

    def metadata(self, asker: Asker, metadata: wire.Metadata, since: float) -> list[Effect]:
        """Say who is there; of topics that are asked for by name also their offsets."""
        patient = self._requests.now - since < PATIENCE_S
        if not metadata.topics or self._standing.view is None:
            return self._answer_now(asker, metadata)
        if not self._standing.ready:
            if patient:
                return self._requests.hold_until_ready(asker, metadata, since)
            return self._answer_now(asker, metadata)
        if not self._standing.leads:
            if isinstance(asker.origin, Member):
                return self._answer_now(asker, metadata)
            return self._requests.forward(asker, metadata)
        missing = [name for name in metadata.topics if name not in self._catalog.by_name and not fault_in_name(name)]
        if missing and not self._standing.knows_all and patient:
            return self._requests.hold(asker, metadata, since, IN_DOUBT)
        if missing and metadata.create and self._on_first_use is not None:
            return self._create_missing(asker, metadata, since, missing, self._on_first_use)
        if not self._standing.knows_all:
            return self._answer_undecided(asker, metadata, IN_DOUBT)
        return self._measure(asker, metadata)

    def _answer_now(
        self, asker: Asker, metadata: wire.Metadata, topics: tuple[wire.TopicMetadata, ...] = ()
    ) -> list[Effect]:
        return self._requests.answer(asker, self._answers.metadata(metadata, topics))

    def _answer_undecided(self, asker: Asker, metadata: wire.Metadata, reason: str) -> list[Effect]:
        """Say what is there, without offsets; of what is missing, why it may be there all the same or soon."""
        topics = tuple(self._catalog.describe(name, None, reason) for name in metadata.topics)
        return self._answer_now(asker, metadata, topics)

    def _measure(self, asker: Asker, metadata: wire.Metadata) -> list[Effect]:
        effects, request = self._catalog.measure(self._requests.ask(asker, metadata), metadata.topics)
        return effects + (self._answer_measured(request) if request is not None else self._requests.look_later())

    def measured(self, read: ReadDone) -> list[Effect]:
        """A log said its start and end."""
        effects: list[Effect] = []
        for request in self._catalog.measured(read):
            effects += self._answer_measured(request)
        return effects

    def _answer_measured(self, request: int) -> list[Effect]:
        pending = self._requests.take(request)
        if pending is None or not isinstance(pending.message, wire.Metadata):
            return []
        doubt = "" if self._standing.knows_all else IN_DOUBT
        topics = tuple(self._catalog.describe(name, request, doubt) for name in pending.message.topics)
        self._catalog.forget(request)
        return self._answer_now(pending.asker, pending.message, topics)

    # --- topics on first use ---

    def _create_missing(
        self, asker: Asker, metadata: wire.Metadata, since: float, missing: list[str], partitions: int
    ) -> list[Effect]:
        """Create what is missing, and answer once it is there, or with the reason why it cannot be."""
        reason, said_at = self._uncreated
        if reason and self._requests.now - said_at < LOOK_S:
            return self._answer_undecided(asker, metadata, reason)
        effects: list[Effect] = []
        for name in missing:
            if name not in self._creating:
                self._creating.add(name)
                request = self._requests.ask(asker, metadata, creates=True)
                effects.append(self._propose(request, wire.TopicCreated(name, partitions)))
        return effects + self._requests.hold(asker, metadata, since, "the topic is being created")

    def not_created(self, rejected: Rejected) -> None:
        """A topic could not be created on first use; those who asked are held, and ask again."""
        self._creating.clear()
        self._uncreated = (rejected.text if rejected.error is ErrorCode.RETRY else "", self._requests.now)

    def opened(self, name: str) -> None:
        """A topic of this name is there."""
        self._creating.discard(name)

    def view_installed(self) -> None:
        """What was proposed in an older view may be lost: propose it again."""
        self._creating.clear()

    # --- topics by command ---

    def create(self, asker: Asker, create: wire.CreateTopic, since: float) -> list[Effect]:
        """Propose a topic."""
        fault = fault_in_name(create.name)
        if fault is None and not 1 <= create.partitions <= PARTITIONS_MAX:
            fault = f"a topic has 1 to {PARTITIONS_MAX} partitions, not {create.partitions}"
        if fault is not None:
            return self._requests.refuse(asker, create, ErrorCode.INVALID_TOPIC, fault)
        fault = create.retention.fault()
        if fault is not None:
            return self._requests.refuse(asker, create, ErrorCode.INVALID_REQUEST, fault)
        if not self._standing.ready:
            return self._requests.hold_until_ready(asker, create, since)
        if not self._standing.leads:
            return self._requests.forward(asker, create)
        request = self._requests.ask(asker, create)
        return [self._propose(request, wire.TopicCreated(create.name, create.partitions, create.retention))]

    def alter(self, asker: Asker, alter: wire.AlterTopic, since: float) -> list[Effect]:
        """Propose other limits for a topic."""
        fault = _fault_in_alteration(alter)
        if fault is not None:
            return self._requests.refuse(asker, alter, ErrorCode.INVALID_REQUEST, fault)
        return self._about_topic(asker, alter, since, lambda topic: alter)

    def delete(self, asker: Asker, delete: wire.DeleteTopic, since: float) -> list[Effect]:
        """Propose the end of a topic."""
        return self._about_topic(asker, delete, since, lambda topic: wire.TopicDeleted(topic.topic_id, topic.name))

    def _about_topic(
        self,
        asker: Asker,
        wish: wire.AlterTopic | wire.DeleteTopic,
        since: float,
        decide: Callable[[Topic], wire.AlterTopic | wire.TopicDeleted],
    ) -> list[Effect]:
        """Propose a decision about a topic that is there."""
        if not self._standing.ready:
            return self._requests.hold_until_ready(asker, wish, since)
        if not self._standing.leads:
            return self._requests.forward(asker, wish)
        topic = self._catalog.by_name.get(wish.name)
        if topic is None and not self._standing.knows_all:
            return self._requests.hold(asker, wish, since, IN_DOUBT)
        if topic is None:
            text = f"there is no topic {wish.name!r}"
            return self._requests.refuse(asker, wish, ErrorCode.UNKNOWN_TOPIC, text)
        return [self._propose(self._requests.ask(asker, wish), decide(topic))]

    def _propose(self, request: int, decision: wire.TopicCreated | wire.AlterTopic | wire.TopicDeleted) -> Effect:
        return Announce(ProposeDecision(request, decision, self._requests.now))


def _fault_in_alteration(alter: wire.AlterTopic) -> str | None:
    """Why this cannot be a change, if so."""
    own = alter.retention.own
    unknown = [name for name in alter.to_default if name not in LIMITS]
    if unknown:
        return f"a topic has no setting {', '.join(unknown)}, it has {', '.join(LIMITS)}"
    if not own and not alter.to_default:
        return f"nothing is to be altered, give at least one of {', '.join(LIMITS)}"
    both = [name for name in alter.to_default if name in own]
    if both:
        return f"{', '.join(both)} cannot have a value and be as the cluster says"
    return alter.retention.fault()
