"""The follower's side of a Replica: entries in order, acks, and asking for what is missing (R9, R16).

REPLICATE -> [continues the log: append] or [hold back] -> one ack per turn
gap       -> wait 0.02 s -> NACK, doubling to 0.5 s while nothing moves
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from logstream.core.effects import CancelTimer, Effect, Send, SetTimer
from logstream.core.events import Via
from logstream.core.replica.history import History
from logstream.core.replica.holdback import Holdback
from logstream.protocol.identity import EMPTY_LOG, View
from logstream.protocol.messages import Entry, Heartbeat, Nack, Replicate, ReplicateAck

NACK_MAX_S = 0.5


@dataclass(frozen=True, slots=True)
class NackDue:
    """The gap has been open for a while."""


class Followership:
    """What one member does while it follows one view's leader."""

    def __init__(self, view: View, history: History, nack_s: float, hearing_s: float, receive_buffer: int) -> None:
        self.view = view
        self.holdback = Holdback()
        self._history = history
        self._nack_s = self._nack_after_s = nack_s
        self._hearing_s = hearing_s  # multicast counts as heard for so long
        self._receive_buffer = receive_buffer  # bytes of datagrams that the socket can hold
        self._multicast_at: float | None = None
        self._last = view.base  # the last gseq that the leader is known to have
        self.leader_commit = 0
        self._waiting_at: int | None = None  # the end of the log when NackDue was set

    def replicate(self, message: Replicate, via: Via, at: float) -> list[Effect]:
        """Append what continues the log, hold back what does not.

        Raises RemoteProtocolError for an entry that does not belong here.
        """
        self._heard(message.last, message.commit, via, at)
        for entry in message.entries:
            self._take(entry)
        for entry in self.holdback.ready(self._history.end):
            self._history.follow(entry)
        return self._mind_the_gap()

    def heartbeat(self, beat: Heartbeat, via: Via, at: float) -> list[Effect]:
        """A lost tail shows in the heartbeat's last gseq."""
        self._heard(beat.last, beat.commit, via, at)
        return self._mind_the_gap()

    def take_over(self, history: History) -> None:
        """The log now starts from a checkpoint of the leader's; what was held back may continue it."""
        self._history = history
        for gseq in list(self.holdback):
            if gseq <= history.end:
                self.holdback.take(gseq)
        for entry in self.holdback.ready(history.end):
            history.follow(entry)

    def ack(self, at: float) -> ReplicateAck:
        """Everything up to here is stored; only what is contiguous counts."""
        hears = self._multicast_at is not None and at - self._multicast_at < self._hearing_s
        credit = min(self.holdback.room, self._receive_buffer)
        end, log = self._history.stored_end, self._history.log
        if end < log.start - 1:  # the checkpoint is not on the disk yet
            return ReplicateAck(self.view.epoch, 0, EMPTY_LOG.chain, credit, hears)
        return ReplicateAck(self.view.epoch, end, log.chain_at(end), credit, hears)

    def nack_due(self) -> list[Effect]:
        """Ask for the gap, and again later; whoever moves on starts the back-off anew."""
        missing = self._missing()
        if missing is None:
            self._waiting_at = None
            return []
        if self._waiting_at is not None and self._waiting_at < self._history.end:
            self._nack_after_s = self._nack_s
            return self._wait()
        self._nack_after_s = min(2 * self._nack_after_s, NACK_MAX_S)
        return [Send(self.view.leader, Nack(self.view.epoch, *missing)), *self._wait()]

    def stop(self) -> list[Effect]:
        """This view is over."""
        return [CancelTimer(NackDue())]

    def _heard(self, last: int, commit: int, via: Via, at: float) -> None:
        self._last = max(self._last, last)
        self.leader_commit = max(self.leader_commit, commit)
        if via is Via.MULTICAST:
            self._multicast_at = at

    def _take(self, entry: Entry) -> None:
        if entry.gseq == self._history.end + 1:
            self._history.follow(entry)
            self.holdback.take(entry.gseq)
        elif entry.gseq > self._history.end:
            self.holdback.hold(entry)

    def _missing(self) -> tuple[int, int] | None:
        end, held = self._history.end, self.holdback.first()
        if held is not None:
            return end + 1, held - 1
        return (end + 1, self._last) if self._last > end else None

    def _mind_the_gap(self) -> list[Effect]:
        if self._waiting_at is not None or (not len(self.holdback) and self._last <= self._history.end):
            return []
        self._nack_after_s = self._nack_s
        return self._wait()

    def _wait(self) -> list[Effect]:
        self._waiting_at = self._history.end
        timer: Hashable = NackDue()
        return [SetTimer(timer, self._nack_after_s)]
