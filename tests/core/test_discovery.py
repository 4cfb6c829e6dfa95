"""Discovery: how a node finds its cluster, when it founds one, and what two clusters of one name do (R15, R20)."""

from __future__ import annotations

import pytest

from logstream.core.discovery import (
    UNANSWERED_MAX,
    Discovery,
    DiscoveryTimedOut,
    JoinDue,
    LearnerTimedOut,
    Phase,
    PresentDue,
)
from logstream.core.effects import Announce, Broadcast, CancelTimer, Effect, Halt, Note, SetTimer
from logstream.core.events import Due, Received, Via
from logstream.core.failure_detector import LeaderFound, LeaderLost
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
from logstream.core.topics import Topic, TopicClosed, TopicOpened
from logstream.core.view_vocabulary import ChangeFailed, FoundCluster, ShrinkToSelf
from logstream.protocol.identity import NO_EPOCH, Member, View
from logstream.protocol.messages import Join, JoinResponse, Message, Present
from tests.core.builders import A, B, C, announced, epoch, view

SETTINGS = ("heartbeat_s=0.25",)


class Looking:
    """B's discovery and its clock; the period is 0.3 s."""

    def __init__(self) -> None:
        self.core = Discovery(B, SETTINGS, 0.3, 0.25, lambda: 5)
        self.now = 10.0

    def hears(self, message: Message, sender: Member | None, source: str = "127.0.0.1:7") -> list[Effect]:
        return self.core.handle(Received(message, sender, self.now, Via.BROADCAST, source=source))

    def due(self, timer: object, late_s: float = 0.0) -> list[Effect]:
        return self.core.handle(Due(timer, self.now, self.now - late_s))

    def told(self, event: object) -> list[Effect]:
        return self.core.handle(event)

    def asks(self, times: int = 6) -> None:
        for _ in range(times):
            self.due(JoinDue())

    def is_member(self, *members: Member, leads: bool = True, topics: int = 0) -> None:
        self.told(ViewInstalled(view(1, *members, leader=B if leads else members[0]), leads))
        self.told(LeaderFound(B))
        for number in range(topics):
            self.told(TopicOpened(Topic(number + 1, f"t{number}", 1)))


@pytest.fixture
def b() -> Looking:
    """B has begun to look."""
    node = Looking()
    node.core.start()
    return node


def answer(leader: Member | None = A, cluster: str = "c2", empty: bool = False, refusal: str = "") -> JoinResponse:
    return JoinResponse(A, cluster, leader, (A,), NO_EPOCH, 5, empty, refusal)


# --- looking and founding ---


def test_a_node_asks_at_once_and_six_times_in_a_period() -> None:
    node = Looking()
    assert node.core.start() == [SetTimer(JoinDue(), 0.0), SetTimer(DiscoveryTimedOut(), 0.3)]
    assert node.due(JoinDue()) == [Broadcast(Join(B, settings=SETTINGS)), SetTimer(JoinDue(), 0.3 / 6)]


def test_who_hears_a_leader_and_no_answers_says_so_once_and_founds_nothing(b: Looking) -> None:
    said: list[Effect] = []
    for period in range(2 * UNANSWERED_MAX):
        b.told(LeaderOverheard())
        effects = b.due(DiscoveryTimedOut())
        assert announced(effects, FoundCluster) == []
        said += [period for effect in effects if isinstance(effect, Note)]
    assert said == [UNANSWERED_MAX - 1]


def test_an_answer_ends_the_count_of_periods_without_one(b: Looking) -> None:
    for _ in range(2):
        for _ in range(UNANSWERED_MAX - 1):
            b.told(LeaderOverheard())
            assert not any(isinstance(effect, Note) for effect in b.due(DiscoveryTimedOut()))
        b.hears(answer(leader=None), A)


def test_who_hears_nobody_founds(b: Looking) -> None:
    b.asks()
    assert announced(b.due(DiscoveryTimedOut()), FoundCluster) == [FoundCluster()]
    assert b.core.phase is Phase.FOUNDING


def test_a_founder_whose_own_promise_was_not_stored_in_time_looks_again(b: Looking) -> None:
    b.asks()
    b.due(DiscoveryTimedOut())
    assert b.told(ChangeFailed(epoch(1, B))) == [SetTimer(JoinDue(), 0.0), SetTimer(DiscoveryTimedOut(), 0.3)]
    assert b.core.phase is Phase.LOOKING


