"""Window: sequences and order of one partition's batches."""

from __future__ import annotations

import pytest

from logstream.core.window import OpenBatch, SealedBatch, Window
from logstream.protocol.batches import header_of
from logstream.protocol.errors import LocalProtocolError
from tests.client.cluster_model import PlainBuilder


@pytest.fixture
def window() -> Window:
    window = Window("t", 0, 77)
    window.address = "a:1"
    return window


def fill(window: Window, *sizes: int) -> None:
    """Sealed batches of so many records."""
    for size in sizes:
        builder = PlainBuilder(0, size)
        for _ in range(size):
            builder.append(None, b"v", (), 0)
        window.open = OpenBatch(builder, 0.0, 60.0)
        window.seal()


def send(window: Window, correlation: int) -> list[SealedBatch]:
    """Take what may be sent and mark it as sent."""
    batches = [batch for batch, _ in window.take()]
    for number, batch in enumerate(batches):
        batch.correlation = correlation + number
    window.check_invariants()
    return batches


def test_sequences_count_records(window: Window) -> None:
    fill(window, 3, 2, 1)
    assert [batch.sequence for batch in send(window, 1)] == [0, 3, 5]


def test_sequences_wrap_as_in_kafka(window: Window) -> None:
    window._next_sequence = 2**31 - 2
    fill(window, 3, 1)
    assert [batch.sequence for batch in send(window, 1)] == [2**31 - 2, 1]


def test_the_stamp_is_the_same_at_every_try(window: Window) -> None:
    fill(window, 2)
    (batch,) = send(window, 1)
    first = batch.stamped
    window.rewind()
    assert send(window, 2) == [batch]
    assert batch.stamped is first is not None
    assert header_of(first.body)[4:] == (77, 0, 0, 2)


def test_an_answered_batch_behind_an_unanswered_one_holds_its_place(window: Window) -> None:
    fill(window, *[1] * 7)
    batches = send(window, 1)
    window.settle(batches[1])
    assert (len(batches), window.take()) == (5, [])
    window.settle(batches[0])
    assert [batch.sequence for batch in send(window, 10)] == [5, 6]


def test_rewinding_skips_what_is_answered(window: Window) -> None:
    fill(window, 1, 1, 1)
    batches = send(window, 1)
    window.settle(batches[1])
    window.rewind()
    assert send(window, 10) == [batches[0], batches[2]]


def test_what_is_certainly_not_in_the_log_is_numbered_anew(window: Window) -> None:
    fill(window, 2, 1)
    batches = send(window, 1)
    window.drop(batches[:1])
    window.unsend()
    window.renew(78)
    assert send(window, 10) == batches[1:]
    assert (batches[1].sequence, header_of(batches[1].stamped.body).producer_id) == (0, 78)  # type: ignore[union-attr]


def test_a_new_producer_id_is_refused_while_the_old_one_is_waited_for(window: Window) -> None:
    fill(window, 1)
    send(window, 1)
    with pytest.raises(LocalProtocolError, match="unanswered"):
        window.renew(78)


def test_nothing_is_sent_while_resting_or_without_an_address(window: Window) -> None:
    fill(window, 1)
    window.resting = True
    assert window.take() == []
    window.resting, window.address = False, ""
    assert window.take() == []
