"""Tcp: the listener, one link to each member, and the sessions of clients.
hears Send, Forward, Reply, IdentityChanged, ForgetMember   delivers Received
announces LinkUp, LinkDown, SessionClosed

The first frame says who connected: Link means a member, anything else a client. What arrives goes
to `deliver` straight from the loop's callback, on the thread that the actors run on. Frames that a
member or client may not send are counted; what is no frame at all closes its connection, and only
that one.

`bind` opens the listening socket before the actors start, so that an address in use is an error at
the door. When the actor stops, what was written still goes out if the loop runs on for a moment.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loguru import logger

from logstream.core.effects import Forward, Reply, Send
from logstream.core.events import LinkDown, LinkUp, Received, Session, SessionClosed
from logstream.protocol.envelope import Envelope
from logstream.protocol.errors import LocalProtocolError, RemoteProtocolError
from logstream.protocol.identity import Member
from logstream.protocol.messages import InvalidRequestResponse, Message
from logstream.protocol.messages import Link as LinkMessage
from logstream.runtime import NodeActor, Scheduler
from transport.identity import CLIENT_REQUESTS, OTHER_NAME, ForgetMember, Identity, IdentityChanged
from transport.interfaces import host_and_port
from transport.real_loop import real_loop
from transport.refusals import Refusals
from transport.tcp_connection import READ_MAX, Connection, Traffic
from transport.tcp_link import Link, LinkSettings

BACKLOG = 1_024


@dataclass(frozen=True, slots=True)
class TcpSettings:
    """Sizes in bytes."""

    cluster: str
    frame_max: int = 64 * 1024 * 1024
    session_unsent_max: int = 64 * 1024 * 1024  # a client that reads nothing is cut off beyond this
    link: LinkSettings = field(default_factory=LinkSettings)


def bind(address: str) -> socket.socket:
    """The listening socket of "IP:PORT".

    Raises OSError if the address is in use or not on this machine, ValueError if it is no address.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(host_and_port(address))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except (OSError, ValueError):
        listener.close()
        raise
    return listener