def test_nobody_founds_before_it_has_asked_six_times(b: Looking) -> None:
    """R20: at least six JOINs. A slow machine may not have come to send them in time."""
    b.asks(4)
    effects = b.due(DiscoveryTimedOut())
    assert not announced(effects, FoundCluster)
    assert [one.timer for one in effects if isinstance(one, SetTimer)] == [DiscoveryTimedOut()]
    b.asks(2)
    assert announced(b.due(DiscoveryTimedOut()), FoundCluster)


def test_a_node_that_was_paused_looks_for_a_whole_period_again(b: Looking) -> None:
    """R14: a timer that fires more than one heartbeat late means a pause: the discovery timer starts again."""
    b.asks()
    assert not announced(b.due(DiscoveryTimedOut(), late_s=5.0), FoundCluster)
    assert b.core.phase is Phase.LOOKING


@pytest.mark.parametrize(
    ("message", "sender"),
    [
        (Join(C, settings=SETTINGS), C),
        (Join(A, "c2", settings=SETTINGS), A),
        (answer(leader=None), A),
        (Present(A, "c2", 0, True), A),
    ],
    ids=["a looking node with a higher id", "a node of a cluster", "an answer without a leader", "a leaderless member"],
)
def test_whatever_is_heard_of_the_cluster_starts_the_period_again(b: Looking, message: Message, sender: Member) -> None:
    b.asks()
    b.hears(message, sender)
    assert not announced(b.due(DiscoveryTimedOut()), FoundCluster)
    b.asks()
    assert announced(b.due(DiscoveryTimedOut()), FoundCluster)


def test_a_heartbeat_that_is_heard_starts_the_period_again(b: Looking) -> None:
    """Answers may be lost while the multicast comes through."""
    b.asks()
    b.told(LeaderOverheard())
    assert not announced(b.due(DiscoveryTimedOut()), FoundCluster)


@pytest.mark.parametrize(
    ("message", "sender"),
    [(Join(A, settings=SETTINGS), A), (Join(None), None), (Join(B, settings=SETTINGS), B)],
    ids=["a looking node with a lower id", "a client", "itself"],
)
def test_lower_ids_and_clients_keep_nobody_from_founding(b: Looking, message: Message, sender: Member | None) -> None:
    b.asks()
    b.hears(message, sender)
    assert announced(b.due(DiscoveryTimedOut()), FoundCluster)


def test_an_answer_that_names_a_leader_makes_a_learner(b: Looking) -> None:
    effects = b.hears(answer(), A)
    assert effects == [
        Note("cluster found", {"cluster_id": "c2", "leader": "a"}),
        CancelTimer(DiscoveryTimedOut()),
        CancelTimer(JoinDue()),
        SetTimer(LearnerTimedOut(), 3.0),
        Announce(LearnFrom("c2", A)),
    ]


def test_a_refusal_halts_the_newcomer_with_the_reason(b: Looking) -> None:
    assert b.hears(answer(refusal="no"), A) == [Halt("no")]


def test_a_learner_that_hears_nobody_for_three_seconds_asks_and_then_begins_anew(b: Looking) -> None:
    """R20: others may count on this member: only if nobody of the cluster answers it is nobody's any more."""
    b.hears(answer(), A)
    b.told(LeaderOverheard())
    assert b.due(LearnerTimedOut()) == [SetTimer(LearnerTimedOut(), 3.0)]
    assert b.due(LearnerTimedOut()) == [SetTimer(JoinDue(), 0.0), SetTimer(LearnerTimedOut(), 3.0)]
    assert announced(b.due(LearnerTimedOut()), DropIdentity) == [DropIdentity()]


def test_a_learner_without_a_leader_says_so_and_the_last_members_see_that_they_are_too_few(b: Looking) -> None:
    """Whoever waits for a cluster that nobody can lead would wait for ever, and keep it from beginning anew."""
    b.hears(answer(cluster="c2"), A)
    b.hears(Present(A, "c2", 0, True), A)
    assert b.due(LearnerTimedOut()) == [SetTimer(JoinDue(), 0.0), SetTimer(LearnerTimedOut(), 3.0)]
    member = Looking()
    member.told(ViewInstalled(view(1, A, B, C), leads=False))
    member.told(LeaderLost(member.now))
    member.now += 60.0
    learners = Member("a", "new"), Member("c", "new")
    said = [announced(member.hears(Join(one, "c1"), one), DropIdentity) for one in learners]
    assert said == [[], [DropIdentity()]]


