"""Delivery: what the producer does with a partition's window, in effects. A part of ProducerCore.

The window (window.py) says what may be sent; this sends it under a correlation, remembers which answer
will be whose, lets it rest after trouble, and gives it up. What an answer means is decided in producer.py.

    pump: seal what is due, send what may go        rest: all unanswered again after a back-off
    renumber: certainly not in the log, send it     give_up: the application hears of it
              under new sequences
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from logstream.core.client_effects import Failed, ProducerEffect, Request
from logstream.core.directory import back_off
from logstream.core.effects import SetTimer
from logstream.core.routing import Topic
from logstream.core.window import SealedBatch, Window
from logstream.protocol.errors import LogStreamError, NotSent, OutcomeUnknown, RequestTimedOut
from logstream.protocol.messages import Produce

CHECK_S = 0.25  # how often deadlines and silence are looked at


@dataclass(frozen=True, slots=True)
class LingerOver:
    """Timer: the open batches of this topic have waited long enough."""

    topic: str


@dataclass(frozen=True, slots=True)
class RetryDue:
    """Timer: the back-off of this partition is over."""

    topic: str
    partition: int


class Delivery:
    """Sends, repeats and gives up batches; `effects` is the producer's list."""

    def __init__(
        self,
        effects: list[ProducerEffect],
        number: Callable[[], int],
        random: Random,
        linger_s: float,
        deadline_s: float,
    ) -> None:
        self._effects = effects
        self._number = number
        self._random = random
        self._linger_s = linger_s
        self._deadline_s = deadline_s
        self._asked: dict[int, tuple[Topic, Window, SealedBatch]] = {}

    def new_producer_id(self) -> int:
        """A random 63-bit number."""
        return self._random.getrandbits(63)

    def claim(self, correlation: int) -> tuple[Topic, Window, SealedBatch] | None:
        """Whose answer this is; None if it came too late to matter. It can be claimed once."""
        found = self._asked.pop(correlation, None)
        if found is not None:
            found[2].tries.remove(correlation)
        return found

    # --- sending ---

    def pump(self, topic: Topic, at: float, returned: bool = False) -> None:
        """Send what may go. `returned`: a send came back or the linger time is over, so open batches go too."""
        due = returned or not any(window.under_way for window in topic.active)
        waiting_s: float | None = None
        for window in list(topic.active):
            if window.open is not None and window.has_room:
                left_s = window.open.since + self._linger_s - at
                if due or left_s <= 0:
                    topic.seal(window)
                else:
                    waiting_s = left_s if waiting_s is None else min(waiting_s, left_s)
            self._send(topic, window, at)
            if window.idle:
                del topic.active[window]
        if waiting_s is not None and not topic.lingering:
            topic.lingering = True
            self._effects.append(SetTimer(LingerOver(topic.name), waiting_s))

    def _send(self, topic: Topic, window: Window, at: float) -> None:
        for batch, stamped in window.take():
            batch.correlation = self._number()
            batch.tries.append(batch.correlation)
            batch.sent_at = at
            self._asked[batch.correlation] = (topic, window, batch)
            left_s = batch.deadline - at
            # The broker's last word must arrive before the deadline: it has the reason.
            timeout_s = max(left_s - CHECK_S, left_s / 2, 0.001)
            produce = Produce(topic.name, topic.topic_id, window.number, stamped, timeout_s)
            self._effects.append(Request(window.address, batch.correlation, produce))

    def rest(self, topic: Topic, window: Window, reason: str, hint_s: float = 0.0) -> None:
        """Send everything unanswered again, after a while."""
        window.reason = reason or window.reason
        window.rewind()
        window.resting = True
        window.rests += 1
        after_s = max(hint_s, back_off(self._random, window.rests))
        self._effects.append(SetTimer(RetryDue(topic.name, window.number), after_s))

    def renumber(self, window: Window) -> None:
        """What was sent and is not answered is certainly not in the log: send it under new sequences."""
        for batch in window.unanswered():
            self.forget(batch)
        window.unsend()
        window.renew(self.new_producer_id())

    def forget(self, batch: SealedBatch) -> None:
        """No answer to any try of this batch counts any more."""
        for correlation in batch.tries:
            self._asked.pop(correlation, None)
        batch.tries.clear()

    # --- giving up ---

    def give_up(self, window: Window, batches: list[SealedBatch], error: LogStreamError) -> None:
        """Fail batches that were sent. A new producer id for the window must follow."""
        for batch in batches:
            self.forget(batch)
            self._fail(batch, error)
        window.drop(batches)

    def fail_window(self, window: Window, error: LogStreamError, not_sent: LogStreamError) -> None:
        """Fail everything that the window holds: what was sent with one error, what was not with the other."""
        self.give_up(window, window.unanswered(), error)
        window.seal()
        while window.ready:
            self._fail(window.ready.popleft(), not_sent)

    def expire(self, window: Window, at: float) -> None:
        """Fail what is past its deadline, and what was sent behind it."""
        late = [batch for batch in window.unanswered() if batch.deadline <= at]
        if late:
            # Whether the late ones' sequences are used nobody knows: nothing can follow them (R12).
            self.give_up(window, late, self._timed_out(window))
            behind = OutcomeUnknown(f"{window}: an earlier record was given up; this one may or may not be in the log")
            self.give_up(window, window.unanswered(), behind)
            window.renew(self.new_producer_id())
        if window.open is not None and window.open.deadline <= at:
            window.seal()
        while window.ready and window.ready[0].deadline <= at:
            self._fail(window.ready.popleft(), self.not_sent(str(window), window.reason))

    def not_sent(self, what: str, reason: str) -> LogStreamError:
        """The deadline passed before a first try."""
        return NotSent(f"{what}: not sent within {self._deadline_s:g} s: {reason or 'no answer'}")

    def _timed_out(self, window: Window) -> LogStreamError:
        return RequestTimedOut(
            f"{window} was not acknowledged within {self._deadline_s:g} s: {window.reason or 'no answer'} "
            "(the record may or may not be in the log)"
        )

    def _fail(self, batch: SealedBatch, error: LogStreamError) -> None:
        self._effects.append(Failed(batch.tickets, error, batch.cost))
