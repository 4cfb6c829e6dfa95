"""Take one rule away, and the scenario that was written for it fails.

Which other scenarios and which seeds notice is what `logstream simulate --mutations` finds out.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from simulation.mutation_table import rows, survey
from simulation.mutations import MUTATIONS, NOT_YET
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


def test_every_scenario_that_a_mutation_names_is_there() -> None:
    names = {path.stem for path in scenarios_of(HERE)}
    assert {mutation.scenario for mutation in MUTATIONS.values()} <= names


def test_a_mutation_that_does_not_exist_is_an_error_that_names_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"no mutation 'no sense', but no quorum, "):
        survey(["no sense"], range(0), jobs=1)


def test_no_mutation_is_both_tried_and_put_off() -> None:
    assert not set(MUTATIONS) & set(NOT_YET)
