"""`demo` shows the whole thing and leaves nothing behind."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.processes.local_cluster import LocalCluster


def test_the_demo_reads_a_file_back_through_another_broker_and_cleans_up(three: LocalCluster, tmp_path: Path) -> None:
    file = tmp_path / "some.log"
    file.write_bytes(b"one\r\ntwo\r\n" * 1000 + b"\xff no end")
    before = sorted(Path(tempfile.gettempdir()).glob("logstream-demo-*"))
    outcome = json.loads(three.ok("demo", "--file", file, "--json"))
    assert (outcome["identical"], outcome["records"], outcome["bytes"]) == (True, 2001, file.stat().st_size)
    assert outcome["members"] == "n1, n2, n3"
    assert outcome["read_through"] != outcome["leader"]
    assert outcome["seconds"] < 30
    assert sorted(Path(tempfile.gettempdir()).glob("logstream-demo-*")) == before


def test_a_file_that_is_not_there_starts_nothing(three: LocalCluster) -> None:
    assert three.fails("demo", "--file", "/nowhere.log") == "/nowhere.log: No such file or directory"
