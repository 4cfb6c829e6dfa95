"""Records: building and reading what is inside a record batch. Clients only; brokers never look in.

The format, the compression and the speed are aiokafka's: its compiled classes write a record in a
tenth of a microsecond and read one in a third. This is the one module that imports them, so a node
that never plays the client never loads them. What aiokafka raises on garbage, and that is many kinds
of exception, becomes RemoteProtocolError here.

    append, append, ... -> build() -> body -> batches.stamp_producer() -> Batch -> wire -> read()
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from logstream.protocol.batches import CODECS, FRONT_SIZE, MAGIC, NO_PRODUCER, Batch, Compression, check
from logstream.protocol.errors import RemoteProtocolError

Headers = Sequence[tuple[str, bytes]]

TIMESTAMP_MAX = 2**63 - 1  # ms since 1970
BATCH_MAX = 256 * 1024  # bytes: what still travels by multicast (R16)

_fields_of = attrgetter("offset", "timestamp", "key", "value", "headers")
_new = tuple.__new__


class Record(NamedTuple):
    """One record as it was read. An empty value is b"", no value is None; the same for keys."""

    offset: int
    timestamp_ms: int  # since 1970, by the producer's clock
    key: bytes | None
    value: bytes | None
    headers: Headers


def codec_number(compression: str) -> int:
    """How a batch says that it is compressed so. Raises ValueError for what no batch can be."""
    if compression not in CODECS:
        raise ValueError(f"there is no compression {compression!r}, there are {', '.join(CODECS)}")
    return CODECS.index(compression)


class RecordBuilder:
    """Collects records for one batch of at most `batch_max` bytes before compression.

    Raises ValueError for a compression that there is not.
    """

    def __init__(self, compression: Compression = "none", batch_max: int = BATCH_MAX) -> None:
        self.records = 0
        codec = codec_number(compression)
        self._builder = DefaultRecordBatchBuilder(MAGIC, codec, 0, NO_PRODUCER, -1, -1, batch_max)

    @property
    def size(self) -> int:
        """Bytes of the batch so far, before compression."""
        return int(self._builder.size())

    def append(self, key: bytes | None, value: bytes | None, headers: Headers, timestamp_ms: int) -> bool:
        """Add a record; False if the batch is full. The first one always fits.

        Raises TypeError or ValueError for what cannot be in a record; it is not added then.
        """
        if not 0 <= timestamp_ms <= TIMESTAMP_MAX:
            raise ValueError(f"a record's timestamp lies between 0 and {TIMESTAMP_MAX} ms: {timestamp_ms}")
        if self._builder.append(self.records, timestamp_ms, key, value, list(headers)) is None:
            return False
        self.records += 1
        return True

    def build(self) -> bytes:
        """The body of the batch (from byte 21) with no producer identity. The builder is used up after it."""
        return bytes(memoryview(self._builder.build())[FRONT_SIZE:])


def read(batch: Batch) -> list[Record]:
    """The records of a batch, its CRC checked. Raises RemoteProtocolError if it is not what it says."""
    check(batch)
    try:
        records = [_new(Record, _fields_of(record)) for record in DefaultRecordBatch(b"".join(batch))]
    except Exception as error:  # aiokafka and four compression libraries, each with exceptions of its own
        raise RemoteProtocolError(f"a record batch that cannot be read: {error!r}") from error
    return [_without_null_headers(record) if record.headers else record for record in records]


def _without_null_headers(record: Record) -> Record:
    """Kafka knows headers without a value, this library does not: they are empty here."""
    return record._replace(headers=[(name, value or b"") for name, value in record.headers])
