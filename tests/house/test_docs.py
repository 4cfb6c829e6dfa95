"""What the pages say exists, exists: files, settings, make targets, the keys of status.

Whether the commands on them work is tried in tests/processes/test_documentation.py.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest

from actors.mesh import Seat
from logstream.protocol.messages import ClientRequest, PeerMessage, StatusRequest, StatusResponse
from logstream.settings import SharedSettings
from logstream.settings.models import SECTIONS
from simulation.cluster import Cluster
from simulation.pretended.network import Climate
from tests.house.source_tree import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN = {"sh", "python"}  # by tests/processes/test_documentation.py
SHOWN = {"text"}
TOP = ("logstream", "actors", "transport", "simulation", "tests", "conf", "docs", "deploy", "benchmarks")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def quoted(page: Path) -> list[str]:
    """What stands between backticks in the page's prose and tables."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text()))


@every_page
def test_every_block_says_whether_it_is_run(page: Path) -> None:
    assert {language for language, _ in FENCE.findall(page.read_text())} <= RUN | SHOWN


@every_page
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    in_blocks = re.findall(r"^make ([a-z]+)", page.read_text(), re.MULTILINE)
    in_prose = [words.split()[1] for words in quoted(page) if re.match(r"make [a-z]", words)]
    assert [target for target in in_blocks + in_prose if target not in targets] == []


@every_page
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = [word for word in quoted(page) if word.startswith(tuple(f"{top}/" for top in TOP)) and " " not in word]
    assert [word for word in named if not (ROOT / word).exists()] == []


@every_page
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    """A word like a setting: with an underscore, or before an equals sign."""
    keys = {key for section in SECTIONS.values() for key in section.fields_by_key()}
    assigned = [words.split(" = ")[0] for words in quoted(page) if re.fullmatch(r"[a-z_]+ = \w+", words)]
    timed = [word for word in quoted(page) if re.fullmatch(r"[a-z_]+_(s|max|nodes|port)", word)]
    keys |= set(re.findall(r"^\| `(\w+)` \|", PAGE_OF_STATUS, re.MULTILINE))
    assert [key for key in assigned + timed if key not in keys] == []


@every_page
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)", FENCE.sub("", page.read_text()))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_index_has_every_page_once() -> None:
    listed = re.findall(r"\]\((\S+\.md)\)", (ROOT / "docs/README.md").read_text())
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert sorted(listed) == sorted(pages | {"../CHANGELOG.md"})


def test_the_readme_can_be_read_in_five_minutes() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 1000


def test_the_picture_of_the_mesh_has_every_actor() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    assert [seat for seat in Seat if f"[{seat}]" not in text] == []


def test_the_architecture_can_be_read_in_a_quarter_of_an_hour() -> None:
    assert len((ROOT / "docs/architecture.md").read_text().split()) <= 1500


# --- docs/status.md ---


@cache
def status_of_a_leader() -> dict[str, Any]:
    """What a whole node with a topic says."""
    cluster = Cluster(1, Climate(), SharedSettings())
    cluster.form("n1", "n2")
    producer = cluster.producer()
    producer.send("logs", [b"one"])
    assert cluster.loop.run_until(lambda: bool(producer.acknowledged), 20.0)
    answers: list[Any] = []
    address = cluster.nodes[cluster.leader()].settings.node.address
    connection = cluster.network.connect(address, lambda correlation, answer: answers.append(answer))
    assert connection is not None
    connection.ask(1, StatusRequest())
    assert cluster.loop.run_until(lambda: bool(answers), 2.0)
    assert isinstance(answers[0], StatusResponse)
    status: dict[str, Any] = json.loads(answers[0].json)
    return status


def documented(*headings: str) -> set[str]:
    """Keys in the tables below these headings of docs/status.md."""
    sections = re.split(r"^## ", (ROOT / "docs/status.md").read_text(), flags=re.MULTILINE)
    chosen = [section for section in sections if section.partition("\n")[0] in headings]
    assert len(chosen) == len(headings)
    return {key for section in chosen for key in re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)}


def test_every_key_of_status_is_documented_and_no_other() -> None:
    status = status_of_a_leader()
    assert documented("The cluster", "This node") == set(status)
    assert documented("Each member") == set(status["members"][0])
    assert documented("Each topic") == set(status["topics"][0])
    assert documented("Each partition") == set(status["topics"][0]["partitions"][0])


def test_status_has_the_types_that_are_documented() -> None:
    kinds = {"string": str, "integer": int, "number": float, "array": list, "object": dict, "null": type(None)}
    rows = re.findall(r"^\| `(\w+)` \| ([a-z]+)(?: of strings)?(?: or (null))? \|", PAGE_OF_STATUS, re.MULTILINE)
    status = status_of_a_leader()
    wrong = [
        f"{key} is {status[key]!r}"
        for key, kind, null in rows
        if key in status and not isinstance(status[key], (kinds[kind], kinds[null] if null else kinds[kind]))
    ]
    assert len(rows) > 20 and wrong == []


PAGE_OF_STATUS = (ROOT / "docs/status.md").read_text()


def test_status_of_a_leader_makes_sense() -> None:
    status = status_of_a_leader()
    assert (status["state"], status["leader"], status["no_answer"]) == ("leading", status["node_id"], [])
    assert {member["role"]: member["served_by"] for member in status["members"]} == {
        "leader": None,
        "follower": "multicast",
    }
    (topic,) = status["topics"]
    (partition,) = topic["partitions"]
    assert (topic["name"], partition["partition"], partition["assigned"]) == ("logs", 0, partition["assigned"])
    assert partition["assigned"] in {"n1", "n2"}


# --- docs/protocol.md ---


def test_every_message_and_rule_of_the_protocol_has_a_scenario_that_exists() -> None:
    text = (ROOT / "docs/protocol.md").read_text()
    tables = re.findall(r"^\|.*\| scenario \|\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [line.split(" | ") for table in tables for line in table.splitlines()]
    shown = {row[0].removeprefix("| "): re.findall(r"`(\w+)`", row[-1]) for row in rows}
    assert len(tables) == 3 and [name for name, scenarios in shown.items() if not scenarios] == []
    named = {scenario for scenarios in shown.values() for scenario in scenarios}
    assert named - {path.stem for path in (ROOT / "tests/scenarios").glob("*.txt")} == set()


def test_every_message_is_in_a_table_of_the_protocol() -> None:
    text = (ROOT / "docs/protocol.md").read_text()
    messages = {kind.__name__ for kind in (*get_args(PeerMessage), *get_args(ClientRequest))}
    assert [name for name in sorted(messages) if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("name", ["protocol", "election", "views", "failure-detection"])
def test_a_page_of_the_protocol_can_be_read_in_a_quarter_of_an_hour(name: str) -> None:
    assert len((ROOT / f"docs/{name}.md").read_text().split()) <= 1500
