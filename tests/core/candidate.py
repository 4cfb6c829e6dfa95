"""A candidate's view changes, its clock, and helpers that answer for the others."""

from __future__ import annotations

import random

from logstream.core.effects import Effect
from logstream.core.events import Due, Received
from logstream.core.replica.vocabulary import (
    Gathered,
    LearnerCaughtUp,
    ViewInstalled,
    ViewsKnown,
)
from logstream.core.view_change import ViewChange
from logstream.core.view_vocabulary import ChangeSettings
from logstream.protocol.identity import EMPTY_LOG, NO_EPOCH, CommitRule, Digest, Epoch, Member, View
from logstream.protocol.messages import (
    Message,
    State,
    StateExchange,
    ViewInstall,
    ViewInstallAck,
)
from tests.core.builders import A, sent


class Candidate:
    """A's view changes, its clock, and helpers that answer for the others."""

    def __init__(self, commit: CommitRule = "all", expected: int = 1, durable: bool = False) -> None:
        settings = ChangeSettings(commit, lambda: expected, durable=durable)
        self.core = ViewChange(A, settings, random.Random(1))
        self.now = 10.0

    def hears(self, sender: Member, message: Message) -> list[Effect]:
        return self.core.handle(Received(message, sender, self.now))

    def due(self, timer: object) -> list[Effect]:
        return self.core.handle(Due(timer, self.now))

    def told(self, event: object) -> list[Effect]:
        return self.core.handle(event)

    def state(
        self,
        member: Member,
        installed: View | None,
        digest: Digest = EMPTY_LOG,
        attempted: tuple[View, ...] = (),
        last_view: Epoch | None = None,
    ) -> list[Effect]:
        """This member promises, and says what it holds."""
        attempt = self.core.attempt
        assert attempt is not None
        last = last_view if last_view is not None else installed.epoch if installed else NO_EPOCH
        return self.hears(member, State(attempt.epoch, installed, attempted, last, digest))

    def answers(self, *members: Member, installed: View | None = None) -> list[Effect]:
        """These members promise, one after the other, and hold what A's view began with."""
        effects: list[Effect] = []
        for member in members:
            effects += self.state(member, installed or self.core.view)
        return effects

    def asks(self, effects: list[Effect]) -> list[Member]:
        """Whom an attempt that has just begun asks: A itself, and the others when that has promised (R2)."""
        assert asked(effects) == [A]
        assert self.core.attempt is not None
        return sorted(self.core.attempt.asked)

    def gathered(self, base: Digest = EMPTY_LOG) -> list[Effect]:
        """A's Replica holds the base."""
        attempt = self.core.attempt
        assert attempt is not None
        return self.told(Gathered(attempt.epoch, base))

    def acked_by(self, *members: Member) -> list[Effect]:
        """These members have stored the base."""
        attempt = self.core.attempt
        assert attempt is not None
        effects: list[Effect] = []
        for member in members:
            effects += self.hears(member, ViewInstallAck(attempt.epoch))
        return effects

    def caught_up(self, learner: Member) -> list[Effect]:
        return self.told(LearnerCaughtUp(learner, self.now))

    def installs(self) -> View:
        """Everybody who was asked answers and acks."""
        attempt = self.core.attempt
        assert attempt is not None
        for member in sorted(attempt.asked):
            self.state(member, self.core.view if member not in attempt.joiners else None)
        self.gathered()
        for member in sorted(attempt.asked):
            self.hears(member, ViewInstallAck(attempt.epoch))
        assert attempt.installed and attempt.install is not None
        return attempt.install.view

    def grows_by(self, learner: Member) -> None:
        """A view with this learner is installed."""
        self.caught_up(learner)
        self.is_in(self.installs())

    def is_in(self, current: View, attempted: tuple[View, ...] = ()) -> list[Effect]:
        """A is active in this view, and its Replica knows these attempts above it."""
        self.told(ViewsKnown(current, attempted))
        return self.told(ViewInstalled(current, leads=current.leader == A))

    def leads(self, current: View) -> None:
        """A leads this view."""
        self.is_in(current)
        self.now += 10.0  # growth is allowed again


def installs(effects: list[Effect]) -> dict[Member, ViewInstall]:
    return {one.to: one.message for one in sent(effects, ViewInstall) if isinstance(one.message, ViewInstall)}


def proposal(effects: list[Effect]) -> ViewInstall:
    """What everybody is sent alike."""
    proposed, *others = installs(effects).values()
    assert others == [proposed] * len(others)
    return proposed


def asked(effects: list[Effect]) -> list[Member]:
    return [one.to for one in sent(effects, StateExchange)]
