"""The head of a log (R22): bodies go, entries are cut, and all that is left is what a plain list says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.core.replica import log as log_module
from logstream.core.replica.chain import EMPTY_CHAIN, next_chain
from logstream.core.replica.log import ENTRY_OVERHEAD, Log, common_prefix, is_prefix
from logstream.protocol.batches import BODY_HEADER_SIZE
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Epoch
from logstream.protocol.messages import Entry, EntryKind
from tests.core.builders import B, epoch

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("batches"), st.integers(1, 30), st.integers(0, 50)),
        st.tuples(st.just("decision"), st.just(0), st.just(0)),
        st.tuples(st.just("trim"), st.integers(1, 60), st.integers(1, 60)),
        st.tuples(st.just("cut"), st.integers(1, 80), st.just(0)),
        st.tuples(st.just("truncate"), st.integers(0, 100), st.just(0)),
        st.tuples(st.just("fork"), st.just(0), st.just(0)),
    ),
    max_size=20,
)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 8 entries, so that every boundary is met."""
    monkeypatch.setattr(log_module, "SEGMENT", 8)


def entry_after(log: Log, kind: EntryKind, size: int, made_in: Epoch) -> Entry:
    front = b"f" * 21 if kind is EntryKind.BATCH else b""
    body = bytes([size % 256]) * size
    chain = next_chain(log.chain, log.end + 1, made_in, kind, 1, 0, front, body)
    return Entry(log.end + 1, made_in, kind, 1, 0, front, body, chain)


@dataclass
class Model:
    """A log, and what it should be: every entry ever held by gseq, the first one, the highest trimmed one."""

    log: Log = field(default_factory=Log)
    entries: dict[int, Entry] = field(default_factory=dict)
    start: int = 1
    trimmed_to: int = 0

    @property
    def end(self) -> int:
        return max(self.entries, default=0)

    def append(self, kind: EntryKind, size: int, made_in: Epoch) -> None:
        entry = entry_after(self.log, kind, size, made_in)
        self.entries[entry.gseq] = entry
        self.log.append(entry)

    def trim(self, first: int, count: int) -> None:
        gseqs = [gseq for gseq in range(first, first + count) if self.log.start <= gseq <= self.end]
        gseqs = [gseq for gseq in gseqs if self.log.has_body(gseq)]
        self.log.drop_bodies(gseqs)
        for gseq in gseqs:
            self.entries[gseq] = replace(self.entries[gseq], body=self.entries[gseq].body[:BODY_HEADER_SIZE])
            self.trimmed_to = max(self.trimmed_to, gseq)

    def cut(self, count: int) -> None:
        to = self.start - 1
        while to < min(self.start - 1 + count, self.end) and not self.has_body(to + 1):
            to += 1
        self.log.cut_head(to)
        self.start, self.trimmed_to = to + 1, max(self.trimmed_to, to)

    def has_body(self, gseq: int) -> bool:
        one = self.entries[gseq]
        return one.kind is EntryKind.BATCH and len(one.body) != BODY_HEADER_SIZE

    def truncate(self, after: int) -> None:
        after = max(after, self.trimmed_to)
        self.log.truncate(after)
        self.entries = {gseq: one for gseq, one in self.entries.items() if gseq <= after}

    def forked(self) -> Model:
        return Model(self.log.fork(), dict(self.entries), self.start, self.trimmed_to)

    def check(self) -> None:
        log, held = self.log, [self.entries[gseq] for gseq in range(self.start, self.end + 1)]
        assert (log.start, log.end) == (self.start, self.end)
        assert [log.entry(one.gseq) for one in held] == held
        assert [(log.kind(one.gseq), log.parts(one.gseq), log.slot(one.gseq)) for one in held] == [
            (one.kind, (one.front, one.body), (1, 0)) for one in held
        ]
        assert log.bytes == sum(one.size + ENTRY_OVERHEAD for one in held)
        chains = [self.chain_at(gseq) for gseq in range(self.start - 1, self.end + 1)]
        assert [log.chain_at(gseq) for gseq in range(self.start - 1, self.end + 1)] == chains
        self.check_runs()

    def chain_at(self, gseq: int) -> int:
        return self.entries[gseq].chain if gseq else EMPTY_CHAIN

    def check_runs(self) -> None:
        digest = self.log.digest()
        covered = range(max(self.start - 1, 1), self.end + 1)
        assert [run.epoch for run in digest.runs] == list(dict.fromkeys(self.entries[gseq].epoch for gseq in covered))
        for gseq in covered:
            assert next(run.epoch for run in digest.runs if gseq <= run.last) == self.entries[gseq].epoch
        assert self.log.epoch_before == (self.entries[self.start - 1].epoch if self.start > 1 else (0, "", ""))


