"""What can go wrong, for peers and for clients.

Between nodes there are two kinds, as in h11: LocalProtocolError means that we broke our own rule and
ends the node; RemoteProtocolError means that a peer or a client did, and is counted and dropped.
Clients get a code and a sentence in every answer; the library raises the exception of that code.
"""

from __future__ import annotations

from enum import IntEnum


class LocalProtocolError(Exception):
    """This node broke one of its own rules. It ends the node: crash-stop is what the protocol assumes."""


class RemoteProtocolError(Exception):
    """Somebody else sent what nobody may send. Count it, log it once, drop it."""


class ErrorCode(IntEnum):
    """Codes in answers to clients. The numbers are on the wire and never change."""

    NONE = 0
    RETRY = 1  # frozen, no quorum, moved, memory full, throttled: the text has the reason
    NOT_ASSIGNED = 2  # carries the address of the right broker
    UNKNOWN_TOPIC = 3
    INVALID_TOPIC = 4
    RECORD_TOO_LARGE = 5
    CORRUPT_BATCH = 6
    OUT_OF_ORDER = 7
    UNKNOWN_PRODUCER = 8
    OFFSET_OUT_OF_RANGE = 9  # carries log start and end
    FENCED = 10
    UNKNOWN_GROUP = 11
    LINEAGE_CHANGED = 12
    DATA_LOST = 13
    OTHER_CLUSTER = 14
    TOPIC_EXISTS = 15
    INVALID_REQUEST = 16


class LogStreamError(Exception):
    """Base of all errors that the client library raises. The text says what happened and what to do."""

    code = ErrorCode.NONE


class NoClusterFound(LogStreamError):
    """Nobody answered. The text lists what was tried."""


class RequestTimedOut(LogStreamError):
    """The deadline passed. For a record this means: outcome unknown, it may or may not be in the log."""


class Retriable(LogStreamError):
    """The cluster could not serve the request now; the same request may succeed later."""

    code = ErrorCode.RETRY


class UnknownTopic(LogStreamError):
    """There is no topic of this name."""

    code = ErrorCode.UNKNOWN_TOPIC


class InvalidTopic(LogStreamError):
    """A topic name or a partition count that no broker accepts."""

    code = ErrorCode.INVALID_TOPIC


class TopicExists(LogStreamError):
    """The topic that was to be created is there already."""

    code = ErrorCode.TOPIC_EXISTS


class RecordTooLarge(LogStreamError):
    """A record over the limit (setting record_max)."""

    code = ErrorCode.RECORD_TOO_LARGE


class CorruptBatch(LogStreamError):
    """A batch that does not match its CRC or its own lengths."""

    code = ErrorCode.CORRUPT_BATCH


class OffsetOutOfRange(LogStreamError):
    """The position lies below the start of the log or beyond its end."""

    code = ErrorCode.OFFSET_OUT_OF_RANGE


class OutcomeUnknown(LogStreamError):
    """The cluster no longer knows this producer: the record may or may not be in the log."""

    code = ErrorCode.UNKNOWN_PRODUCER


class LineageChanged(LogStreamError):
    """The cluster was continued by force: what this consumer read last may not be in the log any more."""

    code = ErrorCode.LINEAGE_CHANGED


class DataLost(LogStreamError):
    """The cluster says that it lost acknowledged records, and which it cannot say for this producer."""

    code = ErrorCode.DATA_LOST


class OtherCluster(LogStreamError):
    """Another cluster answers at this address than the one that the position or the sequence belongs to."""

    code = ErrorCode.OTHER_CLUSTER


class InvalidRequest(LogStreamError):
    """A request that this broker does not understand."""

    code = ErrorCode.INVALID_REQUEST


_BY_CODE: dict[ErrorCode, type[LogStreamError]] = {
    kind.code: kind
    for kind in (
        Retriable,
        UnknownTopic,
        InvalidTopic,
        TopicExists,
        RecordTooLarge,
        CorruptBatch,
        OffsetOutOfRange,
        OutcomeUnknown,
        LineageChanged,
        DataLost,
        OtherCluster,
        InvalidRequest,
    )
}


def error_for(code: ErrorCode, text: str) -> LogStreamError:
    """The exception that the client library raises for a code."""
    return _BY_CODE.get(code, LogStreamError)(text)
