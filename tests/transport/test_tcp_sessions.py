"""Clients on the listener: requests in, answers out, and nothing that a client does harms a neighbour."""

from __future__ import annotations

import random
import socket
import struct
from typing import Any

import pytest

from logstream.core.effects import Reply
from logstream.core.events import Session, SessionClosed, Via
from logstream.protocol import codec
from logstream.protocol.envelope import Envelope
from logstream.protocol.identity import NO_EPOCH, Member
from logstream.protocol.messages import (
    InvalidRequestResponse,
    Link,
    Metadata,
    Nack,
    StatusRequest,
    StatusResponse,
)
from transport.tcp import bind


async def test_requests_of_a_client_carry_its_session_and_are_answered_in_order(network: Any) -> None:
    a = network.tcp("a")
    client = await network.call(a.member.address)
    for correlation in (1, 2, 3):
        client.say(StatusRequest(), correlation=correlation)
    await network.until(lambda: len(a.received) == 3)
    assert [(got.sender, got.correlation, got.via) for got in a.received] == [
        (Session(1), n, Via.TCP) for n in (1, 2, 3)
    ]
    for received in a.received:
        a.tell(Reply(received.sender, received.correlation, StatusResponse(str(received.correlation))))
    heard = [await client.hear() for _ in range(3)]
    assert [(answer.correlation, answer.message) for answer in heard] == [
        (n, StatusResponse(str(n))) for n in (1, 2, 3)
    ]
    assert heard[0].sender == a.member


async def test_each_client_is_a_session_of_its_own_and_gone_when_it_closes(network: Any) -> None:
    a = network.tcp("a")
    one, other = await network.call(a.member.address), await network.call(a.member.address)
    one.say(StatusRequest())
    await network.until(lambda: len(a.received) == 1)
    other.say(StatusRequest())
    await network.until(lambda: len(a.received) == 2)
    assert a.facts()["sessions"] == 2
    one.writer.close()
    await network.until(lambda: a.announced == [SessionClosed(Session(1))])
    assert a.facts()["sessions"] == 1
    a.tell(Reply(Session(1), 0, StatusResponse("")))
    await network.until(lambda: a.facts()["dropped"] == {"client is gone": 1})


async def test_a_client_of_another_cluster_is_told_both_names_and_disconnected(network: Any) -> None:
    a = network.tcp("a")
    client = await network.call(a.member.address)
    client.say(StatusRequest(), cluster="plant-7", correlation=9)
    client.say(StatusRequest(), cluster="plant-7", correlation=10)  # too late: the first one has ended it
    answer = await client.hear()
    assert answer.correlation == 9
    assert isinstance(answer.message, InvalidRequestResponse)
    assert "'test'" in answer.message.text and "'plant-7'" in answer.message.text
    assert await client.is_closed()
    assert a.received == []
    assert a.facts()["refused"] == {"another cluster's name": 1}


async def test_what_only_members_say_is_not_heard_from_a_client(network: Any) -> None:
    a = network.tcp("a")
    client = await network.call(a.member.address)
    client.say(Nack(NO_EPOCH, 1, 1), sender=Member("b", "s1"))
    assert await client.is_closed()
    assert a.received == a.announced == []
    assert a.facts()["refused"] == {"not a client's request": 1}


async def test_a_client_does_not_become_a_member_in_the_middle(network: Any) -> None:
    a = network.tcp("a")
    client = await network.call(a.member.address)
    client.say(StatusRequest())
    client.introduce(Member("b", "s1", "127.0.0.1:1"))
    assert await client.is_closed()
    a.tell(Reply(Session(1), 0, StatusResponse("an answer that comes too late")))
    a.tell(Reply(Session(2), 0, StatusResponse("to nobody")))
    await network.until(lambda: a.facts()["dropped"] == {"client is gone": 1})
    client.writer.close()
    await network.until(lambda: a.announced == [SessionClosed(Session(1))])
    assert a.facts()["refused"] == {"a client that introduces itself as a member": 1}


async def test_nobody_introduces_itself_under_our_own_identity(network: Any) -> None:
    a = network.tcp("a")
    imposter = await network.call(a.member.address)
    imposter.introduce(a.member)
    assert await imposter.is_closed()
    assert a.announced == []
    assert a.facts()["refused"] == {"somebody under our own identity": 1}


