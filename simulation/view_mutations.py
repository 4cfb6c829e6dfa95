"""Mutations of what a view begins with: quorums, identity, promises, the base. The others are in mutations.py."""

from __future__ import annotations

from collections.abc import Mapping

from actors import node
from logstream.core import quorum, union, wishes
from logstream.core.attempt import Attempt
from logstream.core.effects import Effect
from logstream.core.replica.gathering import Gathering
from logstream.core.replica.history import History
from logstream.core.replica.learning import Fetch
from logstream.core.replica.promise import Promise
from logstream.core.replica.replica import Replica
from logstream.core.union import Plan
from logstream.protocol.batches import Batch, header_of
from logstream.protocol.envelope import Envelope
from logstream.protocol.identity import NO_EPOCH, Member, View
from logstream.protocol.messages import EntryKind, State, ViewInstall
from simulation.mutation import MUTATIONS, mutation, replace
from transport.identity import Identity

__all__ = ["MUTATIONS"]

# --- quorums, identity ---


@mutation(
    "no quorum", "Q3", "minority_stands_still", "any answers at all are enough, to collect, to install and to stand"
)
def _no_quorum() -> None:
    def always(*_: object) -> bool:
        return True

    for name in ("enough", "enough_for_all", "more_than_half"):
        setattr(quorum, name, always)
    replace(wishes, "enough", always)


@mutation("amnesia", "R15", "amnesia", "a member that comes back with empty memory keeps its old identity")
def _amnesia() -> None:
    def always_the_same(name: str, store_id: str, address: str) -> Member:
        return Member(name, f"the store of {name}", address)

    replace(node, "Member", always_the_same)


@mutation(
    "strangers are heard", "I20, R20", "two_clusters_with_topics_meet", "messages of other clusters are heard like ours"
)
def _no_filter() -> None:
    def no_objection(identity: Identity, envelope: Envelope) -> None:
        return None

    replace(Identity, "objection", no_objection)


@mutation(
    "only the newest attempt remembered",
    "R3",
    "views_cut_short_one_after_another",
    "of several attempted views a member remembers the newest",
)
def _newest_attempt() -> None:
    attempt = Promise._attempt

    def forget_older(promise: Promise, views: tuple[View, ...]) -> None:
        attempt(promise, views)
        promise.attempted = promise.attempted[-1:]

    replace(Promise, "_attempt", forget_older)


# --- what a new view starts from ---


@mutation("own log wins", "R5", "new_leader_has_the_shortest_log", "a candidate takes its own log as the base")
def _own_log() -> None:
    def mine(states: Mapping[Member, State], me: Member) -> Plan:
        return Plan(me, states[me].digest, ())

    replace(union, "plan", mine)


@mutation(
    "longest log wins", "R5", "stale_node_with_a_longer_log", "the base is the longest log, whatever view it is of"
)
def _longest_log() -> None:
    def longest(states: Mapping[Member, State], me: Member) -> Plan:
        source = max(states, key=lambda member: (states[member].digest.end, member == me))
        return Plan(source, states[source].digest, ())

    replace(union, "plan", longest)


@mutation(
    "union per offset",
    "R5",
    "orphans",
    "what the base has no entry for, by number, is taken from other logs as it stands",
)
def _per_offset() -> None:
    def fill(gathering: Gathering, history: History) -> History:
        united = history.fork(gathering.base.end)
        for tail in gathering._tails.values():
            for entry in tail:
                if entry.gseq > united.end and entry.kind is EntryKind.BATCH:
                    batch = Batch(entry.front, entry.body)
                    slot = (entry.topic_id, entry.partition)
                    united.sequence_batch(gathering.epoch, slot, batch, header_of(entry.body))
        return united

    replace(Gathering, "unite", fill)


@mutation(
    "repeated install replaces the log", "R6", "repeated_view_install", "a repeated VIEW_INSTALL is carried out again"
)
def _install_again() -> None:
    install = Replica._install

    def again(replica: Replica, message: ViewInstall, candidate: Member) -> list[Effect]:
        epoch = message.view.epoch
        if epoch != replica.promise.last_view:
            return install(replica, message, candidate)
        replica.learning.fetch = Fetch(epoch, candidate, message.base, message)
        return replica._continue_fetch()

    replace(Replica, "_install", again)


@mutation("leavers get no VIEW_INSTALL", "R6", "the_last_two_leave", "a view is sent to its own members only")
def _members_only() -> None:
    repeat = Attempt.repeat

    def to_members(attempt: Attempt) -> list[Effect]:
        attempt.targets &= attempt.members
        return repeat(attempt)

    replace(Attempt, "repeat", to_members)


@mutation(
    "lineages are all alike",
    "force-view",
    "force_view_and_the_others_come_back",
    "a member of a forced view listens to leaders and candidates of the past that was cut off",
)
def _one_lineage() -> None:
    replace(Promise, "lineage", property(lambda promise: NO_EPOCH))
