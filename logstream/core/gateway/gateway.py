"""What clients of one broker see: every request comes in here, every answer goes out here.

    PRODUCE   assigned here? -> leader: propose to the Replica      -> Produced or Rejected
                             -> not the leader: forward to it       -> its answer, passed on
    FETCH     assigned here? -> read the partitions' logs, long poll
    METADATA, CREATE, DELETE    the leader answers; others forward to it

A request that cannot be served at this moment (no leader, a view is changing, a topic that this broker
has not heard of yet) is held, in order, and looked at again whenever something changes; after HELD_S it
gets RETRY with the reason. Nothing is sent twice from here: only the client repeats, with the same
sequence, because only the client knows what it has been told (R11).

Elsewhere: what is in the log (replica), what a partition holds (topic_log), who is assigned (ring).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from logstream.core.effects import Announce, Effect, Forward, SetTimer
from logstream.core.events import Due, LinkDown, Origin, Received, SessionClosed
from logstream.core.failure_detector import LeaderFound, LeaderLost
from logstream.core.gateway.catalog import Catalog
from logstream.core.gateway.holding import HELD_S, Held, Holding
from logstream.core.gateway.polls import Poll, Polls
from logstream.core.gateway.sessions import Asker, Sessions
from logstream.core.gateway.vocabulary import HeldTimedOut, PollTimedOut, StatusAsked, StatusReady
from logstream.core.replica.vocabulary import (
    Produced,
    Promised,
    Propose,
    ProposeDecision,
    Rejected,
    ViewInstalled,
    ViewLeft,
)
from logstream.core.stream_assigner import RingChanged
from logstream.core.topic_log import ReadDone
from logstream.core.topics import PARTITIONS_MAX, RegistryCurrent, TopicClosed, TopicOpened, fault_in_name
from logstream.core.view_vocabulary import ForceView, TransferLeadership
from logstream.protocol import messages as wire
from logstream.protocol.batches import BatchHeader, check, header_of
from logstream.protocol.errors import ErrorCode, LocalProtocolError, RemoteProtocolError
from logstream.protocol.identity import NO_EPOCH, Member, View

LOOK_S = 0.1  # between looks at what is held
FORWARDED_S = 10.0  # after which a forwarded request counts as lost
BATCH_OVERHEAD = 4096  # bytes that a batch of one record may be larger than record_max


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Values that a gateway needs; sizes in bytes."""

    record_max: int
    credit: int
    auto_create: bool
    default_partitions: int


@dataclass(slots=True)
class Pending:
    """A request whose answer somebody else prepares."""

    asker: Asker
    message: wire.ClientRequest
    since: float
    forwarded_to: Member | None = None
    creates: bool = False  # a topic for a request that is held meanwhile: nobody waits for this answer itself


