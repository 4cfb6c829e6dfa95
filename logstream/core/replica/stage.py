"""Another history, built beside one's own until a view says that it is the one to have (R6, R18).

A learner stages the leader's log, a member that lacks a part of a new view's base stages that part, and
a candidate whose own log is not the base stages the base first. Nothing of it counts: the member's own
log and last view stay what they were until VIEW_INSTALL is accepted, and then the stage is swapped in
at once, however long it is.

    own     1 ... common | own tail
    stage   1 ... common | staged ......... end
"""

from __future__ import annotations

from logstream.core.replica.history import History
from logstream.core.replica.log import common_prefix
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.identity import EMPTY_LOG, Digest
from logstream.protocol.messages import CatchUp


class Stage:
    """What is being learned, and how to ask for the rest."""

    def __init__(self) -> None:
        self.history: History | None = None
        self._from_nothing = False  # the own log cannot be forked where the sender says: ask for all of it

    def digest(self, own: History) -> Digest:
        """What to say in LEARN: everything that need not be sent again."""
        if self._from_nothing and self.history is None:
            return EMPTY_LOG
        return (self.history or own).log.digest()

    def add(self, own: History, slice_: CatchUp) -> bool:
        """Stage a slice; False if it does not continue what is here, so that it must be asked for again.

        Raises RemoteProtocolError if an entry is not what its chain or CRC says.
        """
        if self.history is None or slice_.after < self.history.commit:
            if slice_.after < own.commit:
                self._from_nothing, self.history = True, None
                if slice_.after > 0:
                    return False
                self.history = History()
            elif slice_.after > own.end:
                return False
            else:
                self.history = own.fork(slice_.after)
        if slice_.after > self.history.end:
            return False
        self._extend(self.history, slice_)
        return True

    def _extend(self, history: History, slice_: CatchUp) -> None:
        if common_prefix(history.log.digest(), slice_.digest) < slice_.after:
            raise RemoteProtocolError(f"a slice after {slice_.after} comes from a log that differs before it")
        history.truncate(slice_.after)
        for entry in slice_.entries:
            history.follow(entry)

    def holder_of(self, base: Digest, own: History) -> History | None:
        """The history, own or staged, that holds the whole base; None while neither does."""
        for history in (own, self.history):
            if history is not None and history.end >= base.end and history.log.chain_at(base.end) == base.chain:
                return history
        return None

    def drop(self) -> None:
        """Forget what was staged."""
        self.history, self._from_nothing = None, False
