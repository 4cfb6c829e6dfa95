"""Gateway: what clients hear, in which order, and what happens while the cluster is busy with itself."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from logstream.core.effects import Announce, Effect, Forward, Reply, SetTimer
from logstream.core.events import Due, LinkDown, Received, Session, SessionClosed
from logstream.core.failure_detector import LeaderFound, LeaderLost
from logstream.core.gateway.gateway import Gateway, GatewaySettings
from logstream.core.gateway.holding import HELD_BYTES_MAX, HELD_MAX
from logstream.core.gateway.vocabulary import HeldTimedOut, PollTimedOut, StatusAsked, StatusReady
from logstream.core.replica.vocabulary import Produced, Promised, Propose, ProposeDecision, Rejected, ViewInstalled
from logstream.core.ring import Ring
from logstream.core.stream_assigner import RingChanged
from logstream.core.topic_log import CancelRead, Read, ReadDone
from logstream.core.topics import Topic, TopicClosed, TopicOpened
from logstream.protocol.batches import CODECS, Batch
from logstream.protocol.errors import ErrorCode, RemoteProtocolError
from logstream.protocol.identity import Member
from logstream.protocol.messages import (
    AdminResponse,
    ChangeLeader,
    CreateTopic,
    DeleteTopic,
    Fetch,
    FetchFrom,
    Heartbeat,
    Message,
    Metadata,
    Produce,
    ProduceResponse,
    StatusRequest,
    StatusResponse,
    TopicCreated,
    TopicResponse,
)
from tests.core.builders import A, B, announced, batch, epoch, view

ONE, TWO = Session(1), Session(2)
TOPIC = Topic(1, "t", 4)


class Broker:
    """A's gateway and its clock."""

    def __init__(self, ready: bool = True, leads: bool = True, auto_create: bool = True) -> None:
        self.core = Gateway(A, GatewaySettings(1000, 1 << 20, auto_create, 2))
        self.now = 10.0
        if ready:
            self.installed(leads)
            self.told(RingChanged(Ring((A,))))
            self.told(TopicOpened(TOPIC))

    def installed(self, leads: bool = True) -> list[Effect]:
        self.told(LeaderFound(A if leads else B))
        return self.told(ViewInstalled(view(1, A, B, leader=A if leads else B), leads))

    def told(self, event: object) -> list[Effect]:
        return self.core.handle(event)

    def asked(self, message: Message, correlation: int = 1, by: Session | Member = ONE) -> list[Effect]:
        return self.core.handle(Received(message, by, self.now, correlation=correlation))

    def looks(self) -> list[Effect]:
        return self.core.handle(Due(HeldTimedOut(), self.now))


@pytest.fixture
def leader() -> Broker:
    """A leads and serves topic t alone."""
    return Broker()


@pytest.fixture
def follower() -> Broker:
    """A serves topic t, B leads."""
    return Broker(leads=False)


def produce(one: Batch | None = None, topic_id: int = 1, partition: int = 0) -> Produce:
    return Produce("t", topic_id, partition, one or batch(), 60.0)


def fetch(offset: int = 0, max_wait_s: float = 0.5, min_bytes: int = 1, partitions: int = 1) -> Fetch:
    wanted = tuple(FetchFrom("t", 1, partition, offset) for partition in range(partitions))
    return Fetch(wanted, max_wait_s, min_bytes, 1 << 20)


def replies(effects: list[Effect]) -> list[Reply]:
    return [one for one in effects if isinstance(one, Reply)]


def errors(effects: list[Effect]) -> list[ErrorCode]:
    return [one.message.error for one in replies(effects)]  # type: ignore[union-attr]


def request_of(effects: list[Effect]) -> int:
    """The number of the request that was proposed or forwarded."""
    for one in effects:
        if isinstance(one, Forward):
            return one.correlation
        if isinstance(one, Announce) and isinstance(one.event, Propose | ProposeDecision | StatusAsked):
            return one.event.request
    raise AssertionError(f"nothing was asked in {effects}")


# --- produce ---


def test_the_leader_proposes_and_acknowledges_with_the_offset_and_the_cluster(leader: Broker) -> None:
    request = request_of(leader.asked(produce()))
    answer = ProduceResponse(ErrorCode.NONE, offset=7, cluster_id="c1")
    assert leader.told(Produced(request, 7)) == [Reply(ONE, 1, answer)]


