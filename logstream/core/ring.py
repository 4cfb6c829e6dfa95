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
        self._owners = {place: broker for broker in brokers for place in _places(broker.node_id)}
        self._places = sorted(self._owners)

    def owner(self, topic: str, partition: int) -> Member | None:
        """The broker that this partition is assigned to; None if nobody serves."""
        if not self._places:
            return None
        at = bisect_left(self._places, _place(f"{topic}/{partition}"))
        return self._owners[self._places[at % len(self._places)]]


@lru_cache(maxsize=1_024)  # the same points again with each ring
def _places(node_id: str) -> tuple[int, ...]:
    return tuple(_place(f"{node_id}#{point}") for point in range(POINTS))


def _place(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
