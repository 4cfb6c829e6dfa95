"""Storing: what this member's disk holds before anybody hears of it (durable mode: R2, R9, R19).

    event -> Replica -> what has changed: first the log, then the votes -> disk, in this order
                     -> STATE and VIEW_INSTALL_ACK wait until all of it is synced

The log comes first: who restarts between the two writes has the votes of before, and cuts what is newer than
its last view. Entries of an open view hold nobody up: acks, and the leader's own, say what is stored
(History.stored_end), and nothing at all before the votes for its view are. Who has promised more meanwhile says nothing
of what it promised before (R2).

Elsewhere: the disk itself. Where a node has none, memory is its store and dies with its identity (R15).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from logstream.core.effects import Announce, Effect, Note, Send, SetTimer
from logstream.core.replica.history import History
from logstream.core.replica.promise import Votes
from logstream.core.replica.replica import FlushDue, Replica
from logstream.core.replica.vocabulary import Promised, SteppedDown, ViewsKnown
from logstream.protocol.identity import Epoch
from logstream.protocol.messages import Entry, ReplicateAck, State, ViewInstallAck


@dataclass(frozen=True, slots=True)
class Appended:
    """These entries continue the log."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Replaced:
    """The log is this one now, which nobody changes any more."""

    history: History


Change = Appended | Replaced | Votes


@dataclass(frozen=True, slots=True)
class Store:
    """Write this behind everything with a lower number."""

    number: int
    change: Change


@dataclass(frozen=True, slots=True)
class Stored:
    """Everything up to this number is synced."""

    number: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a member's disk held when its node started."""

    store_id: str
    votes: Votes
    history: History


class Disk(Protocol):
    """Where a durable node keeps its store."""

    def recovered(self) -> Recovered | None:
        """What is there; None where no view was ever accepted, so that nobody can count on it."""
        ...

    def begin(self, store_id: str) -> None:
        """Forget everything: this is an empty store now."""
        ...

    def write(self, change: Change, done: Callable[[], object]) -> None:
        """Write behind all earlier ones; call `done`, later, when all of them are synced."""
        ...


def recover(replica: Replica, found: Recovered) -> None:
    """Make a Replica that has heard nothing yet the one whose store this is, frozen (R19)."""
    replica.promise.recover(found.votes)
    replica.history = found.history
    replica.trimming.begin(found.history)


class Storing:
    """What one Replica has given to its disk, and what it may say only when that is synced."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._votes = replica.promise.votes
        self._end, self._chain = replica.history.end, replica.history.log.chain  # of the log as it was written
        self._stored = self._end
        self._commit = replica.history.commit  # after the last event
        self._written = self._synced = 0
        self._voted = 0  # the number of the last write of votes
        self._ends: deque[tuple[int, int]] = deque()  # number of a write, the end of the log that it brings
        self._held: deque[tuple[int, Epoch, Send]] = deque()  # what is said of an epoch after the write of this number
        replica.history.stored = self._stored

    def start(self, at: float) -> list[Effect]:
        """A member that was here before has no leader yet (R4), and says of which views it knows."""
        replica, votes = self._replica, self._votes
        views = ViewsKnown(votes.installed, votes.attempted)
        if not views.views:
            return []
        replica.cluster_id = views.views[-1].cluster_id
        found = {"last_view": str(votes.last_view), "promised": str(votes.promised), "log_end": self._end}
        return [
            Note("store found", found),
            Announce(views),
            Announce(Promised(votes.promised)),
            Announce(SteppedDown(at)),
        ]

    def after(self, effects: list[Effect]) -> list[Effect]:
        """What to write after an event, and what of its effects may happen now."""
        writes = [*self._log(), *self._small_file()]
        history = self._replica.history
        history.stored, self._commit = self._stored, history.commit
        return [*writes, *(effect for effect in effects if not self._waits(effect))]

    def stored(self, number: int) -> list[Effect]:
        """All writes up to this one are synced: what waited for them is said, and acks go on."""
        self._synced = number
        while self._ends and self._ends[0][0] <= number:
            _, self._stored = self._ends.popleft()
        self._replica.history.stored = self._stored
        said: list[Effect] = []
        while self._held and self._held[0][0] <= number:
            _, epoch, send = self._held.popleft()
            if not _is_outdated(epoch, self._replica):
                said.append(send)
        return [*said, SetTimer(FlushDue(), 0.0)]

    def _waits(self, effect: Effect) -> bool:
        if self._written == self._synced or not isinstance(effect, Send):
            return False
        if isinstance(effect.message, ReplicateAck):  # there is another one when the view that it is of is stored
            return self._synced < self._voted
        if not isinstance(effect.message, State | ViewInstallAck):
            return False
        self._held.append((self._written, effect.message.epoch, effect))
        return True

    def _log(self) -> list[Effect]:
        history = self._replica.history
        log = history.log
        continues = log.start - 1 <= self._end <= log.end and log.chain_at(self._end) == self._chain
        if continues and log.end == self._end:
            return []
        if continues:
            write = self._write(Appended(tuple(log.entry(gseq) for gseq in range(self._end + 1, log.end + 1))))
        else:
            write = self._write(Replaced(history.fork(log.end)))
            self._ends.clear()
            self._stored = min(self._stored, self._commit)  # of the log before, only that much is certainly in this one
        self._end, self._chain = log.end, log.chain
        self._ends.append((self._written, log.end))
        return [write]

    def _small_file(self) -> list[Effect]:
        votes = self._replica.promise.votes
        if votes == self._votes:
            return []
        write, self._votes, self._voted = self._write(votes), votes, self._written
        return [write]

    def _write(self, change: Change) -> Effect:
        self._written += 1
        return Announce(Store(self._written, change))


def _is_outdated(epoch: Epoch, replica: Replica) -> bool:
    """R2: more was promised while what is of this epoch waited for its write."""
    return epoch < replica.promise.promised
