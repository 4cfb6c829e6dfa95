"""The consistent hash ring that spreads topic partitions over brokers (Karger et al. 1997).

Every broker owns many points on a circle; a partition belongs to the broker of the first point at or
after its own. A broker that comes or goes moves only the partitions next to its points. Hashes are
blake2b, so every node and every Python computes the same ring.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from hashlib import blake2b

from logstream.protocol.identity import Member

POINTS = 64  # per broker


class Ring:
    """An immutable ring over these brokers."""

    def __init__(self, brokers: tuple[Member, ...]) -> None:
        self.brokers = brokers
        points = sorted(point for broker in brokers for point in _points(broker.node_id))
        by_name = {broker.node_id: broker for broker in brokers}
        self._places = [place for place, _ in points]
        self._owners = [by_name[node_id] for _, node_id in points]

    def owner(self, topic: str, partition: int) -> Member | None:
        """The broker that this partition is assigned to; None if nobody serves."""
        if not self._places:
            return None
        at = bisect_left(self._places, _place(f"{topic}/{partition}"))
        return self._owners[at % len(self._owners)]


@lru_cache(maxsize=1_024)  # the same points again with each ring
def _points(node_id: str) -> tuple[tuple[int, str], ...]:
    return tuple(sorted((_place(f"{node_id}#{point}"), node_id) for point in range(POINTS)))


def _place(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
