"""Learning: a member builds another history beside its own, slice by slice, and says what it still lacks.

    learner     -> leader of the view: LEARN(none)       until a view admits it
    installing  -> candidate:          LEARN(epoch)      until it holds the base of VIEW_INSTALL
    candidate   -> holder of the base: LEARN(epoch)      until it holds the base itself

Each answer is one slice, each slice is asked for by itself, so a slow learner is never flooded. What
has been staged counts for nothing until a view is accepted; the Replica swaps it in then. Here is also
the other side: what a member that does not lead answers. A leader's answers are in leadership.
"""

from __future__ import annotations

from dataclasses import dataclass

from logstream.core.effects import Announce, Effect, Send
from logstream.core.replica.history import History
from logstream.core.replica.log import common_prefix
from logstream.core.replica.outflow import SLICE_ENTRIES, TCP_SLICE
from logstream.core.replica.snapshot import slice_of
from logstream.core.replica.stage import Stage
from logstream.core.replica.vocabulary import RangeMoved
from logstream.protocol import messages as wire
from logstream.protocol.identity import NO_EPOCH, Digest, Epoch, Member


@dataclass(slots=True)
class Fetch:
    """A base that must be held before something can go on."""

    epoch: Epoch
    source: Member
    base: Digest
    install: wire.ViewInstall


