"""ConsumerCore: exact effects for single situations, then all of them together against a model of the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.core.client_effects import Broken, Deliver, Ended, Request, SeekCluster
from logstream.core.client_events import ClusterSought, Lost, Opened, Taken
from logstream.core.consumer import CheckDue, ConsumerCore, ConsumerSettings, RestOver
from logstream.core.directory import MetadataDue
from logstream.core.effects import SetTimer
from logstream.protocol.batches import Batch, base_offset_in, crc_of, make_front
from logstream.protocol.errors import (
    CorruptBatch,
    DataLost,
    ErrorCode,
    LineageChanged,
    LogStreamError,
    OffsetOutOfRange,
    OtherCluster,
    RequestTimedOut,
    UnknownTopic,
)
from logstream.protocol.identity import NO_EPOCH, Epoch, Member
from logstream.protocol.messages import (
    Fetch,
    Fetched,
    FetchFrom,
    FetchResponse,
    Metadata,
    MetadataResponse,
    TopicMetadata,
)
from tests.client.cluster_model import ClusterModel, PlainBuilder, values_in
from tests.client.pretend_network import PretendNetwork
from tests.core.consumer_talk import ConsumerTalk

A, B = Member("a", "s", "a:1"), Member("b", "s", "b:1")


def batch(offset: int, *values: bytes) -> Batch:
    builder = PlainBuilder(0, 100)
    for value in values:
        builder.append(None, value, (), 0)
    body = builder.build()
    return Batch(make_front(offset, 1, body, crc_of(body)), body)


def metadata(
    *assigned: Member,
    ends: tuple[int, ...] = (),
    starts: tuple[int, ...] = (),
    error: ErrorCode = ErrorCode.NONE,
    leader: Member | None = A,
    topic_id: int = 7,
) -> MetadataResponse:
    count = len(assigned)
    topic = TopicMetadata("t", topic_id, error, assigned, starts or (0,) * count, ends or (0,) * count)
    return MetadataResponse("c1", NO_EPOCH, 1, leader, (A, B), (topic,), 1000)


def fetched(
    *batches: Batch, partition: int = 0, error: ErrorCode = ErrorCode.NONE, address: str = "", end: int = 0
) -> FetchResponse:
    found = Fetched("t", partition, error, "", 0, end, batches, address)
    return FetchResponse((found,), True, "c1", NO_EPOCH)


class Talk(ConsumerTalk):
    """A consumer of topic t."""

    def __init__(self, **settings: object) -> None:
        super().__init__(ConsumerSettings(("t",), **settings))  # type: ignore[arg-type]

    @property
    def fetches(self) -> list[tuple[str, list[tuple[int, int]]]]:
        return [
            (request.address, [(wanted.partition, wanted.offset) for wanted in request.message.partitions])
            for request in self.asked
            if isinstance(request.message, Fetch)
        ]


@pytest.fixture
def talk() -> Talk:
    """A consumer from the start of topic t, one partition at broker a, its first fetch under way."""
    talk = Talk()
    talk.answer(metadata(A, ends=(3,)))
    return talk


def broken(effects: Sequence[object]) -> list[type[LogStreamError]]:
    return [type(effect.error) for effect in effects if isinstance(effect, Broken)]


# --- beginning ---


def test_it_begins_with_a_question_for_its_topics() -> None:
    talk = Talk()
    assert talk.asked == [Request("a:1", 1, Metadata(("t",), False))]


@pytest.mark.parametrize(("start", "position"), [("start", 2), ("end", 9), (5, 5), (9, 9)])
def test_the_first_position_is_the_start_the_end_or_a_number(start: str | int, position: int) -> None:
    talk = Talk(start=start)
    talk.answer(metadata(A, starts=(2,), ends=(9,)))
    assert talk.fetches == [("a:1", [(0, position)])]


@pytest.mark.parametrize("start", [1, 10])
def test_a_number_outside_the_log_is_an_error_with_the_numbers(start: int) -> None:
    talk = Talk(start=start)
    effects = talk.answer(metadata(A, starts=(2,), ends=(9,)))
    assert broken(effects) == [OffsetOutOfRange]
    assert "starts at 2 and ends at 9" in str(effects[-1].error)  # type: ignore[attr-defined]


def test_where_to_begin_is_the_leaders_word() -> None:
    talk = Talk(start="end")
    talk.answer(metadata(A, ends=(3,), leader=B))
    assert talk.asked[-1] == Request("b:1", 2, Metadata(("t",), False))
    talk.answer(metadata(A, ends=(4,), leader=B))
    assert talk.fetches == [("a:1", [(0, 4)])]


def test_a_topic_that_does_not_exist_is_an_error_once_no_overtaken_leader_can_say_so_any_more() -> None:
    """A leader that wakes from a pause may not have heard of the view that made the topic."""
    talk = Talk()
    assert broken(talk.answer(metadata(error=ErrorCode.UNKNOWN_TOPIC))) == []
    talk.due(MetadataDue(), 2.9)
    assert broken(talk.answer(metadata(error=ErrorCode.UNKNOWN_TOPIC))) == []
    talk.due(MetadataDue(), 3.0)
    assert broken(talk.answer(metadata(error=ErrorCode.UNKNOWN_TOPIC))) == [UnknownTopic]


def test_a_topic_that_another_leader_knows_is_read(talk: Talk) -> None:
    talk.answer(fetched(error=ErrorCode.UNKNOWN_TOPIC))
    assert broken(talk.answer(metadata(error=ErrorCode.UNKNOWN_TOPIC))) == []
    talk.due(MetadataDue(), 1.0)
    assert broken(talk.answer(metadata(A, ends=(3,), leader=A))) == []
    assert talk.fetches[-1] == ("a:1", [(0, 0)])


def test_a_topic_that_does_not_exist_is_waited_for_on_request() -> None:
    talk = Talk(wait=True)
    assert broken(talk.answer(metadata(error=ErrorCode.UNKNOWN_TOPIC))) == []
    talk.due(MetadataDue(), 0.3)
    talk.answer(metadata(A))
    assert talk.fetches == [("a:1", [(0, 0)])]


def test_a_cluster_that_says_nothing_useful_is_given_up_at_the_deadline() -> None:
    talk = Talk(deadline_s=5.0)
    assert broken(talk.due(CheckDue(), 4.9)) == []
    assert broken(talk.due(CheckDue(), 5.0)) == [RequestTimedOut]


# --- reading ---


def test_what_is_fetched_is_delivered_and_the_next_fetch_starts_behind_it(talk: Talk) -> None:
    first, second = batch(0, b"x", b"y"), batch(2, b"z")
    effects = talk.answer(fetched(first, second))
    assert effects[:2] == [Deliver("t", 0, first, 0, 2), Deliver("t", 0, second, 2, 3)]
    assert talk.fetches[-1] == ("a:1", [(0, 3)])


def test_all_partitions_of_a_broker_are_in_one_fetch() -> None:
    talk = Talk()
    talk.answer(metadata(A, B, A))
    assert talk.fetches == [("a:1", [(0, 0), (2, 0)]), ("b:1", [(1, 0)])]


def test_a_partition_that_had_records_is_asked_for_behind_those_that_had_none() -> None:
    """An answer may have room for the first of them only."""
    talk = Talk()
    talk.answer(metadata(A, A, A))
    talk.answer(fetched(batch(0, b"x")))
    talk.answer(fetched(batch(0, b"y"), partition=1))
    assert talk.fetches[1:] == [("a:1", [(1, 0), (2, 0), (0, 1)]), ("a:1", [(2, 0), (0, 1), (1, 1)])]


def test_records_below_the_position_are_cut_from_the_first_batch() -> None:
    talk = Talk(start=1)
    talk.answer(metadata(A, ends=(3,)))
    whole = batch(0, b"x", b"y", b"z")
    assert talk.answer(fetched(whole))[0] == Deliver("t", 0, whole, 1, 3)


def test_a_batch_that_was_delivered_already_is_dropped(talk: Talk) -> None:
    talk.answer(fetched(batch(0, b"x")))
    effects = talk.answer(fetched(batch(0, b"x")))
    assert [effect for effect in effects if isinstance(effect, Deliver)] == []


def test_a_gap_is_an_error_and_never_skipped(talk: Talk) -> None:
    assert broken(talk.answer(fetched(batch(1, b"y")))) == [DataLost]


def test_a_batch_that_does_not_match_its_crc_is_an_error(talk: Talk) -> None:
    good = batch(0, b"x")
    assert broken(talk.answer(fetched(Batch(good.front, good.body[:-1] + b"?")))) == [CorruptBatch]


def test_nothing_is_fetched_while_the_credit_is_used_up() -> None:
    talk = Talk(credit_max=100)
    talk.answer(metadata(A, ends=(3,)))
    big = batch(0, b"x" * 60)
    assert [type(effect) for effect in talk.answer(fetched(big))] == [Deliver]
    effects = talk.hear(Taken(big.size, 1.0))
    fetch = Fetch((FetchFrom("t", 7, 0, 1),), 0.5, 1, 100)
    assert effects == [Request("a:1", 3, fetch)]


def test_a_bounded_consumer_ends_where_the_end_was_at_its_start() -> None:
    talk = Talk(follow=False)
    talk.answer(metadata(A, ends=(2,)))
    later = batch(1, b"y", b"z")
    assert talk.answer(fetched(batch(0, b"x")))[-1] == Request("a:1", 3, talk.asked[-1].message)
    assert talk.answer(fetched(later)) == [Deliver("t", 0, later, 1, 2), Ended()]


def test_a_bounded_consumer_of_an_empty_topic_ends_at_once() -> None:
    talk = Talk(follow=False)
    assert talk.answer(metadata(A)) == [Ended()]


# --- moving ---


def test_not_assigned_moves_the_partition_to_the_broker_that_it_names_at_the_same_position(talk: Talk) -> None:
    talk.answer(fetched(batch(0, b"x")))
    talk.answer(fetched(error=ErrorCode.NOT_ASSIGNED, address="b:1"))
    assert talk.fetches[-1] == ("b:1", [(0, 1)])


def test_a_lost_link_makes_it_ask_another_broker_and_go_on_at_the_same_position(talk: Talk) -> None:
    talk.answer(fetched(batch(0, b"x")))
    talk.hear(Lost("a:1", (talk.asked[-1].correlation,), "connection reset", 1.0))
    assert (talk.asked[-1].address, talk.asked[-1].message) == ("b:1", Metadata(("t",), False))
    talk.answer(metadata(B, leader=B))
    assert talk.fetches[-1] == ("b:1", [(0, 1)])


def test_a_consumer_asks_anew_every_five_seconds_who_is_there(talk: Talk) -> None:
    assert [effect for effect in talk.due(CheckDue(), 1.0) if isinstance(effect, Request)] == []
    assert [effect.message for effect in talk.due(CheckDue(), 5.0) if isinstance(effect, Request)] == [
        Metadata(("t",), False)
    ]
    talk.answer(metadata(B, leader=B))
    assert [effect for effect in talk.due(CheckDue(), 5.3) if isinstance(effect, Request)] == []


def test_the_brokers_that_a_search_found_are_asked(talk: Talk) -> None:
    talk.hear(Lost("a:1", (talk.asked[-1].correlation,), "connection refused", 1.0))
    talk.hear(Lost("b:1", (talk.asked[-1].correlation,), "connection refused", 1.0))
    talk.due(MetadataDue(), 1.0)
    assert SeekCluster() in talk.hear(Lost("a:1", (talk.asked[-1].correlation,), "connection refused", 1.0))
    talk.hear(ClusterSought(("z:1",), 1.1))
    talk.due(MetadataDue(), 1.2)
    assert talk.asked[-1].address == "z:1"


def test_a_broker_that_hears_no_leader_is_left_though_its_records_are_taken(talk: Talk) -> None:
    found = Fetched("t", 0, ErrorCode.NONE, "", 0, 1, (batch(0, b"x"),))
    effects = talk.answer(FetchResponse((found,), False, "c1", NO_EPOCH))
    assert isinstance(effects[0], Deliver)
    assert talk.asked[-1].address == "b:1"
    assert len(talk.fetches) == 1
    talk.due(RestOver("a:1"), 0.3)
    assert talk.fetches[-1] == ("a:1", [(0, 1)])


def test_a_silent_broker_makes_it_ask_another_one(talk: Talk) -> None:
    effects = talk.due(CheckDue(), 1.3)
    assert [effect.address for effect in effects if isinstance(effect, Request)] == ["b:1"]


def test_a_broker_that_stays_silent_is_asked_anew_because_its_connection_may_have_no_other_end(talk: Talk) -> None:
    talk.due(CheckDue(), 1.3)
    talk.answer(metadata(A, leader=B))
    assert talk.fetches == [("a:1", [(0, 0)]), ("a:1", [(0, 0)])]


def test_retry_rests_and_asks_again_at_the_same_position(talk: Talk) -> None:
    effects = talk.answer(fetched(error=ErrorCode.RETRY))
    assert RestOver("a:1") in [effect.timer for effect in effects if isinstance(effect, SetTimer)]
    talk.due(RestOver("a:1"), 0.3)
    assert talk.fetches == [("a:1", [(0, 0)]), ("a:1", [(0, 0)])]


def test_out_of_range_is_an_error_with_the_numbers_and_never_a_reset(talk: Talk) -> None:
    effects = talk.answer(FetchResponse((Fetched("t", 0, ErrorCode.OFFSET_OUT_OF_RANGE, "", 4, 9, ()),), True, "c1"))
    assert broken(effects) == [OffsetOutOfRange]
    assert "starts at 4 and ends at 9" in str(effects[-1].error)  # type: ignore[attr-defined]


def test_a_topic_that_nobody_serves_yet_is_asked_for_again_and_is_no_end() -> None:
    """A leader that has just begun knows its topics and not yet who serves them (seed 809051)."""
    talk = Talk()
    assert not any(isinstance(effect, Ended) for effect in talk.answer(metadata()))
    talk.due(MetadataDue(), 0.5)
    talk.answer(metadata(A, ends=(3,)))
    assert talk.fetches == [("a:1", [(0, 0)])]


def test_out_of_range_is_late_where_another_broker_has_delivered_what_was_asked_for(talk: Talk) -> None:
    """The broker that was asked first slept, and what it was asked for is trimmed meanwhile."""
    first = talk.asked[-1]
    talk.answer(fetched(batch(0, b"x", b"y")))
    late = Fetched("t", 0, ErrorCode.OFFSET_OUT_OF_RANGE, "", 2, 9, ())
    assert broken(talk.answer(FetchResponse((late,), True, "c1"), first)) == []


def test_another_cluster_with_the_topic_is_an_error(talk: Talk) -> None:
    answer = FetchResponse((Fetched("t", 0, ErrorCode.NONE, "", 0, 0, ()),), True, "c2", NO_EPOCH)
    assert broken(talk.answer(answer)) == [OtherCluster]


def test_another_past_of_the_cluster_is_an_error_that_says_where_the_consumer_stood(talk: Talk) -> None:
    talk.answer(fetched(batch(0, b"x", b"y")))
    found = Fetched("t", 0, ErrorCode.NONE, "", 0, 0, ())
    effects = talk.answer(FetchResponse((found,), True, "c1", Epoch(1001, "a", "s")))
    assert broken(effects) == [LineageChanged]
    assert "t[0] at 2" in str(effects[-1].error)  # type: ignore[attr-defined]


def test_a_newcomer_of_another_cluster_without_the_topic_is_passed_over_at_first(talk: Talk) -> None:
    answer = FetchResponse((Fetched("t", 0, ErrorCode.UNKNOWN_TOPIC, "", 0, 0, ()),), True, "c2", NO_EPOCH)
    assert broken(talk.answer(answer)) == []
    talk.due(RestOver("a:1"), 6.0)
    fetch = next(request for request in reversed(talk.asked) if isinstance(request.message, Fetch))
    assert broken(talk.answer(answer, fetch)) == [OtherCluster]


def test_a_topic_that_was_made_again_is_another_one(talk: Talk) -> None:
    talk.answer(fetched(error=ErrorCode.UNKNOWN_TOPIC))
    assert broken(talk.answer(metadata(A, topic_id=8, leader=B))) == [UnknownTopic]


def test_who_has_not_heard_of_the_topic_of_now_is_not_believed(talk: Talk) -> None:
    talk.answer(fetched(error=ErrorCode.UNKNOWN_TOPIC))
    assert broken(talk.answer(metadata(A, topic_id=6, leader=B))) == []


# --- everything together ---


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), partitions=st.integers(1, 3))
def test_every_record_is_delivered_once_and_in_order_whatever_happens_on_the_way(seed: int, partitions: int) -> None:
    random = Random(seed)
    model = ClusterModel(["a:1", "b:1", "c:1"])
    logs = model.make("t", partitions).partitions
    for log in logs:
        for _ in range(20):
            values = [b"%d" % (log.end + index) for index in range(random.randrange(1, 5))]
            log.batches.append(batch(log.end, *values))
            log.end += len(values)
    core = ConsumerCore(["a:1"], random, ConsumerSettings(("t",), follow=False, credit_max=500))
    network = PretendNetwork(model, core, random, 8.0)
    taken = 0

    def take() -> None:
        nonlocal taken
        new = [outcome for outcome in network.outcomes[taken:] if isinstance(outcome, Deliver)]
        taken = len(network.outcomes)
        if new:
            network.tell(Taken(sum(delivery.batch.size for delivery in new), network.now))
        network.at(network.now + 0.05, take)

    network.at(0.0, lambda: network.tell(Opened(0.0)))
    network.at(0.01, take)
    network.run(60.0, lambda: Ended() in network.outcomes)
    assert network.outcomes[-1] == Ended()
    for number, log in enumerate(logs):
        values = [
            value
            for delivery in network.outcomes
            if isinstance(delivery, Deliver) and delivery.partition == number
            for value in values_in(delivery.batch)[delivery.first - base_offset_in(delivery.batch.front) :]
        ]
        assert values == [b"%d" % offset for offset in range(log.end)]
