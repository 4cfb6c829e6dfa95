"""What clients of one broker see: every request comes in here, every answer goes out here.

    PRODUCE                     producing        leader: to the replica; others: to the leader
    FETCH                       fetching         read the partitions' logs, long poll
    LIST_OFFSETS                locating         ask the partitions' logs for a time
    METADATA, CREATE, ALTER...  topic_requests   the leader answers; others forward to it
    leader, forced view         administration   a person decides

A request that cannot be served at this moment (no leader, a view is changing, a topic that this broker
has not heard of yet) is held, in order, and served again whenever something changes. This file hears the
events and says whom each of them concerns.

Elsewhere: requests on their way to an answer (requests), the wording of it (answers), its turn and how much a
client may have under way (sessions); what is in the log (replica), what a partition holds (topic_log), who is
assigned (ring).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from logstream.core.effects import Announce, Effect
from logstream.core.events import Due, LinkDown, Origin, Received, SessionClosed
from logstream.core.failure_detector import LeaderFound, LeaderLost
from logstream.core.gateway.administration import Administration
from logstream.core.gateway.answers import Answers
from logstream.core.gateway.catalog import Catalog
from logstream.core.gateway.fetching import Fetching
from logstream.core.gateway.locating import Locating
from logstream.core.gateway.producing import Producing
from logstream.core.gateway.requests import Pending, Requests
from logstream.core.gateway.sessions import Asker, Sessions, size_of
from logstream.core.gateway.standing import Standing
from logstream.core.gateway.topic_requests import TopicRequests
from logstream.core.gateway.vocabulary import HeldTimedOut, PollTimedOut, StatusAsked, StatusReady
from logstream.core.replica.vocabulary import Produced, Promised, Rejected, ViewInstalled, ViewLeft
from logstream.core.stream_assigner import RingChanged
from logstream.core.topic_log import Located, ReadDone
from logstream.core.topics import RegistryCurrent, TopicClosed, TopicOpened, TopicRevised
from logstream.protocol import messages as wire
from logstream.protocol.errors import ErrorCode, LocalProtocolError, RemoteProtocolError
from logstream.protocol.identity import Member, View
from logstream.protocol.retention import AS_CLUSTER, TopicRetention


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Values that a gateway needs; sizes in bytes."""

    record_max: int
    credit: int
    auto_create: bool
    default_partitions: int
    retention: TopicRetention = AS_CLUSTER  # what a topic without limits of its own keeps
    first_request: int = 0  # random, so that an answer to an earlier process of this member fits no request of this one


