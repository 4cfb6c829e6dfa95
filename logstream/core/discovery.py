"""How a node finds its cluster, and what it says to those who look for theirs (R15, R20).

    LOOKING ----- a node with a view answers JOIN --------------------------> LEARNING
       |                                                                         |
       | nobody answered for a whole discovery period                            | a view admits us
       v                                                                         v
    FOUNDING -- the first view, of this member alone, is installed ---------> MEMBER

Of several nodes that look at the same time the one with the highest id founds: a JOIN of a higher one
starts the period again. Two clusters of one name that meet: an empty one (no topic) dissolves into the
other, the one with the lower leader id where both are empty; two that hold topics refuse each other.
A cluster that meets nobody cannot know of another one, so the leader of an empty cluster keeps asking.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum
from math import inf

from logstream.core.effects import Announce, Broadcast, CancelTimer, Effect, Halt, Note, SetTimer
from logstream.core.events import Due, Received
from logstream.core.failure_detector import LeaderFound, LeaderLost
from logstream.core.quorum import enough_for_all, floor_of, members_of
from logstream.core.replica.vocabulary import (
    CandidateHeard,
    DropIdentity,
    IdentityKept,
    Introduce,
    LeaderOverheard,
    LearnFrom,
    OtherClusterHeard,
    ViewInstalled,
    ViewLeft,
    ViewsKnown,
)
from logstream.core.topics import TopicClosed, TopicOpened
from logstream.core.view_vocabulary import ChangeFailed, FoundCluster, ShrinkToSelf
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Member, View
from logstream.protocol.messages import Join, JoinResponse, Present

JOINS = 6  # per discovery period
LEARNER_SILENT_S = 3.0
SILENCES = 2  # of so many seconds until a learner begins anew
SILENCES_PROMISED = 5  # a view may have it as a member without its knowing: as long as a silent member may be alive
LEADERLESS_S = 5.0  # after which members of an empty cluster look elsewhere
ASK_AGAIN_S = 1.0
UNANSWERED_MAX = 5  # discovery periods with heartbeats of the leader and without any answer


class Phase(Enum):
    """Where a node stands."""

    LOOKING = "looking for a cluster"
    LEARNING = "catching up"
    FOUNDING = "founding a cluster"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class JoinDue:
    """Ask again who is there."""


@dataclass(frozen=True, slots=True)
class DiscoveryTimedOut:
    """The discovery period is over."""


@dataclass(frozen=True, slots=True)
class LearnerTimedOut:
    """A learner has heard nobody for a while."""


@dataclass(frozen=True, slots=True)
class PresentDue:
    """A member without a leader says that it is there."""


class Discovery:
    """Finds the cluster of one node."""

    def __init__(
        self,
        me: Member,
        settings: tuple[str, ...],
        discovery_s: float,
        heartbeat_s: float,
        expected_nodes: Callable[[], int],
    ) -> None:
        self.me = me
        self.phase = Phase.LOOKING
        self._settings = settings  # "key=value" of those that a cluster must share
        self._discovery_s = discovery_s
        self._heartbeat_s = heartbeat_s
        self._disturbed = False  # somebody was heard in this period
        self._joins = 0  # said in this period
        self._unanswered = 0  # periods in a row
        self._cluster_id = ""
        self._view: View | None = None
        self._leads = False
        self._leaderless_since: float | None = None
        self._topics = 0  # that are committed
        self._keeps = False  # the log of these views holds one that is not known to be
        self._dissolving = False
        self._expected_nodes = expected_nodes
        self._member_of: View | None = None  # the newest view, installed or not, that counts on this member
        self._known: tuple[View, ...] = ()  # installed and attempted ones
        self._holder_heard_at = -inf  # another member of this cluster said that it holds a topic
        self._replaced: set[Member] = set()  # of these views: another incarnation of the node was heard (R15)
        self._heard_cluster = False  # its leader or a member without one, since LearnerTimedOut was set
        self._heard_leader = False  # since then
        self._silences = 0  # in a row, as a learner
        self._promised = False  # as a learner, to somebody's attempt
        self._warned: set[str] = set()

    def start(self) -> list[Effect]:
        """Begin to look."""
        return self._look()

    def handle(self, event: object) -> list[Effect]:
        """One event."""
        match event:
            case Received():
                return self._hear(event)
            case Due(timer=timer, at=at, due=due):
                return self._due(timer, late=at - due > self._heartbeat_s)
            case LeaderOverheard():
                self._heard_cluster = self._heard_leader = self._disturbed = True
                return []
            case ChangeFailed():  # a founder's own promise was not stored in time
                return self._look() if self.phase is Phase.FOUNDING else []
            case CandidateHeard():
                self._heard_cluster = self._promised = True
                return []
            case ViewInstalled():
                return self._view_installed(event)
            case ViewsKnown():
                self._learn_of(event.views)
                return self._view_accepted(event.views)
            case ViewLeft():
                self._leads = False  # and whether the view without us will be installed nobody knows yet
                return []
            case LeaderLost(at=at):
                self._leaderless_since = at
                self._leads = self._dissolving = False  # whoever has stepped down can dissolve nothing
                return [SetTimer(PresentDue(), 0.0)] if self._view else []
            case LeaderFound(leader=leader):
                self._leaderless_since = None
                return [CancelTimer(PresentDue()), *self._lead_on(leader)]
            case TopicOpened():
                self._topics += 1
                return []
            case TopicClosed():
                self._topics -= 1
                return [SetTimer(JoinDue(), ASK_AGAIN_S)] if self._leads and not self._topics else []
            case IdentityKept():
                self._keeps, self._dissolving = True, False
                return []
            case _:
                raise LocalProtocolError(f"discovery cannot handle {event!r}")

    def _hear(self, received: Received) -> list[Effect]:
        self._unanswered = 0
        match received.message:
            case Join() as join:
                self._meet(join.member)
                return self._asked(join, received)
            case JoinResponse() as answer:
                self._meet(answer.member)
                return self._answered(answer, received.at)
            case Present() as present:
                self._meet(present.member)
                return self._present(present, received)
            case _:
                raise LocalProtocolError(f"discovery cannot handle {received.message!r}")

    def _due(self, timer: Hashable, late: bool) -> list[Effect]:
        match timer:
            case JoinDue():
                return self._ask()
            case DiscoveryTimedOut():
                return self._period_over(late)
            case LearnerTimedOut():
                return self._learner_silent()
            case PresentDue():
                return [Announce(Introduce("", leader_heard=False)), SetTimer(PresentDue(), self._heartbeat_s)]
            case _:
                raise LocalProtocolError(f"discovery cannot handle the timer {timer!r}")

    # --- looking ---

    def _look(self) -> list[Effect]:
        self.phase, self._disturbed, self._joins = Phase.LOOKING, False, 0
        return [SetTimer(JoinDue(), 0.0), SetTimer(DiscoveryTimedOut(), self._discovery_s)]

    def _ask(self) -> list[Effect]:
        join = Join(self.me, self._cluster_id, settings=self._settings)
        if self.phase is Phase.LOOKING:
            self._joins += 1
            return [Broadcast(join), SetTimer(JoinDue(), self._discovery_s / JOINS)]
        if self.phase is Phase.LEARNING and self._heard_cluster:
            return [Broadcast(join)]
        if self.phase is Phase.LEARNING or (self.phase is Phase.MEMBER and self._leads and not self._topics):
            return [Broadcast(join), SetTimer(JoinDue(), ASK_AGAIN_S)]
        return []

    def _period_over(self, late: bool) -> list[Effect]:
        if self.phase is not Phase.LOOKING:
            return []
        if self._disturbed or late:  # R14: after a pause the period starts again, what came meanwhile is still unread
            return [*self._said_if_unanswered(), *self._look()]
        if self._joins < JOINS:  # a slow machine: the rest of them first
            return [SetTimer(DiscoveryTimedOut(), (JOINS - self._joins) * self._discovery_s / JOINS)]
        self.phase = Phase.FOUNDING
        return [Note("founding a cluster: nobody answered", {}), Announce(FoundCluster())]

    def _said_if_unanswered(self) -> list[Effect]:
        """Heartbeats come by multicast, answers to our broadcasts do not: only a person can mend that."""
        self._unanswered += self._disturbed
        if self._unanswered != UNANSWERED_MAX:
            return []
        text = "the leader is heard by multicast, but nobody answers broadcasts: `logstream netdiag` shows why"
        return [Note(text, {}, warning=True)]

    def _answered(self, answer: JoinResponse, at: float) -> list[Effect]:
        if answer.refusal and self.phase is not Phase.MEMBER:
            return [Halt(answer.refusal)]
        self._disturbed = True
        if self.phase is Phase.LOOKING and answer.leader is not None:
            return self._learn_from(answer.cluster_id, answer.leader)
        if answer.cluster_id == self._cluster_id:
            return self._found_again(answer, at)
        return self._met(answer.cluster_id, answer.leader, answer.log_end, answer.empty, at)

    def _learn_from(self, cluster_id: str, leader: Member) -> list[Effect]:
        self.phase, self._cluster_id, self._heard_cluster = Phase.LEARNING, cluster_id, False
        return [
            Note("cluster found", {"cluster_id": cluster_id, "leader": leader.node_id}),
            CancelTimer(DiscoveryTimedOut()),
            CancelTimer(JoinDue()),
            SetTimer(LearnerTimedOut(), LEARNER_SILENT_S),
            Announce(LearnFrom(cluster_id, leader)),
        ]

    def _found_again(self, answer: JoinResponse, at: float) -> list[Effect]:
        """Our own cluster answered: whoever lost its leader, or was left out, learns from the present one (R18)."""
        self._heard_cluster = True
        self._hear_holder(answer.empty, at)
        lost = self.phase is Phase.LEARNING or self._leaderless_since is not None
        if answer.leader is None or answer.leader == self.me or not lost:
            return []
        return [Announce(LearnFrom(answer.cluster_id, answer.leader))]

    def _view_accepted(self, views: tuple[View, ...]) -> list[Effect]:
        """Who has accepted a view answers JOIN and says that it is there, before anybody resumes it (R20)."""
        if not views or self.phase is Phase.MEMBER:
            return []
        self.phase, self._view, self._cluster_id = Phase.MEMBER, views[-1], views[-1].cluster_id
        effects: list[Effect] = [CancelTimer(DiscoveryTimedOut()), CancelTimer(LearnerTimedOut())]
        return [*effects, SetTimer(PresentDue(), 0.0)] if self._leaderless_since is not None else effects

    def _learner_silent(self) -> list[Effect]:
        """First ask who is there; only if nobody of the cluster is, begin anew: others may count on this member.

        Members without a leader learn so that this node is another member now, and may see that they are too few.
        """
        if self.phase is not Phase.LEARNING:
            return []
        self._silences = 0 if self._heard_cluster else self._silences + 1
        if self._silences < (SILENCES_PROMISED if self._promised else SILENCES):
            again: list[Effect] = [] if self._heard_leader else [SetTimer(JoinDue(), 0.0)]
            self._heard_cluster = self._heard_leader = False
            return [*again, SetTimer(LearnerTimedOut(), LEARNER_SILENT_S)]
        return [
            Note("nobody of the cluster was heard, looking again", {}, warning=True),
            Announce(DropIdentity()),
            SetTimer(LearnerTimedOut(), LEARNER_SILENT_S),  # who has accepted a view with topics keeps its identity
        ]

    def _view_installed(self, event: ViewInstalled) -> list[Effect]:
        self.phase, self._cluster_id = Phase.MEMBER, event.view.cluster_id
        self._view, self._leads = event.view, event.leads
        self._dissolving = self._dissolving and event.leads  # that was its leader's to decide
        self._learn_of((event.view,))
        effects: list[Effect] = [CancelTimer(DiscoveryTimedOut()), CancelTimer(LearnerTimedOut())]
        if self._dissolving and event.view.members == (self.me,):
            self._dissolving = False  # and if a topic was committed meanwhile it stays after all
            effects.append(Announce(DropIdentity()))
        return [*effects, SetTimer(JoinDue(), ASK_AGAIN_S)]

    def _lead_on(self, leader: Member) -> list[Effect]:
        """The loss of the leader before may be heard after this node's own view is installed: it leads all the same."""
        self._leads = self._view is not None and leader == self.me == self._view.leader
        return [SetTimer(JoinDue(), ASK_AGAIN_S)] if self._leads else []

    # --- answering ---

    def _asked(self, join: Join, received: Received) -> list[Effect]:
        """Somebody looks for a cluster; by rule R20 a looking node counts if its id is higher than ours."""
        asker = join.member
        if self.phase is not Phase.MEMBER:
            if asker is not None and (join.cluster_id or asker > self.me):
                self._disturbed = True
            return []
        if asker is not None and self._is_free(received.at, other_empty=True):
            return [Announce(DropIdentity())]  # nobody founds while this one is there, and nobody leads it
        if join.cluster_id and join.cluster_id == self._cluster_id:
            return []
        return [Announce(Introduce(received.source, self._leaderless_since is None, self._fault_of(join)))]

    def _fault_of(self, join: Join) -> str:
        """Why the asker may not join, in words; "" if it may."""
        asker = join.member
        if asker is None:
            return ""
        if asker.node_id == self.me.node_id and asker.address != self.me.address:
            return f"node name {asker.node_id!r} is in use at {self.me.address} (setting name)"  # R15
        mine = dict(one.split("=", 1) for one in self._settings)
        for setting in join.settings:
            key, _, value = setting.partition("=")
            if key in mine and mine[key] != value:
                return (
                    f"cluster settings differ from those of {self.me.node_id}: {key} is {value} here, {mine[key]} there"
                )
        return ""

    def _present(self, present: Present, received: Received) -> list[Effect]:
        """A member of a cluster that has no leader is there; if it is another cluster, let it hear of ours."""
        self._disturbed = True
        if present.cluster_id == self._cluster_id:
            self._heard_cluster = True  # it may need this learner to elect a leader
            self._hear_holder(present.empty, received.at)
        if self.phase is not Phase.MEMBER:
            return []
        heard = self._leaderless_since is None
        if present.cluster_id == self._cluster_id:
            return [Announce(Introduce(received.source, heard))] if heard and present.member != self.me else []
        effects = self._met(present.cluster_id, None, present.log_end, present.empty, received.at)
        return [*effects, Announce(Introduce(received.source, heard))]

    # --- two clusters of one name (R20) ---

    def _met(self, cluster_id: str, leader: Member | None, log_end: int, empty: bool, at: float) -> list[Effect]:
        if self.phase is not Phase.MEMBER or cluster_id == self._cluster_id or self._dissolving:
            return []
        effects: list[Effect] = [] if empty else [Announce(OtherClusterHeard(at))]
        if self._topics:
            return effects if empty else effects + self._refuse(cluster_id, log_end)
        if self._is_free(at, other_empty=empty):
            return [*effects, Announce(DropIdentity())]
        if self._leads and self._view is not None and (not empty or (leader is not None and leader > self.me)):
            return effects + self._dissolve(self._view)
        return effects

    def _hear_holder(self, empty: bool, at: float) -> None:
        if not empty:
            self._holder_heard_at = at

    def _meet(self, other: Member | None) -> None:
        """The node of a member is there under another identity: the member is gone for good (R15)."""
        if other is not None:
            members = members_of(self._known) - {self.me}
            self._replaced |= {one for one in members if one.node_id == other.node_id and one != other}

    def _is_free(self, at: float, other_empty: bool) -> bool:
        """May this member begin anew, or go to a cluster that is met? Only if it holds nothing and nobody leads it.

        Below the floor nothing was sequenced (Q10), and where too few of the view are left nobody can be needed. Else
        the others may go on without it: it must not found another history with newcomers meanwhile, but may join one
        that is there, unless a majority may have committed without it (Q9) and need it.
        """
        view, since = self._member_of, self._leaderless_since
        if self._topics or self._keeps or since is None or at - max(since, self._holder_heard_at) < LEADERLESS_S:
            return False
        if view is None or len(view.members) < floor_of(self._expected_nodes()):
            return True
        if not enough_for_all(members_of(self._known) - self._replaced, self._known):
            return True
        return not other_empty and (view.commit == "all" or len(view.members) <= 2)

    def _learn_of(self, views: tuple[View, ...]) -> None:
        self._known, self._keeps = views, False
        self._replaced &= members_of(views)
        self._member_of = next((view for view in reversed(views) if self.me in view.members), self._member_of)

    def _dissolve(self, view: View) -> list[Effect]:
        self._dissolving = True
        note = Note("dissolving into another cluster: this one holds no topic", {"cluster_id": self._cluster_id})
        return [note, Announce(DropIdentity() if view.members == (self.me,) else ShrinkToSelf())]

    def _refuse(self, cluster_id: str, log_end: int) -> list[Effect]:
        if cluster_id in self._warned:
            return []
        self._warned.add(cluster_id)
        text = "another cluster of this name holds topics too; they refuse each other: stop one of them"
        fields: dict[str, object] = {"own_cluster_id": self._cluster_id, "other_cluster_id": cluster_id}
        return [Note(text, {**fields, "other_log_end": log_end}, warning=True)]
