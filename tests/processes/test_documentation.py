"""What README.md and docs/ tell people to type works: every `sh` and `python` block is run.

The programs of docs/client.md are run by test_client_page.py; docs/quickstart.md and docs/tutorial.md, which are read
from top to bottom, by test_walkthroughs.py.

A block in a language of its own (`text`) is an example that is not for this machine. Lines that begin with
`make` are left to .ci/run, which is one of them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.processes.local_cluster import PROGRAM, ROOT, LocalCluster

ELSEWHERE = {"client.md", "quickstart.md", "tutorial.md"}
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name not in ELSEWHERE)]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
DEADLINE_S = 60


class Block(NamedTuple):
    """A piece of a page that people copy."""

    page: str
    number: int
    language: str
    text: str


def blocks() -> list[Block]:
    """All blocks with anything to run, in the order of the pages."""
    found = []
    for page in PAGES:
        for number, match in enumerate(BLOCK.finditer(page.read_text()), start=1):
            text = re.sub(r"^make .*\n", "", match[2], flags=re.MULTILINE)
            if text.strip():
                found.append(Block(page.name, number, match[1], text))
    return found


@pytest.fixture(scope="module")
def usual(make_cluster: Callable[..., LocalCluster]) -> LocalCluster:
    """A folder for clusters with the usual name."""
    return make_cluster("logstream")


@pytest.fixture
def command_folder(tmp_path: Path) -> Path:
    """A folder with the command `logstream` in it, as an installation has it."""
    command = tmp_path / "logstream"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PROGRAM}" "$@"\n')
    command.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("block", [block for block in blocks() if block.language == "sh"], ids=lambda block: block.page)
def test_shell_block(block: Block, usual: LocalCluster, command_folder: Path) -> None:
    environment = {**usual.environment, "PATH": f"{usual.environment['PATH']}:{command_folder}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, f"{block.text}\n{done.stderr}"
    assert usual.nodes() == []


@pytest.mark.parametrize(
    "block", [block for block in blocks() if block.language == "python"], ids=lambda block: block.page
)
def test_python_block(block: Block, usual: LocalCluster) -> None:
    usual.ok("up", "--nodes", "2")
    done = subprocess.run(
        [sys.executable, "-c", block.text],
        cwd=ROOT,
        env=usual.environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    usual.ok("down")
    assert done.returncode == 0, f"{block.text}\n{done.stderr}"


def test_the_readme_has_both_kinds_of_blocks() -> None:
    assert {block.language for block in blocks() if block.page == "README.md"} == {"sh", "python"}
