"""ProducerCore: exact effects for single situations (all of them together: test_producer_with_a_model.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from logstream.core.client_effects import Acknowledged, Failed, Request, SeekCluster
from logstream.core.client_events import Answered, Bulk, ClusterSought, Lost, Outgoing, Span, Submitted
from logstream.core.delivery import LingerOver, RetryDue
from logstream.core.directory import MetadataDue
from logstream.core.effects import SetTimer
from logstream.core.events import Due
from logstream.core.producer import CheckDue, ProducerCore, ProducerSettings
from logstream.protocol.batches import header_of
from logstream.protocol.errors import (
    DataLost,
    ErrorCode,
    InvalidTopic,
    LogStreamError,
    NotSent,
    OtherCluster,
    OutcomeUnknown,
    RecordTooLarge,
    RequestTimedOut,
    UnknownTopic,
)
from logstream.protocol.identity import NO_EPOCH, Epoch, Member
from logstream.protocol.messages import (
    ClientResponse,
    InvalidRequestResponse,
    Metadata,
    MetadataResponse,
    Produce,
    ProduceResponse,
    TopicMetadata,
)
from tests.client.cluster_model import PlainBuilder, values_in

A, B = Member("a", "s", "a:1"), Member("b", "s", "b:1")


def record(value: bytes, ticket: object = None, partition: int | None = None, topic: str = "t") -> Outgoing:
    return Outgoing(topic, value, None, (), partition, 0, ticket if ticket is not None else value)


def metadata(
    *assigned: Member,
    topic_id: int = 7,
    error: ErrorCode = ErrorCode.NONE,
    cluster_id: str = "c1",
    lineage: Epoch = NO_EPOCH,
) -> MetadataResponse:
    topic = TopicMetadata("t", topic_id, error, assigned)
    return MetadataResponse(cluster_id, lineage, 1, A, (A, B), (topic,), 1000)


class Talk:
    """A producer's core and what it asked last."""

    def __init__(self, deadline_s: float = 60.0) -> None:
        self.core = ProducerCore(["a:1"], PlainBuilder, Random(1), ProducerSettings(deadline_s=deadline_s))
        self.now = 0.0
        self.asked: list[Request] = []

    def hear(self, event: object) -> list[object]:
        effects = self.core.handle(event)  # type: ignore[arg-type]
        self.core.check_invariants()
        self.asked += [effect for effect in effects if isinstance(effect, Request)]
        return [effect for effect in effects if effect != SetTimer(CheckDue(), 0.25)]

    def submit(self, *records: Outgoing | Bulk) -> list[object]:
        return self.hear(Submitted(records, self.now))

    def answer(self, request: Request, message: ClientResponse) -> list[object]:
        return self.hear(Answered(request.address, request.correlation, message, self.now))

    def due(self, timer: object, at: float) -> list[object]:
        self.now = at
        return self.hear(Due(timer, at, at))

    @property
    def produces(self) -> list[Request]:
        return [request for request in self.asked if isinstance(request.message, Produce)]


@pytest.fixture
def talk() -> Talk:
    """A producer that knows topic t with one partition at broker a, and has sent one record."""
    talk = Talk()
    talk.submit(record(b"0"))
    talk.answer(talk.asked[0], metadata(A))
    return talk


def sequences(requests: Sequence[Request]) -> list[int]:
    return [header_of(request.message.batch.body).base_sequence for request in requests]  # type: ignore[union-attr]


def producer_ids(requests: Sequence[Request]) -> set[int]:
    return {header_of(request.message.batch.body).producer_id for request in requests}  # type: ignore[union-attr]


def ok(offset: int, cluster_id: str = "c1", lineage: Epoch = NO_EPOCH) -> ProduceResponse:
    return ProduceResponse(ErrorCode.NONE, offset=offset, cluster_id=cluster_id, lineage=lineage)


def failures(effects: Sequence[object]) -> list[tuple[list[object], type[LogStreamError]]]:
    return [(list(effect.tickets), type(effect.error)) for effect in effects if isinstance(effect, Failed)]


def in_flight(talk: Talk, batches: int) -> list[Request]:
    """Fill the window: one batch is under way already, each of the next is sent by its linger timer."""
    for number in range(1, batches):
        talk.submit(record(b"%d" % number))
        talk.due(LingerOver("t"), talk.now + 0.005)
    return talk.produces


# --- the usual ---


def test_the_first_record_of_a_topic_asks_for_its_metadata_and_its_creation() -> None:
    talk = Talk()
    assert talk.submit(record(b"0")) == [Request("a:1", 1, Metadata(("t",), True)), SetTimer(MetadataDue(), 0.5)]


