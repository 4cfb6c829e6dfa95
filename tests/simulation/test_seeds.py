"""Whole clusters under at least forty faults each: no promise is broken, and each seed is one history.

`logstream_cli.py simulate --seed N --trace` shows what a seed that fails did.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import pytest

from simulation.checks.ledger import Ledger
from simulation.checks.violation import Violation
from simulation.checks.witness import Witness
from simulation.command import Figures, replay, seed_range, survey
from simulation.faults import Faults
from simulation.pretended.climate import Climate, random_climate, storm
from simulation.run import FAULTS_MIN, Run
from tests.house.source_tree import ROOT

SEEDS = 300
CHUNK = 10  # seeds of one test
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
ON_PATH = [found for minor in range(11, 16) if (found := shutil.which(f"python3.{minor}"))]
PYTHONS = sorted(
    {str(Path(found).resolve()) for found in ON_PATH if Path(found).parent.name != "shims"}
    | {str(found.resolve()) for found in PYENV.glob("versions/3.1[1-9].*/bin/python3.1[1-9]")}
)
NEEDED = "import aiokafka, google.protobuf, google_crc32c, loguru, pydantic, pykka, typer"
LIBRARIES = Path(sysconfig.get_path("purelib"))  # one of them is compiled for one version of Python only
COMPILED = "pydantic-core"


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_promise_is_broken(first: int) -> None:
    """I1 to I24 hold for every seed."""
    for seed in range(first, first + CHUNK):
        outcome = Run(seed).go()
        assert outcome.violation is None, f"seed {seed}: {outcome.violation}"
        assert outcome.faults.total() >= FAULTS_MIN


def test_the_seeds_meet_every_kind_of_fault_climate_and_setting() -> None:
    plans = [Run(seed) for seed in range(200)]
    assert {len(run.plan.names) for run in plans} == {3, 4, 5, 6, 7}
    assert {(run.plan.commit, run.climate.multicast) for run in plans} == {
        (commit, multicast) for commit in ("all", "majority") for multicast in (True, False)
    }
    assert {run.plan.early for run in plans} == {True, False}
    kinds = {kind for run in (Run(seed) for seed in range(20)) for kind in run.go().faults}
    assert kinds == {kind.__name__ for kind, _ in plans[0].faults.kinds}


# --- determinism (I24) ---


def test_the_same_seed_is_the_same_history() -> None:
    one, other = Run(7).go(), Run(7).go()
    assert (one.trace_hash, one.turns, one.virtual_s) == (other.trace_hash, other.turns, other.virtual_s)


def test_another_seed_is_another_history() -> None:
    assert Run(7).go().trace_hash != Run(8).go().trace_hash


def test_being_watched_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    replay(7, trace=True, line=lines.append)
    assert f"trace hash {Run(7).go().trace_hash}" in lines
    assert len(lines) > 1000


def hash_in_another_process(python: str, seed: int, hash_seed: str, libraries: str = "") -> str:
    """What `simulate --seed` says there."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": libraries}
    command = [python, str(ROOT / "logstream_cli.py"), "simulate", "--seed", str(seed)]
    ended = subprocess.run(command, env=environment, cwd=Path(ROOT), capture_output=True, text=True, timeout=120)
    lines = [line for line in ended.stdout.splitlines() if line.startswith("trace hash ")]
    assert lines, ended.stdout[-2000:] + ended.stderr
    return lines[0].removeprefix("trace hash ")


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_the_same_seed_is_the_same_history_in_another_process_with_another_hash_seed(hash_seed: str) -> None:
    assert hash_in_another_process(sys.executable, 7, hash_seed) == Run(7).go().trace_hash


