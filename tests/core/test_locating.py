"""Gateway: LIST_OFFSETS, where partitions reach a time. Any broker answers when every log that it asked has said."""

from __future__ import annotations

import pytest

from logstream.core.effects import Effect, SetTimer
from logstream.core.events import Session
from logstream.core.gateway.vocabulary import HeldTimedOut
from logstream.core.replica.vocabulary import Promised
from logstream.core.ring import Ring
from logstream.core.stream_assigner import RingChanged
from logstream.core.topic_log import Locate, Located
from logstream.core.topics import TopicOpened
from logstream.protocol.errors import ErrorCode
from logstream.protocol.messages import ListOffsets, ListOffsetsResponse, OffsetAt, OffsetFound
from tests.core.builders import B, announced, epoch
from tests.core.test_gateway import TOPIC, Broker, replies


def asking(*partitions: int, topic_id: int = 1) -> ListOffsets:
    return ListOffsets(tuple(OffsetAt("t", topic_id, partition, 500) for partition in partitions))


def places(effects: list[Effect]) -> list[Locate]:
    return [one for one in announced(effects, Locate) if isinstance(one, Locate)]


def response(effects: list[Effect]) -> ListOffsetsResponse:
    [reply] = replies(effects)
    assert isinstance(reply.message, ListOffsetsResponse)
    return reply.message


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
def test_every_partitions_log_is_asked_and_the_answer_is_in_the_order_of_the_request(leads: bool) -> None:
    broker = Broker(leads=leads)
    asked = places(broker.asked(asking(2, 0)))
    assert [(one.topic_id, one.partition, one.timestamp_ms) for one in asked] == [(1, 2, 500), (1, 0, 500)]
    assert broker.told(Located(asked[1].read, 7)) == []
    answer = response(broker.told(Located(asked[0].read, 5)))
    expected = (OffsetFound("t", 2, ErrorCode.NONE, "", 5), OffsetFound("t", 0, ErrorCode.NONE, "", 7))
    assert answer == ListOffsetsResponse(ErrorCode.NONE, "", expected, "c1")


def test_it_does_not_matter_who_is_assigned() -> None:
    broker = Broker()
    broker.told(RingChanged(Ring((B,))))
    assert len(places(broker.asked(asking(0)))) == 1


@pytest.mark.parametrize(("partition", "topic_id"), [(4, 1), (0, 2)], ids=["no partition", "another topic"])
def test_what_is_not_there_is_an_error_beside_what_is(partition: int, topic_id: int) -> None:
    broker = Broker()
    wanted = (OffsetAt("t", topic_id, partition, 500), OffsetAt("t", 1, 0, 500))
    [asked] = places(broker.asked(ListOffsets(wanted)))
    answer = response(broker.told(Located(asked.read, 3)))
    assert [(one.error, one.offset) for one in answer.partitions] == [
        (ErrorCode.UNKNOWN_TOPIC, 0),
        (ErrorCode.NONE, 3),
    ]
    assert [one.error for one in response(broker.asked(asking(0, topic_id=9))).partitions] == [ErrorCode.UNKNOWN_TOPIC]


def test_no_partition_is_a_short_answer() -> None:
    assert response(Broker().asked(asking())) == ListOffsetsResponse(ErrorCode.NONE, "", (), "c1")


def test_a_follower_waits_for_a_topic_that_it_may_not_have_heard_of_yet() -> None:
    broker = Broker(leads=False)
    broker.core.catalog.by_name.clear()
    assert places(broker.asked(asking(0))) == []
    assert len(places(broker.told(TopicOpened(TOPIC)))) == 1


def test_while_a_view_changes_the_question_is_held_and_in_the_end_refused_in_its_shape() -> None:
    broker = Broker()
    broker.told(Promised(epoch(2)))
    assert replies(broker.asked(asking(0))) == []
    broker.now += 2.5
    broker.asked(asking(1), 2, by=Session(2))
    answer = response(broker.looks()[:1])
    assert (answer.error, answer.text) == (ErrorCode.RETRY, "the view is changing")


def test_a_log_that_never_answers_blocks_nobody_for_ever() -> None:
    broker = Broker()
    effects = broker.asked(asking(0, 1))
    assert SetTimer(HeldTimedOut(), 0.1) in effects
    broker.told(Located(places(effects)[0].read, 3))
    broker.now += 11.0
    broker.asked(asking(0), 2, by=Session(2))
    assert [reply.message.error for reply in replies(broker.looks())] == [ErrorCode.RETRY]  # type: ignore[union-attr]
    assert broker.told(Located(places(effects)[1].read, 3)) == []
