"""Retention: what the leader decides to trim, and why (R22). Each decision is an entry of the log.

    bytes    a partition holds more than it may            its oldest batches, down to the limit
    count    a partition holds more records than it may    its oldest batches, never below the limit
    age      a batch's newest record is too old            it, and all before it
    memory   the log takes 90 % of memory_max, or a        the oldest batches of the largest partitions, down to
             batch did not fit                             80 %; where entries that are trimmed already take more
                                                           than a quarter, the oldest batches of all instead,
                                                           which keep those from being cut

Only whole batches go, only committed ones, and at most BATCHES in one turn. The first three rules are
looked at once a second, PARTITIONS partitions a heartbeat; memory when it demands it, one pass after the
other. A topic may have limits of its own, set by a decision in the log. The age is told by the leader's
clock and the producers' time stamps: no clock decides anything but here, and what it decides is
replicated like all else.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from logstream.core.replica.history import History
from logstream.core.replica.log import ENTRY_OVERHEAD
from logstream.core.replica.tables import Slot
from logstream.core.replica.trimming import DEAD_ENTRY, Shelf, Trimming
from logstream.protocol.batches import base_offset_in, header_of
from logstream.protocol.messages import Trimmed
from logstream.protocol.retention import AS_CLUSTER, TopicRetention

PASS_S = 1.0  # bytes, count and age are looked at so often
PARTITIONS = 500  # looked at in one turn
BATCHES = 500  # trimmed by one turn's decisions
DECISION = ENTRY_OVERHEAD + 40  # bytes of the log that a decision takes, at most
MEMORY_FULL = 0.99  # of memory_max: no batch goes beyond it; the rest is for the decisions that make room
MEMORY_HIGH = 0.9  # of memory_max: begin to trim
MEMORY_LOW = 0.8  # of memory_max: trim down to this

Victim = tuple[Slot, int, int]  # a partition, its new start offset, bytes that this step to it frees


def _no_clock() -> float:
    raise NotImplementedError("retention by age needs a clock")


@dataclass(frozen=True, slots=True)
class Keep:
    """What a partition may hold; 0 turns a limit off."""

    bytes_max: int = 256 << 20
    records_max: int = 0
    age_s: float = 0.0
    wall_clock: Callable[[], float] = _no_clock  # seconds since 1970

    def of_topic(self, own: TopicRetention) -> Keep:
        """With the limits that a topic has for itself."""
        if own == AS_CLUSTER:
            return self
        cluster = TopicRetention(self.bytes_max, self.records_max, self.age_s)
        limits = own.over(cluster)
        return replace(
            self,
            bytes_max=limits.retention_bytes or 0,
            records_max=limits.retention_records or 0,
            age_s=limits.retention_s or 0.0,
        )


@dataclass(slots=True)
class _Batch:
    """One batch that may be trimmed."""

    gseq: int
    size: int
    end: int  # the offset after it
    newest_ms: int


class Retention:
    """The decisions of one leadership."""

    def __init__(self, keep: Keep, memory_max: int, history: History) -> None:
        self._keep = keep
        self._memory_max = memory_max
        self.room_for = int(MEMORY_FULL * memory_max)  # bytes of the log to which batches may fill it
        self._history = history
        self._passed_at = float("-inf")
        self._queue: list[Slot] = []  # partitions that this pass has not looked at
        self._decided_to = 0  # the gseq of the last decision
        self._wanted = 0  # bytes of the largest batch that did not fit

    def refused(self, size: int) -> None:
        """A batch of this size did not fit into the memory: make room."""
        self._wanted = max(self._wanted, size)

    def decided(self) -> None:
        """The decisions have been sequenced: none is made before they are carried out."""
        self._decided_to = self._history.end

    def decisions(self, trimming: Trimming, at: float) -> list[Trimmed]:
        """What to trim now."""
        if trimming.noted < self._decided_to or not trimming.idle:
            return []
        starts = self._for_memory(trimming) if self._memory_is_short else self._for_limits(trimming, at)
        return [Trimmed(*slot, start) for slot, start in sorted(starts.items())]

    # --- bytes, count, age ---

    def _for_limits(self, trimming: Trimming, at: float) -> dict[Slot, int]:
        if not self._queue and at - self._passed_at >= PASS_S:
            self._passed_at, self._queue = at, sorted(trimming.shelves, reverse=True)
        starts: dict[Slot, int] = {}
        room = BATCHES
        for _ in range(min(PARTITIONS, len(self._queue))):
            slot = self._queue.pop()
            shelf = trimming.shelves.get(slot)
            if shelf is None:
                continue
            keep = self._keep.of_topic(self._history.retention_of(slot[0]))
            gone = list(self._beyond_limits(shelf, keep, room))
            room -= len(gone)
            if gone:
                starts[slot] = gone[-1].end
            if room <= 0:  # the rest of this partition in the next turn
                self._queue.append(slot)
                break
        return starts

    def _beyond_limits(self, shelf: Shelf, keep: Keep, count: int) -> Iterator[_Batch]:
        """The oldest batches of a partition that its limits do not let it keep."""
        left = shelf.bytes
        too_old_ms = (keep.wall_clock() - keep.age_s) * 1000 if keep.age_s else float("-inf")
        for batch in islice(self._oldest(shelf), count):
            too_large = 0 < keep.bytes_max < left and batch.gseq != shelf.newest
            too_many = keep.records_max and shelf.end - batch.end >= keep.records_max
            if not (too_large or too_many or batch.newest_ms < too_old_ms):
                return
            left -= batch.size
            yield batch

    def _oldest(self, shelf: Shelf) -> Iterator[_Batch]:
        for gseq in shelf:
            front, body = self._history.log.parts(gseq)
            header = header_of(body)
            end = base_offset_in(front) + header.records
            yield _Batch(gseq, len(front) + len(body), end, header.max_timestamp)

    # --- memory ---

    @property
    def _memory_is_short(self) -> bool:
        taken = self._history.log.bytes
        return taken > MEMORY_HIGH * self._memory_max or (self._wanted > 0 and taken + self._wanted > self.room_for)

    def _for_memory(self, trimming: Trimming) -> dict[Slot, int]:
        """Trim until the rest leaves room enough."""
        target = min(MEMORY_LOW * self._memory_max, self.room_for - self._wanted)
        need, self._wanted = self._history.log.bytes - target, 0
        victims = self._by_age(trimming) if trimming.dead_are_many else self._by_size(trimming)
        starts: dict[Slot, int] = {}
        for _, (slot, end, freed) in zip(range(BATCHES), victims, strict=False):
            if need <= 0:
                break
            need += 0 if slot in starts else DECISION
            need -= freed
            starts[slot] = end
        return starts

    def _by_size(self, trimming: Trimming) -> Iterator[Victim]:
        """The oldest batch of the partition that is the largest, again and again."""
        heap = [(-shelf.bytes, slot, self._oldest(shelf)) for slot, shelf in trimming.shelves.items()]
        heapq.heapify(heap)
        while heap:
            size, slot, batches = heapq.heappop(heap)
            for batch in batches:
                yield slot, batch.end, batch.size + ENTRY_OVERHEAD
                heapq.heappush(heap, (size + batch.size, slot, batches))
                break

    def _by_age(self, trimming: Trimming) -> Iterator[Victim]:
        """The oldest batch of all, again and again; what is trimmed already behind it is cut with it."""
        streams = [self._with_slot(slot, shelf) for slot, shelf in trimming.shelves.items()]
        merged = heapq.merge(*streams, key=lambda found: found[1].gseq)
        for (slot, batch), (_, following) in pairwise(merged):
            yield slot, batch.end, batch.size + ENTRY_OVERHEAD + (following.gseq - batch.gseq - 1) * DEAD_ENTRY

    def _with_slot(self, slot: Slot, shelf: Shelf) -> Iterator[tuple[Slot, _Batch]]:
        return ((slot, batch) for batch in self._oldest(shelf))
