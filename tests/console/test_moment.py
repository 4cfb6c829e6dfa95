"""Moments as people write them, and what `--from` makes of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from logstream.console.consume import Wish
from logstream.console.failure import Failure
from logstream.console.moment import moment


def start_of(text: str) -> object:
    return Wish.of("t", text, follow=False, count=None, as_json=False, raw=False, output=None).start


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("30s", timedelta(seconds=30)),
        ("10m", timedelta(minutes=10)),
        ("2H", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("0s", timedelta(0)),
    ],
)
def test_so_long_ago_is_written_with_units(text: str, ago: timedelta) -> None:
    assert moment(text) == start_of(text) == ago


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-11-23", datetime(2026, 11, 23)),
        ("2026-11-23T10:00", datetime(2026, 11, 23, 10)),
        ("2026-11-23 10:00:30.5", datetime(2026, 11, 23, 10, 0, 30, 500_000)),
        ("2026-11-23T10:00Z", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("2026-11-23T10:00:00.123+01:00", datetime(2026, 11, 23, 10, 0, 0, 123_000, timezone(timedelta(hours=1)))),
    ],
)
def test_a_time_is_written_with_its_date_and_is_local_without_a_zone(text: str, when: datetime) -> None:
    said = moment(text)
    assert said == start_of(text) == when
    assert isinstance(said, datetime) and said.tzinfo == when.tzinfo


@pytest.mark.parametrize(("text", "start"), [("start", "start"), ("end", "end"), ("0", 0), ("20261123", 20261123)])
def test_words_and_offsets_are_no_times(text: str, start: str | int) -> None:
    assert start_of(text) == start


@pytest.mark.parametrize(
    "text", ["", "10", "m", "10x", "5m1h", "1.5h", "-5m", "yesterday", "2026-13-01", "10:00", "9" * 20 + "d"]
)
def test_nothing_else_is_a_moment(text: str) -> None:
    with pytest.raises(ValueError):
        moment(text)


@pytest.mark.parametrize("text", ["10x", "-5", "2026-13-01", "0001-01-01T00:00+01:00", "9" * 20, "9" * 20 + "d"])
def test_from_says_what_may_be_written(text: str) -> None:
    with pytest.raises(Failure) as told:
        start_of(text)
    assert str(told.value).startswith(f"--from {text}: write start, end, an offset, how long ago (10m, ")
    assert told.value.exit_code == 2
