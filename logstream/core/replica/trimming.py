"""Trimming: every member's side of R22. What is decided and committed is carried out, slice by slice.

    applied entries --note--> shelves: the batches of each partition that still hold their records
    TRIM, topic deleted ----> the oldest batches of a shelf lose their bodies
    nothing below holds records any more ----> the head of the log is cut, its tables become the checkpoint

All three walk behind what was applied, so a body is dropped only after its topic's log was told of it,
and at most SLICE entries a turn, so that neither a large topic's end nor a new history takes a long
turn. Whether and where a partition is trimmed is the leader's decision (retention).

While somebody learns from this log, its head is not cut above what that one holds: else a slow learner
would begin anew for ever. Bodies are dropped all the same; they travel as trimmed entries. Where these
take too much of the memory the learner has to begin anew.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from logstream.core.effects import Effect, SetTimer
from logstream.core.replica.history import History
from logstream.core.replica.log import ENTRY_OVERHEAD, Log, common_prefix
from logstream.core.replica.tables import Slot
from logstream.protocol import codec
from logstream.protocol.batches import HEADER_SIZE, end_offset_of
from logstream.protocol.identity import Digest, Member
from logstream.protocol.messages import EntryKind, TopicDeleted, Trimmed

SLICE = 250  # entries noted, trimmed or cut in one turn
LEARNER_S = 3.0  # whoever has not asked for so long is not waited for
EVERYTHING = 1 << 63  # an offset above all others
DEAD_ENTRY = ENTRY_OVERHEAD + HEADER_SIZE  # bytes of a batch without its records
DEAD_HIGH = 0.25  # of memory_max
COMPACT = 4096  # gseqs that a shelf keeps of what is gone, before it is copied


@dataclass(frozen=True, slots=True)
class TrimDue:
    """Carry out more of what is decided."""


class Shelf:
    """The batches of one partition that hold their records, as of what was noted."""

    __slots__ = ("_first", "_gseqs", "bytes", "end")

    def __init__(self) -> None:
        self._gseqs = array("Q")
        self._first = 0  # the place of the oldest one
        self.bytes = 0  # of fronts and bodies
        self.end = 0  # the offset after the newest one

    def __len__(self) -> int:
        return len(self._gseqs) - self._first

    def __iter__(self) -> Iterator[int]:
        """Their gseqs, oldest first."""
        return (self._gseqs[at] for at in range(self._first, len(self._gseqs)))

    @property
    def oldest(self) -> int:
        """The gseq of the oldest one. Raises IndexError if the shelf is empty."""
        return self._gseqs[self._first]

    @property
    def newest(self) -> int:
        """The gseq of the newest one. Raises IndexError if the shelf is empty."""
        return self._gseqs[-1]

    def add(self, gseq: int, size: int, end: int) -> None:
        """The next batch."""
        self._gseqs.append(gseq)
        self.bytes += size
        self.end = end

    def drop_oldest(self, size: int) -> None:
        """The oldest one is gone."""
        self._first += 1
        self.bytes -= size
        if self._first >= COMPACT and 2 * self._first >= len(self._gseqs):
            self._gseqs, self._first = self._gseqs[self._first :], 0


class Trimming:
    """What one member still has to drop, and what it has dropped."""

    def __init__(self, history: History, memory_max: int) -> None:
        self.shelves: dict[Slot, Shelf] = {}
        self._memory_max = memory_max
        self._learners: dict[
            Member, tuple[int, float]
        ] = {}  # the gseq up to which one holds the log, and when it asked
        self._under_way = False  # TrimDue is set
        self.begin(history)

    def begin(self, history: History) -> None:
        """Another history is this member's: note its entries from its start on."""
        self.shelves.clear()
        self.noted = history.log.start - 1  # entries up to here were looked at
        self.batches = 0  # on all shelves
        self._history = history
        self._more = False  # the last slice was not the end of it
        self._jobs: deque[tuple[Slot, int]] = deque()  # partitions with an offset that they are trimmed to

    @property
    def idle(self) -> bool:
        """Is everything carried out that can be?"""
        return not self._more

    @property
    def dead(self) -> int:
        """Bytes of the noted entries that hold no records, and stay because an older one does or a learner lags."""
        return (self.noted - self._history.log.start + 1 - self.batches) * DEAD_ENTRY

    @property
    def dead_are_many(self) -> bool:
        """Do such entries take a large part of the memory?"""
        return self.dead > DEAD_HIGH * self._memory_max

    def taught(self, learner: Member, digest: Digest, at: float) -> None:
        """This member, who holds a log like this, was sent what follows."""
        log = self._history.log
        self._learners[learner] = (max(common_prefix(log.digest(), digest), log.start - 1), at)

    def wake(self) -> list[Effect]:
        """See soon whether there is something to do."""
        if self._under_way:
            return []
        self._under_way = True
        return [SetTimer(TrimDue(), 0.0)]

    def joined(self, members: tuple[Member, ...]) -> None:
        """These are in the view now: they have all that it starts from, and learn no more."""
        self._learners = {one: said for one, said in self._learners.items() if one not in members}

    def due(self, applied: int, at: float) -> list[Effect]:
        """One slice of each kind; entries above `applied` are not looked at."""
        self._under_way = False
        start = self._history.log.start
        self._note(min(applied, self.noted + SLICE))
        self._drop()
        self._cut(at)
        self._more = self.noted < applied or bool(self._jobs) or self._history.log.start > start
        return self.wake() if self._more else []

    # --- noting ---

    def _note(self, last: int) -> None:
        log = self._history.log
        for gseq in range(self.noted + 1, last + 1):
            kind = log.kind(gseq)
            if log.has_body(gseq):
                self._shelve(log, gseq)
            elif kind is not EntryKind.BATCH:
                self._note_decision(kind, gseq)
        self.noted = max(self.noted, last)

    def _shelve(self, log: Log, gseq: int) -> None:
        front, body = log.parts(gseq)
        shelf = self.shelves.setdefault(log.slot(gseq), Shelf())
        shelf.add(gseq, len(front) + len(body), end_offset_of(front, body))
        self.batches += 1

    def _note_decision(self, kind: EntryKind, gseq: int) -> None:
        if kind in (EntryKind.CREATE_TOPIC, EntryKind.ALTER_TOPIC):
            return
        match codec.decode_decision(self._history.log.parts(gseq)[1]):
            case Trimmed(topic_id=topic_id, partition=partition, start=start):
                self._jobs.append(((topic_id, partition), start))
            case TopicDeleted(topic_id=topic_id):
                self._jobs.extend((slot, EVERYTHING) for slot in self.shelves if slot[0] == topic_id)

    # --- dropping ---

    def _drop(self) -> None:
        left = SLICE
        while self._jobs and left > 0:
            slot, start = self._jobs[0]
            gone = list(self._below(slot, start, left))
            left -= max(len(gone), 1)
            self._history.log.drop_bodies(gone)
            self.batches -= len(gone)
            if left > 0:
                self._jobs.popleft()
                if start == EVERYTHING:
                    self.shelves.pop(slot, None)

    def _below(self, slot: Slot, start: int, count: int) -> Iterable[int]:
        """Take up to so many batches that end at or below `start` from their shelf."""
        shelf = self.shelves.get(slot)
        while shelf and count:
            gseq = shelf.oldest
            front, body = self._history.log.parts(gseq)
            if end_offset_of(front, body) > start:
                return
            shelf.drop_oldest(len(front) + len(body))
            count -= 1
            yield gseq

    # --- cutting ---

    def _cut(self, at: float) -> None:
        log = self._history.log
        limit = min(self._limit(at), log.start - 1 + SLICE)
        to = log.start - 1
        while to < limit and not log.has_body(to + 1):
            to += 1
        if to >= log.start:
            self._history.cut_head(to)

    def _limit(self, at: float) -> int:
        """How far the head may be cut: not above what a learner holds, unless memory is short.

        Whoever was overtaken by the head already has to begin anew in any case.
        """
        first = self._history.log.start - 1
        self._learners = {
            one: (held, heard_at)
            for one, (held, heard_at) in self._learners.items()
            if at - heard_at < LEARNER_S and held >= first
        }
        if not self._learners or self.dead_are_many:
            return self.noted
        return min(self.noted, *(held for held, _ in self._learners.values()))
