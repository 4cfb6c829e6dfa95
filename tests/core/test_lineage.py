"""Force-view, from the side of a Replica: two pasts of one cluster meet, and the forced one goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from logstream.core.effects import Announce, Send
from logstream.core.replica.vocabulary import IdentityDropped
from logstream.protocol.identity import EMPTY_LOG, Member
from logstream.protocol.messages import Heartbeat, Replicate, State, StateExchange, ViewInstall
from tests.core.builders import A, B, C, epoch, sent, view
from tests.core.replica_node import ReplicaNode

LINEAGE = epoch(1002)
FORCED = replace(view(1002, A), lineage=LINEAGE)
OTHERS = view(1003, C, A, B)  # of those that came back, and count on A


@pytest.fixture
def forced() -> ReplicaNode:
    """A leads alone, at an operator's word."""
    node = ReplicaNode(A)
    node.leads(FORCED)
    return node


@pytest.mark.parametrize("word", [Heartbeat(OTHERS.epoch, 4, 4, (A, B, C)), Replicate(OTHERS.epoch, (), 4, 4)])
def test_a_leader_of_a_lower_lineage_is_not_heard_and_is_told_once_that_another_view_was_forced(
    forced: ReplicaNode, word: Heartbeat | Replicate
) -> None:
    assert forced.hears(C, word) == [Send(C, Heartbeat(FORCED.epoch, 0, 0, (A,), LINEAGE))]
    assert forced.hears(C, word) == []
    assert forced.core.promise.leads


@pytest.mark.parametrize(
    "word",
    [
        StateExchange(OTHERS.epoch, view(2, C, A, B)),
        ViewInstall(OTHERS, (), None, EMPTY_LOG),
    ],
)
def test_nothing_is_promised_to_a_candidate_of_a_lower_lineage_and_nothing_of_it_is_installed(
    forced: ReplicaNode, word: StateExchange | ViewInstall
) -> None:
    assert forced.hears(C, word) == []
    assert forced.core.promise.leads


@pytest.mark.parametrize(("serving", "drops"), [((A,), True), ((A, B), False)])
def test_who_is_outside_a_forced_view_and_has_promised_too_much_for_it_gives_up_its_branch(
    serving: tuple[Member, ...], drops: bool
) -> None:
    node = ReplicaNode(B)
    node.follows(OTHERS)
    dropped = Announce(IdentityDropped()) in node.hears(A, Heartbeat(FORCED.epoch, 4, 4, serving, LINEAGE))
    assert dropped == drops


def test_who_went_on_in_another_past_than_a_candidate_of_a_higher_lineage_gives_it_up() -> None:
    """Else its newer view would count for more than the forced one, which it was a member of, too."""
    node = ReplicaNode(B)
    node.follows(OTHERS)
    known = replace(view(1002, A, B), lineage=LINEAGE)
    assert Announce(IdentityDropped()) in node.hears(A, StateExchange(epoch(1004), known))


def test_a_member_of_a_forced_view_that_missed_it_promises_to_the_next_candidate() -> None:
    node = ReplicaNode(B)
    node.follows(view(1, C, A, B))
    known = replace(view(1002, A, B), lineage=LINEAGE)
    assert len(sent(node.hears(A, StateExchange(epoch(1003), known)), State)) == 1
