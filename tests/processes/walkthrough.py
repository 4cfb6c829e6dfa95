"""Pages that are read from top to bottom: what is typed, and what must appear below it.

A page shows one run; another has other process ids, ports and times. So numbers of that kind count as equal,
`...` stands for anything, and a line of it alone for any lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
DIALOGUE = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^(n\d)([$#]) (.*)")
ANY_LINES = r"(?:.*\n)*"
VARYING = (
    (r"^logstream: .* is in use, taking \d+\n", ""),
    (r"\b127\.0\.0\.1:\d+", "LOCAL"),
    (r"\b(pid) \d+", r"\1 N"),
    (r"[\d,.]+ records/s, [\d.]+ s\b", "N records/s, N s"),
    (r"[ ]+", " "),
    (r" +$", ""),
)


class Step(NamedTuple):
    """What is typed; where, if that matters; and what the page shows below it, None where it shows nothing."""

    language: str
    text: str
    printed: str | None
    machine: str = ""


def blocks(page: str) -> list[Step]:
    """The `sh` and `python` blocks of a page, each with the `text` block right behind it."""
    return [Step(*match.groups()) for match in BLOCK.finditer(page)]


def dialogue(page: str) -> Iterator[Step]:
    """Lines after `n1$` or `n1#` in the `text` blocks of a page, each with what is shown up to the next.

    Other blocks come as they are: their first line says what they are.
    """
    for match in DIALOGUE.finditer(page):
        lines = match[1].splitlines()
        if not PROMPT.match(lines[0]) and not lines[0].startswith("("):
            yield Step("text", match[1], None)
            continue
        typed: list[Step] = []
        for line in lines:
            if prompt := PROMPT.match(line):
                typed.append(Step("sh", prompt[3], "", prompt[1]))
            elif line.startswith("("):
                typed.append(Step("hand", line, ""))
            else:
                typed[-1] = typed[-1]._replace(printed=f"{typed[-1].printed}{line}\n")
        yield from typed


def agrees(printed: str, shown: str) -> bool:
    """Is this what the page shows, but for what differs from run to run?"""
    pattern = "".join(ANY_LINES if line == "..." else _pattern(line) for line in _normal(shown).splitlines())
    return re.fullmatch(pattern, _normal(printed)) is not None


def _pattern(line: str) -> str:
    return ".*".join(map(re.escape, line.split("..."))) + "\n"


def _normal(text: str) -> str:
    for pattern, instead in VARYING:
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    return text
