"""What clients were told, judged as they hear it, with Jepsen's words.

lost-write            acknowledged, and in the end not in the log, or found by nobody who looks for it then
unseen                committed, and in the end not read by a consumer that reads everything
duplicate             one value committed or read twice
inconsistent-offsets  one value at two places, or one place with two values
aborted-read          read before it was committed (G1a)
poll-skip             a consumer's offsets have a gap
nonmonotonic-poll     a consumer's offsets go back
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from logstream.protocol.errors import DataLost, LogStreamError, OtherCluster, OutcomeUnknown, RequestTimedOut
from simulation.checks.ledger import Ledger
from simulation.checks.violation import Violation

UNCERTAIN = (
    RequestTimedOut,
    OutcomeUnknown,
    DataLost,
    OtherCluster,
)  # what may be said of a record that is in the log (I15)


@dataclass(slots=True)
class Histories:
    """What every client of one cluster was told so far."""

    ledger: Ledger
    acknowledged: dict[bytes, tuple[str, int, int]] = field(default_factory=dict)  # value -> topic, partition, offset
    failed: dict[bytes, LogStreamError] = field(default_factory=dict)
    _next: dict[tuple[str, str, int], int] = field(default_factory=dict)  # reader, topic, partition -> offset
    _seen: dict[str, set[bytes]] = field(default_factory=dict)  # by reader

    def heard_offset(self, topic: str, value: bytes, partition: int, offset: int) -> None:
        """A producer heard that a value is committed. Raises Violation."""
        before = self.acknowledged.setdefault(value, (topic, partition, offset))
        if before != (topic, partition, offset):
            raise Violation(
                "inconsistent-offsets", f"{value!r} was acknowledged at {before}, then {partition}/{offset}"
            )
        if value in self.failed:
            raise Violation("I15", f"{value!r} was acknowledged after {self.failed[value]!r}")
        self.ledger.acknowledged(topic, value, partition, offset)

    def heard_failure(self, value: bytes, error: LogStreamError) -> None:
        """A producer heard that a value will not be tried again."""
        self.failed[value] = error

    def heard_record(self, reader: str, topic: str, partition: int, offset: int, value: bytes) -> None:
        """A consumer was given a record. Raises Violation."""
        expected = self._next.get((reader, topic, partition), min(offset, self.ledger.start(topic, partition)))
        if offset > expected:
            raise Violation("poll-skip", f"{reader} read {topic}/{partition}/{offset}, {expected} was next")
        if offset < expected:
            raise Violation(
                "nonmonotonic-poll", f"{reader} read {topic}/{partition}/{offset} again, {expected} was next"
            )
        self._next[reader, topic, partition] = offset + 1
        self.ledger.was_read(reader, topic, partition, offset, value)
        seen = self._seen.setdefault(reader, set())
        if value in seen:
            raise Violation("duplicate", f"{reader} read {value!r} twice")
        seen.add(value)

    def heard_out_of_range(self, reader: str, topic: str, positions: dict[int, int]) -> None:
        """A consumer at these positions, by partition, was told that one is trimmed (R13, R22). Raises Violation."""
        if all(position >= self.ledger.start(topic, partition) for partition, position in positions.items()):
            starts = {partition: self.ledger.start(topic, partition) for partition in positions}
            raise Violation("R22", f"{reader} stood at {positions} and is out of range, trimmed to is {starts}")

    def position(self, reader: str, topic: str, partition: int) -> int:
        """The offset that this consumer reads next; what is trimmed it need not."""
        return max(self._next.get((reader, topic, partition), 0), self.ledger.start(topic, partition))

    # --- in the end ---

    def check_end(self, readers: list[str], topic: str, fresh: Collection[str] = ()) -> None:
        """After heal and calm: the acknowledged is in the log, and the log was read; the fresh of these readers, if
        there are any, say what can still be found. Raises Violation."""
        for value, (_, partition, offset) in self.acknowledged.items():
            if value not in self.ledger.places and value not in self.ledger.deleted:
                raise Violation(
                    "lost-write", f"{value!r} was acknowledged at {partition}/{offset} and is not in the log"
                )
        for value, error in self.failed.items():
            if value in self.ledger.places and not isinstance(error, UNCERTAIN):
                raise Violation("I15", f"{value!r} is committed, its producer was told {error!r}")
        topic_id = self.ledger.topics.get(topic, 0)
        for (found, partition), records in self.ledger.records.items():
            if found == topic_id and readers:
                positions = {reader: self.position(reader, topic, partition) for reader in readers}
                found_to = max(positions[reader] for reader in (fresh or readers))
                self._check_read(positions, found_to, partition, records)

    def _check_read(self, positions: dict[str, int], found_to: int, partition: int, records: list[bytes]) -> None:
        for offset in range(found_to, len(records)):
            if records[offset] in self.acknowledged:
                text = f"{records[offset]!r} was acknowledged at {partition}/{offset} and nobody finds it there"
                raise Violation("lost-write", text)
        for reader, position in positions.items():
            if position < len(records):
                raise Violation("unseen", f"{records[position]!r} is committed and {reader} did not read it")