def test_a_record_is_sent_at_once_when_nothing_is_in_flight(talk: Talk) -> None:
    (sent,) = talk.produces
    assert isinstance(sent.message, Produce)
    assert (sent.address, sent.message.topic, sent.message.topic_id, sent.message.partition) == ("a:1", "t", 7, 0)
    assert values_in(sent.message.batch) == [b"0"]


def test_records_behind_a_send_in_flight_wait_for_company_at_most_the_linger_time(talk: Talk) -> None:
    assert talk.submit(record(b"1")) == [SetTimer(LingerOver("t"), 0.005)]
    assert talk.submit(record(b"2")) == []
    talk.due(LingerOver("t"), 0.005)
    assert [values_in(request.message.batch) for request in talk.produces] == [[b"0"], [b"1", b"2"]]  # type: ignore[union-attr]


def test_waiting_records_go_when_the_send_in_flight_returns(talk: Talk) -> None:
    talk.submit(record(b"1"))
    effects = talk.answer(talk.produces[0], ok(41))
    assert effects[0] == Acknowledged([b"0"], 0, 41, 65)
    assert values_in(effects[1].message.batch) == [b"1"]  # type: ignore[attr-defined]


def test_a_full_batch_does_not_wait(talk: Talk) -> None:
    talk.submit(*[record(b"x%d" % number) for number in range(11)])
    assert [len(values_in(request.message.batch)) for request in talk.produces] == [1, 10]  # type: ignore[union-attr]


def test_at_most_five_batches_are_in_flight_for_a_partition(talk: Talk) -> None:
    talk.submit(*[record(b"x%d" % number) for number in range(100)])
    assert sequences(talk.produces) == [0, 1, 11, 21, 31]


def test_an_unanswered_first_batch_keeps_the_window_at_five_though_later_ones_are_answered(talk: Talk) -> None:
    talk.submit(*[record(b"x%d" % number) for number in range(100)])
    for request in talk.produces[1:5]:
        talk.answer(request, ok(5))
    assert len(talk.produces) == 5


def test_keys_choose_partitions_as_kafka_does() -> None:
    talk = Talk()
    talk.submit(Outgoing("t", b"v", b"21", (), None, 0, 1), Outgoing("t", b"v", b"foobar", (), None, 0, 2))
    talk.answer(talk.asked[0], metadata(A, A, A, A, A, A, A, A))
    # murmur2 of these keys is -973932308 and -790332482 (the vectors of Kafka's UtilsTest)
    expected = {(-973932308 & 0x7FFFFFFF) % 8, (-790332482 & 0x7FFFFFFF) % 8}
    assert {request.message.partition for request in talk.produces} == expected  # type: ignore[union-attr]


def test_a_bulk_is_acknowledged_span_by_span(talk: Talk) -> None:
    talk.answer(talk.produces[0], ok(0))
    talk.submit(Bulk("t", [b"v%d" % number for number in range(12)], None, (), None, 0, "bulk", 100))
    effects = talk.answer(talk.produces[1], ok(1))
    assert isinstance(effects[0], Acknowledged)
    assert (effects[0].tickets, effects[0].offset) == ([Span("bulk", 100, 10)], 1)


# --- trouble ---


@pytest.mark.parametrize("error", [ErrorCode.RETRY, ErrorCode.OUT_OF_ORDER, ErrorCode.UNKNOWN_PRODUCER])
def test_after_an_error_that_can_be_retried_all_unanswered_go_again_lowest_first(talk: Talk, error: ErrorCode) -> None:
    first = in_flight(talk, 3)
    effects = talk.answer(first[0], ProduceResponse(error, "frozen", retry_after_s=1.5))
    assert [type(effect) for effect in effects] == [SetTimer]
    assert effects[0].timer == RetryDue("t", 0)  # type: ignore[attr-defined]
    talk.answer(first[1], ProduceResponse(ErrorCode.OUT_OF_ORDER))
    assert len(talk.produces) == 3
    talk.due(RetryDue("t", 0), 2.0)
    assert sequences(talk.produces) == [0, 1, 2, 0, 1, 2]
    assert len(producer_ids(talk.produces)) == 1


def test_the_hint_when_to_retry_is_followed(talk: Talk) -> None:
    effects = talk.answer(talk.produces[0], ProduceResponse(ErrorCode.RETRY, "frozen", retry_after_s=1.5))
    assert effects == [SetTimer(RetryDue("t", 0), 1.5)]


