"""Text in, text out: lines become records and records lines, byte for byte.

    in    b"one\\r\\ntwo"      two records: b"one\\r", and b"two" with the header eol=0
    out   record + LF, and no LF after eol=0: the file comes out as it went in

A line is what ends in LF; CR, NUL and broken UTF-8 are bytes like all others. Streams are read in
pieces as they come, so a pipe is passed on at once, a file of any size needs little memory, and one
huge line costs no more than its own bytes.

With several partitions only the order within each is given, so a record without LF may arrive before
records of other partitions. It must not be glued to them: it is held back until its own partition
goes on or all is read (see Lines.hold), or is followed by an LF where output must not wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

EOL_HEADER = ("eol", b"0")
READ_SIZE = 1 << 18


class Source(Protocol):
    """A binary stream whose read returns what is there, at most `size` bytes, b"" at the end."""

    def read(self, size: int, /) -> bytes | None:
        """Some bytes; None if a non-blocking stream has none."""
        ...


class Lines(NamedTuple):
    """Consecutive lines without their LF."""

    first: int  # number of the first line, from 1
    values: list[bytes]
    ended: bool = True  # False: one line, the last of its stream, and it has no LF


class LineTooLong(Exception):
    """A line over the limit; all lines before it have been given out."""

    def __init__(self, line: int, size: int) -> None:
        super().__init__(f"line {line} has {size} bytes or more")
        self.line = line
        self.size = size


def lines_of(source: Source, line_max: int) -> Iterator[Lines]:
    """The lines of a stream, in groups as they arrive. Raises LineTooLong with the first line over line_max bytes."""
    number = 1
    begun: list[bytes] = []  # the pieces of a line whose LF has not come yet
    begun_size = 0
    while data := source.read(READ_SIZE):
        values = data.split(b"\n")
        begun.append(values[0])
        begun_size += len(values[0])
        if len(values) > 1:
            values[0] = b"".join(begun)
            begun = [values.pop()]
            begun_size = len(begun[0])
            yield from _within(number, values, line_max)
            number += len(values)
        if begun_size > line_max:
            raise LineTooLong(number, begun_size)
    if begun_size:
        yield Lines(number, [b"".join(begun)], ended=False)


def _within(number: int, values: list[bytes], line_max: int) -> Iterator[Lines]:
    if max(map(len, values)) <= line_max:
        yield Lines(number, values)
        return
    at = next(index for index, value in enumerate(values) if len(value) > line_max)
    if at:
        yield Lines(number, values[:at])
    raise LineTooLong(number + at, len(values[at]))


class Record(Protocol):
    """What the writer needs of a record."""

    @property
    def partition(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class LineWriter:
    """Turns records into the bytes to write. `hold` says whether a record without LF may wait for the others."""

    def __init__(self, hold: bool) -> None:
        self._hold = hold
        self._held: dict[int, bytes] = {}  # by partition
        self._open: int | None = None  # partition of the last record written, if it has no LF

    def text(self, records: Sequence[Record]) -> bytes:
        """The bytes of these records; a record may stay behind until `rest`."""
        out: list[bytes] = []
        for record in records:
            self._add(out, record.partition, record.value or b"", _has_eol(record))
        return b"".join(out)

    def rest(self) -> bytes:
        """What was held back, at the end of everything."""
        out: list[bytes] = []
        for partition in sorted(self._held):
            self._write(out, partition, self._held[partition], ended=False)
        self._held.clear()
        return b"".join(out)

    def _add(self, out: list[bytes], partition: int, value: bytes, ended: bool) -> None:
        held = self._held.pop(partition, None) if self._held else None
        if held is not None:
            self._write(out, partition, held, ended=False)
        if not ended and self._hold:
            self._held[partition] = value
        else:
            self._write(out, partition, value, ended)

    def _write(self, out: list[bytes], partition: int, value: bytes, ended: bool) -> None:
        if self._open is not None and self._open != partition:
            out.append(b"\n")
        out.append(value)
        if ended:
            out.append(b"\n")
        self._open = None if ended else partition


def _has_eol(record: Record) -> bool:
    return not record.headers or EOL_HEADER not in record.headers
