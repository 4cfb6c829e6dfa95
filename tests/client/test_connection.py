"""Sockets and threads of the client, when the network or the program ends in the middle."""

from __future__ import annotations

import asyncio
import socket

import pytest

from logstream.client.connection import UNHEARD_MS, Connection
from logstream.client.host import CoreHost
from logstream.core.client_effects import SeekCluster
from logstream.core.client_events import ClusterSought, Lost
from logstream.protocol.codec import encode
from logstream.protocol.envelope import Envelope
from logstream.protocol.messages import Metadata
from tests.client.fake_broker import FakeBrokers
from tests.client.loops import on_loop


def no_thread(*arguments: object, **options: object) -> None:
    """What Python 3.12 does when a thread is to begin after the program's last statement."""
    raise RuntimeError("can't create new thread at interpreter shutdown")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only some systems have it")
@on_loop
async def test_a_connection_over_which_nothing_goes_any_more_ends_in_seconds(brokers: FakeBrokers) -> None:
    answered = asyncio.Event()
    connection = Connection(brokers.addresses[0], asyncio.get_running_loop(), lambda _: answered.set(), lambda *_: None)
    connection.send(1, encode(Envelope(Metadata(()), "logstream", correlation=1)))
    await answered.wait()
    assert connection._transport is not None
    kernel = connection._transport.get_extra_info("socket")
    assert kernel.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNHEARD_MS
    connection.close()


@on_loop
async def test_a_program_that_ends_cannot_look_for_the_cluster_and_asks_those_it_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("logstream.client.host.start_aside", no_thread)
    heard: list[object] = []
    sought = asyncio.Event()

    def handle(event: object) -> list[SeekCluster]:
        heard.append(event)
        if isinstance(event, ClusterSought):
            sought.set()
            return []
        return [SeekCluster()]

    loop = asyncio.get_running_loop()
    host = CoreHost(loop, "logstream", list, handle, lambda effect: None, heard.append)
    host.feed("nobody answers")
    assert heard == ["nobody answers"]
    await sought.wait()
    assert [type(event) for event in heard] == [str, ClusterSought]
    assert isinstance(heard[1], ClusterSought) and heard[1].addresses == ()
    host.close()


@on_loop
async def test_a_host_name_that_cannot_be_looked_up_any_more_is_a_lost_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    lost: asyncio.Future[Lost] = loop.create_future()
    monkeypatch.setattr(loop, "getaddrinfo", no_thread)
    connection = Connection("broker.invalid:8001", loop, lambda answered: None, lambda _, event: lost.set_result(event))
    connection.send(7, [b"a question"])
    assert (await lost).correlations == (7,)
    assert "interpreter shutdown" in lost.result().reason
