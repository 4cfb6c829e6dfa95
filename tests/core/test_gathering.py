"""Gathering (R5): how a candidate puts the base together, and what becomes of entries that it does not hold."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.core.replica import gathering as module
from logstream.core.replica.gathering import Gathering
from logstream.core.replica.history import History
from logstream.core.replica.learning import answer_from
from logstream.core.replica.log import common_prefix
from logstream.core.replica.outflow import SLICE_ENTRIES
from logstream.core.replica.vocabulary import Gather, Gathered, Promised, RangeMoved
from logstream.core.union import plan
from logstream.protocol.batches import NO_PRODUCER, Batch, base_offset_in, header_of
from logstream.protocol.errors import RemoteProtocolError
from logstream.protocol.identity import Digest, Epoch, Member
from logstream.protocol.messages import (
    CatchUp,
    Entry,
    EntryKind,
    Learn,
    State,
    StateExchange,
    TopicCreated,
    ViewInstall,
)
from tests.core.builders import (
    A,
    B,
    C,
    D,
    announced,
    append,
    batch,
    entries_of,
    epoch,
    following,
    history_of,
    sent,
    view,
)
from tests.core.replica_node import ReplicaNode

ATTEMPT = epoch(9)
OLD = epoch(2, B)


def going_on(history: History, *batches: Batch, made_in: Epoch = OLD, slot: tuple[int, int] = (1, 0)) -> History:
    """What a member holds that followed a leader of which nobody else heard."""
    other = following(history)
    for one in batches:
        append(other, made_in, one, slot)
    return other


def gathered(base: History, *tails: History) -> tuple[History, Gathering]:
    """The union of a base and the tails of B, C and D, read in this order."""
    members = dict(zip((B, C, D), tails, strict=False))
    gathering = Gathering(ATTEMPT, A, base.log.digest(), tuple((m, one.log.digest()) for m, one in members.items()))
    while (wanted := gathering.wants()) is not None:
        member, learn = wanted
        answer = answer_from(members[member], learn)
        assert isinstance(answer, CatchUp) and gathering.add(answer, member)
    return gathering.unite(base), gathering


def sequences(history: History, producer: int, slot: tuple[int, int] = (1, 0)) -> list[int]:
    """The sequences of this producer in one partition, in log order."""
    return [
        header_of(entry.body).base_sequence
        for entry in entries_of(history)
        if entry.kind is EntryKind.BATCH
        and (entry.topic_id, entry.partition) == slot
        and header_of(entry.body).producer_id == producer
    ]


@pytest.fixture
def base() -> History:
    """A topic, and two batches of producer 7."""
    return going_on(history_of(1), batch(producer=7), batch(producer=7, sequence=1), made_in=epoch(1))


# --- orphans ---


def test_where_nobody_holds_more_nothing_is_moved_and_nothing_copied(base: History) -> None:
    """R5: a view change costs what differs, not what the log holds."""
    united, gathering = gathered(base)
    assert united is base
    assert gathering.complete


def test_what_is_exactly_its_producers_next_is_appended_as_an_entry_of_the_new_epoch(base: History) -> None:
    tail = going_on(base, batch(producer=7, sequence=2, payload=b"orphan"), batch(producer=8, payload=b"first"))
    united, gathering = gathered(base, tail)
    found = entries_of(united, 4)
    assert [(entry.epoch, entry.body) for entry in found] == [(ATTEMPT, one.body) for one in entries_of(tail, 4)]
    assert [base_offset_in(entry.front) for entry in found] == [2, 3]
    assert gathering.quarantined == 0


def test_the_union_leaves_the_base_itself_as_it_is(base: History) -> None:
    before = base.log.digest()
    gathered(base, going_on(base, batch(producer=7, sequence=2)))
    assert base.log.digest() == before


def test_the_same_orphan_of_two_members_is_appended_once(base: History) -> None:
    tail = going_on(base, batch(producer=7, sequence=2))
    other = going_on(base, batch(producer=7, sequence=2), batch(producer=7, sequence=3), made_in=epoch(3, C))
    united, gathering = gathered(base, tail, other)
    assert sequences(united, 7) == [0, 1, 2, 3]
    assert gathering.quarantined == 0


def test_an_offset_of_its_own_is_given_to_each_orphan(base: History) -> None:
    """Never merge per offset: what two leaders put at one offset is two things."""
    united, _ = gathered(
        base,
        going_on(base, batch(records=3, producer=8), made_in=OLD),
        going_on(base, batch(records=2, producer=9), made_in=epoch(3, C)),
    )
    assert [base_offset_in(entry.front) for entry in entries_of(united, 4)] == [2, 5]
    assert united.next_offset((1, 0)) == 7


def test_a_gap_is_quarantined_and_so_is_what_follows_it(base: History) -> None:
    tail = going_on(base)
    append(tail, OLD, batch(producer=7, sequence=3))
    append(tail, OLD, batch(producer=7, sequence=4))
    united, gathering = gathered(base, tail)
    assert (united.end, gathering.quarantined) == (3, 2)


def test_a_gap_that_another_member_closes_is_none(base: History) -> None:
    """The order of reading decides: what is read first may lack what comes later, and then it waits in quarantine."""
    first = going_on(base, batch(producer=7, sequence=2))
    then = going_on(base, batch(producer=7, sequence=2), batch(producer=7, sequence=3), made_in=epoch(3, C))
    assert sequences(gathered(base, first, then)[0], 7) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "one",
    [batch(), batch(producer=8, sequence=5), batch(producer=7, sequence=2, producer_epoch=-1)],
    ids=["no producer id", "an unknown producer in the middle", "an older incarnation"],
)
def test_what_cannot_be_judged_is_quarantined(base: History, one: Batch) -> None:
    united, gathering = gathered(base, going_on(base, one))
    assert (united.end, gathering.quarantined) == (3, 1)


def test_a_decision_is_quarantined_and_so_is_what_needs_it(base: History) -> None:
    """R5: control entries never; batches only of a topic that is in the base."""
    tail = going_on(base)
    tail.sequence_decision(OLD, TopicCreated("u", 1))
    append(tail, OLD, batch(producer=7), (4, 0))
    united, gathering = gathered(base, tail)
    assert (united.end, united.topics, gathering.quarantined) == (3, {"t": 1}, 2)


def test_a_batch_of_another_topic_that_was_created_at_the_same_place_is_quarantined(base: History) -> None:
    """Two pasts may give one id to two topics: what an operator forced, and what it cut off."""
    ours, theirs = following(base), following(base)
    ours.sequence_decision(epoch(1), TopicCreated("ours", 1))
    theirs.sequence_decision(OLD, TopicCreated("theirs", 1))
    united, gathering = gathered(ours, going_on(theirs, batch(producer=8), slot=(4, 0)))
    assert (united.end, gathering.quarantined) == (4, 2)


def test_with_a_full_table_an_unknown_producer_is_quarantined_and_a_known_one_is_not(
    base: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5: none of a producer that a full dedup table does not know: it may only have been forgotten."""
    monkeypatch.setattr(module, "KEYS_MAX", 1)
    tail = going_on(base, batch(producer=8), batch(producer=7, sequence=2))
    united, gathering = gathered(base, tail)
    assert (sequences(united, 8), sequences(united, 7), gathering.quarantined) == ([], [0, 1, 2], 1)