def play(steps: list[tuple[str, int, int]]) -> list[Model]:
    """Do these steps to a log and to its model; forks stay as they were when they were made."""
    model, finished = Model(), list[Model]()
    for number, (what, count, size) in enumerate(steps):
        if what == "batches":
            for _ in range(count):
                model.append(EntryKind.BATCH, 41 + size, epoch(number + 1))
        elif what == "decision":
            model.append(EntryKind.CREATE_TOPIC, 12, epoch(number + 1))
        elif what == "trim":
            model.trim(count, size)
        elif what == "cut":
            model.cut(count)
        elif what == "truncate":
            model.truncate(min(count, model.end))
        else:
            finished.append(model)
            model = model.forked()
    return [*finished, model]


@settings(deadline=None, max_examples=150)
@given(STEPS)
def test_a_log_that_shrinks_at_both_ends_is_what_is_left_of_the_list(steps: list[tuple[str, int, int]]) -> None:
    for model in play(steps):
        model.check()


@settings(deadline=None, max_examples=80)
@given(STEPS, st.data())
def test_what_windows_are_measured_by_counts_entries_as_they_came_in(
    steps: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    log = play([step for step in steps if step[0] != "trim"])[-1].log
    before = [log.bytes_between(after, log.end) for after in range(log.end + 1)]
    log.drop_bodies([gseq for gseq in range(log.start, log.end + 1) if log.has_body(gseq)])
    assert [log.bytes_between(after, log.end) for after in range(log.end + 1)] == before
    log.cut_head(data.draw(st.integers(log.start - 1, log.end)))
    start = log.start
    assert [log.bytes_between(after, log.end) for after in range(start - 1, log.end + 1)] == before[start - 1 :]


@settings(deadline=None, max_examples=100)
@given(STEPS, st.integers(0, 20), st.integers(0, 20), st.integers(1, 80))
def test_cut_heads_do_not_hide_where_two_logs_part(
    steps: list[tuple[str, int, int]], one_more: int, other_more: int, count: int
) -> None:
    """Equal at a gseq that both can tell of: found. Equal only below a cut: nothing is claimed."""
    one = play(steps)[-1]
    shared = one.end
    other = one.forked()
    for model, made_in, more in ((one, epoch(90), one_more), (other, epoch(90, B), other_more)):
        for _ in range(more):
            model.append(EntryKind.BATCH, 50, made_in)
    other.trim(1, count)
    other.cut(count)
    common = common_prefix(one.log.digest(), other.log.digest())
    assert common == (shared if other.start - 1 <= shared else 0)
    assert is_prefix(one.log.digest(), other.log.digest()) == (one.end <= shared or one.end < other.start - 1)


def test_a_batch_that_holds_its_records_is_never_cut() -> None:
    [model] = play([("batches", 3, 1), ("trim", 1, 2)])
    with pytest.raises(LocalProtocolError, match="entry 3 is not trimmed"):
        model.log.cut_head(3)


def test_what_is_trimmed_is_never_truncated() -> None:
    [model] = play([("batches", 9, 1), ("trim", 1, 5), ("cut", 3, 0)])
    for after in (2, 4):
        with pytest.raises(LocalProtocolError):
            model.log.truncate(after)
    model.log.truncate(5)
    assert (model.log.start, model.log.end) == (4, 5)


def test_a_log_goes_on_from_a_checkpoint() -> None:
    log = Log(100, 7, epoch(3))
    assert (log.start, log.end, log.chain, log.epoch_before) == (101, 100, 7, epoch(3))
    one = entry_after(log, EntryKind.BATCH, 60, epoch(4))
    log.append(one)
    assert (log.entry(101), log.chain_at(100), log.bytes) == (one, 7, one.size + ENTRY_OVERHEAD)


def test_a_fork_keeps_the_bodies_that_the_other_log_drops() -> None:
    [model] = play([("batches", 20, 9)])
    fork = model.forked()
    model.trim(1, 20)
    fork.check()
    model.check()
