"""The state folder: which nodes run on this machine, where their logs are, what a cluster remembers.

    $LOGSTREAM_HOME/              default: the user's state folder
        CLUSTER/
            n1.node               pid, start time, addresses; n1 holds an exclusive lock on it while it lives
            n1.view               how many members the last view had that n1 was in (Q10)
            up.json               how many nodes `up` was asked for
            logs/n1.log

Whether a node lives is a question to the lock, never to the pid in the file: the kernel drops the lock
however the process ends, and a pid may long be somebody else's. A file without its lock is a dead
node's; it is kept, because a node that comes back under its name should come back at its address.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

_LOCK_TRIES = 20  # a reader holds the lock for microseconds: ask again before calling the name taken
_LOCK_AGAIN_S = 0.005


@dataclass(frozen=True, slots=True)
class NodeFile:
    """One node of this machine, as its file says."""

    name: str
    cluster: str
    pid: int
    started: float  # seconds since 1970
    address: str  # "host:port" of its TCP listener
    broadcast_port: int = 0
    multicast: str = ""  # "group:port"
    managed: bool = False  # started by `up` or --detach, so `down` may stop it
    ready: bool = False  # it has started completely and hears its sockets


class NameTaken(Exception):
    """A node of this name and cluster runs on this machine already."""


def home_folder(environment: Mapping[str, str] | None = None) -> Path:
    """$LOGSTREAM_HOME, or the user's state folder."""
    home = (os.environ if environment is None else environment).get("LOGSTREAM_HOME")
    if home:
        return Path(home).absolute()
    from platformdirs import user_state_path

    with suppress(RuntimeError):
        folder = user_state_path("logstream")
        if folder.is_absolute():
            return folder
    return Path("/.local/state/logstream")  # no HOME and no account, as in some containers: such a user lives in /


def log_path(home: Path, cluster: str, name: str) -> Path:
    """Where a managed node of this name writes its log."""
    return home / cluster / "logs" / f"{name}.log"


# --- nodes ---


class NodeLock:
    """A node's own file, locked for as long as this object or the process lives."""

    def __init__(self, path: Path, handle: int, node: NodeFile) -> None:
        self.path = path
        self.node = node
        self._handle = handle

    @classmethod
    def take(cls, home: Path, node: NodeFile) -> NodeLock:
        """Write the file and lock it. Raises NameTaken, or OSError if the folder cannot be written."""
        path = home / node.cluster / f"{node.name}.node"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = cls(path, _locked(path), node)
        lock._write()
        return lock

    def ready(self) -> None:
        """Say in the file that the node has started completely."""
        self.node = replace(self.node, ready=True)
        self._write()

    def release(self) -> None:
        """Remove the file and give up the lock: a clean stop leaves nothing."""
        self.path.unlink(missing_ok=True)
        os.close(self._handle)

    def _write(self) -> None:
        text = json.dumps(asdict(self.node)).encode() + b"\n"
        os.pwrite(self._handle, text, 0)
        os.ftruncate(self._handle, len(text))


def _locked(path: Path) -> int:
    """An open file that this process alone has locked. A file that was removed meanwhile does not count."""
    for _attempt in range(_LOCK_TRIES):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            time.sleep(_LOCK_AGAIN_S)
            continue
        if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
        os.close(handle)
    raise NameTaken(f"a node named {path.stem} of cluster {path.parent.name} runs already (its file is {path})")


def known_nodes(cluster: str | None = None, home: Path | None = None) -> list[tuple[NodeFile, bool]]:
    """Every node that has a file here, each with whether it lives, by cluster and name."""
    home = home or home_folder()
    folders = [home / cluster] if cluster else sorted(home.glob("*/"))
    return [found for folder in folders for path in sorted(folder.glob("*.node")) for found in _looked_at(path)]


def live_nodes(cluster: str | None = None, home: Path | None = None) -> list[NodeFile]:
    """The nodes whose lock is held, by cluster and name."""
    return [node for node, alive in known_nodes(cluster, home) if alive]


def _looked_at(path: Path) -> Iterator[tuple[NodeFile, bool]]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return  # it has just stopped, or belongs to somebody else
    try:
        alive = _is_locked(handle)
        node = _parsed(os.read(handle, 65536))
    finally:
        os.close(handle)
    if node is not None:
        yield node, alive


def _is_locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(handle, fcntl.LOCK_UN)
    return False


def _parsed(text: bytes) -> NodeFile | None:
    """None for a file that is being written at this moment, or that another version wrote."""
    known = {field.name for field in fields(NodeFile)}
    try:
        facts = json.loads(text)
        return NodeFile(**{key: value for key, value in facts.items() if key in known})
    except (ValueError, TypeError, AttributeError):
        return None


# --- what a cluster remembers ---


def remember_view(home: Path, cluster: str, name: str, size: int) -> None:
    """Keep how many members the view has that this node is in (Q10)."""
    _keep(home / cluster / f"{name}.view", {"size": size})


def remembered_size(home: Path, cluster: str, name: str) -> int:
    """Members of the last view that this node was in; 0 if it was in none or left cleanly."""
    return _kept(home / cluster / f"{name}.view", "size")


def forget_view(home: Path, cluster: str, name: str) -> None:
    """After a clean leave nobody is waited for."""
    (home / cluster / f"{name}.view").unlink(missing_ok=True)


def remember_up(home: Path, cluster: str, nodes: int) -> None:
    """Keep how many nodes `up` was asked for, so that the next one starts what is missing of them."""
    _keep(home / cluster / "up.json", {"nodes": nodes})


def remembered_up(home: Path, cluster: str) -> int:
    """How many nodes `up` was asked for; 0 after `down`."""
    return _kept(home / cluster / "up.json", "nodes")


def forget_cluster(home: Path, cluster: str) -> None:
    """What `down` does at the end: no views, no dead nodes, no number of nodes. Logs stay."""
    (home / cluster / "up.json").unlink(missing_ok=True)
    alive = {node.name for node in live_nodes(cluster, home)}
    for path in [*(home / cluster).glob("*.view"), *(home / cluster).glob("*.node")]:
        if path.stem not in alive:
            path.unlink(missing_ok=True)


def _keep(path: Path, facts: dict[str, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f"{path.suffix}.{os.getpid()}")
    scratch.write_text(json.dumps(facts))
    scratch.replace(path)


def _kept(path: Path, key: str) -> int:
    try:
        return int(json.loads(path.read_text())[key])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
