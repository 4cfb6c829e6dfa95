"""That a bounded consumer of a run notices when it is told an end that is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from logstream.core.gateway.catalog import Catalog
from logstream.core.topic_log import ReadDone
from simulation.run import Run


def test_an_end_before_what_was_acknowledged_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Catalog.measured

    def nothing(self: Catalog, read: ReadDone) -> list[int]:
        return measured(self, replace(read, end=read.start))

    monkeypatch.setattr(Catalog, "measured", nothing)
    violation = Run(3).go().violation
    assert violation is not None and violation.rule == "unseen"