class Gateway:
    """One broker's side towards its clients."""

    def __init__(self, me: Member, settings: GatewaySettings) -> None:
        standing = self.standing = Standing(me)
        catalog = self.catalog = Catalog(settings.retention)
        self.sessions = Sessions()
        answers = Answers(standing, catalog, settings.record_max)
        requests = self.requests = Requests(standing, answers, self.sessions, settings.first_request)
        self.producing = Producing(standing, catalog, requests, settings.record_max)
        self.fetching = Fetching(standing, catalog, answers, requests, settings.credit)
        self._locating = Locating(standing, catalog, answers, requests)
        on_first_use = settings.default_partitions if settings.auto_create else None
        self._topics = TopicRequests(standing, catalog, answers, requests, on_first_use)
        self._administration = Administration(standing, requests)
        self._answers = answers
        self._credit = settings.credit

    def handle(self, event: object) -> list[Effect]:
        """One event; raises RemoteProtocolError for what no client may say."""
        match event:
            case Received(sender=sender, at=at):
                self.requests.now = max(self.requests.now, at)
                return self._hear(event, sender) if sender is not None else []
            case Produced(request=request, offset=offset):
                return self._succeeded(request, offset)
            case ReadDone(read=read):
                return self._topics.measured(event) if self.catalog.measures(read) else self.fetching.read(event)
            case Located():
                return self._locating.located(event)
            case Rejected():
                return self._rejected(event)
            case Due(timer=timer, at=at):
                self.requests.now = max(self.requests.now, at)
                return self._due(timer)
            case StatusReady(request=request, json=json):
                return self.requests.answer_pending(request, wire.StatusResponse(json))
            case SessionClosed(session=session):
                self.sessions.closed(session)
                return self.fetching.drop(session)
            case _:
                return self._changed(event)

    def _changed(self, event: object) -> list[Effect]:
        """Something about the cluster changed: look again at what is held."""
        effects: list[Effect] = []
        match event:
            case ViewInstalled(view=view, leads=leads):
                effects = self._view_installed(view, leads)
            case Promised() | ViewLeft():
                self.standing.interrupted()
                effects = self.requests.look_later()
            case LeaderFound():
                self.standing.leader_heard = True
            case LeaderLost():
                self.standing.leader_heard = False
                effects = self.fetching.end_all() + self.requests.look_later()
            case LinkDown(member=member):
                effects = self._lose(lambda pending: pending.forwarded_to == member, f"the link to {member} is lost")
            case RegistryCurrent(epoch=epoch):
                self.standing.registry_current(epoch)
            case RingChanged(ring=ring):
                self.catalog.ring = ring
                effects = self.fetching.judge_again()
            case TopicOpened(topic=topic):
                self.catalog.opened(topic)
                self._topics.opened(topic.name)
            case TopicRevised(topic=topic):
                self.catalog.revised(topic)
            case TopicClosed(topic=topic):
                self.catalog.closed(topic)
                effects = self.fetching.judge_again()
            case _:
                raise LocalProtocolError(f"a gateway cannot handle {event!r}")
        return effects + self._look_again()

    def _due(self, timer: object) -> list[Effect]:
        match timer:
            case PollTimedOut(poll=number):
                return self.fetching.timed_out(number)
            case HeldTimedOut():
                self.requests.looking()
                return self._look_again()
            case _:
                raise LocalProtocolError(f"a gateway cannot handle the timer {timer!r}")

    # --- requests come in ---

    def _hear(self, received: Received, sender: Origin) -> list[Effect]:
        message = received.message
        if isinstance(message, wire.ClientResponse):
            return self.requests.answered_by(sender, received.correlation, message)
        if not isinstance(message, wire.ClientRequest):
            raise RemoteProtocolError(f"a client may not say {type(message).__name__}")
        size = size_of(message, self._credit)
        if self.sessions.is_full(sender, size):
            asker = self.sessions.asked(sender, received.correlation)
            return self.requests.refuse(asker, message, ErrorCode.RETRY, "this client has too much under way")
        return self._serve(self.sessions.asked(sender, received.correlation, size), message, self.requests.now)

    def _serve(self, asker: Asker, message: wire.ClientRequest, since: float) -> list[Effect]:
        match message:
            case wire.Produce():
                return self.producing.produce(asker, message, since)
            case wire.Fetch():
                return self.fetching.fetch(asker, message, since)
            case wire.ListOffsets():
                return self._locating.list_offsets(asker, message, since)
            case wire.Metadata():
                return self._topics.metadata(asker, message, since)
            case wire.CreateTopic():
                return self._topics.create(asker, message, since)
            case wire.AlterTopic():
                return self._topics.alter(asker, message, since)
            case wire.DeleteTopic():
                return self._topics.delete(asker, message, since)
            case wire.StatusRequest():
                return [Announce(StatusAsked(self.requests.ask(asker, message)))]
            case wire.ChangeLeader():
                return self._administration.change_leader(asker, message, since)
            case wire.ForceView():
                return self._administration.force_view(asker, message)

    def _look_again(self) -> list[Effect]:
        """Serve what is held, in order; what still cannot be served is held again."""
        effects: list[Effect] = []
        for one in self.requests.take_held():
            effects += self._serve(one.asker, one.message, one.since)
        effects += self._lose(self.requests.is_lost, "no answer from the leader")
        return effects + self.requests.look_on()

    # --- what becomes of them ---

    def _succeeded(self, request: int, offset: int) -> list[Effect]:
        pending = self.requests.take(request)
        if pending is None or pending.creates:
            return []
        if isinstance(pending.message, wire.Produce):
            return self.requests.answer(pending.asker, self._answers.acknowledgement(offset))
        return self.requests.answer(pending.asker, wire.TopicResponse(ErrorCode.NONE, topic_id=offset))

    def _rejected(self, rejected: Rejected) -> list[Effect]:
        pending = self.requests.take(rejected.request)
        if pending is None:
            return []
        if not pending.creates:
            return self.requests.refuse(pending.asker, pending.message, rejected.error, rejected.text)
        if rejected.error is ErrorCode.TOPIC_EXISTS:  # in the log, not committed yet: its asker is held till then
            return []
        self._topics.not_created(rejected)
        return self._look_again()

    def _view_installed(self, view: View, leads: bool) -> list[Effect]:
        self.standing.view_installed(view, leads)
        self._topics.view_installed()
        return self._lose(
            lambda pending: pending.forwarded_to is not None and pending.forwarded_to != view.leader,
            f"{view.leader} leads now",
        )

    def _lose(self, which: Callable[[Pending], bool], reason: str) -> list[Effect]:
        """Answer RETRY to requests whose answer will not come."""
        effects, lost = self.requests.lose(which, reason)
        for request in lost:
            self.catalog.forget(request)
            self._locating.forget(request)
        return effects
