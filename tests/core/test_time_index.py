"""TimeIndex: the first batch of a time or later, whatever order the time stamps are in and whatever is trimmed."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logstream.core import time_index
from logstream.core.time_index import BLOCK, TimeIndex

STEP = st.one_of(st.tuples(st.just("append"), st.integers(-3, 30)), st.tuples(st.just("trim"), st.integers(0, 12)))


def plainly(stamps: list[int], timestamp_ms: int) -> int | None:
    return next((place for place, stamp in enumerate(stamps) if stamp >= timestamp_ms), None)


@pytest.mark.parametrize("block", [1, 2, 3, 8, BLOCK])
@settings(deadline=None, max_examples=150)
@given(steps=st.lists(STEP, max_size=80))
def test_it_finds_what_a_search_from_the_front_finds(block: int, steps: list[tuple[str, int]]) -> None:
    stamps: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time_index, "BLOCK", block)
        index = TimeIndex()
        for what, number in steps:
            if what == "append":
                stamps.append(number)
                index.append(number)
            else:
                gone = min(number, len(stamps))
                del stamps[:gone]
                index.trim(gone)
            assert [index.first_since(at) for at in range(-4, 32)] == [plainly(stamps, at) for at in range(-4, 32)]


def test_a_million_batches_are_searched_within_a_turn() -> None:
    index = TimeIndex()
    for number in range(1_000_000):
        index.append(number)

    def search() -> float:
        began = perf_counter()
        assert (index.first_since(999_999), index.first_since(1_000_000)) == (999_999, None)
        return perf_counter() - began

    assert min(search() for _ in range(5)) < 0.005
