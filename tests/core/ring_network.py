"""Several nodes' elections on a network in one list: messages arrive in the order in which they were sent, unless told
otherwise. Timers do not run by themselves; a test says which one fires."""

from __future__ import annotations

import random
from collections.abc import Iterable

from logstream.core.effects import Announce, Effect, Note, Send
from logstream.core.election import Elections, ElectionSettings
from logstream.core.events import Due, Received
from logstream.core.failure_detector import LeaderLost
from logstream.core.replica.vocabulary import ViewsKnown
from logstream.core.view_vocabulary import CandidateElected
from logstream.protocol.identity import Member, View
from logstream.protocol.messages import Election, Message


class RingNetwork:
    """The elections of these members, all of whom know this view and no leader."""

    def __init__(self, view: View, alive: Iterable[Member]) -> None:
        self.nodes = {member: Elections(member, ElectionSettings(), random.Random(1)) for member in alive}
        self.sent: list[tuple[Member, Member, Message]] = []  # under way: from, to, what
        self.elections = 0  # messages ELECTION so far
        self.winners: list[Member] = []
        self.notes: list[tuple[Member, str]] = []
        for node in self.nodes.values():
            node.handle(ViewsKnown(view, ()))

    def lose_leader(self, *members: Member) -> None:
        """These members are leaderless, and begin to probe."""
        for member in members:
            self.do(member, self.nodes[member].handle(LeaderLost(10.0)))

    def fires(self, member: Member, timer: object) -> None:
        """This timer of this member fires."""
        self.do(member, self.nodes[member].handle(Due(timer, 10.0)))

    def do(self, member: Member, effects: list[Effect]) -> None:
        """Note what this member does."""
        for effect in effects:
            match effect:
                case Send(to=to, message=message):
                    self.sent.append((member, to, message))
                    self.elections += isinstance(message, Election)
                case Announce(event=CandidateElected()):
                    self.winners.append(member)
                case Note(text=text):
                    self.notes.append((member, text))

    def deliver(self, at: int = 0) -> None:
        """Deliver one message; to a dead member it is lost."""
        sender, to, message = self.sent.pop(at)
        if to in self.nodes:
            self.do(to, self.nodes[to].handle(Received(message, sender, 10.0)))

    def settle(self, dice: random.Random | None = None) -> None:
        """Deliver everything, in order or in the order of the dice."""
        for _ in range(10_000):
            if not self.sent:
                return
            self.deliver(dice.randrange(len(self.sent)) if dice else 0)
        raise AssertionError("the ring never comes to rest")