def test_answers_come_in_the_order_of_the_requests(leader: Broker) -> None:
    first, second = request_of(leader.asked(produce(), 1)), request_of(leader.asked(produce(), 2))
    assert leader.told(Produced(second, 1)) == []
    assert [one.correlation for one in replies(leader.told(Produced(first, 0)))] == [1, 2]


def test_one_client_does_not_wait_for_another(leader: Broker) -> None:
    leader.asked(produce(), 1, by=ONE)
    second = request_of(leader.asked(produce(), 1, by=TWO))
    assert [one.to for one in replies(leader.told(Produced(second, 1)))] == [TWO]


def test_a_follower_forwards_to_the_leader_and_passes_the_answer_on(follower: Broker) -> None:
    effects = follower.asked(produce(), 5)
    [forward] = [one for one in effects if isinstance(one, Forward)]
    assert (forward.to, forward.message) == (B, produce())
    answer = ProduceResponse(ErrorCode.NONE, offset=3)
    assert follower.asked(answer, forward.correlation, by=B) == [Reply(ONE, 5, answer)]


def test_only_the_broker_that_was_asked_may_answer(follower: Broker) -> None:
    request = request_of(follower.asked(produce(), 5))
    forged = ProduceResponse(ErrorCode.NONE, offset=3)
    with pytest.raises(RemoteProtocolError):
        follower.asked(forged, request, by=TWO)
    assert follower.asked(forged, request, by=A) == []


def test_a_partition_of_another_broker_is_answered_with_its_address(leader: Broker) -> None:
    leader.told(RingChanged(Ring((B,))))
    [reply] = replies(leader.asked(produce()))
    assert isinstance(reply.message, ProduceResponse)
    assert (reply.message.error, reply.message.address) == (ErrorCode.NOT_ASSIGNED, B.address)


def test_what_another_broker_forwarded_is_sequenced_whoever_is_assigned(leader: Broker) -> None:
    leader.told(RingChanged(Ring((B,))))
    assert len(announced(leader.asked(produce(), 9, by=B), Propose)) == 1


def test_a_forwarded_request_is_never_forwarded_again(follower: Broker) -> None:
    assert errors(follower.asked(produce(), 9, by=B)) == [ErrorCode.RETRY]


@pytest.mark.parametrize(
    ("command", "kind"), [(CreateTopic("u", 1), TopicResponse), (ChangeLeader("b"), AdminResponse)]
)
def test_a_command_that_a_former_leader_refuses_is_answered_in_its_shape(
    follower: Broker, command: Message, kind: type
) -> None:
    [reply] = replies(follower.asked(command, 9, by=B))
    assert isinstance(reply.message, kind)


def test_a_lost_link_to_the_leader_answers_retry(follower: Broker) -> None:
    follower.asked(produce())
    assert errors(follower.told(LinkDown(B, True, 11.0))) == [ErrorCode.RETRY]


def test_a_new_leader_answers_retry_to_what_the_old_one_has(follower: Broker) -> None:
    follower.asked(produce())
    assert errors(follower.told(ViewInstalled(view(2, A, B), leads=True))) == [ErrorCode.RETRY]


def test_a_forwarded_request_that_is_not_answered_is_given_up(follower: Broker) -> None:
    for number, message in enumerate((produce(), CreateTopic("u", 1), Metadata(("t",)))):
        follower.asked(message, number)
    follower.now += 11.0
    assert [one.correlation for one in replies(follower.looks())] == [0, 1, 2]


def test_after_replication_started_the_answer_is_retry_never_a_definite_failure(leader: Broker) -> None:
    """R11: after that only RETRY."""
    request = request_of(leader.asked(produce()))
    assert errors(leader.told(Rejected(request, ErrorCode.RETRY, "no commit"))) == [ErrorCode.RETRY]
    assert leader.told(Produced(request, 0)) == []


def test_a_batch_that_does_not_match_its_crc_is_refused(leader: Broker) -> None:
    good = batch()
    assert errors(leader.asked(produce(Batch(good.front, good.body + b"?")))) == [ErrorCode.CORRUPT_BATCH]
    assert leader.core.producing.refused == 1