def test_what_the_base_holds_already_is_not_called_lost_however_long_ago_it_came() -> None:
    """Six batches were orphans of an earlier union; the table remembers the last five of them."""
    start = history_of(1)
    tail = going_on(start, *(batch(producer=7, sequence=number) for number in range(8)))
    base = going_on(start, *(batch(producer=7, sequence=number) for number in range(8)), made_in=epoch(3))
    united, gathering = gathered(base, tail)
    assert (united.end, gathering.quarantined) == (9, 0)


def test_the_digest_of_the_union_is_that_of_a_log_that_followed_it(base: History) -> None:
    united, _ = gathered(base, going_on(base, batch(producer=7, sequence=2)))
    assert following(united).log.digest() == united.log.digest()
    assert common_prefix(united.log.digest(), base.log.digest()) == base.end


# --- slices ---


def test_a_tail_is_read_in_slices_each_asked_for_by_itself(base: History) -> None:
    tail = going_on(base, *(batch(producer=7, sequence=number) for number in range(2, 2502)))
    gathering = Gathering(ATTEMPT, A, base.log.digest(), ((B, tail.log.digest()),))
    read = []
    while (wanted := gathering.wants()) is not None:
        member, learn = wanted
        answer = answer_from(tail, learn)
        assert member == B and isinstance(answer, CatchUp)
        read.append((answer.after, len(answer.entries)))
        gathering.add(answer, B)
    assert read == [(3, SLICE_ENTRIES), (1003, SLICE_ENTRIES), (2003, 500)]
    assert sequences(gathering.unite(base), 7) == list(range(2502))


