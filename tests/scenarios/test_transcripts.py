"""Every transcript is replayed, with more than one seed.

To write a new one write the commands, then `logstream simulate --scenarios tests/scenarios/NAME.txt --rewrite`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from simulation.scenarios.transcript import broken, retell, rewrite, steps

HERE = Path(__file__).parent
TRANSCRIPTS = sorted(HERE.glob("*.txt"))
SEEDS = (1, 2)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_cluster_answers_what_the_transcript_says(path: Path, seed: int) -> None:
    assert broken(path, seed) == ""


def test_the_first_line_of_each_transcript_names_the_rule_that_it_shows() -> None:
    firsts = [path.read_text().splitlines()[0] for path in TRANSCRIPTS]
    assert [line for line in firsts if not line.startswith("# ") or ": " not in line] == []


def test_there_are_as_many_situations_as_were_promised() -> None:
    assert len(TRANSCRIPTS) >= 30


# --- that a transcript can fail ---


def test_an_answer_that_differs_is_shown_with_its_place(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("# R4: n1 leads\n\nform n1 n2\n> one view of n1 n2\nwho n1\n> n1 leads n1 n2\n")
    assert broken(wrong) == "wrong.txt:5: who n1: expected n1 leads n1 n2, said n1 follows n2"


def test_an_answer_that_is_missing_differs_too(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("# R4: nobody is asked\n\nform n1 n2\n")
    assert broken(wrong) == "wrong.txt:3: form n1 n2: expected nothing, said one view of n1 n2"


def test_a_node_that_ends_without_being_asked_to_breaks_a_promise(tmp_path: Path) -> None:
    twin = tmp_path / "twin.txt"
    twin.write_text(
        "# R15: nobody expects the end of a twin\n\nform n1 n2\n> one view of n1 n2\nstart n1@8009\nrun 2\n"
    )
    assert broken(twin).startswith("I23: n1@8009 ended")


def test_rewriting_fills_in_what_is_said_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    path.write_text("# R18: new\n\nform n1 n2\nwho\n> something old\n\n# the end\n")
    rewrite(path)
    assert path.read_text() == (
        "# R18: new\n\nform n1 n2\n> one view of n1 n2\nwho\n> n1 follows n2\n> n2 leads n1 n2\n\n# the end\n"
    )
    assert [step.line for step in steps(path.read_text())] == [3, 5]


def test_the_story_says_coordinator_where_the_log_does_after_an_election(tmp_path: Path) -> None:
    path = tmp_path / "two.txt"
    path.write_text("# R4: two leaders\n\nform n1 n2 n3\nlead n2\nrun 1\nkill n2\nwait for n1 n3\nrun 1\n")
    rewrite(path)
    by_hand, by_election = path.read_text().split("kill n2")
    assert ". n2 leads a view of n1, n2, n3\n" in by_hand and "COORDINATOR" not in by_hand
    assert ". n3 leads a view of n1, n3\n" in by_election and ". n3 COORDINATOR n3\n" in by_election


def test_retelling_shows_what_was_expected_instead(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("# R4: n1 leads\n\nform n1 n2\n> one view of n1 n2\nwho n1\n> n1 leads n1 n2\n")
    lines: list[str] = []
    retell(wrong, lines.append)
    assert lines[-3:] == ["who n1", "> n1 follows n2", "  expected was n1 leads n1 n2"]
