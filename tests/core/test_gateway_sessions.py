"""Sessions: answers take their turn, and no client has more under way than its share."""

from __future__ import annotations

import pytest

from logstream.core.effects import Announce, Effect, Reply
from logstream.core.events import Due, Received, Session, SessionClosed
from logstream.core.failure_detector import LeaderFound
from logstream.core.gateway.gateway import Gateway, GatewaySettings
from logstream.core.gateway.sessions import BYTES_MAX, REQUESTS_MAX, UNANSWERED_MAX, Sessions
from logstream.core.gateway.vocabulary import PollTimedOut
from logstream.core.replica.vocabulary import Produced, Promised, Propose, ViewInstalled
from logstream.core.ring import Ring
from logstream.core.stream_assigner import RingChanged
from logstream.core.topics import Topic, TopicOpened
from logstream.protocol.batches import Batch
from logstream.protocol.errors import ErrorCode, RemoteProtocolError
from logstream.protocol.messages import (
    ClientRequest,
    Fetch,
    FetchFrom,
    InvalidRequestResponse,
    Metadata,
    MetadataResponse,
    Produce,
    StatusRequest,
    StatusResponse,
)
from tests.core.builders import A, B, batch, epoch, view

ONE, TWO = Session(1), Session(2)
CREDIT = 1 << 20


class Broker:
    """A leads and serves topic t alone; nothing is ever committed unless a test says so."""

    def __init__(self, first_request: int = 0) -> None:
        self.core = Gateway(A, GatewaySettings(BYTES_MAX, CREDIT, True, 1, first_request=first_request))
        for event in (
            LeaderFound(A),
            ViewInstalled(view(1, A, B, leader=A), leads=True),
            RingChanged(Ring((A,))),
            TopicOpened(Topic(1, "t", 1)),
        ):
            self.core.handle(event)
        self.asked_last = 0

    def asked(self, message: ClientRequest, by: Session = ONE) -> list[Effect]:
        self.asked_last += 1
        return self.core.handle(Received(message, by, 10.0, correlation=self.asked_last))

    def fill(self, requests: int) -> list[int]:
        """So many small batches of one client; the numbers of their requests."""
        small = batch()
        return [number for _ in range(requests) for number in proposed(self.asked(produce(small)))]


@pytest.fixture
def leader() -> Broker:
    return Broker()


def produce(one: Batch) -> Produce:
    return Produce("t", 1, 0, one, 60.0)


def fetch(max_bytes: int = 1 << 30) -> Fetch:
    return Fetch((FetchFrom("t", 1, 0, 0),), 0.5, 1, max_bytes)


def proposed(effects: list[Effect]) -> list[int]:
    return [one.event.request for one in effects if isinstance(one, Announce) and isinstance(one.event, Propose)]


def errors(effects: list[Effect]) -> list[ErrorCode]:
    return [one.message.error for one in effects if isinstance(one, Reply)]  # type: ignore[union-attr]


# --- how many ---


def test_a_client_with_too_many_requests_under_way_is_told_to_retry_in_its_turn(leader: Broker) -> None:
    numbers = leader.fill(REQUESTS_MAX)
    assert leader.asked(produce(batch())) == []
    for number in numbers[:-1]:
        assert errors(leader.core.handle(Produced(number, 0))) == [ErrorCode.NONE]
    assert errors(leader.core.handle(Produced(numbers[-1], 0))) == [ErrorCode.NONE, ErrorCode.RETRY]


def test_every_answer_makes_room_for_a_request(leader: Broker) -> None:
    first, *_ = leader.fill(REQUESTS_MAX)
    leader.core.handle(Produced(first, 0))
    assert len(proposed(leader.asked(produce(batch())))) == 1
    assert proposed(leader.asked(produce(batch()))) == []


def test_an_answer_that_waits_for_its_turn_makes_no_room(leader: Broker) -> None:
    _, second, *_ = leader.fill(REQUESTS_MAX)
    assert leader.core.handle(Produced(second, 0)) == []
    assert proposed(leader.asked(produce(batch()))) == []


