"""`producer`: paced, counted, typed, interrupted and resumed, against real brokers."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from logstream.client import Admin
from logstream.protocol.errors import UnknownTopic
from tests.processes.local_cluster import LocalCluster, all_threads_sleep, process_state, wait_until
from tests.processes.terminal import Terminal


def records_of(cluster: LocalCluster, topic: str) -> int:
    """How many records are in partition 0."""
    with Admin([node.address for node in cluster.nodes()], cluster.cluster) as admin:
        try:
            return admin.describe(topic).ends[0]
        except UnknownTopic:
            return 0


def test_a_message_is_sent_so_many_times_so_fast(three: LocalCluster) -> None:
    began = time.monotonic()
    done = three.run("producer", "paced", "--message", "tick", "--count", "5", "--interval", "50")
    assert done.stderr.startswith(b"sent 5, acknowledged 5, ")
    assert time.monotonic() - began >= 0.2
    assert three.ok("consumer", "paced") == b"tick\n" * 5


def test_a_message_without_a_number_is_sent_once(three: LocalCluster) -> None:
    three.ok("producer", "once", "--message", "hello")
    assert three.ok("consumer", "once") == b"hello\n"


def test_counting_and_resuming_choose_lines(three: LocalCluster) -> None:
    three.ok("producer", "chosen", "--resume", "2", "--count", "2", stdin=b"a\nb\nc\nd\n")
    assert three.ok("consumer", "chosen") == b"b\nc\n"
    assert three.fails("producer", "chosen", "--resume", "5", stdin=b"a\n") == (
        "--resume 5: the input ends at record 1, nothing was sent"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_goes_on_for_ever_is_ended_by_ctrl_c(three: LocalCluster, number: signal.Signals) -> None:
    topic = f"endless-{number}"
    writer = three.begin("producer", topic, "--message", "hi", "--rate", "200")
    wait_until(lambda: records_of(three, topic) > 20)
    writer.send_signal(number)
    summary = writer.communicate(timeout=20)[1].decode()
    counted = re.search(r"^sent (\d+), acknowledged (\d+), ", summary, re.MULTILINE)
    assert writer.returncode == 0 and counted is not None, summary
    assert {int(counted[1]), int(counted[2])} == {records_of(three, topic)}


def test_an_interrupted_file_is_resumed_without_a_gap_or_a_duplicate(three: LocalCluster, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"".join(b"line %d\n" % number for number in range(3000)))
    arguments = ["producer", "resumed", str(file)]
    writer = three.begin(*arguments, "--rate", "500")
    wait_until(lambda: records_of(three, "resumed") > 100)
    writer.send_signal(signal.SIGINT)
    said = writer.communicate(timeout=20)[1].decode().splitlines()[-1]
    found = re.fullmatch(
        rf"logstream: interrupted; sent (\d+), acknowledged (\d+), outcome unknown 0, "
        rf"first not acknowledged: {file} line (\d+), continue with --resume (\d+)",
        said,
    )
    assert writer.returncode == 1 and found is not None, said
    sent, acknowledged, line, resume = map(int, found.groups())
    assert sent == acknowledged == line - 1 == resume - 1
    three.ok(*arguments, "--resume", str(resume))
    assert three.ok("consumer", "resumed") == file.read_bytes()


def test_pressed_twice_it_does_not_wait_and_says_what_is_unknown(make_cluster: Callable[..., LocalCluster]) -> None:
    cluster = make_cluster("twice", BROADCAST_PORT="18791", MULTICAST_GROUP="239.77.77.83:18792")
    cluster.ok("up", "--nodes", "1")
    writer = cluster.begin("producer", "slow")
    assert writer.stdin is not None and writer.stderr is not None
    writer.stdin.write(b"one\n")
    writer.stdin.flush()
    wait_until(lambda: records_of(cluster, "slow") == 1)
    cluster.send_signal("n1", signal.SIGSTOP)
    wait_until(lambda: process_state(cluster.node("n1").pid) == "T")  # it says nothing any more
    writer.stdin.write(b"two\nthree\n")
    writer.stdin.flush()
    wait_until(lambda: _unread(writer.stdin.fileno()) == 0 and _reads_stdin(writer.pid))
    wait_until(lambda: all_threads_sleep(writer.pid))  # what it said before is read
    writer.send_signal(signal.SIGINT)
    stopping = re.fullmatch(
        r"logstream: stopping, waiting for ([23]) records under way \(Ctrl-C again: do not wait\)\n",
        writer.stderr.readline().decode(),
    )
    assert stopping is not None
    unknown = int(stopping[1])  # the broker stopped before or after its first acknowledgement was sent
    writer.send_signal(signal.SIGINT)
    said = writer.communicate(timeout=20)[1].decode()
    assert said == (
        f"logstream: interrupted twice, so nothing was waited for; sent 3, acknowledged {3 - unknown}, "
        f"outcome unknown {unknown}, first not acknowledged: stdin line {4 - unknown}, "
        f"continue with --resume {4 - unknown}\n"
    )
    assert writer.returncode == 1


def _unread(pipe: int) -> int:
    """Bytes in a pipe that its reader has not taken."""
    import fcntl
    import struct
    import termios

    size: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]
    return size


def _reads_stdin(pid: int) -> bool:
    """Does its main thread wait for input, so that all before has been handed over? `read` is call 0, on ARM 63."""
    call = Path(f"/proc/{pid}/syscall").read_text().split()
    return call[0] in ("0", "63") and call[1] == "0x0"


# --- at a terminal ---


def test_a_person_types_lines_and_sees_where_each_went(three: LocalCluster) -> None:
    with Terminal(three.command("producer", "typed"), three.environment, columns=40) as screen:
        screen.wait_for("typed> ")
        screen.type("hello\n")
        screen.wait_for("typed[0] offset 0\ntyped> ")
        screen.type("grüße\n")
        screen.wait_for("typed[0] offset 1\ntyped> ")
        screen.type("\x04")
        assert screen.ended() == 0
    assert "sent 2, acknowledged 2, " in screen.text
    assert three.ok("consumer", "typed") == "hello\ngrüße\n".encode()


def test_ctrl_c_at_the_prompt_is_an_end_like_any_other(three: LocalCluster) -> None:
    with Terminal(three.command("producer", "typed-c"), three.environment) as screen:
        screen.wait_for("> ")
        screen.type("hello\n")
        screen.wait_for("offset 0\ntyped-c> ")
        screen.type("\x03")
        assert screen.ended() == 0
    assert "sent 1, acknowledged 1, " in screen.text


def test_a_file_has_a_progress_bar_on_a_terminal_of_40_columns(three: LocalCluster, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"x" * 79 + b"\n" * 400)
    command = three.command("producer", "barred", file, "--rate", "800")
    with Terminal(command, {**three.environment, "NO_COLOR": "1"}, columns=40) as screen:
        assert screen.ended() == 0
    assert "\x1b[9" not in screen.text and "━" in screen.text
    frames = [re.sub(r"\x1b\[\??\d*[a-zA-Z]", "", frame) for frame in re.split(r"[\r\n]", screen.text)]
    bars = [frame for frame in frames if "━" in frame]
    assert bars and max(map(len, bars)) <= 40
    assert "sent 400, acknowledged 400" in screen.text
