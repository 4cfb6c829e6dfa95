"""Cuts: where nothing arrives on the pretended network, for streams, for datagrams or for both.

A cut is a list of ways, each from one address to another, so it may be one-way. Cuts add up: faults that
overlap end one by one. Besides, an address may be dark (nothing reaches or leaves it: a pulled plug) or
deaf (multicast neither reaches nor leaves it: a switch that knows better).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

Way = tuple[str, str]  # from this address to that one


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """Ways on which nothing arrives."""

    ways: tuple[Way, ...]
    streams: bool = True
    datagrams: bool = True


class Cuts:
    """All cuts of one network."""

    def __init__(self) -> None:
        self.dark: Counter[str] = Counter()
        self.deaf: Counter[str] = Counter()
        self._present: dict[Cut, None] = {}
        self._streams: Counter[Way] = Counter()
        self._datagrams: Counter[Way] = Counter()

    def add(self, cut: Cut) -> None:
        """From now on nothing arrives on these ways."""
        self._present[cut] = None
        if cut.streams:
            self._streams.update(cut.ways)
        if cut.datagrams:
            self._datagrams.update(cut.ways)

    def remove(self, cut: Cut) -> None:
        """These ways are open again, as far as no other cut is on them."""
        if cut in self._present:
            del self._present[cut]
            if cut.streams:
                self._streams -= Counter(cut.ways)
            if cut.datagrams:
                self._datagrams -= Counter(cut.ways)

    def clear(self) -> None:
        """Everybody can reach everybody again."""
        for counter in (self.dark, self.deaf, self._present, self._streams, self._datagrams):
            counter.clear()

    def stream_way(self, source: str, target: str) -> bool:
        """Can segments go from this address to that one?"""
        if self.dark and (self.dark[source] > 0 or self.dark[target] > 0):
            return False
        return not self._streams or (source, target) not in self._streams

    def datagram_way(self, source: str, target: str) -> bool:
        """Can broadcast and unicast datagrams?"""
        if self.dark and (self.dark[source] > 0 or self.dark[target] > 0):
            return False
        return not self._datagrams or (source, target) not in self._datagrams

    def multicast_way(self, source: str, target: str) -> bool:
        """Can multicast datagrams?"""
        if self.deaf and (self.deaf[source] > 0 or self.deaf[target] > 0):
            return False
        return self.datagram_way(source, target)