def test_one_client_at_its_limit_is_no_burden_to_another(leader: Broker) -> None:
    leader.fill(REQUESTS_MAX)
    assert len(proposed(leader.asked(produce(batch()), by=TWO))) == 1


def test_a_client_that_never_stops_asking_is_not_even_answered(leader: Broker) -> None:
    leader.fill(UNANSWERED_MAX)
    with pytest.raises(RemoteProtocolError, match="unanswered"):
        leader.asked(produce(batch()))
    assert len(proposed(leader.asked(produce(batch()), by=TWO))) == 1


def test_a_client_that_comes_again_starts_with_all_its_room(leader: Broker) -> None:
    leader.fill(REQUESTS_MAX)
    leader.core.handle(SessionClosed(ONE))
    assert len(leader.fill(1)) == 1


def test_brokers_that_forward_have_no_session_and_no_limit() -> None:
    sessions = Sessions()
    for correlation in range(UNANSWERED_MAX + 1):
        assert not sessions.is_full(B, BYTES_MAX)
        sessions.asked(B, correlation, BYTES_MAX)


# --- how large ---


def test_a_client_with_too_many_bytes_under_way_is_told_to_retry(leader: Broker) -> None:
    half = batch(payload=bytes(BYTES_MAX // 2))
    [number] = proposed(leader.asked(produce(half)))
    assert leader.asked(produce(half)) == []
    assert errors(leader.core.handle(Produced(number, 0))) == [ErrorCode.NONE, ErrorCode.RETRY]
    assert len(proposed(leader.asked(produce(half)))) == 1


def test_one_request_is_served_however_large_it_is() -> None:
    sessions = Sessions()
    assert not sessions.is_full(ONE, BYTES_MAX + 1)
    sessions.asked(ONE, 1, BYTES_MAX + 1)
    assert sessions.is_full(ONE, 1)


def test_a_fetch_counts_for_the_answer_that_it_may_get(leader: Broker) -> None:
    for _ in range(BYTES_MAX // CREDIT):
        leader.asked(fetch())
    assert len(leader.core.fetching.polls) == BYTES_MAX // CREDIT
    leader.asked(fetch(max_bytes=1))
    assert len(leader.core.fetching.polls) == BYTES_MAX // CREDIT
    leader.core.handle(Due(PollTimedOut(1), 11.0))
    leader.asked(fetch(max_bytes=1))
    assert len(leader.core.fetching.polls) == BYTES_MAX // CREDIT


def test_requests_that_are_held_count_too(leader: Broker) -> None:
    leader.core.handle(Promised(epoch(2)))
    leader.asked(fetch())
    for _ in range(BYTES_MAX // CREDIT):
        leader.asked(fetch())
    assert len(leader.core.requests.held) == BYTES_MAX // CREDIT


@pytest.mark.parametrize(
    ("message", "kind"),
    [(StatusRequest(), InvalidRequestResponse), (Metadata(()), MetadataResponse)],
)
def test_a_refusal_has_the_shape_that_the_client_expects(leader: Broker, message: ClientRequest, kind: type) -> None:
    numbers = leader.fill(REQUESTS_MAX)
    assert leader.asked(message) == []
    replies = [one for number in numbers for one in leader.core.handle(Produced(number, 0)) if isinstance(one, Reply)]
    assert isinstance(replies[-1].message, kind)


# --- turns ---


def test_turns_are_kept_when_the_same_correlation_comes_twice() -> None:
    sessions = Sessions()
    first, again = sessions.asked(ONE, 7, 10), sessions.asked(ONE, 7, 10)
    answer = StatusResponse("{}")
    assert sessions.answer(first, answer) == [Reply(ONE, 7, answer)]
    assert sessions.answer(again, answer) == [Reply(ONE, 7, answer)]
    assert not sessions.is_full(ONE, BYTES_MAX + 1)


def test_requests_of_two_lives_of_one_member_have_different_numbers() -> None:
    """A durable member comes back under its identity, and what it forwarded before may still be answered."""
    (earlier,), (later,) = Broker(1 << 20).fill(1), Broker(1 << 40).fill(1)
    assert earlier != later
