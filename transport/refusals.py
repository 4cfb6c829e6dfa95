"""Bad input, counted for `status` and logged at a limited rate.

Whoever sends garbage at full speed must not fill the log, so one reason gets at most one line a
second; the counts miss nothing. Reasons are constant texts, what is special about the one case is
the detail.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loguru import Logger

LOG_EVERY_S = 1.0


class Refusals:
    """How often this transport refused what it received, by reason."""

    def __init__(self, log: Logger) -> None:
        self.counts: Counter[str] = Counter()
        self._log = log
        self._logged_at: dict[str, float] = {}

    def count(self, reason: str, detail: object, at: float) -> None:
        """Count one refusal; `at` is the loop's time in seconds."""
        self.counts[reason] += 1
        if at - self._logged_at.get(reason, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged_at[reason] = at
            self._log.warning("refused: {reason}: {detail}", reason=reason, detail=str(detail)[:200])
