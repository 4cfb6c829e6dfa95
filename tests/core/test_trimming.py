"""Trimming (R22): what is decided and committed is dropped, the head is cut, and a checkpoint stands for it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.core.effects import SetTimer
from logstream.core.replica import snapshot as snapshot_module
from logstream.core.replica import trimming as trimming_module
from logstream.core.replica.history import History
from logstream.core.replica.learning import answer_from
from logstream.core.replica.stage import Stage
from logstream.core.replica.trimming import LEARNER_S, TrimDue, Trimming
from logstream.protocol.batches import end_offset_of
from logstream.protocol.errors import LocalProtocolError, RemoteProtocolError
from logstream.protocol.identity import NO_EPOCH
from logstream.protocol.messages import CatchUp, Entry, EntryKind, Learn, Snapshot, TopicCreated, TopicDeleted, Trimmed
from tests.core.builders import A, B, append, batch, entries_of, epoch, following, history_of

STEP = st.one_of(
    st.tuples(st.just("batch"), st.integers(-1, 2), st.integers(0, 3)),
    st.tuples(st.just("trim"), st.integers(0, 3), st.integers(0, 12)),
    st.tuples(st.just("create"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("delete"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("commit"), st.integers(0, 40), st.just(0)),
    st.tuples(st.just("truncate"), st.integers(0, 40), st.just(0)),
    st.tuples(st.just("turn"), st.just(0), st.just(0)),
    st.tuples(st.just("fork"), st.integers(0, 40), st.just(0)),
)
MEMORY_MAX = 1 << 30


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few entries and rows a turn, so that every boundary is met."""
    monkeypatch.setattr(trimming_module, "SLICE", 3)
    monkeypatch.setattr(snapshot_module, "ROWS", 2)


def tables(history: History) -> tuple[object, ...]:
    """Everything that follows from the log, as of its end."""
    of = history._tables
    return of.topics, of.registry, of.offsets, list(of.dedup._known.items())


class Model:
    """One member, and every entry of its log as it was sequenced."""

    def __init__(self) -> None:
        self.history = History()
        self.trimming = Trimming(self.history, MEMORY_MAX)
        self.whole: list[Entry] = []
        self.view = 1

    def step(self, what: str, number: int, count: int) -> None:
        history = self.history
        match what:
            case "batch":
                self._batch(number, count)
            case "trim":
                self._trim(number, count)
            case "create" if f"t{number}" not in history.topics:
                self._decide(TopicCreated(f"t{number}", 2))
            case "delete" if f"t{number}" in history.topics:
                self._decide(TopicDeleted(history.topics[f"t{number}"], f"t{number}"))
            case "commit":
                history.commit_to(number)
            case "truncate" if history.commit <= number <= history.end:
                history.truncate(number)
                del self.whole[number:]
                self.view += 1
            case "turn":
                self.trimming.due(history.commit, 0.0)
            case "fork" if history.commit <= number <= history.end:
                self.history = history.fork(number)
                self.trimming.begin(self.history)
                del self.whole[number:]
                self.view += 1

    def _decide(self, decision: TopicCreated | TopicDeleted | Trimmed) -> None:
        self.whole.append(self.history.sequence_decision(epoch(self.view), decision))

    def _slots(self) -> list[tuple[int, int]]:
        return [(topic_id, partition) for topic_id in sorted(self.history.topic_ids) for partition in (0, 1)]

    def _batch(self, producer: int, choice: int) -> None:
        if slots := self._slots():
            slot = slots[choice % len(slots)]
            known = self.history.dedup._known.get((producer, *slot))
            one = batch(1 + choice, producer, known.next_sequence if known else 0, payload=b"some records")
            self.whole.append(append(self.history, epoch(self.view), one, slot))

    def _trim(self, choice: int, batches: int) -> None:
        """Up to the end of one of the partition's batches, committed or not."""
        if slots := self._slots():
            slot = slots[choice % len(slots)]
            ends = [end_offset_of(one.front, one.body) for one in self.whole if is_of(one, slot)]
            if ends:
                self._decide(Trimmed(*slot, ends[min(batches, len(ends) - 1)]))

    def settle(self) -> None:
        while self.trimming.due(self.history.commit, 0.0):
            pass

    def should_hold(self) -> list[int]:
        """The gseqs of the batches that must still have their records."""
        starts: dict[tuple[int, int], tuple[int, int]] = {}  # by slot: offset, and the gseq of the decision
        for gseq, decision in decisions(self.whole[: self.history.commit]):
            if isinstance(decision, Trimmed):
                slot = (decision.topic_id, decision.partition)
                starts[slot] = max(starts.get(slot, (0, 0)), (decision.start, gseq))
            elif isinstance(decision, TopicDeleted):
                starts |= {(decision.topic_id, partition): (1 << 62, gseq) for partition in (0, 1)}
        return [
            one.gseq
            for one in self.whole
            if one.kind is EntryKind.BATCH
            and end_offset_of(one.front, one.body) > starts.get((one.topic_id, one.partition), (0, 0))[0]
        ]


