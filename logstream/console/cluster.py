"""`up`, `down` and `start --detach`: the local cluster as text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from logstream import local
from logstream.settings import Settings
from logstream.state import NodeFile


def say(text: str) -> None:
    """A remark for a person: to stderr."""
    print(f"logstream: {text}", file=sys.stderr)


def up(settings: Settings, nodes: int | None) -> int:
    """Start what is missing of a local cluster and list it."""
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
    _list([local.wait_until_ready(launch, local.spawn(launch), local.UP_DEADLINE_S)])
    return 0


def _list(nodes: Sequence[NodeFile]) -> None:
    for node in nodes:
        print(f"{node.name}  {node.address}  pid {node.pid}  cluster {node.cluster}")
