"""Clusters of real node processes that are gone when the tests are over, whatever happened in them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes.local_cluster import LocalCluster
from tests.processes.traffic import Traffic

# Where the suite itself runs in the background Ctrl-C is ignored, and commands would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def make_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LocalCluster]]:
    """Makes clusters that are gone when the tests are over, whatever happened in them."""
    made: list[LocalCluster] = []

    def make(cluster: str, home: Path | None = None, **variables: str) -> LocalCluster:
        made.append(LocalCluster(home or tmp_path_factory.mktemp("home"), cluster, **variables))
        return made[-1]

    yield make
    for cluster in made:
        cluster.kill_all()


@pytest.fixture(scope="session")
def three(make_cluster: Callable[..., LocalCluster]) -> LocalCluster:
    """Three nodes that are all members. Each test has topics of its own."""
    cluster = make_cluster("three")
    cluster.ok("up", "--nodes", "3")
    return cluster


@pytest.fixture
def traffic(make_cluster: Callable[..., LocalCluster], tmp_path: Path) -> Iterator[tuple[LocalCluster, Traffic]]:
    """Traffic on three nodes."""
    cluster = make_cluster("traffic")
    cluster.ok("up")
    moving = Traffic(cluster, tmp_path)
    moving.begin()
    yield cluster, moving
    moving.stop_readers()
    cluster.ok("down")
