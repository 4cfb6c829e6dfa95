"""Another history, built beside one's own until a view says that it is the one to have (R6, R18).

A learner stages the leader's log, a member that lacks a part of a new view's base stages that part, and
a candidate whose own log is not the base stages the base first. Nothing of it counts: the member's own
log and last view stay what they were until VIEW_INSTALL is accepted, and then the stage is swapped in
at once, however long it is.

    own     1 ... common | own tail
    stage   1 ... common | staged ......... end
    stage       checkpoint | staged ....... end      where the sender's log starts above the own end
"""

from __future__ import annotations

from logstream.core.replica.history import History
from logstream.core.replica.log import common_prefix
from logstream.core.replica.snapshot import Assembly
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.identity import EMPTY_LOG, Digest
from logstream.protocol.messages import CatchUp, Snapshot


class Stage:
    """What is being learned, and how to ask for the rest."""

    def __init__(self) -> None:
        self.history: History | None = None
        self.assembly = Assembly()  # of the checkpoint that the stage will start from
        self.certain = 0  # up to here the stage is known to be the log of the leader that is heard now
        self._from_nothing = False  # the own log cannot be forked where the sender says: ask for all of it

    def digest(self, own: History) -> Digest:
        """What to say in LEARN: everything that need not be sent again."""
        if self._from_nothing and self.history is None:
            return EMPTY_LOG
        return (self.history or own).log.digest()

    def take(self, own: History, slice_: CatchUp | Snapshot) -> bool:
        """Stage entries or rows of a checkpoint; False if they bring nothing new.

        Raises RemoteProtocolError if they are not what they say.
        """
        return self.add(own, slice_) if isinstance(slice_, CatchUp) else self.add_snapshot(own, slice_)

    def add(self, own: History, slice_: CatchUp) -> bool:
        """Stage a slice; False if it brings nothing new: whoever is sent it twice must not ask twice for the next.

        Raises RemoteProtocolError if an entry is not what its chain or CRC says.
        """
        if self.history is not None and self._holds(self.history, slice_):
            return False
        if self.history is None or slice_.after < self.history.commit:
            self.history = self._begin(own, slice_.after)
        if self.history is not None and slice_.after <= self.history.end:
            self._extend(self.history, slice_)
        return True

    def _holds(self, history: History, slice_: CatchUp) -> bool:
        common = common_prefix(history.log.digest(), slice_.digest)
        last = slice_.after + len(slice_.entries)
        if common < last or not (slice_.entries or history.end == last):
            return False
        self.certain = max(self.certain, common)
        return True

    def _begin(self, own: History, after: int) -> History | None:
        """A history that ends at `after`; None if it must be asked for from an earlier entry on."""
        if after >= own.commit:
            return own.fork(after) if after <= own.end else None
        self._from_nothing = True
        return History() if after == 0 else None

    def _extend(self, history: History, slice_: CatchUp) -> None:
        if common_prefix(history.log.digest(), slice_.digest) < slice_.after:
            raise RemoteProtocolError(f"a slice after {slice_.after} comes from a log that differs before it")
        history.truncate(slice_.after)
        for entry in slice_.entries:
            history.follow(entry)
        self.certain = history.end

    def add_snapshot(self, own: History, snapshot: Snapshot) -> bool:
        """Stage a slice of a checkpoint; False if it brings nothing new.

        Raises RemoteProtocolError for rows that cannot be.
        """
        if common_prefix(self.digest(own), snapshot.digest) >= snapshot.checkpoint:
            return False
        if snapshot.first and not self.assembly.awaits(snapshot):
            return False
        if (snapshot.checkpoint, snapshot.first) == (self.assembly.gseq, 0) and self.assembly.rows:
            return False
        checkpoint = self.assembly.add(snapshot)
        if checkpoint is not None:
            self.history, self.assembly = History(checkpoint), Assembly()
            self.certain = checkpoint.gseq
        return True

    def commit_to(self, gseq: int) -> None:
        """The leader has committed so much: what is certainly its own will not be taken back from here either."""
        if self.history is not None:
            self.history.commit_to(min(gseq, self.certain))

    def holder_of(self, base: Digest, own: History) -> History | None:
        """The history, own or staged, that holds the whole base; None while neither does."""
        for history in (own, self.history):
            if history is None or not history.log.start - 1 <= base.end <= history.end:
                continue
            if history.log.chain_at(base.end) == base.chain:
                return history
        return None

    def drop(self) -> None:
        """Forget what was staged."""
        self.history, self._from_nothing, self.certain = None, False, 0
        self.assembly = Assembly()
