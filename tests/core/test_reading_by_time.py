"""A consumer that starts at a time: what it asks of whom, what it passes over, and that trouble changes nothing."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.core.client_effects import Broken, Deliver, Ended, Request
from logstream.core.client_events import Lost, Opened
from logstream.core.consumer import CheckDue, ConsumerCore, ConsumerSettings
from logstream.core.directory import MetadataDue
from logstream.core.reading import Since
from logstream.protocol.batches import Batch, base_offset_in, make_front
from logstream.protocol.errors import ErrorCode, OffsetOutOfRange, OtherCluster
from logstream.protocol.identity import NO_EPOCH, Member
from logstream.protocol.messages import (
    ClientResponse,
    Fetch,
    Fetched,
    FetchResponse,
    ListOffsets,
    ListOffsetsResponse,
    Metadata,
    MetadataResponse,
    OffsetAt,
    OffsetFound,
    TopicMetadata,
)
from tests.client.cluster_model import ClusterModel
from tests.client.pretend_network import PretendNetwork
from tests.core import builders
from tests.core.consumer_talk import ConsumerTalk

A, B = Member("a", "s", "a:1"), Member("b", "s", "b:1")


def batch(offset: int, records: int, newest_ms: int) -> Batch:
    """A batch that has its place in the log."""
    plain = builders.batch(records, newest_ms=newest_ms)
    return Batch(make_front(offset, 1, plain.body, int.from_bytes(plain.front[17:21], "big")), plain.body)


def metadata(start: int = 0, end: int = 10, error: ErrorCode = ErrorCode.NONE) -> MetadataResponse:
    topic = TopicMetadata("t", 7, error, (B,), (start,), (end,))
    return MetadataResponse("c1", NO_EPOCH, 1, A, (A, B), (topic,), 1000)


def found(offset: int, error: ErrorCode = ErrorCode.NONE, cluster_id: str = "c1") -> ListOffsetsResponse:
    return ListOffsetsResponse(ErrorCode.NONE, "", (OffsetFound("t", 0, error, "", offset),), cluster_id)


def fetched(*batches: Batch, error: ErrorCode = ErrorCode.NONE, start: int = 0) -> FetchResponse:
    return FetchResponse((Fetched("t", 0, error, "", start, 10, batches),), True, "c1", NO_EPOCH)


class Talk(ConsumerTalk):
    """A consumer of topic t that starts at time 500."""

    def __init__(self, follow: bool = False) -> None:
        super().__init__(ConsumerSettings(("t",), Since(500), follow))

    def kinds(self) -> list[type]:
        return [type(request.message) for request in self.asked]

    def begins_at(self) -> int:
        fetch = self.asked[-1].message
        assert isinstance(fetch, Fetch)
        return fetch.partitions[0].offset


@pytest.fixture
def talk() -> Talk:
    """The leader has said which partitions there are, and is asked where they reach the time."""
    talk = Talk()
    talk.answer(metadata())
    return talk


def test_who_said_where_partitions_begin_and_end_is_asked_where_they_reach_the_time(talk: Talk) -> None:
    assert talk.asked[-1] == Request("a:1", 2, ListOffsets((OffsetAt("t", 7, 0, 500),)))


def test_reading_begins_where_the_broker_says(talk: Talk) -> None:
    talk.answer(found(4))
    assert (talk.asked[-1].address, talk.begins_at()) == ("b:1", 4)


def test_it_never_begins_below_the_start_of_the_log() -> None:
    talk = Talk()
    talk.answer(metadata(start=6))
    talk.answer(found(4))
    assert talk.begins_at() == 6


def test_batches_that_are_too_old_are_passed_over_and_the_first_other_one_is_to_be_cut(talk: Talk) -> None:
    talk.answer(found(2))
    old, first, older = batch(2, 2, 499), batch(4, 3, 500), batch(7, 3, 100)
    effects = talk.answer(fetched(old, first, older))
    delivered = [effect for effect in effects if isinstance(effect, Deliver)]
    assert delivered == [Deliver("t", 0, first, 4, 7, 500), Deliver("t", 0, older, 7, 10)]
    assert Ended() in effects


def test_without_follow_a_time_that_nobody_has_reached_is_the_end(talk: Talk) -> None:
    assert Ended() in talk.answer(found(10))


def test_with_follow_it_waits_for_the_first_record_of_that_time() -> None:
    talk = Talk(follow=True)
    talk.answer(metadata())
    talk.answer(found(10))
    early, late = batch(10, 1, 499), batch(11, 1, 501)
    delivered = [effect for effect in talk.answer(fetched(early)) if isinstance(effect, Deliver)]
    delivered += [effect for effect in talk.answer(fetched(late)) if isinstance(effect, Deliver)]
    assert delivered == [Deliver("t", 0, late, 11, 12, 500)]


# --- trouble ---


@pytest.mark.parametrize(
    "answer",
    [
        ListOffsetsResponse(ErrorCode.RETRY, "the view is changing", ()),
        found(4, ErrorCode.UNKNOWN_TOPIC),
        ListOffsetsResponse(ErrorCode.NONE, "", (), "c1"),
        FetchResponse((), True),
    ],
    ids=["refused", "another topic", "an answer that lacks a partition", "another answer"],
)
def test_who_cannot_say_is_asked_again_after_a_rest(talk: Talk, answer: ClientResponse) -> None:
    talk.answer(answer)
    assert talk.kinds() == [Metadata, ListOffsets]
    talk.due(MetadataDue(), 0.1)
    talk.answer(metadata())
    talk.answer(found(4))
    assert talk.kinds() == [Metadata, ListOffsets, Metadata, ListOffsets, Fetch]
    assert talk.begins_at() == 4


def test_a_lost_question_is_asked_again(talk: Talk) -> None:
    talk.hear(Lost("a:1", (2,), "connection reset", 0.1))
    talk.due(MetadataDue(), 0.2)
    talk.answer(metadata())
    assert talk.kinds() == [Metadata, ListOffsets, Metadata, ListOffsets]


def test_who_stays_silent_is_asked_again_and_its_late_answer_changes_nothing(talk: Talk) -> None:
    late = talk.asked[-1]
    talk.due(CheckDue(), 1.3)
    talk.due(MetadataDue(), 1.4)
    talk.answer(metadata())
    talk.answer(found(9), late)
    assert talk.kinds() == [Metadata, ListOffsets, Metadata, ListOffsets]
    talk.answer(found(4))
    assert talk.begins_at() == 4


def test_another_cluster_that_answers_is_an_error(talk: Talk) -> None:
    [broken] = [effect for effect in talk.answer(found(4, cluster_id="c2")) if isinstance(effect, Broken)]
    assert isinstance(broken.error, OtherCluster)


def test_a_log_that_is_trimmed_before_anything_was_read_is_read_from_its_start(talk: Talk) -> None:
    talk.answer(found(2))
    talk.answer(fetched(error=ErrorCode.OFFSET_OUT_OF_RANGE, start=5))
    assert talk.begins_at() == 5


def test_a_log_that_is_trimmed_below_what_is_wanted_next_is_an_error_as_ever(talk: Talk) -> None:
    talk.answer(found(2))
    talk.answer(fetched(batch(2, 2, 600)))
    effects = talk.answer(fetched(error=ErrorCode.OFFSET_OUT_OF_RANGE, start=5))
    assert [type(effect.error) for effect in effects if isinstance(effect, Broken)] == [OffsetOutOfRange]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), partitions=st.integers(1, 3), since_ms=st.integers(-1, 12))
def test_everything_from_the_first_batch_of_the_time_on_is_delivered_once_whatever_happens(
    seed: int, partitions: int, since_ms: int
) -> None:
    random = Random(seed)
    model = ClusterModel(["a:1", "b:1", "c:1"])
    logs = model.make("t", partitions).partitions
    expected: list[list[Deliver]] = []
    for number, log in enumerate(logs):
        wanted: list[Deliver] = []
        for _ in range(20):
            newest_ms = random.randrange(11)
            one = batch(log.end, random.randrange(1, 5), newest_ms)
            end = log.end + builders.header_of(one.body).records
            if wanted or newest_ms >= since_ms:
                wanted.append(Deliver("t", number, one, log.end, end, None if wanted else since_ms))
            log.batches.append(one)
            log.end = end
        expected.append(wanted)
    core = ConsumerCore(["a:1"], random, ConsumerSettings(("t",), Since(since_ms), follow=False))
    network = PretendNetwork(model, core, random, 8.0)
    network.at(0.0, lambda: network.tell(Opened(0.0)))
    network.run(60.0, lambda: Ended() in network.outcomes)
    delivered = [outcome for outcome in network.outcomes if isinstance(outcome, Deliver)]
    for number, wanted in enumerate(expected):
        mine = [one for one in delivered if one.partition == number]
        assert mine == wanted and [base_offset_in(one.batch.front) for one in mine] == [one.first for one in wanted]
