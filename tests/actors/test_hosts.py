"""CoreActor: what all hosts of cores do, and the two that tell topic logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest

from actors.client_gateway import ClientGateway
from actors.host import CoreActor
from actors.mesh import LOCAL, Seat
from actors.replica import Replica
from actors.topic_log import TopicLog
from actors.wiring import ForTopicLog, TopicRefs, TopicUnwired, TopicWired
from logstream.core import effects as do
from logstream.core.events import Due, LinkDown, Received, Session
from logstream.core.gateway.gateway import Gateway, GatewaySettings
from logstream.core.replica.leadership import Limits, ReplicaSettings
from logstream.core.replica.promise import Votes
from logstream.core.replica.replica import Replica as ReplicaCore
from logstream.core.replica.storing import Change, Recovered
from logstream.core.replica.vocabulary import Committed, DropIdentity, IdentityDropped
from logstream.core.topic_log import CancelRead, Read, ReadDone
from logstream.core.topics import Topic, TopicOpened
from logstream.protocol.errors import LocalProtocolError, RemoteProtocolError
from logstream.protocol.identity import Epoch
from logstream.protocol.messages import Leave, Metadata, StateExchange, StatusResponse
from logstream.runtime import SafeRef
from tests.actors.conftest import World
from tests.actors.pretend_mesh import ME, N2, PretendMesh

TOPIC = Topic(7, "logs", 2)


class ScriptedCore:
    """Returns what it is told to return, raises what it is told to raise, and remembers the rest."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def handle(self, event: Any) -> list[do.Effect]:
        if isinstance(event, BaseException):
            raise event
        if isinstance(event, list):
            return event
        self.heard.append(event)
        return []


class Host(CoreActor):
    seat = Seat.STREAM_ASSIGNER
    core: ScriptedCore


@pytest.fixture
def node(world: World) -> PretendMesh:
    return PretendMesh(world)


@pytest.fixture
def core() -> ScriptedCore:
    return ScriptedCore()


# --- performing ---


def test_effects_are_done_in_the_order_in_which_the_core_names_them(
    world: World, node: PretendMesh, core: ScriptedCore
) -> None:
    effects: list[do.Effect] = [
        do.Send(N2, Leave()),
        do.Multicast(Leave()),
        do.Announce(down := LinkDown(N2, False, 0.0)),
        do.Reply(Session(1), 2, StatusResponse("{}")),
        do.Broadcast(Leave()),
        do.Forward(N2, 3, Metadata(())),
        do.Unicast("127.0.0.1:1", Leave()),
    ]
    Host.start(world.scheduler, node.mesh, core).tell(effects)
    world.settle()
    assert node.book == [
        (Seat.TCP, effects[0]),
        (Seat.MULTICAST, effects[1]),
        *((seat, down) for seat in LOCAL[LinkDown]),
        (Seat.TCP, effects[3]),
        (Seat.BROADCAST, effects[4]),
        (Seat.TCP, effects[5]),
        (Seat.BROADCAST, effects[6]),
    ]


def test_timers_of_the_core_come_back_to_it_unless_cancelled(
    world: World, node: PretendMesh, core: ScriptedCore
) -> None:
    timers: list[do.Effect] = [do.SetTimer("a", 0.0), do.SetTimer("b", 0.0), do.CancelTimer("a")]
    Host.start(world.scheduler, node.mesh, core).tell(timers)
    world.settle()
    assert [heard.timer for heard in core.heard if isinstance(heard, Due)] == ["b"]


def test_a_halt_reaches_the_node_with_its_reason(world: World, node: PretendMesh, core: ScriptedCore) -> None:
    Host.start(world.scheduler, node.mesh, core).tell([do.Halt("the reason")])
    world.settle()
    assert node.halted == ["the reason"]


def test_a_note_is_a_line_of_the_log(world: World, node: PretendMesh, core: ScriptedCore, logged: list[str]) -> None:
    notes: list[do.Effect] = [do.Note("all is well", {"number": 1}), do.Note("look here", warning=True)]
    Host.start(world.scheduler, node.mesh, core).tell(notes)
    world.settle()
    assert logged == ["INFO all is well number=1", "WARNING look here"]


def test_every_kind_of_effect_leaves_a_trace(
    world: World, node: PretendMesh, core: ScriptedCore, logged: list[str]
) -> None:
    """A new kind that the host forgets would be dropped in silence."""
    ref = Host.start(world.scheduler, node.mesh, core)
    silent = []
    for kind in set(get_args(do.Effect)) - {do.CancelTimer}:
        for trace in (node.book, node.halted, logged, core.heard):
            trace.clear()
        ref.tell([EXAMPLES[kind]])
        world.settle()
        if not (node.book or node.halted or logged or core.heard):
            silent.append(kind.__name__)
    assert silent == []


