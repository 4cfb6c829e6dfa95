"""What a topic keeps: judged at the door, decided by the leader, the same on every member, also from a checkpoint."""

from __future__ import annotations

import pytest

from logstream.core.effects import Announce
from logstream.core.replica.history import Checkpoint, History
from logstream.core.replica.retention import Keep
from logstream.core.replica.snapshot import Assembly, slice_of
from logstream.core.replica.trimming import Trimming
from logstream.core.replica.vocabulary import (
    DecisionCommitted,
    Produced,
    ProposeDecision,
    Rejected,
)
from logstream.core.topics import Topic, TopicOpened, TopicRevised, Topics
from logstream.protocol.errors import ErrorCode, RemoteProtocolError
from logstream.protocol.messages import (
    AlterTopic,
    CreateTopic,
    EntryKind,
    Heartbeat,
    Message,
    Metadata,
    Replicate,
    TopicAltered,
    TopicCreated,
    TopicDeleted,
    Trimmed,
    ViewInstall,
)
from logstream.protocol.retention import AS_CLUSTER, TopicRetention
from tests.core.builders import A, B, announced, entries_of, epoch, following, history_of, view
from tests.core.replica_node import ReplicaNode
from tests.core.test_gateway import TOPIC, Broker, errors, replies, request_of
from tests.core.test_leadership import Leads, refusals
from tests.core.test_replica_checkpoint import answers
from tests.core.test_retention import SIZE
from tests.core.test_retention import Leads as Retaining

FEW, BRIEF = TopicRetention(retention_records=10), TopicRetention(retention_s=60.0)


def altering(retention: TopicRetention = FEW, *to_default: str) -> AlterTopic:
    return AlterTopic("t", retention, to_default)


def alter(a: Leads, wanted: AlterTopic, request: int = 1) -> list[object]:
    return a.core.decide(ProposeDecision(request, wanted, a.now))  # type: ignore[return-value]