def test_an_answer_that_comes_late_still_counts(talk: Talk) -> None:
    first = in_flight(talk, 2)
    talk.answer(first[0], ProduceResponse(ErrorCode.RETRY))
    assert Acknowledged([b"1"], 0, 9, 65) in talk.answer(first[1], ok(9))
    talk.due(RetryDue("t", 0), 1.0)
    assert sequences(talk.produces) == [0, 1, 0]


def test_not_assigned_moves_everything_unanswered_to_the_broker_that_it_names(talk: Talk) -> None:
    first = in_flight(talk, 2)
    talk.answer(first[0], ProduceResponse(ErrorCode.NOT_ASSIGNED, address="b:1"))
    assert [request.address for request in talk.produces] == ["a:1", "a:1", "b:1", "b:1"]
    assert sequences(talk.produces) == [0, 1, 0, 1]


def test_a_node_of_another_cluster_at_the_brokers_old_address_cannot_fail_a_record(talk: Talk) -> None:
    """R11: what was sent to the broker before it may be committed already."""
    effects = talk.answer(talk.produces[0], InvalidRequestResponse("this is cluster 'x', the request is for 't'"))
    assert failures(effects) == []
    assert talk.asked[-1] == Request("b:1", talk.asked[-1].correlation, Metadata(("t",), False))
    talk.answer(talk.asked[-1], metadata(B))
    assert sequences(talk.produces) == [0, 0]
    assert talk.produces[-1].address == "b:1"


def test_brokers_that_name_each_other_are_given_time(talk: Talk) -> None:
    talk.answer(talk.produces[0], ProduceResponse(ErrorCode.NOT_ASSIGNED, address="b:1"))
    effects = talk.answer(talk.produces[1], ProduceResponse(ErrorCode.NOT_ASSIGNED, address="a:1"))
    assert len(talk.produces) == 2
    assert RetryDue("t", 0) in [effect.timer for effect in effects if isinstance(effect, SetTimer)]


def test_a_lost_link_repeats_the_unanswered_and_asks_another_broker_who_serves_the_partition(talk: Talk) -> None:
    sent = in_flight(talk, 2)
    lost = Lost("a:1", tuple(request.correlation for request in sent), "connection reset", talk.now)
    effects = talk.hear(lost)
    asked = [effect for effect in effects if isinstance(effect, Request)]
    assert [(request.address, request.message) for request in asked] == [("b:1", Metadata(("t",), False))]
    talk.answer(asked[0], metadata(B))
    assert [request.address for request in talk.produces[2:]] == ["b:1", "b:1"]
    assert sequences(talk.produces[2:]) == [0, 1]


def test_a_producer_in_use_asks_anew_every_five_seconds_who_is_there(talk: Talk) -> None:
    talk.answer(talk.produces[0], ok(0))
    asked = len(talk.asked)
    talk.now = 4.9
    talk.submit(record(b"1"))
    talk.answer(talk.produces[1], ok(1))
    talk.now = 5.0
    talk.submit(record(b"2"))
    assert [(request.address, request.message) for request in talk.asked[asked:] if request not in talk.produces] == [
        ("a:1", Metadata(("t",), False))
    ]
    assert len(talk.produces) == 3, "nothing waits for the answer"


def test_a_producer_that_waits_long_for_one_answer_asks_anew_too(talk: Talk) -> None:
    effects = talk.due(CheckDue(), 5.0)
    assert Metadata(("t",), False) in [effect.message for effect in effects if isinstance(effect, Request)]


def test_the_brokers_that_a_search_found_are_asked(talk: Talk) -> None:
    talk.hear(Lost("a:1", (talk.produces[0].correlation,), "connection refused", 0.0))
    talk.hear(Lost("b:1", (talk.asked[-1].correlation,), "connection refused", 0.0))
    talk.due(MetadataDue(), 0.0)
    effects = talk.hear(Lost("a:1", (talk.asked[-1].correlation,), "connection refused", 0.0))
    assert SeekCluster() in effects
    talk.hear(ClusterSought(("z:1",), 0.1))
    talk.due(MetadataDue(), 0.2)
    assert talk.asked[-1] == Request("z:1", talk.asked[-1].correlation, Metadata(("t",), False))


def test_a_silent_broker_makes_the_producer_ask_another_one(talk: Talk) -> None:
    effects = talk.due(CheckDue(), 0.6)
    assert [effect.address for effect in effects if isinstance(effect, Request)] == ["b:1"]


