"""What a command does in surroundings that are not as one would like: full disks, closed streams, no home."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.processes.local_cluster import LocalCluster
from tests.processes.terminal import Terminal

NOWHERE = "/proc/nowhere"  # a folder that nobody can make, root included


@pytest.fixture(scope="module")
def filled(three: LocalCluster) -> LocalCluster:
    """A topic `filled` with more than any buffer takes."""
    three.ok("producer", "filled", stdin=b"x" * 999 + b"\n" + b"line\n" * 100_000)
    return three


def shell(cluster: LocalCluster, line: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """A line of shell in which `logstream` is our command."""
    program = " ".join(cluster.command())
    return subprocess.run(
        ["bash", "-c", f'logstream() {{ {program} "$@"; }}\n{line}'],
        env={**cluster.environment, **variables},
        capture_output=True,
        timeout=60,
    )


# --- where output goes ---


def test_a_full_disk_is_named_with_the_file(filled: LocalCluster) -> None:
    said = filled.fails("consumer", "filled", "--output", "/dev/full")
    assert said == "cannot write /dev/full: No space left on device"


def test_a_full_disk_behind_stdout_is_named(filled: LocalCluster) -> None:
    done = shell(filled, "logstream consumer filled > /dev/full")
    assert (done.returncode, done.stderr) == (1, b"logstream: cannot write stdout: No space left on device\n")
    done = shell(filled, "logstream status --json > /dev/full")
    assert (done.returncode, done.stderr) == (1, b"logstream: cannot write the output: No space left on device\n")


@pytest.mark.parametrize(
    "line", ["consumer filled", "status", "topics list", "config show", "list", "logs n1", "--help"]
)
def test_a_reader_that_is_gone_is_no_error(filled: LocalCluster, line: str) -> None:
    done = shell(filled, f'logstream {line} | true; echo "${{PIPESTATUS[0]}}"')
    assert (done.stdout, done.stderr) == (b"0\n", b"")


def test_a_summary_that_nobody_reads_is_no_error(filled: LocalCluster) -> None:
    done = shell(filled, 'echo one | logstream producer unread 2>&1 | true; echo "${PIPESTATUS[1]}"')
    assert (done.stdout, done.stderr) == (b"0\n", b"")


def test_closed_streams_are_no_error(filled: LocalCluster) -> None:
    done = shell(filled, "logstream producer closed <&- && logstream status >&- && logstream list 2>&-")
    assert done.returncode == 0, done.stderr
    assert shell(filled, "logstream consumer closed").stdout == b""


# --- terminals ---


@pytest.mark.parametrize("command", ["status", "list", "topics list", "topics describe filled"])
def test_a_terminal_of_40_columns_has_whole_lines(filled: LocalCluster, command: str) -> None:
    with Terminal(filled.command(*command.split()), filled.environment, columns=40) as screen:
        assert screen.ended() == 0
    longest = max(screen.text.splitlines(), key=len)
    assert len(longest) <= 40 or " " not in longest.strip(), longest


def test_help_fits_a_terminal_of_40_columns(filled: LocalCluster) -> None:
    for command in ([], ["producer"], ["topics", "create"]):
        with Terminal(filled.command(*command, "--help"), filled.environment, columns=40) as screen:
            assert screen.ended() == 0
        assert max(map(len, screen.text.splitlines())) <= 40


def test_without_a_terminal_nothing_is_coloured_or_asked(filled: LocalCluster) -> None:
    line = "setsid -w bash -c '{ logstream status; echo a | logstream producer plain; } 2>&1' < /dev/null"
    done = shell(filled, f"export -f logstream; {line}")
    assert done.returncode == 0 and b"\x1b" not in done.stdout and b"acknowledged 1" in done.stdout


# --- locale, home ---


def test_the_c_locale_changes_no_byte(filled: LocalCluster) -> None:
    text = "grüße ☃\n".encode()
    bare = {"LANG": "C", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    cluster = LocalCluster(filled.home, filled.cluster, **bare)
    cluster.ok("producer", "c-locale", "--key", "schlüssel", stdin=text)
    cluster.ok("producer", "c-locale", "--message", "grüße ☃")
    assert cluster.ok("consumer", "c-locale") == text * 2
    assert b'"key": "schl\\u00fcssel"' in cluster.ok("consumer", "c-locale", "--json", "--count", "1")
    assert b"n1" in cluster.ok("status")
    assert "no settings file" not in cluster.fails("config", "check", "--config", "/größe.ini")


def test_without_a_home_everything_works(filled: LocalCluster) -> None:
    bare = {"PATH": os.environ["PATH"], "NODE_ADDRESS": "127.0.0.1:8001", "LOGSTREAM_CLUSTER_NAME": "three"}
    bootstrap = filled.nodes()[0].address
    for arguments in (["status"], ["consumer", "filled", "--count", "1"]):
        command = filled.command(*arguments, "--bootstrap", bootstrap)
        done = subprocess.run(command, env=bare, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_a_home_that_cannot_be_written_stops_nodes_only(filled: LocalCluster, tmp_path: Path) -> None:
    bootstrap = filled.nodes()[0].address
    homeless = LocalCluster(Path(NOWHERE), filled.cluster)
    homeless.ok("status", "--bootstrap", bootstrap)
    homeless.ok("consumer", "filled", "--count", "1", "--bootstrap", bootstrap)
    assert homeless.ok("down") == b"no managed node of cluster three runs here\n"
    said = f"cannot use the state folder {NOWHERE}: No such file or directory, set LOGSTREAM_HOME"
    for command in ("up", "start --detach --name x", "start --name x"):
        assert homeless.fails(*command.split()) == said
