"""Gathering: a candidate puts the base of its view together (R5).

    1. hold the base itself: the longest log of the highest last view, one's own or another's, staged
    2. read what the other responders hold beyond the common prefix, slice by slice, in the planned order
    3. append the orphans: batches that are exactly their producer's next, as new entries of this epoch

An orphan was never acknowledged, so that it appears after all is a legal outcome, and its producer's
repetition finds it. What cannot be appended (decisions, batches without a producer, gaps, producers
that a full table does not know) is counted as quarantined, never silently thrown away. The result is a
pure function of what was read; no clock decides.
"""

from __future__ import annotations

from logstream.core.effects import Announce, Effect, Note, Send
from logstream.core.replica.dedup import KEYS_MAX, Verdict
from logstream.core.replica.history import History
from logstream.core.replica.learning import Learning
from logstream.core.replica.log import common_prefix
from logstream.core.replica.vocabulary import Gather, Gathered, RangeMoved
from logstream.protocol.batches import NO_PRODUCER, Batch, crc_in, crc_of, header_of, is_trimmed
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.identity import Digest, Epoch, Member, Run
from logstream.protocol.messages import CatchUp, Entry, EntryKind, Learn, Snapshot


class Gathering:
    """The base of one attempt, while it is put together."""

    def __init__(self, epoch: Epoch, source: Member, base: Digest, orphans: tuple[tuple[Member, Digest], ...]) -> None:
        self.epoch = epoch
        self.source = source
        self.base = base
        self.quarantined = 0
        self.over = False  # the base is held
        self._holders = dict(orphans)
        self._tails: dict[Member, list[Entry]] = {member: [] for member, _ in orphans}

    @property
    def complete(self) -> bool:
        """Is everything read that the base does not hold?"""
        return self.wants() is None

    def wants(self) -> tuple[Member, Learn] | None:
        """Whom to ask for the next slice, and how; None when nothing is missing."""
        for member, digest in self._holders.items():
            tail = self._tails[member]
            read = tail[-1].gseq if tail else self._common(digest)
            if read < digest.end:
                return member, Learn(self.epoch, _up_to(digest, read, tail))
        return None

    def advance(self, learning: Learning, own: History) -> list[Effect]:
        """Ask for what is missing, or announce that the base is held, in the own log or in the stage."""
        holder = learning.stage.holder_of(self.base, own)
        if holder is None:
            return [learning.ask(self.epoch, self.source, own)]
        wanted = self.wants()
        if wanted is not None:
            return [Send(*wanted)]
        united, self.over = self.unite(holder), True
        learning.propose(self.epoch, united)
        notes: list[Effect] = [Note("quarantined", {"entries": self.quarantined}, warning=True)]
        digest = united.log.digest() if united.end > self.base.end else self.base
        return [*(notes if self.quarantined else []), Announce(Gathered(self.epoch, digest))]

    def hear(self, slice_: CatchUp | Snapshot, sender: Member, learning: Learning, own: History) -> bool:
        """Take a slice of the base or of a tail; False if it brings nothing new.

        Raises RemoteProtocolError if it does not continue what was read.
        """
        if learning.stage.holder_of(self.base, own) is not None:
            return isinstance(slice_, CatchUp) and self.add(slice_, sender)
        return sender == self.source and learning.take(slice_, own)

    def _common(self, digest: Digest) -> int:
        """Below the start of either log everything is trimmed, and was committed."""
        return max(common_prefix(digest, self.base), self.base.start - 1, digest.start - 1)

    def add(self, slice_: CatchUp, sender: Member) -> bool:
        """Take a slice of a tail; False if it is late or somebody else's.

        Raises RemoteProtocolError if it does not continue what was read.
        """
        wanted = self.wants()
        if wanted is None or sender != wanted[0] or slice_.epoch != self.epoch:
            return False
        tail, digest = self._tails[sender], self._holders[sender]
        read = tail[-1].gseq if tail else self._common(digest)
        if slice_.after > read or not slice_.entries:
            raise RemoteProtocolError(f"{sender} sent a slice after {slice_.after}, {read} was read of its tail")
        fresh = [entry for entry in slice_.entries if entry.gseq > read]
        for entry in fresh:
            if _is_batch(entry) and crc_in(entry.front) != crc_of(entry.body):
                raise RemoteProtocolError(f"entry {entry.gseq} of {sender} does not match its CRC")
        tail += fresh
        return True

    def unite(self, history: History) -> History:
        """The base with the orphans appended; the given history is left as it is."""
        if not self._holders:
            return history
        united = history.fork(self.base.end)
        for member, tail in self._tails.items():
            common = self._common(self._holders[member])
            for entry in tail:
                self._append(united, entry, common)
        return united

    def _append(self, united: History, entry: Entry, common: int) -> None:
        """An id above the common prefix may be that of another topic in the base: it is where it was created."""
        if not _is_batch(entry) or entry.topic_id not in united.topic_ids or entry.topic_id > common:
            self.quarantined += 1
            return
        header, slot = header_of(entry.body), (entry.topic_id, entry.partition)
        key = (header.producer_id, *slot)
        verdict, _ = united.dedup.judge(key, header)
        known = len(united.dedup) < KEYS_MAX or united.dedup.knows(key)
        if header.producer_id != NO_PRODUCER and verdict is Verdict.NEW and known:
            united.sequence_batch(self.epoch, slot, Batch(entry.front, entry.body), header)
        elif header.producer_id == NO_PRODUCER or not united.dedup.has_passed(key, header):
            self.quarantined += 1