def test_a_record_over_the_limit_is_refused_by_the_name_of_the_setting(leader: Broker) -> None:
    [reply] = replies(leader.asked(produce(batch(payload=b"x" * 6000))))
    assert isinstance(reply.message, ProduceResponse)
    assert reply.message.error is ErrorCode.RECORD_TOO_LARGE
    assert "record_max" in reply.message.text


@pytest.mark.parametrize("codec", range(8))
def test_a_batch_that_nobody_could_decompress_is_refused_with_the_compressions_that_there_are(
    leader: Broker, codec: int
) -> None:
    effects = leader.asked(produce(batch(attributes=codec)))
    if codec < len(CODECS):
        assert len(announced(effects, Propose)) == 1
        return
    [reply] = replies(effects)
    assert isinstance(reply.message, ProduceResponse) and reply.message.error is ErrorCode.INVALID_REQUEST
    assert f"compression {codec}" in reply.message.text and "4 zstd" in reply.message.text


def test_a_partition_that_does_not_exist_is_refused(leader: Broker) -> None:
    assert errors(leader.asked(produce(partition=4))) == [ErrorCode.UNKNOWN_TOPIC]


# --- holding ---


def test_requests_are_held_while_the_view_changes_and_go_on_in_order() -> None:
    a = Broker()
    a.told(Promised(epoch(2)))
    for number in range(3):
        assert replies(a.asked(produce(batch(sequence=number, producer=7)), number)) == []
    effects = a.told(ViewInstalled(view(2, A, B), leads=True))
    proposed = announced(effects, Propose)
    assert [one.header.base_sequence for one in proposed] == [0, 1, 2]  # type: ignore[attr-defined]


def test_after_two_seconds_a_held_request_hears_why() -> None:
    a = Broker()
    a.told(Promised(epoch(2)))
    a.asked(produce())
    a.now += 1.9
    assert replies(a.looks()) == []
    a.now += 0.2
    [reply] = replies(a.looks())
    assert reply.message == ProduceResponse(ErrorCode.RETRY, "the view is changing")


def test_no_more_than_so_many_requests_are_held() -> None:
    a = Broker()
    a.told(Promised(epoch(2)))
    for number in range(HELD_MAX):
        assert replies(a.asked(produce(), number)) == []
    assert len(a.core.requests.held) == HELD_MAX
    a.asked(produce(), HELD_MAX, by=TWO)
    assert len(a.core.requests.held) == HELD_MAX


