"""`producer`: lines of files or of stdin become records, and the summary says what became of them.

Reading stops at the first record that cannot be sent; what was handed over before is waited for. So
nothing is lost silently: either all is acknowledged, or one line says how much was, which record was
the first that was not, and why, and the exit code is 1.
"""

from __future__ import annotations

import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from logstream.console.connection import admin, bootstrap_of
from logstream.console.failure import Failure
from logstream.console.progress import Progress, progress
from logstream.console.sending import Place, Sending
from logstream.console.text import EOL_HEADER, LineTooLong, Source, lines_of
from logstream.core.topics import fault_in_name
from logstream.protocol.errors import LogStreamError, RecordTooLarge, TopicExists, UnknownTopic
from logstream.settings import Settings

if TYPE_CHECKING:
    from logstream.client import Producer

LAST_WORD_S = 2.0  # after Ctrl-C, for what is under way
STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for on the command line."""

    topic: str
    files: tuple[Path, ...]  # none: stdin
    key: bytes | None
    whole: bool


class _Measured:
    """A source that tells the progress bar how much was read."""

    def __init__(self, source: IO[bytes], shown: Progress) -> None:
        self._source = source
        self._shown = shown

    def read(self, size: int, /) -> bytes | None:
        data = self._source.read(size)
        self._shown(len(data or b""))
        return data


def produce(settings: Settings, order: Order) -> int:
    """Send what was ordered and print the summary. Raises Failure, LogStreamError, or OSError for a file."""
    _check(order)
    from logstream.client import Producer

    began = time.monotonic()
    producer = Producer(bootstrap_of(settings), settings.shared.cluster, timeout_s=settings.client.timeout_s)
    sending = Sending(producer, order.topic, order.key)
    interrupted = False
    try:
        _send_all(sending, order, settings.shared.record_max - len(order.key or b""))
        sending.finish()
    except KeyboardInterrupt:
        interrupted = True
    _close(producer, sending, interrupted)
    if not sending.sent and sending.error is None:
        _make_topic(settings, order.topic)
    return _summary(sending, time.monotonic() - began, interrupted)


def _send_all(sending: Sending, order: Order, record_max: int) -> None:
    with progress(_total(order.files)) as shown:
        for file in order.files or (STDIN,):
            with _opened(file) as source:
                send = _send_whole if order.whole else send_lines
                send(sending, "stdin" if file == STDIN else str(file), _Measured(source, shown), record_max)
            if sending.error is not None:
                return


def send_lines(sending: Sending, name: str, source: Source, record_max: int) -> None:
    """Send every line of a source; stop at the first that cannot be sent. Records over record_max bytes cannot."""
    try:
        for lines in lines_of(source, record_max):
            place = Place(name, lines.first)
            if lines.ended:
                sending.send_lines(lines.values, place)
            else:
                sending.send(lines.values[0], place, headers=(EOL_HEADER,))
            if sending.error is not None:
                return
    except LineTooLong as error:
        sending.give_up(Place(name, error.line), _too_large(error.size, record_max))


def _send_whole(sending: Sending, name: str, source: Source, record_max: int) -> None:
    pieces, size = [], 0
    while size <= record_max and (piece := source.read(record_max + 1 - size)):
        pieces.append(piece)
        size += len(piece)
    if size > record_max:
        sending.give_up(Place(name), _too_large(size, record_max))
    else:
        sending.send(b"".join(pieces), Place(name))


def _too_large(size: int, record_max: int) -> LogStreamError:
    return RecordTooLarge(f"a record of {size} bytes or more, the limit (setting record_max) is {record_max}")


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
    if file == STDIN:
        yield getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
    else:
        with file.open("rb", buffering=0) as stream:
            yield stream


def _total(files: tuple[Path, ...]) -> int | None:
    """Bytes to read, if that is known."""
    if not files or not all(file != STDIN and stat.S_ISREG(file.stat().st_mode) for file in files):
        return None
    return sum(file.stat().st_size for file in files)


# --- the end ---


def _close(producer: Producer, sending: Sending, interrupted: bool) -> None:
    """Every record gets its outcome. What the producer raises here its handles say too."""
    with suppress(LogStreamError):
        producer.close(LAST_WORD_S if interrupted else None)
    sending.finish()


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


def _summary(sending: Sending, seconds: float, interrupted: bool) -> int:
    counted = f"sent {sending.sent}, acknowledged {sending.acknowledged}"
    if sending.error is not None:
        reason = " ".join(str(sending.error).split())
        raise Failure(f"{sending.lost}: {reason}; {counted}, first not acknowledged: {sending.lost}")
    rate = sending.acknowledged / max(seconds, 1e-9)
    print(f"{counted}, {rate:,.0f} records/s, {seconds:.2f} s", file=sys.stderr)
    if interrupted:
        raise Failure(f"interrupted; {counted}")
    return 0