# --- at the door ---


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (AlterTopic("t", AS_CLUSTER), "nothing is to be altered"),
        (AlterTopic("t", TopicRetention(retention_bytes=-1)), "retention_bytes"),
        (AlterTopic("t", TopicRetention(retention_records=-5)), "retention_records"),
        (AlterTopic("t", TopicRetention(retention_s=1e10)), "retention_s"),
        (AlterTopic("t", AS_CLUSTER, ("retention_days",)), "retention_days"),
        (AlterTopic("t", FEW, ("retention_records",)), "retention_records"),
        (CreateTopic("u", 1, TopicRetention(retention_s=-1.0)), "retention_s"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_by_its_name(command: Message, named: str) -> None:
    [reply] = replies(Broker().asked(command))
    assert reply.message.error is ErrorCode.INVALID_REQUEST  # type: ignore[union-attr]
    assert named in reply.message.text  # type: ignore[union-attr]


def test_what_is_wanted_is_proposed_and_answered_with_the_topics_id() -> None:
    leader = Broker()
    effects = leader.asked(AlterTopic("t", FEW, ("retention_s",)))
    [proposed] = announced(effects, ProposeDecision)
    assert proposed.decision == altering(FEW, "retention_s")  # type: ignore[attr-defined]
    assert errors(leader.told(Produced(request_of(effects), 1))) == [ErrorCode.NONE]


def test_a_topic_that_is_not_there_cannot_be_altered() -> None:
    assert errors(Broker().asked(AlterTopic("u", FEW))) == [ErrorCode.UNKNOWN_TOPIC]


def test_a_follower_leaves_it_to_the_leader() -> None:
    assert request_of(Broker(leads=False).asked(AlterTopic("t", FEW))) == 1


def test_a_topic_is_created_with_its_limits() -> None:
    [proposed] = announced(Broker().asked(CreateTopic("u", 1, FEW)), ProposeDecision)
    assert proposed.decision == TopicCreated("u", 1, FEW)  # type: ignore[attr-defined]


def test_metadata_has_a_topics_own_limits_and_those_in_force() -> None:
    leader = Broker()
    leader.core.catalog._retention = TopicRetention(100, 5, 0.0)
    leader.told(TopicRevised(Topic(1, "t", 4, BRIEF)))
    [reply] = replies(leader.asked(Metadata(())))
    [topic] = reply.message.topics  # type: ignore[union-attr]
    assert (topic.retention, topic.in_force) == (BRIEF, TopicRetention(100, 5, 60.0))


def test_what_was_altered_before_its_topic_was_made_anew_is_not_of_the_new_one() -> None:
    leader = Broker()
    leader.told(TopicOpened(again := Topic(9, "t", 1)))
    leader.told(TopicRevised(Topic(1, "t", 4, FEW)))
    assert leader.core.catalog.by_name == {"t": again} and again != TOPIC


# --- the leader decides ---


def test_the_decision_has_all_limits_of_the_topic_not_the_changed_ones_alone() -> None:
    a = Leads(history_of(1), view(1, A, B))
    alter(a, altering(FEW))
    alter(a, altering(BRIEF))
    alter(a, altering(AS_CLUSTER, "retention_records"))
    decided = [TopicAltered(1, "t", TopicRetention(None, *rest)) for rest in ((10, None), (10, 60.0), (None, 60.0))]
    made = History()
    made.sequence_decision(epoch(1), TopicCreated("t", 4))
    for decision in decided:
        made.sequence_decision(epoch(1), decision)
    assert a.history.log.chain == made.log.chain
    assert a.history.retention_of(1) == BRIEF


def test_an_alteration_is_answered_once_it_is_committed() -> None:
    node = ReplicaNode(A)
    node.leads(view(1, A, B), B)
    node.creates_topic()
    node.flushed()
    node.acked_by(B)
    node.flushed()
    assert announced(node.told(ProposeDecision(5, altering(), node.now)), Produced) == []
    node.flushed()
    effects = node.acked_by(B) + node.flushed()
    assert announced(effects, Produced) == [Produced(5, 1)]
    assert announced(effects, DecisionCommitted) == [DecisionCommitted(2, TopicAltered(1, "t", FEW))]


def test_what_changes_nothing_appends_nothing_and_is_answered_all_the_same() -> None:
    """The first answer may have been lost: whoever asks again must hear that it is so."""
    node = ReplicaNode(A)
    node.leads(view(1, A, B), B)
    node.creates_topic()
    node.told(ProposeDecision(5, altering(), node.now))
    again = node.told(ProposeDecision(6, altering(), node.now))
    assert node.core.history.end == 2 and announced(again, Produced) == []
    node.flushed()
    assert announced(node.acked_by(B) + node.flushed(), Produced) == [Produced(0, 1), Produced(5, 1), Produced(6, 1)]
    assert announced(node.told(ProposeDecision(7, altering(), node.now)) + node.flushed(), Produced) == [Produced(7, 1)]


def test_a_topic_that_is_deleted_cannot_be_altered_and_one_made_anew_has_no_limits_from_before() -> None:
    a = Leads(history_of(1), view(1, A, B))
    alter(a, altering(FEW))
    a.core.decide(ProposeDecision(1, TopicDeleted(1, "t"), a.now))
    assert refusals(alter(a, altering())) == [ErrorCode.UNKNOWN_TOPIC]  # type: ignore[arg-type]
    assert a.history.end == 3
    a.core.decide(ProposeDecision(1, TopicCreated("t", 1), a.now))
    assert a.history.retention_of(4) == AS_CLUSTER
    alter(a, altering(BRIEF))
    assert a.history.retention_of(4) == BRIEF


def test_where_nobody_leads_it_is_for_another_time() -> None:
    [rejected] = announced(ReplicaNode(A).told(ProposeDecision(5, altering(), 1.0)), Rejected)
    assert isinstance(rejected, Rejected) and rejected.error is ErrorCode.RETRY


# --- every member ---


def test_the_registry_says_what_a_topic_keeps_now() -> None:
    topics = Topics()
    topics.handle(DecisionCommitted(3, TopicCreated("t", 2, FEW)))
    effects = topics.handle(DecisionCommitted(9, TopicAltered(3, "t", BRIEF)))
    assert Announce(TopicRevised(Topic(3, "t", 2, BRIEF))) in effects
    assert topics.by_id == {3: Topic(3, "t", 2, BRIEF)}


def test_no_leader_alters_what_is_not_there() -> None:
    history = history_of(1)
    with pytest.raises(RemoteProtocolError, match="altered and does not exist"):
        history.sequence_decision(epoch(1), TopicAltered(2, "t", FEW))
    assert history.end == 1


def test_an_alteration_that_is_cut_from_the_log_is_taken_back() -> None:
    history = history_of(1)
    history.sequence_decision(epoch(1), TopicAltered(1, "t", FEW))
    history.sequence_decision(epoch(1), TopicAltered(1, "t", BRIEF))
    kept = [history.retention_of(1)]
    for after in (2, 1):
        history.truncate(after)
        kept.append(history.retention_of(1))
    assert kept == [BRIEF, FEW, AS_CLUSTER]


def cut(history: History) -> History:
    """With its head cut as far as that goes."""
    history.commit_to(history.end)
    trimming = Trimming(history, 1 << 30)
    while trimming.due(history.end, 0.0):
        pass
    return history


def test_a_checkpoint_has_what_was_altered_before_it_and_travels_with_it() -> None:
    history = history_of(1)
    history.sequence_decision(epoch(1), TopicAltered(1, "t", FEW))
    assert cut(history).log.start == 3
    checkpoint = Assembly().add(slice_of(history, epoch(1), 0))
    assert isinstance(checkpoint, Checkpoint)
    assert History(checkpoint).retention_of(1) == FEW
    assert History(checkpoint).log.chain == history.log.chain


def test_who_goes_on_from_a_checkpoint_hears_what_was_altered_meanwhile() -> None:
    node = ReplicaNode(B)
    node.follows(view(1, A, B))
    old = history_of(1)
    node.hears(A, Replicate(epoch(1), entries_of(old), 1, 1))
    node.flushed()
    source = following(old)
    source.sequence_decision(epoch(1), TopicAltered(1, "t", FEW))
    source.sequence_decision(epoch(1), TopicAltered(1, "t", BRIEF))
    assert cut(source).log.start == 4
    new = view(2, A, B, base=3)
    answers(source, node, node.hears(A, ViewInstall(new, (), None, source.log.digest())))
    effects = node.hears(A, Heartbeat(new.epoch, 3, 3, new.members))
    assert announced(effects, DecisionCommitted) == [DecisionCommitted(0, TopicAltered(1, "t", BRIEF))]


# --- what is trimmed for it ---


def test_a_topic_with_limits_of_its_own_is_trimmed_by_them_and_others_by_the_clusters() -> None:
    a = Retaining(Keep(bytes_max=10 * SIZE))
    a.history.sequence_decision(epoch(1), TopicAltered(1, "t", TopicRetention(retention_records=3)))
    a.batches(*[1] * 5)
    assert a.trims() == [Trimmed(1, 0, 2)]
    a.history.sequence_decision(epoch(1), TopicAltered(1, "t", AS_CLUSTER))
    a.batches(*[1] * 9)
    assert a.trims() == [Trimmed(1, 0, 4)]


def test_a_topic_may_keep_more_than_the_cluster_says() -> None:
    a = Retaining(Keep(bytes_max=SIZE, records_max=1, age_s=1.0, wall_clock=lambda: 1e9))
    a.history.sequence_decision(epoch(1), TopicAltered(1, "t", TopicRetention(0, 0, 0.0)))
    a.batches(*[1] * 5)
    assert a.trims() == []


def test_what_its_members_keep_is_an_entry_of_its_own_kind() -> None:
    history = history_of(1)
    assert history.sequence_decision(epoch(1), TopicAltered(1, "t", FEW)).kind is EntryKind.ALTER_TOPIC
