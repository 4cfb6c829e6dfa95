"""A file goes in and comes out identical, through one partition; through eight, its lines do, in order within each."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.local_cluster import COMMAND_S, LocalCluster

SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"
MADE = {
    "empty": b"",
    "one-lf": b"\n",
    "no-lf": b"one line",
    "lone-cr": b"a\rb\r\rc\r\n\r\n\rd\re",
    "crlf": b"one\r\ntwo\r\n\r\nthree",
    "five-megabytes": b"before\n" + b"x" * 5_000_000 + b"\nafter\n",
    "not-utf-8": bytes(range(256)) * 20 + b"\xff\xfe\n\xc3\x28",
    "nul": b"\0\0\n\0",
}
BIG = 200_000_000


@pytest.fixture(scope="module", params=[*MADE, *sorted(path.name for path in SHARED_DATA.glob("*.log"))])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name: str = request.param
    if name not in MADE:
        return SHARED_DATA / name
    path = tmp_path_factory.mktemp("made") / name
    path.write_bytes(MADE[name])
    return path


def test_through_one_partition(three: LocalCluster, file: Path) -> None:
    topic = f"one-{file.name}"
    three.ok("producer", topic, file)
    assert three.ok("consumer", topic) == file.read_bytes()


@pytest.mark.parametrize("name", ["empty", "lone-cr", "five-megabytes"])
def test_from_stdin_to_a_file(three: LocalCluster, name: str, tmp_path: Path) -> None:
    topic, out = f"stdin-{name}", tmp_path / "out"
    three.ok("producer", topic, stdin=MADE[name])
    assert three.ok("consumer", topic, "--output", out) == b""
    assert out.read_bytes() == MADE[name]


def test_through_eight_partitions(three: LocalCluster, file: Path) -> None:
    topic = f"eight-{file.name}"
    three.create(topic, 8)
    three.ok("producer", topic, file)
    assert sorted(three.ok("consumer", topic).split(b"\n")) == sorted(file.read_bytes().split(b"\n"))


def test_order_holds_within_each_of_eight_partitions(three: LocalCluster) -> None:
    three.create("ordered", 8)
    lines = [b"%d" % number for number in range(50_000)]
    three.ok("producer", "ordered", stdin=b"\n".join(lines))
    by_partition: dict[int, list[int]] = defaultdict(list)
    for line in three.ok("consumer", "ordered", "--json").splitlines():
        record = json.loads(line)
        assert record["offset"] == len(by_partition[record["partition"]])
        by_partition[record["partition"]].append(int(record["value"]))
    assert all(numbers == sorted(numbers) for numbers in by_partition.values())
    assert sorted(number for numbers in by_partition.values() for number in numbers) == list(range(50_000))


def test_one_key_goes_to_one_partition_in_order(three: LocalCluster) -> None:
    three.create("keyed", 8)
    data = b"".join(b"%d\n" % number for number in range(1000))
    three.ok("producer", "keyed", "--key", "sensor-7", stdin=data)
    assert three.ok("consumer", "keyed") == data
    first = json.loads(three.ok("consumer", "keyed", "--json", "--count", "1"))
    assert (first["key"], first["offset"], first["value"]) == ("sensor-7", 0, "0")


@pytest.mark.parametrize("partitions", [1, 8])
def test_a_whole_binary_of_ten_mebibytes(three: LocalCluster, tmp_path: Path, partitions: int) -> None:
    topic, path = f"whole-{partitions}", tmp_path / "binary"
    path.write_bytes(random.Random(7).randbytes(10 << 20) + b"\0\n\0")
    three.create(topic, partitions)
    three.ok("producer", topic, "--whole", path)
    assert three.ok("consumer", topic, "--raw") == path.read_bytes()


def test_two_whole_files_are_two_records(three: LocalCluster, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() + b"\n\0")
    three.ok("producer", "files", "--whole", tmp_path / "a", tmp_path / "b")
    assert three.ok("consumer", "files", "--raw") == b"a\n\0b\n\0"
    assert len(three.ok("consumer", "files", "--json").splitlines()) == 2


def test_two_hundred_megabytes_are_never_held_in_memory(three: LocalCluster, tmp_path: Path) -> None:
    path, out = tmp_path / "big", tmp_path / "out"
    _write_big(path)
    produced_kb = _peak_kb(three, "producer", "big", path)
    consumed_kb = _peak_kb(three, "consumer", "big", "--output", out)
    assert _sha256(out) == _sha256(path)
    assert max(produced_kb, consumed_kb) < BIG // 1000


def _write_big(path: Path) -> None:
    """Random bytes: a line has 256 of them on average, and its length means nothing."""
    source = random.Random(11)
    with path.open("wb") as file:
        for _ in range(BIG // 1_000_000):
            file.write(source.randbytes(1_000_000))


# A child's peak counts from its fork on, when it still is a copy of its parent: so a small process forks it.
_MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def _peak_kb(cluster: LocalCluster, *arguments: str | Path) -> int:
    """The largest resident size of a command that must succeed and says nothing on stdout."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *cluster.command(*arguments)],
        env=cluster.environment,
        capture_output=True,
        timeout=COMMAND_S,
    )
    assert done.returncode == 0, done.stderr.decode()
    return int(done.stdout)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in _pieces(file):
            digest.update(piece)
    return digest.hexdigest()


def _pieces(file: object) -> Iterator[bytes]:
    while piece := file.read(1 << 20):  # type: ignore[attr-defined]
        yield piece