def test_what_a_silent_broker_was_sent_is_sent_again_because_the_connection_may_have_no_other_end(talk: Talk) -> None:
    talk.due(CheckDue(), 3.1)
    first, again = talk.produces
    assert again.address == first.address
    assert header_of(again.message.batch.body) == header_of(first.message.batch.body)  # type: ignore[union-attr]


def test_the_deadline_fails_the_record_with_the_last_reason_that_a_broker_gave(talk: Talk) -> None:
    text = "no commit for 3 s: member n2 does not answer"
    talk.answer(talk.produces[0], ProduceResponse(ErrorCode.RETRY, text))
    (failed,) = talk.due(CheckDue(), 60.0)
    assert isinstance(failed, Failed) and isinstance(failed.error, RequestTimedOut)
    assert text in str(failed.error)


def test_after_a_deadline_the_partition_goes_on_under_a_new_producer_id(talk: Talk) -> None:
    talk.now = 30.0
    first = in_flight(talk, 2)
    effects = talk.due(CheckDue(), 60.1)
    assert failures(effects) == [([b"0"], RequestTimedOut), ([b"1"], OutcomeUnknown)]
    talk.submit(record(b"2"))
    assert sequences(talk.produces[2:]) == [0]
    assert producer_ids(talk.produces[2:]).isdisjoint(producer_ids(first))


def test_a_record_that_was_never_sent_times_out_saying_so() -> None:
    talk = Talk()
    talk.submit(record(b"0"))
    talk.hear(Lost("a:1", (1,), "connection refused", 0.0))
    effects = talk.due(CheckDue(), 60.0)
    assert failures(effects) == [([b"0"], NotSent)]
    assert "not sent" in str(effects[0].error) and "connection refused" in str(effects[0].error)  # type: ignore[attr-defined]


def test_a_producer_that_the_cluster_has_forgotten_goes_on_and_says_what_is_unknown(talk: Talk) -> None:
    talk.answer(talk.produces[0], ok(0))
    talk.submit(record(b"1"))
    effects = talk.answer(talk.produces[1], ProduceResponse(ErrorCode.UNKNOWN_PRODUCER))
    assert failures(effects) == [([b"1"], OutcomeUnknown)]
    talk.submit(record(b"2"))
    assert sequences(talk.produces) == [0, 1, 0]
    assert len(producer_ids(talk.produces)) == 2


def test_a_definite_error_fails_its_batch_and_sends_what_was_behind_it_under_new_sequences(talk: Talk) -> None:
    first = in_flight(talk, 3)
    effects = talk.answer(first[0], ProduceResponse(ErrorCode.RECORD_TOO_LARGE, "too large"))
    assert failures(effects) == [([b"0"], RecordTooLarge)]
    assert sequences(talk.produces[3:]) == [0, 1]
    assert producer_ids(talk.produces[3:]).isdisjoint(producer_ids(first))


def test_a_record_over_the_limit_never_leaves(talk: Talk) -> None:
    assert failures(talk.submit(record(b"x" * 1001))) == [([b"x" * 1001], RecordTooLarge)]
    assert len(talk.produces) == 1


@pytest.mark.parametrize(
    ("cluster_id", "lineage", "error"),
    [("c2", NO_EPOCH, OtherCluster), ("c1", Epoch(1001, "a", "s"), DataLost)],
)
def test_another_cluster_or_past_fails_what_is_unanswered_and_takes_a_new_producer_id(
    talk: Talk, cluster_id: str, lineage: Epoch, error: type[LogStreamError]
) -> None:
    first = in_flight(talk, 2)
    effects = talk.answer(first[0], ok(0, cluster_id, lineage))
    assert effects[0] == Acknowledged([b"0"], 0, 0, 65)
    assert failures(effects) == [([b"1"], error)]
    talk.submit(record(b"2"))
    assert talk.produces == first
    talk.answer(talk.asked[-1], metadata(A, cluster_id=cluster_id, lineage=lineage))
    assert sequences(talk.produces[2:]) == [0]
    assert producer_ids(talk.produces[2:]).isdisjoint(producer_ids(first))


def test_another_past_is_told_even_where_nothing_is_unanswered(talk: Talk) -> None:
    effects = talk.answer(talk.produces[0], ok(0, lineage=Epoch(1001, "a", "s")))
    assert failures(effects) == [([], DataLost)]


def test_after_another_past_nothing_is_waited_for_in_topics_that_had_sent_all_they_had(talk: Talk) -> None:
    talk.submit(record(b"1", topic="u"))
    talk.answer(talk.asked[-1], replace(metadata(B), topics=(TopicMetadata("u", 8, ErrorCode.NONE, (B,)),)))
    talk.answer(talk.produces[0], ok(0, lineage=Epoch(1001, "a", "s")))
    assert not talk.core.is_waiting


