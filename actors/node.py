"""Node: one mesh of actors in one process: constructs, wires, watches and stops it.

    bind sockets -> construct all -> wire -> ping -> (discovery, learning) -> ready -> ... -> leave -> stopped

Everything that makes one node different from another comes in through the door: settings, the loop,
the transports, the dice, what the state folder remembers. So the simulator builds the same node on a
pretended loop and network.

An actor that fails ends the node: crash-stop is what the protocol assumes of a broken member. A node
whose empty cluster dissolved into another one begins anew in the same process, with another store_id
(R20).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from loguru import logger

from actors.caretaker import Caretaker, Dump, Hooks, Leave, Ping
from actors.client_gateway import ClientGateway
from actors.discovery import Discovery
from actors.elector import Elector
from actors.failure_detector import FailureDetector
from actors.heartbeat_sender import HeartbeatSender
from actors.host import Mesh
from actors.mesh import Seat
from actors.replica import Replica
from actors.stream_assigner import StreamAssigner
from actors.topics import Topics
from actors.view_manager import ViewManager
from logstream import state
from logstream.core.discovery import Discovery as DiscoveryCore
from logstream.core.election import Elections, ElectionSettings
from logstream.core.events import Received
from logstream.core.failure_detector import FailureDetector as FailureDetectorCore
from logstream.core.gateway.gateway import Gateway, GatewaySettings
from logstream.core.heartbeat_sender import HeartbeatSender as HeartbeatCore
from logstream.core.phi import PhiSettings
from logstream.core.quorum import floor_of
from logstream.core.replica.leadership import Limits, ReplicaSettings
from logstream.core.replica.replica import Replica as ReplicaCore
from logstream.core.replica.retention import Keep
from logstream.core.replica.storing import Disk, Recovered, recover
from logstream.core.replica.vocabulary import ViewInstalled
from logstream.core.stream_assigner import StreamAssigner as AssignerCore
from logstream.core.topics import Topics as TopicsCore
from logstream.core.view_change import ViewChange
from logstream.core.view_vocabulary import ChangeSettings, Left
from logstream.protocol.identity import Member
from logstream.protocol.retention import TopicRetention
from logstream.runtime import Loop, SafeRef, Scheduled, Scheduler
from logstream.settings import Settings
from transport.stack import Stack, StackSettings

TURN = 64  # messages that one actor may handle before others get their turn
STUCK_S = 1.0  # how long a stopping node waits for its actors


class Transports(Protocol):
    """The sockets of a node, real or pretended, until actors take them over."""

    @property
    def receive_buffer(self) -> int:
        """Bytes of datagrams that may be under way to this node without loss."""
        ...

    def start(
        self,
        scheduler: Scheduler,
        me: Member,
        deliver: Callable[[Received], None],
        announce: Callable[[object], None],
    ) -> tuple[SafeRef[Any], SafeRef[Any], SafeRef[Any]]:
        """Start the transports for TCP, multicast and broadcast."""
        ...


class Memory(Protocol):
    """What the state folder remembers of a node's cluster (Q10)."""

    def remember(self, size: int) -> None:
        """Keep how many members the view has."""
        ...

    def size(self) -> int:
        """Members of the last view; 0 if there was none, or the node left cleanly."""
        ...

    def forget(self) -> None:
        """After a clean leave nobody is waited for."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything about a node that a simulator pretends."""

    loop: Loop
    open_transports: Callable[[], Transports]
    memory: Memory
    dice: random.Random
    turn: int = TURN
    stopwatch: Callable[[], float] = time.perf_counter
    wall_clock: Callable[[], float] = time.time  # seconds since 1970
    observe: Callable[[Scheduled, Any], None] | None = None
    disk: Disk | None = None  # None: the node keeps everything in memory, and is another member after a restart


@dataclass(slots=True)
class _Mesh:
    """One incarnation of the node's actors."""

    mesh: Mesh
    scheduler: Scheduler
    refs: dict[Seat, SafeRef[Any]] = field(default_factory=dict)


