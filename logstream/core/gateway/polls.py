"""Long polls: a fetch asks several partitions, and is answered when enough has come or its time is over.

Every partition is read at once and says what it has; those that have nothing go on waiting. One answer
ends the poll and cancels what still waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from logstream.core.effects import Announce, CancelTimer, Effect, SetTimer
from logstream.core.gateway.sessions import Asker
from logstream.core.gateway.vocabulary import PollTimedOut
from logstream.core.topic_log import CancelRead, Read, ReadDone, ReadId
from logstream.protocol.batches import Batch
from logstream.protocol.errors import ErrorCode
from logstream.protocol.messages import Fetch, Fetched, FetchFrom

WAIT_MAX_S = 60.0  # a longer poll is answered after this

Judge = Callable[[FetchFrom], Fetched | None]  # an error for a partition that cannot be read here


@dataclass(slots=True)
class Poll:
    """One fetch under way."""

    number: int
    asker: Asker
    fetch: Fetch
    results: dict[int, Fetched] = field(default_factory=dict)  # by place in the request
    first_answers: set[int] = field(default_factory=set)  # partitions that have not said what they have

    @property
    def bytes(self) -> int:
        """Bytes of batches gathered so far."""
        return sum(batch.size for result in self.results.values() for batch in result.batches)

    @property
    def satisfied(self) -> bool:
        """Is there enough, or something that the client must hear at once?"""
        if self.first_answers:
            return False
        failed = any(result.error is not ErrorCode.NONE for result in self.results.values())
        return failed or self.bytes >= max(self.fetch.min_bytes, 1)


class Polls:
    """The fetches that one broker has under way."""

    def __init__(self, credit: int) -> None:
        self._credit = credit  # bytes that one answer may carry, unless one batch is larger
        self._polls: dict[int, Poll] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._polls)

    def begin(self, asker: Asker, fetch: Fetch, judge: Judge) -> tuple[list[Effect], Poll | None]:
        """Start to read; the poll itself is returned if it is over already."""
        self._last += 1
        poll = Poll(self._last, asker, fetch)
        self._polls[poll.number] = poll
        effects: list[Effect] = []
        for place, wanted in enumerate(fetch.partitions):
            fault = judge(wanted)
            if fault is not None:
                poll.results[place] = fault
                continue
            poll.first_answers.add(place)
            effects.append(Announce(self._read(poll, place, wanted)))
        if poll.satisfied:
            return effects, self._over(poll)
        return [*effects, SetTimer(PollTimedOut(poll.number), _wait_s(fetch))], None

    def _read(self, poll: Poll, place: int, wanted: FetchFrom) -> Read:
        most = self._most(poll.fetch)
        return Read((poll.number, place), wanted.topic_id, wanted.partition, wanted.offset, most, wait=True)

    def _most(self, fetch: Fetch) -> int:
        """Bytes that an answer may carry."""
        return min(fetch.max_bytes, self._credit)

    def done(self, read: ReadDone) -> tuple[list[Effect], Poll | None]:
        """A partition says what it has; the poll is returned when that ends it."""
        number, place = read.read
        poll = self._polls.get(number)
        if poll is None:
            return [], None
        poll.first_answers.discard(place)
        poll.results[place] = self._result(poll, place, read)
        if not poll.satisfied:
            return [], None
        return self._cancel(poll), self._over(poll)

    def _result(self, poll: Poll, place: int, read: ReadDone) -> Fetched:
        wanted = poll.fetch.partitions[place]
        if wanted.offset < read.start:
            text = f"offset {wanted.offset} of {wanted.topic}/{wanted.partition} is below the log start {read.start}"
            return Fetched(
                wanted.topic, wanted.partition, ErrorCode.OFFSET_OUT_OF_RANGE, text, read.start, read.end, ()
            )
        batches = _within(read.batches, poll.bytes, self._most(poll.fetch))
        return Fetched(wanted.topic, wanted.partition, ErrorCode.NONE, "", read.start, read.end, batches)

    def timed_out(self, number: int) -> tuple[list[Effect], Poll | None]:
        """The client has waited for long enough."""
        poll = self._polls.get(number)
        if poll is None:
            return [], None
        return self._cancel(poll), self._over(poll)

    def judge_again(self, judge: Judge) -> tuple[list[Effect], list[Poll]]:
        """Assignments changed: whoever waits for what is not here any more hears so."""
        effects: list[Effect] = []
        over = []
        for poll in list(self._polls.values()):
            faults = {place: judge(wanted) for place, wanted in enumerate(poll.fetch.partitions)}
            wrong = {place: fault for place, fault in faults.items() if fault is not None}
            if wrong:
                poll.results |= wrong
                effects += self._cancel(poll)
                over.append(self._over(poll))
        return effects, over

    def end_all(self) -> tuple[list[Effect], list[Poll]]:
        """Nothing new can be known here for now: answer everybody with what there is."""
        polls = list(self._polls.values())
        effects = [effect for poll in polls for effect in self._cancel(poll)]
        return effects, [self._over(poll) for poll in polls]

    def drop(self, origin: object) -> list[Effect]:
        """A client is gone."""
        polls = [poll for poll in self._polls.values() if poll.asker.origin == origin]
        effects = [effect for poll in polls for effect in self._cancel(poll)]
        for poll in polls:
            self._over(poll)
        return effects

    def _over(self, poll: Poll) -> Poll:
        self._polls.pop(poll.number, None)
        return poll

    def _cancel(self, poll: Poll) -> list[Effect]:
        effects: list[Effect] = [CancelTimer(PollTimedOut(poll.number))]
        for place, wanted in enumerate(poll.fetch.partitions):
            read: ReadId = (poll.number, place)
            effects.append(Announce(CancelRead(read, wanted.topic_id, wanted.partition)))
        return effects


def _within(batches: tuple[Batch, ...], gathered: int, most: int) -> tuple[Batch, ...]:
    """What still fits into one answer; the first batch of an answer always does."""
    if not gathered:
        return batches
    kept = []
    for batch in batches:
        gathered += batch.size
        if gathered > most:
            break
        kept.append(batch)
    return tuple(kept)


def _wait_s(fetch: Fetch) -> float:
    """What a client asks for, within reason: no timer can be set for nan or infinity."""
    return min(fetch.max_wait_s, WAIT_MAX_S) if fetch.max_wait_s > 0 else 0.0
