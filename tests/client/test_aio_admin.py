"""Admin on an event loop, on real sockets, against fake brokers; the rules are those of test_admin.py."""

from __future__ import annotations

import asyncio

import pytest

from logstream import InvalidRequest, NoClusterFound, RequestTimedOut, TopicExists, UnknownTopic
from logstream.aio import Admin
from logstream.protocol.errors import ErrorCode
from logstream.protocol.messages import CreateTopic, StatusRequest, TopicResponse
from tests.client.fake_broker import FakeBrokers
from tests.client.loops import on_loop


@on_loop
async def test_topics_are_made_listed_described_and_removed(brokers: FakeBrokers) -> None:
    async with Admin(brokers.addresses) as admin:
        await admin.create_topic("b", 2)
        await admin.create_topic("a")
        assert [(topic.name, len(topic.partitions)) for topic in await admin.topics()] == [("a", 1), ("b", 2)]
        assert [member.address for member in (await admin.describe("b")).partitions] == brokers.addresses
        await admin.delete_topic("b")
        assert [topic.name for topic in await admin.topics()] == ["a"]


@on_loop
async def test_a_topic_that_is_there_already_and_one_that_is_not_are_errors(brokers: FakeBrokers) -> None:
    admin = Admin(brokers.addresses)
    await admin.create_topic("a")
    with pytest.raises(TopicExists, match=r"a already; .*another name"):
        await admin.create_topic("a")
    with pytest.raises(UnknownTopic, match="nowhere"):
        await admin.describe("nowhere")


@on_loop
async def test_several_questions_may_be_under_way(brokers: FakeBrokers) -> None:
    async with Admin(brokers.addresses) as admin:
        names = [f"t{number}" for number in range(20)]
        await asyncio.gather(*(admin.create_topic(name) for name in names))
        assert [topic.name for topic in await admin.topics()] == sorted(names)


@on_loop
async def test_a_creation_whose_answer_was_lost_is_not_called_an_error(brokers: FakeBrokers) -> None:
    lost: list[object] = []

    def lose_the_first_answer(request: object) -> TopicResponse | None:
        if isinstance(request, CreateTopic) and not lost:
            lost.append(brokers.model.answer(brokers.addresses[0], request))
            return TopicResponse(ErrorCode.RETRY, "view changed")
        return None

    brokers.spoil = lose_the_first_answer
    await Admin(brokers.addresses).create_topic("a", 3)
    assert len(brokers.model.topics["a"].partitions) == 3


@on_loop
async def test_the_cluster_is_asked_and_led(brokers: FakeBrokers) -> None:
    async with Admin(brokers.addresses) as admin:
        assert await admin.status() == {"cluster_id": "c1"}
        seen = await admin.change_leader("n2")
        assert seen.leader is not None and seen.leader.address == brokers.addresses[1]
        assert (await admin.metadata()).leader == seen.leader
        with pytest.raises(InvalidRequest, match="has a leader"):
            await admin.force_view(accept_data_loss=True)


@on_loop
async def test_a_broker_that_is_gone_is_passed_over(brokers: FakeBrokers) -> None:
    assert await Admin(["127.0.0.1:1", *brokers.addresses]).status() == {"cluster_id": "c1"}


@on_loop
async def test_when_all_known_brokers_are_gone_the_cluster_is_looked_for_again(
    brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    finds = [["127.0.0.1:1"], ["127.0.0.1:1"], brokers.addresses]
    monkeypatch.setattr("logstream.aio.admin.find", lambda bootstrap, cluster: finds.pop(0))
    assert await Admin(cluster="c").status() == {"cluster_id": "c1"}


@on_loop
async def test_the_time_out_says_why_and_what_to_do(brokers: FakeBrokers) -> None:
    brokers.spoil = lambda request: None if isinstance(request, StatusRequest) else TopicResponse(ErrorCode.NONE)
    with pytest.raises(RequestTimedOut, match="TopicResponse; `logstream status`"):
        await Admin(brokers.addresses, timeout_s=0.1).topics()
    brokers.hold = True
    with pytest.raises(RequestTimedOut, match=r"127.0.0.1:\d+: timed out; "):
        await Admin(brokers.addresses, timeout_s=0.1).status()


@on_loop
async def test_a_question_can_be_cancelled(brokers: FakeBrokers) -> None:
    brokers.hold = True
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(Admin(brokers.addresses).topics(), 0.05)


@on_loop
async def test_nobody_there_says_what_was_tried(brokers: FakeBrokers) -> None:
    with pytest.raises(NoClusterFound, match=r"127.0.0.1:1 \(connection refused\), named by bootstrap"):
        await Admin("127.0.0.1:1").topics()