def test_a_newcomer_of_another_cluster_without_the_topic_is_passed_over(talk: Talk) -> None:
    effects = talk.answer(talk.produces[0], ProduceResponse(ErrorCode.UNKNOWN_TOPIC, cluster_id="c9"))
    assert failures(effects) == []
    assert [effect.address for effect in effects if isinstance(effect, Request)] == ["b:1"]


def test_who_believes_that_the_cluster_is_another_sends_nothing_to_the_brokers_of_the_old_one(talk: Talk) -> None:
    """I15: the old cluster may still be there and store a record of which the new one says that it has no topic."""
    stranger = metadata(error=ErrorCode.UNKNOWN_TOPIC, cluster_id="c9")
    talk.submit(record(b"1"))
    talk.answer(talk.produces[0], ProduceResponse(ErrorCode.UNKNOWN_TOPIC, cluster_id="c9"))
    talk.answer(talk.asked[-1], stranger)
    talk.due(MetadataDue(), 6.0)
    assert failures(talk.answer(talk.asked[-1], stranger)) == [([b"0"], OtherCluster)]
    talk.due(RetryDue("t", 0), 6.1)
    talk.due(CheckDue(), 6.25)
    assert len(talk.produces) == 1


# --- topics ---


def test_only_the_leaders_word_that_there_is_no_topic_is_final() -> None:
    talk = Talk()
    talk.submit(record(b"0"))
    answer = MetadataResponse("c1", NO_EPOCH, 1, B, (A, B), (TopicMetadata("t", 0, ErrorCode.UNKNOWN_TOPIC, ()),), 9)
    effects = talk.answer(talk.asked[0], answer)
    assert failures(effects) == []
    assert talk.asked[-1].address == "b:1"
    assert failures(talk.answer(talk.asked[-1], answer)) == []  # it may have been overtaken without knowing it yet
    talk.due(MetadataDue(), 3.0)
    assert failures(talk.answer(talk.asked[-1], answer)) == [([b"0"], UnknownTopic)]


def test_a_name_that_no_broker_accepts_fails_its_records() -> None:
    talk = Talk()
    talk.submit(record(b"0"))
    assert failures(talk.answer(talk.asked[0], metadata(error=ErrorCode.INVALID_TOPIC))) == [([b"0"], InvalidTopic)]


def test_a_leaderless_broker_is_passed_over() -> None:
    talk = Talk()
    talk.submit(record(b"0"))
    answer = MetadataResponse("c1", NO_EPOCH, 1, None, (A, B), (), 9)
    talk.answer(talk.asked[0], answer)
    talk.due(MetadataDue(), 0.2)
    assert [request.address for request in talk.asked] == ["a:1", "b:1"]


def test_a_topic_that_was_made_again_gets_the_unanswered_anew(talk: Talk) -> None:
    in_flight(talk, 2)
    talk.answer(talk.produces[0], ProduceResponse(ErrorCode.UNKNOWN_TOPIC))
    talk.answer(talk.asked[-1], metadata(A, topic_id=8))
    talk.due(RetryDue("t", 0), 1.0)
    again = talk.produces[2:]
    assert sequences(again) == [0, 1]
    assert {request.message.topic_id for request in again} == {8}  # type: ignore[union-attr]


def test_a_broker_that_has_not_heard_of_the_topic_of_now_changes_nothing(talk: Talk) -> None:
    """Ids grow. What was sent to the topic may be in its log: it keeps its number (seed 822957)."""
    in_flight(talk, 2)
    talk.answer(talk.produces[0], ProduceResponse(ErrorCode.UNKNOWN_TOPIC))
    talk.answer(talk.asked[-1], metadata(A, topic_id=6))
    talk.due(MetadataDue(), 0.5)
    talk.answer(talk.asked[-1], metadata(A))
    talk.due(RetryDue("t", 0), 1.0)
    assert producer_ids(talk.produces[2:]) == producer_ids(talk.produces[:2])


def test_what_is_abandoned_fails_and_says_whether_it_was_sent(talk: Talk) -> None:
    talk.submit(record(b"1"), record(b"2", topic="unknown"))
    failed = failures(talk.core.abandon([record(b"3")], "closed"))
    sent, *others = sorted(failed, key=lambda failure: str(failure[0]))
    assert sent == ([b"0"], RequestTimedOut)
    assert others == [([b"1"], NotSent), ([b"2"], NotSent), ([b"3"], NotSent)]
    assert not talk.core.is_waiting