class Gateway:
    """One broker's side towards its clients."""

    def __init__(self, me: Member, settings: GatewaySettings) -> None:
        self.me = me
        self.view: View | None = None
        self.leads = False
        self.active = False  # in a view that is not being changed
        self.leader_heard = False
        self.sessions = Sessions()
        self.catalog = Catalog()
        self.polls = Polls(settings.credit)
        self.refused = 0
        self._settings = settings
        self._pending: dict[int, Pending] = {}
        self._creating: set[str] = set()
        self._uncreated = ("", -LOOK_S)  # why no topic could be created, and when that was said
        self._held = Holding()
        self._last_request = 0
        self._now = 0.0
        self._looking = False
        self._knows_all = False  # leads, and has applied the base of its view: a topic not known here does not exist

    def handle(self, event: object) -> list[Effect]:
        """One event; raises RemoteProtocolError for what no client may say."""
        match event:
            case Received(sender=sender, at=at):
                self._now = max(self._now, at)
                return self._hear(event, sender) if sender is not None else []
            case Produced(request=request, offset=offset):
                return self._succeeded(request, offset)
            case ReadDone():
                return self._read_done(event)
            case Rejected():
                return self._rejected(event)
            case Due(timer=timer, at=at):
                self._now = max(self._now, at)
                return self._due(timer)
            case StatusReady(request=request, json=json):
                return self._answer_request(request, wire.StatusResponse(json))
            case SessionClosed(session=session):
                self.sessions.closed(session)
                return self.polls.drop(session)
            case _:
                return self._changed(event)

    def _changed(self, event: object) -> list[Effect]:
        """Something about the cluster changed: look again at what is held."""
        effects: list[Effect] = []
        match event:
            case ViewInstalled(view=view, leads=leads):
                effects = self._view_installed(view, leads)
            case Promised() | ViewLeft():
                self.active = False
                effects = self._look_later()
            case LeaderFound():
                self.leader_heard = True
            case LeaderLost():
                self.leader_heard = False
                effects = self._end_polls() + self._look_later()
            case LinkDown(member=member):
                effects = self._lost(lambda pending: pending.forwarded_to == member, f"the link to {member} is lost")
            case RegistryCurrent(epoch=epoch):
                self._knows_all = self.leads and self.view is not None and self.view.epoch == epoch
            case RingChanged(ring=ring):
                self.catalog.ring = ring
                ended, over = self.polls.judge_again(self._fault_of_fetch)
                effects = ended + [effect for poll in over for effect in self._answer_poll(poll)]
            case TopicOpened(topic=topic):
                self.catalog.opened(topic)
                self._creating.discard(topic.name)
            case TopicClosed(topic=topic):
                self.catalog.closed(topic)
                ended, over = self.polls.judge_again(self._fault_of_fetch)
                effects = ended + [effect for poll in over for effect in self._answer_poll(poll)]
            case _:
                raise LocalProtocolError(f"a gateway cannot handle {event!r}")
        return effects + self._look_again()

    def _due(self, timer: object) -> list[Effect]:
        match timer:
            case PollTimedOut(poll=number):
                effects, poll = self.polls.timed_out(number)
                return effects + (self._answer_poll(poll) if poll else [])
            case HeldTimedOut():
                self._looking = False
                return self._look_again()
            case _:
                raise LocalProtocolError(f"a gateway cannot handle the timer {timer!r}")

    def _hear(self, received: Received, sender: Origin) -> list[Effect]:
        message = received.message
        if isinstance(message, wire.ClientResponse):
            return self._answered(received.correlation, sender, message)
        if not isinstance(message, wire.ClientRequest):
            raise RemoteProtocolError(f"a client may not say {type(message).__name__}")
        return self._serve(self.sessions.asked(sender, received.correlation), message, self._now)

    def _serve(self, asker: Asker, message: wire.ClientRequest, since: float) -> list[Effect]:
        match message:
            case wire.Produce():
                return self._produce(asker, message, since)
            case wire.Fetch():
                return self._fetch(asker, message, since)
            case wire.Metadata():
                return self._metadata(asker, message, since)
            case wire.CreateTopic():
                return self._create(asker, message, since)
            case wire.DeleteTopic():
                return self._delete(asker, message, since)
            case wire.StatusRequest():
                return [Announce(StatusAsked(self._ask(asker, message)))]
            case wire.ChangeLeader():
                return self._change_leader(asker, message, since)
            case wire.ForceView():
                return self._force_view(asker, message)

    # --- produce ---

    def _produce(self, asker: Asker, produce: wire.Produce, since: float) -> list[Effect]:
        if not self._ready:  # what is held is looked at often, so the CRC is checked only after this
            return self._hold(asker, produce, since, self._why_not_ready())
        topic = self.catalog.topic(produce.topic, produce.topic_id)
        if topic is None:
            return self._hold_unknown(asker, produce, since)
        forwarded = isinstance(asker.origin, Member)
        try:
            header = header_of(produce.batch.body) if forwarded else check(produce.batch)
        except RemoteProtocolError as error:
            self.refused += 1
            return self._no(asker, ErrorCode.CORRUPT_BATCH, str(error))
        fault = self._fault_of_produce(produce, header)
        if fault is not None:
            return self._no(asker, *fault)
        if produce.partition >= topic.partitions:
            text = f"topic {topic.name!r} has {topic.partitions} partitions, there is no {produce.partition}"
            return self._no(asker, ErrorCode.UNKNOWN_TOPIC, text)
        if forwarded and not self.leads:
            return self._no(asker, ErrorCode.RETRY, f"{self.me} does not lead")
        assigned = self.catalog.ring.owner(topic.name, produce.partition)
        if not forwarded and assigned is not None and assigned != self.me:
            return self.sessions.answer(asker, _produce_error(ErrorCode.NOT_ASSIGNED, f"ask {assigned}", assigned))
        if self.leads:
            request = self._ask(asker, produce)
            return [Announce(Propose(request, topic.topic_id, produce.partition, produce.batch, header, self._now))]
        return self._forward(asker, produce)

    def _fault_of_produce(self, produce: wire.Produce, header: BatchHeader) -> tuple[ErrorCode, str] | None:
        limit = self._settings.record_max + BATCH_OVERHEAD
        if produce.batch.size > limit and header.records == 1:
            text = f"a record of about {produce.batch.size} bytes is over the limit of {self._settings.record_max}"
            return ErrorCode.RECORD_TOO_LARGE, f"{text} (setting record_max)"
        if produce.batch.size > limit:
            text = f"a batch of {produce.batch.size} bytes is over the limit of {limit} (setting record_max)"
            return ErrorCode.RECORD_TOO_LARGE, text
        return None

    # --- fetch ---

    def _fetch(self, asker: Asker, fetch: wire.Fetch, since: float) -> list[Effect]:
        if not self._ready:
            return self._hold(asker, fetch, since, self._why_not_ready())
        unknown = [one for one in fetch.partitions if self.catalog.topic(one.topic, one.topic_id) is None]
        if unknown and not self.leads and self._now - since < LOOK_S * 5:
            return self._hold_unknown(asker, fetch, since)
        effects, poll = self.polls.begin(asker, fetch, self._fault_of_fetch)
        return effects + (self._answer_poll(poll) if poll else [])

    def _fault_of_fetch(self, wanted: wire.FetchFrom) -> wire.Fetched | None:
        topic = self.catalog.topic(wanted.topic, wanted.topic_id)
        if topic is None or wanted.partition >= topic.partitions:
            text = f"there is no partition {wanted.partition} of a topic {wanted.topic!r}"
            return _fetch_error(wanted, ErrorCode.UNKNOWN_TOPIC, text)
        assigned = self.catalog.ring.owner(wanted.topic, wanted.partition)
        if assigned is not None and assigned != self.me:
            return _fetch_error(wanted, ErrorCode.NOT_ASSIGNED, f"ask {assigned}", assigned.address)
        return None

    def _read_done(self, read: ReadDone) -> list[Effect]:
        if self.catalog.measures(read.read):
            effects: list[Effect] = []
            for request in self.catalog.measured(read):
                effects += self._answer_metadata(request)
            return effects
        ended, poll = self.polls.done(read)
        return ended + (self._answer_poll(poll) if poll else [])

    def _answer_poll(self, poll: Poll) -> list[Effect]:
        results = tuple(
            poll.results.get(place) or _fetch_error(wanted, ErrorCode.NONE, "")
            for place, wanted in enumerate(poll.fetch.partitions)
        )
        view = self.view
        response = wire.FetchResponse(
            results,
            self.active and self.leader_heard,
            view.cluster_id if view else "",
            view.lineage if view else NO_EPOCH,
        )
        return self.sessions.answer(poll.asker, response)

    def _end_polls(self) -> list[Effect]:
        effects, over = self.polls.end_all()
        return effects + [effect for poll in over for effect in self._answer_poll(poll)]

    # --- metadata, topics ---

    def _metadata(self, asker: Asker, metadata: wire.Metadata, since: float) -> list[Effect]:
        if not metadata.topics or self.view is None:
            return self.sessions.answer(asker, self._metadata_response(metadata, ()))
        if not self._ready:
            if self._now - since < HELD_S / 2:
                return self._hold(asker, metadata, since, self._why_not_ready())
            return self.sessions.answer(asker, self._metadata_response(metadata, ()))
        if not self.leads:
            if isinstance(asker.origin, Member):
                return self.sessions.answer(asker, self._metadata_response(metadata, ()))
            return self._forward(asker, metadata)
        missing = [name for name in metadata.topics if name not in self.catalog.by_name and not fault_in_name(name)]
        if missing and not self._knows_all and self._now - since < HELD_S / 2:
            return self._hold(asker, metadata, since, "the new leader does not know all topics yet")
        if missing and metadata.create and self._settings.auto_create:
            return self._create_missing(asker, metadata, since, missing)
        effects, request = self.catalog.measure(self._ask(asker, metadata), metadata.topics)
        return effects + (self._answer_metadata(request) if request is not None else self._look_later())

    def _create_missing(self, asker: Asker, metadata: wire.Metadata, since: float, missing: list[str]) -> list[Effect]:
        """Create what is missing, and answer once it is there, or with the reason why it cannot be."""
        reason, said_at = self._uncreated
        if reason and self._now - said_at < LOOK_S:
            topics = tuple(self.catalog.describe(name, None, reason) for name in metadata.topics)
            return self.sessions.answer(asker, self._metadata_response(metadata, topics))
        effects: list[Effect] = []
        for name in missing:
            if name not in self._creating:
                self._creating.add(name)
                decision = wire.TopicCreated(name, self._settings.default_partitions)
                request = self._ask(asker, metadata)
                self._pending[request].creates = True
                effects.append(Announce(ProposeDecision(request, decision, self._now)))
        return effects + self._hold(asker, metadata, since, "the topic is being created")

    def _answer_metadata(self, request: int) -> list[Effect]:
        pending = self._pending.pop(request, None)
        if pending is None or not isinstance(pending.message, wire.Metadata):
            return []
        topics = tuple(self.catalog.describe(name, request) for name in pending.message.topics)
        self.catalog.forget(request)
        return self.sessions.answer(pending.asker, self._metadata_response(pending.message, topics))

    def _metadata_response(
        self, metadata: wire.Metadata, topics: tuple[wire.TopicMetadata, ...]
    ) -> wire.MetadataResponse:
        view = self.view
        if not topics:
            names = metadata.topics or tuple(sorted(self.catalog.by_name))
            topics = tuple(self.catalog.describe(name, None) for name in names)
        leader = view.leader if view is not None and self.active and self.leader_heard else None
        return wire.MetadataResponse(
            view.cluster_id if view else "",
            view.lineage if view else NO_EPOCH,
            view.epoch.n if view else 0,
            leader,
            self.catalog.ring.brokers,
            topics,
            self._settings.record_max,
        )

    def _create(self, asker: Asker, create: wire.CreateTopic, since: float) -> list[Effect]:
        fault = fault_in_name(create.name)
        if fault is None and not 1 <= create.partitions <= PARTITIONS_MAX:
            fault = f"a topic has 1 to {PARTITIONS_MAX} partitions, not {create.partitions}"
        if fault is not None:
            return self.sessions.answer(asker, wire.TopicResponse(ErrorCode.INVALID_TOPIC, fault))
        if not self._ready:
            return self._hold(asker, create, since, self._why_not_ready())
        if not self.leads:
            return self._forward(asker, create)
        request = self._ask(asker, create)
        return [Announce(ProposeDecision(request, wire.TopicCreated(create.name, create.partitions), self._now))]

    def _delete(self, asker: Asker, delete: wire.DeleteTopic, since: float) -> list[Effect]:
        if not self._ready:
            return self._hold(asker, delete, since, self._why_not_ready())
        if not self.leads:
            return self._forward(asker, delete)
        topic = self.catalog.by_name.get(delete.name)
        if topic is None:
            text = f"there is no topic {delete.name!r}"
            return self.sessions.answer(asker, wire.TopicResponse(ErrorCode.UNKNOWN_TOPIC, text))
        request = self._ask(asker, delete)
        return [Announce(ProposeDecision(request, wire.TopicDeleted(topic.topic_id, topic.name), self._now))]

    # --- what the rules leave to a person ---

    def _change_leader(self, asker: Asker, change: wire.ChangeLeader, since: float) -> list[Effect]:
        if not self._ready or self.view is None:
            return self._hold(asker, change, since, self._why_not_ready())
        if not self.leads:
            return self._forward(asker, change)
        if self.view.member(change.node_id) is None:
            names = ", ".join(member.node_id for member in self.view.members)
            text = f"there is no member {change.node_id!r}, the members are {names}"
            return self.sessions.answer(asker, wire.AdminResponse(ErrorCode.INVALID_REQUEST, text))
        answer = self.sessions.answer(asker, wire.AdminResponse(ErrorCode.NONE))
        return [*answer, Announce(TransferLeadership(change.node_id))]

    def _force_view(self, asker: Asker, force: wire.ForceView) -> list[Effect]:
        fault = ""
        if not force.accept_data_loss:
            fault = "a forced view may lose acknowledged records: say that you accept it"
        elif self._ready:
            fault = "this cluster has a leader, there is nothing to force"
        elif self.view is None:
            fault = "this broker has not been in a view, ask one that has"
        if fault:
            return self.sessions.answer(asker, wire.AdminResponse(ErrorCode.INVALID_REQUEST, fault))
        return [*self.sessions.answer(asker, wire.AdminResponse(ErrorCode.NONE)), Announce(ForceView())]

    # --- requests under way ---

    def _ask(self, asker: Asker, message: wire.ClientRequest, forwarded_to: Member | None = None) -> int:
        self._last_request += 1
        self._pending[self._last_request] = Pending(asker, message, self._now, forwarded_to)
        return self._last_request

    def _forward(self, asker: Asker, message: wire.ClientRequest) -> list[Effect]:
        if self.view is None or isinstance(asker.origin, Member):  # only once, or two brokers could play ping-pong
            return self._no(asker, ErrorCode.RETRY, f"{self.me} does not lead")
        leader = self.view.leader
        request = self._ask(asker, message, forwarded_to=leader)
        return [Forward(leader, request, message), *self._look_later()]

    def _answered(self, request: int, sender: Origin, response: wire.ClientResponse) -> list[Effect]:
        """Only the broker that a request was forwarded to may answer it; what comes too late is dropped."""
        if not isinstance(sender, Member):
            raise RemoteProtocolError(f"a client may not say {type(response).__name__}")
        pending = self._pending.get(request)
        if pending is None or pending.forwarded_to != sender:
            return []
        return self._answer_request(request, response)

    def _answer_request(self, request: int, response: wire.ClientResponse) -> list[Effect]:
        pending = self._pending.pop(request, None)
        return self.sessions.answer(pending.asker, response) if pending else []

    def _succeeded(self, request: int, offset: int) -> list[Effect]:
        pending = self._pending.get(request)
        if pending is None or pending.creates:
            self._pending.pop(request, None)
            return []
        if isinstance(pending.message, wire.Produce):
            return self._answer_request(request, self._acknowledge(offset))
        return self._answer_request(request, wire.TopicResponse(ErrorCode.NONE, topic_id=offset))

    def _acknowledge(self, offset: int) -> wire.ProduceResponse:
        view = self.view
        return wire.ProduceResponse(
            ErrorCode.NONE,
            offset=offset,
            cluster_id=view.cluster_id if view else "",
            lineage=view.lineage if view else NO_EPOCH,
        )

    def _rejected(self, rejected: Rejected) -> list[Effect]:
        pending = self._pending.pop(rejected.request, None)
        if pending is None:
            return []
        if (
            pending.creates and rejected.error is ErrorCode.TOPIC_EXISTS
        ):  # in the log, not committed yet: held till then
            return []
        if pending.creates:  # a topic that could not be created: its asker is held
            self._creating.clear()
            self._uncreated = (rejected.text, self._now) if rejected.error is ErrorCode.RETRY else ("", self._now)
            return self._look_again()
        return self._no(pending.asker, rejected.error, rejected.text, pending.message)

    def _no(self, asker: Asker, error: ErrorCode, text: str, message: wire.ClientRequest | None = None) -> list[Effect]:
        if isinstance(message, wire.CreateTopic | wire.DeleteTopic):
            return self.sessions.answer(asker, wire.TopicResponse(error, text))
        if isinstance(message, wire.ChangeLeader | wire.ForceView):
            return self.sessions.answer(asker, wire.AdminResponse(error, text))
        if isinstance(message, wire.Metadata):
            return self.sessions.answer(asker, self._metadata_response(message, ()))
        if isinstance(message, wire.Fetch):
            results = tuple(_fetch_error(one, error, text) for one in message.partitions)
            return self.sessions.answer(asker, wire.FetchResponse(results, self.active and self.leader_heard))
        return self.sessions.answer(asker, _produce_error(error, text))

    def _lost(self, which: Callable[[Pending], bool], reason: str) -> list[Effect]:
        """Answer RETRY to requests whose answer will not come."""
        lost = [request for request, pending in self._pending.items() if which(pending)]
        effects: list[Effect] = []
        for request in lost:
            pending = self._pending.pop(request)
            self.catalog.forget(request)
            effects += self._no(pending.asker, ErrorCode.RETRY, reason, pending.message)
        return effects

    def _view_installed(self, view: View, leads: bool) -> list[Effect]:
        self.view, self.leads, self.active = view, leads, True
        self._knows_all = leads and view.base == 0
        self._creating.clear()
        return self._lost(
            lambda pending: pending.forwarded_to is not None and pending.forwarded_to != view.leader,
            f"{view.leader} leads now",
        )

    # --- holding ---

    @property
    def _ready(self) -> bool:
        return self.active and self.leader_heard

    def _why_not_ready(self) -> str:
        if self.view is None:
            return "this broker has not joined its cluster yet"
        return "the view is changing" if not self.active else f"leader {self.view.leader} does not answer"

    def _hold(self, asker: Asker, message: wire.ClientRequest, since: float, reason: str) -> list[Effect]:
        if not self._held.hold(Held(asker, message, since), self._now):
            return self._no(asker, ErrorCode.RETRY, reason, message)
        return self._look_later()

    def _hold_unknown(self, asker: Asker, message: wire.ClientRequest, since: float) -> list[Effect]:
        """The topic may have been created a moment ago: a follower waits until it must have heard of it."""
        name = message.topic if isinstance(message, wire.Produce) else ""
        if self._knows_all or self._now - since >= LOOK_S * 5:
            return self._no(asker, ErrorCode.UNKNOWN_TOPIC, f"there is no topic {name!r} with this id", message)
        return self._hold(asker, message, since, "the topic is not known here yet")

    def _look_later(self) -> list[Effect]:
        if self._looking:
            return []
        self._looking = True
        return [SetTimer(HeldTimedOut(), LOOK_S)]

    def _look_again(self) -> list[Effect]:
        """Serve what is held, in order; what still cannot be served is held again."""
        effects: list[Effect] = []
        for one in self._held.take_all():
            effects += self._serve(one.asker, one.message, one.since)
        effects += self._lost(self._is_lost, "no answer from the leader")
        return effects + (self._look_later() if self._held or self._pending else [])

    def _is_lost(self, pending: Pending) -> bool:
        """Its answer will hardly come: the leader is silent, or this is one and no view has resumed it."""
        patience_s = FORWARDED_S if self.active else HELD_S
        return not pending.creates and self._now - pending.since > patience_s


def _produce_error(error: ErrorCode, text: str, assigned: Member | None = None) -> wire.ProduceResponse:
    return wire.ProduceResponse(error, text, address=assigned.address if assigned else "")


def _fetch_error(wanted: wire.FetchFrom, error: ErrorCode, text: str, address: str = "") -> wire.Fetched:
    return wire.Fetched(wanted.topic, wanted.partition, error, text, 0, wanted.offset, (), address)
