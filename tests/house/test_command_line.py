"""Every option that exists is documented, and every option that is documented exists.

The truth is the typer app; the pages are docs/command-line.md, which must have everything, and all other
pages, which must not show anything that does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import typer.main

from logstream_cli import app
from tests.house.source_tree import ROOT
from tests.house.test_docs import PAGES

PAGE = (ROOT / "docs/command-line.md").read_text()
ALWAYS = {"--help"}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


@cache
def commands() -> dict[str, Any]:
    """Every command by its words, "" being the program itself."""
    return dict(_walk("", typer.main.get_command(app)))


def _walk(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield words, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from _walk(f"{words} {name}".strip(), sub)


def leaves() -> list[str]:
    """The commands that do something."""
    return [words for words, command in commands().items() if not hasattr(command, "commands")]


def options_of(words: str) -> set[str]:
    """The options that a command has and shows."""
    visible = [param for param in commands()[words].params if not getattr(param, "hidden", False)]
    return {option for param in visible for option in param.opts if option.startswith("--")}


@cache
def sections() -> dict[str, str]:
    """What docs/command-line.md says about each command; "" has what is said before and of completion."""
    found: dict[str, str] = {}
    for section in re.split(r"^##+ ", PAGE, flags=re.MULTILINE):
        title = section.partition("\n")[0]
        match = re.match(r"`logstream ([a-z -]*[a-z])", title)
        words = match[1] if match else "topics" if title == "Topics" else ""
        found[words] = found.get(words, "") + section
    return found


def documented(words: str) -> set[str]:
    """The options that stand at the head of a row, or in the sentence that begins with Takes or All."""
    text = sections()[words] + (sections()["topics"] if words.startswith("topics ") else "")
    rows = re.findall(r"^\| (`--.*?`) \| ", text, re.MULTILINE)
    takes = re.findall(r"\b(?:Takes|take)\s+(`--[^.]*)", text)
    return {option for said in rows + takes for option in OPTION.findall(said)}


@pytest.mark.parametrize("words", leaves())
def test_the_page_has_every_option_of_a_command_and_no_other(words: str) -> None:
    assert documented(words) == options_of(words)


def test_the_page_has_every_command_and_no_other() -> None:
    assert set(sections()) - {"", "topics"} == set(leaves())


def test_the_page_has_the_options_of_the_program() -> None:
    everywhere = {"--cluster", "--bootstrap", "--json"}
    assert documented("") == options_of("") | everywhere | ALWAYS


def shown() -> list[tuple[str, str]]:
    """Every command line on the pages that begins with `logstream`, in blocks and between backticks."""
    found = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        quoted = re.findall(r"`(logstream [^`\n]+)`", text)
        in_blocks = re.findall(r"^(?:.*[|(] *)?(logstream [^|\n]+)", text, re.MULTILINE)
        found += [(page.name, line) for line in quoted + in_blocks]
    return found


def test_every_command_line_on_the_pages_can_be_typed() -> None:
    """The command exists, and so does each of its options."""
    wrong = [
        f"{page}: {line}"
        for page, line in shown()
        for words in [_command_of(line)]
        if words is None or not set(OPTION.findall(line)) <= options_of(words) | ALWAYS
    ]
    assert len(shown()) > 30 and wrong == []


def _command_of(line: str) -> str | None:
    """The longest sequence of words that is a command. COMMAND stands for any."""
    words = [word for word in line.replace("COMMAND", "version").split()[1:] if not word.startswith("-")]
    for length in range(len(words), 0, -1):
        if " ".join(words[:length]) in commands():
            return " ".join(words[:length])
    return "" if not words else None


def test_every_option_that_the_readme_or_the_page_names_exists() -> None:
    known = {option for words in commands() for option in options_of(words)} | ALWAYS
    assert set(OPTION.findall(PAGE + (ROOT / "README.md").read_text())) <= known


def test_no_sentence_of_help_is_cut_off() -> None:
    """typer cuts what does not fit 80 columns beside the longest name."""
    cut = [
        f"{words} {name}"
        for words, command in commands().items()
        for name, sub in getattr(command, "commands", {}).items()
        if sub.get_short_help_str(78 - 6 - max(map(len, command.commands))).endswith("...")
    ]
    assert cut == []


def test_every_option_has_a_sentence_of_help() -> None:
    silent = [
        f"{words} {param.opts[0]}"
        for words, command in commands().items()
        for param in command.params
        if not getattr(param, "hidden", False) and not getattr(param, "help", "")
    ]
    assert silent == []
