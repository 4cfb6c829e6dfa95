"""History: its tables are those of a fresh history that followed the same entries, whatever was taken back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.core.replica.history import History
from logstream.protocol.batches import Batch, header_of
from logstream.protocol.errors import LocalProtocolError, RemoteProtocolError
from logstream.protocol.messages import Entry, EntryKind, TopicAltered, TopicCreated, TopicDeleted
from logstream.protocol.retention import TopicRetention
from tests.core.builders import A, B, append, batch, entries_of, epoch, following, history_of

STEP = st.one_of(
    st.tuples(st.just("batch"), st.integers(-1, 2), st.integers(1, 5)),
    st.tuples(st.just("create"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("delete"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("alter"), st.integers(0, 2), st.integers(0, 3)),
    st.tuples(st.just("commit"), st.integers(0, 30), st.just(0)),
    st.tuples(st.just("truncate"), st.integers(0, 30), st.just(0)),
    st.tuples(st.just("fork"), st.integers(0, 30), st.just(0)),
)


def tables(history: History) -> tuple[object, ...]:
    """Everything that follows from the log."""
    return (
        history.log.digest(),
        history.topics,
        history._tables.registry,
        history._tables.offsets,
        list(history.dedup._known.items()),
    )


class Model:
    """Drives a history through random steps as a leader and its views would."""

    def __init__(self) -> None:
        self.history = History()
        self.forks: list[tuple[History, tuple[Entry, ...]]] = []
        self.view = 1

    def step(self, what: str, number: int, count: int) -> None:
        history = self.history
        if what == "batch":
            self._batch(number, count)
        elif what == "create" and f"t{number}" not in history.topics:
            history.sequence_decision(epoch(self.view), TopicCreated(f"t{number}", 2))
        elif what == "delete" and f"t{number}" in history.topics:
            name = f"t{number}"
            history.sequence_decision(epoch(self.view), TopicDeleted(history.topics[name], name))
        elif what == "alter" and f"t{number}" in history.topics:
            name = f"t{number}"
            altered = TopicAltered(history.topics[name], name, TopicRetention(retention_records=count or None))
            history.sequence_decision(epoch(self.view), altered)
        elif what == "commit":
            history.commit_to(number)
        elif what == "truncate" and history.commit <= number <= history.end:
            history.truncate(number)
            self.view += 1
        elif what == "fork" and history.commit <= number <= history.end:
            self.forks.append((history, entries_of(history) if history.end else ()))
            self.history = history.fork(number)
            self.view += 1

    def _batch(self, producer: int, records: int) -> None:
        for topic_id in sorted(self.history.topic_ids)[:1]:
            known = self.history.dedup._known.get((producer, topic_id, 0))
            sequence = known.next_sequence if known else 0
            append(self.history, epoch(self.view), batch(records, producer, sequence), (topic_id, 0))


@settings(deadline=None, max_examples=150)
@given(st.lists(STEP, max_size=40))
def test_equal_logs_mean_equal_tables(steps: list[tuple[str, int, int]]) -> None:
    model = Model()
    for step in steps:
        model.step(*step)
        history = model.history
        assert tables(history) == tables(following(history))
        assert len(history._undo) == history.end - history.commit
    for forked, entries in model.forks:
        assert (entries_of(forked) if forked.end else ()) == entries
        assert tables(forked) == tables(following(forked))


def test_offsets_are_dense_per_partition() -> None:
    history = history_of(1)
    for records, slot in ((3, (1, 0)), (2, (1, 1)), (4, (1, 0))):
        append(history, epoch(1), batch(records), slot)
    assert (history.next_offset((1, 0)), history.next_offset((1, 1))) == (7, 2)


def test_what_is_committed_is_never_taken_back() -> None:
    history = history_of(5)
    history.commit_to(3)
    with pytest.raises(LocalProtocolError):
        history.truncate(2)


def test_commit_never_decreases_and_never_passes_the_end() -> None:
    history = history_of(5)
    history.commit_to(9)
    assert history.commit == 5
    history.commit_to(2)
    assert history.commit == 5


def test_below_the_commit_a_fork_starts_from_nothing() -> None:
    history = history_of(5)
    history.commit_to(4)
    assert history.fork(3).end == 0
    assert history.fork(4).end == 4


def changed(entry: Entry, **fields: object) -> Entry:
    values = {name: getattr(entry, name) for name in Entry.__slots__} | fields
    return Entry(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [{"chain": 5}, {"body": b"y" * 60}, {"epoch": epoch(1, B)}, {"partition": 1}, {"topic_id": 2}],
    ids=["another chain", "another body", "another epoch", "another partition", "another topic"],
)
def test_an_entry_that_does_not_fit_is_refused_and_changes_nothing(fields: dict[str, object]) -> None:
    source = history_of(4)
    history = following(source, 3)
    before = tables(history)
    with pytest.raises(RemoteProtocolError):
        history.follow(changed(source.log.entry(4), **fields))
    assert tables(history) == before
    history.follow(source.log.entry(4))
    assert history.end == 4


def test_a_body_that_does_not_match_its_crc_is_refused_though_its_header_is_right() -> None:
    source = history_of(3, payload=b"payload")
    entry = source.log.entry(3)
    with pytest.raises(RemoteProtocolError, match="CRC"):
        following(source, 2).follow(changed(entry, body=entry.body[:-1] + b"?"))


def test_a_decision_that_nobody_understands_is_refused_and_changes_nothing() -> None:
    from logstream.core.replica.chain import next_chain

    history = history_of(2)
    before = tables(history)
    chain = next_chain(history.log.chain, 3, epoch(1), EntryKind.CREATE_TOPIC, 0, 0, b"", b"\xff\xff")
    with pytest.raises(RemoteProtocolError):
        history.follow(Entry(3, epoch(1), EntryKind.CREATE_TOPIC, 0, 0, b"", b"\xff\xff", chain))
    assert tables(history) == before


def test_the_body_of_a_batch_is_never_copied() -> None:
    history = history_of(1)
    one = batch()
    append(history, epoch(1), Batch(one.front, one.body))
    follower = following(history)
    assert follower.log.entry(2).body is one.body
    assert header_of(follower.log.entry(2).body) == header_of(one.body)
    assert A < B
