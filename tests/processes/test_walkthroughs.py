"""docs/quickstart.md and docs/tutorial.md are true: all they say is typed, in their order, and prints what they show.

The tutorial's three machines are network namespaces. Each has a firewall that lets in only what the page opens,
and a state folder of its own; cables are pulled where the page says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes.local_cluster import PROGRAM, ROOT, LocalCluster
from tests.processes.machines import NODES, SCRIPTS, why_not
from tests.processes.walkthrough import PROMPT, Step, agrees, blocks, dialogue

QUICKSTART = (ROOT / "docs/quickstart.md").read_text()
TUTORIAL = (ROOT / "docs/tutorial.md").read_text()
REASON = why_not()
STEP_S = 60.0
LOOKING = ("status", "list", "netdiag", "consumer", "topics describe")  # may be typed again until it shows what it must
LOOKING_S = 20.0
CLOSED = (
    "iptables -P INPUT DROP",
    "iptables -A INPUT -i lo -j ACCEPT",
    "iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
)


@pytest.fixture
def command_folder(tmp_path: Path) -> Path:
    """A folder with the command `logstream` in it, as an installation has it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "logstream"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PROGRAM}" "$@"\n')
    command.chmod(0o755)
    return folder


def typed(words: list[str], environment: dict[str, str], folder: Path) -> str:
    """What a command prints, errors included."""
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=STEP_S,
    )
    return done.stdout


# --- docs/quickstart.md ---


def test_the_quick_start_does_what_it_says(make_cluster: Callable[..., LocalCluster], command_folder: Path) -> None:
    cluster = make_cluster("logstream")
    environment = {**cluster.environment, "PATH": f"{command_folder}:{cluster.environment['PATH']}"}
    steps = blocks(QUICKSTART)
    for step in steps:
        shell = ["bash", "-euo", "pipefail", "-c", step.text]
        program = [sys.executable, "-c", step.text]
        printed = typed(program if step.language == "python" else shell, environment, ROOT)
        assert agrees(printed, step.printed or ""), f"{step.text}printed\n{printed}instead of\n{step.printed}"
    assert {step.language for step in steps} == {"sh", "python"} and cluster.nodes() == []


# --- docs/tutorial.md ---


class Trio:
    """Three machines with closed firewalls, and somebody who types on them."""

    def __init__(self, run: str, folder: Path, command_folder: Path) -> None:
        self.run, self.folder = run, folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOGSTREAM_", "NODE_"))}
        self.scripts = {**kept, "NETNS_RUN": run, "NETNS_FOLDER": str(folder)}
        self.environment = {**kept, "PATH": f"{command_folder}:{kept['PATH']}"}
        self.script("setup-netns.sh", "3")
        for machine in NODES:
            for rule in CLOSED:
                assert self.type(machine, rule) == ""

    def script(self, name: str, *arguments: str) -> None:
        """Run a script of deploy/netns/."""
        subprocess.run([str(SCRIPTS / name), *arguments], env=self.scripts, capture_output=True, check=True)

    def type(self, machine: str, text: str) -> str:
        """What a command prints on a machine."""
        home = self.folder / machine
        environment = {**self.environment, "LOGSTREAM_HOME": str(home / "state")}
        words = ["ip", "netns", "exec", f"{self.run}-{machine}", "bash", "-uo", "pipefail", "-c", text]
        return typed(words, environment, home)

    def by_hand(self, what: str) -> None:
        """What people do to a cable."""
        name = what.rstrip(")").split()[-1]
        state = {"(pull": "down", "(plug": "up"}[what.split()[0]]
        subprocess.run(["ip", "-n", f"{self.run}-hub", "link", "set", f"to-{name}", state], check=True)

    def write(self, text: str) -> None:
        """A block that begins with `; NAME` is a file, the same on all machines."""
        name = text.partition("\n")[0].removeprefix("; ").partition(",")[0]
        for machine in NODES:
            (self.folder / machine / name).write_text(text)


@pytest.fixture
def trio(tmp_path: Path, command_folder: Path) -> Iterator[Trio]:
    """Machines of which nothing is left when the test is over."""
    made = Trio(f"tutorial-{os.getpid()}", tmp_path / "run", command_folder)
    yield made
    made.script("cleanup-netns.sh")


def until_it_agrees(trio: Trio, step: Step) -> str:
    """Type it; look again while it only looks and does not show yet what it must."""
    looks = any(f"logstream {words}" in step.text for words in LOOKING)
    end = time.monotonic() + LOOKING_S
    while True:
        printed = trio.type(step.machine, step.text)
        if agrees(printed, step.printed or "") or not looks or time.monotonic() > end:
            return printed


@pytest.mark.skipif(bool(REASON), reason=f"no network namespaces here: {REASON}")
def test_the_tutorial_does_what_it_says(trio: Trio) -> None:
    for step in dialogue(TUTORIAL):
        match step.language:
            case "text" if step.text.startswith("; "):
                trio.write(step.text)
            case "text":
                continue
            case "hand":
                trio.by_hand(step.text)
            case _:
                printed = until_it_agrees(trio, step)
                assert agrees(printed, step.printed or ""), f"{step.text}\n{printed}instead of\n{step.printed}"


def test_the_tutorial_uses_all_three_machines_and_both_prompts() -> None:
    prompts = {match.groups()[:2] for line in TUTORIAL.splitlines() if (match := PROMPT.match(line))}
    assert prompts == {(machine, prompt) for machine in NODES for prompt in "$#"}
