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
    """Base of all errors that the client library raises. The text says what happened and what to do.

    Every kind has its advice; `advice` replaces it where one knows better.
    """

    code = ErrorCode.NONE
    advice = ""  # what to do, the end of the text

    def __init__(self, text: str = "", advice: str | None = None) -> None:
        super().__init__(text)
        self.text = text  # what happened, without the advice
        if advice is not None:
            self.advice = advice

    def __str__(self) -> str:
        return f"{self.text}; {self.advice}" if self.advice else self.text


class NoClusterFound(LogStreamError):
    """Nobody answered. The text lists what was tried."""

    advice = "start a cluster with `logstream up`, or name a broker (bootstrap=, --bootstrap HOST:PORT)"


class RequestTimedOut(LogStreamError):
    """The deadline passed. For a record this means: outcome unknown, it may or may not be in the log."""

    advice = "`logstream status` says what the cluster waits for"


class BufferFull(LogStreamError):
    """More records wait for the cluster than buffer_max allows; the one that was to be sent was not taken.

    From producers on an event loop only, where `send` cannot wait; the one with a thread waits.
    """

    advice = "let the producer catch up with `await producer.drain()` between sends, or give it a larger buffer_max"


class NotSent(RequestTimedOut):
    """The deadline passed before the record was sent: it is certainly not in the log, so it may be sent again."""


class Retriable(LogStreamError):
    """The cluster could not serve the request now; the same request may succeed later."""

    code = ErrorCode.RETRY
    advice = "try again in a moment; `logstream status` says what the cluster waits for"


class UnknownTopic(LogStreamError):
    """There is no topic of this name."""

    code = ErrorCode.UNKNOWN_TOPIC
    advice = "`logstream topics list` shows all, `logstream topics create` and Admin.create_topic make one"


class InvalidTopic(LogStreamError):
    """A topic name or a partition count that no broker accepts."""

    code = ErrorCode.INVALID_TOPIC
    advice = "a name has 1 to 249 letters, digits, dots, underscores and hyphens, a topic 1 to 10000 partitions"


class TopicExists(LogStreamError):
    """The topic that was to be created is there already."""

    code = ErrorCode.TOPIC_EXISTS
    advice = "use it, delete it first, or choose another name"


class RecordTooLarge(LogStreamError):
    """A record over the limit (setting record_max)."""

    code = ErrorCode.RECORD_TOO_LARGE
    advice = "split the record, or raise record_max on every node"


class CorruptBatch(LogStreamError):
    """A batch that does not match its CRC or its own lengths."""

    code = ErrorCode.CORRUPT_BATCH
    advice = "nothing of it was used; look for failing memory or network hardware"


class OffsetOutOfRange(LogStreamError):
    """The position lies below the start of the log or beyond its end."""

    code = ErrorCode.OFFSET_OUT_OF_RANGE
    advice = 'begin within these bounds, or with start="start" at the oldest record that is kept'


class OutcomeUnknown(LogStreamError):
    """Whether the record is in the log cannot be found out any more: it may or may not be."""

    code = ErrorCode.UNKNOWN_PRODUCER
    advice = "look for it in the topic before you send it again"


class LineageChanged(LogStreamError):
    """The cluster was continued by force: what this consumer read last may not be in the log any more."""

    code = ErrorCode.LINEAGE_CHANGED
    advice = "compare with what you keep, then go on with a new consumer from a position that you choose"


class DataLost(LogStreamError):
    """The cluster says that it lost acknowledged records, and which it cannot say for this producer."""

    code = ErrorCode.DATA_LOST
    advice = "compare the log with what you keep; later sends and new consumers go on with what is there"


class OtherCluster(LogStreamError):
    """Another cluster answers at this address than the one that the position or the sequence belongs to."""

    code = ErrorCode.OTHER_CLUSTER
    advice = "if it was started anew on purpose make a new client, else correct bootstrap= and cluster="


class InvalidRequest(LogStreamError):
    """A request that cannot be carried out as it is: repeating it does not help."""

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