EXAMPLES: dict[type, do.Effect] = {
    type(effect): effect
    for effect in (
        do.Send(N2, Leave()),
        do.Forward(N2, 1, Metadata(())),
        do.Reply(Session(1), 1, StatusResponse("{}")),
        do.Multicast(Leave()),
        do.Broadcast(Leave()),
        do.Unicast("127.0.0.1:1", Leave()),
        do.SetTimer("t", 0.0),
        do.Announce(LinkDown(N2, False, 0.0)),
        do.Halt("reason"),
        do.Note("text"),
    )
}


# --- refusing and failing ---


def test_what_a_peer_may_not_say_is_counted_and_changes_nothing(
    world: World, node: PretendMesh, core: ScriptedCore
) -> None:
    ref = Host.start(world.scheduler, node.mesh, core)
    (host,) = world.scheduler.actors
    ref.tell(RemoteProtocolError("bad"))
    ref.tell("next")
    world.settle()
    assert (core.heard, host.report(), node.book) == (["next"], {"refused": 1}, [])


def test_refusals_are_logged_at_most_once_a_second(
    world: World, node: PretendMesh, core: ScriptedCore, logged: list[str]
) -> None:
    ref = Host.start(world.scheduler, node.mesh, core)
    for _ in range(100):
        ref.tell(RemoteProtocolError("bad"))
    world.settle()
    assert logged == ["WARNING refused error=bad"]
    assert [host.report() for host in world.scheduler.actors] == [{"refused": 100}]


def test_a_rule_of_our_own_that_is_broken_ends_the_actor_and_the_node_hears_of_it(
    world: World, node: PretendMesh, core: ScriptedCore
) -> None:
    world.expects_failures = True
    Host.start(world.scheduler, node.mesh, core).tell(error := LocalProtocolError("ours"))
    world.settle()
    assert [reported for _, reported in world.failures] == [error]


# --- topic logs ---