def test_no_more_than_so_many_bytes_are_held() -> None:
    a = Broker()
    a.told(Promised(epoch(2)))
    large = batch(payload=bytes(HELD_BYTES_MAX // 2))
    assert errors(a.asked(produce(large), 1, by=ONE)) == []
    assert errors(a.asked(produce(large), 1, by=TWO)) == [ErrorCode.RETRY]
    a.looks()
    assert errors(a.asked(produce(large), 2, by=TWO)) == [ErrorCode.RETRY]


def test_a_follower_waits_for_a_topic_that_it_may_not_have_heard_of_yet(follower: Broker) -> None:
    assert replies(follower.asked(produce(topic_id=9))) == []
    effects = follower.told(TopicOpened(Topic(9, "t", 1)))
    assert [one.to for one in effects if isinstance(one, Forward)] == [B]


def test_the_leader_knows_at_once_that_there_is_no_such_topic(leader: Broker) -> None:
    assert errors(leader.asked(produce(topic_id=9))) == [ErrorCode.UNKNOWN_TOPIC]


# --- fetch ---


def test_a_fetch_is_answered_as_soon_as_there_is_something(leader: Broker) -> None:
    effects = leader.asked(fetch())
    assert announced(effects, Read) == [Read((1, 0), 1, 0, 0, 1 << 20, wait=True)]
    assert leader.told(ReadDone((1, 0), 0, 0, ())) == []
    effects = leader.told(ReadDone((1, 0), 0, 1, (batch(),)))
    [reply] = replies(effects)
    assert [one.batches for one in reply.message.partitions] == [(batch(),)]  # type: ignore[union-attr]
    assert reply.message.leader_heard  # type: ignore[union-attr]
    assert announced(effects, CancelRead) == [CancelRead((1, 0), 1, 0)]


def test_a_fetch_with_nothing_to_say_is_answered_when_its_time_is_over(leader: Broker) -> None:
    assert SetTimer(PollTimedOut(1), 0.5) in leader.asked(fetch())
    leader.told(ReadDone((1, 0), 0, 0, ()))
    [reply] = replies(leader.told(Due(PollTimedOut(1), 11.0)))
    [partition] = reply.message.partitions  # type: ignore[union-attr]
    assert (partition.error, partition.batches) == (ErrorCode.NONE, ())


@pytest.mark.parametrize(("wanted_s", "timer_s"), [(math.nan, 0.0), (math.inf, 60.0), (-1.0, 0.0)])
def test_no_client_can_set_a_timer_that_cannot_be_set(leader: Broker, wanted_s: float, timer_s: float) -> None:
    assert SetTimer(PollTimedOut(1), timer_s) in leader.asked(fetch(max_wait_s=wanted_s))


@pytest.mark.parametrize(("size", "wanted", "served"), [(700_000, 1 << 20, [1, 0, 0]), (300_000, 700_000, [1, 1, 0])])
def test_several_partitions_share_the_credit_of_one_answer(
    leader: Broker, size: int, wanted: int, served: list[int]
) -> None:
    large = batch(payload=bytes(size))
    leader.asked(replace(fetch(partitions=3), max_bytes=wanted))
    for place in range(3):
        effects = leader.told(ReadDone((1, place), 0, 1, (large,)))
    [reply] = replies(effects)
    assert [len(one.batches) for one in reply.message.partitions] == served  # type: ignore[union-attr]


def test_a_position_below_the_log_start_is_an_explicit_error_with_the_number(leader: Broker) -> None:
    leader.asked(fetch(offset=3))
    [reply] = replies(leader.told(ReadDone((1, 0), 5, 9, ())))
    [partition] = reply.message.partitions  # type: ignore[union-attr]
    assert (partition.error, partition.start, partition.end) == (ErrorCode.OFFSET_OUT_OF_RANGE, 5, 9)


def test_a_reader_of_a_partition_that_moves_hears_so_at_once(leader: Broker) -> None:
    leader.asked(fetch())
    [reply] = replies(leader.told(RingChanged(Ring((B,)))))
    [partition] = reply.message.partitions  # type: ignore[union-attr]
    assert (partition.error, partition.address) == (ErrorCode.NOT_ASSIGNED, B.address)


def test_a_reader_of_a_deleted_topic_hears_so_at_once(leader: Broker) -> None:
    leader.asked(fetch())
    [reply] = replies(leader.told(TopicClosed(TOPIC)))
    assert [one.error for one in reply.message.partitions] == [ErrorCode.UNKNOWN_TOPIC]  # type: ignore[union-attr]


def test_a_broker_that_hears_no_leader_says_so_in_every_fetch(leader: Broker) -> None:
    """R13: it says so in every FETCH and METADATA answer, and clients move on."""
    leader.asked(fetch())
    [reply] = replies(leader.told(LeaderLost(11.0)))
    assert not reply.message.leader_heard  # type: ignore[union-attr]


def test_a_client_that_is_gone_waits_for_nothing(leader: Broker) -> None:
    leader.asked(fetch())
    assert announced(leader.told(SessionClosed(ONE)), CancelRead) == [CancelRead((1, 0), 1, 0)]
    assert leader.told(ReadDone((1, 0), 0, 1, (batch(),))) == []
    assert (len(leader.core.fetching.polls), len(leader.core.sessions)) == (0, 0)


# --- metadata and topics ---


def test_any_broker_says_who_is_there_even_before_it_has_joined() -> None:
    [reply] = replies(Broker(ready=False).asked(Metadata(())))
    assert (reply.message.leader, reply.message.brokers) == (None, ())  # type: ignore[union-attr]


def test_the_leader_answers_metadata_with_offsets(leader: Broker) -> None:
    reads = announced(leader.asked(Metadata(("t",))), Read)
    assert len(reads) == 4
    for end, read in enumerate(reads):
        effects = leader.told(ReadDone(read.read, 0, end, ()))  # type: ignore[attr-defined]
    [reply] = replies(effects)
    [topic] = reply.message.topics  # type: ignore[union-attr]
    assert (topic.topic_id, topic.partitions, topic.ends) == (1, (A, A, A, A), (0, 1, 2, 3))


def test_metadata_whose_logs_do_not_answer_is_answered_all_the_same(leader: Broker) -> None:
    assert SetTimer(HeldTimedOut(), 0.1) in leader.asked(Metadata(("t",)))
    leader.now += 11.0
    assert len(replies(leader.looks())) == 1


def test_a_missing_topic_is_created_once_for_all_who_ask(leader: Broker) -> None:
    effects = leader.asked(Metadata(("new",), create=True), 1, by=ONE)
    effects += leader.asked(Metadata(("new",), create=True), 1, by=TWO)
    [proposed] = announced(effects, ProposeDecision)
    assert proposed.decision == TopicCreated("new", 2)  # type: ignore[attr-defined]
    leader.told(Produced(proposed.request, 5))  # type: ignore[attr-defined]
    effects = leader.told(TopicOpened(Topic(5, "new", 2)))
    answers = []
    for read in announced(effects, Read):
        answers += replies(leader.told(ReadDone(read.read, 0, 0, ())))  # type: ignore[attr-defined]
    assert [one.to for one in answers] == [ONE, TWO]


def test_a_topic_that_cannot_be_created_now_is_answered_at_once_with_the_reason(leader: Broker) -> None:
    [proposed] = announced(leader.asked(Metadata(("new",), create=True)), ProposeDecision)
    rejected = Rejected(proposed.request, ErrorCode.RETRY, "waiting for 2 of 3")  # type: ignore[attr-defined]
    [reply] = replies(leader.told(rejected))
    [topic] = reply.message.topics  # type: ignore[union-attr]
    assert (topic.error, topic.text) == (ErrorCode.RETRY, "waiting for 2 of 3")
    leader.now += 20.0
    assert replies(leader.looks()) == []


def test_a_topic_that_is_in_the_log_but_not_committed_is_waited_for_and_not_proposed_again(leader: Broker) -> None:
    [proposed] = announced(leader.asked(Metadata(("new",), create=True)), ProposeDecision)
    assert leader.told(Rejected(proposed.request, ErrorCode.TOPIC_EXISTS, "topic 'new' exists already")) == []
    assert announced(leader.looks(), ProposeDecision) == []
    assert [read.topic_id for read in announced(leader.told(TopicOpened(Topic(9, "new", 2))), Read)] == [9, 9]


def test_no_topic_is_created_where_the_settings_forbid_it() -> None:
    a = Broker(auto_create=False)
    [reply] = replies(a.asked(Metadata(("new",), create=True)))
    assert [one.error for one in reply.message.topics] == [ErrorCode.UNKNOWN_TOPIC]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "x" * 250, "ü"])
