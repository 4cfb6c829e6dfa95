"""Bad input fills neither the log nor anything else."""

from __future__ import annotations

from loguru import logger

from transport.refusals import Refusals


def test_one_reason_gets_one_line_a_second_and_every_case_is_counted() -> None:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{message}")
    refusals = Refusals(logger)
    for at in (0.0, 0.1, 0.9, 1.0, 1.5):
        refusals.count("malformed frame", f"at {at}", at)
    refusals.count("another cluster's name", "plant-7", 1.5)
    logger.remove(sink)
    assert refusals.counts == {"malformed frame": 5, "another cluster's name": 1}
    assert lines == [
        "refused: malformed frame: at 0.0\n",
        "refused: malformed frame: at 1.0\n",
        "refused: another cluster's name: plant-7\n",
    ]


def test_what_a_stranger_sent_is_cut_short_in_the_log() -> None:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{message}")
    Refusals(logger).count("malformed frame", "{x}" * 10_000, 0.0)
    logger.remove(sink)
    assert len(lines[0]) < 300
