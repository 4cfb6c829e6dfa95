"""FETCH: may these partitions be read here, and what is said when a long poll is over?

    assigned here? -> read the partitions' logs, long poll -> an answer when there is enough, or its time is over

Whoever waits for what is not here any more (a partition moved, a topic deleted, no leader heard) is answered
at once.

Elsewhere: what waits and when it is enough (polls), what a partition holds (topic_log).
"""

from __future__ import annotations

from logstream.core.effects import Effect
from logstream.core.events import Session
from logstream.core.gateway.answers import Answers, fetch_error
from logstream.core.gateway.catalog import Catalog
from logstream.core.gateway.polls import Poll, Polls
from logstream.core.gateway.requests import UNHEARD_OF_S, Requests
from logstream.core.gateway.sessions import Asker
from logstream.core.gateway.standing import Standing
from logstream.core.topic_log import ReadDone
from logstream.protocol.errors import ErrorCode
from logstream.protocol.messages import Fetch, Fetched, FetchFrom


class Fetching:
    """The fetches of one broker's clients; `credit` is the bytes that one answer may carry."""

    def __init__(self, standing: Standing, catalog: Catalog, answers: Answers, requests: Requests, credit: int) -> None:
        self.polls = Polls(credit)
        self._standing, self._catalog, self._answers, self._requests = standing, catalog, answers, requests

    def fetch(self, asker: Asker, fetch: Fetch, since: float) -> list[Effect]:
        """Begin to read, or hold the request."""
        if not self._standing.ready:
            return self._requests.hold_until_ready(asker, fetch, since)
        unknown = any(self._catalog.topic(one.topic, one.topic_id) is None for one in fetch.partitions)
        if unknown and not self._standing.leads and self._requests.now - since < UNHEARD_OF_S:
            return self._requests.hold_unknown(asker, fetch, since)
        effects, poll = self.polls.begin(asker, fetch, self._fault)
        return effects + (self._answer(poll) if poll else [])

    def _fault(self, wanted: FetchFrom) -> Fetched | None:
        topic = self._catalog.topic(wanted.topic, wanted.topic_id)
        if topic is None or wanted.partition >= topic.partitions:
            text = f"there is no partition {wanted.partition} of a topic {wanted.topic!r}"
            return fetch_error(wanted, ErrorCode.UNKNOWN_TOPIC, text)
        assigned = self._catalog.ring.owner(wanted.topic, wanted.partition)
        if assigned is not None and assigned != self._standing.me:
            return fetch_error(wanted, ErrorCode.NOT_ASSIGNED, f"ask {assigned}", assigned.address)
        return None

    def read(self, read: ReadDone) -> list[Effect]:
        """A partition says what it has."""
        effects, poll = self.polls.done(read)
        return effects + (self._answer(poll) if poll else [])

    def timed_out(self, number: int) -> list[Effect]:
        """A client has waited for as long as it wanted."""
        effects, poll = self.polls.timed_out(number)
        return effects + (self._answer(poll) if poll else [])

    def judge_again(self) -> list[Effect]:
        """Assignments or topics changed."""
        effects, over = self.polls.judge_again(self._fault)
        return effects + [effect for poll in over for effect in self._answer(poll)]

    def end_all(self) -> list[Effect]:
        """No leader is heard."""
        effects, over = self.polls.end_all()
        return effects + [effect for poll in over for effect in self._answer(poll)]

    def drop(self, session: Session) -> list[Effect]:
        """A client is gone."""
        return self.polls.drop(session)

    def _answer(self, poll: Poll) -> list[Effect]:
        results = tuple(
            poll.results.get(place) or fetch_error(wanted, ErrorCode.NONE, "")
            for place, wanted in enumerate(poll.fetch.partitions)
        )
        return self._requests.answer(poll.asker, self._answers.fetched(results))