def is_of(entry: Entry, slot: tuple[int, int]) -> bool:
    return entry.kind is EntryKind.BATCH and (entry.topic_id, entry.partition) == slot


def decisions(entries: list[Entry]) -> list[tuple[int, object]]:
    from logstream.protocol.codec import decode_decision

    return [(one.gseq, decode_decision(one.body)) for one in entries if one.kind is not EntryKind.BATCH]


def replayed(entries: list[Entry]) -> History:
    history = History()
    for entry in entries:
        history.follow(entry)
    return history


@settings(deadline=None, max_examples=200)
@given(st.lists(STEP, max_size=60))
def test_what_is_decided_is_dropped_and_nothing_else(steps: list[tuple[str, int, int]]) -> None:
    model = Model()
    for step in steps:
        model.step(*step)
    model.settle()
    history, log = model.history, model.history.log
    held = model.should_hold()
    assert [gseq for gseq in range(log.start, log.end + 1) if log.has_body(gseq)] == held
    committed = [gseq for gseq in held if gseq <= history.commit]
    assert log.start == (committed[0] if committed else history.commit + 1)
    assert sum(len(shelf) for shelf in model.trimming.shelves.values()) == len(committed) == model.trimming.batches
    assert [entry.chain for entry in entries_of(history, log.start)] == [
        entry.chain for entry in model.whole[log.start - 1 :]
    ]


@settings(deadline=None, max_examples=200)
@given(st.lists(STEP, max_size=60))
def test_the_checkpoint_is_what_follows_from_the_entries_that_were_cut(steps: list[tuple[str, int, int]]) -> None:
    model = Model()
    for step in steps:
        model.step(*step)
        checkpoint, before = model.history.checkpoint, replayed(model.whole[: model.history.log.start - 1])
        head = checkpoint.tables
        assert (head.topics, head.registry, head.offsets, list(head.dedup._known.items())) == tables(before)
        assert (checkpoint.gseq, checkpoint.chain) == (before.end, before.log.chain)
        assert tables(model.history) == tables(replayed(model.whole))


@settings(deadline=None, max_examples=150)
@given(st.lists(STEP, max_size=60), st.integers(0, 30))
def test_a_learner_ends_with_the_log_and_the_tables_of_its_teacher(
    steps: list[tuple[str, int, int]], known: int
) -> None:
    model = Model()
    for step in steps:
        model.step(*step)
    own, stage = replayed(model.whole[:known]), Stage()
    learn_all(own, stage, model.history)
    learned = stage.history or own
    assert tables(learned) == tables(model.history)
    assert (learned.end, learned.log.chain) == (model.history.end, model.history.log.chain)
    assert own.end == min(known, len(model.whole))


def learn_all(own: History, stage: Stage, teacher: History) -> list[CatchUp | Snapshot]:
    """Ask until everything is here; what came."""
    came: list[CatchUp | Snapshot] = []
    for _ in range(200):
        if stage.digest(own).chain == teacher.log.chain and stage.digest(own).end == teacher.end:
            return came
        learn = Learn(NO_EPOCH, stage.digest(own), stage.assembly.gseq, stage.assembly.rows)
        came.append(answer_from(teacher, learn))
        assert stage.take(own, came[-1])
    raise AssertionError(f"{stage.digest(own)} after {came}")


def trimmed_member(batches: int = 20, start: int = 12) -> tuple[History, Trimming]:
    """A topic with batches of one record each, trimmed to an offset, all committed and carried out."""
    history = history_of(1 + batches, payload=b"some records")
    history.sequence_decision(epoch(1), Trimmed(1, 0, start))
    history.commit_to(history.end)
    trimming = Trimming(history, MEMORY_MAX)
    while trimming.due(history.end, 0.0):
        pass
    return history, trimming


def test_a_trim_that_is_not_committed_drops_nothing() -> None:
    history = history_of(10, payload=b"some records")
    history.sequence_decision(epoch(1), Trimmed(1, 0, 5))
    history.commit_to(10)
    trimming = Trimming(history, MEMORY_MAX)
    while trimming.due(history.commit, 0.0):
        pass
    assert all(history.log.has_body(gseq) for gseq in range(2, 11))


def test_the_head_is_cut_up_to_the_first_batch_that_holds_records() -> None:
    history, _ = trimmed_member(20, 12)
    assert (history.log.start, history.checkpoint.gseq) == (14, 13)
    assert history.checkpoint.tables.next_offset((1, 0)) == 12


