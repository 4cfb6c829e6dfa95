"""Record batches as brokers see them: a front that the leader writes and a body that nobody changes.

The format is Kafka's record batch v2 (KIP-98). The front is bytes 0 to 20:

    base offset 8 | length 4 | leader epoch 4 | magic 1 | CRC-32C 4

and the body is everything from byte 21 on: exactly what the CRC covers. A broker rewrites base
offset and leader epoch, both in the front, so the body goes from the producer's socket to the log,
to every follower and to every consumer as one immutable `bytes` object. Brokers read the batch
header and never a record; building and reading records is `records.py`, which only clients import.
"""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple, get_args

import google_crc32c

from logstream.protocol.errors import RemoteProtocolError

FRONT_SIZE = 21
HEADER_SIZE = 61
BODY_HEADER_SIZE = HEADER_SIZE - FRONT_SIZE  # all that is left of the body of a trimmed batch
NO_PRODUCER = -1
MAGIC = 2

_FRONT = struct.Struct(">qiibI")
# attributes, last offset delta, base and max timestamp, producer id, producer epoch, base sequence, records
_BODY_HEADER = struct.Struct(">hiqqqhii")
_PRODUCER = struct.Struct(">qhi")
_PRODUCER_AT = 22  # of the producer id within the body
_LENGTH_SKIPS = 12  # the batch length does not count base offset and itself

Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]
CODECS: tuple[Compression, ...] = get_args(Compression)  # by the number that the attributes of a batch hold
_CODEC_MASK = 0x07


class Batch(NamedTuple):
    """One record batch, held in two parts. The body is shared, never copied."""

    front: bytes
    body: bytes

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return FRONT_SIZE + len(self.body)


class BatchHeader(NamedTuple):
    """What a broker reads of a body."""

    attributes: int
    last_offset_delta: int
    base_timestamp: int  # ms since 1970
    max_timestamp: int  # ms since 1970
    producer_id: int  # NO_PRODUCER if the producer does not deduplicate
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def codec(self) -> int:
        """Number of the compression, which a broker does not undo; CODECS has those that there are."""
        return self.attributes & _CODEC_MASK


def header_of(body: bytes) -> BatchHeader:
    """Read the batch header from the start of a body.

    Raises RemoteProtocolError if the body is too short or counts no records.
    """
    if len(body) < BODY_HEADER_SIZE:
        raise RemoteProtocolError(f"a record batch of {FRONT_SIZE + len(body)} bytes has no whole header")
    header = BatchHeader._make(_BODY_HEADER.unpack_from(body))
    if header.records < 1 or header.last_offset_delta != header.records - 1:
        raise RemoteProtocolError(
            f"a record batch says {header.records} records but a last offset delta of {header.last_offset_delta}"
        )
    return header


def check(batch: Batch) -> BatchHeader:
    """Verify lengths, magic and CRC-32C of a batch and return its header.

    Raises RemoteProtocolError with what differs.
    """
    header = header_of(batch.body)
    if len(batch.front) != FRONT_SIZE:
        raise RemoteProtocolError(f"the front of a record batch has {len(batch.front)} bytes, not {FRONT_SIZE}")
    _, length, _, magic, crc = _FRONT.unpack(batch.front)
    if magic != MAGIC:
        raise RemoteProtocolError(f"a record batch has magic {magic}, this broker speaks {MAGIC}")
    if length != batch.size - _LENGTH_SKIPS:
        raise RemoteProtocolError(f"a record batch says {length} bytes and has {batch.size - _LENGTH_SKIPS}")
    if is_trimmed(batch.body):
        raise RemoteProtocolError(f"a record batch says {header.records} records and holds none")
    if crc != crc_of(batch.body):
        raise RemoteProtocolError("a record batch does not match its CRC")
    return header


def is_trimmed(body: bytes) -> bool:
    """Is this what is left of a trimmed batch: the header, and not one record?"""
    return len(body) == BODY_HEADER_SIZE


def trimmed(body: bytes) -> bytes:
    """What is left of a body that is trimmed: what the log's chain covers."""
    return body[:BODY_HEADER_SIZE]


def crc_of(body: bytes) -> int:
    """CRC-32C of a body, as it stands in the front."""
    return int(google_crc32c.value(body))


def make_front(base_offset: int, epoch_n: int, body: bytes, crc: int) -> bytes:
    """The front that the leader gives to a body: its offset and the number of the view that sequenced it."""
    return _FRONT.pack(base_offset, FRONT_SIZE + len(body) - _LENGTH_SKIPS, epoch_n & 0x7FFFFFFF, MAGIC, crc)


def crc_in(front: bytes) -> int:
    """The CRC that a front states."""
    return int.from_bytes(front[17:21], "big")


def base_offset_in(front: bytes) -> int:
    """The offset of the batch's first record."""
    return int.from_bytes(front[:8], "big", signed=True)


def end_offset_of(front: bytes, body: bytes) -> int:
    """The offset after the batch's last record. Raises RemoteProtocolError as header_of does."""
    return base_offset_in(front) + header_of(body).records


def stamp_producer(body: bytes, producer_id: int, producer_epoch: int, base_sequence: int) -> Batch:
    """A batch of the same records under this producer identity, ready to be produced."""
    records = memoryview(body)[_PRODUCER_AT + _PRODUCER.size :]
    sealed = b"".join([body[:_PRODUCER_AT], _PRODUCER.pack(producer_id, producer_epoch, base_sequence), records])
    return Batch(make_front(0, 0, sealed, crc_of(sealed)), sealed)


def split(data: bytes) -> Batch:
    """Cut one whole batch, as a codec builds it, into front and body."""
    return Batch(bytes(data[:FRONT_SIZE]), bytes(data[FRONT_SIZE:]))
