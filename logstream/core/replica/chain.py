"""The hash chain over the log: equal chains at one gseq mean equal logs up to it.

chain(g) = blake2b-8(chain(g-1) + entry header + the batch's 61-byte header). The batch header holds the
CRC of the body, so the body itself is never hashed. A decision has no batch header; its short body
stands in for it.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

from logstream.protocol.batches import FRONT_SIZE, HEADER_SIZE
from logstream.protocol.identity import Epoch
from logstream.protocol.messages import EntryKind

EMPTY_CHAIN = 0
_HEADER = struct.Struct(">QQQBQI")
_IN_BODY = HEADER_SIZE - FRONT_SIZE


def next_chain(
    previous: int, gseq: int, epoch: Epoch, kind: EntryKind, topic_id: int, partition: int, front: bytes, body: bytes
) -> int:
    """chain(gseq), given chain(gseq - 1)."""
    covered = body[:_IN_BODY] if front else body
    header = _HEADER.pack(previous, gseq, epoch.n, kind, topic_id, partition)
    author = f"{epoch.node_id}\0{epoch.store_id}\0".encode()
    return int.from_bytes(blake2b(header + author + front + covered, digest_size=8).digest(), "big")
