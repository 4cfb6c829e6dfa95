"""Requests that are not answered yet: where each of them waits, and how it is answered in the end.

    asked --> pending   somebody prepares the answer: the replica, the node, or the leader it was forwarded to
          --> held      it cannot be served at this moment; it is looked at again whenever something changes
          --> answered, refused

A held request that has waited HELD_S, or that there is no room for, gets RETRY with the reason. A pending one
whose answer will hardly come does, too. Nothing is sent twice from here: only the client repeats, with the
same sequence, because only the client knows what it has been told (R11).

Elsewhere: what a request wants (producing, fetching, topic_requests), the turn of an answer (sessions).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from logstream.core.effects import Effect, Forward, SetTimer
from logstream.core.events import Origin
from logstream.core.gateway.answers import Answers
from logstream.core.gateway.holding import HELD_S, Held, Holding
from logstream.core.gateway.sessions import Asker, Sessions
from logstream.core.gateway.standing import Standing
from logstream.core.gateway.vocabulary import HeldTimedOut
from logstream.protocol import messages as wire
from logstream.protocol.errors import ErrorCode, RemoteProtocolError
from logstream.protocol.identity import Member

LOOK_S = 0.1  # between looks at what is held
UNHEARD_OF_S = 0.5  # a topic that a follower does not know after this does not exist
FORWARDED_S = 10.0  # after which a forwarded request counts as lost


@dataclass(slots=True)
class Pending:
    """A request whose answer somebody else prepares."""

    asker: Asker
    message: wire.ClientRequest
    since: float
    forwarded_to: Member | None = None
    creates: bool = False  # a topic for a request that is held meanwhile: nobody waits for this answer itself


class Requests:
    """The requests that one broker has under way."""

    def __init__(self, standing: Standing, answers: Answers, sessions: Sessions, first: int) -> None:
        self.now = 0.0  # of the newest event, in seconds
        self._standing, self._answers, self._sessions = standing, answers, sessions
        self._pending: dict[int, Pending] = {}
        self.held = Holding()
        self._last = first
        self._looking = False  # the timer runs

    # --- pending ---

    def ask(
        self,
        asker: Asker,
        message: wire.ClientRequest,
        forwarded_to: Member | None = None,
        creates: bool = False,
    ) -> int:
        """A number under which somebody else prepares the answer."""
        self._last += 1
        self._pending[self._last] = Pending(asker, message, self.now, forwarded_to, creates)
        return self._last

    def forward(self, asker: Asker, message: wire.ClientRequest) -> list[Effect]:
        """Let the leader answer. Only once, or two brokers could play ping-pong."""
        view = self._standing.view
        if view is None or isinstance(asker.origin, Member):
            return self.refuse(asker, message, ErrorCode.RETRY, f"{self._standing.me} does not lead")
        request = self.ask(asker, message, forwarded_to=view.leader)
        return [Forward(view.leader, request, message), *self.look_later()]

    def take(self, request: int) -> Pending | None:
        """The request of this number; it is not pending any more."""
        return self._pending.pop(request, None)

    def answered_by(self, sender: Origin, request: int, response: wire.ClientResponse) -> list[Effect]:
        """Only the broker that a request was forwarded to may answer it; what comes too late is dropped.

        Raises RemoteProtocolError if a client answers.
        """
        if not isinstance(sender, Member):
            raise RemoteProtocolError(f"a client may not say {type(response).__name__}")
        pending = self._pending.get(request)
        if pending is None or pending.forwarded_to != sender:
            return []
        return self.answer_pending(request, response)

    def lose(self, which: Callable[[Pending], bool], reason: str) -> tuple[list[Effect], list[int]]:
        """Answer RETRY to requests whose answer will not come; also says which they were."""
        lost = [request for request, pending in self._pending.items() if which(pending)]
        effects: list[Effect] = []
        for request in lost:
            pending = self._pending.pop(request)
            effects += self.refuse(pending.asker, pending.message, ErrorCode.RETRY, reason)
        return effects, lost

    def is_lost(self, pending: Pending) -> bool:
        """Its answer will hardly come: the leader is silent, or this is one and no view has resumed it."""
        patience_s = FORWARDED_S if self._standing.active else HELD_S
        return not pending.creates and self.now - pending.since > patience_s

    # --- answers ---

    def answer(self, asker: Asker, response: wire.ClientResponse) -> list[Effect]:
        """Answer a request, in its turn."""
        return self._sessions.answer(asker, response)

    def answer_pending(self, request: int, response: wire.ClientResponse) -> list[Effect]:
        """Answer the request of this number, unless it is answered."""
        pending = self.take(request)
        return self.answer(pending.asker, response) if pending else []

    def refuse(self, asker: Asker, message: wire.ClientRequest, error: ErrorCode, text: str) -> list[Effect]:
        """Answer a request with an error."""
        return self.answer(asker, self._answers.refusal(message, error, text))

    # --- held ---

    def hold(self, asker: Asker, message: wire.ClientRequest, since: float, reason: str) -> list[Effect]:
        """Keep a request for a better moment, or answer why it would have to wait."""
        if not self.held.hold(Held(asker, message, since), self.now):
            return self.refuse(asker, message, ErrorCode.RETRY, reason)
        return self.look_later()

    def hold_until_ready(self, asker: Asker, message: wire.ClientRequest, since: float) -> list[Effect]:
        """Keep a request until there is a leader and a view."""
        return self.hold(asker, message, since, self._standing.why_not_ready())

    def hold_unknown(
        self, asker: Asker, message: wire.Produce | wire.Fetch | wire.ListOffsets, since: float
    ) -> list[Effect]:
        """The topic may have been created a moment ago: a follower waits until it must have heard of it."""
        name = message.topic if isinstance(message, wire.Produce) else ""
        if self._standing.knows_all or self.now - since >= UNHEARD_OF_S:
            return self.refuse(asker, message, ErrorCode.UNKNOWN_TOPIC, f"there is no topic {name!r} with this id")
        return self.hold(asker, message, since, "the topic is not known here yet")

    def take_held(self) -> list[Held]:
        """Everything that is held, in order, to be served again."""
        return self.held.take_all()

    def look_later(self) -> list[Effect]:
        """Look again after a while, unless that is arranged already."""
        if self._looking:
            return []
        self._looking = True
        return [SetTimer(HeldTimedOut(), LOOK_S)]

    def looking(self) -> None:
        """The timer has fired."""
        self._looking = False

    def look_on(self) -> list[Effect]:
        """Look again later if there is anything to look at."""
        return self.look_later() if self.held or self._pending else []