def test_a_batch_of_another_partition_keeps_the_entries_behind_it_from_being_cut() -> None:
    history = history_of(1)
    append(history, epoch(1), batch(payload=b"stays"), (1, 1))
    for _ in range(10):
        append(history, epoch(1), batch(payload=b"goes"), (1, 0))
    history.sequence_decision(epoch(1), Trimmed(1, 0, 10))
    history.commit_to(history.end)
    trimming = Trimming(history, MEMORY_MAX)
    while trimming.due(history.end, 0.0):
        pass
    assert (history.log.start, history.log.end) == (2, 13)
    assert [gseq for gseq in range(2, 14) if history.log.has_body(gseq)] == [2]
    assert trimming.dead == 11 * (300 + 61)


def test_a_deleted_topic_holds_nothing_any_more() -> None:
    history = history_of(10, payload=b"some records")
    history.sequence_decision(epoch(1), TopicDeleted(1, "t"))
    history.commit_to(history.end)
    trimming = Trimming(history, MEMORY_MAX)
    while trimming.due(history.end, 0.0):
        pass
    assert (history.log.start, history.log.end, history.log.bytes) == (12, 11, 0)
    assert not trimming.shelves
    assert history.checkpoint.tables.offsets == {}


def test_a_turn_looks_at_no_more_than_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming_module, "SLICE", 100)
    history = history_of(1000)
    history.commit_to(1000)
    trimming = Trimming(history, MEMORY_MAX)
    assert trimming.due(1000, 0.0) == [SetTimer(TrimDue(), 0.0)]
    assert trimming.noted == 100


def test_nothing_is_noted_before_it_was_handed_on() -> None:
    history = history_of(10)
    history.commit_to(10)
    trimming = Trimming(history, MEMORY_MAX)
    while trimming.due(4, 0.0):
        pass
    assert trimming.noted == 4


# --- learners ---


def test_the_head_stays_while_a_learner_needs_it_and_no_longer() -> None:
    history = history_of(20, payload=b"some records")
    history.sequence_decision(epoch(1), Trimmed(1, 0, 15))
    history.commit_to(history.end)
    trimming = Trimming(history, MEMORY_MAX)
    trimming.taught(A, following(history, 5).log.digest(), 0.0)
    while trimming.due(history.end, 1.0):
        pass
    assert (history.log.start, history.log.has_body(10)) == (6, False)
    while trimming.due(history.end, LEARNER_S):
        pass
    assert history.log.start == 17


def test_a_learner_is_not_waited_for_when_memory_is_short() -> None:
    history = history_of(20, payload=b"some records")
    history.sequence_decision(epoch(1), Trimmed(1, 0, 15))
    history.commit_to(history.end)
    trimming = Trimming(history, memory_max=20_000)
    trimming.taught(A, following(history, 2).log.digest(), 0.0)
    while trimming.due(history.end, 1.0):
        pass
    assert history.log.start == 17


def test_a_slice_of_another_checkpoint_begins_anew_and_a_late_one_is_nothing() -> None:
    history, _ = trimmed_member(20, 12)
    append(history, epoch(1), batch(producer=5, payload=b"later"))
    later, trimming = trimmed_member(40, 30)
    own, stage = History(), Stage()
    first = answer_from(history, Learn(NO_EPOCH, own.log.digest()))
    other = answer_from(later, Learn(NO_EPOCH, own.log.digest(), 13, stage.assembly.rows))
    assert isinstance(first, Snapshot) and isinstance(other, Snapshot)
    assert stage.take(own, first)
    assert stage.history is not None and (stage.history.log.start, stage.history.commit) == (14, 13)
    assert not stage.take(own, first)
    assert stage.take(own, other)
    assert stage.history.log.start == later.log.start == 32
    assert B > A and trimming.idle


def test_rows_that_do_not_fit_one_another_are_refused() -> None:
    history, _ = trimmed_member()
    history._head.dedup.restore((7, 1, 0), history_of_producer().dedup._known[7, 1, 0])
    snapshot = answer_from(history, Learn(NO_EPOCH, History().log.digest(), 13, 2))
    assert isinstance(snapshot, Snapshot)
    [row] = snapshot.producers
    for broken in ({"offsets": ()}, {"sequences": (), "records": (), "offsets": (), "gseqs": ()}):
        values = {name: getattr(row, name) for name in type(row).__slots__} | broken
        rows = {name: getattr(snapshot, name) for name in Snapshot.__slots__}
        changed = Snapshot(**rows | {"first": 0, "total": 1, "producers": (type(row)(**values),)})
        with pytest.raises(RemoteProtocolError):
            Stage().take(History(), changed)


def history_of_producer() -> History:
    history = history_of(1)
    append(history, epoch(1), batch(producer=7))
    return history


def test_what_is_not_committed_is_never_cut() -> None:
    history = history_of(1)
    with pytest.raises(LocalProtocolError, match="not committed"):
        history.cut_head(1)
