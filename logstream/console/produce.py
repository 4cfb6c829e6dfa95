"""`producer`: lines of files, of stdin or of a terminal become records, and the summary says what became of them.

Reading stops at the first record that cannot be sent, and at Ctrl-C; what was handed over before is waited
for. So nothing is lost silently: either all is acknowledged, or one line says how much was, which record
was the first that was not, why, and how to continue there, and the exit code is 1.

Where records come from is reading.py, how they are counted is sending.py, a person at the keyboard is
conversation.py.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

from logstream.console.connection import admin, bootstrap_of
from logstream.console.conversation import Typed, converse
from logstream.console.failure import USAGE, Failure
from logstream.console.interruption import Interruption
from logstream.console.progress import Progress, progress
from logstream.console.reading import STDIN, line_pieces, paced, portion, repeated, whole_piece
from logstream.console.sending import Piece, Place, Sending
from logstream.console.text import Source
from logstream.core.topic_names import fault_in_name
from logstream.protocol.errors import LogStreamError, TopicExists, UnknownTopic
from logstream.settings import Settings

if TYPE_CHECKING:
    from logstream.client import Producer
    from logstream.protocol.batches import Compression

DASH = Path("-")  # stdin, as an argument


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for on the command line."""

    topic: str
    files: tuple[Path, ...] = ()  # none: stdin
    key: bytes | None = None
    whole: bool = False
    message: bytes | None = None  # instead of files
    rate_per_s: float | None = None  # None: as fast as it goes
    count: int | None = None  # None: all, and of a message one, or without an end if there is a rate
    resume: int = 1  # number of the first record to send
    compression: Compression = "none"

    @classmethod
    def of(
        cls,
        topic: str,
        files: list[Path] | None,
        key: str | None,
        whole: bool,
        message: str | None,
        rate: float | None,
        interval_ms: float | None,
        count: int | None,
        resume: int,
        compression: Compression = "none",
    ) -> Order:
        """Check what the command line's types cannot. Raises Failure."""
        if message is not None and (files or whole):
            raise Failure("--message is what is sent: leave out --whole and FILE", USAGE)
        if rate is not None and interval_ms is not None:
            raise Failure("--rate and --interval say the same in two ways, choose one", USAGE)
        if rate is None and interval_ms:
            rate = 1000 / interval_ms
        if message is not None and count is None and rate is None:
            count = 1
        encoded = [None if text is None else os.fsencode(text) for text in (key, message)]
        return cls(topic, tuple(files or ()), encoded[0], whole, encoded[1], rate, count, resume, compression)

    @property
    def typed(self) -> bool:
        """Does a person type the lines?"""
        from_stdin = self.message is None and not self.whole and self.files in ((), (DASH,))
        return from_stdin and sys.stdin.isatty()

    @property
    def endless(self) -> bool:
        """Is Ctrl-C how it is meant to end?"""
        return self.typed or (self.message is not None and self.count is None)


def produce(settings: Settings, order: Order) -> int:
    """Send what was ordered and print the summary. Raises Failure, LogStreamError, or OSError for a file."""
    _check(order)
    from logstream.client import Producer

    began = time.monotonic()
    client = settings.client
    producer = Producer(
        bootstrap_of(settings), settings.shared.cluster, compression=order.compression, timeout_s=client.timeout_s
    )
    sending = Sending(producer, order.topic, order.key)
    all_read = False
    with Interruption(lambda: sending.sent - sending.settled, lambda: _abandon(producer)) as interruption:
        with suppress(KeyboardInterrupt):
            _send_all(sending, order, settings.shared.record_max - len(order.key or b""), interruption)
            all_read = True
        sending.finish()
        with suppress(LogStreamError):  # what the producer raises here its handles say too
            producer.close()
        if not sending.sent and sending.error is None and all_read:
            _check_resume(sending, order)
            _make_topic(settings, order.topic)
        seconds = time.monotonic() - began
        return _summary(sending, order, seconds, all_read, waited=interruption.times < 2)


def _send_all(sending: Sending, order: Order, record_max: int, interruption: Interruption) -> None:
    pieces = portion(_pieces(order, record_max, interruption), sending, order.resume, order.count)
    if order.rate_per_s is not None:
        pieces = paced(pieces, order.rate_per_s, interruption.wait)
    if order.typed:
        return converse(sending, pieces)
    with progress(_total(order)) as shown:
        sending.send_all(_measured(pieces, shown))