class Node:
    """One broker. `on_ready` and `on_stopped` are called on the loop's thread."""

    on_ready: Callable[[], None]
    on_stopped: Callable[[int, str], None]

    def __init__(self, settings: Settings, surroundings: Surroundings) -> None:
        self.settings = settings
        self.on_ready = lambda: None
        self.on_stopped = lambda exit_code, reason: None
        self._around = surroundings
        self._running: _Mesh | None = None
        self._remembered = surroundings.memory.size()
        self._was_large_enough = False  # a view has met the floor, so that smaller ones may be remembered (Q10)
        self._ready = self._stopping = False
        self._log = logger.bind(node=settings.node.name, actor="node")

    # --- life ---

    def start(self) -> None:
        """Bind and start. Raises OSError or ValueError, with what is wrong, before any actor runs."""
        transports = self._around.open_transports()
        disk = self._around.disk
        found = disk.recovered() if disk is not None else None
        store_id = found.store_id if found is not None else f"{self._around.dice.getrandbits(64):016x}"
        if disk is not None and found is None:
            disk.begin(store_id)
        me = Member(self.settings.node.name, store_id, self.settings.node.address)
        loop = self._around.loop
        mesh = Mesh(me, loop.time, self._halt)
        around = self._around
        pause_s = self.settings.shared.heartbeat_s
        scheduler = Scheduler(loop, around.turn, around.stopwatch, self._actor_failed, around.observe, pause_s)
        self._running = _Mesh(mesh, scheduler)
        self._running.refs = self._construct(mesh, scheduler, transports, found)
        mesh.wire(dict(self._running.refs))
        self._running.refs[Seat.CARETAKER].tell(Ping())

    def stop(self) -> None:
        """Leave the cluster cleanly, then stop; `on_stopped` is called when that is done."""
        if self._stopping:
            return
        self._stopping = True
        self._log.info("stopping")
        if self._running is not None:  # else it is beginning anew, and ends there
            self._running.refs[Seat.CARETAKER].tell(Leave())

    def dump(self) -> None:
        """Write what every actor is doing to the log."""
        if self._running is not None:
            self._running.refs[Seat.CARETAKER].tell(Dump())

    @property
    def running(self) -> bool:
        """Are its actors there? Not before the start, after the stop, and between two incarnations."""
        return self._running is not None

    def actor(self, seat: Seat) -> Scheduled:
        """The running actor in this seat; for checkers, which look inside. Raises KeyError if there is none."""
        if self._running is None:
            raise KeyError(seat)
        return next(actor for actor in self._running.scheduler.actors if actor.name == seat)

    # --- construction ---

    def _construct(
        self, mesh: Mesh, scheduler: Scheduler, transports: Transports, found: Recovered | None
    ) -> dict[Seat, SafeRef[Any]]:
        """All actors, in starting order. None of them runs before this turn of the loop is over."""
        shared, me = self.settings.shared, mesh.me
        caretaker = Caretaker.start(scheduler, mesh, shared.cluster, self._hooks())
        refs: dict[Seat, SafeRef[Any]] = {Seat.CARETAKER: SafeRef(caretaker)}
        replica = ReplicaCore(me, self._replica_settings(transports.receive_buffer))
        if found is not None:
            recover(replica, found)
        change = ViewChange(me, self._change_settings(), self._around.dice)
        detector = FailureDetectorCore(me, self._phi_settings())
        elections = Elections(me, ElectionSettings(shared.probe_s, shared.promise_s), self._around.dice)
        discovery = DiscoveryCore(me, shared.agreement(), shared.discovery_s, shared.heartbeat_s, self._expected_nodes)
        refs[Seat.REPLICA] = SafeRef(Replica.start(scheduler, mesh, replica, self._around.disk))
        refs[Seat.VIEW_MANAGER] = SafeRef(ViewManager.start(scheduler, mesh, change))
        refs[Seat.TOPICS] = SafeRef(Topics.start(scheduler, mesh, TopicsCore()))
        refs[Seat.STREAM_ASSIGNER] = SafeRef(StreamAssigner.start(scheduler, mesh, AssignerCore()))
        refs[Seat.CLIENT_GATEWAY] = SafeRef(ClientGateway.start(scheduler, mesh, Gateway(me, self._gateway_settings())))
        refs[Seat.ELECTOR] = SafeRef(Elector.start(scheduler, mesh, elections))
        refs[Seat.FAILURE_DETECTOR] = SafeRef(FailureDetector.start(scheduler, mesh, detector))
        refs[Seat.HEARTBEAT_SENDER] = SafeRef(HeartbeatSender.start(scheduler, mesh, HeartbeatCore(shared.heartbeat_s)))
        tcp, multicast, broadcast = transports.start(scheduler, me, mesh.deliver, mesh.announce)
        refs |= {Seat.TCP: tcp, Seat.MULTICAST: multicast, Seat.BROADCAST: broadcast}
        refs[Seat.DISCOVERY] = SafeRef(Discovery.start(scheduler, mesh, discovery))
        return refs

    def _hooks(self) -> Hooks:
        return Hooks(self._pinged, self._view_installed, self._left, self._begin_anew)

    def _expected_nodes(self) -> int:
        """Q10: as set, or as the state folder remembers, or one."""
        return self.settings.shared.expected_nodes or self._remembered or 1

    def _replica_settings(self, receive_buffer: int) -> ReplicaSettings:
        shared, node = self.settings.shared, self.settings.node
        keep = Keep(shared.retention_bytes, shared.retention_records, shared.retention_s, self._around.wall_clock)
        lease_s, present_s = shared.effective_lease_s, 2 * shared.heartbeat_s
        limits = Limits(node.memory_max, lease_s, shared.slow_s, self._expected_nodes, present_s, keep)
        return ReplicaSettings(limits, shared.heartbeat_s, node.nack_s, receive_buffer)

    def _phi_settings(self) -> PhiSettings:
        shared = self.settings.shared
        return PhiSettings(
            shared.heartbeat_s,
            shared.deviation_floor_s,
            shared.acceptable_pause_s,
            shared.phi_suspect,
            shared.phi_fail,
            shared.failure_timeout_s,
        )

    def _change_settings(self) -> ChangeSettings:
        shared = self.settings.shared
        return ChangeSettings(
            shared.commit,
            self._expected_nodes,
            shared.collect_s,
            shared.install_repeat_s,
            shared.promise_s,
            shared.leave_s,
            durable=self._around.disk is not None,
        )

    def _gateway_settings(self) -> GatewaySettings:
        shared = self.settings.shared
        retention = TopicRetention(shared.retention_bytes, shared.retention_records, shared.retention_s)
        return GatewaySettings(
            shared.record_max,
            self.settings.node.credit,
            shared.auto_create,
            shared.default_partitions,
            retention,
            self._around.dice.getrandbits(48),
        )

    # --- watching ---

    def _pinged(self, silent: list[str]) -> None:
        if silent:
            self._halt(f"these actors did not start: {', '.join(silent)}")

    def _view_installed(self, event: ViewInstalled) -> None:
        size = len(event.view.members)
        self._was_large_enough |= size >= floor_of(self._expected_nodes())
        if self._was_large_enough:
            self._around.memory.remember(size)
        if not self._ready:
            self._ready = True
            self._around.loop.call_soon(self.on_ready)  # not within an actor's turn: it may take its time

    def _actor_failed(self, actor: Scheduled, error: BaseException) -> None:
        self._log.bind(failed=actor.name).opt(exception=error).error("an actor failed")
        self._halt(f"{actor.name} failed: {error}")

    def _halt(self, reason: str) -> None:
        """This node must not go on: no leaving, no waiting."""
        self._log.bind(reason=reason).error("halted")
        self._end(1, reason)

    # --- stopping ---

    def _left(self, event: Left) -> None:
        if event.handed_over:
            self._around.memory.forget()
        self._log.info("left the cluster" if event.handed_over else "stopped, still a member")
        self._end(0, "")

    def _begin_anew(self) -> None:
        """This member is no more: the same process goes on as another one."""
        disk = self._around.disk
        if disk is not None:
            disk.begin("")  # from now on nobody may find the old one
        if self._stopping:
            return self._end(0, "") if disk is not None else None
        self._log.info("beginning anew with another store")
        self._stop_actors(self._start_again)

    def _start_again(self) -> None:
        if self._stopping:
            self.on_stopped(0, "")
            return
        try:
            self.start()
        except OSError as error:
            self.on_stopped(1, f"cannot listen again: {error}")

    def _end(self, exit_code: int, reason: str) -> None:
        self._stopping = True
        self._stop_actors(lambda: self.on_stopped(exit_code, reason))

    def _stop_actors(self, then: Callable[[], object]) -> None:
        """Stop all actors, and go on when what they wrote has left."""
        running, self._running = self._running, None
        if running is not None:  # outside of the turn of the actor that brought the news, or it would stop first
            self._around.loop.call_soon(self._tell_to_stop, running.scheduler, then)

    def _tell_to_stop(self, scheduler: Scheduler, then: Callable[[], object]) -> None:
        """The last started first; all at once, because a leaver that goes on talking may be taken for a joiner."""
        for actor in reversed(list(scheduler.actors)):
            SafeRef[Any](actor.actor_ref).stop()
        self._when_gone(scheduler, then, self._around.loop.time() + STUCK_S)

    def _when_gone(self, scheduler: Scheduler, then: Callable[[], object], deadline: float) -> None:
        """An actor that never started never stops; nobody waits for it for ever."""
        if scheduler.actors and self._around.loop.time() < deadline:
            self._around.loop.call_later(0.005, self._when_gone, scheduler, then, deadline)
        else:
            self._around.loop.call_later(0.02, then)  # TCP writes out its last words


class StateFolder:
    """Memory in the state folder."""

    def __init__(self, settings: Settings) -> None:
        self._where = (settings.state_folder, settings.shared.cluster, settings.node.name)

    def remember(self, size: int) -> None:
        """Keep how many members the view has."""
        state.remember_view(*self._where, size)

    def size(self) -> int:
        """Members of the last view; 0 if there was none, or the node left cleanly."""
        return state.remembered_size(*self._where)

    def forget(self) -> None:
        """After a clean leave nobody is waited for."""
        state.forget_view(*self._where)


def node_on_this_machine(settings: Settings, loop: asyncio.AbstractEventLoop) -> Node:
    """A node with real sockets, real time and the real state folder."""

    def open_transports() -> Transports:
        return Stack(StackSettings.of(settings))

    return Node(settings, Surroundings(loop, open_transports, StateFolder(settings), random.Random()))
