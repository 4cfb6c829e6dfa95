"""The summary never hides a record: it counts what is acknowledged and names the first that is not."""

from __future__ import annotations

import io
from typing import Any

import pytest

from logstream.client.handles import BulkHandle, Handle, acknowledge, fail
from logstream.console.produce import send_lines
from logstream.console.sending import Place, Sending
from logstream.core.client_events import Span
from logstream.protocol.errors import LogStreamError, RequestTimedOut

LATE = RequestTimedOut("too late")


class Scripted:
    """A producer that acknowledges every record at once, except those whose values it is told to lose or refuse."""

    def __init__(self, lose: bytes = b"-", refuse: bytes = b"-") -> None:
        self._lose, self._refuse = lose, refuse
        self.values: list[bytes] = []

    def send(self, topic: str, value: bytes, key: bytes | None, headers: Any) -> Handle:
        self._check(value)
        handle = Handle()
        if value == self._lose:
            fail([handle], LATE)
        else:
            acknowledge([handle], 0, len(self.values))
        self.values.append(value)
        return handle

    def send_many(self, topic: str, values: list[bytes], key: bytes | None) -> BulkHandle:
        handle = BulkHandle()
        for number, value in enumerate(values):
            self._check(value)
            handle.given(1)
            span = Span(handle, number, 1)
            if value == self._lose:
                fail([span], LATE)
            else:
                acknowledge([span], 0, len(self.values))
            self.values.append(value)
        handle.close()
        return handle

    def _check(self, value: bytes) -> None:
        if value == self._refuse:
            raise LATE


def sent(producer: Any, data: bytes, record_max: int = 100) -> Sending:
    sending = Sending(producer, "t", None)
    send_lines(sending, "file", io.BytesIO(data), record_max)
    sending.finish()
    return sending


def outcome(sending: Sending) -> tuple[int, int, Place | None, LogStreamError | None]:
    return sending.sent, sending.acknowledged, sending.lost, sending.error


def test_all_is_well_when_all_is_acknowledged() -> None:
    assert outcome(sent(Scripted(), b"a\nb\nc")) == (3, 3, None, None)


@pytest.mark.parametrize(("lost", "line"), [(b"a", 1), (b"b", 2), (b"c", 3)])
def test_the_first_line_that_is_not_acknowledged_is_named(lost: bytes, line: int) -> None:
    assert outcome(sent(Scripted(lose=lost), b"a\nb\nc\n")) == (3, 2, Place("file", line), LATE)


def test_a_producer_that_takes_no_more_ends_the_reading() -> None:
    assert outcome(sent(Scripted(refuse=b"a"), b"a\nb\n")) == (0, 0, Place("file", 1), LATE)


def test_a_line_over_the_limit_is_named_and_what_comes_after_it_is_not_sent() -> None:
    producer = Scripted()
    sending = sent(producer, b"a\nb\nlong\nc\n", record_max=3)
    assert producer.values == [b"a", b"b"]
    assert outcome(sending)[:3] == (2, 2, Place("file", 3))
    assert "a record of 4 bytes or more, the limit (setting record_max) is 3" in str(sending.error)


def test_a_place_reads_as_people_say_it() -> None:
    assert [str(Place("x", 3)), str(Place("x").after(2)), str(Place("x", 3).after(2))] == ["x line 3", "x", "x line 5"]
