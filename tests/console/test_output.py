"""What commands print: tables, the status for people, records for programs."""

from __future__ import annotations

from typing import Any

import pytest

from logstream.client.consumer import Record
from logstream.console.consume import Wish, as_object
from logstream.console.failure import Failure
from logstream.console.situation import situation
from logstream.console.status import rates
from logstream.console.status_text import PARTITIONS_SHOWN, as_text
from logstream.console.table import facts, table

STATUS: dict[str, Any] = {
    "cluster": "lab",
    "cluster_id": "c0ffee",
    "node_id": "n2",
    "state": "following",
    "view": 7,
    "leader": "n1",
    "members": [
        {
            "node_id": "n1",
            "address": "127.0.0.1:8001",
            "role": "leader",
            "served_by": "multicast",
            "phi": 0.4,
            "silent_s": 0.1,
        },
        {
            "node_id": "n2",
            "address": "127.0.0.1:8002",
            "role": "follower",
            "served_by": "tcp",
            "phi": None,
            "silent_s": None,
        },
    ],
    "commit": 42,
    "commit_rule": "all",
    "no_quorum": None,
    "waiting": None,
    "situation": "serving: n1 leads 2 members and is heard",
    "rates": {"seconds": 0.5, "records_per_s": 1234.0, "by_topic": {"events": [1230.0, 4.0]}},
    "quarantined": 0,
    "topics": [
        {
            "name": "events",
            "topic_id": 3,
            "partitions": [
                {"partition": 0, "assigned": "n2", "start": 10, "end": 15},
                {"partition": 1, "assigned": None, "start": None, "end": None},
            ],
        }
    ],
    "refused": {"not a frame": 2},
    "loop_turn_max_ms": 1.234,
    "loop_turn_max_of": "replica",
    "no_answer": ["topics"],
}


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    assert table(("NAME", "COUNT"), [("a", 5), ("long name", 123456)]).splitlines() == [
        "NAME        COUNT",
        "a               5",
        "long name  123456",
    ]


def test_a_table_without_rows_is_its_heading() -> None:
    assert table(("NAME", "COUNT"), []) == "NAME  COUNT"


def test_the_values_of_facts_stand_below_one_another() -> None:
    assert facts([("a", 1), ("long", "x")]) == "a     1\nlong  x"


def test_a_table_that_is_too_wide_shows_one_fact_a_line() -> None:
    rows = [("a", 5), ("b", 6)]
    assert table(("NAME", "COUNT"), rows, 11) == table(("NAME", "COUNT"), rows)
    assert table(("NAME", "COUNT"), rows, 10) == "NAME   a\nCOUNT  5\n\nNAME   b\nCOUNT  6"


def test_a_long_value_is_broken_between_words_where_there_is_no_room() -> None:
    assert facts([("a", "one two three four")], 14) == "a  one two\n   three four"


def test_the_status_for_people() -> None:
    assert as_text(STATUS).splitlines() == [
        "cluster         lab c0ffee",
        "situation       serving: n1 leads 2 members and is heard",
        "view            7, led by n1",
        "commit          42 (rule: all)",
        "rate            1,234.0 records/s over 0.5 s",
        "longest turn    1.2 ms, of replica",
        "answered by     n2, following",
        "refused         not a frame: 2",
        "no answer from  topics",
        "",
        "MEMBER  ADDRESS         ROLE      SERVED BY  PHI",
        "n1      127.0.0.1:8001  leader    multicast  0.4",
        "n2      127.0.0.1:8002  follower  tcp",
        "",
        "TOPIC   PARTITION  BROKER  START  END  RECORDS/S",
        "events          0  n2         10   15  1230.0",
        "events          1              0    0  4.0",
    ]


def test_the_status_fits_a_terminal_of_40_columns() -> None:
    said = as_text(STATUS | {"no_quorum": "no quorum", "situation": "word " * 40}, 40)
    assert max(map(len, said.splitlines())) <= 40
    assert "BROKER     n2" in said.splitlines()


def test_very_many_partitions_are_one_line_a_topic() -> None:
    partition = {"partition": 0, "assigned": "n2", "start": 10, "end": 15}
    many = {"name": "many", "topic_id": 4, "partitions": [partition] * (PARTITIONS_SHOWN + 1)}
    assert as_text(STATUS | {"topics": [many]}).splitlines()[-2:] == [
        "TOPIC  PARTITIONS  RECORDS  BROKERS",
        "many          101      505  n2",
    ]


def test_quarantined_entries_stand_among_the_facts() -> None:
    lines = as_text(STATUS | {"quarantined": 3}).splitlines()
    assert any(line.startswith("quarantined     3 entries ") for line in lines)


def test_a_node_without_a_view_says_so() -> None:
    alone = STATUS | {"view": 0, "leader": None, "members": [], "topics": [], "refused": {}, "no_answer": []}
    assert "view          none yet" in as_text(alone).splitlines()


ONE = STATUS["members"][:1]
SITUATIONS: dict[str, dict[str, Any]] = {
    "serving: n1 leads 2 members and is heard": {},
    "serving: all 2 members are heard": {"state": "leading"},
    "serving with one member: every record is on one node only": {"state": "leading", "members": ONE},
    "serving, but silent: n1 (for 2.5 s); who stays so is left out of the view": {
        "members": [ONE[0] | {"phi": 8.2, "silent_s": 2.52}]
    },
    "no records are taken yet: waiting for 2 of 3": {"waiting": "waiting for 2 of 3"},
    "n1, the leader, is not heard: the others choose a new one, records wait": {"state": "without a leader"},
    "the view is being changed: records wait, for some tenths of a second as a rule": {"state": "changing the view"},
    "no view yet: n2 is catching up": {"view": 0, "leader": None, "members": [], "state": "catching up"},
    "no quorum: n1 does not answer": {"no_quorum": "no quorum: n1 does not answer", "state": "no quorum"},
}


@pytest.mark.parametrize("sentence", SITUATIONS)
def test_the_situation_in_words(sentence: str) -> None:
    assert situation(STATUS | SITUATIONS[sentence]) == sentence


def test_rates_are_what_came_between_two_looks() -> None:
    before = (10.0, {("a", 1): [5, 7], ("gone", 2): [9]})
    now = (12.0, {("a", 1): [15, 7], ("new", 3): [4]})
    assert rates(before, now) == {"seconds": 2.0, "records_per_s": 7.0, "by_topic": {"a": [5.0, 0.0], "new": [2.0]}}
    assert rates(None, now) is None


def test_a_record_for_programs_is_text_where_it_is_text() -> None:
    record = Record("t", 1, 2, 3, b"\xff", "ä".encode(), (("eol", b"0"),))
    assert as_object(record) == {
        "topic": "t",
        "partition": 1,
        "offset": 2,
        "timestamp_ms": 3,
        "key_base64": "/w==",
        "value": "ä",
        "headers": [{"name": "eol", "value": "0"}],
    }


def test_no_value_is_null_and_an_empty_one_is_empty() -> None:
    assert as_object(Record("t", 0, 0, 0, None, None, ()))["value"] is None
    assert as_object(Record("t", 0, 0, 0, None, b"", ()))["value"] == ""


@pytest.mark.parametrize("start", ["", "-1", "1.5", "End", "9223372036854775808", "٣"])
def test_a_start_that_is_none_is_a_usage_error(start: str) -> None:
    with pytest.raises(Failure, match="write start, end, an offset") as raised:
        Wish.of("t", start, False, None, False, False, None)
    assert raised.value.exit_code == 2
