"""What each partition of a topic keeps, where that is not what the cluster's settings say.

The names are those of the settings (`[cluster] retention_bytes` and so on), here as there: 0 is no limit. None
is what the cluster says, now and after its settings have changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

DEFAULT = "default"  # what people write for: as the cluster says
SECONDS_MAX = 1e9
COUNT_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class TopicRetention:
    """Limits of one topic, each for each of its partitions."""

    retention_bytes: int | None = None
    retention_records: int | None = None
    retention_s: float | None = None  # of age

    @property
    def own(self) -> dict[str, int | float]:
        """The limits that the topic has for itself, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def changed(self, by: TopicRetention, to_default: Iterable[str]) -> TopicRetention:
        """With the limits that `by` has, and those of these names as the cluster says."""
        changes: dict[str, Any] = dict.fromkeys(to_default)
        return replace(self, **(changes | by.own))

    def over(self, cluster: TopicRetention) -> TopicRetention:
        """What is in force: the topic's own limits, else the cluster's."""
        own: dict[str, Any] = self.own
        return replace(cluster, **own)

    def fault(self) -> str | None:
        """Why these cannot be limits, if so."""
        for name, value in self.own.items():
            most = SECONDS_MAX if name == "retention_s" else COUNT_MAX
            if not (math.isfinite(value) and 0 <= value <= most):
                return f"{name} is a number from 0 (no limit) to {most:g}, not {value:g}"
        return None


AS_CLUSTER = TopicRetention()  # no limit of its own
LIMITS = tuple(field.name for field in fields(TopicRetention))
