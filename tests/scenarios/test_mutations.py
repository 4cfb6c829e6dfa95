"""Take one rule away, and the scenario that was written for it fails.

Which other scenarios and which seeds notice is what `logstream simulate --mutations` finds out.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from simulation.mutation_table import rows, story, survey
from simulation.mutations import MUTATIONS
from simulation.scenarios.command import scenarios_of

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_rule_that_is_taken_away_is_missed(name: str) -> None:
    (row,) = rows([name], [HERE / f"{MUTATIONS[name].scenario}.txt"], range(0), jobs=1)
    assert row.scenarios == (MUTATIONS[name].scenario,)
    assert row.said


def test_taking_a_rule_away_leaves_this_process_as_it_is() -> None:
    name = "acknowledging early"
    list(rows([name], [HERE / f"{MUTATIONS[name].scenario}.txt"], range(0), jobs=1))
    (row,) = rows(["back-off without a ceiling"], [HERE / f"{MUTATIONS[name].scenario}.txt"], range(0), jobs=1)
    assert row.scenarios == ()


def test_the_story_of_a_mutation_shows_where_it_differs_from_the_scenario() -> None:
    lines = story("a lone suspect stands", range(0))
    assert ". n1 I WIN" in lines
    assert "  expected was 0 views, 0 elections" in lines[lines.index("count") :]


def test_the_story_of_a_mutation_ends_with_the_promise_that_it_breaks() -> None:
    assert story("acknowledging early", range(0))[-1].startswith("  VIOLATION of I6: ")


def test_the_story_of_a_mutation_in_one_seed_is_that_seeds_transcript() -> None:
    lines = story("acknowledging early", range(7, 8))
    assert any(line.startswith("VIOLATION of ") for line in lines)
    assert "the last turns of each node:" in lines


def test_every_scenario_that_a_mutation_names_is_there() -> None:
    names = {path.stem for path in scenarios_of(HERE)}
    assert {mutation.scenario for mutation in MUTATIONS.values()} <= names


def test_a_mutation_that_does_not_exist_is_an_error_that_names_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"no mutation 'no sense', but no quorum, "):
        survey(["no sense"], range(0), jobs=1)