class Tcp(NodeActor):
    """All TCP connections of a node."""

    def __init__(
        self,
        scheduler: Scheduler,
        settings: TcpSettings,
        me: Member,
        deliver: Callable[[Received], None],
        announce: Callable[[object], None],
        listener: socket.socket,
    ) -> None:
        super().__init__(scheduler)
        self._settings, self._deliver, self._announce = settings, deliver, announce
        self._loop = real_loop(scheduler)
        self._listener = listener
        self._server: asyncio.Task[asyncio.Server] | None = None
        self._log = logger.bind(node=me.node_id, actor="tcp")
        self._identity = Identity(settings.cluster, me)
        self._links: dict[Member, Link] = {}
        self._sessions: dict[Session, Connection] = {}
        self._connections: set[Connection] = set()
        self._numbers = itertools.count(1)
        self._buffer = memoryview(bytearray(READ_MAX))
        self._traffic = Traffic()
        self._refusals = Refusals(self._log)
        self._dropped: Counter[str] = Counter()

    # --- the actor ---

    @property
    def name(self) -> str:
        """What `status` and the log call this actor."""
        return "tcp"

    def on_start(self) -> None:
        """Accept connections."""
        self._server = self._loop.create_task(self._loop.create_server(self._open, sock=self._listener))

    def on_stop(self) -> None:
        """Write out what is waiting and close everything."""
        if self._server is not None and self._server.done() and not self._server.cancelled():
            self._server.result().close()
        elif self._server is not None:
            self._server.cancel()
        self._listener.close()
        for link in self._links.values():
            link.close()
        for connection in list(self._connections):
            connection.close()

    def on_failure(self, *_: object) -> None:
        """Leave no socket open behind a failed actor."""
        self.on_stop()

    def on_receive(self, message: Any) -> None:
        """Effects of the cores, and changes of who we are."""
        match message:
            case Send(to, said):
                self._send(to, said, 0)
            case Forward(to, correlation, request):
                self._send(to, request, correlation)
            case Reply(Session() as session, correlation, answer):
                self._reply(session, answer, correlation)
            case Reply(Member() as broker, correlation, answer):
                self._send(broker, answer, correlation)
            case IdentityChanged():
                self._change_identity(message)
            case ForgetMember(member):
                self._forget(member)
            case _:
                raise LocalProtocolError(f"Tcp does not know what to do with {message!r}")

    def report(self) -> dict[str, Any]:
        """Sessions, links by node, refusals and drops by reason, bytes."""
        return {
            "sessions": len(self._sessions),
            "session_unsent": sum(connection.unsent for connection in self._sessions.values()),
            "links": {str(member): link.state for member, link in self._links.items()},
            "links_unsent": sum(link.unsent for link in self._links.values()),
            "refused": dict(self._refusals.counts),
            "dropped": dict(self._dropped),
            "bytes_in": self._traffic.bytes_in,
            "bytes_out": self._traffic.bytes_out,
        }

    # --- sending ---

    def _send(self, to: Member, message: Message, correlation: int) -> None:
        if to == self._identity.me:
            at = self._loop.time()
            self._deliver(Received(message, to, at, correlation=correlation, cluster_id=self._identity.cluster_id))
        else:
            self._link_to(to).send(self._identity.encode(message, correlation))

    def _reply(self, session: Session, message: Message, correlation: int) -> None:
        connection = self._sessions.get(session)
        if connection is None:
            self.dropped("client is gone")
            return
        self._write(connection, message, correlation)
        if connection.unsent > self._settings.session_unsent_max:
            self._log.warning(
                "client {peer} is cut off: {unsent} bytes wait for it", peer=connection.peer, unsent=connection.unsent
            )
            connection.abort()

    def _write(self, connection: Connection, message: Message, correlation: int = 0) -> None:
        parts = self._identity.encode(message, correlation)
        connection.send(parts, sum(map(len, parts)))

    def _introduce_us(self, connection: Connection) -> None:
        connection.introduced_as = self._identity.me
        self._write(connection, LinkMessage(self._identity.me))

    def _change_identity(self, changed: IdentityChanged) -> None:
        before, known = self._identity.me, self._identity.cluster_id
        self._identity.change(changed)
        moot = changed.me != before or known not in ("", changed.cluster_id)
        for link in self._links.values():
            if moot:
                link.clear()
            if link.connection is not None:
                self._introduce_us(link.connection)

    # --- what a link asks of its host ---

    async def connect(self, member: Member) -> Connection:
        """Open a connection to the member's address and introduce ourselves. Raises OSError or ValueError."""
        host, port = host_and_port(member.address)
        here, _ = host_and_port(self._identity.me.address)
        _, connection = await self._loop.create_connection(lambda: self._open(member), host, port, local_addr=(here, 0))
        self._introduce_us(connection)
        return connection

    def is_taken(self, member: Member) -> bool:
        """Is somebody else known to answer at this member's address?"""
        return member.address == self._identity.me.address or any(
            link.connection is not None and other != member and link.member.address == member.address
            for other, link in self._links.items()
        )

    def keeps_ours(self, member: Member) -> bool:
        """Of two connections dialed at once, the one of the smaller identity is kept."""
        return self._identity.me < member

    def link_is_up(self, link: Link) -> None:
        """Say that a member can be reached."""
        self._log.debug("link to {peer} is up", peer=link.member.node_id)
        self._announce(LinkUp(link.member, self._loop.time()))

    def link_is_down(self, link: Link, refused: bool) -> None:
        """Say that a member cannot be reached."""
        self._log.debug("link to {peer} is down, refused: {refused}", peer=link.member.node_id, refused=refused)
        self._announce(LinkDown(link.member, refused, self._loop.time()))

    def dropped(self, reason: str) -> None:
        """Count a message that is given up."""
        self._dropped[reason] += 1

    # --- what a connection tells its owner ---

    def opened(self, connection: Connection) -> None:
        """Remember the connection until it is lost."""
        self._connections.add(connection)
        if self.actor_stopped.is_set():
            connection.close()

    def heard(self, connection: Connection, envelope: Envelope, at: float) -> None:
        """Sort a message by who is at the other end."""
        if isinstance(envelope.message, LinkMessage):
            self._hear_link(connection, envelope, envelope.message.member, at)
        elif connection.member is not None:
            self._hear_member(connection, connection.member, envelope, at)
        elif connection.dialed_for is not None:
            self._refuse(connection, "a message before the introduction", type(envelope.message).__name__, at)
        else:
            self._hear_client(connection, envelope, at)

    def malformed(self, connection: Connection, error: RemoteProtocolError) -> None:
        """Count what is no frame; the connection is closed already."""
        self._refusals.count("malformed frame", f"{connection.peer}: {error}", self._loop.time())

    def lost(self, connection: Connection) -> None:
        """Tell whoever relied on the connection."""
        self._connections.discard(connection)
        if self.actor_stopped.is_set():
            return
        link = self._links.get(connection.member) if connection.member else None
        if link is not None:
            link.lost(connection)
        if connection.session is not None:
            del self._sessions[connection.session]
            self._announce(SessionClosed(connection.session))

    # --- members ---

    def _hear_link(self, connection: Connection, envelope: Envelope, member: Member, at: float) -> None:
        objection = self._identity.objection(envelope)
        if objection is not None and connection.introduced_as is None:
            self._introduce_us(connection)  # so that whoever dialed learns who lives here now
        if objection is None and connection.session is not None:
            objection = "a client that introduces itself as a member"
        if objection is None and self._identity.was_me(member):
            objection = "somebody under our own identity"
        if objection is not None:
            self._refuse(connection, objection, f"{member} of {envelope.cluster}", at)
            connection.meet(member)
        elif connection.member != member:
            self._welcome(connection, member)

    def _welcome(self, connection: Connection, member: Member) -> None:
        """A member introduced itself, for the first time or under a new identity."""
        former, connection.member = connection.member, member
        if connection.introduced_as != self._identity.me:
            self._introduce_us(connection)
        for other, link in list(self._links.items()):
            if other != member and (other == former or link.member.address == member.address):
                link.supersede()
        link = self._link_to(member)
        strayed = connection.dialed_for not in (None, member)
        if strayed and link.connection is not None:
            connection.retire()
        else:
            link.adopt(connection)
        connection.meet(member)

    def _hear_member(self, connection: Connection, member: Member, envelope: Envelope, at: float) -> None:
        objection = self._identity.objection(envelope)
        if objection is None and envelope.sender != member:
            objection = "a sender that the link does not belong to"
        if objection is None:
            self._deliver(
                Received(envelope.message, member, at, correlation=envelope.correlation, cluster_id=envelope.cluster_id)
            )
        else:
            self._refusals.count(objection, f"{type(envelope.message).__name__} of {member}", at)

    def _link_to(self, member: Member) -> Link:
        link = self._links.get(member)
        if link is None:
            link = self._links[member] = Link(member, self, self._settings.link, self._loop)
        elif member.address:
            link.member = member
        return link

    def _forget(self, member: Member) -> None:
        link = self._links.get(member)
        if link is not None:
            link.forget()
            if link.state == "idle":
                del self._links[member]

    # --- clients ---

    def _hear_client(self, connection: Connection, envelope: Envelope, at: float) -> None:
        if not isinstance(envelope.message, CLIENT_REQUESTS):
            self._refuse(connection, "not a client's request", type(envelope.message).__name__, at)
        elif envelope.cluster != self._settings.cluster:
            text = f"this is cluster {self._settings.cluster!r}, the request is for cluster {envelope.cluster!r}"
            self._write(connection, InvalidRequestResponse(text), envelope.correlation)
            self._refuse(connection, OTHER_NAME, text, at)
        else:
            session = connection.session or self._admit(connection)
            self._deliver(
                Received(
                    envelope.message, session, at, correlation=envelope.correlation, cluster_id=envelope.cluster_id
                )
            )

    def _admit(self, connection: Connection) -> Session:
        session = connection.session = Session(next(self._numbers))
        self._sessions[session] = connection
        return session

    # --- connections ---

    def _open(self, dialed_for: Member | None = None) -> Connection:
        return Connection(self, self._loop, self._settings.frame_max, self._buffer, self._traffic, dialed_for)

    def _refuse(self, connection: Connection, reason: str, detail: str, at: float) -> None:
        """Count, and end the connection after its last words."""
        self._refusals.count(reason, f"{connection.peer}: {detail}", at)
        connection.finish()
