"""Topic: which batch of a partition takes a record."""

from __future__ import annotations

from random import Random

from logstream.core.client_events import Outgoing
from logstream.core.routing import Topic
from logstream.core.window import Window
from tests.client.cluster_model import PlainBuilder


def test_a_record_does_not_join_a_batch_that_will_be_given_up_long_before_its_own_time_is_over() -> None:
    """Where nothing can be sent a batch stays open, and it has one deadline, which is its first record's."""
    topic = Topic("t", PlainBuilder, 1000, 60.0, Random(1))
    topic.record_max = 1000
    topic.set_windows([window := Window("t", 0, 7)])
    for value, at in (b"a", 0.0), (b"b", 6.0), (b"c", 59.0):
        assert topic.add(Outgoing("t", value, None, (), None, 0, value), at) is None
    assert window.open is not None
    waiting = [*window.ready, window.open]
    assert [(batch.tickets, batch.deadline) for batch in waiting] == [([b"a", b"b"], 60.0), ([b"c"], 119.0)]


def test_records_without_a_key_go_on_elsewhere_when_a_batch_is_left_behind() -> None:
    """The broker of their partition may be away for long."""
    topic = Topic("t", PlainBuilder, 1000, 60.0, Random(1))
    topic.record_max = 1000
    topic.set_windows([Window("t", number, 7) for number in range(8)])
    for at in range(0, 60, 7):
        assert topic.add(Outgoing("t", b"a", None, (), None, 0, at), float(at)) is None
    assert len(topic.active) > 1