def test_a_learner_that_promised_waits_as_long_as_a_silent_member_may_be_alive(b: Looking) -> None:
    """A view may have it as a member without its knowing; beginning anew would take its vote from the others."""
    b.hears(answer(), A)
    b.told(CandidateHeard(epoch(2, A)))
    for _ in range(5):
        assert announced(b.due(LearnerTimedOut()), DropIdentity) == []
    assert announced(b.due(LearnerTimedOut()), DropIdentity) == [DropIdentity()]


# --- answering ---


def test_a_member_answers_who_looks(b: Looking) -> None:
    b.is_member(B, A)
    asked = b.hears(Join(C, settings=SETTINGS), C, "127.0.0.1:99")
    assert asked == [Announce(Introduce("127.0.0.1:99", leader_heard=True))]


def test_a_member_without_a_leader_says_so(b: Looking) -> None:
    b.is_member(A, B, leads=False)
    b.told(LeaderLost(b.now))
    assert b.hears(Join(None), None) == [Announce(Introduce("127.0.0.1:7", leader_heard=False))]


def test_a_member_without_a_leader_announces_itself_each_heartbeat(b: Looking) -> None:
    b.is_member(A, B, leads=False)
    assert b.told(LeaderLost(b.now)) == [SetTimer(PresentDue(), 0.0)]
    assert b.due(PresentDue()) == [Announce(Introduce("", leader_heard=False)), SetTimer(PresentDue(), 0.25)]
    assert b.told(LeaderFound(A)) == [CancelTimer(PresentDue())]


def test_a_node_that_only_looks_does_not_answer(b: Looking) -> None:
    assert b.hears(Join(A, settings=SETTINGS), A) == []


def test_a_difference_in_the_settings_is_refused_by_the_name_of_the_key(b: Looking) -> None:
    b.is_member(B)
    [effect] = b.hears(Join(C, settings=("heartbeat_s=1.0",)), C)
    assert isinstance(effect, Announce) and isinstance(effect.event, Introduce)
    assert effect.event.refusal == "cluster settings differ from those of b: heartbeat_s is 1.0 here, 0.25 there"


def test_the_same_name_at_another_address_is_refused(b: Looking) -> None:
    """R15: the newcomer halts with a clear message."""
    b.is_member(B)
    twin = Member("b", "other", "127.0.0.1:9000")
    [effect] = b.hears(Join(twin, settings=SETTINGS), twin)
    assert isinstance(effect, Announce) and isinstance(effect.event, Introduce)
    assert "setting name" in effect.event.refusal


def test_a_newer_process_of_the_same_address_is_not_refused(b: Looking) -> None:
    b.is_member(B)
    newer = Member("b", "other", B.address)
    assert b.hears(Join(newer, settings=SETTINGS), newer) == [Announce(Introduce("127.0.0.1:7", leader_heard=True))]


# --- two clusters of one name ---


def test_an_empty_cluster_dissolves_into_one_that_holds_topics(b: Looking) -> None:
    b.is_member(B, C)
    effects = b.hears(answer(leader=A, empty=False), A)
    assert announced(effects, OtherClusterHeard) == [OtherClusterHeard(10.0)]
    assert announced(effects, ShrinkToSelf) == [ShrinkToSelf()]


def test_a_leader_that_is_one_no_more_before_it_has_dissolved_drops_its_identity_like_any_member(b: Looking) -> None:
    b.is_member(A, B)
    assert announced(b.hears(answer(), A), ShrinkToSelf)
    b.told(LeaderLost(b.now))
    b.now += 5.0
    assert announced(b.hears(answer(), A), DropIdentity) == [DropIdentity()]


def test_where_a_majority_may_have_committed_without_it_a_member_keeps_its_identity(b: Looking) -> None:
    """Q9, Q10: others may hold what never came here, and then two clusters would hold records."""
    b.told(ViewInstalled(view(1, A, B, C, commit="majority"), leads=False))
    b.told(LeaderLost(b.now))
    b.now += 60.0
    assert announced(b.hears(answer(), A), DropIdentity) == []


