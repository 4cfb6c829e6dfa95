"""The installed wheel: it brings the program along and puts nothing but `logstream` among a user's packages.

The environment is empty but for the wheel; what the wheel depends on is lent from ours by a .pth file, which
makes our packages importable, but not our editable installation.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60
MYPY_S = 240
PROGRAMS = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path) -> Path:
    """A virtual environment that has the wheel."""
    folder = wheel.parent / "env"
    venv.create(folder, with_pip=False)
    _pip("--python", folder / "bin" / "python", "install", "--no-deps", wheel)
    (_site(folder) / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's project, which has packages with the names of our program's."""
    for name in ("actors", "transport", "simulation"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('this is not LogStream')\n")
    return tmp_path


def _site(environment: Path) -> Path:
    return next((environment / "lib").glob("python*")) / "site-packages"


def _pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run(command, check=True, timeout=DEADLINE_S, capture_output=True)


def _run(project: Path, *command: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOGSTREAM_", "PYTHON"))}
    return subprocess.run(
        [str(word) for word in command],
        cwd=project,
        env={**kept, "LOGSTREAM_HOME": str(project / "home"), "NODE_ADDRESS": "127.0.0.1:8001"},
        input=stdin,
        capture_output=True,
        timeout=DEADLINE_S,
    )


def _ok(project: Path, *command: str | Path, stdin: bytes = b"") -> bytes:
    done = _run(project, *command, stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_site_packages_gains_logstream_only(environment: Path) -> None:
    gained = {path.name for path in _site(environment).iterdir() if not path.name.endswith(".dist-info")}
    assert gained - {"lent.pth", "__pycache__"} == {"logstream"}


def test_the_wheel_holds_program_types_and_licence_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"logstream/py.typed", "logstream/aio/producer.py", "logstream/_program/logstream_cli.py"} <= set(names)
    assert [name for name in names if name.endswith("/LICENSE")] != []
    program = {name.split("/")[2] for name in names if name.startswith("logstream/_program/")}
    assert program == {"actors", "transport", "simulation", "logstream_cli.py"}
    assert [name for name in names if "test" in name.partition("/")[2].split("/")[0]] == []


def test_a_cluster_runs_beside_a_project_with_packages_of_the_same_names(environment: Path, project: Path) -> None:
    logstream = (environment / "bin" / "python", "-m", "logstream")
    try:
        _ok(project, *logstream, "up", "--nodes", "2", "--cluster", "wheel")
        _ok(project, *logstream, "producer", "t", "--cluster", "wheel", stdin=b"one\ntwo")
        assert _ok(project, *logstream, "consumer", "t", "--cluster", "wheel") == b"one\ntwo"
    finally:
        stopped = _ok(project, *logstream, "down", "--cluster", "wheel")
    assert stopped == b"stopped n1, n2 of cluster wheel\n"


def test_the_installed_command_is_the_same_as_the_module(environment: Path, project: Path) -> None:
    by_command = _ok(project, environment / "bin" / "logstream", "version", "--json")
    assert by_command == _ok(project, environment / "bin" / "python", "-m", "logstream", "version", "--json")


@pytest.mark.parametrize("command", [("bench", "all"), ("simulate", "--scenarios")])
def test_what_needs_a_checkout_says_so_in_one_line(environment: Path, project: Path, command: tuple[str, ...]) -> None:
    done = _run(project, environment / "bin" / "logstream", *command)
    (line,) = done.stderr.decode().splitlines()
    assert (done.returncode != 0, done.stdout) == (True, b"")
    assert line.startswith("logstream: ") and "checkout" in line


def test_one_seed_can_be_simulated_without_a_checkout(environment: Path, project: Path) -> None:
    shown = _ok(project, environment / "bin" / "logstream", "simulate", "--seed", "1")
    assert b"\ntrace hash " in shown


def test_the_programs_of_the_clients_page_are_typed_for_who_has_the_wheel(environment: Path, tmp_path: Path) -> None:
    programs = PROGRAMS.findall((ROOT / "docs/client.md").read_text())
    for number, program in enumerate(programs):
        (tmp_path / f"example_{number}.py").write_text(program)
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from logstream import Producer\nProducer().send('t', 'text')\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(environment / "bin" / "python")]
    done = subprocess.run([*command, "."], cwd=tmp_path, capture_output=True, text=True, timeout=MYPY_S)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(programs) > 10
    assert [line.partition(":")[0] for line in errors] == ["wrong.py"], done.stdout
