"""Admin on real sockets, against fake brokers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from logstream import Admin, InvalidRequest, NoClusterFound, RequestTimedOut, TopicExists, UnknownTopic
from logstream.protocol.errors import ErrorCode
from logstream.protocol.messages import (
    AdminResponse,
    ChangeLeader,
    CreateTopic,
    Metadata,
    MetadataResponse,
    StatusRequest,
    TopicMetadata,
    TopicResponse,
)
from tests.client.fake_broker import FakeBrokers


def test_topics_are_made_listed_described_and_removed(brokers: FakeBrokers) -> None:
    with Admin(brokers.addresses) as admin:
        admin.create_topic("b", 2)
        admin.create_topic("a")
        assert [(topic.name, len(topic.partitions)) for topic in admin.topics()] == [("a", 1), ("b", 2)]
        assert [member.address for member in admin.describe("b").partitions] == brokers.addresses
        admin.delete_topic("b")
        assert [topic.name for topic in admin.topics()] == ["a"]


def test_a_topic_that_is_there_already_and_one_that_is_not_are_errors(brokers: FakeBrokers) -> None:
    with Admin(brokers.addresses) as admin:
        admin.create_topic("a")
        with pytest.raises(TopicExists, match="a already"):
            admin.create_topic("a")
        with pytest.raises(UnknownTopic, match="nowhere"):
            admin.describe("nowhere")
        with pytest.raises(UnknownTopic, match="nowhere"):
            admin.delete_topic("nowhere")


def test_a_leader_that_does_not_know_yet_where_a_topic_ends_is_asked_again(brokers: FakeBrokers) -> None:
    undecided = [
        TopicMetadata("a", 0, ErrorCode.RETRY, (), text="the new leader does not know all topics yet"),
        TopicMetadata("a", 1, ErrorCode.NONE, (brokers.model.leader,)),
    ]

    def know_nothing_at_first(request: object) -> MetadataResponse | None:
        answer = brokers.model.answer(brokers.addresses[0], request) if isinstance(request, Metadata) else None
        if isinstance(answer, MetadataResponse) and undecided:
            return replace(answer, topics=(undecided.pop(0),))
        return None

    brokers.model.make("a", 1)
    brokers.spoil = know_nothing_at_first
    assert Admin(brokers.addresses).describe("a").ends == (0,)
    assert undecided == []


def test_a_creation_whose_answer_was_lost_is_not_called_an_error(brokers: FakeBrokers) -> None:
    lost: list[object] = []

    def lose_the_first_answer(request: object) -> TopicResponse | None:
        if isinstance(request, CreateTopic) and not lost:
            lost.append(brokers.model.answer(brokers.addresses[0], request))
            return TopicResponse(ErrorCode.RETRY, "view changed")
        return None

    brokers.spoil = lose_the_first_answer
    Admin(brokers.addresses).create_topic("a", 3)
    assert len(brokers.model.topics["a"].partitions) == 3


def test_status_is_the_brokers_json(brokers: FakeBrokers) -> None:
    assert Admin(brokers.addresses).status() == {"cluster_id": "c1"}


def test_metadata_is_the_leaders(brokers: FakeBrokers) -> None:
    brokers.model.leaderless.add(brokers.addresses[1])
    leader = Admin([brokers.addresses[1], brokers.addresses[0]]).metadata().leader
    assert leader is not None and leader.address == brokers.addresses[0]


def test_a_member_is_made_leader(brokers: FakeBrokers) -> None:
    with Admin(brokers.addresses) as admin:
        seen = admin.change_leader("n2")
        assert seen.leader is not None and seen.leader.address == brokers.addresses[1]
        with pytest.raises(InvalidRequest, match="there is no member 'n9'"):
            admin.change_leader("n9")


def test_a_member_that_never_leads_is_named(brokers: FakeBrokers) -> None:
    ignored = AdminResponse(ErrorCode.NONE)
    brokers.spoil = lambda request: ignored if isinstance(request, ChangeLeader) else None
    with pytest.raises(RequestTimedOut, match=r"n2 does not lead after 0\.3 s"):
        Admin(brokers.addresses, timeout_s=0.3).change_leader("n2")


def test_a_view_is_forced_where_no_leader_is_heard(brokers: FakeBrokers) -> None:
    brokers.model.leaderless.update(brokers.addresses)
    with Admin(brokers.addresses) as admin:
        assert admin.force_view(accept_data_loss=True).leader is not None
        with pytest.raises(InvalidRequest, match="has a leader"):
            admin.force_view(accept_data_loss=True)


def test_a_view_is_not_forced_without_consent(brokers: FakeBrokers) -> None:
    brokers.model.leaderless.update(brokers.addresses)
    with pytest.raises(InvalidRequest):
        Admin(brokers.addresses).force_view(accept_data_loss=False)
    assert brokers.model.leaderless == set(brokers.addresses)


def test_when_all_known_brokers_are_gone_the_cluster_is_looked_for_again(
    brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    finds = [["127.0.0.1:1"], ["127.0.0.1:1"], brokers.addresses]
    monkeypatch.setattr("logstream.client.admin.find", lambda bootstrap, cluster: finds.pop(0))
    assert Admin(cluster="c").status() == {"cluster_id": "c1"}


def test_the_time_out_says_why(brokers: FakeBrokers) -> None:
    brokers.spoil = lambda request: None if isinstance(request, StatusRequest) else TopicResponse(ErrorCode.NONE)
    with pytest.raises(RequestTimedOut, match="TopicResponse"):
        Admin(brokers.addresses, timeout_s=0.1).topics()


def test_nobody_there_says_what_was_tried() -> None:
    with pytest.raises(NoClusterFound, match=r"127.0.0.1:1 \(connection refused\), named by bootstrap"):
        Admin("127.0.0.1:1")