@pytest.mark.parametrize("seed", range(8))
async def test_random_bytes_close_their_connection_only(network: Any, seed: int) -> None:
    a = network.tcp("a")
    neighbour, vandal = await network.call(a.member.address), await network.call(a.member.address)
    neighbour.say(StatusRequest(), correlation=1)
    vandal.writer.write(struct.pack("!I", 4_000) + random.Random(seed).randbytes(4_000))
    assert await vandal.is_closed()
    neighbour.say(StatusRequest(), correlation=2)
    await network.until(lambda: len(a.received) == 2)
    assert a.facts()["refused"] == {"malformed frame": 1}


async def test_a_frame_over_the_limit_is_refused_by_its_first_four_bytes(network: Any) -> None:
    a = network.tcp("a", frame_max=10_000)
    client = await network.call(a.member.address)
    client.writer.write(struct.pack("!I", 10_001))
    assert await client.is_closed()
    assert a.facts()["refused"] == {"malformed frame": 1}


async def test_a_frame_that_never_ends_holds_nobody_up(network: Any) -> None:
    a = network.tcp("a")
    slow, quick = await network.call(a.member.address), await network.call(a.member.address)
    frame = b"".join(codec.encode(Envelope(Metadata(("t",)), "test")))
    slow.writer.write(frame[:-1])
    quick.say(StatusRequest())
    await network.until(lambda: a.messages == [StatusRequest()])
    slow.writer.write(frame[-1:])
    await network.until(lambda: a.messages == [StatusRequest(), Metadata(("t",))])


async def test_malformed_bytes_on_a_link_end_that_link_only(network: Any) -> None:
    a = network.tcp("a")
    good, bad = Member("b", "s1", "127.0.0.1:1"), Member("c", "s1", "127.0.0.1:2")
    callers = {}
    for member in (good, bad):
        callers[member] = await network.call(a.member.address)
        callers[member].introduce(member)
    await network.until(lambda: set(a.ups()) == {good, bad})
    callers[bad].writer.write(struct.pack("!I", 20) + bytes(range(200, 220)))
    assert await callers[bad].is_closed()
    callers[good].say(Nack(NO_EPOCH, 1, 1), sender=good)
    await network.until(lambda: a.received)
    assert bad in a.downs(refused=False)
    assert good not in a.downs(refused=False) + a.downs(refused=True)


async def test_a_client_that_reads_nothing_is_cut_off_at_the_bound(network: Any) -> None:
    a = network.tcp("a", session_unsent_max=100_000)
    lazy, neighbour = await network.call(a.member.address), await network.call(a.member.address)
    lazy.say(StatusRequest())
    await network.until(lambda: a.received)
    neighbour.say(StatusRequest())
    await network.until(lambda: len(a.received) == 2)
    lazy.writer.transport.pause_reading()
    for _ in range(300):
        a.tell(Reply(a.received[0].sender, 0, StatusResponse("x" * 50_000)))
    await network.until(lambda: a.announced == [SessionClosed(Session(1))])
    a.tell(Reply(a.received[1].sender, 5, StatusResponse("{}")))
    assert (await neighbour.hear()).correlation == 5


async def test_bytes_are_counted_both_ways(network: Any) -> None:
    a = network.tcp("a")
    client = await network.call(a.member.address)
    size = sum(map(len, codec.encode(Envelope(StatusRequest(), "test"))))
    client.say(StatusRequest())
    await network.until(lambda: a.received)
    a.tell(Reply(a.received[0].sender, 1, StatusResponse("{}")))
    await client.hear()
    assert a.facts()["bytes_in"] == size
    assert a.facts()["bytes_out"] > 0


async def test_silent_connections_are_probed_and_small_frames_not_delayed(network: Any) -> None:
    a = network.tcp("a")
    await network.call(a.member.address)
    await network.until(lambda: a.actor._connections)
    (connection,) = a.actor._connections
    opened = connection._transport.get_extra_info("socket")
    assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_first_frame_of_link_is_answered_with_ours(network: Any) -> None:
    a = network.tcp("a")
    member = await network.call(a.member.address)
    member.introduce(Member("b", "s1", "127.0.0.1:1"))
    assert (await member.hear()).message == Link(a.member)


def test_an_address_in_use_is_an_error_before_anything_starts() -> None:
    with bind("127.0.0.1:0") as first, pytest.raises(OSError, match="in use"):
        bind(f"127.0.0.1:{first.getsockname()[1]}")


def test_an_address_that_is_not_here_is_an_error_before_anything_starts() -> None:
    with pytest.raises(OSError, match="assign"):
        bind("203.0.113.7:8001")
