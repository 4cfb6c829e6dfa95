"""Limits of topics in the client library, with threads and on an event loop, against fake brokers."""

from __future__ import annotations

import pytest

import logstream.aio
from logstream import Admin, InvalidRequest, UnknownTopic
from logstream.protocol.errors import ErrorCode
from logstream.protocol.messages import AlterTopic, CreateTopic, TopicResponse
from logstream.protocol.retention import AS_CLUSTER, TopicRetention
from tests.client.cluster_model import CLUSTER_RETENTION
from tests.client.fake_broker import FakeBrokers
from tests.client.loops import on_loop


def test_a_topic_is_made_with_limits_of_its_own_and_describes_them(brokers: FakeBrokers) -> None:
    with Admin(brokers.addresses) as admin:
        admin.create_topic("t", 2, retention_bytes=1000, retention_s=0)
        admin.create_topic("u")
        made = admin.describe("t")
        assert made.retention == TopicRetention(1000, None, 0)
        assert made.in_force == TopicRetention(1000, 0, 0)
        assert (admin.describe("u").retention, admin.describe("u").in_force) == (AS_CLUSTER, CLUSTER_RETENTION)


def test_what_is_not_given_stays_and_default_is_as_the_cluster_says(brokers: FakeBrokers) -> None:
    with Admin(brokers.addresses) as admin:
        admin.create_topic("t", retention_bytes=1000, retention_records=5)
        admin.alter_topic("t", retention_s=1.5, retention_bytes="default")
        assert admin.describe("t").retention == TopicRetention(None, 5, 1.5)


def test_nothing_to_alter_and_nothing_to_be_altered_are_errors(brokers: FakeBrokers) -> None:
    with Admin(brokers.addresses) as admin:
        with pytest.raises(UnknownTopic, match="nowhere"):
            admin.alter_topic("nowhere", retention_bytes=0)
        admin.create_topic("t")
        with pytest.raises(InvalidRequest, match="nothing is to be altered"):
            admin.alter_topic("t")


def test_an_alteration_whose_answer_was_lost_is_asked_again_and_is_no_error(brokers: FakeBrokers) -> None:
    lost: list[object] = []

    def lose_the_first_answer(request: object) -> TopicResponse | None:
        if isinstance(request, AlterTopic) and not lost:
            lost.append(brokers.model.answer(brokers.addresses[0], request))
            return TopicResponse(ErrorCode.RETRY, "view changed")
        return None

    brokers.spoil = lose_the_first_answer
    with Admin(brokers.addresses) as admin:
        admin.create_topic("t")
        admin.alter_topic("t", retention_records=7)
        assert (len(lost), admin.describe("t").retention) == (1, TopicRetention(None, 7))


def test_a_topic_that_somebody_else_made_with_other_limits_is_there_already(brokers: FakeBrokers) -> None:
    """A creation is repeated when its answer is lost; another one's topic must not be taken for its own."""

    def somebody_else_is_first(request: object) -> TopicResponse | None:
        if isinstance(request, CreateTopic) and "t" not in brokers.model.topics:
            brokers.model.make("t", 1)
            return TopicResponse(ErrorCode.RETRY, "view changed")
        return None

    brokers.spoil = somebody_else_is_first
    with pytest.raises(logstream.TopicExists):
        Admin(brokers.addresses).create_topic("t", retention_bytes=1)


@on_loop
async def test_the_same_on_an_event_loop(brokers: FakeBrokers) -> None:
    async with logstream.aio.Admin(brokers.addresses) as admin:
        await admin.create_topic("t", retention_records=5)
        await admin.alter_topic("t", retention_records="default", retention_bytes=0)
        assert (await admin.describe("t")).retention == TopicRetention(0)
        with pytest.raises(UnknownTopic):
            await admin.alter_topic("nowhere", retention_s=1)
