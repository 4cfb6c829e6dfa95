"""docs/client.md is true: its examples run on a real cluster and print what the page says, and no name is missing.

Every `python` block is a program of its own. A `text` block right behind it is what it prints.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

import logstream
from logstream import LogStreamError, aio
from tests.processes.local_cluster import ROOT, LocalCluster

PAGE = (ROOT / "docs/client.md").read_text()
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
DEADLINE_S = 60


class Example(NamedTuple):
    """A program of the page, and what it prints; None where the page does not say."""

    number: int
    program: str
    printed: str | None


EXAMPLES = [Example(number, *match.groups()) for number, match in enumerate(BLOCK.finditer(PAGE), start=1)]


@pytest.fixture(scope="module")
def cluster(make_cluster: Callable[..., LocalCluster]) -> Iterator[LocalCluster]:
    """Three nodes under the usual name."""
    found = make_cluster("logstream")
    found.ok("up", "--nodes", "3")
    yield found
    found.ok("down")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example.number))
def test_an_example_runs_and_prints_what_the_page_says(example: Example, cluster: LocalCluster) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example.program],
        cwd=ROOT,
        env=cluster.environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert (done.returncode, done.stderr) == (0, ""), example.program
    assert done.stdout == (example.printed or "")


def public_names() -> list[str]:
    """Names of the two packages, and `.name` for what their classes offer."""
    names = {*logstream.__all__, *aio.__all__}
    for kind in [getattr(package, name) for package in (logstream, aio) for name in package.__all__]:
        if inspect.isclass(kind):
            ours = [one for one in kind.__mro__ if one.__module__.startswith("logstream.")]
            names |= {f".{name}" for one in ours for name in vars(one) if not name.startswith("_")}
    return sorted(names)


# What parts of the library need of each other.
OURS = {".at_exit", ".forked", ".given", ".when_done", ".reported", ".code"}
PROGRAMS = "\n".join(example.program for example in EXAMPLES)


@pytest.mark.parametrize("name", [name for name in public_names() if name not in OURS])
def test_every_public_name_is_in_an_example(name: str) -> None:
    assert re.search(rf"{re.escape(name)}\b", PROGRAMS)


def test_the_table_of_errors_has_every_error_and_no_other() -> None:
    documented = set(re.findall(r"^\| `([A-Z]\w+)` \|", PAGE, re.MULTILINE))
    kinds = {name for name in logstream.__all__ if name != "LogStreamError"}
    errors = {name for name in kinds if issubclass(getattr(logstream, name), LogStreamError)}
    assert documented - {"Handle"} == errors


def test_every_option_of_a_client_is_on_the_page() -> None:
    missing = [
        f"{name}({option}=)"
        for name in ("Producer", "Consumer", "Admin")
        for option in inspect.signature(getattr(logstream, name)).parameters
        if f"{option}=" not in PAGE and option != "topics"
    ]
    assert missing == []
