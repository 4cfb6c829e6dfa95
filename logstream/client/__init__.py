"""The client library: Producer, Consumer, Admin. Each is imported when it is first used, so a tool that only
asks for `status` does not load the record codec."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logstream.client.admin import Admin
    from logstream.client.consumer import Consumer
    from logstream.client.handles import BulkHandle, GivenUp, Handle, Placed
    from logstream.client.inbox import Record
    from logstream.client.producer import Producer

_HOMES = {
    "Admin": "admin",
    "BulkHandle": "handles",
    "Consumer": "consumer",
    "GivenUp": "handles",
    "Handle": "handles",
    "Placed": "handles",
    "Producer": "producer",
    "Record": "inbox",
}

__all__ = ["Admin", "BulkHandle", "Consumer", "GivenUp", "Handle", "Placed", "Producer", "Record"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