def test_a_topic_name_that_nobody_accepts_is_refused(leader: Broker, name: str) -> None:
    assert errors(leader.asked(CreateTopic(name, 1))) == [ErrorCode.INVALID_TOPIC]


@pytest.mark.parametrize("partitions", [0, 10_001])
def test_a_partition_count_that_nobody_accepts_is_refused(leader: Broker, partitions: int) -> None:
    assert errors(leader.asked(CreateTopic("u", partitions))) == [ErrorCode.INVALID_TOPIC]


def test_a_created_topic_is_answered_with_its_id(leader: Broker) -> None:
    request = request_of(leader.asked(CreateTopic("u", 1)))
    assert leader.told(Produced(request, 12)) == [Reply(ONE, 1, TopicResponse(ErrorCode.NONE, topic_id=12))]


def test_deleting_what_is_not_there_is_an_error(leader: Broker) -> None:
    assert errors(leader.asked(DeleteTopic("nothing"))) == [ErrorCode.UNKNOWN_TOPIC]


def test_a_closed_topic_whose_name_was_taken_again_leaves_the_new_one(leader: Broker) -> None:
    leader.told(TopicOpened(Topic(9, "t", 1)))
    leader.told(TopicClosed(TOPIC))
    assert leader.core.catalog.by_name == {"t": Topic(9, "t", 1)}


def test_status_is_asked_of_the_node(leader: Broker) -> None:
    request = request_of(leader.asked(StatusRequest()))
    assert leader.told(StatusReady(request, "{}")) == [Reply(ONE, 1, StatusResponse("{}"))]


def test_what_only_members_say_is_refused_from_a_client(leader: Broker) -> None:
    with pytest.raises(RemoteProtocolError):
        leader.asked(Heartbeat(epoch(1), 0, 0, ()))
