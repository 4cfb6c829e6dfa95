"""Two connections at once, step by step: the other side is played by the test."""

from __future__ import annotations

import asyncio
from typing import Any

from logstream.core.effects import Send
from logstream.core.events import LinkDown, LinkUp
from logstream.protocol.identity import NO_EPOCH, Member
from logstream.protocol.messages import Link, Message, Nack
from transport.identity import IdentityChanged


def numbered(number: int) -> Message:
    return Nack(NO_EPOCH, number, number)


class Peer:
    """The member "b": it accepts what a dials and answers when the test says so."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._accepted: asyncio.Queue[Any] = asyncio.Queue()

    async def listen(self) -> Member:
        self._server = await asyncio.start_server(
            lambda reader, writer: self._accepted.put_nowait((reader, writer)), "127.0.0.1", 0
        )
        host, port = self._server.sockets[0].getsockname()
        self.member = Member("b", "s1", f"{host}:{port}")
        return self.member

    async def dialed_by(self, other: Any) -> Any:
        """The connection that the other side has opened, after its introduction."""
        connection = self._network.caller(*await asyncio.wait_for(self._accepted.get(), 10.0))
        assert (await connection.hear()).message == Link(other.member)
        return connection

    async def dial(self, other: Any) -> Any:
        """Open a connection and introduce ourselves."""
        connection = await self._network.call(other.member.address)
        connection.introduce(self.member)
        assert (await connection.hear()).message == Link(other.member)
        return connection

    def close(self) -> None:
        self._server.close()


async def test_what_is_under_way_on_the_connection_that_is_not_kept_is_still_heard(network: Any) -> None:
    a, b = network.tcp("a"), Peer(network)
    a.tell(Send(await b.listen(), numbered(1)))
    kept = await b.dialed_by(a)
    other = await b.dial(a)
    assert (await other.hear()).message == numbered(1)
    kept.introduce(b.member)
    assert await other.is_closed()
    other.say(numbered(2), sender=b.member)
    await network.until(lambda: a.messages == [numbered(2)])
    a.tell(Send(b.member, numbered(3)))
    assert (await kept.hear()).message == numbered(3)
    assert [type(event) for event in a.announced] == [LinkUp]
    b.close()


async def test_while_our_own_dial_is_under_way_the_end_of_the_other_connection_is_no_break(network: Any) -> None:
    a, b = network.tcp("a"), Peer(network)
    a.tell(Send(await b.listen(), numbered(1)))
    kept = await b.dialed_by(a)
    other = await b.dial(a)
    other.writer.close()
    await network.until(lambda: a.facts()["links"] == {"b": "dialing"})
    a.tell(Send(b.member, numbered(2)))
    kept.introduce(b.member)
    assert (await kept.hear()).message == numbered(2)
    assert [type(event) for event in a.announced] == [LinkUp]
    b.close()


async def test_when_our_own_dial_fails_after_the_other_connection_ended_the_link_is_down(network: Any) -> None:
    a, b = network.tcp("a"), Peer(network)
    a.tell(Send(await b.listen(), numbered(1)))
    dialed = await b.dialed_by(a)
    other = await b.dial(a)
    other.writer.close()
    await network.until(lambda: a.facts()["links"] == {"b": "dialing"})
    assert [type(event) for event in a.announced] == [LinkUp]
    dialed.writer.close()
    await network.until(lambda: a.announced[1:])
    assert type(a.announced[1]) is LinkDown
    b.close()


async def test_a_member_that_dials_long_after_us_has_lost_our_connection(network: Any) -> None:
    a, b = network.tcp("a"), Peer(network)
    a.tell(Send(await b.listen(), numbered(1)))
    first = await b.dialed_by(a)
    first.introduce(b.member)
    await network.until(lambda: a.ups() == [b.member])
    (connection,) = a.actor._connections
    connection.up_since -= 10.0
    second = await b.dial(a)
    assert await first.is_closed()
    a.tell(Send(b.member, numbered(2)))
    assert (await second.hear()).message == numbered(2)
    assert [type(event) for event in a.announced] == [LinkUp, LinkDown, LinkUp]
    b.close()


async def test_an_identity_that_changed_while_dialing_is_introduced_when_the_link_is_up(network: Any) -> None:
    a, b = network.tcp("a"), Peer(network)
    a.tell(Send(await b.listen(), numbered(1)))
    connection = await b.dialed_by(a)
    new = Member("a", "s2", a.member.address)
    a.tell(IdentityChanged(new, "c1"))
    await network.until(lambda: a.facts()["dropped"] == {"member is gone": 1})
    connection.introduce(b.member)
    assert (await connection.hear()).message == Link(new)
    a.tell(Send(b.member, numbered(2)))
    assert (await connection.hear()).message == numbered(2)
    b.close()