def libraries_for(python: str) -> str:
    """PYTHONPATH: the libraries of this Python, and a build for that one of what does not work there. Or skips."""
    complaint = what_is_lacking(python, str(LIBRARIES))
    if not complaint:
        return str(LIBRARIES)
    number = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True)
    wanted = f"{COMPILED}=={version(COMPILED)}"
    built = Path(sys.prefix) / "of-other-pythons" / f"{number.stdout.decode().strip()}-{wanted}"
    if not built.exists():
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps", wanted]
        target = ["--target", str(built), "--only-binary=:all:", "--python-version", number.stdout.decode().strip()]
        with suppress(subprocess.TimeoutExpired):  # without a network the complaint below says what is lacking
            subprocess.run([*pip, *target, "--retries", "0"], capture_output=True, timeout=60)
    complaint = what_is_lacking(python, f"{built}{os.pathsep}{LIBRARIES}")
    if complaint:
        pytest.skip(f"{python} cannot import the libraries: {complaint}")
    return f"{built}{os.pathsep}{LIBRARIES}"


def what_is_lacking(python: str, libraries: str) -> str:
    """What that Python says when it imports what the simulator needs; "" if it can."""
    environment = {**os.environ, "PYTHONPATH": libraries}
    ended = subprocess.run([python, "-W", "ignore", "-c", NEEDED], env=environment, capture_output=True, text=True)
    return ended.stderr.strip().rpartition("\n")[2] if ended.returncode else ""


@pytest.mark.parametrize("python", PYTHONS)
def test_the_same_seed_is_the_same_history_under_every_python_found(python: str) -> None:
    assert hash_in_another_process(python, 7, "1", libraries_for(python)) == Run(7).go().trace_hash


# --- the command ---


def test_a_violation_is_told_as_a_story_with_the_line_that_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def agrees(self: Ledger, *_: object) -> None:
        raise Violation("I11", "as an example")

    monkeypatch.setattr(Ledger, "acknowledged", agrees)
    lines: list[str] = []
    assert replay(7, trace=False, line=lines.append) == 1
    text = "\n".join(lines)
    assert "VIOLATION of I11: as an example" in text
    assert "the last turns of each node:" in text
    assert "replay: logstream_cli.py simulate --seed 7 --trace" in text


def test_a_run_ends_in_the_turn_that_broke_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def look(self: Witness, replica: object) -> None:
        looks.append(replica)
        if len(looks) == 100:
            raise Violation("I2", "as an example")

    monkeypatch.setattr(Witness, "look", look)
    outcome = Run(7).go()
    assert outcome.violation is not None and len(looks) == 100
    assert len(outcome.story) > 10


def test_a_survey_names_each_seed_that_failed_and_counts_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr("simulation.run.FAULTS_MIN", 2)
    assert survey(range(2, 4), jobs=1, line=lines.append) == 0
    assert any(line.startswith("speed ") and "seeds/s" in line for line in lines)
    assert any(line.startswith("violations           0") for line in lines)


def test_figures_of_nothing_are_no_error() -> None:
    assert list(Figures(1).lines())[-1] == "violations           0"


@pytest.mark.parametrize("text", ["7", "a-b", "9-3", "-3", "1-", ""])
def test_what_is_no_range_of_seeds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no range of seeds"):
        seed_range(text)


def test_a_range_of_seeds_holds_both_ends() -> None:
    assert list(seed_range("3-5")) == [3, 4, 5]


# --- climates ---


def test_climates_and_storms_are_odds_and_times() -> None:
    run = Run(1)
    for seed in range(100):
        climate = random_climate(type(run.dice)(seed))
        weather = storm(type(run.dice)(seed), climate)
        for one in (climate, weather):
            assert isinstance(one, Climate)
            assert 0 <= one.loss < 1 and 0 <= one.duplication < 1
            assert one.datagram_delay_s[0] <= one.datagram_delay_s[1]


def test_faults_are_all_over_after_mending() -> None:
    run = Run(11)
    run.go()
    network = run.cluster.network
    assert network.climate is run.climate
    assert network.on_stream == [] and network.weather == {}
    assert all(machine.alive for name, machine in run.cluster.machines.items() if name in run.cluster.nodes)
    assert isinstance(run.faults, Faults)
