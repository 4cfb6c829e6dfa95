"""What `producer` reads: lines, whole files, a text again and again; from a record on, so many, so fast."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice

import pytest

from logstream.console.reading import line_pieces, paced, portion, repeated, whole_piece
from logstream.console.sending import CannotSend, Piece, Place, Sending

PIECES = [Piece(Place("a", 1), [b"1", b"2", b"3"]), Piece(Place("b", 1), [b"4", b"5"])]


class NoProducer:
    """Nothing is sent."""


class Clock:
    """Time passes where it is waited for."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waited: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


def values(pieces: Iterator[Piece]) -> list[list[bytes]]:
    return [piece.values for piece in pieces]


def sending() -> Sending:
    return Sending(NoProducer(), "t", None)  # type: ignore[arg-type]


def test_the_last_line_without_lf_has_a_header_and_its_place() -> None:
    assert list(line_pieces("f", io.BytesIO(b"one\ntwo"), 9)) == [
        Piece(Place("f", 1), [b"one"]),
        Piece(Place("f", 2), [b"two"], (("eol", b"0"),)),
    ]


def test_a_whole_file_is_one_record_and_too_large_a_one_is_none() -> None:
    assert list(whole_piece("f", io.BytesIO(b"one\ntwo"), 7)) == [Piece(Place("f"), [b"one\ntwo"])]
    with pytest.raises(CannotSend, match=r"^f: a record of 8 bytes or more"):
        list(whole_piece("f", io.BytesIO(b"one\ntwo\n"), 7))


def test_a_message_comes_again_and_again_and_is_counted() -> None:
    first, second = islice(repeated(b"hi", 9), 2)
    assert set(first.values) == {b"hi"}
    assert second.first == Place("message", 1 + len(first.values))
    with pytest.raises(CannotSend, match=r"^message line 1: a record of 2 bytes"):
        next(repeated(b"hi", 1))


@pytest.mark.parametrize(
    ("resume", "total", "given"),
    [
        (1, None, [[b"1", b"2", b"3"], [b"4", b"5"]]),
        (3, None, [[b"3"], [b"4", b"5"]]),
        (4, None, [[b"4", b"5"]]),
        (2, 3, [[b"2", b"3"], [b"4"]]),
        (1, 0, []),
        (6, None, []),
        (9, None, []),
    ],
)
def test_a_portion_begins_at_a_record_and_has_so_many(resume: int, total: int | None, given: list[list[bytes]]) -> None:
    assert values(portion(PIECES, sending(), resume, total)) == given


def test_what_is_passed_over_has_its_number_and_place() -> None:
    counting = sending()
    (only,) = portion(PIECES, counting, 5, None)
    assert (only.first, counting.number, counting.place) == (Place("b", 2), 5, Place("b", 2))


def test_enough_is_not_read_beyond() -> None:
    """A pipe that gives no more than was wanted must not be waited for."""

    def endless() -> Iterator[Piece]:
        yield PIECES[0]
        raise AssertionError("it was read on")

    assert values(portion(endless(), sending(), 1, 3)) == [[b"1", b"2", b"3"]]


def test_at_a_low_rate_records_go_one_by_one() -> None:
    clock = Clock()
    assert values(paced(PIECES, 10.0, clock.wait, clock)) == [[b"1"], [b"2"], [b"3"], [b"4"], [b"5"]]
    assert clock.now == pytest.approx(100.4)


def test_at_a_high_rate_they_go_in_groups_and_the_rate_is_kept() -> None:
    clock = Clock()
    pieces = [Piece(Place("f", 1), [b"x"] * 5000)]
    groups = values(paced(pieces, 100_000.0, clock.wait, clock))
    assert sum(map(len, groups)) == 5000 and len(groups) < 200
    assert clock.now - 100.0 == pytest.approx(0.05, abs=0.002)
