"""`simulate --scenarios [FILE]...`: replays transcripts, all of a checkout's if none is named, or writes them anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from loguru import logger

from simulation.scenarios.transcript import broken, rewrite
from simulation.signals import deferred

SCENARIOS = Path(__file__).parents[2] / "tests" / "scenarios"


def scenarios_of(folder: Path = SCENARIOS) -> list[Path]:
    """All transcripts. Raises ValueError where there are none: an installed program has no tests."""
    found = sorted(folder.glob("*.txt"))
    if not found:
        raise ValueError(f"no scenarios in {folder}: run this in a checkout, or name files")
    return found


def tell(names: list[str], anew: bool, line: Callable[[str], None] = print) -> int:
    """Replay these, or write down what is said now; 1 if one of them differs. Raises ValueError."""
    logger.remove()
    differing = 0
    for path in [Path(name) for name in names] or scenarios_of():
        before = _text(path)
        if anew:
            with deferred():
                rewrite(path)
            line(f"{path.stem}: {'as before' if path.read_text() == before else 'written anew'}")
            continue
        with deferred():
            said = broken(path)
        differing += bool(said)
        line(f"{path.stem}: {said or before.splitlines()[0].removeprefix('# ')}")
    return 1 if differing else 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ValueError(f"cannot read the scenario {path}: {error.strerror}") from None
