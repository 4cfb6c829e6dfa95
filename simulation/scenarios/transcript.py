"""Transcripts: scenarios that read like a talk with a cluster, and are replayed as they stand.

    # R4, R6: the first line names the rule that is shown

    form n1 n2 n3
    > n3 leads n1 n2 n3

    kill n3
    wait for n1 n2
    .   n2 I WIN
    > n2 leads n1 n2

A line that begins with neither `#`, `>` nor `.` is a command; nodes.py, messages.py, clients.py and
looking.py say which there are. `>` is what it must answer: facts about the cluster, the same for every
seed. `.` is the story, what the nodes wrote to their logs meanwhile; it is there to be read, and may be
told in another order by another seed. To write a scenario write the commands only, let `rewrite` fill in
the rest, and read whether it is right.

Elsewhere: the mutations that every rule is tried with (mutations.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from simulation.checks.violation import Violation
from simulation.scenarios import clients, looking, messages, nodes
from simulation.scenarios.scenario import CannotDo, Command, Scenario

ANSWER, STORY, COMMENT = "> ", ". ", "#"
COMMANDS: dict[str, Command] = nodes.COMMANDS | messages.COMMANDS | clients.COMMANDS | looking.COMMANDS


@dataclass(slots=True)
class Step:
    """One command, what it must answer, and where it stands."""

    line: int
    command: str
    expected: list[str] = field(default_factory=list)


def steps(text: str) -> list[Step]:
    """The commands of a transcript."""
    found: list[Step] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(ANSWER):
            found[-1].expected.append(line)
        elif line.strip() and not line.startswith((COMMENT, STORY)):
            found.append(Step(number, line.strip()))
    return found


def broken(path: Path, seed: int = 1) -> str:
    """How a transcript fails, in one line: the first answer that differs; "" if none does.

    A broken promise tells more: if there is one, wherever it is, it is what is said.
    """
    differs = ""
    scenario = Scenario(seed)
    with scenario.story:
        try:
            for step in steps(path.read_text()):
                said = _do(scenario, step.command)
                if not differs:
                    differs = _difference(path, step, said)
            scenario.end()
        except Violation as violation:
            return str(violation)
        except (LookupError, StopIteration, CannotDo) as lost:  # after a difference nothing may be where it should be
            return differs or f"{path.name}:{step.line}: {step.command}: {lost!r}"
    return differs


def retell(path: Path, line: Callable[[str], None], seed: int = 1) -> None:
    """Replay a transcript and write what is said, where it is not what was expected, and the promise that it breaks."""
    scenario = Scenario(seed)
    with scenario.story:
        try:
            for step in steps(path.read_text()):
                line(step.command)
                said = _do(scenario, step.command)
                for told in said:
                    line(told)
                if _difference(path, step, said):
                    line(f"  expected was {_listed(step.expected)}")
            scenario.end()
        except (Violation, LookupError, StopIteration, CannotDo) as ended:
            for told in scenario.story.take():
                line(STORY + told)
            line(f"  VIOLATION of {ended}" if isinstance(ended, Violation) else f"  it ends here: {ended!r}")


def _difference(path: Path, step: Step, said: list[str]) -> str:
    answers = [line for line in said if line.startswith(ANSWER)]
    if answers == step.expected:
        return ""
    place = f"{path.name}:{step.line}: {step.command}"
    return f"{place}: expected {_listed(step.expected)}, said {_listed(answers)}"


def _listed(answers: list[str]) -> str:
    return "; ".join(answer.removeprefix(ANSWER) for answer in answers) or "nothing"


def rewrite(path: Path) -> None:
    """Replay a transcript and write down what is said now."""
    lines: list[str] = []
    scenario = Scenario()
    with scenario.story:
        for line in path.read_text().splitlines():
            if line.startswith((ANSWER, STORY)):
                continue
            lines.append(line)
            if line.strip() and not line.startswith(COMMENT):
                lines += _do(scenario, line.strip())
        scenario.end()
    path.write_text("\n".join(lines) + "\n")


def _do(scenario: Scenario, line: str) -> list[str]:
    """One command: the story meanwhile, then the answers."""
    name, *words = line.split()
    command = COMMANDS.get(name)
    if command is None:
        raise CannotDo(f"{line!r}: there are {', '.join(sorted(COMMANDS))}")
    answers = command(scenario, words)
    scenario.check()
    return [STORY + told for told in scenario.story.take()] + [ANSWER + answer for answer in answers]
