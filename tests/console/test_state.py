"""The state folder: the lock says who lives, the file says who it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from logstream import state
from logstream.state import NameTaken, NodeFile, NodeLock, known_nodes, live_nodes

N1 = NodeFile("n1", "lab", os.getpid(), 1.0, "127.0.0.1:8001", 8888, "239.0.0.1:9999")

HOLDER = """
import sys
from pathlib import Path
from logstream.state import NodeFile, NodeLock
NodeLock.take(Path(sys.argv[1]), NodeFile("n1", "lab", 1, 1.0, "127.0.0.1:8001"))
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_node_lives_from_take_to_release(tmp_path: Path) -> None:
    assert live_nodes("lab", tmp_path) == []
    lock = NodeLock.take(tmp_path, N1)
    assert live_nodes("lab", tmp_path) == [N1]
    lock.release()
    assert known_nodes("lab", tmp_path) == []


def test_a_killed_process_is_dead_at_once_and_its_file_stays(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"locked\n"
        assert [node.name for node in live_nodes("lab", tmp_path)] == ["n1"]
        holder.kill()
    assert [(node.name, alive) for node, alive in known_nodes("lab", tmp_path)] == [("n1", False)]


def test_a_name_is_taken_only_once(tmp_path: Path) -> None:
    lock = NodeLock.take(tmp_path, N1)
    with pytest.raises(NameTaken, match="a node named n1 of cluster lab runs already"):
        NodeLock.take(tmp_path, N1)
    lock.release()
    NodeLock.take(tmp_path, N1).release()


def test_looking_at_a_node_does_not_take_its_name_away(tmp_path: Path) -> None:
    lock = NodeLock.take(tmp_path, N1)
    for _ in range(100):
        live_nodes("lab", tmp_path)
    with pytest.raises(NameTaken):
        NodeLock.take(tmp_path, N1)
    lock.release()


def test_ready_is_said_in_the_file(tmp_path: Path) -> None:
    lock = NodeLock.take(tmp_path, N1)
    assert [node.ready for node in live_nodes("lab", tmp_path)] == [False]
    lock.ready()
    assert [node.ready for node in live_nodes("lab", tmp_path)] == [True]
    lock.release()


def test_without_a_cluster_all_are_listed_in_order(tmp_path: Path) -> None:
    others = [NodeFile(name, cluster, 1, 1.0, "") for cluster, name in (("b", "x"), ("a", "n2"), ("a", "n1"))]
    locks = [NodeLock.take(tmp_path, node) for node in others]
    assert [(node.cluster, node.name) for node in live_nodes(None, tmp_path)] == [("a", "n1"), ("a", "n2"), ("b", "x")]
    for lock in locks:
        lock.release()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"name": "x"}', b"\xff"])
def test_a_broken_node_file_is_nobody(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "x.node").write_bytes(text)
    assert known_nodes("lab", tmp_path) == []


def test_a_file_of_a_newer_version_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    NodeLock.take(tmp_path, N1)
    path = tmp_path / "lab" / "n1.node"
    path.write_text(path.read_text().replace("{", '{"colour": "red", ', 1))
    assert [node.name for node, _ in known_nodes("lab", tmp_path)] == ["n1"]


def test_the_home_folder_is_the_variable_or_the_users_state_folder() -> None:
    assert state.home_folder({"LOGSTREAM_HOME": "/x/y"}) == Path("/x/y")
    assert state.home_folder({}).name == "logstream"


def test_a_user_without_a_home_and_without_an_account_lives_in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_uid: int) -> None:
        raise KeyError

    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert state.home_folder({}) == Path("/.local/state/logstream")


def test_a_view_is_remembered_until_it_is_forgotten(tmp_path: Path) -> None:
    assert state.remembered_size(tmp_path, "lab", "n1") == 0
    state.remember_view(tmp_path, "lab", "n1", 3)
    state.remember_view(tmp_path, "lab", "n1", 5)
    assert state.remembered_size(tmp_path, "lab", "n1") == 5
    assert state.remembered_size(tmp_path, "lab", "n2") == 0
    state.forget_view(tmp_path, "lab", "n1")
    assert state.remembered_size(tmp_path, "lab", "n1") == 0


def test_forgetting_a_cluster_spares_who_lives_and_the_logs(tmp_path: Path) -> None:
    dead = NodeLock.take(tmp_path, NodeFile("n2", "lab", 1, 1.0, ""))
    os.close(dead._handle)
    alive = NodeLock.take(tmp_path, N1)
    for name in ("n1", "n2"):
        state.remember_view(tmp_path, "lab", name, 2)
        log = state.log_path(tmp_path, "lab", name)
        log.parent.mkdir(exist_ok=True)
        log.touch()
    state.remember_up(tmp_path, "lab", 2)
    state.forget_cluster(tmp_path, "lab")
    assert sorted(path.name for path in (tmp_path / "lab").iterdir()) == ["logs", "n1.node", "n1.view"]
    assert state.remembered_up(tmp_path, "lab") == 0
    alive.release()
