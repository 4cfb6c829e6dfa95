"""`up`, `down` and `start --detach`: the local cluster as text. Single nodes are processes.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from logstream import local
from logstream.console.failure import Failure
from logstream.settings import Settings
from logstream.state import NodeFile


def say(text: str) -> None:
    """A remark for a person: to stderr."""
    print(f"logstream: {text}", file=sys.stderr)


def up(settings: Settings, nodes: int | None) -> int:
    """Start what is missing of a local cluster and list it."""
    with _in_state_folder(settings):
        running = local.up(settings, nodes, say)
    _list(running)
    return 0


def down(settings: Settings) -> int:
    """Stop the local cluster."""
    stopped = local.down(settings, say)
    names = ", ".join(node.name for node in stopped)
    cluster = settings.shared.cluster
    print(f"stopped {names} of cluster {cluster}" if names else f"no managed node of cluster {cluster} runs here")
    return 0


def start_detached(settings: Settings, config: Path | None) -> int:
    """Start one node in the background and return when it is ready. Raises LocalClusterError."""
    options = ["--config", str(config.absolute())] if config else []
    if settings.node.interface:
        options += ["--interface", settings.node.interface]
    if settings.node.log_file:
        options += ["--log-file", str(Path(settings.node.log_file).absolute())]
    launch = local.Launch(
        settings.state_folder, settings.shared.cluster, settings.node.name, settings.node.address, {}, options
    )
    with _in_state_folder(settings):
        child = local.spawn(launch)
    _list([local.wait_until_ready(launch, child, local.UP_DEADLINE_S)])
    return 0


@contextmanager
def _in_state_folder(settings: Settings) -> Iterator[None]:
    """Raises Failure with what helps where the state folder cannot be made or written."""
    folder = settings.state_folder
    try:
        yield
    except OSError as error:
        at = Path(str(error.filename))
        if at not in (folder, *folder.parents) and folder not in at.parents:
            raise
        raise Failure(f"cannot use the state folder {folder}: {error.strerror}, set LOGSTREAM_HOME") from None


def _list(nodes: Sequence[NodeFile]) -> None:
    for node in nodes:
        print(f"{node.name}  {node.address}  pid {node.pid}  cluster {node.cluster}")
