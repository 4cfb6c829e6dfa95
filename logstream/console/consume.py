"""`consumer`: records to stdout or a file, as lines, as JSON objects or as bare values.

What is there is written at once, however many records that are, so that both `--follow` in a pipe and
a big file are served well.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from logstream.client.beginning import Beginning, beginning
from logstream.console.connection import bootstrap_of
from logstream.console.failure import USAGE, Failure
from logstream.console.moment import moment
from logstream.console.text import LineWriter
from logstream.settings import Settings

if TYPE_CHECKING:
    from logstream.client.consumer import Consumer
    from logstream.client.inbox import Record

AT_ONCE = 10_000  # records

Form = Literal["lines", "json", "raw"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line."""

    topic: str
    start: Beginning
    follow: bool
    count: int | None  # None: all
    form: Form
    output: Path | None  # None: stdout

    @classmethod
    def of(
        cls, topic: str, start: str, follow: bool, count: int | None, as_json: bool, raw: bool, output: Path | None
    ) -> Wish:
        """Check what the command line's types cannot. Raises Failure."""
        if as_json and raw:
            raise Failure("--json and --raw exclude each other, choose one", USAGE)
        form: Form = "json" if as_json else "raw" if raw else "lines"
        return cls(topic, _start(start), follow, count, form, output)


def _start(text: str) -> Beginning:
    if text == "start":
        return "start"
    if text == "end":
        return "end"
    if text.isascii() and text.isdecimal() and int(text) < 1 << 63:
        return int(text)
    try:
        start = moment(text)
        beginning(start, datetime.now(UTC))  # is it a time that can be asked for?
    except ValueError:
        raise Failure(
            f"--from {text}: write start, end, an offset, how long ago (10m, 1h30m, 7d) "
            "or a time (2026-11-23T10:00, local unless it ends in Z or +01:00)",
            USAGE,
        ) from None
    return start


def consume(settings: Settings, wish: Wish) -> int:
    """Write the records. Raises Failure or LogStreamError."""
    from logstream.client import Consumer

    consumer = Consumer(
        wish.topic,
        wish.start,
        wish.follow,
        bootstrap_of(settings),
        settings.shared.cluster,
        timeout_s=settings.client.timeout_s,
    )
    with consumer, _output(wish.output) as out:
        try:
            copy(consumer, wish, out)
        except KeyboardInterrupt:
            if not wish.follow:
                raise
    return 0


def copy(consumer: Consumer, wish: Wish, out: IO[bytes]) -> None:
    """Write the consumer's records until it ends or enough were written."""
    lines = LineWriter(hold=not wish.follow)
    text: dict[Form, Callable[[Sequence[Any]], bytes]] = {"lines": lines.text, "json": _json, "raw": _raw}
    where, left = str(wish.output or "stdout"), wish.count
    while left != 0:
        records = consumer.poll(None, AT_ONCE if left is None else min(left, AT_ONCE))
        if not records:
            break
        _write(out, text[wish.form](records), where)
        left = None if left is None else left - len(records)
    _write(out, lines.rest(), where)


def _write(out: IO[bytes], data: bytes, where: str) -> None:
    """All of it, now. Raises BrokenPipeError if nobody reads any more, Failure for a full disk and the like."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[out.write(rest) :]
        out.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Failure(f"cannot write {where}: {error.strerror}") from None


@contextmanager
def _output(file: Path | None) -> Iterator[IO[bytes]]:
    """Unbuffered where it is a file: what could not be written is not written a second time when it is closed."""
    if file is None:
        yield sys.stdout.buffer
    else:
        with file.open("wb", buffering=0) as stream:
            yield stream


def _raw(records: Sequence[Record]) -> bytes:
    return b"".join([record.value or b"" for record in records])


def _json(records: Sequence[Record]) -> bytes:
    return b"".join([json.dumps(as_object(record)).encode() + b"\n" for record in records])


def as_object(record: Record) -> dict[str, Any]:
    """A record for programs. Bytes that are not UTF-8 stand under NAME_base64 instead of NAME."""
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        **_bytes("key", record.key),
        **_bytes("value", record.value),
        "headers": [{"name": name, **_bytes("value", value)} for name, value in record.headers],
    }


def _bytes(name: str, value: bytes | None) -> dict[str, str | None]:
    try:
        return {name: None if value is None else value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value or b"").decode()}