class Gatherer:
    """The gathering under way on one member, if it is a candidate; somebody else may be promised more meanwhile."""

    def __init__(self) -> None:
        self.quarantined = 0  # entries that no union could append
        self._gathering: Gathering | None = None

    def begin(self, gather: Gather, learning: Learning, own: History, promised: Epoch) -> list[Effect]:
        """The answers are enough: put this base together."""
        if gather.epoch < promised:
            self._gathering = None
            return []
        self._gathering = gathering = Gathering(gather.epoch, gather.source, gather.base, gather.orphans)
        return self._go_on(gathering, learning, own)

    def awaits(self, slice_: CatchUp | Snapshot) -> bool:
        """Is this slice for the base that is being put together?"""
        return self._gathering is not None and slice_.epoch == self._gathering.epoch

    def hear(
        self, slice_: CatchUp | Snapshot, sender: Member, learning: Learning, own: History, promised: Epoch
    ) -> list[Effect]:
        """One that it awaits. Raises RemoteProtocolError as Gathering.hear does."""
        gathering = self._gathering
        if gathering is None or gathering.epoch < promised or not gathering.hear(slice_, sender, learning, own):
            return []
        return [Announce(RangeMoved(gathering.epoch)), *self._go_on(gathering, learning, own)]

    def _go_on(self, gathering: Gathering, learning: Learning, own: History) -> list[Effect]:
        """Hold the base, read the tails, unite (R5)."""
        effects = gathering.advance(learning, own)
        if gathering.over:
            self._gathering = None
            self.quarantined += gathering.quarantined
        return effects


def _is_batch(entry: Entry) -> bool:
    """Is this a batch with its records?"""
    return entry.kind is EntryKind.BATCH and not is_trimmed(entry.body)


def _up_to(digest: Digest, read: int, tail: list[Entry]) -> Digest:
    """The digest of the first entries of a log: what to say to be sent what follows them."""
    runs = []
    for run in digest.runs:
        runs.append(Run(run.epoch, min(run.last, read)))
        if run.last >= read:
            break
    return Digest(
        digest.start, read, tail[-1].chain if tail else 0, tuple(runs) if read >= max(digest.start - 1, 1) else ()
    )