def _measured(pieces: Iterable[Piece], shown: Progress) -> Iterator[Piece]:
    """The pieces, each told to the progress bar when it has been handed over."""
    for piece in pieces:
        yield piece
        shown(sum(map(len, piece.values)) + len(piece.values))


def _pieces(order: Order, record_max: int, interruption: Interruption) -> Iterator[Piece]:
    if order.message is not None:
        return repeated(order.message, record_max)
    return chain.from_iterable(_of_file(file, order, record_max, interruption) for file in order.files or (DASH,))


def _of_file(file: Path, order: Order, record_max: int, interruption: Interruption) -> Iterator[Piece]:
    with _opened(file) as source:
        read = _Interruptible(Typed(source, order.topic) if order.typed else source, interruption)
        name = STDIN if file == DASH else str(file)
        yield from (whole_piece if order.whole else line_pieces)(name, read, record_max)


class _Interruptible:
    """A source that Ctrl-C may interrupt while it is waited for."""

    def __init__(self, source: Source, interruption: Interruption) -> None:
        self._source = source
        self._interruption = interruption

    def read(self, size: int, /) -> bytes | None:
        with self._interruption.may_interrupt():
            return self._source.read(size)


# --- files ---


def _check(order: Order) -> None:
    """What cannot work is better found before anything is sent. Raises Failure, or OSError for a file."""
    fault = fault_in_name(order.topic)
    if fault is not None:
        raise Failure(fault)
    for file in order.files:
        with _opened(file):
            pass


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """Unbuffered: a read returns what is there, so that a pipe is passed on as it comes."""
    if file == DASH:
        yield getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
    else:
        with file.open("rb", buffering=0) as stream:
            yield stream


def _total(order: Order) -> int | None:
    """Bytes to send, if that is known."""
    files = order.files
    if not files or order.resume > 1 or order.count is not None:
        return None
    if not all(file != DASH and stat.S_ISREG(file.stat().st_mode) for file in files):
        return None
    return sum(file.stat().st_size for file in files)


# --- the end ---


def _abandon(producer: Producer) -> None:
    """What is not acknowledged by now is given up; the main thread hears it by the handles."""
    with suppress(LogStreamError):
        producer.close(0.0)


def _check_resume(sending: Sending, order: Order) -> None:
    if sending.number < order.resume:
        raise Failure(
            f"--resume {order.resume}: the input ends at record {sending.number - 1}, nothing was sent", USAGE
        )


def _make_topic(settings: Settings, name: str) -> None:
    """An input without records makes an empty topic: reading it back gives the same nothing."""
    if not settings.shared.auto_create:
        return
    with admin(settings) as asking:
        try:
            asking.describe(name)
        except UnknownTopic:
            try:
                asking.create_topic(name, settings.shared.default_partitions)
            except TopicExists:
                return  # somebody was faster


def _summary(sending: Sending, order: Order, seconds: float, all_read: bool, waited: bool) -> int:
    counted = f"sent {sending.sent}, acknowledged {sending.acknowledged}"
    reason = "interrupted" if waited else "interrupted twice, so nothing was waited for"
    if sending.error is not None and waited:
        reason = f"{sending.lost}: {' '.join(str(sending.error).split())}"
    elif sending.error is None and (all_read or order.endless):
        rate = sending.acknowledged / max(seconds, 1e-9)
        print(f"{counted}, {rate:,.0f} records/s, {seconds:.2f} s", file=sys.stderr)
        return 0
    raise Failure(f"{reason}; {counted}, outcome unknown {sending.unknown}, {_where_to_continue(sending, order)}")


def _where_to_continue(sending: Sending, order: Order) -> str:
    place, number = sending.lost, sending.lost_number
    if sending.error is None:
        place, number = sending.place or _first_place(order), max(sending.number, order.resume)
    told = f"first not acknowledged: {place}, continue with --resume {number}"
    if sending.beyond:
        told += f" (which repeats {sending.beyond} that are acknowledged behind it)"
    return told


def _first_place(order: Order) -> Place:
    if order.message is not None:
        return Place("message", 1)
    file = order.files[0] if order.files else DASH
    return Place(STDIN if file == DASH else str(file), 0 if order.whole else 1)
