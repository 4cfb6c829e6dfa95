"""The summary never hides a record: it counts what is acknowledged and names the first that is not."""

from __future__ import annotations

import io
from typing import Any

import pytest

from logstream.client.handles import BulkHandle, acknowledge, fail
from logstream.console.reading import line_pieces
from logstream.console.sending import AT_ONCE, AT_ONCE_BYTES, Piece, Place, Sending
from logstream.core.client_events import Span
from logstream.protocol.errors import InvalidTopic, LogStreamError, NotSent, OutcomeUnknown, RequestTimedOut

LATE = RequestTimedOut("too late")


class Scripted:
    """A producer that acknowledges every record at once, except those whose values it is told to lose or refuse."""

    def __init__(self, lose: bytes = b"-", refuse: bytes = b"-", error: LogStreamError = LATE) -> None:
        self._lose, self._refuse, self._error = lose, refuse, error
        self.values: list[bytes] = []
        self.calls: list[int] = []

    def send_many(self, topic: str, values: list[bytes], key: bytes | None, headers: Any) -> BulkHandle:
        if self._refuse in values:
            raise self._error
        handle = BulkHandle()
        handle.given(len(values))
        for number, value in enumerate(values):
            span = Span(handle, number, 1)
            if value == self._lose:
                fail([span], self._error)
            else:
                acknowledge([span], 0, len(self.values))
            self.values.append(value)
        handle.close()
        self.calls.append(len(values))
        return handle


def sent(producer: Any, data: bytes, record_max: int = 100) -> Sending:
    sending = Sending(producer, "t", None)
    sending.send_all(line_pieces("file", io.BytesIO(data), record_max))
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


def test_a_record_has_the_number_that_resume_takes() -> None:
    sending = Sending(Scripted(lose=b"d"), "t", None)  # type: ignore[arg-type]
    sending.send_all([Piece(Place("one", 1), [b"a", b"b"]), Piece(Place("two", 1), [b"c", b"d", b"e"])])
    sending.finish()
    assert (str(sending.lost), sending.lost_number, sending.beyond) == ("two line 2", 4, 1)
    assert (sending.number, str(sending.place)) == (6, "two line 4")


@pytest.mark.parametrize(
    ("error", "unknown"),
    [(LATE, 1), (OutcomeUnknown("?"), 1), (NotSent("no answer"), 0), (InvalidTopic("?"), 0)],
    ids=lambda value: type(value).__name__,
)
def test_an_outcome_is_unknown_where_the_record_may_be_in_the_log(error: LogStreamError, unknown: int) -> None:
    sending = sent(Scripted(lose=b"b", error=error), b"a\nb\nc\n")
    assert (sending.acknowledged, sending.unknown) == (2, unknown)


def test_what_is_refused_was_not_sent_and_what_came_before_is_counted() -> None:
    sending = sent(Scripted(refuse=b"last"), b"x\n" * AT_ONCE + b"last\n")
    assert (sending.sent, sending.acknowledged, sending.unknown, sending.beyond) == (AT_ONCE, AT_ONCE, 0, 0)
    assert sending.lost_number == AT_ONCE + 1


def test_one_send_is_small_enough_to_go_as_a_whole_or_not_at_all() -> None:
    """send_many hands over at most 1000 records or 512 KiB in one step."""
    producer = Scripted()
    sending = Sending(producer, "t", None)  # type: ignore[arg-type]
    sending.send(Piece(Place("f", 1), [b""] * (AT_ONCE + 1)))
    sending.send(Piece(Place("f", 2000), [b"x" * AT_ONCE_BYTES] * 3))
    assert producer.calls == [AT_ONCE, 1, 1, 1, 1]
