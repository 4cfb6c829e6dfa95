"""Raw: the bytes that travel behind an envelope, and the values that are made of them.

A batch or an entry has a few numbers, which stand in the envelope, and a front and a body, which do
not: they follow it, one after the other, in the order of their sizes.

    writing   sizes into the envelope, front and body onto a list; nothing is copied
    reading   the sizes cut front and body out of the frame; each is copied once, into `bytes`

Entries travel in columns, because a row per entry costs four times as much to build and to read:
their gseqs have no gaps, so only the first one is sent, and of their epochs each is sent once.
"""

from __future__ import annotations

from typing import Any

from logstream.protocol.batches import FRONT_SIZE, Batch
from logstream.protocol.errors import LocalProtocolError, RemoteProtocolError
from logstream.protocol.identity import Epoch
from logstream.protocol.messages import Entry, EntryKind

COUNT_MAX = 2**63 - 1  # of everything that is counted: gseqs, topic ids, sizes; what an array("q") takes
PARTITION_MAX = 2**31 - 1

_KINDS = {int(kind): kind for kind in EntryKind}
_FRONT_SIZES = frozenset({0, FRONT_SIZE})


class RawReader:
    """Cuts the raw bytes behind an envelope, from front to back."""

    __slots__ = ("_end", "_frame", "_position")

    def __init__(self, frame: bytes | memoryview, position: int) -> None:
        self._frame = frame
        self._position = position
        self._end = len(frame)

    def take(self, size: int) -> bytes:
        """The next `size` bytes, as an object of their own. Raises RemoteProtocolError if there are fewer."""
        start = self._position
        self._position = end = start + size
        if end > self._end:
            raise RemoteProtocolError(f"a frame ends {end - self._end} bytes before what its envelope says")
        return bytes(self._frame[start:end])

    def finish(self) -> None:
        """Raises RemoteProtocolError if anything is left."""
        if self._position != self._end:
            raise RemoteProtocolError(f"a frame has {self._end - self._position} bytes that its envelope does not name")


def write_batch(batch: Batch, raw: list[bytes]) -> dict[str, Any]:
    """The batch's place in the envelope; its bytes are put onto `raw`. Raises LocalProtocolError."""
    if len(batch.front) != FRONT_SIZE:
        raise LocalProtocolError(f"the front of a batch has {len(batch.front)} bytes, not {FRONT_SIZE}")
    raw += batch
    return {"body_size": len(batch.body)}


def read_batch(wire: Any, raw: RawReader) -> Batch:
    """The batch of this place in the envelope. Raises RemoteProtocolError."""
    return Batch(raw.take(FRONT_SIZE), raw.take(wire.body_size))


def write_entries(entries: tuple[Entry, ...], raw: list[bytes]) -> dict[str, Any] | None:
    """The entries' columns, None if there are none; their bytes are put onto `raw`. Raises LocalProtocolError."""
    if not entries:
        return None
    first = entries[0].gseq
    if [entry.gseq for entry in entries] != list(range(first, first + len(entries))):
        raise LocalProtocolError(f"the entries of a message are not contiguous from gseq {first} on")
    places: dict[Epoch, int] = {}
    columns: dict[str, Any] = {
        "first": first,
        "epoch": [places.setdefault(entry.epoch, len(places)) for entry in entries],
        "kind": [entry.kind for entry in entries],
        "topic_id": [entry.topic_id for entry in entries],
        "partition": [entry.partition for entry in entries],
        "front_size": [len(entry.front) for entry in entries],
        "body_size": [len(entry.body) for entry in entries],
        "chain": [entry.chain for entry in entries],
    }
    columns["epochs"] = [epoch._asdict() for epoch in places]
    for entry in entries:
        if entry.front:
            raw.append(entry.front)
        raw.append(entry.body)
    return columns


def read_entries(wire: Any, raw: RawReader) -> tuple[Entry, ...]:
    """The entries of these columns. Raises RemoteProtocolError for columns that do not fit one another."""
    first, take = wire.first, raw.take
    epochs = [Epoch(epoch.n, epoch.node_id, epoch.store_id) for epoch in wire.epochs]
    rows = zip(*_columns_of(wire), strict=True)
    try:
        entries = tuple(
            [
                Entry(first + row, epochs[epoch], _KINDS[kind], topic_id, partition, take(front), take(body), chain)
                for row, (epoch, kind, topic_id, partition, front, body, chain) in enumerate(rows)
            ]
        )
    except (IndexError, KeyError, ValueError) as error:
        raise RemoteProtocolError(f"the columns of a message's entries do not fit one another: {error}") from error
    if first + len(entries) > COUNT_MAX or any(epoch.n > COUNT_MAX for epoch in epochs):
        raise RemoteProtocolError("the gseq or the epoch of an entry is too large")
    return entries


def _columns_of(wire: Any) -> list[list[int]]:
    columns = [
        wire.epoch[:],
        wire.kind[:],
        wire.topic_id[:],
        wire.partition[:],
        wire.front_size[:],
        wire.body_size[:],
        wire.chain[:],
    ]
    if not all(columns):
        raise RemoteProtocolError("a message says that it has entries, and a column of them is empty")
    if max(columns[2]) > COUNT_MAX or max(columns[3]) > PARTITION_MAX:
        raise RemoteProtocolError("the topic id or the partition of an entry is too large")
    if not _FRONT_SIZES.issuperset(columns[4]):
        raise RemoteProtocolError(f"the front of an entry has neither 0 nor {FRONT_SIZE} bytes")
    return columns
