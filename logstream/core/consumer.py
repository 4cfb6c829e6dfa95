"""ConsumerCore: every committed record of some topics, in order per partition, each once.

    Opened -> METADATA from the leader: starts and ends -> positions
    a time to start from: LIST_OFFSETS, too (seeking)
    then, for each broker: Fetch for all its partitions -> Deliver -> next Fetch, while there is credit

A position only ever moves over records that were delivered, one after the other (I14). Nothing resets it:
one that the log no longer holds is an error with the numbers (R13). So it does not matter who
answers or how often; an answer that begins behind the position is cut, one that leaves a gap is an error.

Partitions move when their broker says so (NOT_ASSIGNED), is gone, is silent, or hears no leader (R13):
METADATA of another broker names the new one. Where to begin and, with follow = False, where to end
is the leader's word, because a follower's commit may be behind what was acknowledged.

Elsewhere: decoding records and waiting for the application are the host's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import assert_never

from logstream.core.client_effects import Broken, ConsumerEffect, Deliver, Ended, Request
from logstream.core.client_events import Answered, ClusterSought, Lost, Opened, Taken
from logstream.core.directory import Directory, MetadataDue, back_off
from logstream.core.effects import SetTimer
from logstream.core.events import Due
from logstream.core.reading import Reading, Since, Start, start_of
from logstream.core.seeking import Seeking, Sought
from logstream.protocol.errors import (
    DataLost,
    ErrorCode,
    LineageChanged,
    LogStreamError,
    OffsetOutOfRange,
    RequestTimedOut,
    UnknownTopic,
    error_for,
)
from logstream.protocol.messages import (
    Fetch,
    Fetched,
    FetchFrom,
    FetchResponse,
    ListOffsetsResponse,
    MetadataResponse,
    TopicMetadata,
)

SILENT_S = 0.5  # after the longest wait that was asked for
CHECK_S = 0.25


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """What the application chooses."""

    topics: tuple[str, ...]
    start: Start = "start"  # a number holds for every partition
    follow: bool = True  # False: end where the ends were at the start
    wait: bool = False  # for topics that do not exist yet
    wait_s: float = 0.5  # long poll
    credit_max: int = 16 * 1024 * 1024  # bytes delivered and not taken, beyond which nothing is fetched
    fetch_max: int = 4 * 1024 * 1024  # bytes
    deadline_s: float = 60.0  # for the start, and with follow = False without any answer


@dataclass(frozen=True, slots=True)
class RestOver:
    """Timer: the back-off of this broker's partitions is over."""

    address: str


@dataclass(frozen=True, slots=True)
class CheckDue:
    """Timer: look at silence and the deadline. Runs for ever."""


