"""Compression on real processes: a log file goes in compressed and comes out as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from logstream.console.grammar import Compression
from logstream.protocol.batches import CODECS
from tests.processes.local_cluster import LocalCluster

LINES = b"".join(b"2026-11-23 10:00:%02d INFO job %d is done\n" % (number % 60, number) for number in range(20_000))


@pytest.mark.parametrize("compression", [*Compression])
def test_lines_come_out_as_they_went_in(three: LocalCluster, compression: Compression, tmp_path: Path) -> None:
    topic, file = f"compressed-{compression}", tmp_path / "lines"
    file.write_bytes(LINES)
    before = three.status()["log_bytes"]
    three.ok("producer", topic, file, "--compression", compression)
    taken = three.status()["log_bytes"] - before
    assert three.ok("consumer", topic) == LINES
    assert taken > len(LINES) if compression is Compression.NONE else taken < len(LINES) / 2


def test_a_compression_that_there_is_not_is_refused_with_those_that_there_are(three: LocalCluster) -> None:
    said = three.fails("producer", "t", "--compression", "brotli")
    assert all(name in said for name in CODECS)


def test_the_command_line_has_the_compressions_of_the_library() -> None:
    assert tuple(Compression) == CODECS
