"""Entries that arrived before their turn, waiting for the gap below them to close (R9).

Bounded: beyond ENTRIES_MAX entries or BYTES_MAX bytes an entry is dropped, and asked for again once the
gap has moved. One entry of any size always fits, so the largest batch can never be stuck.
"""

from __future__ import annotations

from collections.abc import Iterator

from logstream.protocol.messages import Entry

ENTRIES_MAX = 4096
BYTES_MAX = 8 << 20


class Holdback:
    """What is received but not contiguous; it is never acknowledged."""

    def __init__(self) -> None:
        self._held: dict[int, Entry] = {}
        self.bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[int]:
        """The gseqs that are held."""
        return iter(self._held)

    @property
    def room(self) -> int:
        """Bytes that may still come out of order."""
        return max(BYTES_MAX - self.bytes, 0)

    def hold(self, entry: Entry) -> None:
        """Keep an entry for later, if there is room."""
        if entry.gseq in self._held:
            return
        full = len(self._held) >= ENTRIES_MAX or self.bytes + entry.size > BYTES_MAX
        if full and self._held:
            self.dropped += 1
            return
        self._held[entry.gseq] = entry
        self.bytes += entry.size

    def take(self, gseq: int) -> Entry | None:
        """The entry of this gseq, if it is here."""
        entry = self._held.pop(gseq, None)
        if entry is not None:
            self.bytes -= entry.size
        return entry

    def ready(self, end: int) -> Iterator[Entry]:
        """Take the entries that continue a log ending at `end`."""
        while (entry := self.take(end + 1)) is not None:
            yield entry
            end += 1

    def first(self) -> int | None:
        """The lowest gseq held."""
        return min(self._held, default=None)

    def clear(self) -> None:
        """Forget everything: another view begins."""
        self._held.clear()
        self.bytes = 0
