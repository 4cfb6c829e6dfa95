"""Directory: whom to ask next, when to rest, when to look again, and when to look for the cluster anew."""

from __future__ import annotations

from itertools import count
from random import Random

import pytest

from logstream.core.client_effects import SeekCluster
from logstream.core.directory import ROUND_MAX_S, SEEK_EVERY, Directory, MetadataDue, back_off
from logstream.core.effects import SetTimer
from logstream.protocol.identity import NO_EPOCH, Member
from logstream.protocol.messages import MetadataResponse

A, B, C = (Member(name, "s", f"{name}:1") for name in "abc")
AT_ONCE = SetTimer(MetadataDue(), 0.0)


@pytest.fixture
def directory() -> Directory:
    """Knows three brokers; the first one is asked."""
    directory = Directory(["a:1", "b:1", "c:1"], count(1).__next__, Random(1))
    directory.ask(("t",), False)
    return directory


def answer(leader: Member | None, *brokers: Member) -> MetadataResponse:
    return MetadataResponse("c1", NO_EPOCH, 1, leader, brokers or (A, B, C), (), 1000)


def miss(directory: Directory) -> list[object]:
    """The question under way brings nothing, and the next one is asked; what the miss led to."""
    effects = list(directory.missed("connection refused"))
    directory.due()
    directory.ask(("t",), False)
    return effects


def test_a_broker_that_was_not_asked_yet_is_asked_at_once_when_another_is_dead(directory: Directory) -> None:
    assert miss(directory) == [AT_ONCE]
    assert directory.asked == "b:1"
    assert miss(directory) == [AT_ONCE]
    assert directory.asked == "c:1"


def test_when_all_have_been_asked_in_vain_it_rests_and_has_the_cluster_looked_for(directory: Directory) -> None:
    miss(directory), miss(directory)
    seek, rest = miss(directory)
    assert seek == SeekCluster()
    assert isinstance(rest, SetTimer) and 0.0 < rest.after_s <= 0.02
    assert directory.asked == "a:1"


def test_it_looks_for_the_cluster_once_at_a_time_and_not_after_every_question(directory: Directory) -> None:
    effects = [effect for _ in range(2 + SEEK_EVERY) for effect in miss(directory)]
    assert effects.count(SeekCluster()) == 1
    assert SeekCluster() not in miss(directory), "the first search has not come back"
    directory.sought(())
    effects = [effect for _ in range(2 * SEEK_EVERY) for effect in miss(directory)]
    assert effects.count(SeekCluster()) == 1


def test_a_broker_that_a_search_found_is_asked_next_and_at_once(directory: Directory) -> None:
    for _ in range(3):
        miss(directory)
    directory.sought(("z:1",))
    assert miss(directory)[-1] == AT_ONCE
    assert directory.asked == "z:1"


def test_silence_counts_as_a_dead_broker_does(directory: Directory) -> None:
    sought = []
    for _ in range(3):
        sought += directory.due()
        directory.ask(("t",), False)
    assert sought == [SeekCluster()]


def test_one_good_answer_ends_the_round(directory: Directory) -> None:
    miss(directory), miss(directory)
    directory.answered(answer(C), 1.0)
    directory.served()
    directory.ask(("t",), False)
    assert miss(directory) == [AT_ONCE]


def test_an_answer_is_old_after_five_seconds_unless_it_named_no_leader(directory: Directory) -> None:
    directory.answered(answer(A), 10.0)
    assert not directory.is_old(14.9)
    directory.ask(("t",), False)
    directory.answered(answer(None), 14.0)
    assert directory.is_old(15.0)


def test_brokers_are_those_of_the_last_answer_and_the_first_addresses_behind_them(directory: Directory) -> None:
    fresh = Member("z", "s", "z:1")
    directory.answered(answer(fresh, fresh), 1.0)
    assert directory.brokers == ["a:1", "z:1", "b:1", "c:1"]


def test_a_back_off_is_short_at_first_doubles_and_has_a_ceiling() -> None:
    dice = Random(1)
    assert 0.01 <= back_off(dice, 1) <= 0.02
    assert 0.04 <= back_off(dice, 3) <= 0.08
    assert back_off(dice, 1_000_000) <= 0.2
    assert back_off(dice, 1_000_000, ROUND_MAX_S) >= 0.5
