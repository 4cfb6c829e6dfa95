"""Applying: handing committed entries on, first to the topics, then the answers to their producers.

Commit and what is announced of it are two things. The commit moves at once; the committed entries are
handed on in slices of APPLY_ENTRIES, each in a turn of its own, so that no turn grows with the length
of the log.

Where the head of the log was cut above what was applied (a learner that began with a checkpoint), the
checkpoint is handed on instead: the topics that it knows and nobody here does, the topics that are gone or
altered, and where each partition starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from logstream.core.effects import Announce, Effect, SetTimer
from logstream.core.replica.history import History
from logstream.core.replica.tables import Tables
from logstream.core.replica.vocabulary import Committed, DecisionCommitted, PartitionTrimmed, Produced
from logstream.core.replica.waiting import Waiting
from logstream.protocol import codec
from logstream.protocol.messages import Decision, Entry, EntryKind, TopicAltered, TopicCreated, TopicDeleted, Trimmed

APPLY_ENTRIES = 1000  # committed entries handed on in one turn


@dataclass(frozen=True, slots=True)
class ApplyDue:
    """Hand on more committed entries."""


class Applying:
    """How far committed entries were handed on."""

    def __init__(self) -> None:
        self.applied = 0  # up to this gseq
        self.last_trim = 0  # the gseq of the last entry that says what to drop
        self._topics: dict[int, TopicCreated] = {}  # as they were announced
        self._under_way = False  # ApplyDue is set
        self._jump: tuple[History, Iterator[Effect]] | None = None  # a checkpoint that is being handed on

    def commit_moved(self, history: History, waiting: Waiting) -> list[Effect]:
        """There may be more to hand on."""
        return [] if self._under_way else self._apply(history, waiting)

    def due(self, history: History, waiting: Waiting) -> list[Effect]:
        """The next slice's turn."""
        self._under_way = False
        return self._apply(history, waiting)

    def _apply(self, history: History, waiting: Waiting) -> list[Effect]:
        if self.applied < history.log.start - 1:
            return self._apply_checkpoint(history, waiting)
        last = min(history.commit, self.applied + APPLY_ENTRIES)
        effects: list[Effect] = []
        batches: dict[tuple[int, int], list[Entry]] = {}
        for gseq in range(self.applied + 1, last + 1):
            entry = history.log.entry(gseq)
            if entry.kind is EntryKind.BATCH:
                batches.setdefault((entry.topic_id, entry.partition), []).append(entry)
            else:
                effects += _committed(batches)
                effects.append(self._decided(gseq, codec.decode_decision(entry.body)))
        effects += _committed(batches)
        self.applied = last
        effects += [Announce(Produced(one.request, one.offset)) for one in waiting.take_to(last)]
        return effects + self._go_on(last < history.commit)

    def _go_on(self, more: bool) -> list[Effect]:
        self._under_way = more
        return [SetTimer(ApplyDue(), 0.0)] if more else []

    def _decided(self, gseq: int, decision: Decision) -> Effect:
        match decision:
            case Trimmed(topic_id=topic_id, partition=partition, start=start):
                self.last_trim = max(self.last_trim, gseq)
                return Announce(PartitionTrimmed(topic_id, partition, start))
            case TopicCreated():
                self._topics[gseq] = decision
            case TopicAltered(topic_id=topic_id, retention=retention):
                self._topics[topic_id] = replace(self._topics[topic_id], retention=retention)
            case TopicDeleted(topic_id=topic_id):
                self.last_trim = max(self.last_trim, gseq)
                del self._topics[topic_id]
        return Announce(DecisionCommitted(gseq, decision))

    # --- checkpoints ---

    def _apply_checkpoint(self, history: History, waiting: Waiting) -> list[Effect]:
        if self._jump is None or self._jump[0] is not history:
            self._jump = history, self._difference(history.checkpoint.tables)
        effects = list(islice(self._jump[1], APPLY_ENTRIES))
        if len(effects) == APPLY_ENTRIES:
            return effects + self._go_on(more=True)
        self._jump, self.applied = None, history.log.start - 1
        effects += [Announce(Produced(one.request, one.offset)) for one in waiting.take_to(self.applied)]
        return effects + self._go_on(self.applied < history.commit)

    def _difference(self, tables: Tables) -> Iterator[Effect]:
        """What to announce so that everybody knows what the checkpoint says."""
        for topic_id, created in list(self._topics.items()):
            if topic_id not in tables.registry:
                yield self._decided(0, TopicDeleted(topic_id, created.name))
        for topic_id, created in tables.registry.items():
            if topic_id not in self._topics:
                yield self._decided(topic_id, created)
            elif self._topics[topic_id] != created:
                yield self._decided(0, TopicAltered(topic_id, created.name, created.retention))
        for (topic_id, partition), offset in tables.offsets.items():
            yield Announce(PartitionTrimmed(topic_id, partition, offset))


def _committed(batches: dict[tuple[int, int], list[Entry]]) -> list[Effect]:
    effects: list[Effect] = [
        Announce(Committed(topic_id, partition, tuple(entries))) for (topic_id, partition), entries in batches.items()
    ]
    batches.clear()
    return effects