class Learning:
    """What one member is learning, from whom, and for what."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.fetch: Fetch | None = None
        self.teacher: Member | None = None  # whom a learner learns from
        self.led = NO_EPOCH  # the highest epoch of which an installed leader was heard
        self.proposed: tuple[Epoch, History] | None = None  # the base that this candidate has put together

    def learn_from(self, leader: Member, own: History) -> Effect:
        """Begin to learn from this leader."""
        self.teacher = leader
        return self.ask(NO_EPOCH, leader, own)

    def propose(self, epoch: Epoch, base: History) -> None:
        """This candidate holds its base; what it learns from now on is built beside it."""
        self.stage.drop()
        self.proposed = epoch, base

    def _proposed_in(self, epoch: Epoch) -> History | None:
        return self.proposed[1] if self.proposed is not None and self.proposed[0] == epoch else None

    def ask(self, epoch: Epoch, whom: Member, own: History) -> Effect:
        """Ask for the slice that follows what is held, staged entries included."""
        assembly = self.stage.assembly
        return Send(whom, wire.Learn(epoch, self.stage.digest(own), assembly.gseq, assembly.rows))

    def heard(self, epoch: Epoch) -> None:
        """An installed leader of this epoch spoke: what a lower one sent is not certain any more."""
        if epoch > self.led:
            self.led, self.stage.certain = epoch, 0

    def overtaken(self, epoch: Epoch, me: Member) -> None:
        """A leader of this epoch is installed: nobody waits for the base of a lower one, nor who is left out for its.

        VIEW_INSTALL is not repeated to outsiders then, and the log may have been cut above the base since.
        """
        fetch = self.fetch
        if fetch is not None and (fetch.epoch, me in fetch.install.view.members) < (epoch, True):
            self.fetch = None

    def accepted(self, epoch: Epoch) -> None:
        """This member has accepted the view of this epoch: what was put together for another one is over."""
        self.stage.drop()
        if self._proposed_in(epoch) is None:
            self.proposed = None

    def joined(self, epoch: Epoch) -> None:
        """This member is active in the view of this epoch."""
        self.stage.drop()
        self.led = max(self.led, epoch)
        self.fetch = self.teacher = self.proposed = None

    def fetches(self, slice_: wire.CatchUp | wire.Snapshot, sender: Member) -> bool:
        """Is this slice of the base that is being fetched?"""
        fetch = self.fetch
        return fetch is not None and (slice_.epoch, sender) == (fetch.epoch, fetch.source)

    def continue_fetch(self, own: History, promised: Epoch) -> tuple[list[Effect], tuple[Fetch, History] | None]:
        """Ask for what is missing of the base; when nothing is, what was fetched for, and the history that holds it."""
        fetch = self.fetch
        if fetch is None or fetch.epoch < promised:  # R6: more was promised while the ranges moved
            self.fetch = None
            return [], None
        holder = self._proposed_in(fetch.epoch) or self.stage.holder_of(fetch.base, own) or self._beyond(fetch)
        if holder is None:
            return [self.ask(fetch.epoch, fetch.source, own)], None
        self.fetch = None
        return [], (fetch, holder)

    def _beyond(self, fetch: Fetch) -> History | None:
        """The log of a view that is installed may start above its base by now: then its checkpoint stands for it."""
        staged = self.stage.history
        if staged is None or self.led != fetch.epoch or staged.log.start - 1 <= fetch.base.end:
            return None
        return staged if self.stage.certain >= staged.log.start - 1 else None

    def take(self, slice_: wire.CatchUp | wire.Snapshot, own: History) -> bool:
        """Stage a slice; False if it brings nothing new. Raises RemoteProtocolError if it is not what it says.

        Only what came in the name of the leader that is heard now is certain: a candidate's base, or the log that it
        reads, may hold entries that are never committed.
        """
        news = self.stage.take(own, slice_)
        if slice_.epoch != self.led:
            self.stage.certain = 0
        return news

    def learn(self, slice_: wire.CatchUp | wire.Snapshot, sender: Member, own: History) -> list[Effect]:
        """Stage a slice from this learner's teacher, and ask for the next. Anybody else's is late.

        So is one that the teacher sent when it led before: what was not committed then may be gone now.
        """
        if self.fetch is not None or sender != self.teacher or slice_.epoch < self.led:
            return []
        self.heard(slice_.epoch)
        return [self.ask(NO_EPOCH, sender, own)] if self.take(slice_, own) else []

    def lag(self, snapshot: wire.Snapshot, leader: Member, own: History) -> tuple[list[Effect], History | None]:
        """A follower that lags behind the head of its leader's log learns the checkpoint, and then goes on from it.

        While it misses entries the first slice comes again and again: when nothing else came, it is asked on.
        """
        if snapshot.checkpoint <= own.end:
            return [], None
        news = self.stage.add_snapshot(own, snapshot)
        if self.stage.history is None:
            return ([self.ask(snapshot.epoch, leader, own)] if news or snapshot.first == 0 else []), None
        history = self.stage.history
        self.stage.drop()
        return [], history

    def commit_stage(self, epoch: Epoch, commit: int) -> None:
        """What the leader says is committed will not be taken back from the stage either."""
        if epoch == self.led:
            self.stage.commit_to(commit)

    def answer(self, learn: wire.Learn, asker: Member, own: History, last_view: Epoch) -> list[Effect]:
        """The next slice: a candidate reads this member's log as its STATE said, itself included (R5); everybody
        else reads the base that this candidate has put together, in its log or in its stage.

        Who has accepted another view since has no log of that one any more: its head may be cut above the base.
        """
        reads = learn.epoch == Epoch.of(learn.epoch.n, asker)
        proposed = None if reads else self._proposed_in(learn.epoch)
        if not reads and proposed is None and learn.epoch != last_view:
            return []
        return [Announce(RangeMoved(learn.epoch)), Send(asker, answer_from(proposed or own, learn))]


def answer_from(source: History, learn: wire.Learn) -> wire.CatchUp | wire.Snapshot:
    """What follows what both hold alike: entries, or the checkpoint where the source's head is cut above it."""
    held = common_prefix(source.log.digest(), learn.digest)
    if held >= source.log.start - 1:
        return catch_up(source, learn.epoch, held, source.end)
    return slice_of(source, learn.epoch, learn.rows if learn.checkpoint == source.log.start - 1 else 0)


def catch_up(history: History, epoch: Epoch, common: int, last: int) -> wire.CatchUp:
    """The slice of a history that follows what both hold alike."""
    entries = history.log.entries(common + 1, last, TCP_SLICE, SLICE_ENTRIES)
    return wire.CatchUp(epoch, common, entries, history.log.digest())
