"""Bad input gets one clear line on stderr and exit code 2, never a traceback; help is there at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from logstream.state import NodeFile

PROGRAM = Path(__file__).parents[2] / "logstream_cli.py"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def run(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in an environment of its own, on loopback, and with no cluster to find."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOGSTREAM_")}
    ours = {"LOGSTREAM_HOME": str(home), "NODE_ADDRESS": "127.0.0.1:8001", "BROADCAST_PORT": "18999"}
    return subprocess.run(
        [sys.executable, str(PROGRAM), *arguments],
        env={**kept, **ours, **variables},
        capture_output=True,
        text=True,
        timeout=20,
        stdin=subprocess.DEVNULL,
    )


USAGE = {
    "start --nam x": "unknown option --nam, did you mean --name? see logstream start --help",
    "strat": "no such command 'strat'. Did you mean 'start', 'status'? see logstream --help",
    "topics lst": "no such command 'lst'. Did you mean 'list'? see logstream topics --help",
    "producer": "missing argument 'TOPIC', see logstream producer --help",
    "up --nodes many": "invalid value for '--nodes'",
    "up --nodes 0": "invalid value for '--nodes'",
    "consumer t --from yesterday": "--from yesterday: write start, end, an offset",
    "consumer t --from -1": "--from -1: write start, end, an offset",
    "consumer t --json --raw": "--json and --raw exclude each other, choose one",
    "start --address 1.2.3": "option --address: address = '1.2.3': an address is IP:PORT",
    "start --address 203.0.113.7:8001": "option --address: address 203.0.113.7 is not on this machine: it has",
    "start --interface nonsense0 --address=": "option --interface: interface nonsense0 is not on this machine: it",
    "start --config /nowhere.ini": "/nowhere.ini: cannot read the settings file: No such file or directory",
    "start --cluster a/b": "option --name: name = 'a/b': a name has 1 to 100",
    "election": "missing argument 'NAME', see logstream election --help",
    "force-view": "force-view may lose acknowledged records, repeat it with --accept-data-loss if that is accepted",
    "force-view --accept-data-loss": "force-view asks before it acts and there is no terminal to ask, add --yes",
    "stop": "stop wants one of NAME and --all",
    "stop n1 --all": "stop wants one of NAME and --all",
    "logs": "missing argument 'NAME', see logstream logs --help",
    "config check --config /nowhere.ini": "/nowhere.ini: cannot read the settings file: No such file or directory",
    "config show --config /nowhere.ini": "/nowhere.ini: cannot read the settings file: No such file or directory",
    "producer t --message a file": "--message is what is sent: leave out --whole and FILE",
    "producer t --rate 1 --interval 1": "--rate and --interval say the same in two ways, choose one",
    "producer t --rate 0": "invalid value for '--rate'",
    "producer t --resume 0": "invalid value for '--resume'",
    "producer t --timeout -1": "option --timeout-s: timeout_s = '-1.0': input should be greater than 0",
}


@pytest.mark.parametrize("line", USAGE)
def test_bad_usage_is_one_line_and_exit_code_2(home: Path, line: str) -> None:
    done = run(home, *line.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"logstream: {USAGE[line]}")
    assert done.stderr.count("\n") == 1


def test_an_unknown_variable_is_a_configuration_error(home: Path) -> None:
    done = run(home, "status", LOGSTREAM_CLUSTER_COMMITS="all")
    said = "environment variable LOGSTREAM_CLUSTER_COMMITS is not a setting, did you mean LOGSTREAM_CLUSTER_COMMIT?"
    assert (done.returncode, done.stderr) == (2, f"logstream: {said}\n")


def test_a_malformed_file_is_named_with_its_line(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.ini"
    file.write_text("[node]\nname = a\nnonsense\n")
    done = run(home, "start", "--config", str(file))
    assert (done.returncode, done.stderr) == (2, f"logstream: {file} line 3: not of the form key = value\n")


@pytest.mark.parametrize("line", ["status", "topics list", "topics create t", "consumer t", "election n1"])
def test_no_cluster_found_says_what_was_tried(home: Path, line: str) -> None:
    done = run(home, *line.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("logstream: no cluster 'logstream' found; tried the nodes of this machine in ")
    assert "127.255.255.255:18999" in done.stderr
    assert done.stderr.count("\n") == 1


def test_nobody_at_the_named_broker_says_so(home: Path) -> None:
    done = run(home, "status", "--bootstrap", "127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.startswith("logstream: no cluster 'logstream' found; tried 127.0.0.1:1 (")


def test_a_file_that_is_not_there_is_named_before_anything_is_sent(home: Path) -> None:
    done = run(home, "producer", "t", "/nowhere.log")
    assert (done.returncode, done.stderr) == (1, "logstream: /nowhere.log: No such file or directory\n")


def test_without_a_command_the_commands_are_listed(home: Path) -> None:
    done = run(home)
    assert done.returncode == 2
    assert "producer  " in done.stderr and done.stdout == ""


def test_down_with_nothing_to_stop_is_no_error(home: Path) -> None:
    done = run(home, "down")
    assert (done.returncode, done.stdout) == (0, "no managed node of cluster logstream runs here\n")


def test_nothing_runs_is_no_error(home: Path) -> None:
    listed, stopped = run(home, "list"), run(home, "stop", "--all")
    assert (listed.returncode, listed.stdout) == (0, "")
    assert listed.stderr == f"logstream: no node runs here (looked in {home})\n"
    assert (stopped.returncode, stopped.stdout) == (0, "no managed node of cluster logstream runs here\n")
    assert run(home, "stop", "n1").stderr == (
        f"logstream: no node n1 of cluster logstream runs here: none does (looked in {home})\n"
    )
    log = home / "logstream/logs/n1.log"
    assert run(home, "logs", "n1").stderr == (
        f"logstream: {log}: there is no log of node n1: only nodes that run in the background have one\n"
    )


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("logstream st", {"start", "status", "stop"}),
        ("logstream topics d", {"describe", "delete"}),
        ("logstream producer t --re", {"--resume"}),
        ("logstream logs n", {"n1", "n2"}),
        ("logstream stop n2", {"n2"}),
    ],
)
def test_the_shell_completes_commands_options_and_nodes(home: Path, typed: str, offered: set[str]) -> None:
    for name in ("n1", "n2", "other"):
        node = NodeFile(name, "logstream", 1, 1.0, "127.0.0.1:8001")
        (home / "logstream").mkdir(parents=True, exist_ok=True)
        (home / "logstream" / f"{name}.node").write_text(json.dumps(asdict(node)))
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1), "_LOGSTREAM_COMPLETE": "complete_bash"}
    done = run(home, **asked)
    assert (done.returncode, set(done.stdout.split()), done.stderr) == (0, offered, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_of_a_shell_is_shown(home: Path, shell: str) -> None:
    done = run(home, "--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0 and f"_LOGSTREAM_COMPLETE=complete_{shell}" in done.stdout


def test_version_says_all_three_versions(home: Path) -> None:
    done = run(home, "version")
    assert done.returncode == 0
    assert done.stdout.startswith("logstream ") and ", protocol 1, Python 3." in done.stdout


def test_help_imports_nothing_heavy(home: Path) -> None:
    """What makes `--help` answer within 0.15 s: measured 0.10 s, of which typer takes 0.06 s."""
    heavy = "asyncio|google|loguru|pydantic|pykka|psutil|rich|uvloop|logstream.settings"
    code = f"import sys; sys.argv[1:] = ['--help']; import logstream_cli; logstream_cli.main(); \
sys.exit(', '.join(name for name in '{heavy}'.split('|') if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROGRAM.parent, capture_output=True, text=True, timeout=20)
    assert done.stderr == "\n"
