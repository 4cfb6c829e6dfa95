"""Caretaker: topic logs come and go, rounds of reports end, transports hear who the node is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.caretaker import Caretaker, Dump, Hooks, Leave, Ping
from actors.mesh import Seat
from actors.topic_log import TopicLog
from actors.wiring import TopicUnwired, TopicWired
from logstream.core.gateway.vocabulary import StatusAsked, StatusReady
from logstream.core.replica.vocabulary import IdentityDropped, LearnFrom, ViewInstalled
from logstream.core.topics import Topic, TopicClosed, TopicOpened, TopicRevised
from logstream.core.view_vocabulary import LeaveCluster, Left
from logstream.protocol.retention import TopicRetention
from logstream.runtime import NodeActor, Report
from tests.actors.conftest import Ear, World
from tests.actors.pretend_mesh import ME, N2, N3, PretendMesh, view_of
from transport.identity import ForgetMember, IdentityChanged

TRANSPORTS = (Seat.TCP, Seat.MULTICAST, Seat.BROADCAST)


class Heard:
    """What the node heard from its caretaker."""

    def __init__(self) -> None:
        self.pings: list[list[str]] = []
        self.views: list[ViewInstalled] = []
        self.lefts: list[Left] = []
        self.dropped = 0

    def drop(self) -> None:
        self.dropped += 1

    def hooks(self) -> Hooks:
        return Hooks(self.pings.append, self.views.append, self.lefts.append, self.drop)


class Silent(NodeActor):
    """Does not answer Report, as an actor that is stuck would not."""

    def _handle_receive(self, message: Any) -> Any:
        return None if isinstance(message, Report) else super()._handle_receive(message)


@pytest.fixture
def node(world: World) -> PretendMesh:
    return PretendMesh(world)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def caretaker(world: World, node: PretendMesh, heard: Heard) -> Any:
    return Caretaker.start(world.scheduler, node.mesh, "test", heard.hooks())


def topic_logs(world: World) -> list[str]:
    return [actor.name for actor in world.scheduler.actors if isinstance(actor, TopicLog)]


# --- topic logs ---


def test_a_topic_gets_one_log_for_each_partition_and_both_users_hear_of_them(
    world: World, node: PretendMesh, caretaker: Any
) -> None:
    caretaker.tell(TopicOpened(topic := Topic(7, "logs", 3)))
    world.settle()
    assert topic_logs(world) == ["topic_log/7/0", "topic_log/7/1", "topic_log/7/2"]
    ((first, wired), (second, again)) = node.book
    assert (first, second) == (Seat.REPLICA, Seat.CLIENT_GATEWAY)
    assert isinstance(wired, TopicWired) and wired == again
    assert (wired.topic, len(wired.logs)) == (topic, 3)


def test_both_users_of_a_deleted_topics_logs_hear_that_it_is_gone(
    world: World, node: PretendMesh, caretaker: Any
) -> None:
    caretaker.tell(TopicOpened(topic := Topic(9, "deleted", 2)))
    caretaker.tell(TopicClosed(topic))
    world.settle()
    (_, wired), *_ = node.book
    gone = TopicUnwired(topic, wired.logs)
    assert node.book[-2:] == [(Seat.REPLICA, gone), (Seat.CLIENT_GATEWAY, gone)]


def test_who_answers_clients_hears_that_a_topic_was_altered_after_it_has_heard_of_the_topic(
    world: World, node: PretendMesh, caretaker: Any
) -> None:
    caretaker.tell(TopicOpened(Topic(7, "logs", 1)))
    caretaker.tell(revised := TopicRevised(Topic(7, "logs", 1, TopicRetention(0))))
    world.settle()
    told = [message for seat, message in node.book if seat is Seat.CLIENT_GATEWAY]
    assert isinstance(told[0], TopicWired) and told[1:] == [revised]


# --- rounds of reports ---


def test_a_ping_says_that_all_actors_answered(world: World, heard: Heard, caretaker: Any) -> None:
    Ear.start(world.scheduler, [])
    caretaker.tell(Ping())
    world.settle()
    assert heard.pings == [[]]


def test_a_ping_names_the_actor_that_does_not_answer(world: World, heard: Heard, caretaker: Any) -> None:
    Silent.start(world.scheduler)
    caretaker.tell(Ping())
    world.until(lambda: heard.pings)
    assert heard.pings == [["Silent"]]


def test_status_is_ready_as_soon_as_all_have_reported(world: World, node: PretendMesh, caretaker: Any) -> None:
    Ear.start(world.scheduler, [])
    started = world.loop.time()
    caretaker.tell(StatusAsked(request=5))
    world.settle()
    (ready,) = node.told(Seat.CLIENT_GATEWAY)
    assert isinstance(ready, StatusReady) and ready.request == 5
    status = json.loads(ready.json)
    assert (status["cluster"], status["node_id"], status["no_answer"]) == ("test", "n1", [])
    assert world.loop.time() - started < 0.2


def test_status_shows_who_did_not_answer_and_does_not_wait_for_ever(
    world: World, node: PretendMesh, caretaker: Any
) -> None:
    Silent.start(world.scheduler)
    Ear.start(world.scheduler, [])
    caretaker.tell(StatusAsked(request=5))
    world.until(lambda: node.told(Seat.CLIENT_GATEWAY))
    (ready,) = node.told(Seat.CLIENT_GATEWAY)
    status = json.loads(ready.json)
    assert status["no_answer"] == ["Silent"]
    assert list(status["actors"]) == ["Ear"]


def test_two_rounds_at_once_are_answered_each_for_itself(world: World, node: PretendMesh, caretaker: Any) -> None:
    Ear.start(world.scheduler, [])
    caretaker.tell(StatusAsked(request=1))
    caretaker.tell(StatusAsked(request=2))
    world.settle()
    assert [ready.request for ready in node.told(Seat.CLIENT_GATEWAY)] == [1, 2]


def test_a_dump_writes_a_line_for_every_actor(world: World, caretaker: Any, logged: list[str]) -> None:
    Silent.start(world.scheduler)
    Ear.start(world.scheduler, [])
    caretaker.tell(Dump())
    world.until(lambda: len(logged) == 3)
    assert logged == ["INFO dump state=starting", "INFO dump of=Ear facts={}", "INFO dump: no answer of=Silent"]


# --- identity ---


def test_the_transports_hear_which_cluster_the_node_belongs_to(
    world: World, node: PretendMesh, heard: Heard, caretaker: Any
) -> None:
    caretaker.tell(LearnFrom("learned", N2))
    caretaker.tell(installed := ViewInstalled(view_of(ME, N2), leads=True))
    world.settle()
    assert node.book == [
        (seat, IdentityChanged(ME, cluster_id)) for cluster_id in ("learned", "cluster-id") for seat in TRANSPORTS
    ]
    assert heard.views == [installed]


def test_whoever_is_no_member_any_more_is_not_expected_back(world: World, node: PretendMesh, caretaker: Any) -> None:
    caretaker.tell(ViewInstalled(view_of(ME, N2, N3), leads=True))
    caretaker.tell(ViewInstalled(view_of(ME, N3, n=2), leads=True))
    world.settle()
    assert [told for told in node.told(Seat.TCP) if isinstance(told, ForgetMember)] == [ForgetMember(N2)]


# --- leaving ---


def test_a_wish_to_leave_reaches_the_view_manager_and_the_elector(
    world: World, node: PretendMesh, caretaker: Any
) -> None:
    caretaker.tell(Leave())
    world.settle()
    assert node.book == [(Seat.ELECTOR, LeaveCluster()), (Seat.VIEW_MANAGER, LeaveCluster())]


def test_the_node_hears_when_it_has_left_and_when_its_identity_is_gone(
    world: World, heard: Heard, caretaker: Any
) -> None:
    caretaker.tell(Left(handed_over=True))
    caretaker.tell(IdentityDropped())
    world.settle()
    assert (heard.lefts, heard.dropped) == ([Left(handed_over=True)], 1)
