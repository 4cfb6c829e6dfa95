"""Transports on real loopback sockets and a real loop, with a pretended mesh that collects what they deliver.

A test is a coroutine and runs on both loops that a node may have. Waiting is `await until(condition)`.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import socket
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
import uvloop

from logstream.core.events import LinkDown, LinkUp, Received
from logstream.protocol import codec
from logstream.protocol.envelope import Envelope
from logstream.protocol.framing import FrameReader
from logstream.protocol.identity import Member
from logstream.protocol.messages import Link, Message
from logstream.runtime import NodeActor, Scheduler
from transport.tcp import Tcp, TcpSettings, bind

T = TypeVar("T")
DEADLINE_S = 10.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test on the loop of its fixtures."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    story = asyncio.wait_for(pyfuncitem.obj(**arguments), 3 * DEADLINE_S)
    loop = pyfuncitem.funcargs["loop"]
    assert isinstance(loop, asyncio.AbstractEventLoop)
    loop.run_until_complete(story)
    return True


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    made = uvloop.new_event_loop() if request.param == "uvloop" else asyncio.new_event_loop()
    troubles: list[dict[str, Any]] = []
    made.set_exception_handler(lambda _, context: troubles.append(context))
    yield made
    made.run_until_complete(made.shutdown_asyncgens())
    made.close()
    assert troubles == []


@pytest.fixture
def network(loop: asyncio.AbstractEventLoop) -> Iterator[Network]:
    made = Network(loop)
    yield made
    loop.run_until_complete(made.stop())


async def until(condition: Callable[[], object], within_s: float = DEADLINE_S) -> None:
    """Wait for a condition, looking again every millisecond."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while not condition():
        assert loop.time() < deadline, f"not within {within_s} s: {inspect.getsource(condition).strip()}"
        moment = loop.create_future()
        loop.call_later(0.001, moment.set_result, None)
        await moment


class Ears:
    """What the mesh would hear of one transport."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.announced: list[Any] = []

    @property
    def messages(self) -> list[Message]:
        return [received.message for received in self.received]

    def ups(self) -> list[Member]:
        return [event.member for event in self.announced if isinstance(event, LinkUp)]

    def downs(self, refused: bool) -> list[Member]:
        return [event.member for event in self.announced if isinstance(event, LinkDown) and event.refused == refused]


class Hosted(Ears):
    """One transport actor with its ears."""

    def __init__(self, network: Network, member: Member) -> None:
        super().__init__()
        self.network, self.member = network, member
        self.actor: Any = None

    def start(self, kind: type[NodeActor], *arguments: Any) -> None:
        before = set(self.network.scheduler.actors)
        self.ref = kind.start(self.network.scheduler, *arguments)
        (self.actor,) = set(self.network.scheduler.actors) - before

    def tell(self, message: object) -> None:
        self.ref.tell(message)

    def facts(self) -> dict[str, Any]:
        report: dict[str, Any] = self.actor.report()
        return report

    async def stop(self) -> None:
        self.ref.stop(block=False)
        await until(lambda: not self.ref.is_alive() and self.actor not in self.network.scheduler.actors)


class Network:
    """Some nodes' transports on one loop."""

    until = staticmethod(until)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.failures: list[tuple[NodeActor, BaseException]] = []
        self.scheduler = Scheduler(loop, 64, loop.time, lambda actor, error: self.failures.append((actor, error)))
        self.hosted: list[Hosted] = []
        self.clients: list[Caller] = []
        self.dice = random.Random()

    def host(self, member: Member, kind: type[NodeActor], *arguments: Any, announces: bool = False) -> Hosted:
        """Start a transport actor of any kind; the last argument is its sockets."""
        *settings, sockets = arguments
        hosted = Hosted(self, member)
        ears = [hosted.received.append, hosted.announced.append] if announces else [hosted.received.append]
        hosted.start(kind, *settings, member, *ears, sockets)
        self.hosted.append(hosted)
        return hosted

    def tcp(self, node_id: str, store_id: str = "s1", address: str = "127.0.0.1:0", **settings: Any) -> Hosted:
        """Start a Tcp actor."""
        listener = bind(address)
        member = Member(node_id, store_id, _name_of(listener))
        chosen = TcpSettings(**{"cluster": "test", **settings})
        return self.host(member, Tcp, chosen, listener, announces=True)

    def nobody(self, node_id: str) -> Member:
        """A member at an address where nobody listens."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return Member(node_id, "s1", _name_of(probe))

    async def call(self, address: str) -> Caller:
        """Connect as whoever the test wants to be."""
        return self.caller(*await asyncio.open_connection(*address.split(":")))

    def caller(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Caller:
        """The test's end of a connection; it is closed after the test."""
        made = Caller(reader, writer)
        self.clients.append(made)
        return made

    async def stop(self) -> None:
        for client in self.clients:
            client.writer.transport.abort()
        for hosted in self.hosted:
            if hosted.ref.is_alive():
                await hosted.stop()
        await until(lambda: not any(getattr(hosted.actor, "_connections", ()) for hosted in self.hosted))
        assert self.failures == []


class Caller:
    """The other end of a connection, without any manners."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames = FrameReader(64 * 1024 * 1024)
        self._heard: list[Envelope] = []

    def say(self, message: Message, cluster: str = "test", **header: Any) -> None:
        self.writer.writelines(codec.encode(Envelope(message, cluster, **header)))

    def introduce(self, member: Member, cluster: str = "test", **header: Any) -> None:
        self.say(Link(member), cluster, sender=member, **header)

    async def hear(self) -> Envelope:
        while not self._heard:
            data = await asyncio.wait_for(self.reader.read(65_536), DEADLINE_S)
            assert data, "the other side closed"
            self._heard += self._frames.feed(data)
        return self._heard.pop(0)

    async def is_closed(self) -> bool:
        """Read to the end."""
        try:
            while await asyncio.wait_for(self.reader.read(65_536), DEADLINE_S):
                pass
        except ConnectionError:
            pass
        return True


def _name_of(sock: socket.socket) -> str:
    host, port = sock.getsockname()
    return f"{host}:{port}"
