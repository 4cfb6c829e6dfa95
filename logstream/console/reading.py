"""Reading: what `producer` sends, in pieces as it comes: lines, whole files, or a text again and again.

    files, stdin, --message -> pieces -> Portion: from record --resume on, --count of them
                                      -> Pace: as many as are due with --rate or --interval

A piece is what one read gave, so a pipe is passed on at once. Bytes become lines in text.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Protocol

from logstream.console.sending import CannotSend, Piece, Place, Sending
from logstream.console.text import EOL_HEADER, LineTooLong, Source, lines_of
from logstream.protocol.errors import LogStreamError, RecordTooLarge

STDIN = "stdin"
MESSAGE = "message"  # --message has no lines: its records are counted
REPEATED = 1000  # copies of a --message in one piece


class Wait(Protocol):
    """Waits for so many seconds, unless somebody says that it is enough."""

    def __call__(self, seconds: float) -> None: ...


def line_pieces(name: str, source: Source, record_max: int) -> Iterator[Piece]:
    """Every line of a source as a record. Raises CannotSend for the first one over record_max bytes."""
    try:
        for lines in lines_of(source, record_max):
            yield Piece(Place(name, lines.first), lines.values, () if lines.ended else (EOL_HEADER,))
    except LineTooLong as error:
        raise CannotSend(Place(name, error.line), _too_large(error.size, record_max)) from None


def whole_piece(name: str, source: Source, record_max: int) -> Iterator[Piece]:
    """All of a source as one record. Raises CannotSend if it has over record_max bytes."""
    pieces, size = [], 0
    while size <= record_max and (piece := source.read(record_max + 1 - size)):
        pieces.append(piece)
        size += len(piece)
    if size > record_max:
        raise CannotSend(Place(name), _too_large(size, record_max))
    yield Piece(Place(name), [b"".join(pieces)])


def repeated(text: bytes, record_max: int) -> Iterator[Piece]:
    """The same record again and again, without an end. Raises CannotSend if it has over record_max bytes."""
    if len(text) > record_max:
        raise CannotSend(Place(MESSAGE, 1), _too_large(len(text), record_max))
    for number in count(1, REPEATED):
        yield Piece(Place(MESSAGE, number), [text] * REPEATED)


def _too_large(size: int, record_max: int) -> LogStreamError:
    return RecordTooLarge(f"a record of {size} bytes or more, the limit (setting record_max) is {record_max}")


def portion(pieces: Iterable[Piece], sending: Sending, resume: int, total: int | None) -> Iterator[Piece]:
    """The records from number `resume` on, and at most `total` of them (None: all); earlier ones are passed over."""
    left = total
    if left == 0:
        return
    for piece in pieces:
        skipped = min(max(resume - sending.number, 0), len(piece.values))
        if skipped:
            sending.pass_over(piece.part(0, skipped))
            piece = piece.part(skipped)
        if left is not None:
            piece = piece.part(0, left)
            left -= len(piece.values)
        if piece.values:
            yield piece
        if left == 0:
            return


def paced(
    pieces: Iterable[Piece], per_s: float, wait: Wait, clock: Callable[[], float] = time.monotonic
) -> Iterator[Piece]:
    """The same records, so many a second: what is due goes out together, so that any rate can be kept."""
    began, given = clock(), 0
    for piece in pieces:
        start = 0
        while start < len(piece.values):
            due = int((clock() - began) * per_s) + 1 - given
            if due <= 0:
                wait(max(began + given / per_s - clock(), 0.001))
                continue
            part = piece.part(start, start + due)
            start += len(part.values)
            given += len(part.values)
            yield part
