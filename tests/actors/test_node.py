"""Node: starts, wires, watches and stops a mesh; whole nodes on virtual time and a pretended network."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.mesh import Seat
from actors.node import Node, Surroundings, Transports
from actors.topics import Topics
from logstream.core.events import Received
from logstream.protocol.errors import ErrorCode
from logstream.protocol.identity import Member
from logstream.protocol.messages import ClientRequest, CreateTopic, TopicResponse
from logstream.runtime import NodeActor, SafeRef, Scheduler
from logstream.settings import NodeSettings, Settings, SharedSettings
from simulation.cluster import Cluster, PretendMemory
from simulation.pretended.network import Climate
from tests.actors.conftest import World

SEED = 7


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(SEED, Climate(), SharedSettings())


def start_one(cluster: Cluster, name: str = "n1") -> Node:
    """Start a node and wait until it is ready, which happens once."""
    cluster.start(name)
    node = cluster.nodes[name]
    ready: list[str] = []
    node.on_ready = lambda: ready.append(name)
    assert cluster.loop.run_until(lambda: bool(ready), 10.0)
    return node


# --- starting ---


def test_a_node_that_finds_nobody_is_ready_when_it_leads_alone(cluster: Cluster) -> None:
    start_one(cluster)
    assert (cluster.leader(), cluster.members()) == ("n1", {frozenset({"n1"})})


def test_three_nodes_find_each_other_and_agree_on_a_view(cluster: Cluster) -> None:
    cluster.form("n1", "n2", "n3")
    views = {cluster.replica(name).promise.active for name in cluster.nodes}
    assert len(views) == 1


def test_an_address_in_use_is_an_error_before_any_actor_runs() -> None:
    world_loop = Cluster(SEED, Climate(), SharedSettings()).loop

    def in_use() -> Transports:
        raise OSError("address 127.0.0.1:8001 is in use")

    node = Node(settings("n1"), Surroundings(world_loop, in_use, PretendMemory(), random.Random(1)))
    with pytest.raises(OSError, match="in use"):
        node.start()
    assert (world_loop._instant, world_loop._later) == ([], [])


def test_a_node_can_be_dumped_while_it_runs(cluster: Cluster, logged: list[str]) -> None:
    node = start_one(cluster)
    node.dump()
    node.dump()
    assert cluster.loop.run_until(lambda: logged.count("INFO dump state=leading") == 2, 1.0)
    assert [line for line in logged if line.startswith("INFO dump: no answer")] == []


# --- watching ---


def test_an_actor_that_fails_ends_the_node_with_its_name_and_reason(cluster: Cluster, logged: list[str]) -> None:
    start_one(cluster).actor(Seat.TOPICS).actor_ref.tell("nonsense")
    assert cluster.loop.run_until(lambda: "n1" in cluster.stopped, 2.0)
    assert cluster.stopped["n1"] == (1, reason := "topics failed: the topics cannot handle 'nonsense'")
    assert logged[-2:] == ["ERROR an actor failed failed=topics", f"ERROR halted reason={reason}"]


def test_an_actor_that_cannot_start_ends_the_node(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(self: Topics) -> None:
        raise OSError("no room")

    monkeypatch.setattr(Topics, "on_start", unable)
    cluster.start("n1")
    assert cluster.loop.run_until(lambda: "n1" in cluster.stopped, 5.0)
    assert cluster.stopped["n1"] == (1, "topics failed: no room")


def test_an_actor_that_never_starts_is_found_by_the_ping_and_ends_the_node(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Topics, "_begin", lambda self: None)
    cluster.start("n1")
    assert cluster.loop.run_until(lambda: "n1" in cluster.stopped, 5.0)
    assert cluster.stopped["n1"] == (1, "these actors did not start: topics")


def test_a_node_that_halts_does_not_leave_first() -> None:
    """Crash-stop is what the protocol assumes of a broken member: the others must not count on its last word.

    With commit = majority only a leaver is taken out of the view (Q9a).
    """
    cluster = Cluster(SEED, Climate(), SharedSettings(commit="majority"))
    cluster.form("n1", "n2", "n3")
    view = cluster.replica("n1").promise.active
    cluster.nodes["n2"].actor(Seat.TOPICS).actor_ref.tell("nonsense")
    assert cluster.loop.run_until(lambda: "n2" in cluster.stopped, 2.0)
    cluster.loop.run_for(0.5)
    assert cluster.replica("n1").promise.active == view


# --- stopping ---


def test_a_follower_that_stops_leaves_the_view_first(cluster: Cluster) -> None:
    cluster.form("n1", "n2", "n3")
    leader = cluster.leader()
    follower = next(name for name in cluster.nodes if name != leader)
    cluster.stop(follower)
    assert cluster.loop.run_until(lambda: follower in cluster.stopped, 3.0)
    cluster.wait_for_members(*cluster.nodes)
    assert (cluster.stopped[follower], cluster.leader()) == ((0, ""), leader)


def test_a_leader_that_stops_hands_over_first(cluster: Cluster) -> None:
    cluster.form("n1", "n2", "n3")
    leader = cluster.leader()
    cluster.stop(leader)
    assert cluster.loop.run_until(lambda: leader in cluster.stopped, 3.0)
    assert cluster.stopped[leader] == (0, "")
    cluster.wait_for_members(*cluster.nodes, within_s=2.0)
    assert cluster.leader() != leader


def test_the_last_node_stops_at_once(cluster: Cluster) -> None:
    node = start_one(cluster)
    began = cluster.loop.time()
    node.stop()
    assert cluster.loop.run_until(lambda: "n1" in cluster.stopped, 2.0)
    assert cluster.stopped["n1"] == (0, "")
    assert cluster.loop.time() - began < 0.2


def test_a_second_stop_changes_nothing(cluster: Cluster) -> None:
    node = start_one(cluster)
    calls: list[int] = []
    node.on_stopped = lambda exit_code, reason: calls.append(exit_code)
    node.stop()
    node.stop()
    cluster.loop.run_for(3.0)
    assert calls == [0]


# --- beginning anew (R20) ---


def two_clusters_that_meet(cluster: Cluster) -> dict[str, Node]:
    """n1 and n2 found a cluster each, because they cannot hear each other; then they can."""
    cluster.network.cut("127.0.0.1:8001", "127.0.0.1:8002")
    cluster.start("n1", "n2")
    assert cluster.loop.run_until(lambda: cluster.members() == {frozenset({"n1"}), frozenset({"n2"})}, 10.0)
    cluster.network.heal()
    return dict(cluster.nodes)


def store_ids(cluster: Cluster) -> dict[str, str]:
    return {name: cluster.replica(name).me.store_id for name in cluster.nodes}


def test_the_lower_of_two_empty_clusters_dissolves_and_its_node_is_another_member(cluster: Cluster) -> None:
    """R20: the lower leader id goes into the higher if both are empty."""
    two_clusters_that_meet(cluster)
    before = store_ids(cluster)
    cluster.loop.run_until(lambda: cluster.nodes["n1"]._running is None, 10.0)
    cluster.loop.run_for(5.0)
    cluster.wait_for_members("n1", "n2")
    after = store_ids(cluster)
    assert (after["n2"], cluster.leader()) == (before["n2"], "n2")
    assert after["n1"] != before["n1"]


def test_a_node_that_begins_anew_is_ready_only_once(cluster: Cluster) -> None:
    nodes = two_clusters_that_meet(cluster)
    assert cluster.loop.run_until(lambda: nodes["n1"]._ready, 1.0)
    again: list[str] = []
    nodes["n1"].on_ready = lambda: again.append("n1")
    cluster.loop.run_for(5.0)
    cluster.wait_for_members("n1", "n2")
    assert again == []


def test_a_stop_while_a_node_begins_anew_ends_it(cluster: Cluster) -> None:
    nodes = two_clusters_that_meet(cluster)
    assert cluster.loop.run_until(lambda: nodes["n1"]._running is None, 10.0)
    nodes["n1"].stop()
    cluster.loop.run_for(1.0)
    assert cluster.stopped == {"n1": (0, "")}


# --- what the state folder remembers (Q10) ---


def test_every_member_remembers_how_many_there_were(cluster: Cluster) -> None:
    cluster.form("n1", "n2", "n3")
    assert cluster.loop.run_until(lambda: remembered(cluster) == {"n1": 3, "n2": 3, "n3": 3}, 1.0)


def test_a_clean_leave_is_forgotten_by_the_leaver_and_remembered_by_the_others(cluster: Cluster) -> None:
    cluster.form("n1", "n2", "n3")
    cluster.stop("n1")
    cluster.loop.run_for(3.0)
    cluster.wait_for_members("n2", "n3")
    assert remembered(cluster) == {"n1": 0, "n2": 2, "n3": 2}


def test_a_node_that_restarts_empty_and_alone_takes_no_records_and_says_for_whom_it_waits(cluster: Cluster) -> None:
    """Q10: a node that restarts empty behind a partition founds nothing that sequences."""
    cluster._memories["n1"] = memory = PretendMemory()
    memory.remember(3)
    start_one(cluster)
    producer = cluster.producer()
    producer.send("logs", [b"one"])
    cluster.loop.run_for(10.0)
    assert producer.acknowledged == {}
    assert cluster.replica("n1").history.end == 0
    said = "waiting for 2 of 3 expected nodes (setting expected_nodes), so far: n1"
    assert answer_of(cluster, "n1", CreateTopic("logs", 1)) == TopicResponse(ErrorCode.RETRY, said)
    assert memory.size() == 3  # its view of one must not lower the floor


def test_a_node_that_restarts_empty_takes_records_once_enough_of_the_remembered_nodes_are_back(
    cluster: Cluster,
) -> None:
    for name in ("n1", "n2"):
        cluster._memories[name] = PretendMemory()
        cluster._memories[name].remember(3)
    cluster.form("n1", "n2")
    producer = cluster.producer()
    producer.send("logs", [b"one"])
    assert cluster.loop.run_until(lambda: b"one" in producer.acknowledged, 10.0)


def answer_of(cluster: Cluster, name: str, request: ClientRequest) -> Any:
    """What a node answers to a client."""
    answers: list[Any] = []
    connection = cluster.network.connect(
        cluster.nodes[name].settings.node.address, lambda _, said: answers.append(said)
    )
    assert connection is not None
    connection.ask(1, request)
    assert cluster.loop.run_until(lambda: bool(answers), 5.0)
    return answers[0]


def remembered(cluster: Cluster) -> dict[str, int]:
    return {name: memory.size() for name, memory in sorted(cluster._memories.items())}


# --- order, on the real loop ---


def settings(name: str) -> Settings:
    node = NodeSettings(name=name, address="127.0.0.1:8001", memory_max=1 << 20)
    return Settings(shared=SharedSettings(discovery_s=0.01), node=node, state_folder=Path("/nowhere"))


class Deaf(NodeActor):
    """A transport that reaches nobody."""

    def __init__(self, scheduler: Scheduler, seat: Seat) -> None:
        super().__init__(scheduler)
        self._seat = seat

    @property
    def name(self) -> str:
        return self._seat

    def on_receive(self, message: Any) -> None:
        """Nobody hears it."""


class DeafStack:
    """Transports of a node that is alone."""

    receive_buffer = 1 << 20

    def start(
        self,
        scheduler: Scheduler,
        me: Member,
        deliver: Callable[[Received], None],
        announce: Callable[[object], None],
    ) -> tuple[SafeRef[Any], SafeRef[Any], SafeRef[Any]]:
        tcp, multicast, broadcast = (
            SafeRef[Any](Deaf.start(scheduler, seat)) for seat in (Seat.TCP, Seat.MULTICAST, Seat.BROADCAST)
        )
        return tcp, multicast, broadcast


@pytest.fixture
def real_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_actors_start_in_the_order_of_the_map_and_stop_in_reverse(
    real_loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    story: list[tuple[str, str]] = []
    begin, end = NodeActor._begin, NodeActor._end

    def beginning(self: NodeActor) -> None:
        story.append(("start", self.name))
        begin(self)

    def ending(self: NodeActor) -> None:
        story.append(("stop", self.name))
        end(self)

    monkeypatch.setattr(NodeActor, "_begin", beginning)
    monkeypatch.setattr(NodeActor, "_end", ending)
    node = Node(settings("n1"), Surroundings(real_loop, DeafStack, PretendMemory(), random.Random(1)))
    stopped: list[tuple[int, str]] = []

    def calm_down() -> None:  # an actor that has a turn to come anyway would use it to stop
        real_loop.call_later(0.02, node.stop)

    node.on_ready = calm_down
    node.on_stopped = lambda exit_code, reason: stopped.append((exit_code, reason))
    node.start()
    assert story == []  # none runs before all are there
    World(real_loop, 64).until(lambda: stopped)
    assert stopped == [(0, "")]
    seats = [seat.value for seat in Seat]
    assert [name for what, name in story if what == "start"] == seats
    assert [name for what, name in story if what == "stop"] == seats[::-1]
