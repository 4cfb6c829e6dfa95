"""The installed wheel: it brings the program along and puts nothing but `logstream` among a user's packages.

The environment is empty but for the wheel; what the wheel depends on is lent from ours by a .pth file, which
makes our packages importable, but not our editable installation.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """site-packages of an environment that has the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    _pip(sys.executable, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    venv.create(folder / "env", with_pip=False)
    site = next((folder / "env" / "lib").glob("python*")) / "site-packages"
    _pip(sys.executable, "install", "--no-deps", "--target", site, next(folder.glob("*.whl")))
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return site


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's project, which has packages with the names of our program's."""
    for name in ("actors", "transport", "simulation"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('this is not LogStream')\n")
    return tmp_path


def _pip(python: str, *arguments: str | Path) -> None:
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run(command, check=True, timeout=DEADLINE_S, capture_output=True)


def _logstream(site: Path, project: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    python = site.parents[2] / "bin" / "python"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOGSTREAM_", "PYTHON"))}
    environment = {**kept, "LOGSTREAM_HOME": str(project / "home"), "NODE_ADDRESS": "127.0.0.1:8001"}
    done = subprocess.run(
        [str(python), "-m", "logstream", *arguments],
        cwd=project,
        env=environment,
        input=stdin,
        capture_output=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_site_packages_gains_logstream_only(site: Path) -> None:
    gained = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert gained - {"bin", "lent.pth", "__pycache__"} == {"logstream"}


def test_a_cluster_runs_beside_a_project_with_packages_of_the_same_names(site: Path, project: Path) -> None:
    try:
        _logstream(site, project, "up", "--nodes", "2", "--cluster", "wheel")
        _logstream(site, project, "producer", "t", "--cluster", "wheel", stdin=b"one\ntwo")
        assert _logstream(site, project, "consumer", "t", "--cluster", "wheel") == b"one\ntwo"
    finally:
        stopped = _logstream(site, project, "down", "--cluster", "wheel")
    assert stopped == b"stopped n1, n2 of cluster wheel\n"