def test_where_too_few_are_left_for_a_quorum_it_is_not_needed_any_more(b: Looking) -> None:
    """R15: another incarnation of a node was heard, so the member is gone for good."""
    b.told(ViewInstalled(view(1, A, B, C, commit="majority"), leads=False))
    b.told(LeaderLost(b.now))
    b.now += 60.0
    assert announced(b.hears(Present(Member("a", "new"), "c2", 3, False), A), DropIdentity) == []
    assert announced(b.hears(Present(Member("c", "new"), "c2", 3, False), C), DropIdentity) == [DropIdentity()]


def test_a_view_without_it_may_never_be_installed_so_the_one_before_still_counts_on_it(b: Looking) -> None:
    b.told(ViewInstalled(view(1, A, B, C, commit="majority"), leads=False))
    b.told(ViewLeft(view(2, A, C, commit="majority")))
    b.told(LeaderLost(b.now))
    b.now += 60.0
    newcomer = Member("d", "new")
    assert announced(b.hears(Join(newcomer), newcomer), DropIdentity) == []
    assert announced(b.hears(Present(newcomer, "c2", 3, False), newcomer), DropIdentity) == []


def test_a_view_of_one_that_is_gone_leaves_the_others_free(b: Looking) -> None:
    """A shrank the cluster to itself and dissolved it: B and C know of both views, and of the last nobody is left."""
    b.told(ViewsKnown(view(3, A, B, C), (view(4, A),)))
    b.told(LeaderLost(b.now))
    b.now += 60.0
    other = Member("d", "new")
    assert announced(b.hears(Present(other, "c2", 0, True), other), DropIdentity) == []
    again = Member("a", "new")
    assert announced(b.hears(Present(again, "c2", 0, True), again), DropIdentity) == [DropIdentity()]


def test_while_a_member_is_heard_that_holds_something_it_is_needed(b: Looking) -> None:
    b.is_member(A, B, C, leads=False)
    b.told(LeaderLost(b.now))
    b.now += 60.0
    b.hears(Present(C, "c1", 3, False), C)
    assert announced(b.hears(answer(), A), DropIdentity) == []
    b.now += 5.0
    assert announced(b.hears(answer(), A), DropIdentity) == [DropIdentity()]


@pytest.mark.parametrize(
    "installed",
    [view(1, A, B, C, commit="all"), view(1, A, B, commit="majority")],
    ids=["all commit together", "both commit together"],
)
def test_where_nothing_is_committed_without_it_an_empty_member_drops_its_identity(b: Looking, installed: View) -> None:
    b.told(ViewInstalled(installed, leads=False))
    b.told(LeaderLost(b.now))
    b.now += 5.0
    assert announced(b.hears(answer(), A), DropIdentity) == [DropIdentity()]


def test_an_empty_member_without_a_leader_does_not_keep_newcomers_from_founding_for_ever(b: Looking) -> None:
    b.told(ViewInstalled(view(1, A, B, C), leads=False))
    b.told(LeaderLost(b.now))
    b.now += 4.9
    again = Member("a", "new"), Member("c", "new")
    assert [announced(b.hears(Join(one), one), DropIdentity) for one in again] == [[], []]
    b.now += 0.1
    assert announced(b.hears(Join(again[0]), again[0]), DropIdentity) == [DropIdentity()]


def test_who_holds_a_topic_that_is_not_known_to_be_committed_answers_those_who_look(b: Looking) -> None:
    """Else they found beside it when one PRESENT is lost, and dissolve into it when the next one is not."""
    b.told(ViewInstalled(view(1, A, B, C), leads=False))
    b.told(LeaderLost(b.now))
    b.now += 5.0
    again = Member("a", "new"), Member("c", "new")
    for one in again:
        b.hears(Join(one), one)
    assert announced(b.hears(Join(again[0]), again[0]), DropIdentity) == [DropIdentity()]
    b.told(IdentityKept())
    assert b.hears(Join(again[0]), again[0]) == [Announce(Introduce("127.0.0.1:7", leader_heard=False))]
    b.told(ViewsKnown(view(2, A, B, C), ()))  # its log may be another one now
    assert announced(b.hears(Join(again[0]), again[0]), DropIdentity) == [DropIdentity()]


