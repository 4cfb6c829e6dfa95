"""What commands print: tables, the status for people, records for programs."""

from __future__ import annotations

from typing import Any

import pytest

from logstream.client.consumer import Record
from logstream.console.consume import Wish, as_object
from logstream.console.failure import Failure
from logstream.console.status import as_text
from logstream.console.table import facts, table

STATUS: dict[str, Any] = {
    "cluster": "lab",
    "cluster_id": "c0ffee",
    "node_id": "n2",
    "state": "following",
    "view": 7,
    "leader": "n1",
    "members": [
        {"node_id": "n1", "address": "127.0.0.1:8001", "role": "leader", "served_by": "multicast", "phi": 0.4},
        {"node_id": "n2", "address": "127.0.0.1:8002", "role": "follower", "served_by": "tcp", "phi": None},
    ],
    "commit": 42,
    "commit_rule": "all",
    "no_quorum": None,
    "quarantined": 0,
    "topics": [
        {
            "name": "events",
            "partitions": [
                {"partition": 0, "assigned": "n2", "start": 10, "end": 15},
                {"partition": 1, "assigned": None, "start": None, "end": None},
            ],
        }
    ],
    "refused": {"not a frame": 2},
    "loop_turn_max_ms": 1.234,
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


def test_the_status_for_people() -> None:
    assert as_text(STATUS).splitlines() == [
        "cluster         lab c0ffee",
        "view            7, led by n1",
        "commit          42 (rule: all)",
        "longest turn    1.2 ms",
        "answered by     n2, following",
        "refused         not a frame: 2",
        "no answer from  topics",
        "",
        "MEMBER  ADDRESS         ROLE      SERVED BY  PHI",
        "n1      127.0.0.1:8001  leader    multicast  0.4",
        "n2      127.0.0.1:8002  follower  tcp",
        "",
        "TOPIC   PARTITIONS  RECORDS  BROKERS",
        "events           2        5  n2",
    ]


def test_trouble_stands_among_the_facts() -> None:
    lines = as_text(STATUS | {"no_quorum": "no quorum: n2 does not answer", "quarantined": 3}).splitlines()
    assert "trouble         no quorum: n2 does not answer" in lines
    assert any(line.startswith("quarantined     3 entries ") for line in lines)


def test_a_node_without_a_view_says_so() -> None:
    alone = STATUS | {"view": 0, "leader": None, "members": [], "topics": [], "refused": {}, "no_answer": []}
    assert "view          none yet" in as_text(alone).splitlines()


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
    with pytest.raises(Failure, match="write start, end or an offset") as raised:
        Wish.of("t", start, False, None, False, False, None)
    assert raised.value.exit_code == 2
