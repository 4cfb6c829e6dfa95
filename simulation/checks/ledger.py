"""The ledger: everything that was ever committed, written down at the moment when somebody first said so.

One for the whole cluster, and nothing is ever erased: commits of members, acknowledgements to producers
and reads of consumers are compared with it, so the first one that disagrees is caught in its own turn.

    a leader's commit rises ---> entry by entry: dense, in sequence, each record once ---> written down
    any other commit, ack, read ---> must be what is written
"""

from __future__ import annotations

from logstream.protocol import codec
from logstream.protocol.batches import NO_PRODUCER, Batch, base_offset_in, header_of
from logstream.protocol.identity import Epoch
from logstream.protocol.messages import Entry, EntryKind, TopicCreated, TopicDeleted, Trimmed
from logstream.protocol.records import read
from simulation.checks.violation import Violation

Slot = tuple[int, int]  # topic id, partition
SEQUENCES = 1 << 31


class Ledger:
    """Committed entries, and the records in them."""

    def __init__(self) -> None:
        self.chains: list[int] = []  # by gseq - 1
        self.epochs: list[Epoch] = []  # of the view that committed it first, by gseq - 1
        self.topics: dict[str, int] = {}  # the newest topic of each name
        self.records: dict[Slot, list[bytes]] = {}  # by offset
        self.starts: dict[Slot, int] = {}  # below these offsets a decision has trimmed (R22); not here: nothing
        self.places: dict[bytes, tuple[Slot, int]] = {}  # value -> where it is; values are unique by construction
        self.deleted: dict[bytes, list[tuple[Slot, int]]] = {}  # value -> where it was, in topics that are no more
        self._sequences: dict[tuple[int, Slot], tuple[int, int]] = {}  # producer epoch, next sequence

    @property
    def end(self) -> int:
        """The highest gseq that was ever committed."""
        return len(self.chains)

    def agrees(self, gseq: int, chain: int) -> bool:
        """Is a log with this chain at gseq the committed one, as far as that goes?"""
        return gseq == 0 or (gseq <= self.end and self.chains[gseq - 1] == chain)

    def commit(self, entry: Entry, epoch: Epoch) -> None:
        """Write down the next committed entry. Raises Violation if it cannot follow what is written."""
        if entry.gseq != self.end + 1:
            raise Violation("I9", f"entry {entry.gseq} is committed after {self.end}: gseqs have a gap")
        self.chains.append(entry.chain)
        self.epochs.append(epoch)
        if entry.kind is EntryKind.BATCH:
            self._commit_batch(entry)
        else:
            self._commit_decision(entry)

    def _commit_batch(self, entry: Entry) -> None:
        slot = (entry.topic_id, entry.partition)
        records = self.records.setdefault(slot, [])
        if base_offset_in(entry.front) != len(records):
            raise Violation("I9", f"offset {base_offset_in(entry.front)} of {slot} is committed after {len(records)}")
        self._check_sequence(entry, slot)
        for record in read(Batch(entry.front, entry.body)):
            value = record.value or b""
            if value in self.places:
                where, offset = self.places[value]
                raise Violation("duplicate", f"{value!r} is committed at {where}/{offset} and {slot}/{len(records)}")
            self.places[value] = (slot, len(records))
            records.append(value)

    def _check_sequence(self, entry: Entry, slot: Slot) -> None:
        """I12: the sequences of one producer in one partition have no gaps."""
        header = header_of(entry.body)
        if header.producer_id == NO_PRODUCER:
            return
        key = (header.producer_id, slot)
        epoch, following = self._sequences.get(key, (header.producer_epoch, 0))
        if header.producer_epoch > epoch:
            epoch, following = header.producer_epoch, 0
        if (header.producer_epoch, header.base_sequence) != (epoch, following):
            text = f"producer {header.producer_id} in {slot}: sequence {header.base_sequence} where {following} is next"
            raise Violation("I12", text)
        self._sequences[key] = (epoch, (following + header.records) % SEQUENCES)

    def _commit_decision(self, entry: Entry) -> None:
        match codec.decode_decision(entry.body):
            case TopicCreated(name=name):
                self.topics[name] = entry.gseq
            case TopicDeleted(topic_id=topic_id, name=name):
                if self.topics.get(name) == topic_id:
                    del self.topics[name]
                self._delete(topic_id)
            case Trimmed(topic_id=topic_id, partition=partition, start=start):
                self._trim((topic_id, partition), start)

    def _trim(self, slot: Slot, start: int) -> None:
        """R22: only what is committed is trimmed."""
        if start > len(self.records.get(slot, ())):
            raise Violation("R22", f"{slot} is trimmed to {start}, committed are {len(self.records.get(slot, ()))}")
        self.starts[slot] = max(start, self.starts.get(slot, 0))

    def _delete(self, topic_id: int) -> None:
        """A producer may send again, to a topic made anew, what it has no answer for."""
        for slot, records in self.records.items():
            for value in records if slot[0] == topic_id else ():
                self.deleted.setdefault(value, []).append(self.places.pop(value))

    def start(self, topic: str, partition: int) -> int:
        """The first offset of this partition that no decision has trimmed."""
        return self.starts.get((self.topics.get(topic, 0), partition), 0)

    # --- what clients were told ---

    def acknowledged(self, topic: str, value: bytes, partition: int, offset: int) -> None:
        """A producer heard that this value is at this offset (I11). Raises Violation if it is not."""
        places = [self.places[value]] if value in self.places else []
        places += self.deleted.get(value, ())
        if not places:
            raise Violation("I11", f"{value!r} was acknowledged at {topic}/{partition}/{offset}, it is not committed")
        if all((slot[1], committed) != (partition, offset) for slot, committed in places):
            text = f"{value!r} was acknowledged at {partition}/{offset}, committed at {places[0]}"
            raise Violation("inconsistent-offsets", text)

    def was_read(self, reader: str, topic: str, partition: int, offset: int, value: bytes) -> None:
        """A consumer was given this value (I8, R13). Raises Violation if it is not committed there."""
        records = self.records.get((self.topics.get(topic, 0), partition), [])
        if offset >= len(records):
            text = f"{reader} read {value!r} at {topic}/{partition}/{offset}, where nothing is committed yet"
            raise Violation("aborted-read", text)
        if records[offset] != value:
            text = f"{reader} read {value!r} at {topic}/{partition}/{offset}, committed is {records[offset]!r}"
            raise Violation("inconsistent-offsets", text)