def test_it_begins_nothing_with_newcomers_while_the_others_may_go_on_without_it(b: Looking) -> None:
    """Behind a partition the others are enough for a view that takes records; with newcomers there would be two."""
    b.told(ViewInstalled(view(1, A, B, C), leads=False))
    b.told(LeaderLost(b.now))
    b.now += 60.0
    newcomer = Member("d", "new")
    assert announced(b.hears(Join(newcomer), newcomer), DropIdentity) == []
    assert announced(b.hears(Present(newcomer, "c2", 0, True), newcomer), DropIdentity) == []
    assert announced(b.hears(Present(newcomer, "c2", 3, False), newcomer), DropIdentity) == [DropIdentity()]


def test_a_cluster_of_one_dissolves_at_once(b: Looking) -> None:
    b.is_member(B)
    assert announced(b.hears(answer(leader=A, empty=False), A), DropIdentity) == [DropIdentity()]


def test_a_shrunk_cluster_drops_its_identity_in_the_same_turn(b: Looking) -> None:
    b.is_member(B, C)
    b.hears(answer(leader=A, empty=False), A)
    assert announced(b.told(ViewInstalled(view(2, B), leads=True)), DropIdentity) == [DropIdentity()]


def test_of_two_empty_clusters_the_lower_leader_yields(b: Looking) -> None:
    b.is_member(B)
    assert announced(b.hears(answer(leader=C, empty=True), C), DropIdentity) == [DropIdentity()]


def test_of_two_empty_clusters_the_higher_leader_stays(b: Looking) -> None:
    b.is_member(B)
    assert b.hears(answer(leader=A, empty=True), A) == []


def test_two_clusters_that_hold_topics_refuse_each_other_once_and_loudly(b: Looking) -> None:
    b.is_member(B, topics=1)
    effects = b.hears(answer(empty=False), A) + b.hears(answer(empty=False), A)
    [note] = [one for one in effects if isinstance(one, Note)]
    assert note.warning
    assert note.fields == {"own_cluster_id": "c1", "other_cluster_id": "c2", "other_log_end": 5}
    assert not announced(effects, DropIdentity)


def test_a_follower_of_an_empty_cluster_yields_only_after_five_leaderless_seconds(b: Looking) -> None:
    b.is_member(A, B, leads=False)
    b.told(LeaderLost(b.now))
    b.now += 4.9
    assert not announced(b.hears(answer(empty=False), A), DropIdentity)
    b.now += 0.1
    assert announced(b.hears(answer(empty=False), A), DropIdentity)


def test_the_leader_of_an_empty_cluster_keeps_asking(b: Looking) -> None:
    b.is_member(B)
    assert b.due(JoinDue()) == [Broadcast(Join(B, "c1", settings=SETTINGS)), SetTimer(JoinDue(), 1.0)]


def test_the_leader_of_a_cluster_with_topics_does_not(b: Looking) -> None:
    b.is_member(B, topics=1)
    assert b.due(JoinDue()) == []


def test_the_loss_of_the_leader_before_is_heard_late_and_the_new_one_still_asks(b: Looking) -> None:
    """The failure detector judges by the view that it knows; what it says of that comes after the next is installed."""
    b.told(ViewInstalled(view(2, B), leads=True))
    b.told(LeaderLost(b.now))
    b.due(JoinDue())
    assert SetTimer(JoinDue(), 1.0) in b.told(LeaderFound(B))
    assert b.due(JoinDue()) == [Broadcast(Join(B, "c1", settings=SETTINGS)), SetTimer(JoinDue(), 1.0)]


@pytest.mark.parametrize(("leads", "topics", "asks"), [(True, 1, True), (True, 2, False), (False, 1, False)])
def test_a_leader_whose_last_topic_is_deleted_asks_again(b: Looking, leads: bool, topics: int, asks: bool) -> None:
    """R20: its cluster is empty now, and the next one that it meets may be as empty, with a lower leader."""
    b.is_member(A, B, leads=leads, topics=topics)
    b.due(JoinDue())
    assert b.told(TopicClosed(Topic(1, "t0", 1))) == ([SetTimer(JoinDue(), 1.0)] if asks else [])