class Log:
    """A topic log that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def tell(self, message: Any) -> None:
        self.told.append(message)


def committed(topic_id: int = 7, partition: int = 0) -> Committed:
    return Committed(topic_id, partition, ())


def test_what_comes_before_the_wiring_waits_and_keeps_its_order() -> None:
    refs, logs = TopicRefs(), (Log(), Log())
    early: list[ForTopicLog] = [committed(), committed(partition=1), Read((1, 0), 7, 0, 0, 100, wait=True)]
    for message in early:
        refs.tell(message)
    assert not refs.knows(7, 0)
    refs.wired(TopicWired(TOPIC, logs))
    refs.tell(late := CancelRead((1, 0), 7, 0))
    assert logs[0].told == [early[0], early[2], late]
    assert logs[1].told == [early[1]]
    assert refs.knows(7, 1)


def test_what_is_meant_for_a_topic_that_is_gone_is_dropped() -> None:
    refs, log = TopicRefs(), Log()
    refs.wired(TopicWired(TOPIC, (log, log)))
    refs.unwired(TopicUnwired(TOPIC, ()))
    refs.tell(committed())
    assert log.told == [] and not refs.knows(7, 0)
    assert refs._early == {}


def test_a_topic_made_again_under_its_name_is_another_topic() -> None:
    refs, old, new = TopicRefs(), Log(), Log()
    refs.wired(TopicWired(TOPIC, (old, old)))
    refs.unwired(TopicUnwired(TOPIC, ()))
    refs.wired(TopicWired(Topic(9, "logs", 1), (new,)))
    refs.tell(committed(topic_id=9))
    assert (old.told, new.told) == ([], [committed(topic_id=9)])


def test_the_replica_tells_committed_batches_to_their_partitions_log_alone(
    world: World, node: PretendMesh, core: ScriptedCore
) -> None:
    logs = (Log(), Log())
    ref = Replica.start(world.scheduler, node.mesh, core)
    for message in (TopicWired(TOPIC, logs), [do.Announce(committed(partition=1))], TopicUnwired(TOPIC, ())):
        ref.tell(message)
    world.settle()
    assert (logs[0].told, logs[1].told) == ([], [committed(partition=1)])
    assert core.heard == [] and node.book == []  # the wiring is the host's matter, and nobody else hears of batches


class Disk:
    """Writes nothing down for good, but knows what it was given."""

    def __init__(self) -> None:
        self.written: list[Change] = []

    def recovered(self) -> Recovered | None:
        return None

    def begin(self, store_id: str) -> None:
        self.written.clear()

    def write(self, change: Change, done: Callable[[], object]) -> None:
        self.written.append(change)


def test_a_member_that_is_no_more_writes_and_says_nothing(world: World, node: PretendMesh) -> None:
    """What is in its inbox yet would be found in the store of the next one."""
    disk, limits = Disk(), Limits(1 << 20, 2.5, 1.0, lambda: 1)
    ref = Replica.start(world.scheduler, node.mesh, ReplicaCore(ME, ReplicaSettings(limits)), disk)
    ref.tell(Received(StateExchange(Epoch.of(1, N2), None), N2, 0.0))
    world.settle()
    assert [type(one) for one in disk.written] == [Votes]
    said = node.told(Seat.TCP)
    ref.tell(DropIdentity())
    ref.tell(Received(StateExchange(Epoch.of(2, N2), None), N2, 0.0))
    world.settle()
    assert node.told(Seat.TCP) == said
    assert node.told(Seat.CARETAKER)[-1] == IdentityDropped()
    assert [type(one) for one in disk.written] == [Votes]


@pytest.fixture
def gateway(world: World, node: PretendMesh) -> Any:
    core = Gateway(ME, GatewaySettings(record_max=1000, credit=1000, auto_create=True, default_partitions=1))
    return ClientGateway.start(world.scheduler, node.mesh, core)


def test_a_topic_is_there_for_clients_once_its_logs_are_wired(world: World, gateway: Any) -> None:
    (host,) = world.scheduler.actors
    assert isinstance(host, ClientGateway)
    gateway.tell(TopicWired(TOPIC, (Log(), Log())))
    world.settle()
    assert list(host.core.catalog.by_name.values()) == [TOPIC]


def test_a_topic_that_comes_and_goes_in_one_turn_is_gone_for_clients(world: World, gateway: Any) -> None:
    """A node that joins applies both decisions at once; the end must not overtake the beginning."""
    (host,) = world.scheduler.actors
    assert isinstance(host, ClientGateway)
    gateway.tell(TopicWired(TOPIC, (Log(), Log())))
    gateway.tell(TopicUnwired(TOPIC, ()))
    world.settle()
    assert host.core.catalog.by_name == {}


def test_a_read_of_a_topic_that_has_just_gone_finds_nothing(
    world: World, node: PretendMesh, core: ScriptedCore
) -> None:
    ref = ClientGateway.start(world.scheduler, node.mesh, core)
    ref.tell([do.Announce(Read((1, 0), 7, 0, 0, 100, wait=True)), do.Announce(CancelRead((1, 0), 7, 0))])
    world.settle()
    assert core.heard == [ReadDone((1, 0), 0, 0, ())]


def test_what_the_log_of_a_deleted_topic_was_asked_before_it_answers_before_it_stops(
    world: World, node: PretendMesh, core: ScriptedCore
) -> None:
    ref = ClientGateway.start(world.scheduler, node.mesh, core)
    log = SafeRef[Any](TopicLog.start(world.scheduler, node.mesh, 7, 0))
    ref.tell(TopicWired(topic := Topic(7, "logs", 1), (log,)))
    ref.tell([do.Announce(Read((1, 0), 7, 0, 0, 100, wait=False))])
    ref.tell(TopicUnwired(topic, (log,)))
    world.settle()
    assert node.told(Seat.CLIENT_GATEWAY) == [ReadDone((1, 0), 0, 0, ())]
    assert [actor.name for actor in world.scheduler.actors] == [Seat.CLIENT_GATEWAY]


def test_reads_go_to_their_partitions_log_and_other_events_to_the_mesh(
    world: World, node: PretendMesh, core: ScriptedCore
) -> None:
    logs = (Log(), Log())
    ref = ClientGateway.start(world.scheduler, node.mesh, core)
    ref.tell(TopicWired(TOPIC, logs))
    read = Read((1, 0), 7, 1, 0, 100, wait=False)
    ref.tell([do.Announce(read), do.Announce(LinkDown(N2, True, 0.0))])
    world.settle()
    assert (logs[0].told, logs[1].told) == ([], [read])
    assert core.heard == [TopicOpened(TOPIC)]
    assert [seat for seat, _ in node.book] == [*LOCAL[LinkDown]]
