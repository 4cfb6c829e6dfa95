"""LogStream for programs with an event loop: the names of `logstream`, to be awaited.

    from logstream.aio import Consumer, Producer

    async with Producer() as producer:
        offset = await producer.send("greetings", b"hello")
    async for record in Consumer("greetings", follow=False):
        print(record.value)

Everything runs on the loop of the program, without a thread, and never waits there: the rules are the same cores, the
sockets the same connections as in logstream.client. Only the search for the cluster, which reads files and
waits for sockets, has a short-lived thread. A client belongs to the loop on which it was started.

Exceptions are those of `logstream`. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logstream.aio.admin import Admin
    from logstream.aio.consumer import Consumer
    from logstream.aio.handles import BulkHandle, Handle
    from logstream.aio.producer import Producer
    from logstream.client.handles import GivenUp, Placed
    from logstream.client.inbox import Record

_HOMES = {
    "Admin": "logstream.aio.admin",
    "BulkHandle": "logstream.aio.handles",
    "Consumer": "logstream.aio.consumer",
    "GivenUp": "logstream.client.handles",
    "Handle": "logstream.aio.handles",
    "Placed": "logstream.client.handles",
    "Producer": "logstream.aio.producer",
    "Record": "logstream.client.inbox",
}

__all__ = ["Admin", "BulkHandle", "Consumer", "GivenUp", "Handle", "Placed", "Producer", "Record"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
