"""The mutation table: which scenarios and which seeds notice that a rule is gone.

Each mutation is applied in a process of its own, because a patch is never taken back, and tried with
every scenario and with some seeds. A mutation that nothing notices is an error.

    | rule taken away | scenarios | seeds | what was said |

If one is named its story follows: of the one seed that is named, or of the scenario that was written for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from loguru import logger

from simulation.command import replay
from simulation.mutations import MUTATIONS
from simulation.run import Run
from simulation.scenarios.command import SCENARIOS, scenarios_of
from simulation.scenarios.transcript import broken, retell
from simulation.signals import leave_to_parent

SAID_MAX = 110  # characters of a line in the table


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one mutation."""

    mutation: str
    scenarios: tuple[str, ...]  # that noticed
    seeds: tuple[int, ...]  # that noticed
    said: str  # by the scenario written for it, else by whoever noticed first

    @property
    def is_caught(self) -> bool:
        """Did anything notice?"""
        return bool(self.scenarios or self.seeds)


def rows(names: Collection[str], scenarios: list[Path], seeds: range, jobs: int) -> Iterator[Row]:
    """Try these mutations, in their order, each in a fresh process. Raises KeyError if there is no such mutation."""
    trials = [_Trial(MUTATIONS[name].name, scenarios, seeds) for name in names]
    with get_context("fork").Pool(min(jobs, len(trials)), leave_to_parent, maxtasksperchild=1) as pool:
        yield from pool.imap(_try, trials, chunksize=1)


def survey(names: list[str], seeds: range, jobs: int, line: Callable[[str], None] = print) -> int:
    """Try mutations, all of them if none is named, and write the table; 1 if one was not noticed. Raises ValueError."""
    unknown = [name for name in names if name not in MUTATIONS]
    if unknown:
        raise ValueError(f"there is no mutation {unknown[0]!r}, but {', '.join(MUTATIONS)}")
    scenarios = scenarios_of()
    line("| rule taken away | rule | scenarios | seeds | what was said |")
    line("|---|---|---|---|---|")
    missed = []
    for row in rows(names or list(MUTATIONS), scenarios, seeds, jobs):
        line(_line(row, len(scenarios), len(seeds)))
        missed += [] if row.is_caught else [row.mutation]
    if len(names) == 1:
        for told in story(names[0], seeds):
            line(told)
    for name in missed:
        line(f"NOT NOTICED: {name}: {MUTATIONS[name].sentence}")
    return 1 if missed else 0


def story(name: str, seeds: range) -> list[str]:
    """What happens where this rule is gone: in its scenario, or in the seed if it is one."""
    with get_context("fork").Pool(1, leave_to_parent) as pool:
        return pool.apply(_tell, (name, seeds[0] if len(seeds) == 1 else None))


def _tell(name: str, seed: int | None) -> list[str]:
    logger.remove()
    mutation = MUTATIONS[name]
    mutation.apply()
    scenario = SCENARIOS / f"{mutation.scenario}.txt"
    lines = ["", f"{f'{scenario.stem}.txt' if seed is None else f'seed {seed}'} where {mutation.sentence}:"]
    try:
        if seed is None:
            retell(scenario, lines.append)
        else:
            replay(seed, trace=False, line=lines.append)
    except Exception as error:  # a mutation may break anything
        lines.append(f"  {type(error).__name__}: {error}")
    return [line for line in lines if not line.startswith("replay: ")]  # which would be with the rule


def _line(row: Row, scenarios: int, seeds: int) -> str:
    mutation = MUTATIONS[row.mutation]
    by = f"{mutation.scenario if mutation.scenario in row.scenarios else 'none'} ({len(row.scenarios)} of {scenarios})"
    said = row.said if len(row.said) <= SAID_MAX else row.said[: SAID_MAX - 3] + "..."
    return f"| {row.mutation} | {mutation.rule} | {by} | {len(row.seeds)} of {seeds} | {said.replace('|', '/')} |"


@dataclass(frozen=True, slots=True)
class _Trial:
    """What one process does."""

    mutation: str
    scenarios: list[Path]
    seeds: range


def _try(trial: _Trial) -> Row:
    logger.remove()
    mutation = MUTATIONS[trial.mutation]
    mutation.apply()
    by_scenario = {path.stem: said for path in trial.scenarios if (said := _noticed(broken, path))}
    by_seed = {seed: said for seed in trial.seeds if (said := _noticed(_verdict_of, seed))}
    first = next(iter([*by_scenario.values(), *by_seed.values()]), "")
    return Row(trial.mutation, tuple(by_scenario), tuple(by_seed), by_scenario.get(mutation.scenario, first))


def _verdict_of(seed: int) -> str:
    violation = Run(seed).go().violation
    return str(violation) if violation is not None else ""


def _noticed(trial: Callable[[Any], str], what: Path | int) -> str:
    """What was said against it. A mutation may break anything, so whatever is raised counts."""
    try:
        return trial(what)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
