"""The commands against a real cluster: what they print, and what they say about bad input."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.processes.local_cluster import LocalCluster, wait_until

LINES = b"".join(b"line %d\n" % number for number in range(100))


@pytest.fixture(scope="module")
def hundred(three: LocalCluster) -> LocalCluster:
    """A topic `hundred` with a hundred lines."""
    three.ok("producer", "hundred", stdin=LINES)
    return three


def test_status_says_who_leads_and_who_belongs(hundred: LocalCluster) -> None:
    status = hundred.status()
    keys = {"cluster", "cluster_id", "view", "epoch", "leader", "members", "commit", "topics", "loop_turn_max_ms"}
    assert keys <= status.keys()
    assert status["cluster"] == "three"
    assert status["leader"] in {"n1", "n2", "n3"}
    assert [member["node_id"] for member in status["members"]] == ["n1", "n2", "n3"]
    text = hundred.ok("status").decode()
    assert "n2" in text and "hundred" in text


def test_the_summary_counts_what_was_acknowledged(three: LocalCluster) -> None:
    done = three.run("producer", "summary", stdin=b"a\nb\nc")
    assert done.stderr.startswith(b"sent 3, acknowledged 3, ")
    assert done.stdout == b""


def test_reading_can_begin_and_end_anywhere(hundred: LocalCluster) -> None:
    assert hundred.ok("consumer", "hundred", "--count", "2") == b"line 0\nline 1\n"
    assert hundred.ok("consumer", "hundred", "--from", "98") == b"line 98\nline 99\n"
    assert hundred.ok("consumer", "hundred", "--from", "end") == b""
    assert hundred.ok("consumer", "hundred", "--count", "0") == b""


def test_following_goes_on_with_what_comes_later(three: LocalCluster) -> None:
    three.ok("producer", "later", stdin=b"one\n")
    reader = three.begin("consumer", "later", "--follow", "--count", "3")
    assert reader.stdout is not None and reader.stdout.readline() == b"one\n"
    three.ok("producer", "later", stdin=b"two\nthree\nfour\n")
    assert reader.communicate(timeout=20) == (b"two\nthree\n", b"")
    assert reader.returncode == 0


def test_ctrl_c_ends_a_follower_quietly(three: LocalCluster) -> None:
    three.ok("producer", "ended", stdin=b"one\n")
    reader = three.begin("consumer", "ended", "--follow")
    assert reader.stdout is not None and reader.stdout.readline() == b"one\n"
    reader.send_signal(signal.SIGINT)
    assert reader.communicate(timeout=20) == (b"", b"")
    assert reader.returncode == 0


def test_a_pipe_is_passed_on_before_it_ends(three: LocalCluster) -> None:
    writer = three.begin("producer", "piped")
    assert writer.stdin is not None
    writer.stdin.write(b"early\n")
    writer.stdin.flush()
    wait_until(lambda: three.run("consumer", "piped").stdout == b"early\n")
    writer.stdin.write(b"late\n")
    writer.communicate(timeout=20)
    assert three.ok("consumer", "piped") == b"early\nlate\n"


def test_a_closed_stdout_ends_quietly_with_0(hundred: LocalCluster) -> None:
    hundred.ok("producer", "many", stdin=LINES * 10_000)
    reader = hundred.begin("consumer", "many")
    head = subprocess.run(["head", "-3"], stdin=reader.stdout, capture_output=True, timeout=20)
    assert reader.stdout is not None and reader.stderr is not None
    reader.stdout.close()
    assert head.stdout == b"line 0\nline 1\nline 2\n"
    assert (reader.wait(20), reader.stderr.read()) == (0, b"")


def test_bytes_that_are_not_text_are_base64_in_json(three: LocalCluster) -> None:
    three.ok("producer", "binary", "--whole", stdin=b"\xff\0")
    record = json.loads(three.ok("consumer", "binary", "--json"))
    assert (record["value_base64"], "value" in record, record["key"]) == ("/wA=", False, None)


def test_topics_are_created_listed_described_and_deleted(three: LocalCluster) -> None:
    assert three.ok("topics", "create", "events", "--partitions", "4") == b"created topic events with 4 partitions\n"
    assert {"name": "events", "partitions": 4} in json.loads(three.ok("topics", "list", "--json"))
    described = json.loads(three.ok("topics", "describe", "events", "--json"))
    assert [row["partition"] for row in described["partitions"]] == [0, 1, 2, 3]
    assert {row["broker"] for row in described["partitions"]} <= {"n1", "n2", "n3"}
    assert b"events" in three.ok("topics", "list") and b"127.0.0.1:" in three.ok("topics", "describe", "events")
    assert three.fails("topics", "create", "events") != ""
    assert three.ok("topics", "delete", "events") == b"deleted topic events\n"
    assert three.fails("topics", "describe", "events").startswith("there is no topic events")


# --- bad input ---


def test_a_topic_that_is_not_there_is_named(three: LocalCluster) -> None:
    assert "nowhere" in three.fails("consumer", "nowhere")
    assert "nowhere" in three.fails("topics", "delete", "nowhere")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ü", "x" * 250, "."])
def test_a_bad_topic_name_is_refused(three: LocalCluster, name: str) -> None:
    assert "topic" in three.fails("topics", "create", name)
    assert "topic" in three.fails("producer", name, stdin=b"one\n")


@pytest.mark.parametrize("partitions", ["0", "-1", "many"])
def test_a_bad_number_of_partitions_is_refused(three: LocalCluster, partitions: str) -> None:
    assert "--partitions" in three.fails("topics", "create", "t", "--partitions", partitions)


def test_an_offset_out_of_range_is_told_with_the_range(hundred: LocalCluster) -> None:
    said = hundred.fails("consumer", "hundred", "--from", "101")
    assert said.startswith("hundred[0]: offset 101 is out of range: the log starts at 0 and ends at 100")


def test_a_record_over_the_limit_is_named_and_nothing_is_lost_silently(three: LocalCluster, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"one\ntwo\n" + b"x" * (17 << 20) + b"\nfour\n")
    said = three.fails("producer", "large", path)
    assert said.startswith(f"{path} line 3: a record of ") and "record_max" in said
    assert said.endswith(
        f"; sent 2, acknowledged 2, outcome unknown 0, first not acknowledged: {path} line 3, continue with --resume 3"
    )
    assert three.ok("consumer", "large") == b"one\ntwo\n"


def test_a_port_in_use_is_named_with_its_setting(three: LocalCluster) -> None:
    taken = three.nodes()[0].address
    said = three.fails("start", "--name", "other", "--address", taken)
    assert (
        said == f"{taken} is in use by another program (address: option --address), choose another port with --address"
    )


def test_a_name_in_use_is_named(three: LocalCluster) -> None:
    assert "n1" in three.fails("start", "--name", "n1", "--address", "127.0.0.1:8099")


def test_the_wrong_cluster_name_is_told_both_names(three: LocalCluster) -> None:
    said = three.fails("status", "--cluster", "four", "--bootstrap", three.nodes()[0].address)
    assert "three" in said and "four" in said