def test_members_are_asked_one_after_the_other_and_only_for_what_lies_above_the_common_prefix(base: History) -> None:
    one, two = going_on(base, batch(producer=8)), going_on(history_of(1), batch(producer=9), made_in=epoch(3, C))
    gathering = Gathering(ATTEMPT, A, base.log.digest(), ((B, one.log.digest()), (C, two.log.digest())))
    asked = []
    while (wanted := gathering.wants()) is not None:
        asked.append((wanted[0], wanted[1].digest.end))
        answer = answer_from(one if wanted[0] == B else two, wanted[1])
        assert isinstance(answer, CatchUp) and gathering.add(answer, wanted[0])
    assert asked == [(B, 3), (C, 1)]


def test_a_slice_that_was_not_asked_for_is_not_taken(base: History) -> None:
    tail = going_on(base, batch(producer=8))
    gathering = Gathering(ATTEMPT, A, base.log.digest(), ((B, tail.log.digest()),))
    slice_ = CatchUp(ATTEMPT, 3, entries_of(tail, 4), tail.log.digest())
    assert not gathering.add(slice_, C)
    assert not gathering.add(CatchUp(epoch(8), 3, entries_of(tail, 4), tail.log.digest()), B)
    assert gathering.add(slice_, B)
    assert not gathering.add(slice_, B)


def test_a_slice_that_skips_entries_is_refused(base: History) -> None:
    tail = going_on(base, batch(producer=8), batch(producer=8, sequence=1))
    gathering = Gathering(ATTEMPT, A, base.log.digest(), ((B, tail.log.digest()),))
    with pytest.raises(RemoteProtocolError, match="slice after 4, 3 was read"):
        gathering.add(CatchUp(ATTEMPT, 4, entries_of(tail, 5), tail.log.digest()), B)
    with pytest.raises(RemoteProtocolError):
        gathering.add(CatchUp(ATTEMPT, 3, (), tail.log.digest()), B)


def test_an_orphan_whose_body_does_not_match_its_crc_is_refused(base: History) -> None:
    """It would get a place in the new log, and no member could ever accept that."""
    [good] = entries_of(going_on(base, batch(producer=8)), 4)
    bad = Entry(4, good.epoch, good.kind, 1, 0, good.front, good.body[:-1] + b"?", good.chain)
    gathering = Gathering(ATTEMPT, A, base.log.digest(), ((B, going_on(base, batch(producer=8)).log.digest()),))
    with pytest.raises(RemoteProtocolError, match="CRC"):
        gathering.add(CatchUp(ATTEMPT, 3, (bad,), gathering.base), B)


# --- inside a candidate's Replica ---