class ConsumerCore:
    """All that one consumer has to say to its cluster."""

    def __init__(self, bootstrap: Sequence[str], random: Random, settings: ConsumerSettings) -> None:
        self._settings = settings
        self._random = random
        self._numbers = count(1)
        self._directory = Directory(bootstrap, self._numbers.__next__, random)
        self._seeking = Seeking(self._numbers.__next__)
        self._readings: dict[tuple[str, int], Reading] = {}
        self._fetches: dict[str, tuple[int, float]] = {}  # by address: correlation and time of the newest
        self._resting: set[str] = set()  # addresses
        self._rests: Counter[str] = Counter()  # in a row, by address
        self._stale = set(settings.topics)  # METADATA is wanted
        self._begun: set[str] = set()  # topics whose positions are known
        self._buffered = 0  # bytes delivered and not taken
        self._heard_at = 0.0  # the last useful answer
        self._closed = False  # ended or broken
        self._effects: list[ConsumerEffect] = []

    def handle(self, event: Opened | Answered | Lost | ClusterSought | Taken | Due) -> list[ConsumerEffect]:
        """React to an event; the effects are to be carried out in order."""
        if self._closed:
            return []
        match event:
            case Opened():
                self._heard_at = event.at
                self._effects.append(SetTimer(CheckDue(), CHECK_S))
                self._ask()
            case Answered():
                self._hear(event)
            case Lost():
                self._lost(event)
            case ClusterSought():
                self._directory.sought(event.addresses)
            case Taken():
                self._buffered -= event.size
                self._fetch(event.at)
            case Due():
                self._due(event.timer, event.at)
            case _:
                assert_never(event)
        effects = self._effects[:]
        self._effects.clear()
        return effects

    @property
    def positions(self) -> dict[tuple[str, int], int]:
        """The offset that is read next, by topic and partition."""
        return {key: reading.position for key, reading in self._readings.items()}

    def check_invariants(self) -> None:
        """Raises AssertionError where a position is beyond where it may be."""
        for reading in self._readings.values():
            assert reading.limit is None or reading.position <= reading.limit, str(reading)

    # --- fetching ---

    def _fetch(self, at: float) -> None:
        """Ask every broker that has partitions of ours and no question to answer."""
        if self._closed or self._buffered >= self._settings.credit_max:
            return
        by_address: dict[str, list[Reading]] = {}
        for reading in self._readings.values():
            if not reading.finished and reading.address:
                by_address.setdefault(reading.address, []).append(reading)
        room = min(self._settings.fetch_max, self._settings.credit_max - self._buffered)
        for address, readings in by_address.items():
            if address not in self._fetches and address not in self._resting:
                correlation = next(self._numbers)
                self._fetches[address] = (correlation, at)
                wanted = tuple(FetchFrom(r.topic, r.topic_id, r.partition, r.position) for r in readings)
                fetch = Fetch(wanted, self._settings.wait_s, 1, room)
                self._effects.append(Request(address, correlation, fetch))

    def _rest(self, address: str, topics: set[str]) -> None:
        """Leave this broker alone for a moment and ask METADATA elsewhere."""
        if address not in self._resting:
            self._resting.add(address)
            self._rests[address] += 1
            self._effects.append(SetTimer(RestOver(address), back_off(self._random, self._rests[address])))
        self._stale |= topics
        self._ask(address)

    # --- answers ---

    def _hear(self, event: Answered) -> None:
        message = event.message
        if event.correlation == self._directory.correlation:
            if isinstance(message, MetadataResponse):
                self._learn(message, event.at)
            else:
                self._effects += self._directory.refused(message)
            return
        sought = self._seeking.claim(event.correlation)
        if sought is not None:
            return self._located(sought, event)
        if self._fetches.get(event.address, (0, 0.0))[0] == event.correlation:
            del self._fetches[event.address]
        if isinstance(message, FetchResponse):
            self._fetched(message, event)
        elif not isinstance(message, ListOffsetsResponse):  # which came too late
            self._rest(event.address, set(self._begun))

    def _fetched(self, response: FetchResponse, event: Answered) -> None:
        serves = any(found.error is ErrorCode.NONE for found in response.partitions)
        counts, lost = self._directory.judge(response.cluster_id, response.lineage, serves, event.at)
        if lost is not None:
            return self._cut_off(lost)
        topics = {found.topic for found in response.partitions}
        if not counts:
            return self._rest(event.address, topics)
        if response.leader_heard:
            self._heard_at = event.at
            if serves:
                del self._rests[event.address]
        for found in response.partitions:
            reading = self._readings.get((found.topic, found.partition))
            if reading is not None and not self._closed:
                self._take(reading, found, event.address)
        if not response.leader_heard:
            self._rest(event.address, topics)
        self._end_or_fetch(event.at)
        return None

    def _take(self, reading: Reading, found: Fetched, address: str) -> None:
        match found.error:
            case ErrorCode.NONE:
                self._deliver(reading, found)
            case ErrorCode.NOT_ASSIGNED:
                self._move(reading, found.address, address)
            case ErrorCode.RETRY | ErrorCode.UNKNOWN_TOPIC:  # whether it is gone METADATA says
                if reading.address == address:
                    self._rest(address, {reading.topic})
            case ErrorCode.OFFSET_OUT_OF_RANGE if found.start <= reading.position:
                pass  # it was asked for what another broker has delivered since
            case ErrorCode.OFFSET_OUT_OF_RANGE if not reading.trimmed_to(found.start):
                self._break(
                    OffsetOutOfRange(
                        f"{reading}: offset {reading.position} is out of range: "
                        f"the log starts at {found.start} and ends at {found.end}"
                    )
                )
            case ErrorCode.OFFSET_OUT_OF_RANGE:
                pass  # what is wanted begins behind it
            case _:
                self._break(error_for(found.error, found.text))

    def _deliver(self, reading: Reading, found: Fetched) -> None:
        if found.batches:  # it is asked for last from now on: an answer has room for the first of many
            key = reading.topic, reading.partition
            self._readings[key] = self._readings.pop(key)
        for batch in found.batches:
            since_ms = reading.since_ms
            try:
                first, limit = reading.advance(batch)
            except LogStreamError as error:
                return self._break(error)
            if first < limit and not reading.passes_over(batch):
                self._buffered += batch.size
                self._effects.append(Deliver(reading.topic, reading.partition, batch, first, limit, since_ms))
        return None

    def _move(self, reading: Reading, address: str, told_by: str) -> None:
        if reading.address != told_by:
            return  # it has moved on already
        if not address or address == told_by or reading.moves > 0:
            self._rest(told_by, {reading.topic})  # brokers that name each other are given time to agree
        reading.moves += 1
        reading.address = address or reading.address

    def _lost(self, event: Lost) -> None:
        if self._directory.correlation in event.correlations:
            self._effects += self._directory.missed(event.reason)
        self._seek_again(self._seeking.lost(event.correlations), event.reason)
        correlation, _ = self._fetches.get(event.address, (0, 0.0))
        if correlation in event.correlations:
            del self._fetches[event.address]
            self._directory.reason = event.reason
            self._rest(event.address, {r.topic for r in self._readings.values() if r.address == event.address})

    # --- METADATA ---

    def _ask(self, avoid: str = "") -> None:
        if self._stale and not self._closed:
            self._effects += self._directory.ask(tuple(sorted(self._stale)), False, avoid)

    def _learn(self, response: MetadataResponse, at: float) -> None:
        directory = self._directory
        asked = directory.asked
        directory.answered(response, at)
        if response.leader is None:
            self._effects += directory.missed(f"{asked} hears no leader")
            return
        serves = any(found.error is ErrorCode.NONE for found in response.topics)
        counts, lost = directory.judge(response.cluster_id, response.lineage, serves, at)
        if lost is not None:
            return self._cut_off(lost)
        if not counts:
            self._effects += directory.missed(f"{asked} belongs to another cluster")
            return
        final = directory.is_final(response)
        for found in response.topics:
            if not self._closed and found.name in self._settings.topics:
                self._learn_topic(found, final, at)
        if self._closed:
            return None
        unserved = self._stale & {found.name for found in response.topics}
        if not unserved:
            directory.served()
        elif final:
            self._effects += directory.again_later(f"{asked} cannot serve topic {', '.join(sorted(unserved))} yet")
        else:
            self._effects += directory.refer(response.leader.address)
        self._ask()
        self._end_or_fetch(at)
        return None

    def _learn_topic(self, found: TopicMetadata, final: bool, at: float) -> None:
        if found.error is ErrorCode.NONE:
            self._directory.exists(found.name)
        if found.error is ErrorCode.NONE and not found.partitions:
            return  # it is there, and a leader that has just begun does not know yet who serves it
        if found.error is ErrorCode.NONE and found.name in self._begun:
            self._reassign(found)
        elif found.error is ErrorCode.NONE and final:
            self._begin(found, at)
        elif found.error is ErrorCode.UNKNOWN_TOPIC and final:
            awaited = found.name not in self._begun and self._settings.wait
            if not awaited and self._directory.is_missing(found.name, at):
                self._break(UnknownTopic(f"there is no topic {found.name}"))
        elif found.error not in (ErrorCode.NONE, ErrorCode.UNKNOWN_TOPIC, ErrorCode.RETRY):
            self._break(error_for(found.error, f"topic {found.name!r}: {found.error.name.lower().replace('_', ' ')}"))

    def _begin(self, found: TopicMetadata, at: float) -> None:
        """The leader's word on where the partitions begin and end."""
        start, partitions = self._settings.start, len(found.partitions)
        if len(found.starts) != partitions or len(found.ends) != partitions:
            return  # ask again
        if isinstance(start, Since):
            self._stale.discard(found.name)
            self._effects += self._seeking.ask(found, self._directory.asked, start.timestamp_ms, at)
            return
        try:
            self._begin_at(found, [start_of(start, found, number) for number in range(partitions)])
        except OffsetOutOfRange as error:
            self._break(error)

    def _located(self, sought: Sought, event: Answered) -> None:
        """An answer to where a time is reached."""
        message, positions, counts = event.message, None, True
        if isinstance(message, ListOffsetsResponse):
            positions = sought.positions(message)
            serves = positions is not None
            counts, lost = self._directory.judge(message.cluster_id, message.lineage, serves, event.at)
            if lost is not None:
                return self._cut_off(lost)
        if positions is None or not counts:
            return self._seek_again([sought], f"{event.address} does not say where topic {sought.topic.name} begins")
        self._begin_at(sought.topic, positions)
        self._end_or_fetch(event.at)
        return None

    def _seek_again(self, failed: list[Sought], reason: str) -> None:
        self._stale |= {sought.topic.name for sought in failed}
        if failed and not self._directory.correlation:
            self._effects += self._directory.again_later(reason)

    def _begin_at(self, found: TopicMetadata, positions: list[int]) -> None:
        start = self._settings.start
        for number, (member, position) in enumerate(zip(found.partitions, positions, strict=True)):
            limit = None if self._settings.follow else max(found.ends[number], position)
            reading = Reading(found.name, found.topic_id, number, member.address, position, limit)
            reading.since_ms = start.timestamp_ms if isinstance(start, Since) else None
            self._readings[found.name, number] = reading
        self._begun.add(found.name)
        self._stale.discard(found.name)

    def _reassign(self, found: TopicMetadata) -> None:
        """Other brokers, the same positions. A topic made again under its name is another topic."""
        for number, member in enumerate(found.partitions):
            reading = self._readings.get((found.name, number))
            if reading is None:
                continue
            if found.topic_id < reading.topic_id:  # ids grow: whoever says so has not heard of the topic of now
                return None
            if reading.topic_id != found.topic_id:
                text = f"topic {found.name} was deleted and made again"
                return self._break(UnknownTopic(text, "make a new consumer"))
            reading.address = member.address or reading.address
        self._stale.discard(found.name)
        return None

    # --- endings and time ---

    def _end_or_fetch(self, at: float) -> None:
        everything = len(self._begun) == len(set(self._settings.topics))
        if not self._closed and everything and all(reading.finished for reading in self._readings.values()):
            self._closed = True
            self._effects.append(Ended())
        self._fetch(at)

    def _cut_off(self, error: LogStreamError) -> None:
        """Another cluster, or another past of this one: say where this consumer stood, it must not simply go on."""
        stood = ", ".join(f"{reading} at {reading.position}" for reading in self._readings.values())
        if isinstance(error, DataLost) and stood:
            text = f"{error}; this consumer stood at {stood}, and what it read last may not be in the log any more"
            error = LineageChanged(text)
        self._break(error)

    def _break(self, error: LogStreamError) -> None:
        if not self._closed:
            self._closed = True
            self._effects.append(Broken(error))

    def _due(self, timer: object, at: float) -> None:
        match timer:
            case RestOver(address):
                self._resting.discard(address)
                self._fetch(at)
            case MetadataDue():
                self._effects += self._directory.due()
                self._ask()
            case CheckDue():
                self._check(at)
            case _:
                pass

    def _check(self, at: float) -> None:
        self._effects.append(SetTimer(CheckDue(), CHECK_S))
        if self._directory.is_old(at):
            self._stale |= self._begun
            self._ask()
        for address, (_, since) in list(self._fetches.items()):
            if at - since > self._settings.wait_s + SILENT_S:
                del self._fetches[address]  # asked anew: that the other end is gone only who writes is told
                self._directory.reason = f"{address} does not answer"
                self._stale |= {r.topic for r in self._readings.values() if r.address == address}
                self._ask(address)
        for sought in self._seeking.silent_since(at - SILENT_S - self._settings.wait_s):
            self._seek_again([sought], f"{sought.address} does not answer")
        held = self._buffered >= self._settings.credit_max
        if held:
            self._heard_at = at
        starting = len(self._begun) < len(set(self._settings.topics)) and not self._settings.wait
        bounded = starting or not self._settings.follow
        if bounded and at - self._heard_at >= self._settings.deadline_s:
            reason = self._directory.reason or "no answer"
            self._break(RequestTimedOut(f"nothing could be read for {self._settings.deadline_s:g} s: {reason}"))
