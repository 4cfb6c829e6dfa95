"""A file comes out as it went in, whatever bytes it has and however they arrive."""

from __future__ import annotations

import io
from collections.abc import Iterable
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logstream.console.text import EOL_HEADER, READ_SIZE, Lines, LineTooLong, LineWriter, lines_of

BYTES = st.lists(st.sampled_from([b"\n", b"\r", b"\0", b"a", b"\xff", b"\r\n", b"line"])).map(b"".join)


class Rec(NamedTuple):
    """A record as a consumer has it."""

    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int = 0


class Pieces:
    """A stream that comes in these pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter([piece for piece in pieces if piece])

    def read(self, _size: int) -> bytes:
        return next(self._pieces, b"")


def records_of(data: bytes, partition: int = 0) -> list[Rec]:
    groups = lines_of(io.BytesIO(data), 1 << 30)
    return [Rec(value, () if group.ended else (EOL_HEADER,), partition) for group in groups for value in group.values]


def written(writer: LineWriter, records: list[Rec]) -> bytes:
    return b"".join(writer.text([record]) for record in records) + writer.rest()


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (b"", []),
        (b"a\nb\n", [Rec(b"a"), Rec(b"b")]),
        (b"a\r\nb", [Rec(b"a\r"), Rec(b"b", (EOL_HEADER,))]),
        (b"\n\n", [Rec(b""), Rec(b"")]),
        (b"a\rb\0\xff\n", [Rec(b"a\rb\0\xff")]),
    ],
)
def test_a_line_is_what_ends_in_lf(data: bytes, values: list[Rec]) -> None:
    assert records_of(data) == values


@given(st.lists(BYTES))
def test_it_does_not_matter_where_a_stream_is_cut(pieces: list[bytes]) -> None:
    cut = [value for group in lines_of(Pieces(pieces), 1 << 30) for value in group.values]
    assert cut == [record.value for record in records_of(b"".join(pieces))]


@given(BYTES, st.booleans())
def test_lines_come_out_as_they_went_in(data: bytes, hold: bool) -> None:
    assert written(LineWriter(hold), records_of(data)) == data


@given(BYTES, BYTES, st.booleans())
def test_two_files_in_one_partition_come_out_one_after_the_other(one: bytes, two: bytes, hold: bool) -> None:
    assert written(LineWriter(hold), records_of(one) + records_of(two)) == one + two


@given(st.lists(BYTES, min_size=2, max_size=4), st.randoms())
def test_no_line_is_glued_to_one_of_another_partition(files: list[bytes], random: Random) -> None:
    waiting = [records_of(data, partition) for partition, data in enumerate(files) if data]
    records = []
    while any(waiting):
        records.append(random.choice([queue for queue in waiting if queue]).pop(0))
    out = written(LineWriter(hold=True), records)
    lines = [line for data in files if data for line in data.removesuffix(b"\n").split(b"\n")]
    assert sorted(out.removesuffix(b"\n").split(b"\n") if out else []) == sorted(lines)


def test_a_record_without_lf_waits_until_its_partition_goes_on_or_all_is_read() -> None:
    writer = LineWriter(hold=True)
    last = Rec(b"last", (EOL_HEADER,), partition=1)
    assert writer.text([last, Rec(b"other")]) == b"other\n"
    assert writer.text([Rec(b"more", partition=1)]) == b"lastmore\n"
    assert writer.text([last]) == b""
    assert writer.rest() == b"last"


def test_when_output_must_not_wait_an_lf_keeps_partitions_apart() -> None:
    writer = LineWriter(hold=False)
    assert writer.text([Rec(b"last", (EOL_HEADER,), partition=1)]) == b"last"
    assert writer.text([Rec(b"other")]) == b"\nother\n"


def test_a_stream_is_passed_on_as_it_comes() -> None:
    groups = lines_of(Pieces([b"a\nb", b"c\n", b"d"]), 10)
    assert list(groups) == [Lines(1, [b"a"]), Lines(2, [b"bc"]), Lines(3, [b"d"], ended=False)]


def test_the_lines_before_one_that_is_too_long_are_given_out() -> None:
    groups = lines_of(io.BytesIO(b"a\nb\nlong\nc\n"), 3)
    assert next(groups) == Lines(1, [b"a", b"b"])
    with pytest.raises(LineTooLong) as raised:
        next(groups)
    assert (raised.value.line, raised.value.size) == (3, 4)


def test_a_line_that_never_ends_is_not_read_to_its_end() -> None:
    class Endless:
        given = 0

        def read(self, size: int) -> bytes:
            self.given += size
            return b"x" * size

    endless = Endless()
    with pytest.raises(LineTooLong):
        list(lines_of(endless, 1 << 20))
    assert endless.given <= (1 << 20) + READ_SIZE


def test_a_line_of_five_megabytes_is_one_record() -> None:
    data = b"x" * 5_000_000
    assert [len(record.value) for record in records_of(data + b"\n" + data)] == [5_000_000, 5_000_000]