class CandidateNode(ReplicaNode):
    """A, which has promised its own epoch, with the logs of others at hand."""

    def __init__(self, own: History, others: dict[Member, History]) -> None:
        super().__init__(A)
        self.accepts_log(own)
        self.hears(A, StateExchange(ATTEMPT, None))
        self.others = others

    def accepts_log(self, own: History) -> None:
        """The log that A has when it becomes a candidate."""
        digest = own.log.digest()
        self.hears(B, ViewInstall(view(1, B, A, base=own.end), (), None, digest))
        if own.end:
            self.hears(B, CatchUp(epoch(1, B), 0, entries_of(own), digest))
        assert self.core.history.log.digest() == digest

    def gathers(self, gather: Gather) -> list[object]:
        """Everything announced until the base is held; every question is answered from the others' logs."""
        effects, said = self.told(gather), []
        for _ in range(50):
            said += announced(effects, object)
            questions = sent(effects, Learn)
            effects = []
            for question in questions:
                assert isinstance(question.message, Learn)
                if question.to == A:
                    effects += [
                        effect
                        for reply in sent(self.hears(A, question.message), CatchUp)
                        for effect in self.hears(A, reply.message)
                    ]
                else:
                    answer = answer_from(self.others[question.to], question.message)
                    effects += self.hears(question.to, answer)
            if not effects:
                return said
        raise AssertionError("the base is never complete")


def test_a_candidate_whose_log_is_the_base_has_it_at_once() -> None:
    node = CandidateNode(history_of(5), {})
    base = history_of(5).log.digest()
    assert node.gathers(Gather(ATTEMPT, A, base)) == [Gathered(ATTEMPT, base)]


def test_a_candidate_fetches_the_base_and_says_that_it_gets_on() -> None:
    base = going_on(history_of(5), batch(producer=7))
    node = CandidateNode(history_of(5), {B: base})
    said = node.gathers(Gather(ATTEMPT, B, base.log.digest()))
    assert said == [RangeMoved(ATTEMPT), Gathered(ATTEMPT, base.log.digest())]
    assert node.core.history.end == 5


def test_orphans_move_the_end_of_the_base() -> None:
    base = history_of(5)
    tail = going_on(base, batch(producer=7))
    node = CandidateNode(base, {C: tail})
    said = node.gathers(Gather(ATTEMPT, A, base.log.digest(), ((C, tail.log.digest()),)))
    [done] = [one for one in said if isinstance(one, Gathered)]
    assert done.base.end == 6
    assert done.base.runs[-1] == (ATTEMPT, 6)
    assert node.core.history.end == 5
    install = ViewInstall(view(9, A, B, base=6), (), None, done.base)
    node.hears(A, install)
    assert node.core.history.log.digest() == done.base


def test_the_candidates_own_tail_is_read_like_everybody_elses() -> None:
    """Its log is shorter than the base that it has staged: that must not be taken for its own tail."""
    start = history_of(3)
    own, base = going_on(start, batch(producer=8)), going_on(start, *[batch() for _ in range(4)], made_in=epoch(3, C))
    node = CandidateNode(own, {C: base})
    said = node.gathers(Gather(ATTEMPT, C, base.log.digest(), ((A, own.log.digest()),)))
    [done] = [one for one in said if isinstance(one, Gathered)]
    assert done.base.end == base.end + 1


def test_what_an_earlier_attempt_left_in_the_stage_is_not_served_as_the_base() -> None:
    """The own log is the base; a longer stage is left over from a view that came to nothing."""
    node = CandidateNode(history_of(5), {})
    other = going_on(history_of(3), *[batch() for _ in range(9)])
    node.hears(B, ViewInstall(view(10, B, A, base=20), (), None, going_on(other, *[batch()] * 8).log.digest()))
    node.hears(B, CatchUp(epoch(10, B), 3, entries_of(other, 4), other.log.digest()))
    node.hears(A, StateExchange(epoch(11), None))
    node.gathers(Gather(epoch(11), A, history_of(5).log.digest()))
    [answer] = sent(node.hears(C, Learn(epoch(11), Digest())), CatchUp)
    assert isinstance(answer.message, CatchUp) and answer.message.digest == history_of(5).log.digest()


