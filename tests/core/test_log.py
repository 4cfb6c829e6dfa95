"""Log: columns in segments behave like a plain list of entries, whatever is done to them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.core.replica import log as log_module
from logstream.core.replica.chain import EMPTY_CHAIN, next_chain
from logstream.core.replica.log import ENTRY_OVERHEAD, Log, common_prefix
from logstream.protocol.errors import LocalProtocolError
from logstream.protocol.identity import Epoch, Run
from logstream.protocol.messages import Entry, EntryKind
from tests.core.builders import A, B, epoch

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 40), st.integers(0, 50)),
        st.tuples(st.just("truncate"), st.integers(0, 100), st.just(0)),
        st.tuples(st.just("fork"), st.just(0), st.just(0)),
    ),
    max_size=15,
)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 8 entries, so that every boundary is met."""
    monkeypatch.setattr(log_module, "SEGMENT", 8)


def entry(log: Log, size: int, made_in: Epoch) -> Entry:
    body = bytes([size % 256]) * size
    gseq = log.end + 1
    chain = next_chain(log.chain, gseq, made_in, EntryKind.BATCH, 1, 0, b"f" * 21, body)
    return Entry(gseq, made_in, EntryKind.BATCH, 1, 0, b"f" * 21, body, chain)


def play(steps: list[tuple[str, int, int]]) -> list[tuple[Log, list[Entry]]]:
    """Do these steps to a log and to a list; forks stay as they were when they were made."""
    log, model = Log(), list[Entry]()
    finished: list[tuple[Log, list[Entry]]] = []
    for number, (what, count, size) in enumerate(steps):
        if what == "append":
            for _ in range(count):
                model.append(entry(log, size, epoch(number + 1)))
                log.append(model[-1])
        elif what == "truncate":
            after = min(count, log.end)
            log.truncate(after)
            model = model[:after]
        else:
            finished.append((log, list(model)))
            log = log.fork()
    return [*finished, (log, model)]


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_a_log_is_the_list_of_what_was_appended(steps: list[tuple[str, int, int]]) -> None:
    for log, model in play(steps):
        assert (log.start, log.end) == (1, len(model))
        assert [log.entry(gseq) for gseq in range(1, log.end + 1)] == model
        assert log.chain == (model[-1].chain if model else EMPTY_CHAIN)
        assert log.bytes == sum(one.size + ENTRY_OVERHEAD for one in model)
        assert [log.chain_at(gseq) for gseq in range(log.end + 1)] == [EMPTY_CHAIN, *(one.chain for one in model)]
        assert [run.epoch for run in log.digest().runs] == list(dict.fromkeys(one.epoch for one in model))
        assert [run.last for run in log.digest().runs][-1:] == [len(model)][: len(model)]


@settings(deadline=None, max_examples=60)
@given(STEPS, st.integers(1, 60), st.integers(0, 60), st.integers(0, 5000), st.integers(1, 20))
def test_a_slice_respects_every_limit_and_holds_at_least_one_entry(
    steps: list[tuple[str, int, int]], first: int, last: int, bytes_max: int, count_max: int
) -> None:
    log, model = play(steps)[-1]
    wanted = model[first - 1 : last]
    expected = []
    for one in wanted[:count_max]:
        if expected and sum(each.size + ENTRY_OVERHEAD for each in [*expected, one]) > bytes_max:
            break
        expected.append(one)
    assert list(log.entries(first, last, bytes_max, count_max)) == expected


@settings(deadline=None, max_examples=60)
@given(STEPS, st.data())
def test_last_within_is_the_longest_stretch_that_fits(steps: list[tuple[str, int, int]], data: st.DataObject) -> None:
    log, model = play(steps)[-1]
    first = data.draw(st.integers(1, log.end + 1))
    bytes_max = data.draw(st.integers(0, 8000))
    fits = first - 1
    while fits < log.end and sum(one.size + ENTRY_OVERHEAD for one in model[first - 1 : fits + 1]) <= bytes_max:
        fits += 1
    assert log.last_within(first, bytes_max) == fits
    assert log.bytes_between(first - 1, fits) == sum(one.size + ENTRY_OVERHEAD for one in model[first - 1 : fits])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_the_common_prefix_of_two_logs_that_part_is_where_they_part(
    shared: int, one_more: int, other_more: int
) -> None:
    one = Log()
    for _ in range(shared):
        one.append(entry(one, 3, epoch(1)))
    other = one.fork()
    for _ in range(one_more):
        one.append(entry(one, 4, epoch(2)))
    for _ in range(other_more):
        other.append(entry(other, 5, epoch(2, B)))
    assert common_prefix(one.digest(), other.digest()) == shared
    assert common_prefix(one.digest(), one.fork().digest()) == one.end


def test_an_entry_that_does_not_follow_is_an_error_of_our_own() -> None:
    log = Log()
    log.append(entry(log, 1, epoch(1)))
    with pytest.raises(LocalProtocolError):
        log.append(Entry(3, epoch(1), EntryKind.BATCH, 1, 0, b"", b"", 0))
    with pytest.raises(LocalProtocolError):
        log.entry(2)


def test_runs_say_which_epoch_sequenced_what() -> None:
    log = Log()
    for made_in in (epoch(1), epoch(1), epoch(2, B)):
        log.append(entry(log, 1, made_in))
    assert log.digest().runs == (Run(epoch(1), 2), Run(epoch(2, B), 3))
    log.truncate(1)
    assert log.digest().runs == (Run(epoch(1), 1),)


def test_a_chain_depends_on_everything_in_an_entrys_header() -> None:
    args = (5, 7, epoch(1), EntryKind.BATCH, 1, 2, b"f" * 21, b"b" * 40)
    changed = [
        (6, *args[1:]),
        (5, 8, *args[2:]),
        (*args[:2], epoch(2), *args[3:]),
        (*args[:2], epoch(1, B), *args[3:]),
        (*args[:3], EntryKind.CREATE_TOPIC, *args[4:]),
        (*args[:4], 9, *args[5:]),
        (*args[:5], 3, *args[6:]),
        (*args[:6], b"g" * 21, args[7]),
        (*args[:7], b"c" * 40),
    ]
    assert len({next_chain(*one) for one in [args, *changed]}) == len(changed) + 1  # type: ignore[arg-type]
    assert A.node_id in str(epoch(1))
