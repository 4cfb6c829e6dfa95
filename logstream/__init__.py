"""LogStream: a replicated log that needs no operator.

    from logstream import Consumer, Producer

    with Producer() as producer:
        producer.send("greetings", b"hello").result()
    for record in Consumer("greetings", follow=False):
        print(record.value)

Names are loaded when they are first used, so `import logstream` costs next to nothing and a node, which
is made of this package too, never loads what only clients need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logstream.client.admin import Admin
    from logstream.client.consumer import Consumer
    from logstream.client.handles import BulkHandle, GivenUp, Handle, Placed
    from logstream.client.inbox import Record
    from logstream.client.producer import Producer
    from logstream.protocol.errors import (
        BufferFull,
        CorruptBatch,
        DataLost,
        InvalidRequest,
        InvalidTopic,
        LineageChanged,
        LogStreamError,
        NoClusterFound,
        NotSent,
        OffsetOutOfRange,
        OtherCluster,
        OutcomeUnknown,
        RecordTooLarge,
        RequestTimedOut,
        Retriable,
        TopicExists,
        UnknownTopic,
    )

_CLIENT = ("Admin", "BulkHandle", "Consumer", "GivenUp", "Handle", "Placed", "Producer", "Record")

__all__ = [
    "Admin",
    "BufferFull",
    "BulkHandle",
    "Consumer",
    "CorruptBatch",
    "DataLost",
    "GivenUp",
    "Handle",
    "InvalidRequest",
    "InvalidTopic",
    "LineageChanged",
    "LogStreamError",
    "NoClusterFound",
    "NotSent",
    "OffsetOutOfRange",
    "OtherCluster",
    "OutcomeUnknown",
    "Placed",
    "Producer",
    "Record",
    "RecordTooLarge",
    "RequestTimedOut",
    "Retriable",
    "TopicExists",
    "UnknownTopic",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "logstream.client" if name in _CLIENT else "logstream.protocol.errors"
    return getattr(import_module(home), name)