def test_a_gathering_ends_when_more_is_promised() -> None:
    base = going_on(history_of(5), batch(producer=7))
    node = CandidateNode(history_of(5), {B: base})
    node.told(Gather(ATTEMPT, B, base.log.digest()))
    assert announced(node.hears(C, StateExchange(epoch(10, C), None)), Promised) == [Promised(epoch(10, C))]
    effects = node.hears(B, CatchUp(ATTEMPT, 5, entries_of(base, 6), base.log.digest()))
    assert not announced(effects, Gathered)


def test_what_was_quarantined_is_counted_and_said() -> None:
    base = history_of(5)
    tail = going_on(base, batch(), batch())
    node = CandidateNode(base, {C: tail})
    node.gathers(Gather(ATTEMPT, A, base.log.digest(), ((C, tail.log.digest()),)))
    assert node.core.gatherer.quarantined == 2


# --- the union as a whole ---


def made_by_several_leaders(dice: random.Random) -> dict[Member, tuple[Epoch, History]]:
    """Members that went on from a common log in views of their own: what is acknowledged is only the common part."""
    producers = dict.fromkeys((7, 8, 9), 0)
    common = history_of(1)
    for _ in range(dice.randrange(4)):
        _produce(common, epoch(1), producers, dice)
    found = {}
    for n, member in enumerate((A, B, C, D), start=2):
        mine, own = following(common), dict(producers)
        for _ in range(dice.randrange(6)):
            _produce(mine, Epoch.of(n, member), own, dice)
        found[member] = (Epoch.of(n, member) if dice.random() < 0.7 else epoch(1), mine)
        if found[member][0] == epoch(1):
            found[member] = (epoch(1), following(common))
    return found


def _produce(history: History, made_in: Epoch, producers: dict[int, int], dice: random.Random) -> None:
    producer = dice.choice([*producers, NO_PRODUCER])
    records = dice.randint(1, 3)
    if producer == NO_PRODUCER:
        append(history, made_in, batch(records=records))
        return
    append(history, made_in, batch(records=records, producer=producer, sequence=producers[producer]))
    producers[producer] += records


@settings(max_examples=60)
@given(st.integers(0, 10**6))
def test_the_union_holds_the_whole_base_and_every_producer_without_a_gap(seed: int) -> None:
    """R5: nothing of the base is touched, nothing is silently thrown away, I12 holds; a pure function of the inputs."""
    dice = random.Random(seed)
    found = made_by_several_leaders(dice)
    states = {member: State(ATTEMPT, None, (), last, one.log.digest()) for member, (last, one) in found.items()}
    source, digest, orphans = plan(states, A)
    base, tails = found[source][1], [(member, found[member][1]) for member, _ in orphans]
    united, quarantined = _unite(base, tails)
    assert [entry.chain for entry in entries_of(united, 1, base.end)] == [entry.chain for entry in entries_of(base)]
    for producer in (7, 8, 9):
        _check_dense(united, producer)
    above = sum(tail.end - common_prefix(tail.log.digest(), digest) for _, tail in tails)
    assert united.end - base.end + quarantined <= above

    again = dict(sorted(states.items(), key=lambda _: dice.random()))
    assert plan(again, A) == (source, digest, orphans)
    assert _unite(following(base), tails)[0].log.digest() == united.log.digest()


def _unite(base: History, tails: list[tuple[Member, History]]) -> tuple[History, int]:
    gathering = Gathering(ATTEMPT, A, base.log.digest(), tuple((member, one.log.digest()) for member, one in tails))
    logs = dict(tails)
    while (wanted := gathering.wants()) is not None:
        answer = answer_from(logs[wanted[0]], wanted[1])
        assert isinstance(answer, CatchUp) and gathering.add(answer, wanted[0])
    return gathering.unite(base), gathering.quarantined


def _check_dense(history: History, producer: int) -> None:
    expected = 0
    for entry in entries_of(history):
        if entry.kind is EntryKind.BATCH and header_of(entry.body).producer_id == producer:
            header = header_of(entry.body)
            assert header.base_sequence == expected
            expected += header.records
